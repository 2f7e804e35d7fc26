"""Run another command line of the package, and stop with it in good order."""

import shlex
import signal
import subprocess
import sys
import types
from pathlib import Path

from absl import logging


class Failed(Exception):
    """A command ended with an error; the text says which and why."""

    def __init__(self, text: str, code: int):
        super().__init__(text)
        self.code = code


class Terminated(Exception):
    """SIGTERM came while a command ran; it has ended and saved its state."""


def run(words: list[str], log: Path) -> None:
    """Run a command to its end; what it says goes to a file.

    SIGINT and SIGTERM are passed on, and waited for: the command saves its
    state.

    Raises:
      Failed: it ended with an error.
      KeyboardInterrupt: SIGINT came.
      Terminated: SIGTERM came.
    """
    logging.info("%s (log: %s)", shlex.join(["python", *words]), log)
    log.parent.mkdir(parents=True, exist_ok=True)
    stopped: list[int] = []
    with open(log, "ab") as file:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=file,
            stderr=file,
            start_new_session=True,
        )

        def pass_on(number: int, frame: types.FrameType | None) -> None:
            del frame
            stopped.append(number)
            process.send_signal(number)

        before = {
            number: signal.signal(number, pass_on)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    if signal.SIGTERM in stopped:
        raise Terminated
    if stopped:
        raise KeyboardInterrupt
    if code:
        text = log.read_text(encoding="utf-8", errors="replace").strip()
        reason = next(
            (
                line
                for line in reversed(text.splitlines())
                if not line.startswith("Settings: ")
            ),
            "no message",
        )
        raise Failed(f"exit code {code}: {reason}", code)
