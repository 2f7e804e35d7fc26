"""Command lines: help, errors in one line, exit codes."""

import dataclasses
import os
import subprocess
import sys

import pytest

from tf_metagan import cli, config, fields


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """Settings of the command of these tests."""

    steps: int = fields.setting(
        1, "Steps.", section="A", unit="steps", interval="[0, inf)"
    )
    seconds: float | None = fields.setting(
        None, "Time.", section="B", unit="seconds", alias="time"
    )
    resume: bool = fields.setting(True, "Go on.", section="B")


def command(main=lambda found: None, **changes):
    made = cli.Command(
        module="some.module",
        purpose="Do nothing, in many words.",
        examples=("python -m some.module --steps=3",),
        settings=Example,
        main=main,
    )
    return made._replace(**changes)


def raising(error, *, built=False):
    def main(found):
        if built:
            found.check_all_used()
        raise error

    return command(main)


def test_run_hands_over_settings_and_returns_zero():
    seen = []
    code = cli.run(command(lambda found: seen.append(found)), ["--steps=3"])
    assert code == cli.EXIT_OK
    assert seen[0].config == Example(steps=3)


def test_run_returns_the_code_of_main():
    code = cli.run(command(lambda found: cli.EXIT_PREEMPTED), [])
    assert code == cli.EXIT_PREEMPTED


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--stepz=1"], "--stepz is not a setting of this command. Did you"),
        (["--zzzzzz=1"], "--zzzzzz is not a setting of this command.\n"),
        (["--steps=x"], "some.module: --steps=x is not possible: expected"),
        (["--steps"], "Missing value for flag --steps"),
        (["word"], "'word' is a stray word on the command line"),
        (["--resume", "false"], "'false' is a stray word"),
        (["--flagfile=/no/such"], "/no/such"),
        (["--verbosity=5"], "--verbosity=5 is not a known choice"),
        (["--seconds=1", "--time=2"], "two names of one setting"),
    ],
)
def test_usage_errors_are_one_line_and_exit_1(capfd, argv, message):
    assert cli.run(command(), argv) == cli.EXIT_USAGE
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 2
    assert err.splitlines()[1] == "Settings: python -m some.module --help"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("shots are\n  too many"), cli.EXIT_USAGE),
        (ImportError("old stack"), cli.EXIT_USAGE),
        (FileNotFoundError(2, "No such file", "/x"), cli.EXIT_DATA),
        (PermissionError(13, "Permission denied", "/x"), cli.EXIT_DATA),
        (FloatingPointError("D_loss is nan"), cli.EXIT_DIVERGED),
        (KeyboardInterrupt(), cli.EXIT_INTERRUPTED),
    ],
)
def test_errors_of_the_user_are_one_line(capfd, error, code):
    assert cli.run(raising(error), []) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("some.module: ")
    assert "Traceback" not in err
    assert len(err.splitlines()) == (2 if code == cli.EXIT_USAGE else 1)


def test_verbosity_adds_the_traceback(capfd):
    assert cli.run(raising(ValueError("no")), ["--verbosity=1"]) == 1
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert "some.module: no" in err


def test_value_error_after_building_is_ours_and_keeps_its_traceback():
    with pytest.raises(ValueError, match="our mistake"):
        cli.run(raising(ValueError("our mistake"), built=True), [])


def test_unknown_errors_keep_their_traceback():
    with pytest.raises(KeyError, match="our mistake"):
        cli.run(raising(KeyError("our mistake")), [])


def test_divergence_after_building_is_still_one_line(capfd):
    error = FloatingPointError("D_loss is nan")
    assert cli.run(raising(error, built=True), []) == cli.EXIT_DIVERGED
    assert "D_loss is nan" in capfd.readouterr().err


@pytest.mark.parametrize("word", ["--help", "-h", "--helpfull", "--helpshort"])
def test_help_goes_to_stdout_and_exits_0(capsys, word):
    assert cli.run(command(), ["--stepz=wrong", word]) == cli.EXIT_OK
    out, err = capsys.readouterr()
    assert out == cli.help_text(command())
    assert err == ""


def test_help_text_shows_sections_defaults_units_and_examples():
    text = cli.help_text(command())
    assert "\n  python -m some.module --steps=3\n" in text
    assert "\nA\n  --steps=1 steps\n      Steps. [a whole number >= 0]" in text
    assert "\nB\n  --seconds=none (also --time)\n" in text
    assert "Time. [a number, or none; seconds]" in text
    assert "--flagfile" in text
    assert f"  {cli.EXIT_PREEMPTED}   told to stop" in text


def test_help_of_training_fits_into_80_columns_and_names_every_setting():
    text = cli.help_text(command(settings=config.Config))
    assert max(map(len, text.splitlines())) <= 80
    for name in fields.describe(config.Config):
        assert f"\n  --{name}=" in text


def run_python(code, **environment):
    keep = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**keep, **environment},
        check=False,
    )


START = """
import sys
from tf_metagan import cli, config
def main(found):
    import tensorflow as tf
    print(tf.reduce_sum(tf.ones(3)).numpy())
command = cli.Command("some.module", "Try.", (), config.Config, main)
code = cli.run(command, %r)
%s
sys.exit(code)
"""


def test_help_does_not_import_tensorflow():
    check = "assert 'tensorflow' not in sys.modules"
    assert run_python(START % (["--help"], check)).returncode == 0
    # The wrong twin: a run without --help does import it.
    assert run_python(START % ([], check)).returncode != 0


def test_tensorflow_starts_in_silence():
    done = run_python(START % ([], ""))
    assert done.returncode == 0
    assert done.stdout == "3.0\n"
    assert done.stderr == ""


def test_tensorflow_log_level_of_the_user_is_respected():
    check = "import os; assert os.environ['TF_CPP_MIN_LOG_LEVEL'] == '0'"
    done = run_python(START % ([], check), TF_CPP_MIN_LOG_LEVEL="0")
    assert done.returncode == 0
    assert "oneDNN" in done.stderr


def test_wrong_stack_is_one_sentence():
    done = run_python(START % ([], ""), KERAS_BACKEND="jax")
    assert done.returncode == cli.EXIT_USAGE
    assert "unset KERAS_BACKEND" in done.stderr
    assert "Traceback" not in done.stderr
