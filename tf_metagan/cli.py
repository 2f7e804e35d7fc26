"""What every command line of the package does before and around its work.

`run` reads the flags, answers `--help` at once, and turns what can go wrong
into one line on stderr and an exit code. Nothing here imports TensorFlow.
"""

import dataclasses
import difflib
import importlib
import os
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from absl import flags, logging

from tf_metagan import fields, setting_flags, versions
from tf_metagan.settings import Settings

EXIT_OK = 0
EXIT_USAGE = 1
EXIT_DATA = 2
EXIT_DIVERGED = 3
EXIT_PREEMPTED = 42
EXIT_LOST = 43
EXIT_INTERRUPTED = 130

_HELP = ("--help", "-help", "-h", "--helpshort", "--helpfull")
_CHATTER = (
    "All log messages before absl::InitializeLog()",
    "oneDNN custom operations are on",
    "Could not find cuda drivers",
    "failed call to cuInit",
    "TensorFlow binary is optimized to use available CPU instructions",
    "To enable the following instructions",
)
_CODES = (
    (EXIT_OK, "done"),
    (EXIT_USAGE, "a setting is wrong"),
    (EXIT_DATA, "a file cannot be read or written"),
    (EXIT_DIVERGED, "a metric is not finite"),
    (EXIT_PREEMPTED, "told to stop by SIGTERM; state saved"),
    (EXIT_LOST, "another worker is gone; to be started again"),
    (EXIT_INTERRUPTED, "interrupted from the keyboard"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Common:
    """Settings of every command; no part of a run's configuration."""

    flagfile: str | None = fields.setting(
        None,
        "File with more settings, one --name=value a line; a later setting "
        "replaces an earlier one. May be given several times.",
        section="Every command",
        path=True,
    )
    verbosity: int = fields.setting(
        0,
        "Amount of text: -1 warnings only, 0 progress, 1 details and "
        "tracebacks.",
        section="Every command",
        choices=(-1, 0, 1),
    )


class LostWorkerError(ConnectionError):
    """Another process of the same job has died."""


class Command(NamedTuple):
    """A command line.

    Attributes:
      module: its module, for `python -m`: "tf_metagan.train".
      purpose: a sentence or two for the top of `--help`.
      examples: complete command lines.
      settings: the dataclass of its settings, made by `fields.setting`.
      main: (settings) -> exit code, None for 0. What it needs of TensorFlow it
        imports inside, so that `--help` does not wait for it.
      trains: whether it needs the versions that training needs.
    """

    module: str
    purpose: str
    examples: tuple[str, ...]
    settings: type
    main: Callable[[Any], int | None]
    trains: bool = True


def run(command: Command, argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    The last line of a command's module is
    `sys.exit(cli.run(COMMAND))` under `if __name__ == "__main__":`.

    Errors of the user (ValueError until `Settings.check_all_used` was called,
    ImportError of an unsuitable stack, OSError and FloatingPointError at any
    time) are one line on stderr, with a traceback at --verbosity=1. All others
    are ours and leave with their traceback.

    Args:
      command: what to run.
      argv: the words after the program's name; by default `sys.argv[1:]`.

    Returns:
      One of the EXIT_ constants.
    """
    argv = sys.argv[1:] if argv is None else argv
    if any(word in _HELP for word in argv):
        sys.stdout.write(help_text(command))
        return EXIT_OK
    try:
        settings, verbosity = _read(command, argv)
    except ValueError as error:
        return _report(error, EXIT_USAGE, command, verbosity=0)
    logging.set_verbosity(verbosity)
    try:
        if command.trains:
            versions.check_training_stack()
        _import_tensorflow(quiet=verbosity < 1)
        return command.main(settings) or EXIT_OK
    except KeyboardInterrupt:
        sys.stderr.write(f"{command.module}: interrupted\n")
        return EXIT_INTERRUPTED
    except FloatingPointError as error:
        return _report(error, EXIT_DIVERGED, command, verbosity=verbosity)
    except LostWorkerError as error:
        return _report(error, EXIT_LOST, command, verbosity=verbosity)
    except OSError as error:
        return _report(error, EXIT_DATA, command, verbosity=verbosity)
    except (ValueError, ImportError) as error:
        if settings.built:
            raise
        return _report(error, EXIT_USAGE, command, verbosity=verbosity)


def _import_tensorflow(*, quiet: bool) -> None:
    """Import TensorFlow, without its chatter about oneDNN and absent GPUs.

    Part of that text ignores TF_CPP_MIN_LOG_LEVEL, so stderr itself is caught;
    lines that are not known to be harmless are passed on. Whoever sets
    TF_CPP_MIN_LOG_LEVEL gets all that it lets through.
    """
    if not quiet or "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        importlib.import_module("tensorflow")
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+", errors="replace") as caught:
        stderr = os.dup(2)
        os.dup2(caught.fileno(), 2)
        try:
            tensorflow = importlib.import_module("tensorflow")
            tensorflow.config.list_physical_devices()
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            for line in caught:
                if not any(words in line for words in _CHATTER):
                    sys.stderr.write(line)


def _read(command: Command, argv: Sequence[str]) -> tuple[Settings[Any], int]:
    values = flags.FlagValues()  # type: ignore[no-untyped-call]
    setting_flags.define_flags(values, command.settings)
    setting_flags.define_flags(values, _Common)
    words = _parse(values, [command.module, *argv])[1:]
    if words:
        raise ValueError(
            f"'{words[0]}' is a stray word on the command line; every setting "
            "is written --name=value, and true or false as --name or --noname."
        )
    # Other libraries read the flags of the process, of which there are none.
    flags.FLAGS.mark_as_parsed()
    common = setting_flags.from_flags(values, _Common).config
    found: Settings[Any] = setting_flags.from_flags(values, command.settings)
    return found, common.verbosity


def _parse(values: flags.FlagValues, argv: list[str]) -> list[str]:
    try:
        return values(argv)
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(values), n=1)
        question = f" Did you mean --{near[0]}?" if near else ""
        raise ValueError(
            f"--{error.flagname} is not a setting of this command.{question}"
        ) from error
    except flags.IllegalFlagValueError as error:
        # absl puts its own words in front of ours, which name the flag.
        ours = isinstance(error.__context__, ValueError)
        text = str(error.__context__ if ours else error)
        raise ValueError(text) from error
    except flags.Error as error:
        raise ValueError(str(error).removeprefix("ERROR:: ")) from error


def _report(
    error: Exception, code: int, command: Command, *, verbosity: int
) -> int:
    if verbosity > 0:
        traceback.print_exception(error)
    text = " ".join(str(error).split()) or type(error).__name__
    hint = ""
    if code == EXIT_USAGE:
        hint = f"Settings: python -m {command.module} --help\n"
    sys.stderr.write(f"{command.module}: {text}\n{hint}")
    return code


def help_text(command: Command) -> str:
    """Return what `--help` prints: purpose, examples, settings by section.

    Args:
      command: the command line.
    """
    lines = [f"usage: python -m {command.module} [--name=value ...]", ""]
    lines += [*textwrap.wrap(command.purpose, 79), ""]
    if command.examples:
        lines += ["Examples", *(f"  {line}" for line in command.examples)]
    section = None
    for config_class in (command.settings, _Common):
        for setting in fields.describe(config_class).values():
            if setting.section != section:
                section = setting.section
                lines += ["", section]
            lines += _setting_lines(setting)
    lines += ["", "Exit codes"]
    lines += [f"  {code:<4} {text}" for code, text in _CODES]
    return "\n".join(lines) + "\n"


def _setting_lines(setting: fields.Setting) -> Iterator[str]:
    default = fields.serialize(setting, setting.default)
    alias = f" (also --{setting.alias})" if setting.alias else ""
    unit = f" {setting.unit}" if setting.unit and default != "none" else ""
    yield f"  --{setting.name}={default}{unit}{alias}"
    facts = fields.expected(setting)
    if setting.unit and not unit:
        facts += f"; {setting.unit}"
    yield from textwrap.wrap(
        f"{setting.help} [{facts}]",
        width=79,
        initial_indent=" " * 6,
        subsequent_indent=" " * 6,
    )
