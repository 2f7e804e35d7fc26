"""Commands in processes of their own, stopped and failing."""

import os
import signal
import sys
import threading
import time

import pytest

from tf_metagan import subcommand

# Ends in good order at a signal, as training does.
_WAITS = """
import pathlib, signal, sys, time
stopped = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: stopped.append(number))
pathlib.Path(sys.argv[1]).touch()
while not stopped:
    time.sleep(0.01)
pathlib.Path(sys.argv[1]).write_text("saved")
sys.exit(42)
"""


def test_output_goes_to_the_log(tmp_path):
    log = tmp_path / "some" / "log"
    for word in ("first", "second"):
        subcommand.run(["-c", f"import sys; sys.stderr.write('{word} ')"], log)
    assert log.read_text() == "first second "


def test_failure_tells_code_and_last_line(tmp_path):
    code = "import sys; print('x: it is wrong\\nSettings: --help'); sys.exit(3)"
    with pytest.raises(
        subcommand.Failed, match=r"^exit code 3: x: it is wrong$"
    ) as failed:
        subcommand.run(["-c", code], tmp_path / "log")
    assert failed.value.code == 3
    with pytest.raises(subcommand.Failed, match="exit code 1: no message"):
        subcommand.run(["-c", "import sys; sys.exit(1)"], tmp_path / "empty")


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGINT, KeyboardInterrupt),
        (signal.SIGTERM, subcommand.Terminated),
    ],
)
def test_signals_reach_the_command_and_are_waited_for(tmp_path, number, error):
    before = signal.getsignal(number)
    file = tmp_path / "file"

    def send():
        while not file.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(error):
        subcommand.run(["-c", _WAITS, str(file)], tmp_path / "log")
    sender.join()
    assert file.read_text() == "saved"
    assert signal.getsignal(number) is before


def test_command_runs_in_this_python(tmp_path):
    code = "import sys; print(sys.executable, end='')"
    subcommand.run(["-c", code], tmp_path / "log")
    assert (tmp_path / "log").read_text() == sys.executable
