"""python -m tf_metagan.export and what can be done with its models."""

import json
import os

import numpy as np
import pytest
from absl import logging

from tests import runs
from tf_metagan import (
    cli,
    evaluate,
    export,
    sampling,
    serve,
    trained_runs,
)
from tf_metagan.core import rng

SMALL = ("--tasks=2", "--samples=8", "--curve_tasks=1", "--curve_samples=4")


@pytest.fixture(scope="module")
def exported(whole, tmp_path_factory):
    """Export the run: the folder of the model."""
    assert whole.code == cli.EXIT_OK, whole.err
    folder = tmp_path_factory.mktemp("models") / "toy"
    before = logging.get_verbosity()
    code = cli.run(
        export.COMMAND,
        [
            f"--run={whole.logdir}",
            f"--output={folder}",
            "--default_samples=10",
            "--verbosity=-1",
        ],
    )
    logging.set_verbosity(before)
    assert code == cli.EXIT_OK
    return folder


def test_command_writes_a_version_and_nothing_else(exported):
    assert os.listdir(exported) == ["1"]
    info = json.loads((exported / "1" / "model.json").read_text())
    assert info["defaults"]["num_samples"] == 10
    assert info["defaults"]["steps"] == 2
    assert info["limits"]["step_images"] == 800
    text = (exported / "1" / "README.md").read_text()
    assert "of classes that it was not trained on" in text


def test_export_answers_as_sampling_does(exported, whole):
    run = trained_runs.load_run(whole.logdir)
    support = np.random.default_rng(0).uniform(-1, 1, [4, 16, 16, 1])
    support = support.astype(np.float32)
    expected = sampling.draw(run, support, num_samples=10, seed=3)
    found = serve.load(str(exported)).adapt_and_sample(
        support, seed=rng.make_seed(3)
    )
    np.testing.assert_allclose(found.samples, expected, rtol=1e-3, atol=1e-4)


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """Train a small critic of the classes of the run, in its own process."""
    folder = tmp_path_factory.mktemp("critic")
    code, _, err = runs.process(
        "tf_metagan.critic",
        *runs.flags(**runs.GLYPHS, image_size=16, channels=1),
        "--widths=4,8,8,16",
        "--steps=20",
        "--batch_size=16",
        f"--output={folder}",
    )
    assert code == cli.EXIT_OK, err
    return folder


def test_evaluation_of_an_export_is_that_of_its_run(
    here, exported, whole, judge, tmp_path
):
    found = {}
    for name, run in (("run", whole.logdir), ("export", exported)):
        code, _, err = here(
            evaluate.COMMAND,
            f"--run={run}",
            f"--critic={judge}",
            f"--output={tmp_path / name}",
            *SMALL,
        )
        assert code == cli.EXIT_OK, err
        found[name] = json.loads((tmp_path / name / "results.json").read_text())
    run, ours = found["run"], found["export"]
    assert ours["subject"]["kind"] == "export"
    for fact in ("weights", "settings", "algo", "meta_step"):
        assert ours["subject"][fact] == run["subject"][fact]
    assert sorted(ours["metrics"]) == sorted(run["metrics"])
    for name, value in run["metrics"].items():
        np.testing.assert_allclose(
            ours["metrics"][name]["mean"], value["mean"], rtol=1e-2, atol=1e-2
        )
    np.testing.assert_allclose(
        ours["curves"]["steps"]["adapted"]["nll"]["mean"],
        run["curves"]["steps"]["adapted"]["nll"]["mean"],
        rtol=1e-2,
    )


def test_evaluation_beyond_the_limits_is_refused(here, exported, judge):
    code, _, err = here(
        evaluate.COMMAND,
        f"--run={exported}",
        f"--critic={judge}",
        "--samples=5000",
        "--curve_tasks=0",
    )
    assert code == cli.EXIT_USAGE
    assert "needs samples = 5000 and the export gives at most 4096" in err
    assert "--max_samples=5000" in err
    assert os.listdir(exported) == ["1"]


# Errors.


@pytest.mark.parametrize(
    ("words", "expected", "sentence"),
    [
        (("--output=x",), cli.EXIT_USAGE, "--run is missing"),
        (("--run=x",), cli.EXIT_USAGE, "--output is missing"),
        (
            ("--run=absent", "--output=x"),
            cli.EXIT_DATA,
            "absent is not the folder of a run",
        ),
        (
            ("--run=pretrained:mnst", "--output=x"),
            cli.EXIT_USAGE,
            "Did you mean 'mnist'?",
        ),
    ],
)
def test_what_is_missing_is_said(here, words, expected, sentence):
    code, _, err = here(export.COMMAND, *words)
    assert code == expected
    assert sentence in err


def test_defaults_beyond_the_limits_are_refused(here, whole, tmp_path):
    code, _, err = here(
        export.COMMAND,
        f"--run={whole.logdir}",
        f"--output={tmp_path / 'model'}",
        "--default_steps=201",
    )
    assert code == cli.EXIT_USAGE
    assert "expected at most --max_steps=200" in err
    assert not (tmp_path / "model").exists()
