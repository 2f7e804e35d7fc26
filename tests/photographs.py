"""A small game of internal learning, and photographs of noise for it."""

import functools

import keras
import numpy as np
import tensorflow as tf

from tests import problems
from tf_metagan import registry
from tf_metagan.core.inner import InnerRule
from tf_metagan.core.rollout import Rollout, Turn
from tf_metagan.gan import internal
from tf_metagan.types import TaskBatch

SIDE = 24
WIDTHS = (16, 20, 24)


@functools.cache
def networks(channels=3, dtype="float64"):
    """Build embeddings far smaller than those of the architecture."""

    def one(name):
        def options(layer):
            return {"name": layer, "dtype": dtype}

        return keras.Sequential(
            [
                keras.Input([16, 16, channels], dtype=dtype),
                keras.layers.Conv2D(4, 5, 3, **options("stem")),
                keras.layers.LeakyReLU(**options("act")),
                keras.layers.Flatten(**options("flat")),
                keras.layers.Dense(6, **options("features")),
            ],
            name=name,
        )

    return {"d": one("d"), "g": one("g")}


def game(**changes):
    """Build a game of scales 16, 20 and 24 pixels wide."""
    options = {
        "image_size": SIDE,
        "width": 4,
        "smallest_size": WIDTHS[0],
        "scale_factor": 0.6,
        "pyramid_sizes": "exact",
        "head_rank": None,
        "head_hidden": 0,
        "reconstruction_weight": 50.0,
        "noise_amplitude": "moving_average",
        "convolution": "loop",
        **changes,
    }
    return internal.pyramid_game(
        options.pop("networks", networks()),
        loss=registry.find(registry.LOSSES, "wasserstein")(),
        penalty=registry.find(registry.PENALTIES, "gradient")(
            penalty_weight=0.1, penalty_norm="pixel"
        ),
        **options,
    )


def singan(**changes):
    """Build the game of one photograph of the same scales."""
    options = {
        "image_size": SIDE,
        "channels": 3,
        "width": 4,
        "smallest_size": WIDTHS[0],
        "scale_factor": 0.6,
        "pyramid_sizes": "exact",
        "reconstruction_weight": 10.0,
        "noise_amplitude": "at_start",
        "dtype": "float64",
        **changes,
    }
    return registry.find(registry.GAMES, "singan")(
        {},
        loss=registry.find(registry.LOSSES, "wasserstein")(),
        penalty=registry.find(registry.PENALTIES, "gradient")(
            penalty_weight=0.1, penalty_norm="pixel"
        ),
        **options,
    )


def growing(**changes):
    """Build the game of one photograph and a generator of three stages."""
    options = {
        "image_size": SIDE,
        "channels": 3,
        "width": 4,
        "smallest_size": WIDTHS[0],
        "stages": 3,
        "trained_stages": 3,
        "stage_rate": 0.1,
        "reconstruction_weight": 10.0,
        "noise_amplitude": "at_start",
        "dtype": "float64",
        **changes,
    }
    return registry.find(registry.GAMES, "growing")(
        {},
        loss=registry.find(registry.LOSSES, "wasserstein")(),
        penalty=registry.find(registry.PENALTIES, "gradient")(
            penalty_weight=0.1, penalty_norm="pixel"
        ),
        **options,
    )


def algorithm(meta_steps=6, *, name="internal", duel=None, moves=1, **changes):
    """Build the rule that trains such a game."""
    duel = duel or game(**changes)
    rule = InnerRule(problems.optimizer(), 0.1, "none", "reset", 1)
    turns = (Turn(("d",), moves), Turn(("g",), moves))
    rollout = Rollout(duel, dict.fromkeys(duel.players, rule), turns)
    make = registry.find(registry.ALGORITHMS, name)
    return make(rollout, inner_steps=1, meta_steps=meta_steps)


def at_scale(game, scale, seed=0):
    """Return the weights with which training of a scale begins."""
    vars = game.init(seed)
    for _ in range(scale):
        vars = game.grow(vars)
    return vars


def tasks(number=3, *, height=18, seed=0, channels=3, dtype="float64"):
    """Draw smooth noise as photographs, one a task."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(-1, 1, [number, 4, 4, channels])
    images = keras.ops.image.resize(
        coarse.astype("float32"), (height, SIDE), interpolation="bicubic"
    )
    images = tf.clip_by_value(tf.convert_to_tensor(images), -1.0, 1.0)
    images = tf.cast(images, dtype)
    images = images[:, tf.newaxis, tf.newaxis]
    label = tf.range(number, dtype=tf.int64)
    seeds = tf.stack([label, label + seed], 1)
    return TaskBatch(images, images, None, label, seeds)


def photographs(batch):
    """Return [tasks, H, W, C]."""
    return batch.support[:, 0, 0]
