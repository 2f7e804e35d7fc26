"""The latent family and its baseline by the same commands as all others."""

import numpy as np
import pytest
import tensorflow as tf

from tests import runs
from tf_metagan import (
    assembly,
    cli,
    export,
    sampling,
    serve,
    train,
    trained_runs,
    training,
)
from tf_metagan.core import rng
from tf_metagan.data import base as data
from tf_metagan.evaluation import subject

SIZES = {**runs.TOY, "width": 2, "latent_size": 4, "exclude_classes": "8,9"}
FAMILIES = {
    "latent": {
        "algo": "latent",
        "architecture": "latent_dcgan",
        "outer_schedule": "constant",
        "kept_images": 6,
    },
    "cdcgan": {
        "algo": "joint",
        "architecture": "cdcgan",
        "num_labels": 8,
        "inner_steps": 1,
        "adapt_steps": 2,
        "update_order": "sequential",
        "outer_optimizer": "adam",
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(autouse=True)
def blank_pictures(monkeypatch):
    """Draw no panel, which takes most of the time of runs this short."""

    class Blank:
        def picture(self, vars):
            return np.zeros([8, 8, 3], np.uint8)

    monkeypatch.setattr(training, "make_panel", lambda *_: Blank())


def learn(here, folder, family, name, meta_steps):
    values = {**SIZES, **FAMILIES[family], "meta_steps": meta_steps}
    code, _, err = here(
        train.COMMAND, *runs.flags(**values), f"--logdir={folder / name}"
    )
    assert code == cli.EXIT_OK, err


@pytest.fixture
def trained(here, folder):
    """Return the folder of a family's run of two meta-steps."""

    def run(family):
        if not (folder / family).exists():
            learn(here, folder, family, family, 2)
        return folder / family

    return run


@pytest.mark.slow
def test_resuming_changes_no_bit(here, folder, trained):
    for meta_steps in (1, 2):
        learn(here, folder, "latent", "halves", meta_steps)
    whole = runs.variables(trained("latent"))
    runs.assert_same_variables(runs.variables(folder / "halves"), whole)
    kept = whole["state.kept.images"]
    assert kept.shape == (6, 16, 16, 1)
    assert kept.dtype == np.uint8
    assert len({x.tobytes() for x in kept}) > 3


@pytest.mark.slow
def test_export_answers_as_sampling_does(here, folder, trained):
    logdir = str(trained("latent"))
    words = f"--run={logdir}", f"--output={folder / 'model'}"
    code, _, err = here(export.COMMAND, *words)
    assert code == cli.EXIT_OK, err
    run = trained_runs.load_run(logdir)
    draw = np.random.default_rng(0)
    support = draw.uniform(-1, 1, [3, 16, 16, 1]).astype(np.float32)
    found = serve.load(str(folder / "model")).adapt_and_sample(
        support, num_samples=5, seed=rng.make_seed(3)
    )
    expected = sampling.draw(run, support, num_samples=5, seed=3)
    np.testing.assert_allclose(found.samples, expected, rtol=1e-3, atol=1e-4)
    assert np.isfinite([found.d_loss, found.g_loss]).all()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_adaptation_leaves_the_run_as_it_was(trained, family):
    logdir = str(trained(family))
    run = trained_runs.load_run(logdir)
    judged = subject.of_run(run, logdir)
    before = judged.facts["weights"]
    draw = np.random.default_rng(1)
    support = draw.uniform(-1, 1, [1, 3, 16, 16, 1]).astype(np.float32)
    other = draw.uniform(-1, 1, [1, 4, 16, 16, 1]).astype(np.float32)
    seed = np.array([1, 2])

    def drawn(images):
        adapted = judged.adapt(images, seed=seed, steps=2)
        return judged.sample(adapted, seed=seed, n=4)

    first = drawn(support)
    assert np.abs(drawn(other) - first).max() > 1e-6
    np.testing.assert_array_equal(drawn(support), first)
    assert subject.weights_hash(run.vars) == before


# Whose images stand for others.


def by_class(count=6):
    """Return images that are as bright as their class id says."""
    label = np.repeat(np.arange(count), 5)
    shape = [len(label), 16, 16, 1]
    images = np.broadcast_to(label[:, None, None, None], shape)
    return data.group(images.astype(np.uint8), label)


def classes_of(images):
    return set(np.unique(np.rint((np.asarray(images) + 1) * 127.5)).tolist())


def test_images_of_others_are_of_other_meta_train_classes():
    settings = runs.settings(exclude_classes=(4, 5), meta_batch=30)
    images = by_class()
    split = assembly.make_split(settings, images)
    assert (split.train, split.test) == ((0, 1, 2, 3), (4, 5))

    def check(classes):
        sampler = assembly.make_sampler(
            settings, images, classes=classes, stream=0, others=True
        )
        tasks = sampler.batch(0)
        assert classes_of(tasks.others) <= set(split.train)
        assert classes_of(tasks.support) <= set(split.train)
        for label, others in zip(tasks.label, tasks.others, strict=True):
            assert int(label) not in classes_of(others)

    check(split.train)
    with pytest.raises(AssertionError):  # the wrong set
        check((0, 1, 4))


def test_kept_images_are_of_meta_train_classes():
    settings = runs.settings(exclude_classes=(4, 5))
    images = by_class()
    split = assembly.make_split(settings, images)
    stock = training.draw_stock(settings, images, split, 40)
    assert stock.dtype == np.uint8
    assert set(np.unique(stock).tolist()) == set(split.train)
    wrong = split._replace(train=split.test)
    stock = training.draw_stock(settings, images, wrong, 40)
    assert set(np.unique(stock).tolist()) == {4, 5}
    assert training.draw_stock(settings, images, split, 0) is None
    assert tf.convert_to_tensor(stock).shape == [40, 16, 16, 1]
