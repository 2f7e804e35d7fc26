"""How support images become batches, and weights a vector."""

import numpy as np
import pytest
import tensorflow as tf

from tests.exporting.exports import toy_run
from tf_metagan.exporting import engine
from tf_metagan.exporting.layout import Layout
from tf_metagan.exporting.terms import Defaults, Limits, Terms

SEED = tf.constant([3, 4], tf.int64)


def divided(number, steps, seed=SEED):
    """Return the numbers of the images in each batch of four."""
    marked = tf.reshape(tf.range(float(number)), [-1, 1, 1, 1])
    batches = engine.divide(
        marked, batch_size=4, steps=tf.constant(steps), seed=seed
    )
    return batches.numpy()[..., 0, 0, 0].astype(int)


@pytest.mark.parametrize("number", [1, 3, 4])
def test_few_images_are_one_batch_in_their_order(number):
    np.testing.assert_array_equal(divided(number, 5), [range(number)])


def test_many_images_come_in_rounds_each_in_another_order():
    batches = divided(6, 9)
    assert batches.shape == (9, 4)
    rounds = batches.reshape(-1, 6)
    for one in rounds:
        assert sorted(one) == list(range(6))
    assert len({tuple(one) for one in rounds}) > 3


def test_batches_are_a_function_of_the_seed_and_fewer_are_the_first_of_more():
    more = divided(9, 8)
    np.testing.assert_array_equal(divided(9, 8), more)
    np.testing.assert_array_equal(divided(9, 3), more[:3])
    assert divided(9, 0).shape == (1, 4)
    other = divided(9, 8, tf.constant([3, 5], tf.int64))
    assert (other != more).any()


def test_vector_holds_what_players_play_with_and_nothing_else():
    vars = toy_run(algo="maml", inner_statistics="carried").vars
    layout = Layout(vars)
    described = layout.describe()
    names = [row["name"] for row in described]
    assert names == sorted(names)
    assert len(names) == 8
    assert all(name.startswith("params/") for name in names)
    vector = layout.flatten(vars).numpy()
    assert vector.shape == (layout.size,)
    for row in described:
        _, player, leaf = row["name"].split("/", 2)
        size = int(np.prod(row["shape"]))
        found = vector[row["offset"] : row["offset"] + size]
        np.testing.assert_array_equal(
            found.reshape(row["shape"]), vars.params[player][leaf]
        )
    back = layout.unflatten(tf.constant(vector + 1), vars)
    for player, leaves in vars.params.items():
        for leaf, value in leaves.items():
            np.testing.assert_array_equal(back.params[player][leaf], value + 1)
    assert back.state == vars.state


@pytest.mark.parametrize(
    ("defaults", "flag"),
    [
        (Defaults(steps=3, samples=1), "--max_steps=2"),
        (Defaults(steps=1, samples=9), "--max_samples=8"),
        (Defaults(steps=2, samples=1), "--max_step_images=7"),
    ],
)
def test_defaults_beyond_the_limits_are_refused(defaults, flag):
    limits = Limits(steps=2, samples=8, step_images=7)
    with pytest.raises(ValueError, match=flag):
        Terms((16, 16, 1), 4, limits, defaults).check()
    Terms((16, 16, 1), 4, limits, Defaults(steps=1, samples=8)).check()
