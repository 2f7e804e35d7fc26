"""--strategy=multiworker: two processes on this machine train as one."""

import contextlib
import json
import signal
import socket
import time

import pytest

from tests import runs
from tests.end_to_end.conftest import LENGTH
from tf_metagan import cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def ports(number):
    """Return ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


@contextlib.contextmanager
def job(logdir, words):
    """Start two workers; end what is left of them."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports(2)]}
    with contextlib.ExitStack() as stack:
        started = []
        for number in range(2):
            task = {"type": "worker", "index": number}
            process = runs.spawn(
                "tf_metagan.train",
                *words,
                "--strategy=multiworker",
                f"--logdir={logdir}",
                TF_CONFIG=json.dumps({"cluster": cluster, "task": task}),
                TF_CPP_MIN_LOG_LEVEL="2",
            )
            started.append(stack.enter_context(process))
            stack.callback(process.kill)
        yield started


def finish(started):
    """Wait for all workers: [(exit code, stderr)]."""
    said = [x.communicate(timeout=250)[1] for x in started]
    return [(x.returncode, y) for x, y in zip(started, said, strict=True)]


def wait_for(condition, started):
    while not condition() and all(x.poll() is None for x in started):
        time.sleep(0.01)


def test_two_workers_train_as_one_device_though_one_is_killed(whole, tmp_path):
    """To the last bit: with two tasks there is one order of adding them."""
    logdir = tmp_path / "run"
    words = [f"--flagfile={whole.logdir}/run.flags"]
    middle = logdir / "ckpt" / f"ckpt-{LENGTH // 2}.index"
    # Pictures slow it down, so that the signal comes early.
    with job(logdir, [*words, "--image_every=1"]) as started:
        wait_for(middle.exists, started)
        started[1].send_signal(signal.SIGKILL)
        (code, text), (killed, _) = finish(started)
    assert killed == -signal.SIGKILL
    assert code == cli.EXIT_LOST, text
    assert "tf_metagan.train: another worker of the job is gone" in text
    lines = runs.metrics(logdir)
    assert LENGTH // 2 <= len(lines) < LENGTH

    with job(logdir, words) as started:
        ended = finish(started)
    assert [code for code, _ in ended] == [cli.EXIT_OK] * 2, ended
    chief, other = (text for _, text in ended)
    assert f"going on from {middle.with_suffix('')}" in chief
    assert f"{LENGTH} meta-steps done" in chief
    assert "worker 1 of 2" in other
    assert "meta-step " not in other  # no progress
    # Two starts of one process each: a mark and a file.
    assert len(list((logdir / "train").iterdir())) == 4
    assert len(json.loads((logdir / "config.json").read_text())["devices"]) == 2
    assert len(runs.metrics(logdir)) == LENGTH
    runs.assert_same_variables(
        runs.variables(logdir), runs.variables(whole.logdir)
    )
