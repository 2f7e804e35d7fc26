"""Settings as flags: one absl flag for each, and what they were set to.

Nothing here imports TensorFlow.
"""

import os
from collections.abc import Mapping
from typing import Any, TypeVar

from absl import flags

from tf_metagan import fields
from tf_metagan.settings import Settings

C = TypeVar("C")


class _Parser(flags.ArgumentParser[Any]):
    """Lets absl read a value by `parse`."""

    def __init__(self, setting: fields.Setting):
        self.setting = setting
        self.syntactic_help = fields.expected(setting)

    def parse(self, argument: Any) -> Any:
        if isinstance(argument, str):
            return fields.parse(self.setting, argument)
        return fields.check(self.setting, argument)

    def flag_type(self) -> str:
        return self.setting.kind.__name__


class _Serializer(flags.ArgumentSerializer[Any]):
    """Lets absl write a value by `serialize`."""

    def __init__(self, setting: fields.Setting):
        self.setting = setting

    def serialize(self, value: Any) -> str:
        return fields.serialize(self.setting, value)


def define_flags(flag_values: flags.FlagValues, config_class: type) -> None:
    """Define one absl flag per setting, and its alias if it has one.

    Args:
      flag_values: where to define them; `absl.flags.FLAGS` for the flags of
        the process.
      config_class: a dataclass made of settings.
    """
    for setting in fields.describe(config_class).values():
        for name in filter(None, (setting.name, setting.alias)):
            flag_values[name] = flags.Flag(
                _Parser(setting),
                _Serializer(setting),
                name,
                None,
                setting.help,
                boolean=setting.kind is bool and not setting.is_list,
            )


def from_flags(
    flag_values: flags.FlagValues,
    config_class: type[C],
    *,
    environment: Mapping[str, str] = os.environ,
) -> Settings[C]:
    """Collect what the command line, flag files and the environment say.

    Args:
      flag_values: parsed, with the flags that `define_flags` defined.
      config_class: a dataclass made of settings.
      environment: the environment variables.

    Returns:
      The settings, in which a value of the command line or of a flag file
      counts as given and a value of an environment variable does not.

    Raises:
      ValueError: an environment variable has a bad value, or a setting and its
        alias were given different values.
    """
    given, ambient = {}, {}
    for name, setting in fields.describe(config_class).items():
        both = [flag_values[n] for n in (name, setting.alias) if n]
        values = [flag.value for flag in both if flag.present]
        if any(value != values[0] for value in values):
            raise ValueError(
                f"--{name}={values[0]} and --{setting.alias}={values[1]} are "
                "two names of one setting and disagree. Give only one of them."
            )
        if values:
            given[name] = values[0]
        elif environment.get(setting.environment):
            ambient[name] = fields.parse(
                setting, environment[setting.environment]
            )
    return Settings(config_class, [(given, True), (ambient, False)])
