"""Adapting a run to given images and drawing from it."""

import os
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests import runs
from tf_metagan import sampling, trained_runs
from tf_metagan.core import rng


class Adder:
    """Weights are one image; a step adds the mean of its batch to it."""

    def __init__(self):
        self.game = types.SimpleNamespace(sample=latents)

    def adapt(self, vars, support, others, seed, steps):
        assert others is None
        noise = rng.uniform(seed, [1], tf.float32)
        batches = [support[step % support.shape[0]] for step in range(steps)]
        moves = [tf.reduce_mean(batch, 0) * noise for batch in batches]
        return tf.add_n([vars, *moves]), {}


def latents(vars, seed, n):
    """A generator that adds its latents to the weights."""
    return vars + 0.1 * rng.normal(seed, [n, 1, 1, 1], tf.float32)


def make_run(**changes):
    """A run with weights 0 of which no meta-step has been done."""
    settings = runs.settings(inner_batch_size=2, **changes)
    return trained_runs.Run(settings, Adder(), tf.zeros([16, 16, 1]), 0, None)


@pytest.fixture(scope="module")
def run():
    return make_run()


@pytest.fixture(scope="module")
def five():
    """Five images of noise."""
    draw = np.random.default_rng(0)
    return draw.uniform(-1, 1, [5, 16, 16, 1]).astype(np.float32)


# Batches.


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 12))
def test_step_batches_go_round_through_all_images(n, batch_size, steps):
    images = np.arange(n)
    batches = sampling.step_batches(
        images, batch_size=batch_size, steps=steps, seed=1
    )
    if n <= batch_size:
        np.testing.assert_array_equal(batches, [images])
        return
    assert batches.shape == (max(1, steps), batch_size)
    flat = batches.ravel()
    for first in range(0, len(flat), n):
        one_round = flat[first : first + n]
        assert len(set(one_round)) == len(one_round)


def test_step_batches_depend_on_the_seed_alone():
    a, b, c = (
        sampling.step_batches(np.arange(40), batch_size=4, steps=30, seed=seed)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    # Each round has an order of its own.
    assert not np.array_equal(a.ravel()[:40], a.ravel()[40:80])


# Drawing.


@pytest.mark.parametrize("fewer", [1, 255, 256, 257])
def test_fewer_images_are_the_first_of_more(fewer):
    many = sampling.draw_images(latents, 0.0, num_samples=600, seed=5)
    few = sampling.draw_images(latents, 0.0, num_samples=fewer, seed=5)
    assert few.shape == (fewer, 1, 1, 1)
    np.testing.assert_array_equal(few, many[:fewer])
    assert len(np.unique(many)) == 600


def test_no_steps_draw_from_the_meta_weights(run, five):
    sample = run.algorithm.game.sample
    prior = sampling.draw_images(sample, run.vars, num_samples=6, seed=4)
    drawn = sampling.draw(run, five, num_samples=6, steps=0, seed=4)
    # One graph does in one pass what the other does in two.
    np.testing.assert_allclose(drawn, prior, rtol=0, atol=1e-6)
    adapted = sampling.draw(run, five, num_samples=6, steps=2, seed=4)
    assert np.abs(adapted - prior).max() > 1e-3


def test_steps_are_those_of_the_run_when_not_given(run, five):
    def drawn(run, steps=None):
        return sampling.draw(run, five, num_samples=2, steps=steps)

    np.testing.assert_array_equal(drawn(run), drawn(run, 2))
    longer = make_run(adapt_steps=5)
    np.testing.assert_array_equal(drawn(longer), drawn(run, 5))
    assert not np.array_equal(drawn(longer), drawn(run, 2))


def test_every_given_image_has_an_effect(run, five):
    # Three steps of two images see five images.
    before = sampling.draw(run, five, num_samples=2, steps=3)
    for number in range(5):
        changed = five.copy()
        changed[number] *= -1
        after = sampling.draw(run, changed, num_samples=2, steps=3)
        assert not np.array_equal(before, after), number


def test_equal_seeds_draw_equal_images(run, five):
    a, b, c = (
        sampling.draw(run, five, num_samples=3, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c, atol=1e-3)


def test_diverged_adaptation_is_refused(run, five):
    broken = run._replace(vars=run.vars + np.nan)
    with pytest.raises(
        FloatingPointError,
        match=r"after 3 steps the images drawn are not finite; training took 2",
    ):
        sampling.draw(broken, five, num_samples=2, steps=3)


# Files.


def test_support_has_the_size_and_range_of_the_run(run, tmp_path):
    paths = runs.write_pictures(tmp_path, 3, size=32)
    support = sampling.load_support(run, [str(tmp_path)], invert=False)
    assert support.shape == (3, 16, 16, 1)
    assert support.dtype == np.float32
    assert -1 <= support.min() < -0.2 < 0.2 < support.max() <= 1
    files = sampling.load_support(run, list(map(str, paths)), invert=False)
    np.testing.assert_array_equal(files, support)
    inverted = sampling.load_support(run, [str(tmp_path)], invert=True)
    np.testing.assert_array_equal(inverted, -support)


def test_picture_shows_given_and_drawn_images(tmp_path):
    path = tmp_path / "new" / "folder" / "more.png"
    dark, bright = np.full([20, 64, 64, 1], -1.0), np.full([8, 64, 64, 1], 1.0)
    sampling.write_picture(str(path), dark, bright)
    with PIL.Image.open(path) as file:
        picture = np.asarray(file)
    black = (picture == 0).all(axis=2).sum()
    # Of many given images the first sixteen are shown.
    assert black == 16 * 64 * 64


@pytest.mark.parametrize("name", ["more.txt", "more", ".", "folder"])
def test_picture_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "folder").mkdir()
    images = np.zeros([1, 8, 8, 1])
    path = os.path.join(tmp_path, name)
    with pytest.raises(OSError, match=r"--output=.* cannot be written: .*Name"):
        sampling.write_picture(path, images, images)
