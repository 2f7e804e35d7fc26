"""Players that are told a label."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import problems
from tf_metagan.architectures import cdcgan
from tf_metagan.core import rng
from tf_metagan.gan import labels, losses, penalties
from tf_metagan.types import Vars

SEED = rng.make_seed(3)


def spying_networks(count=3):
    """Return networks that show their label: G in pixels, D as its score."""
    weights = np.arange(1.0, count + 1.0)
    z, told = keras.Input([2]), keras.Input([count])
    image, label = keras.Input([2, 2, 1]), keras.Input([count])
    shown = keras.ops.sum(told * weights, 1)[:, None, None, None]
    blank = keras.ops.zeros([1, 2, 2, 1])
    scale = keras.layers.Dense(1, name="scale", kernel_initializer="zeros")(z)
    score = keras.ops.sum(label * weights, 1, keepdims=True)
    score += 0.0 * keras.ops.sum(image, (1, 2, 3))[:, None]
    drawn = blank + shown + scale[:, :, None, None]
    return {
        "d": keras.Model([image, label], score, name="d"),
        "g": keras.Model([z, told], drawn, name="g"),
    }


def make_game(networks=None):
    return labels.labelled_game(
        networks or spying_networks(),
        loss=losses.wasserstein(),
        penalty=penalties.none(),
    )


def pixels(vars, game):
    return np.unique(game.sample(vars, SEED, 5)).tolist()


def test_a_class_has_its_own_label_and_others_the_mean():
    game = make_game()
    vars = game.init(0)
    for label, shown in ((0, 1.0), (2, 3.0), (3, 2.0), (70, 2.0)):
        told = game.told(vars, tf.constant(label, tf.int64))
        assert pixels(told, game) == pytest.approx([shown])
    # What is adapted to was told nothing.
    assert pixels(vars, game) == pytest.approx([2.0])


def test_the_discriminator_is_told_as_well():
    game = make_game()
    told = game.told(game.init(0), tf.constant(1, tf.int64))
    outcome = game.losses(told, tf.zeros([4, 2, 2, 1]), None, SEED)
    assert float(outcome.loss["g"]) == pytest.approx(-2.0)


def test_fewer_samples_are_the_first_of_more():
    nets = cdcgan.build(
        image_size=16, channels=1, width=2, latent_size=3, num_labels=2
    )
    game = make_game(nets)
    vars = game.init(0)
    many = game.sample(vars, SEED, 70)
    np.testing.assert_allclose(game.sample(vars, SEED, 3), many[:3], atol=1e-6)
    assert np.ptp(many, axis=0).max() > 1e-4


def learn(label):
    """Return the change of G's weights by one joint task of a class."""
    nets = cdcgan.build(
        image_size=16,
        channels=1,
        width=2,
        latent_size=2,
        num_labels=3,
        dtype="float64",
    )
    algorithm = problems.build("joint", duel=make_game(nets), inner_steps=1)
    vars, batch = algorithm.init(0), problems.tasks(algorithm)
    batch = batch._replace(label=tf.constant([label], tf.int64))
    result = algorithm.meta_gradients(vars, batch, problems.STEP)
    assert set(result.state) == set(vars.state)
    return result.grads.params["g"]["stem/kernel"].numpy()


def test_only_the_label_of_the_task_learns():
    """Row 2 + label of the stem takes that label, behind two numbers of z."""
    for label in (0, 2):
        rows = np.abs(learn(label)).max(axis=1)
        assert set(np.flatnonzero(rows)) == {0, 1, 2 + label}
    assert np.all(np.abs(learn(9)).max(axis=1) > 0)


def test_networks_without_label_are_refused():
    with pytest.raises(ValueError, match=r"--game=labelled got .*cdcgan"):
        labels.labelled_game(
            {"d": spying_networks()["d"]},
            loss=losses.wasserstein(),
            penalty=penalties.none(),
        )


def test_vars_of_a_labelled_game_hold_no_label():
    vars = make_game().init(0)
    assert isinstance(vars, Vars)
    assert set(vars.state) == {"d", "g"}
