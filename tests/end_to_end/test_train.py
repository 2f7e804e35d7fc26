"""python -m tf_metagan.train: what it leaves, goes on with, and refuses."""

import dataclasses
import json
import os
import pathlib
import re
import time

import numpy as np
import PIL.Image
import pytest
from tensorboard.backend.event_processing import plugin_event_accumulator

from tests import runs
from tests.end_to_end.conftest import LENGTH
from tf_metagan import (
    assembly,
    cli,
    fields,
    report,
    settings,
    stopwatch,
    train,
    trained_runs,
    training,
)
from tf_metagan.config import Config
from tf_metagan.data import base as data

TOY = runs.flags(**runs.TOY)
FLAGFILES = [
    path
    for path in sorted((runs.ROOT / "flags").glob("*.flags"))
    if not path.stem.startswith("critic")
]

SCALARS = (
    "D_loss",
    "G_loss",
    "D_val",
    "G_val",
    "wasserstein_estimate",
    "gradient_penalty",
    "grad_norm_outer_D",
    "grad_norm_outer_G",
    "inner_update_norm_D",
    "inner_update_norm_G",
    "tasks_per_second",
)
PER_STEP = SCALARS[:6]


# What a run leaves.


def test_run_ends_well_and_says_where_the_picture_is(whole):
    assert whole.code == cli.EXIT_OK
    assert whole.out == ""
    lines = whole.err.splitlines()
    picture = f"{whole.logdir}/samples/step_{LENGTH:06d}.png"
    assert lines[0].startswith("INFO:absl:parameters: D 1,033, G 1,316; 8 meta")
    assert lines[-1].endswith(f"{LENGTH} meta-steps done, picture: {picture}")
    # Nothing but progress: no chatter of TensorFlow.
    assert [x for x in lines if not x.startswith("INFO:absl:")] == []
    assert len(lines) == LENGTH + 2


def test_run_leaves_every_file(whole):
    left = {
        path.relative_to(whole.logdir).as_posix()
        for path in pathlib.Path(whole.logdir).rglob("*")
        if path.is_file() and "tfevents" not in path.name
    }
    assert left == {
        "config.json",
        "run.flags",
        "split.json",
        "metrics.jsonl",
        "samples/step_000006.png",
        "samples/step_000012.png",
        "ckpt/checkpoint",
        *(
            f"ckpt/ckpt-{step}.{kind}"
            for step in (6, 12)
            for kind in ("index", "data-00000-of-00001")
        ),
    }


def test_metrics_have_the_names_of_the_specification(whole):
    text = pathlib.Path(whole.logdir, report.METRICS_FILE).read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in lines] == list(range(1, LENGTH + 1))
    steps = [f"{name}_step_0{i}" for name in PER_STEP for i in (1, 2)]
    for line in lines:
        assert set(line) == {"step", "run", *stopwatch.CLOCKS, *SCALARS, *steps}
        for name in PER_STEP:
            mean = (line[f"{name}_step_01"] + line[f"{name}_step_02"]) / 2
            assert line[name] == pytest.approx(mean, rel=1e-5)


def test_tensorboard_has_scalars_and_the_panel(whole):
    found = {}
    for run in report.RUNS:
        events = plugin_event_accumulator.EventAccumulator(
            os.path.join(whole.logdir, run)
        ).Reload()
        for tag in events.Tags()["tensors"]:
            found[tag] = [event.step for event in events.Tensors(tag)]
    assert set(SCALARS) <= set(found)
    assert found["D_loss"] == list(range(1, LENGTH + 1))
    assert found[report.PANEL_TAG] == [6, 12]


def test_pictures_show_what_training_changes(whole):
    pictures = []
    for step in (6, 12):
        path = f"{whole.logdir}/samples/step_{step:06d}.png"
        with PIL.Image.open(path) as file:
            pictures.append(np.asarray(file))
    before, after = pictures
    assert before.shape == after.shape
    different = np.where((before != after).any(axis=(0, 2)))[0]
    # The first and the last of four columns, support and scratch, stay.
    width = before.shape[1]
    assert width / 4 < different.min()
    assert different.max() < 3 * width / 4 + 20


def test_config_reloads_to_the_settings_of_the_run(whole):
    loaded = settings.load(whole.logdir, Config)
    asked = {**runs.TOY, "meta_steps": LENGTH, "logdir": whole.logdir}
    asked |= {"checkpoint_every": 6, "image_every": 6}
    data_dir = os.environ.get("TFDS_DATA_DIR")
    assert loaded.config == Config(**asked, data_dir=data_dir)
    record = json.loads(pathlib.Path(whole.logdir, "config.json").read_text())
    assert set(record["given"]) == set(asked)
    assert "cross_player" not in record["used"]
    assert record["devices"] == ["/device:CPU:0"]


def test_split_is_that_of_the_data_set(whole):
    split = data.load_split(f"{whole.logdir}/split.json")
    assert split.train == tuple(range(8))
    assert split.test == (8, 9)


# Repeating and going on.


def test_run_flags_repeat_the_run_and_resume_changes_no_bit(whole, halves):
    first, second = halves
    assert (first.code, second.code) == (cli.EXIT_OK, cli.EXIT_OK), second.err
    assert f"going on from {first.logdir}/ckpt/ckpt-6" in second.err
    lines = runs.metrics(whole.logdir)
    assert runs.metrics(first.logdir) == lines
    # The wrong twin: lines are not all alike.
    assert lines[0] != lines[1]
    runs.assert_same_variables(
        runs.variables(first.logdir), runs.variables(whole.logdir)
    )
    with pytest.raises(AssertionError):
        runs.assert_same_variables(
            runs.variables(first.logdir, step=6), runs.variables(whole.logdir)
        )


@pytest.mark.slow
def test_signals_save_and_leave_with_their_code(whole, stopped):
    terminated, interrupted = stopped
    assert terminated.code == cli.EXIT_PREEMPTED, terminated.err
    assert interrupted.code == cli.EXIT_INTERRUPTED, interrupted.err
    for done in stopped:
        assert "Traceback" not in done.err
    saved = re.search(r"going on from .*/ckpt-(\d+)", interrupted.err)
    last = int(runs.checkpoint(interrupted.logdir).rpartition("-")[2])
    assert 2 <= int(saved[1]) < last


@pytest.mark.slow
def test_stopped_run_goes_on_as_if_nothing_had_happened(whole, stopped):
    lines = runs.metrics(stopped[1].logdir)
    last = int(runs.checkpoint(stopped[1].logdir).rpartition("-")[2])
    assert [line["step"] for line in lines] == list(range(1, last + 1))
    assert lines[:LENGTH] == runs.metrics(whole.logdir)[: len(lines)]


def test_finished_run_is_left_as_it_is(here, whole):
    before = runs.variables(whole.logdir)
    code, _, _ = here(train.COMMAND, f"--flagfile={whole.logdir}/run.flags")
    assert code == cli.EXIT_OK
    assert runs.checkpoint(whole.logdir).endswith(f"ckpt-{LENGTH}")
    runs.assert_same_variables(runs.variables(whole.logdir), before)
    assert len(runs.metrics(whole.logdir)) == LENGTH


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("--noresume", "holds a run and --noresume was given"),
        ("--seed=1", "holds a run with other settings: --seed=1 (was 0)"),
    ],
)
def test_run_is_not_gone_on_with_as_another(here, whole, word, part):
    before = sorted(os.walk(whole.logdir))
    done = here(train.COMMAND, f"--flagfile={whole.logdir}/run.flags", word)
    assert_one_line(done, cli.EXIT_USAGE, f"--logdir={whole.logdir} {part}")
    assert sorted(os.walk(whole.logdir)) == before


# Divergence.


def test_divergence_names_step_metric_and_weights(tmp_path):
    code, out, err = runs.process(
        "tf_metagan.train",
        *TOY,
        "--inner_rate=1e30",
        "--meta_steps=5",
        "--log_every=5",
        f"--logdir={tmp_path}",
    )
    assert code == cli.EXIT_DIVERGED
    assert out == ""
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith(
        "tf_metagan.train: training diverged at meta-step 1: D_loss,"
    )
    assert "grad_norm_outer_G" in last
    assert "not finite: d/head/" in last
    assert "g/paint/kernel" in last
    assert f"The state before that step is {tmp_path}/nonfinite/ckpt-0." in last
    assert (tmp_path / "nonfinite" / "ckpt-0.index").exists()
    assert runs.checkpoint(tmp_path) is None


# Errors in one line.


def assert_one_line(done, code, *words):
    found, _, err = done
    lines = [x for x in err.splitlines() if not x.startswith("INFO:")]
    assert found == code, err
    assert lines[0].startswith("tf_metagan.train: ")
    for word in words:
        assert word in lines[0]
    hint = ["Settings: python -m tf_metagan.train --help"]
    assert lines[1:] == (hint if code == cli.EXIT_USAGE else [])


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--inner_step=3"], ["--inner_step is not", "mean --inner_steps?"]),
        (["--resume", "false"], ["'false' is a stray word"]),
        (["--algo=mamml"], ["--algo=mamml is not", "Did you mean 'maml'?"]),
        (["--precision=float8"], ["--precision=float8", "Known: float32, mix"]),
        (
            ["--cross_player=stop"],
            ["--cross_player=stop has no effect with --algo=fomaml."],
        ),
        (
            ["--data_dir=somewhere"],
            ["--data_dir=somewhere has no effect with --dataset=glyphs."],
        ),
        (
            ["--image_folder=somewhere"],
            ["--image_folder=somewhere has no effect with --dataset=glyphs."],
        ),
        (
            ["--inner_momentum=0.5"],
            ["--inner_momentum=0.5 has no effect with --inner_optimizer=rms"],
        ),
        (["--n_critic=2"], ["--n_critic=2 needs --update_order=sequential"]),
        (
            ["--architecture=dcgan", "--image_size=20"],
            ["--image_size=20 does not suit", "Use --image_size=16."],
        ),
        (
            ["--strategy=mirrored"],
            ["--strategy=mirrored needs two devices", "Use --strategy=one"],
        ),
        (
            ["--shots=8"],
            ["--shots=8 needs 9 images", "has 8. Use --shots=7"],
        ),
        (["--inner_steps=0"], ["--inner_steps=0", "Use --inner_steps=1"]),
        (["--test_classes=99"], ["unknown class ids 99", "ids 0 to 9"]),
        (["--dataset=folder"], ["--image_folder is not set"]),
    ],
)
def test_wrong_setting_is_one_line_and_starts_nothing(
    here, tmp_path, words, parts
):
    if words == ["--dataset=folder"]:
        size = runs.flags(**runs.NETWORKS, **runs.LOOP)
    else:
        size = TOY
    done = here(train.COMMAND, *size, *words, f"--logdir={tmp_path / 'run'}")
    assert_one_line(done, cli.EXIT_USAGE, *parts)
    assert not (tmp_path / "run").exists()


def test_unknown_flag_ends_a_process_with_1_and_without_traceback():
    done = runs.process("tf_metagan.train", "--inner_step=3")
    assert_one_line(done, cli.EXIT_USAGE, "Did you mean --inner_steps?")


@pytest.fixture
def from_folder(here, tmp_path):
    """Train on the pictures in tmp_path/images."""
    size = runs.flags(**runs.NETWORKS, **runs.LOOP, meta_steps=1)

    def run(*words):
        return here(
            train.COMMAND,
            *size,
            "--dataset=folder",
            f"--image_folder={tmp_path / 'images'}",
            f"--logdir={tmp_path / 'run'}",
            *words,
        )

    return run


def test_broken_picture_is_named(from_folder, tmp_path):
    runs.write_classes(tmp_path / "images", [3, 3])
    (tmp_path / "images" / "a" / "cat.png").write_bytes(b"no picture")
    assert_one_line(
        from_folder(), cli.EXIT_DATA, "images/a/cat.png cannot be read"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("numbers", "parts"),
    [
        ([3, 1], ["class 'b' of", "has a single picture"]),
        ([], ["images has no subfolder with pictures"]),
        ([3], ["1 test classes asked of a data set with 1"]),
    ],
)
def test_folder_without_enough_pictures_is_refused(
    from_folder, tmp_path, numbers, parts
):
    (tmp_path / "images").mkdir()
    runs.write_classes(tmp_path / "images", numbers)
    assert_one_line(from_folder(), cli.EXIT_USAGE, *parts)
    assert not (tmp_path / "run").exists()


def test_too_many_shots_for_a_test_class_are_refused_at_once(
    from_folder, tmp_path
):
    runs.write_classes(tmp_path / "images", [5, 5, 2])
    done = from_folder("--shots=3", "--test_classes=2")
    assert_one_line(done, cli.EXIT_USAGE, "--shots=3 needs 4", "'c' has 2")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("blank_pictures")
def test_grey_and_colour_pictures_need_a_decision(from_folder, tmp_path):
    runs.write_classes(tmp_path / "images", [3, 3, 3])
    runs.write_pictures(tmp_path / "images" / "a", 2, mode="RGB")
    assert_one_line(
        from_folder("--channels=none"),
        cli.EXIT_USAGE,
        "L0.png is grey and",
        "RGB0.png is in colour",
        "Choose with --channels=1 or --channels=3",
    )
    assert not (tmp_path / "run").exists()
    code, _, err = from_folder("--channels=3")
    assert code == cli.EXIT_OK, err
    weights = runs.variables(tmp_path / "run")
    assert weights["params.d.hidden.kernel"].shape == (16 * 16 * 3, 4)


@pytest.mark.usefixtures("blank_pictures")
def test_run_does_not_go_on_with_another_data_set(from_folder, tmp_path):
    runs.write_classes(tmp_path / "images", [3, 3, 3])
    assert from_folder()[0] == cli.EXIT_OK
    before = runs.variables(tmp_path / "run")
    runs.write_classes(tmp_path / "images", [3, 3, 3, 3])
    done = from_folder("--meta_steps=2")
    assert_one_line(
        done, cli.EXIT_USAGE, "holds a run on other classes: 2 for", "the 3 and"
    )
    runs.assert_same_variables(runs.variables(tmp_path / "run"), before)


def test_absent_data_without_network_fails_at_once_and_says_what_to_do(
    tmp_path,
):
    began = time.monotonic()
    done = runs.process(
        "tf_metagan.train",
        "--dataset=omniglot",
        f"--logdir={tmp_path / 'run'}",
        TFDS_DATA_DIR=str(tmp_path),
        # Nobody listens there: the same as no network, on every machine.
        https_proxy="http://127.0.0.1:9",
    )
    assert time.monotonic() - began < 60  # on a busy machine; 217 s before
    code, out, err = done
    assert (code, out) == (cli.EXIT_DATA, "")
    last = err.splitlines()[-1]
    assert last.startswith(f"tf_metagan.train: omniglot is not in {tmp_path}")
    assert "no network" in last
    assert "--data_dir" in last
    assert "use --dataset=glyphs, which needs no files" in last
    assert "Traceback" not in err
    assert "Retrying" not in err
    assert not (tmp_path / "run").exists()


def test_logdir_that_is_a_file_is_one_line(here, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = here(train.COMMAND, *TOY, f"--logdir={tmp_path / 'file'}")
    assert_one_line(done, cli.EXIT_DATA, str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


# Help and dry run.


def test_help_is_instant_and_names_the_defaults():
    code, out, err = runs.process(
        "",
        code="import sys, runpy\n"
        "sys.argv = ['train', '--help']\n"
        "try:\n"
        "    runpy.run_module('tf_metagan.train', run_name='__main__')\n"
        "finally:\n"
        "    assert 'tensorflow' not in sys.modules\n"
        "    assert 'keras' not in sys.modules\n",
    )
    assert (code, err) == (cli.EXIT_OK, "")
    assert "usage: python -m tf_metagan.train" in out
    assert "--algo=fomaml" in out


def test_dry_run_prints_settings_that_give_the_same_run(here, tmp_path):
    logdir = tmp_path / "run"
    words = [*TOY, "--algo=metasgd", f"--logdir={logdir}"]
    code, out, _ = here(train.COMMAND, *words, "--dry_run")
    assert code == cli.EXIT_OK
    assert not logdir.exists()
    values = dict(
        line.removeprefix("--").split("=", 1) for line in out.splitlines()
    )
    described = fields.describe(Config)
    assert list(values) == list(described)
    printed = {n: fields.parse(described[n], v) for n, v in values.items()}
    # Meta-SGD's own defaults are among them.
    assert (printed["inner_rate"], printed["loss"]) == (0.01, "non_saturating")
    asked = runs.settings(algo="metasgd", logdir=str(logdir), dry_run=True)
    asked = assembly.with_algorithm_defaults(asked).config
    data_dir = os.environ.get("TFDS_DATA_DIR")
    assert Config(**printed) == dataclasses.replace(asked, data_dir=data_dir)


# Every way of training.


@pytest.fixture
def variant(here, tmp_path):
    """Train two meta-steps in this process: (**settings) -> folder."""

    def run(**changes):
        values = {**runs.TOY, "meta_steps": 2, "checkpoint_every": 1}
        folder = tmp_path / str(len(os.listdir(tmp_path)))
        code, _, err = here(
            train.COMMAND,
            *runs.flags(**{**values, **changes}),
            f"--logdir={folder}",
        )
        assert code == cli.EXIT_OK, err
        return folder

    return run


@pytest.fixture
def blank_pictures(monkeypatch):
    """Draw no panel, which is a third of the time of a run this short."""

    class Blank:
        def picture(self, vars):
            return np.zeros([8, 8, 3], np.uint8)

    monkeypatch.setattr(training, "make_panel", lambda *_: Blank())


def moved(folder, kind, *, steps=(1, 2)):
    """Return the variables of a kind that change from step to step."""
    before, after = (runs.variables(folder, step=step) for step in steps)
    return [
        name
        for name in runs.changed(before, after)
        if name.startswith(f"{kind}.")
    ]


def every(folder, kind, *, but="nothing"):
    """Return all variables of a kind, sorted."""
    return sorted(
        name
        for name in runs.variables(folder)
        if name.startswith(f"{kind}.") and but not in name
    )


# The Wasserstein losses do not depend on the last bias of the critic.
IDLE = "head.bias"


def test_fomaml_learns_every_weight(whole):
    everything = every(whole.logdir, "params", but=IDLE)
    assert moved(whole.logdir, "params", steps=(6, 12)) == everything
    assert len(everything) == 7
    assert every(whole.logdir, "inner") == []


@pytest.mark.usefixtures("blank_pictures")
def test_maml_learns_weights_and_initial_statistics(variant):
    folder = variant(
        algo="maml",
        inner_statistics="learned",
        rates_outer_rate=0.1,
        step_weights="annealed",
        outer_clip_norm=1.0,
        outer_clip_value=0.1,
    )
    assert moved(folder, "params") == every(folder, "params", but=IDLE)
    assert moved(folder, "inner") == every(folder, "inner", but=IDLE)
    assert len(every(folder, "inner")) == 8


@pytest.mark.usefixtures("blank_pictures")
def test_metasgd_learns_weights_and_rates(variant):
    folder = variant(algo="metasgd", inner_steps=1)
    # Non-saturating by itself, hence the last bias counts.
    assert moved(folder, "params") == every(folder, "params")
    assert moved(folder, "inner") == every(folder, "inner")
    assert len(every(folder, "inner")) == 8


@pytest.mark.usefixtures("blank_pictures")
def test_reptile_learns_every_weight_with_two_critic_steps(variant, whole):
    folder = variant(
        algo="reptile", update_order="sequential", n_critic=2, outer_rate=0.1
    )
    assert moved(folder, "params") == every(folder, "params", but=IDLE)
    # Rates of RMSprop's first steps: two moves of D for one of G.
    first = runs.metrics(folder)[0]
    simultaneous = runs.metrics(whole.logdir)[0]
    longer = {
        p: first[f"inner_update_norm_{p}"]
        / simultaneous[f"inner_update_norm_{p}"]
        for p in "DG"
    }
    assert longer["D"] > 1.3
    assert longer["G"] == pytest.approx(1.0, rel=0.15)


def test_scratch_learns_nothing(variant):
    folder = variant(algo="scratch")
    loaded = trained_runs.load_run(str(folder))
    assert loaded.meta_step == 0
    for player, leaves in loaded.algorithm.init(0).params.items():
        for leaf, value in leaves.items():
            kept = loaded.vars.params[player][leaf]
            np.testing.assert_array_equal(kept, value)


@pytest.mark.usefixtures("blank_pictures")
def test_tasks_as_a_tensor_axis_train_alike(variant, whole):
    folder = variant(task_mapping="vectorized")
    assert "--task_mapping=vectorized" in (folder / "run.flags").read_text()
    ours, theirs = runs.metrics(folder), runs.metrics(whole.logdir)[:2]
    for line, wanted in zip(ours, theirs, strict=True):
        assert sorted(line) == sorted(wanted)
        for name, value in wanted.items():
            if not isinstance(value, str):
                # Single precision, sums in another order, two RMSprops.
                np.testing.assert_allclose(line[name], value, 1e-3, 1e-6)


@pytest.mark.usefixtures("blank_pictures")
def test_rates_of_layers_are_learned(variant):
    folder = variant(learned_rates="layer_step", rates_outer_rate=0.01)
    assert moved(folder, "params") == every(folder, "params", but=IDLE)
    assert moved(folder, "inner") == every(folder, "inner", but=IDLE)
    assert len(every(folder, "inner")) == 8


@pytest.mark.usefixtures("blank_pictures")
def test_moving_average_and_carried_statistics(variant, whole):
    folder = variant(ema=0.5, inner_statistics="carried")
    # The average begins at the weights of the first meta-step and takes half
    # of what is new.
    loaded = trained_runs.load_run(str(folder))
    averaged = loaded.vars.params["g"]["hidden/kernel"]
    name = "params.g.hidden.kernel"
    before = runs.variables(folder, step=1)[name]
    after = runs.variables(folder)[name]
    expected = 0.5 * before + 0.5 * after
    np.testing.assert_allclose(averaged, expected, rtol=1e-5, atol=1e-7)
    assert not np.array_equal(averaged, after)
    # Statistics: the first meta-step starts from zeros as ever, the second
    # does not, which makes its steps shorter.
    assert moved(folder, "state") == every(folder, "state", but=IDLE)
    assert len(every(folder, "state")) == 8
    carried, reset = (
        [line["inner_update_norm_G"] for line in runs.metrics(logdir)]
        for logdir in (folder, whole.logdir)
    )
    assert carried[0] == pytest.approx(reset[0], rel=1e-4)
    assert carried[1] < 0.9 * reset[1]


@pytest.mark.usefixtures("blank_pictures")
def test_few_shots_of_turned_and_distorted_classes(variant, caplog):
    with caplog.at_level("INFO", logger="absl"):
        folder = variant(
            shots=2, rotate_classes=True, elastic=1.5, inner_optimizer="adam"
        )
    assert "; 32 meta-train tasks of 8 classes; 2 meta-test" in caplog.text
    assert moved(folder, "params") == every(folder, "params", but=IDLE)


@pytest.mark.usefixtures("blank_pictures")
def test_part_of_the_weights_adapts_and_part_is_learned(variant):
    folder = variant(
        adapt="d/head/*",
        meta_learn="g/*",
        loss="hinge",
        penalty="r1",
        outer_optimizer="adam",
        outer_schedule="cosine",
    )
    assert moved(folder, "params") == every(folder, "params", but=".d.")
    lines = runs.metrics(folder)
    assert all(line["inner_update_norm_G"] == 0.0 for line in lines)
    assert all(line["inner_update_norm_D"] > 0.0 for line in lines)


def test_bfloat16_is_near_float32_and_keeps_float32_weights(variant, whole):
    folder = variant(precision="mixed_bfloat16")
    kinds = {
        value.dtype.name
        for name, value in runs.variables(folder).items()
        if name.startswith(("params", "optimizer"))
    }
    assert kinds <= {"float32", "int32", "int64"}
    a, b = runs.metrics(folder)[0], runs.metrics(whole.logdir)[0]
    for name in ("D_loss", "G_loss"):
        assert a[name] != b[name]
        # Numbers of 8 bits: 0.4 % an operation, times a few of them.
        assert a[name] == pytest.approx(b[name], rel=0.03)


MIRRORED = """
import sys
import tensorflow as tf
cpu, = tf.config.list_physical_devices("CPU")
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
from tf_metagan import cli, train
sys.exit(cli.run(train.COMMAND))
"""


@pytest.mark.slow
def test_two_devices_train_as_one_and_stop_and_go_on(whole, tmp_path):
    words = [
        f"--flagfile={whole.logdir}/run.flags",
        "--strategy=mirrored",
        f"--logdir={tmp_path}",
    ]
    for steps in (2, 4):
        code, _, err = runs.process(
            "",
            *words,
            f"--meta_steps={steps}",
            code=MIRRORED,
            TF_CPP_MIN_LOG_LEVEL="2",
        )
        assert code == cli.EXIT_OK, err
    assert f"going on from {tmp_path}/ckpt/ckpt-2" in err
    record = json.loads((tmp_path / "config.json").read_text())
    assert len(record["devices"]) == 2
    lines = runs.metrics(tmp_path)
    assert len(lines) == 4
    for a, b in zip(lines, runs.metrics(whole.logdir), strict=False):
        # Sums of two tasks in another order, which RMSprop amplifies.
        for name in SCALARS[:-1]:
            assert a[name] == pytest.approx(b[name], rel=1e-3)


# Flag files.


def resolve(path, *words):
    """Return the settings of a flag file and further words."""
    found = []
    command = train.COMMAND._replace(main=found.append)
    assert cli.run(command, [f"--flagfile={path}", *words]) == cli.EXIT_OK
    return found[0].config


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)
def test_flag_file_begins_with_its_command(path):
    header = []
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            break
        header.append(line)
    command = f"python -m tf_metagan.train --flagfile=flags/{path.name}"
    assert any(command in line for line in header)


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)
def test_flag_file_builds_on_glyphs(here, monkeypatch, path):
    monkeypatch.chdir(runs.ROOT)
    code, out, err = here(
        train.COMMAND,
        f"--flagfile={path}",
        "--dataset=glyphs",
        "--num_classes=10",
        "--images_per_class=8",
        "--dry_run",
    )
    assert code == cli.EXIT_OK, err
    assert out.startswith("--algo=")


@pytest.mark.slow
@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)
def test_flag_file_builds_on_its_own_data(here, monkeypatch, path):
    monkeypatch.chdir(runs.ROOT)
    dataset = resolve(path).dataset
    if dataset != "glyphs" and not os.environ.get("TFDS_DATA_DIR"):
        pytest.skip("real data: set TFDS_DATA_DIR to a folder that has them")
    code, _, err = here(train.COMMAND, f"--flagfile={path}", "--dry_run")
    assert code == cli.EXIT_OK, err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dataset", "test_classes"), [("mnist", 3), ("omniglot", 659)]
)
def test_real_data_trains(here, tmp_path, dataset, test_classes):
    if not os.environ.get("TFDS_DATA_DIR"):
        pytest.skip("real data: set TFDS_DATA_DIR to a folder that has them")
    changes = {"architecture": "dcgan", "width": 4, "image_size": 32}
    code, _, err = here(
        train.COMMAND,
        *runs.flags(**{**runs.NETWORKS, **changes}, **runs.LOOP),
        f"--dataset={dataset}",
        "--meta_steps=2",
        f"--logdir={tmp_path}",
    )
    assert code == cli.EXIT_OK, err
    split = data.load_split(tmp_path / "split.json")
    assert len(split.test) == test_classes
    assert len(runs.metrics(tmp_path)) == 2
