"""Tasks as one more tensor axis give what a loop over tasks gives."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import graphs, problems
from tf_metagan.architectures import figr_dcgan
from tf_metagan.gan import duel, layers, losses, penalties

# Sums in another order, and products instead of convolutions, in float64.
ROUNDING = 1e-12

LEARNING = [name for name in problems.RULES if name != "scratch"]
TASKS = 3


@functools.cache
def drawn_game():
    """Return a game whose players have every layer of the families."""

    def options(name):
        return {"name": name, "dtype": "float64"}

    image = keras.Input([8, 8, 1], dtype="float64")
    x = layers.Down(2, **options("down1"))(image)
    x = layers.InstanceNorm(**options("norm1"))(x)
    x = layers.LeakyReLU(0.2, **options("act1"))(x)
    x = figr_dcgan.conv(x, 2, 3, name="conv2", dtype="float64")
    x = layers.LayerNorm(**options("norm2"))(x)
    x = figr_dcgan.prelu(x, name="act2", dtype="float64")
    x = figr_dcgan.halve(x, name="down2", dtype="float64")
    x = keras.layers.Flatten(**options("flat"))(x)
    score = figr_dcgan.dense(x, 1, name="head", dtype="float64")

    latent = keras.Input([3], dtype="float64")
    x = figr_dcgan.stem(latent, side=2, filters=3, dtype="float64")
    x = figr_dcgan.double(x, name="up1", dtype="float64")
    x = layers.BatchNorm(**options("norm1"))(x)
    fake = layers.Up(1, activation="tanh", **options("up2"))(x)
    return duel.two_player(
        {
            "d": keras.Model(image, score, name="d"),
            "g": keras.Model(latent, fake, name="g"),
        },
        loss=losses.wasserstein(),
        penalty=penalties.gradient(penalty_weight=2.0, penalty_norm="sample"),
    )


def meta_step(algo, mapping, *, number=TASKS, meta_step=0, **options):
    """Return (Result, count of the operations it takes)."""
    if algo == "metasgd":
        options["learned_rates"] = "weight"
        options["loss"] = "hinge"
    algorithm = problems.build(algo, task_mapping=mapping, **options)
    vars, batch = problems.start(algorithm), problems.tasks(algorithm, number)
    run = tf.function(algorithm.meta_gradients, autograph=False)
    arguments = vars, batch, tf.constant(meta_step, tf.int64)
    count = graphs.operations(run.get_concrete_function(*arguments))
    return run(*arguments), count


def loops(count):
    return count["While"] + count["StatelessWhile"]


def check(algo, *, others=None, **options):
    """Compare both ways; `others` are options of the loop alone."""
    loop, before = meta_step(algo, "loop", **{**options, **(others or {})})
    axis, after = meta_step(algo, "vectorized", **options)
    tf.nest.assert_same_structure(axis, loop)
    for ours, theirs in zip(axis, loop, strict=True):
        if any(tf.size(x) for x in tf.nest.flatten(theirs)):
            assert problems.distance(ours, theirs) < ROUNDING
    assert loops(after) == loops(before) - 1
    return after


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "algo", [slow(x) if x == "metasgd" else x for x in LEARNING]
)
def test_equals_a_loop(algo):
    game = problems.game(loss="hinge", penalty="none")
    check(algo, duel=game, inner_steps=1)


@pytest.mark.parametrize("algo", ["reptile", *map(slow, ("fomaml", "maml"))])
def test_equals_a_loop_with_convolutions(algo):
    count = check(algo, duel=drawn_game(), inner_steps=1, inner="rmsprop")
    assert not any("Conv2D" in name for name in count)


def test_other_rate_is_noticed():
    with pytest.raises(AssertionError):
        check("reptile", others={"rate": 0.101}, inner_steps=1)


@pytest.mark.parametrize(
    ("algo", "options"),
    [
        ("fomaml", {"statistics": "carried", "inner": "momentum"}),
        ("fomaml", {"learned_rates": "layer_step"}),
        slow("maml", {"inner_steps": 18}),  # states of segments
        slow("maml", {"inner_loop": "unrolled"}),
        slow("maml", {"statistics": "learned", "inner": "adam"}),
        slow("maml", {"first_order_steps": 1, "meta_step": 1}),
    ],
    ids=lambda x: "-".join(map(str, x.values())) if isinstance(x, dict) else x,
)
def test_equals_a_loop_with(algo, options):
    check(algo, duel=problems.game(penalty="none"), **options)


def test_no_task_gives_zero():
    found, _ = meta_step("fomaml", "vectorized", number=0)
    for x in tf.nest.flatten(found):
        np.testing.assert_array_equal(x, np.zeros(x.shape))


def test_unknown_mapping_is_refused():
    with pytest.raises(ValueError, match=r"'map' is unknown.*vectorized"):
        problems.build("reptile", task_mapping="map")
