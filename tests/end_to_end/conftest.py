"""Runs that several tests look at; each process takes seconds."""

import os
import signal
import time
from typing import NamedTuple

import pytest
import tensorflow as tf
from absl import logging

from tests import runs
from tf_metagan import cli, report

LENGTH = 12  # meta-steps of the uninterrupted run


class Done(NamedTuple):
    """A command line that has ended."""

    code: int
    out: str
    err: str
    logdir: str


@pytest.fixture
def here(monkeypatch, capfd):
    """Run a command line in this process: (code, stdout, stderr)."""
    runs.keep_runtime(monkeypatch)
    before = logging.get_verbosity()
    # TensorFlow chatters on stderr when it first looks for devices.
    tf.config.list_logical_devices()

    def run(command, *words):
        capfd.readouterr()
        code = cli.run(command, words)
        return code, *capfd.readouterr()

    yield run
    logging.set_verbosity(before)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keep decoded images away from the user's cache."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


def train(logdir, *words):
    """Train in a fresh process."""
    code, out, err = runs.process(
        "tf_metagan.train", *words, f"--logdir={logdir}"
    )
    return Done(code, out, err, str(logdir))


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Return a run of LENGTH meta-steps without interruption."""
    return train(
        tmp_path_factory.mktemp("whole"),
        *runs.flags(
            **runs.TOY, meta_steps=LENGTH, checkpoint_every=6, image_every=6
        ),
    )


@pytest.fixture(scope="session")
def halves(whole, tmp_path_factory):
    """Return the same run in two processes, from its run.flags."""
    folder = tmp_path_factory.mktemp("halves")
    again = f"--flagfile={whole.logdir}/run.flags"
    first = train(folder, again, f"--meta_steps={LENGTH // 2}")
    return first, train(folder, again)


@pytest.fixture(scope="session")
def stopped(whole, tmp_path_factory):
    """Return the same run, stopped by SIGTERM, gone on with, and by SIGINT."""
    folder = tmp_path_factory.mktemp("stopped")
    words = (
        f"--flagfile={whole.logdir}/run.flags",
        f"--logdir={folder}",
        "--meta_steps=1000000",
        "--max_seconds=200",
        # Pictures slow it down, so that the signal comes early.
        "--image_every=1",
    )
    return [
        Done(*_stop(folder, words, number), str(folder))
        for number in (signal.SIGTERM, signal.SIGINT)
    ]


def _stop(folder, words, number):
    """Send a signal after two more meta-steps."""
    path = folder / report.METRICS_FILE
    before = len(runs.metrics(folder)) if path.exists() else 0
    with runs.spawn("tf_metagan.train", *words) as started:
        try:
            while started.poll() is None and (
                not path.exists() or path.read_text().count("\n") < before + 2
            ):
                time.sleep(0.01)
            started.send_signal(number)
            out, err = started.communicate(timeout=100)
        finally:
            started.kill()
    return started.returncode, out, err
