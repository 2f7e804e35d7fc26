"""Commands and files of documents, as they stand there, run in their order.

Commands that would take minutes run with smaller sizes: `SMALLER` says which
words are added to which, and nothing else is changed. Commands that go on until
they are stopped are stopped when they have said that they are ready.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

from tf_metagan.data import prepared

SMALLER = {
    "tf_metagan.train": "--meta_steps=2 --image_every=2 --checkpoint_every=1 "
    "--log_every=1 --width=4 --inner_steps=2 --adapt_steps=2 --panel_tasks=1 "
    "--outer_decay_steps=none",
    "tf_metagan.critic": "--steps=4 --widths=4,4,8,8 --batch_size=8",
    "tf_metagan.evaluate": "--tasks=2 --samples=16 --curve_tasks=0",
    "tf_metagan.demo": "--listen=127.0.0.1:0 --noopen",
    "tensorboard": "--port=0",
}
"""{what a command runs: words that are added to it}."""

STANDS_FOR = {
    # What the Makefile does when the environment is there.
    "make demo": "python -m tf_metagan.train "
    "--flagfile=flags/glyphs_fomaml.flags --logdir=runs/demo",
    "--run=RUN": "--run=pretrained:mnist",
}
"""{words of a document: what a test puts in their place}."""

NOT_RUN = {
    "make test": "it is what runs this",
    ". .venv/bin/activate": "tests have an environment of their own",
}
"""{command: why no test runs it}."""

NEEDS = {
    "mnist": "mnist",
    "omniglot": "omniglot",
    "--run=RUN": "mnist",
}
"""{words of a command: data set that must be on the machine}."""

READY = {
    "tf_metagan.demo": "the page is at",
    "--listen=": "serving at",
    "tensorboard": "TensorBoard",
}
"""{what a command runs: what it says when it is ready, to be stopped then}."""

_SECONDS = 240


class Step(NamedTuple):
    """Something that a document asks its reader to do.

    Attributes:
      command: for the shell; "" where there is a file to write.
      path: of the file.
      text: of the file.
    """

    command: str
    path: str = ""
    text: str = ""

    def __str__(self) -> str:
        return self.command or self.path


def steps(text: str) -> list[Step]:
    """Return the commands of all sh blocks and the files of python blocks.

    Continued lines are joined, comments left out. A python block is a file if
    its first line is a comment with a path.
    """
    found = []
    for kind, block in re.findall(r"```(sh|python)\n(.*?)```", text, re.S):
        if kind == "sh":
            lines = re.sub(r"\\\n\s*", "", block).splitlines()
            commands = [line.partition("   #")[0].strip() for line in lines]
            found += [Step(command) for command in filter(None, commands)]
        elif path := re.match(r"# (\S+\.py)\n+", block):
            found.append(Step("", path[1], block[path.end() :]))
    return found


def smaller(command: str) -> str:
    """Return a command at the sizes of a test."""
    for words, others in STANDS_FOR.items():
        command = command.replace(words, others)
    for program, words in SMALLER.items():
        if re.search(rf"(^|-m ){re.escape(program)}\b", command):
            return f"{command} {words}"
    return command


def obstacle(command: str) -> str | None:
    """Return why a command cannot be run here, or None."""
    if command in NOT_RUN:
        return NOT_RUN[command]
    for words, dataset in NEEDS.items():
        if words in command and not prepared.version(dataset):
            return f"no {dataset}: set TFDS_DATA_DIR to where it lies"
    return None


def run(
    step: Step, folder: pathlib.Path, environment: Mapping[str, str]
) -> None:
    """Do what a document asks for, in a folder.

    Raises:
      AssertionError: it does not work.
    """
    if step.path:
        path = folder / step.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text)
        return
    said = next((READY[w] for w in READY if w in step.command), None)
    words = ["bash", "-euc", smaller(step.command)]
    log = folder / "command.log"
    with log.open("w") as output:
        started = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if said is None:
                started.wait(_SECONDS)
            else:
                _until(started, log, said)
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGTERM)
                started.wait(60)
    if said is None:
        assert started.returncode == 0, log.read_text()


def _until(started: subprocess.Popen, log: pathlib.Path, said: str) -> None:
    end = time.monotonic() + _SECONDS
    while said not in log.read_text():
        assert started.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)


def environment(folder: pathlib.Path, *, root: pathlib.Path) -> dict[str, str]:
    """Return the environment of commands: this Python, this package.

    Args:
      folder: with programs that stand for others, in "stubs".
      root: where the package is.
    """
    here = pathlib.Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{folder / 'stubs'}:{here}:{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
