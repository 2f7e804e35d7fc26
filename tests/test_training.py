"""The training loop: when it logs, saves, stops and goes on."""

import itertools
import json
import os
import shutil
import signal
import types

import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from tests import runs
from tf_metagan import (
    assembly,
    cli,
    learner,
    report,
    resuming,
    training,
    workers,
)
from tf_metagan import settings as settings_lib
from tf_metagan.stop_signals import StopSignals

LENGTH = 4  # meta-steps


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Leave TensorFlow's threads alone, and draw no panel."""
    runs.keep_runtime(monkeypatch)
    blank = types.SimpleNamespace(
        picture=lambda vars: np.zeros([8, 8, 3], np.uint8)
    )
    monkeypatch.setattr(training, "make_panel", lambda *_: blank)


def train(folder, **changes):
    """Train a toy; returns the exit code."""
    logdir = folder and str(folder)
    values = {"meta_steps": LENGTH, "logdir": logdir, **changes}
    # No penalty: half the time.
    return training.train(runs.settings(penalty="none", **values))


def saved(folder):
    """Return the meta-steps of which there is a checkpoint."""
    names = os.listdir(os.path.join(folder, assembly.CHECKPOINTS))
    return sorted(
        int(name.removeprefix("ckpt-").removesuffix(".index"))
        for name in names
        if name.endswith(".index")
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        runs.keep_runtime(patch)
        assert train(folder, checkpoint_every=1, keep_checkpoints=9) == 0
    return folder


def assert_same_run(folder, other):
    assert runs.metrics(folder) == runs.metrics(other)
    runs.assert_same_variables(runs.variables(folder), runs.variables(other))


@pytest.fixture
def after_step(monkeypatch):
    """Do something in the middle of a meta-step: (number, action)."""

    def install(number, action):
        def step(self, tasks):
            if int(self.meta_step.numpy()) == number - 1:
                action()
            return real(self, tasks)

        monkeypatch.setattr(learner.Learner, "step", step)

    real = learner.Learner.step
    return install


# Stopping and going on.


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, cli.EXIT_PREEMPTED),
        (signal.SIGINT, cli.EXIT_INTERRUPTED),
    ],
)
def test_signal_finishes_the_meta_step_and_saves(
    whole, tmp_path, after_step, number, code
):
    handler = signal.getsignal(number)
    after_step(2, lambda: os.kill(os.getpid(), number))
    assert train(tmp_path) == code
    assert signal.getsignal(number) is handler
    assert saved(tmp_path) == [2]
    runs.assert_same_variables(
        runs.variables(tmp_path), runs.variables(whole, step=2)
    )
    assert not (tmp_path / "samples").exists()
    if number == signal.SIGTERM:
        assert train(tmp_path) == cli.EXIT_OK
        assert_same_run(tmp_path, whole)


def test_time_limit_saves_and_ends_well(whole, tmp_path):
    assert train(tmp_path, max_seconds=1e-9) == cli.EXIT_OK
    assert saved(tmp_path) == [1]
    runs.assert_same_variables(
        runs.variables(tmp_path), runs.variables(whole, step=1)
    )
    assert (tmp_path / "samples" / "step_000001.png").exists()


def test_run_goes_on_from_the_checkpoint_before_a_deleted_one(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    for path in (folder / "ckpt").glob("ckpt-4.*"):
        path.unlink()
    assert runs.checkpoint(folder).endswith("ckpt-3")
    assert train(folder) == cli.EXIT_OK
    # Line 4, which the run wrote before, is not there twice.
    assert_same_run(folder, whole)


def test_intervals_and_speed(tmp_path, monkeypatch):
    clock = itertools.count(100.0)
    monkeypatch.setattr(
        training,
        "time",
        types.SimpleNamespace(monotonic=lambda: next(clock)),
    )
    train(tmp_path, log_every=3, checkpoint_every=2, image_every=3)
    assert saved(tmp_path) == [2, 4]
    names = sorted(os.listdir(tmp_path / "samples"))
    assert names == ["step_000003.png", "step_000004.png"]
    text = (tmp_path / report.METRICS_FILE).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in lines] == [3, 4]
    # The clock is read once in each meta-step and once for each line: three
    # meta-steps of two tasks in four ticks, one in two.
    assert [x["tasks_per_second"] for x in lines] == [6 / 4, 2 / 2]


def test_picture_that_fails_costs_no_checkpoint(tmp_path, monkeypatch):
    def broken(vars):
        raise OSError("no space for pictures")

    monkeypatch.setattr(
        training,
        "make_panel",
        lambda *_: types.SimpleNamespace(picture=broken),
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match="no space for pictures"):
        train(None, meta_steps=1)
    # Without --logdir a run makes a folder for itself.
    assert saved(tmp_path / "runs" / "glyphs_fomaml_001") == [1]


# Divergence.


def test_diverged_state_is_neither_saved_nor_shown(tmp_path):
    # Finite in the first meta-step, which then moves the weights too far.
    with pytest.raises(
        FloatingPointError,
        match=r"diverged at meta-step 2: .*D_loss.* not finite: .*d/hidden/ker",
    ):
        train(
            tmp_path,
            outer_rate=1e30,
            log_every=4,
            checkpoint_every=1,
            image_every=1,
        )
    assert saved(tmp_path) == [1]
    assert os.listdir(tmp_path / "samples") == ["step_000001.png"]
    kept = tf.train.latest_checkpoint(str(tmp_path / "nonfinite"))
    assert kept.endswith("ckpt-1")


def test_signal_does_not_save_a_diverged_state(tmp_path, after_step):
    after_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(FloatingPointError, match="diverged at meta-step 2"):
        train(tmp_path, outer_rate=1e30, log_every=4)
    assert not (tmp_path / "ckpt").exists()


# Which checkpoint a folder offers.


@pytest.fixture(scope="module")
def classes():
    settings = runs.settings()
    return assembly.make_split(settings, assembly.load_images(settings))


def find(folder, split, **changes):
    settings = runs.settings(
        penalty="none", **{"meta_steps": LENGTH, "logdir": "else", **changes}
    )
    return resuming.find_checkpoint(settings, split, str(folder))


def test_folder_without_checkpoint_is_always_right(tmp_path, classes):
    assert find(tmp_path, classes, resume=False) is None
    assert find(tmp_path / "absent", classes) is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"meta_steps": 100},
        {"log_every": 7, "max_seconds": 5.0, "strategy": "one"},
        {"adapt_steps": 9, "panel_tasks": 2, "parallel_tasks": 1},
        {"task_mapping": "vectorized"},
    ],
)
def test_settings_without_effect_on_the_weights_may_change(
    whole, classes, changes
):
    found = find(whole, classes, **changes)
    assert found == str(whole / "ckpt" / f"ckpt-{LENGTH}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, r"other settings: --seed=1 \(was 0\)\. Repeat"),
        (
            {"meta_batch": 3, "inner_rate": 0.5},
            r"--inner_rate=0\.5 \(was 0\.0001\), --meta_batch=3 \(was 2\)",
        ),
        ({"algo": "maml"}, r"--algo=maml \(was fomaml\)"),
        ({"resume": False}, r"holds a run and --noresume was given\. Choose"),
    ],
)
def test_other_run_is_refused(whole, classes, changes, message):
    with pytest.raises(ValueError, match=message):
        find(whole, classes, **changes)


def test_length_may_not_change_when_the_schedule_depends_on_it(
    whole, tmp_path, classes
):
    folder = shutil.copytree(whole, tmp_path / "run")
    path = folder / settings_lib.CONFIG_FILE
    text = path.read_text()
    path.write_text(text.replace(': "constant"', ': "linear"'))
    with pytest.raises(ValueError, match=r"--meta_steps=5 \(was 4\)"):
        find(folder, classes, outer_schedule="linear", meta_steps=5)
    assert find(folder, classes, outer_schedule="linear")


def test_other_classes_are_refused(whole, classes):
    fewer = classes._replace(train=classes.train[1:])
    with pytest.raises(
        ValueError,
        match=r"on other classes: 8 for training and 2 for the test, .*"
        r"than the 7 and 2 found now\. Bring",
    ):
        find(whole, fewer)


def test_refused_run_is_left_untouched(whole):
    before = sorted(os.walk(whole))
    text = (whole / settings_lib.CONFIG_FILE).read_text()
    with pytest.raises(ValueError, match="--seed=1"):
        train(whole, seed=1)
    with pytest.raises(ValueError, match="--noresume"):
        train(whole, resume=False)
    assert sorted(os.walk(whole)) == before
    assert (whole / settings_lib.CONFIG_FILE).read_text() == text


# Small parts.


def test_flatten_gives_means_and_steps():
    flat = training.flatten(
        {"a": tf.constant([1.0, 2.0, 6.0]), "b": tf.constant(4.0)}
    )
    assert flat == {
        "a": 3.0,
        "a_step_01": 1.0,
        "a_step_02": 2.0,
        "a_step_03": 6.0,
        "b": 4.0,
    }
    # A single step is its own mean.
    assert training.flatten({"a": tf.constant([2.0])}) == {"a": 2.0}
    assert all(type(x) is float for x in flat.values())


@pytest.fixture
def summary():
    before = logging.get_verbosity()
    logging.set_verbosity(logging.INFO)
    yield
    logging.set_verbosity(before)


@pytest.mark.usefixtures("summary")
def test_dry_run_counts_parameters_and_writes_nothing(tmp_path, caplog, capsys):
    with caplog.at_level("INFO", logger="absl"):
        assert train(tmp_path / "run", dry_run=True) == cli.EXIT_OK
    # (256 + 1) 4 + 4 + 1 and (8 + 1) 4 + (4 + 1) 256.
    assert "parameters: D 1,033, G 1,316; 8 meta-train tasks" in caplog.text
    assert capsys.readouterr().out.startswith("--algo=fomaml\n")
    assert os.listdir(tmp_path) == []


def test_setting_of_no_part_is_refused(tmp_path):
    with pytest.raises(ValueError, match="--first_order_steps=3 has no effect"):
        train(tmp_path / "run", first_order_steps=3)
    assert os.listdir(tmp_path) == []


class Team(workers.Team):
    """A team in which another worker got SIGTERM, or nobody did."""

    def __init__(self, *others):
        self._others = others

    def any(self, flags):
        return tuple(a or b for a, b in zip(flags, self._others, strict=True))


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ((True, False, False), cli.EXIT_PREEMPTED),
        ((False, True, False), cli.EXIT_INTERRUPTED),
        ((False, False, False), cli.EXIT_OK),
    ],
)
def test_signal_of_another_worker_stops_this_one(others, code):
    with StopSignals(Team(*others)) as signals:
        assert not signals.agree(late=False)
    assert signals.exit_code == code


def test_own_signal_counts_when_all_know_of_it():
    with StopSignals(Team(False, False, True)) as signals:
        signal.raise_signal(signal.SIGTERM)
        assert signals.received is None
        assert signals.agree(late=False)
    assert signals.exit_code == cli.EXIT_PREEMPTED


@pytest.mark.parametrize(
    ("strategy", "kind"),
    [
        ("one", tf.errors.UnavailableError),
        ("multiworker", cli.LostWorkerError),
    ],
)
def test_only_a_job_of_several_workers_loses_one(monkeypatch, strategy, kind):
    def make(settings):
        raise tf.errors.UnavailableError(None, None, "reset by peer")

    monkeypatch.setattr(assembly, "make_strategy", make)
    with pytest.raises(kind, match=r"reset by peer|worker of the job is gone"):
        train(None, strategy=strategy)
