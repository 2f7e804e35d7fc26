"""--strategy=multiworker: two processes on this machine train as one."""

import contextlib
import json
import signal
import socket
import time

import pytest

from tests import runs
from tests.end_to_end.conftest import LENGTH
from tf_metagan import cli, report

pytestmark = pytest.mark.slow


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
    said = [x.communicate(timeout=150)[1] for x in started]
    return [(x.returncode, y) for x, y in zip(started, said, strict=True)]


def wait_for(condition, started):
    while not condition() and all(x.poll() is None for x in started):
        time.sleep(0.01)


@pytest.fixture(scope="module")
def together(whole, tmp_path_factory):
    """Return (folder, what came) of the run of `whole` on two workers."""
    logdir = tmp_path_factory.mktemp("together") / "run"
    words = [f"--flagfile={whole.logdir}/run.flags"]
    with job(logdir, words) as started:
        return logdir, finish(started)


def test_two_workers_train_as_one_and_the_chief_alone_writes(whole, together):
    logdir, ended = together
    assert [code for code, _ in ended] == [cli.EXIT_OK] * 2, ended
    chief, other = (text for _, text in ended)
    assert f"{LENGTH} meta-steps done" in chief
    assert "worker 1 of 2" in other
    assert "meta-step " not in other
    assert len(list((logdir / "train").iterdir())) == 2  # a start and a file
    assert len(json.loads((logdir / "config.json").read_text())["devices"]) == 2
    lines = runs.metrics(logdir)
    assert len(lines) == LENGTH
    for a, b in zip(lines[:4], runs.metrics(whole.logdir), strict=False):
        # Sums of two tasks in another order, which RMSprop amplifies.
        assert a == pytest.approx(b, rel=1e-3)
    with pytest.raises(AssertionError):
        assert lines[1] == pytest.approx(lines[0], rel=1e-3)


def test_job_goes_on_after_a_worker_was_killed_and_one_told_to_stop(
    whole, together, tmp_path
):
    """Bit for bit as the run that nothing happened to."""
    logdir = tmp_path / "run"
    # Pictures slow it down, so that the signals come early.
    words = [f"--flagfile={whole.logdir}/run.flags", "--image_every=1"]
    middle = logdir / "ckpt" / f"ckpt-{LENGTH // 2}.index"
    lines = logdir / report.METRICS_FILE
    with job(logdir, words) as started:
        wait_for(middle.exists, started)
        started[1].send_signal(signal.SIGKILL)
        (code, text), (killed, _) = finish(started)
    assert killed == -signal.SIGKILL
    assert code == cli.EXIT_LOST, text
    assert "tf_metagan.train: another worker of the job is gone" in text
    with job(logdir, words) as started:
        wait_for(
            lambda: (
                f'"step": {LENGTH // 2 + 1},' in lines.read_text()
                and all(x.poll() is None for x in started)
            ),
            started,
        )
        started[1].send_signal(signal.SIGTERM)
        ended = finish(started)
    assert [code for code, _ in ended] == [cli.EXIT_PREEMPTED] * 2, ended
    assert f"going on from {middle.parent}/ckpt-{LENGTH // 2}" in ended[0][1]
    with job(logdir, words) as started:
        ended = finish(started)
    assert [code for code, _ in ended] == [cli.EXIT_OK] * 2, ended
    assert runs.metrics(logdir) == runs.metrics(together[0])
    runs.assert_same_variables(
        runs.variables(logdir), runs.variables(together[0])
    )
