"""Schedules of the outer step size."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metagan import (
    schedules,
)


def follow(schedule, count):
    """Return the step sizes that an optimizer takes in its first steps."""
    weight = keras.Variable(0.0)
    optimizer = keras.optimizers.SGD(schedule)
    optimizer.build([weight])
    sizes = []
    for _ in range(count):
        before = float(weight)
        optimizer.apply([tf.constant(-1.0)])
        sizes.append(float(weight) - before)
    return sizes


def make_schedule(kind, *, warmup=0, steps=10):
    return schedules.make_schedule(
        rate=2.0, outer_schedule=kind, outer_warmup=warmup, meta_steps=steps
    )


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        ("constant", lambda t: 1.0),
        ("linear", lambda t: 1 - t / 10),
        ("cosine", lambda t: (1 + math.cos(math.pi * t / 10)) / 2),
    ],
)
def test_schedule_is_its_formula(kind, share):
    expected = [2.0 * share(t) for t in range(10)]
    found = follow(make_schedule(kind), 10)
    # Differences of float32 sums up to 20.
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # The wrong twin: one step late.
    late = [2.0 * share(t + 1) for t in range(10)]
    if kind != "constant":
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(found, late, atol=1e-5)


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
def test_warm_up_rises_and_hands_over_at_the_full_rate(kind):
    found = follow(make_schedule(kind, warmup=3, steps=13), 13)
    np.testing.assert_allclose(found[:4], [0.5, 1.0, 1.5, 2.0], atol=1e-5)
    after = follow(make_schedule(kind, steps=10), 10)
    np.testing.assert_allclose(found[3:], after, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_decay_of_the_last_steps(kind):
    def make(steps, **changes):
        return schedules.make_schedule(
            rate=2.0, outer_schedule=kind, meta_steps=steps, **changes
        )

    short = follow(make(10, outer_warmup=0), 10)
    late = follow(make(17, outer_warmup=0, outer_decay_steps=10), 17)
    np.testing.assert_allclose(late, [2.0] * 7 + short, atol=1e-5)
    warm = follow(make(20, outer_warmup=3, outer_decay_steps=10), 20)
    np.testing.assert_allclose(warm, [0.5, 1.0, 1.5, *late], atol=1e-5)
    for wrong, schedule in ((18, kind), (10, "constant")):
        with pytest.raises(ValueError, match=f"--outer_decay_steps={wrong}"):
            schedules.make_schedule(
                rate=2.0,
                outer_schedule=schedule,
                outer_decay_steps=wrong,
                outer_warmup=0,
                meta_steps=17,
            )


def test_schedule_survives_saving():
    schedule = make_schedule("cosine", warmup=3, steps=13)
    stored = json.dumps(keras.optimizers.schedules.serialize(schedule))
    again = keras.optimizers.schedules.deserialize(json.loads(stored))
    assert follow(again, 13) == follow(schedule, 13)
