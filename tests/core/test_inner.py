"""Inner rules: step sizes and the statistics a task begins with."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.core import inner, optim

START = 0.1  # not exact in float32, which it must never pass through
LEAVES = {
    "up/kernel": np.array([[1.0, -2.0]]),
    "up/bias": np.array([0.5, 0.0, 3.0]),
}
PARAMS = {k: tf.constant(x) for k, x in LEAVES.items()}


def rmsprop(**options):
    return optim.rmsprop(
        **{
            "inner_rho": 0.9,
            "inner_epsilon": 1e-3,
            "epsilon_placement": "inside",
            "statistics_gradient": "full",
            **options,
        }
    )


def adam():
    return optim.adam(
        inner_beta1=0.8,
        inner_beta2=0.95,
        inner_epsilon=1e-3,
        epsilon_placement="outside",
        statistics_gradient="full",
    )


def rule(optimizer=None, **options):
    return inner.InnerRule(optimizer or optim.sgd(), START, **options)


def ones():
    return {k: tf.ones_like(x) for k, x in PARAMS.items()}


# Step sizes.


def check_moves(rule, learned, rates):
    """Compare moves of steps 0, 1, ... with w - rate * direction."""
    directions = {k: tf.constant(2.0 - x) for k, x in LEAVES.items()}
    for step, rate in enumerate(rates):
        moved = rule.move(PARAMS, directions, learned, tf.constant(step))
        assert set(moved) == set(LEAVES)
        for leaf, x in LEAVES.items():
            expected = x - rate[leaf] * (2.0 - x)
            np.testing.assert_allclose(moved[leaf], expected, rtol=1e-15)


def test_constant_rate_is_the_same_at_every_step():
    constant = rule()
    assert constant.init(PARAMS) == ({}, {})
    check_moves(constant, {}, [dict.fromkeys(LEAVES, START)] * 3)
    with pytest.raises(AssertionError):
        check_moves(constant, {}, [dict.fromkeys(LEAVES, -START)])


def layer_step_rates():
    learned = {
        "rate/up/kernel": tf.constant([0.1, 0.2, 0.3], tf.float64),
        "rate/up/bias": tf.constant([-1.0, 0.0, 7.0], tf.float64),
    }
    rates = [
        {"up/kernel": a, "up/bias": b}
        for a, b in [(0.1, -1.0), (0.2, 0.0), *[(0.3, 7.0)] * 3]
    ]
    return learned, rates


def test_one_rate_per_leaf_and_step_of_which_the_last_goes_on():
    stepped = rule(learned_rates="layer_step", steps=3)
    initial, state = stepped.init(PARAMS)
    assert state == {}
    learned, rates = layer_step_rates()
    assert set(initial) == set(learned)
    for x in initial.values():
        assert x.dtype == tf.float64
        np.testing.assert_array_equal(x, [START] * 3)
    check_moves(stepped, initial, [dict.fromkeys(LEAVES, START)] * 5)
    check_moves(stepped, learned, rates)

    class Cyclic(inner.InnerRule):
        def _rate(self, inner, leaf, step):
            return tf.gather(inner[f"rate/{leaf}"], step % self.steps)

    with pytest.raises(AssertionError):
        check_moves(Cyclic(*stepped), learned, rates)
    with pytest.raises(AssertionError):
        check_moves(stepped._replace(steps=2), learned, rates)


def test_each_step_teaches_its_own_rate():
    stepped = rule(learned_rates="layer_step", steps=3)
    learned, _ = layer_step_rates()
    for step, slot in [(0, 0), (1, 1), (2, 2), (4, 2)]:
        with tf.GradientTape() as tape:
            tape.watch(learned)
            moved = stepped.move(PARAMS, PARAMS, learned, tf.constant(step))
            total = tf.reduce_sum(moved["up/kernel"])
        expected = np.zeros(3)
        expected[slot] = -np.sum(LEAVES["up/kernel"])
        slope = tape.gradient(total, learned["rate/up/kernel"])
        np.testing.assert_array_equal(tf.convert_to_tensor(slope), expected)


def test_one_rate_per_weight_is_shared_by_all_steps():
    weighted = rule(learned_rates="weight")
    initial, state = weighted.init(PARAMS)
    assert state == {}
    assert set(initial) == {"rate/up/kernel", "rate/up/bias"}
    check_moves(weighted, initial, [dict.fromkeys(LEAVES, START)] * 2)
    rates = {
        k: 0.1 + np.arange(x.size).reshape(x.shape) for k, x in LEAVES.items()
    }
    learned = {f"rate/{k}": tf.constant(x) for k, x in rates.items()}
    check_moves(weighted, learned, [rates] * 3)
    with pytest.raises(AssertionError):
        check_moves(rule(), learned, [rates])


# Statistics.


def check_start(rule, inner, state, expected):
    slots = rule.slots(PARAMS, inner, state)
    flat = {
        f"{slot}/{leaf}": x
        for slot, leaves in slots.items()
        for leaf, x in leaves.items()
    }
    assert set(flat) == set(expected)
    for name, x in flat.items():
        np.testing.assert_allclose(x, expected[name], rtol=1e-15)


def test_reset_statistics_are_zero_for_every_task():
    reset = rule(rmsprop())
    assert reset.init(PARAMS) == ({}, {})
    stale = {f"slots/v/{leaf}": 9.0 + x for leaf, x in PARAMS.items()}
    zero = {f"v/{leaf}": np.zeros(x.shape) for leaf, x in LEAVES.items()}
    check_start(reset, {}, stale, zero)
    assert reset.carried(reset.slots(PARAMS, {}, {})) == {}
    with pytest.raises(AssertionError):
        check_start(reset._replace(statistics="carried"), {}, stale, zero)


@pytest.mark.parametrize("optimizer", [rmsprop(), adam()], ids=["rms", "adam"])
def test_carried_statistics_are_those_left_behind(optimizer):
    carried = rule(optimizer, statistics="carried")
    learned, state = carried.init(PARAMS)
    assert learned == {}
    for x in state.values():
        np.testing.assert_array_equal(x, tf.zeros_like(x))
    slots = carried.slots(PARAMS, learned, state)
    _, slots = optimizer.update(PARAMS, slots)
    left = carried.carried(slots)
    assert set(left) == set(state)
    assert any(np.any(x != 0.0) for x in left.values())
    flat = {k.removeprefix("slots/"): x.numpy() for k, x in left.items()}
    check_start(carried, {}, left, flat)
    with pytest.raises(AssertionError):
        check_start(carried, {}, state, flat)


def check_held(rule, name, value):
    """The gradient of the initial statistics with respect to `value`."""
    with tf.GradientTape() as tape:
        tape.watch(value)
        slots = rule.slots(PARAMS, {name: value}, {name: value})
        total = tf.reduce_sum(slots["v"]["up/bias"])
    assert tape.gradient(total, value) is None


def test_carried_statistics_are_constants_of_the_outer_loop():
    one = {"up/bias": PARAMS["up/bias"]}
    rules = rule(rmsprop(), statistics="carried")
    learned = rules._replace(statistics="learned")

    class Single(inner.InnerRule):
        def slots(self, params, inner, state):
            return super().slots(one, inner, state)

    name, value = "slots/v/up/bias", tf.constant([0.5, 1.0, 2.0], tf.float64)
    check_held(Single(*rules), name, value)
    with pytest.raises(AssertionError):
        check_held(Single(*learned), name, value)


def test_learned_squares_are_exponentials_and_moments_are_not():
    learned = rule(adam(), statistics="learned")
    initial, state = learned.init(PARAMS)
    assert state == {}
    names = [f"{slot}/{leaf}" for slot in "mv" for leaf in LEAVES]
    # Adam's count of steps is no quantity to be learned.
    assert set(initial) == {f"slots/{name}" for name in names}
    expected = {f"t/{leaf}": 0.0 for leaf in LEAVES}
    for leaf, x in LEAVES.items():
        expected[f"m/{leaf}"] = np.zeros(x.shape)
        expected[f"v/{leaf}"] = np.full(x.shape, math.exp(-14.0))
    check_start(learned, initial, {}, expected)

    values = {k: 0.7 + tf.zeros_like(x) for k, x in initial.items()}
    for leaf, x in LEAVES.items():
        expected[f"m/{leaf}"] = np.full(x.shape, 0.7)
        expected[f"v/{leaf}"] = np.full(x.shape, math.exp(0.7))
    check_start(learned, values, {}, expected)
    swapped = learned._replace(
        optimizer=adam()._replace(squares=("m",), moments=("v",))
    )
    with pytest.raises(AssertionError):
        check_start(swapped, values, {}, expected)


def test_learned_statistics_enter_the_first_step():
    learned = rule(rmsprop(), statistics="learned")
    initial, _ = learned.init(PARAMS)
    with tf.GradientTape() as tape:
        tape.watch(initial)
        slots = learned.slots(PARAMS, initial, {})
        direction, _ = learned.optimizer.update(ones(), slots)
        total = tf.reduce_sum(direction["up/bias"])
    # u = (rho e^s + (1 - rho) + eps)^(-1/2) at gradient 1, s = -14.
    start = 0.9 * math.exp(-14.0)
    inside = start + 0.1 + 1e-3
    assert float(total) == pytest.approx(3.0 * inside**-0.5, rel=1e-14)
    slope = tape.gradient(total, initial["slots/v/up/bias"])
    np.testing.assert_allclose(slope, -0.5 * start * inside**-1.5, rtol=1e-12)


@pytest.mark.parametrize("statistics", inner.STATISTICS)
def test_optimizer_without_statistics_has_nothing_to_keep(statistics):
    plain = rule(statistics=statistics)
    assert plain.init(PARAMS) == ({}, {})
    assert plain.slots(PARAMS, {}, {}) == {}
    assert plain.carried({}) == {}
