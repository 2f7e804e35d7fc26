"""The fields of a settings dataclass: their words, types and ranges.

A field made by `setting` says everything about one setting; `describe` reads
it back, `parse` and `serialize` translate between its values and text.
"""

import dataclasses
import math
import os
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tf_metagan import registry

_KINDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")


class Setting(NamedTuple):
    """One setting, as described by its dataclass field.

    Attributes:
      name: name of the field, the flag and the keyword-only parameter.
      kind: str, int, float or bool; of each element when `is_list`.
      optional: whether None is a value, written "none" on a command line.
      is_list: whether the value is a tuple, written "a,b,c".
      default: value when nothing else chooses one.
      help: what it does, a sentence without its default.
      unit: unit of the value, or "".
      section: heading of `--help` under which it stands.
      choices: the allowed values, or None when they are not a closed set.
      interval: allowed range such as "(0, inf)" or "[0, 1)", or "".
      chosen_by: the setting that decides whether this one has an effect.
      environment: environment variable that replaces the default, or "".
      alias: second name of the flag, or "".
      path: whether the value is a file or folder, in which ~ is expanded.
    """

    name: str
    kind: type
    optional: bool
    is_list: bool
    default: Any
    help: str
    unit: str
    section: str
    choices: tuple[Any, ...] | registry.Table | None
    interval: str
    chosen_by: str
    environment: str
    alias: str
    path: bool


def setting(
    default: Any,
    help: str,
    *,
    section: str,
    unit: str = "",
    choices: tuple[Any, ...] | registry.Table | None = None,
    interval: str = "",
    chosen_by: str = "",
    environment: str = "",
    alias: str = "",
    path: bool = False,
) -> Any:
    """Make a dataclass field that is a setting; see `Setting` for the words."""
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "unit": unit,
            "section": section,
            "choices": choices,
            "interval": interval,
            "chosen_by": chosen_by,
            "environment": environment,
            "alias": alias,
            "path": path,
        },
    )


def describe(config_class: type) -> Mapping[str, Setting]:
    """Return the settings of a dataclass, {name: Setting}, in field order.

    Args:
      config_class: a dataclass whose fields were all made by `setting`, with
        the annotation str, int, float, bool, tuple[str, ...] or
        tuple[int, ...], each possibly "| None".
    """
    hints = typing.get_type_hints(config_class)
    found = {}
    for field in dataclasses.fields(config_class):
        kind, optional, is_list = _read_annotation(hints[field.name])
        found[field.name] = Setting(
            name=field.name,
            kind=kind,
            optional=optional,
            is_list=is_list,
            default=field.default,
            **field.metadata,
        )
    return types.MappingProxyType(found)


def _read_annotation(hint: Any) -> tuple[type, bool, bool]:
    optional = False
    if isinstance(hint, types.UnionType):
        (inner,) = (a for a in typing.get_args(hint) if a is not type(None))
        hint, optional = inner, True
    is_list = typing.get_origin(hint) is tuple
    kind = typing.get_args(hint)[0] if is_list else hint
    assert kind in _KINDS, hint
    return kind, optional, is_list


def interval_contains(interval: str, value: float) -> bool:
    """Say whether a number lies in an interval such as "[0, 1)".

    >>> interval_contains("[0, 1)", 0), interval_contains("[0, 1)", 1)
    (True, False)
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    return above and below


def known_choices(setting: Setting) -> tuple[str, ...]:
    """Return the choices of a setting as they are written, () when open."""
    if isinstance(setting.choices, registry.Table):
        return setting.choices.known()
    return tuple(str(choice) for choice in setting.choices or ())


def expected(setting: Setting) -> str:
    """Say in words which values a setting takes.

    >>> expected(describe(_Example)["rate"])
    'a number > 0, or none'
    """
    words = _KINDS[setting.kind]
    if setting.choices is not None:
        words = "one of " + ", ".join(known_choices(setting))
    if setting.is_list:
        words = f"a list, separated by commas, of {words} each"
        if setting.kind is int:
            words += " (3-7 stands for 3,4,5,6,7)"
    if setting.interval:
        words += _interval_words(setting.interval)
    if setting.optional:
        words += ", or none"
    return words


def _interval_words(interval: str) -> str:
    low, high = interval[1:-1].split(",")
    if high.strip() != "inf":
        return f" in {interval}"
    return f" {'>=' if interval[0] == '[' else '>'} {low}"


def parse(setting: Setting, text: str) -> Any:
    """Read a value as it stands on a command line.

    Args:
      setting: the setting whose value it is.
      text: the characters after "--name=".

    Returns:
      The checked value, of the type that the field's annotation states.

    Raises:
      ValueError: the text is no value of this setting.
    """
    text = text.strip()
    if setting.optional and text.lower() in ("none", ""):
        return None
    try:
        if not setting.is_list:
            value = _parse_one(setting, text)
        else:
            words = [word.strip() for word in text.split(",")] if text else []
            value = tuple(
                element
                for word in words
                for element in _parse_range(setting, word)
            )
    except (ValueError, OverflowError) as error:
        raise ValueError(_wrong(setting, text)) from error
    return check(setting, value)


def _parse_one(setting: Setting, word: str) -> Any:
    if setting.kind is bool:
        if word.lower() not in _TRUE + _FALSE:
            raise ValueError(word)
        return word.lower() in _TRUE
    if setting.path:
        return os.path.expanduser(word)
    return setting.kind(word)


def _parse_range(setting: Setting, word: str) -> Iterable[Any]:
    first, dash, last = word.partition("-")
    if setting.kind is not int or not dash or not first:
        return [_parse_one(setting, word)]
    if int(last) < int(first):
        raise ValueError(word)
    return range(int(first), int(last) + 1)


def check(setting: Setting, value: Any) -> Any:
    """Return a value of a setting unchanged, or refuse it.

    Whole numbers are accepted, and returned as floats, where the setting is a
    float; lists are accepted, and returned as tuples.

    Args:
      setting: the setting whose value it is.
      value: a value of any type.

    Returns:
      The value.

    Raises:
      TypeError: the value has the wrong type.
      ValueError: the value has the right type but is not allowed.
    """
    if value is None and setting.optional:
        return None
    if setting.is_list:
        if not isinstance(value, tuple | list):
            raise TypeError(_wrong(setting, value))
        return tuple(_check_one(setting, element) for element in value)
    return _check_one(setting, value)


def _check_one(setting: Setting, value: Any) -> Any:
    if setting.kind is float and type(value) is int:
        value = float(value)
    kind: type = type(value)
    if kind is not setting.kind:
        raise TypeError(_wrong(setting, value))
    if setting.choices is not None and value not in setting.choices:
        raise ValueError(
            f"--{setting.name}={value} is not a known choice. "
            + registry.suggest(str(value), known_choices(setting))
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(_wrong(setting, value))
    if setting.interval and not interval_contains(setting.interval, value):
        raise ValueError(_wrong(setting, value))
    forbidden = "\n," if setting.is_list else "\n"
    if setting.kind is str and not set(forbidden).isdisjoint(value):
        raise ValueError(_wrong(setting, value))
    return value


def _wrong(setting: Setting, value: Any) -> str:
    default = serialize(setting, setting.default)
    return (
        f"--{setting.name}={value} is not possible: expected "
        f"{expected(setting)}. The default is --{setting.name}={default}."
    )


def check_all(config: Any) -> None:
    """Check every field of a config; for its `__post_init__`.

    Args:
      config: an instance of a dataclass made of settings.

    Raises:
      TypeError, ValueError: as `check`, for the first value that is wrong.
    """
    for name, setting in describe(type(config)).items():
        value = check(setting, getattr(config, name))
        object.__setattr__(config, name, value)


def serialize(setting: Setting, value: Any) -> str:
    """Write a value such that `parse` reads the same value again.

    >>> serialize(describe(_Example)["rate"], 0.1)
    '0.1'
    """
    if value is None:
        return "none"
    if setting.is_list:
        return ",".join(_serialize_one(element) for element in value)
    return _serialize_one(value)


def _serialize_one(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Example:
    """Settings of the examples in this file."""

    steps: int = setting(1, "Steps.", section="Example", interval="[1, inf)")
    rate: float | None = setting(
        None, "Rate.", section="Example", interval="(0, inf)"
    )
