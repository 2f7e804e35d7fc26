"""Commands, programs and files of documents, run as they stand, in their order.

Commands that would take minutes run with smaller sizes: `SMALLER` says which
words are added to which, and nothing else is changed. Commands that go on until
they are stopped are stopped when they have said that they are ready; servers,
at the end of the document.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

from tests import runs
from tf_metagan.data import prepared


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


SMALLER = {
    "tf_metagan.train --flagfile=flags/internal/singan_small": "--meta_steps=3 "
    "--width=4 --image_size=20 --log_every=1 --image_every=3 "
    "--checkpoint_every=3",
    "tf_metagan.train --flagfile=flags/internal": "--meta_steps=3 --width=4 "
    "--image_size=20 --features=8 --head_rank=2 --meta_batch=2 --log_every=1 "
    "--image_every=3 --checkpoint_every=3",
    # They begin with the weights of a model, and keep the size of its networks.
    "tf_metagan.train --flagfile=flags/ours_glyphs": "--meta_steps=2 "
    "--image_every=2 --checkpoint_every=1 --log_every=1 --panel_tasks=1",
    "tf_metagan.train --flagfile=flags/table/omniglot_fomaml": "--meta_steps=2 "
    "--image_every=2 --checkpoint_every=1 --log_every=1 --inner_steps=2 "
    "--adapt_steps=2 --panel_tasks=1 --outer_decay_steps=none",
    "tf_metagan.train": "--meta_steps=2 --image_every=2 --checkpoint_every=1 "
    "--log_every=1 --width=4 --inner_steps=2 --adapt_steps=2 --panel_tasks=1 "
    "--outer_decay_steps=none",
    "tf_metagan.table": "--rows=scratch --datasets=mnist --tasks=2 "
    "--samples=16 --nocurves",
    "tf_metagan.critic": "--steps=4 --widths=4,4,8,8 --batch_size=8",
    "tf_metagan.evaluate_photographs": "--samples=2 --levels=1 --photographs=1",
    "tf_metagan.evaluate": "--tasks=2 --samples=16 --curve_tasks=0",
    "tf_metagan.demo": "--listen=127.0.0.1:0 --noopen",
    "tensorboard": "--port=0",
    "benchmarks.page_latency": "--steps 1 --samples 4 --requests 1",
    "benchmarks.drawn_siblings": "--classes=2 --samples=4 --steps 1",
}
"""{what a command runs: words that are added to it; the first that fits}."""

STANDS_FOR = {
    "--run=RUN": "--run=pretrained:mnist",
    "--image_folder=FOLDER": "--image_folder=PHOTOS",
    "--run=runs/mnist_fomaml_001": "--run=pretrained:mnist",
    "steps_per_epoch=1000": "steps_per_epoch=1",
    "--finetune_steps=100": "--finetune_steps=1",
    # Another server may have the port.
    "127.0.0.1:8501": f"127.0.0.1:{_free_port()}",
}
"""{words of a document: what a test puts in their place}."""

NOT_RUN = {
    "make test": "it is what runs this",
    ". .venv/bin/activate": "tests have an environment of their own",
    "torchvision": "the weights are for who has that package",
    "grpc://": "tests/serving does, with a double of TensorFlow Serving",
}
"""{words of a command: why it is not run here}."""

NEEDS = {
    "mnist": "mnist",
    "omniglot": "omniglot",
    "--run=RUN": "mnist",
    "tf_metagan.table": "mnist",
    "benchmarks.drawn_siblings": "omniglot",
}
"""{words of a command: data set that must be on the machine}."""

PROGRAMS = {
    "curl": ("curl", "curl"),
    "tests.demo.pictures": ("chromedriver", "chromium-driver"),
}
"""{words of a command: (program that it needs, package of Debian)}."""

READY = {
    "tf_metagan.demo": "the page is at",
    "--listen=": "serving at",
    "tensorboard": "TensorBoard",
}
"""{what a command runs: what it says when it is ready, to be stopped then}."""

PRELUDE = """
import numpy as np
import tensorflow as tf
import tf_metagan
tasks = tf_metagan.tasks("glyphs", num_classes=5)
images = np.random.default_rng(0).uniform(-1, 1, [3, 32, 32, 1])
images = images.astype(np.float32)
"""
"""What fragments of programs take for granted."""

_SECONDS = 240


class Step(NamedTuple):
    """Something that a document asks its reader to do.

    Attributes:
      command: for the shell; "" where there is a file to write or a program.
      path: of the file.
      text: of the file or program.
    """

    command: str
    path: str = ""
    text: str = ""

    def __str__(self) -> str:
        return self.command or self.path or self.text.split("\n\n")[-1][:60]


def steps(text: str) -> list[Step]:
    """Return the commands of all sh blocks, and the python blocks.

    Lines that go on are joined, comments left out. A python block is a file if
    its first line is a comment with a path, and a program otherwise. Those with
    prompts are left to doctest.
    """
    found = []
    for kind, block in re.findall(r"```(sh|python)\n(.*?)```", text, re.S):
        if kind == "sh":
            lines = _joined(block)
            commands = [line.partition("  #")[0].strip() for line in lines]
            for command in filter(None, commands):
                done = _recipe("demo") if command == "make demo" else [command]
                found += map(Step, done)
        elif path := re.match(r"# (\S+\.py)\n+", block):
            found.append(Step("", path[1], block[path.end() :]))
        elif not block.startswith(">>>"):
            found.append(Step("", "", block))
    return found


def _recipe(target: str) -> list[str]:
    """Return what the Makefile does when the environment is there."""
    makefile = (runs.ROOT / "Makefile").read_text()
    recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.M)[1]
    lines = recipe.replace("$(BIN)/", "").splitlines()
    return [line.strip() for line in lines if not line.startswith("\t@")]


def _joined(block: str) -> list[str]:
    """Return commands: lines up to where neither \\ nor a quote goes on."""
    lines = [""]
    for line in re.sub(r"\\\n\s*", "", block).splitlines():
        lines[-1] += line
        if lines[-1].count("'") % 2 == 0:
            lines.append("")
    return lines


def placed(text: str) -> str:
    """Return a text with what stands for words of the documents."""
    for words, others in STANDS_FOR.items():
        text = text.replace(words, others)
    return text


def smaller(command: str) -> str:
    """Return a command at the sizes of a test."""
    command = placed(command)
    for program, words in SMALLER.items():
        if re.search(rf"(^|-m ){re.escape(program)}\b", command):
            return f"{command} {words}"
    return command


def obstacle(command: str) -> str | None:
    """Return why a command or program cannot be run here, or None."""
    for words, reason in NOT_RUN.items():
        if words in command:
            return reason
    for words, (program, package) in PROGRAMS.items():
        if words in command and not shutil.which(program):
            return f"no {program}: apt install {package}"
    for words, dataset in NEEDS.items():
        if words in command and not prepared.version(dataset):
            return f"no {dataset}: set TFDS_DATA_DIR to where it lies"
    return None


def run(
    step: Step, folder: pathlib.Path, environment: Mapping[str, str]
) -> subprocess.Popen | None:
    """Do what a document asks for, in a folder.

    Returns:
      A server that goes on, else None. `stop` ends it.

    Raises:
      AssertionError: it does not work.
    """
    if step.path:
        path = folder / step.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(step.text)
        return None
    said = next((READY[w] for w in READY if w in step.command), None)
    if step.command:
        words = ["bash", "-euc", smaller(step.command)]
    else:
        words = [sys.executable, "-c", PRELUDE + placed(step.text)]
    log = folder / f"{time.monotonic_ns()}.log"
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
            assert started.returncode == 0, log.read_text()
            return None
        _until(started, log, said)
    except BaseException:
        stop(started)
        raise
    if "--listen=" in step.command:
        return started
    stop(started)
    return None


def stop(started: subprocess.Popen) -> None:
    """End a server, or a command that takes too long."""
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(60)


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
