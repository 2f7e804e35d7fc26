"""One photograph by the same commands as many."""

import json

import numpy as np
import PIL.Image
import pytest

from tests import runs
from tests.end_to_end.test_internal import asked
from tf_metagan import (
    apply,
    cli,
    demo,
    evaluate_photographs,
    sample,
    train,
    trained_runs,
)
from tf_metagan.data import landscapes
from tf_metagan.exporting import forms
from tf_metagan.learner import Learner

SIZES = {
    "algo": "singan",
    "image_size": 24,
    "smallest_size": 16,
    "width": 2,
    "scale_factor": 0.6,
    "meta_steps": 3,
    "log_every": 1,
}


@pytest.fixture(autouse=True)
def _eager(monkeypatch):
    """Spare the graphs, of which every scale has its own."""

    def step(self, tasks):
        return self._all_replicas(self._divide(tasks))

    monkeypatch.setattr(Learner, "_step", step)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("singan")
    (folder / "photographs").mkdir()
    for number in range(3):
        drawn = landscapes.draw(np.random.default_rng(number), 48)
        PIL.Image.fromarray(drawn).save(folder / f"photographs/{number}.png")
    return folder


@pytest.fixture
def run(here, folder):
    """Return the folder of a run of one meta-step for each scale."""
    logdir = folder / "run"
    if not logdir.exists():
        values = {**SIZES, "image": folder / "photographs/0.png"}
        code, _, err = here(
            train.COMMAND, *runs.flags(**values), f"--logdir={logdir}"
        )
        assert code == cli.EXIT_OK, err
    return logdir


def test_training_goes_through_all_scales(run):
    metrics = runs.metrics(run)
    assert [line["step"] for line in metrics] == [1, 2, 3]
    names = set(runs.variables(run))
    for scale in range(3):
        assert f"params.g.scale{scale}.conv1.kernel" in names
    assert "params.d.scale2.conv1.kernel" in names
    assert "params.d.scale1.conv1.kernel" not in names


@pytest.mark.parametrize("task", ["samples", "reconstruct", "superres"])
def test_applications(here, folder, run, task):
    words = ["--num_samples=2"] if task == "samples" else []
    drawn = asked(here, folder, run, task, *words)
    assert np.asarray(drawn).std() > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--finetune_steps=2"], "goes on from what a hypernetwork makes"),
        (
            ["--task=interpolate", "--space=features", "--other=FILE"],
            "makes weights of embeddings, and --algo=singan has none",
        ),
    ],
)
def test_what_needs_a_hypernetwork(here, folder, run, words, message):
    path = f"{folder}/photographs/0.png"
    words = [x.replace("FILE", path) for x in words]
    code, _, err = here(
        apply.COMMAND, f"--run={run}", f"--image={path}", *words
    )
    assert code == cli.EXIT_USAGE
    assert message in err


def test_it_is_not_exported_and_has_no_page(run):
    sentence = "takes runs that model any photograph, got one of --algo=singan"
    with pytest.raises(ValueError, match=f"export {sentence}"):
        forms.of(trained_runs.load_run(str(run)))
    with pytest.raises(ValueError, match=f"demo {sentence}"):
        demo.load(str(run))


@pytest.mark.parametrize("command", [sample.COMMAND, apply.COMMAND])
def test_another_photograph_is_refused(here, folder, run, command):
    flag = "images" if command is sample.COMMAND else "image"
    code, _, err = here(
        command,
        f"--run={run}",
        f"--{flag}={folder}/photographs/1.png",
        f"--output={folder}/drawn.png",
    )
    assert code == cli.EXIT_USAGE
    assert "1.png is not the photograph that this run was trained on" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image_folder=FOLDER"], "models one photograph, got 2 to train on"),
        (
            ["--image=FOLDER/0.png", "--meta_batch=2"],
            "--meta_batch=2 asks for several photographs",
        ),
        (
            ["--image=FOLDER/0.png", "--parallel_tasks=2"],
            "--parallel_tasks=2 has no effect here",
        ),
        (
            ["--image=FOLDER/0.png", "--mirror_classes"],
            "--mirror_classes makes several photographs of one",
        ),
        (
            ["--image=FOLDER/0.png", "--precision=mixed_bfloat16"],
            "has no effect on the stacks of one photograph",
        ),
    ],
)
def test_what_training_refuses(here, folder, words, message):
    words = [x.replace("FOLDER", f"{folder}/photographs") for x in words]
    code, _, err = here(train.COMMAND, *runs.flags(**SIZES), *words)
    assert code == cli.EXIT_USAGE
    assert message in err


def test_one_of_a_data_set(here):
    words = ["--dataset=landscapes", "--num_classes=3", "--train_classes=1"]
    code, out, err = here(
        train.COMMAND, *runs.flags(**SIZES), *words, "--dry_run"
    )
    assert code == cli.EXIT_OK, err
    assert "--n_generator=3" in out


def test_evaluation_compares_runs_on_the_photograph_of_both(here, folder, run):
    other = folder / "again"
    values = {**SIZES, "meta_steps": 3, "seed": 1, "n_generator": 1}
    values["image"] = folder / "photographs/0.png"
    assert here(train.COMMAND, *runs.flags(**values), f"--logdir={other}")[
        0
    ] == (cli.EXIT_OK)
    before = {x: x.stat().st_mtime_ns for x in run.rglob("*")}
    words = [f"--run={run},{other}", "--samples=3", "--levels=1"]
    texts = []
    for name in ("first", "second"):
        code, _, err = here(
            evaluate_photographs.COMMAND, *words, f"--output={folder}/{name}"
        )
        assert code == cli.EXIT_OK, err
        found = json.loads((folder / name / "scores.json").read_text())
        texts.append([x["photographs"] for x in found["systems"]])
    assert texts[0] == texts[1]
    assert [[x["name"] for x in rows] for rows in texts[0]] == [["0.png"]] * 2
    assert texts[0][0] != texts[0][1]
    assert found["systems"][0]["cost"]["training_photographs"] == 1
    assert before == {x: x.stat().st_mtime_ns for x in run.rglob("*")}
    assert "| 0.png | singan" in (folder / "first/scores.md").read_text()
    with PIL.Image.open(folder / "first/photographs.png") as picture:
        assert picture.width > 2 * (1 + 4) * 64
    code, _, err = here(
        evaluate_photographs.COMMAND,
        f"--run={run}",
        f"--images={folder}/photographs/1.png",
    )
    assert code == cli.EXIT_USAGE
    assert "models none of the photographs asked for" in err


def test_growing_generator_by_the_same_commands(here, folder):
    logdir = folder / "growing"
    values = {k: v for k, v in SIZES.items() if k != "scale_factor"}
    values |= {"algo": "consingan", "stages": 3}
    words = runs.flags(**values, image=folder / "photographs/0.png")
    code, _, err = here(train.COMMAND, *words, f"--logdir={logdir}")
    assert code == cli.EXIT_OK, err
    assert "params.g.scale2.conv3.kernel" in runs.variables(logdir)
    other = f"--other={folder}/photographs/2.png"
    for task in ("reconstruct", "samples", "paint"):
        more = [other] if task == "paint" else []
        drawn = asked(here, folder, logdir, task, *more)
        assert np.asarray(drawn).std() > 0
    code, _, err = here(
        apply.COMMAND,
        f"--run={logdir}",
        f"--image={folder}/photographs/0.png",
        "--task=superres",
    )
    assert code == cli.EXIT_USAGE
    assert "--algo=consingan pass on features" in err
