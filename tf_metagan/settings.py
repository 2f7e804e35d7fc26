"""Settings: values from the command line to the parts that use them.

A setting exists once, as a field made by `fields.setting`. Its flag, its place
in `--help`, its entry in `config.json` and its line in `run.flags` all come
from that field. `Settings` remembers where each value came from and which part
took it, so that a flag that changes nothing can be refused by name.

Nothing here imports TensorFlow.
"""

import dataclasses
import inspect
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from absl import logging

from tf_metagan import fields, registry, versions

C = TypeVar("C")
T = TypeVar("T")

CONFIG_FILE = "config.json"
FLAGS_FILE = "run.flags"


@dataclasses.dataclass
class Record:
    """What happened to the settings of one command.

    Attributes:
      used: {name: part that took it}.
      built: whether everything that takes settings has been built.
    """

    used: dict[str, str] = dataclasses.field(default_factory=dict)
    built: bool = False


class Settings(Generic[C]):
    """The value of every setting, where it came from and which part took it.

    A value is the first that is found in: what was given explicitly; the
    environment; the dictionaries handed to `with_defaults`, oldest first; the
    default of the field.

    >>> from tf_metagan import config
    >>> settings = Settings(config.Config, [({"seed": 3}, True)])
    >>> settings.call(lambda *, seed, elastic: (seed, elastic))
    (3, 0.0)
    >>> settings.used
    ('seed', 'elastic')
    """

    def __init__(
        self,
        config_class: type[C],
        layers: Iterable[tuple[Mapping[str, Any], bool]] = (),
        *,
        record: "Record | None" = None,
    ):
        """Combine layers of values.

        Args:
          config_class: a dataclass made of settings.
          layers: pairs ({name: value}, whether the user gave it explicitly),
            the strongest first.
          record: what was used until now; shared, not copied.

        Raises:
          ValueError: a name is not a setting, or a value is not allowed.
          TypeError: a value has the wrong type.
        """
        self._layers = tuple(layers)
        self._record = Record() if record is None else record
        described = self._described = fields.describe(config_class)
        merged: dict[str, Any] = {}
        for values, _ in self._layers:
            for name, value in values.items():
                if name not in described:
                    raise ValueError(
                        f"'{name}' is not a setting. "
                        + registry.suggest(name, described)
                    )
                merged.setdefault(name, fields.check(described[name], value))
        self._config = config_class(**merged)

    @property
    def config(self) -> C:
        """Every resolved value; reading from it does not count as use."""
        return self._config

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the settings that the user gave, in field order."""
        names = {n for values, given in self._layers if given for n in values}
        return tuple(n for n in self._described if n in names)

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the settings that some part took, in field order."""
        return tuple(n for n in self._described if n in self._record.used)

    @property
    def built(self) -> bool:
        """Whether `check_all_used` found everything right; it is shared."""
        return self._record.built

    def with_defaults(self, defaults: Mapping[str, Any]) -> "Settings[C]":
        """Return these settings with other defaults, say an algorithm's own.

        Args:
          defaults: {name: value}; each stands unless the value was given, came
            from the environment or was in an earlier such dictionary.

        Returns:
          New settings that share the record of use with these.

        Raises:
          ValueError, TypeError: as the constructor.
        """
        layers = (*self._layers, (defaults, False))
        return Settings(type(self._config), layers, record=self._record)

    def take(self, name: str, *, by: str = "the command") -> Any:
        """Return the value of a setting and record that it has an effect.

        Args:
          name: name of the setting.
          by: the part that takes it.
        """
        value = getattr(self._config, name)
        self._record.used.setdefault(name, by)
        return value

    def part(self, name: str) -> Any:
        """Import the part that a setting chooses from its registry table.

        Args:
          name: name of a setting whose choices are a table: "algo".

        Returns:
          The object that the table names.
        """
        table = self._described[name].choices
        assert isinstance(table, registry.Table), name
        return registry.find(table, self.take(name))

    def call(self, function: Callable[..., T], *args: Any, **given: Any) -> T:
        """Call a function; settings fill its keyword-only parameters by name.

        Args:
          function: a function or class. A keyword-only parameter that carries
            the name of a setting is filled, whether it has a default or not.
          *args: its positional arguments.
          **given: keyword arguments that are not to be filled.

        Returns:
          What the function returns.
        """
        names = {
            parameter.name: parameter.name
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is parameter.KEYWORD_ONLY
        }
        return self._call(function, names, args, given)

    def call_with_prefix(
        self, prefix: str, function: Callable[..., T], *args: Any, **given: Any
    ) -> T:
        """Call a function whose parameters lack the prefix of the settings.

        With prefix "outer_" the parameter `momentum` is filled from the setting
        `outer_momentum`, and `beta_1` from `outer_beta1`: an underscore in
        front of a digit does not count. Parameters that may be positional are
        filled too.

        Args:
          prefix: what the settings have in front of the parameters' names.
          function: a function or class, such as a Keras optimizer.
          *args: its positional arguments.
          **given: keyword arguments that are not to be filled.

        Returns:
          What the function returns.
        """
        parameters = list(inspect.signature(function).parameters.values())
        names = {
            p.name: prefix + re.sub(r"_(?=\d)", "", p.name)
            for p in parameters[len(args) :]
            if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        }
        return self._call(function, names, args, given)

    def _call(
        self,
        function: Callable[..., T],
        names: Mapping[str, str],
        args: tuple[Any, ...],
        given: dict[str, Any],
    ) -> T:
        described = self._described
        by = f"{function.__module__}.{getattr(function, '__qualname__', '?')}"
        filled = {
            parameter: self.take(name, by=by)
            for parameter, name in names.items()
            if name in described and parameter not in given
        }
        return function(*args, **filled, **given)

    def check_all_used(self) -> None:
        """Refuse settings that were given but that no chosen part took.

        Call it when everything is built: errors before it are the user's, and
        `cli.run` reports them in one line; errors after it are ours.

        Raises:
          ValueError: names each such setting.
        """
        unused = [name for name in self.given if name not in self._record.used]
        if unused:
            raise ValueError(" ".join(self._no_effect(name) for name in unused))
        self._record.built = True

    def _no_effect(self, name: str) -> str:
        chooser = self._described[name].chosen_by
        if not chooser:
            return f"{self.as_flag(name)} has no effect here. Remove it."
        return (
            f"{self.as_flag(name)} has no effect with {self.as_flag(chooser)}. "
            f"Remove it, or choose another --{chooser}."
        )

    def as_flag(self, name: str) -> str:
        """Return a setting as it is written on a command line.

        Args:
          name: name of the setting.

        Returns:
          "--name=value".
        """
        value = getattr(self._config, name)
        return f"--{name}={fields.serialize(self._described[name], value)}"

    def save(
        self,
        folder: str,
        *,
        command: str,
        devices: Iterable[str] = (),
    ) -> None:
        """Write config.json and run.flags, from which the run can be repeated.

        config.json holds every resolved value, which of them were given and
        used, versions, git commit and devices. run.flags holds the settings
        that had an effect; loading it gives the same values.

        Args:
          folder: an existing folder.
          command: module of the command line: "tf_metagan.train".
          devices: names of the devices in use.
        """
        values = dataclasses.asdict(self._config)  # type: ignore[call-overload]
        record = {
            "command": command,
            "settings": values,
            "given": self.given,
            "used": self.used,
            "versions": versions.installed(),
            "commit": versions.git_commit(),
            "devices": list(devices),
        }
        text = json.dumps(record, indent=2, allow_nan=False) + "\n"
        _write(os.path.join(folder, CONFIG_FILE), text)
        path = os.path.join(folder, FLAGS_FILE)
        lines = [f"# Repeats the run: python -m {command} --flagfile={path}"]
        lines += [
            self.as_flag(name)
            for name in self._described
            if name in self._record.used or name in self.given
        ]
        _write(path, "\n".join(lines) + "\n")


def load(folder: str, config_class: type[C]) -> Settings[C]:
    """Load the settings of a run from its config.json.

    Args:
      folder: the run folder.
      config_class: the dataclass of the command that wrote it. A setting that
        the file does not know yet has its default.

    Returns:
      Settings with the stored values, which no defaults can replace; none of
      them counts as given.

    Raises:
      FileNotFoundError: the folder has no config.json.
      ValueError: the file is damaged or has settings that do not exist.
    """
    path = os.path.join(folder, CONFIG_FILE)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{folder} is not the folder of a run: it has no {CONFIG_FILE}. "
            "Give the folder that training wrote as --logdir."
        )
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        stored = json.loads(text)["settings"]
        settings = Settings(config_class, [(stored, False)])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).rstrip(".")
        raise ValueError(
            f"{path} cannot be used: {reason}. Expected the file as training "
            "wrote it; restore it, or train again."
        ) from error
    missing = [
        name for name in fields.describe(config_class) if name not in stored
    ]
    if missing:
        logging.debug("%s has no %s: defaults", path, ", ".join(missing))
    return settings


def _write(path: str, text: str) -> None:
    temporary = f"{path}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
