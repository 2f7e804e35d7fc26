"""A run from its folder."""

import json
import shutil

import numpy as np
import pytest

from tests import runs
from tf_metagan import (
    assembly,
    trained_runs,
    training,
)
from tf_metagan.data import base as data


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that has moved its weights, with moving averages."""
    folder = str(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as patch:
        runs.keep_runtime(patch)
        training.train(
            runs.settings(
                meta_steps=2,
                checkpoint_every=1,
                ema=0.5,
                penalty="none",
                algo="reptile",
                outer_rate=0.01,
                seed=4,
                logdir=folder,
            )
        )
    return folder


def test_loaded_run_is_the_one_that_was_trained(trained):
    run = trained_runs.load_run(trained)
    assert run.meta_step == 2
    assert run.settings.config.seed == 4
    assert run.split.test == (8, 9)
    weights = runs.variables(trained)
    before = runs.variables(trained, step=1)
    for player, leaves in run.vars.params.items():
        for leaf, tensor in leaves.items():
            name = f"params.{player}.{leaf}".replace("/", ".")
            # Keras's average begins with the weights after the first step.
            mean = 0.5 * before[name] + 0.5 * weights[name]
            np.testing.assert_allclose(tensor, mean, rtol=1e-6, atol=1e-7)
    kernel = run.vars.params["g"]["hidden/kernel"]
    assert not np.array_equal(kernel, weights["params.g.hidden.kernel"])


@pytest.mark.parametrize(("last", "share"), [(2, 0.25), (9, 0.25), (1, 0.5)])
def test_loaded_weights_are_the_mean_of_checkpoints(
    trained, tmp_path, last, share
):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    path = folder / "config.json"
    record = json.loads(path.read_text())
    record["settings"]["average_checkpoints"] = last
    path.write_text(json.dumps(record))
    run = trained_runs.load_run(str(folder))
    assert run.meta_step == 2
    name = "hidden/kernel"
    first, second = (
        runs.variables(trained, step=step)[f"params.g.{name.replace('/', '.')}"]
        for step in (1, 2)
    )
    # Moving averages: `first`, and half of each.
    wanted = (1 - share) * first + share * second
    found = run.vars.params["g"][name]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
    assert not np.allclose(first, second, rtol=1e-4)


def test_folder_that_holds_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not the folder of a run"):
        trained_runs.load_run(str(tmp_path))


def test_run_without_checkpoint_is_refused(tmp_path):
    toy = runs.settings()
    toy.save(str(tmp_path), command="tf_metagan.train")
    split = assembly.make_split(toy, assembly.load_images(toy))
    data.save_split(split, tmp_path / assembly.SPLIT_FILE)
    with pytest.raises(
        FileNotFoundError, match=r"ckpt holds no checkpoint: .*Train longer"
    ):
        trained_runs.load_run(str(tmp_path))
