"""Inner optimisers equal their equations, and so do their derivatives."""

import inspect
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metagan import registry
from tf_metagan.core import optim

OPTIONS = {
    "inner_momentum": 0.8,
    "inner_rho": 0.9,
    "inner_beta1": 0.8,
    "inner_beta2": 0.95,
    "inner_epsilon": 1e-3,
    "epsilon_placement": "outside",
    "statistics_gradient": "full",
}
PLACEMENTS = ("inside", "outside")
EPSILON = OPTIONS["inner_epsilon"]

every_name = pytest.mark.parametrize("name", registry.INNER_OPTIMIZERS)
every_placement = pytest.mark.parametrize("placement", PLACEMENTS)


def make(name, **options):
    function = registry.find(registry.INNER_OPTIMIZERS, name)
    wanted = inspect.signature(function).parameters
    options = {**OPTIONS, **options}
    return function(**{k: options[k] for k in wanted})


def random_gradients(steps=6):
    """Return gradients of several leaves, some exactly zero at first."""
    rng = np.random.default_rng(0)
    shapes = {"a/kernel": (2, 3), "a/bias": (3,), "b/scale": ()}
    grads = [
        {k: np.asarray(rng.normal(size=s)) for k, s in shapes.items()}
        for _ in range(steps)
    ]
    for step in range(2):
        grads[step]["a/kernel"][0] = 0.0
    grads[0]["b/scale"] = np.zeros(())
    return grads


def run(optimizer, grads):
    """Return the direction of each step."""
    slots = optimizer.init(grads[0])
    directions = []
    for g in grads:
        g = {k: tf.constant(x) for k, x in g.items()}
        direction, slots = optimizer.update(g, slots)
        directions.append(direction)
    return directions


# Values, against the equations in NumPy.


def restated(name, grads, options):
    """The equations, for one leaf at a time."""
    o, m, v, result = options, 0.0, 0.0, []
    inside, e = o["epsilon_placement"] == "inside", o["inner_epsilon"]
    root = lambda v: np.sqrt(v + e) if inside else np.sqrt(v) + e
    rho, b1, b2 = o["inner_rho"], o["inner_beta1"], o["inner_beta2"]
    for t, g in enumerate(grads, 1):
        if name == "sgd":
            result.append(g)
        elif name == "momentum":
            m = g + o["inner_momentum"] * m
            result.append(m)
        elif name == "rmsprop":
            v = v + (1 - rho) * (g**2 - v)
            result.append(g / root(v))
        elif name == "adam":
            m, v = m + (1 - b1) * (g - m), v + (1 - b2) * (g**2 - v)
            result.append(m / (1 - b1**t) / root(v / (1 - b2**t)))
    return result


def check_values(name, optimizer, options):
    grads = random_gradients()
    directions = run(optimizer, grads)
    for leaf in grads[0]:
        expected = restated(name, [g[leaf] for g in grads], options)
        for direction, want in zip(directions, expected, strict=True):
            # A dozen operations; 1 - 0.95^t loses another digit.
            np.testing.assert_allclose(
                direction[leaf], want, rtol=1e-13, atol=0.0
            )


@every_name
@every_placement
def test_directions_equal_the_equations(name, placement):
    options = {**OPTIONS, "epsilon_placement": placement}
    check_values(name, make(name, **options), options)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("momentum", {"inner_momentum": 0.9}),
        ("rmsprop", {"inner_rho": 0.99}),
        ("rmsprop", {"inner_epsilon": 1e-4}),
        ("rmsprop", {"epsilon_placement": "inside"}),
        ("adam", {"epsilon_placement": "inside"}),
        ("adam", {"inner_beta1": 0.0}),
        ("adam", {"inner_beta2": 0.999}),
    ],
)
def test_other_constants_are_noticed(name, wrong):
    with pytest.raises(AssertionError):
        check_values(name, make(name, **wrong), OPTIONS)


def test_stopping_the_gradient_of_statistics_keeps_the_values():
    for name in ("rmsprop", "adam"):
        optimizer = make(name, statistics_gradient="stop")
        check_values(name, optimizer, OPTIONS)


def test_adam_without_momentum_is_debiased_rmsprop():
    """0^t must not become NaN (the settings of the paper on WGAN-GP)."""
    options = {**OPTIONS, "inner_beta1": 0.0}
    check_values("adam", make("adam", **options), options)


# Values, against Keras, which rounds some constants to float32: all of these
# have few binary digits.

RATE = 0.125
BINARY = {
    "inner_momentum": 0.75,
    "inner_rho": 0.90625,
    "inner_beta1": 0.75,
    "inner_beta2": 0.9375,
    "inner_epsilon": 2.0**-10,
}


def check_keras(optimizer, reference):
    grads = random_gradients()
    weights = {
        k: keras.Variable(x, dtype="float64") for k, x in grads[1].items()
    }
    ours = dict(grads[1])
    slots = optimizer.init(grads[0])
    for g in grads:
        g = {k: tf.constant(x) for k, x in g.items()}
        reference.apply([g[k] for k in weights], list(weights.values()))
        directions, slots = optimizer.update(g, slots)
        for k, variable in weights.items():
            ours[k] = ours[k] - RATE * directions[k]
            np.testing.assert_allclose(
                ours[k], variable.numpy(), rtol=1e-12, atol=1e-13
            )


def test_sgd_is_the_one_of_keras():
    check_keras(make("sgd"), keras.optimizers.SGD(RATE))
    with pytest.raises(AssertionError):
        check_keras(make("sgd"), keras.optimizers.SGD(RATE / 2))


def test_momentum_is_the_one_of_keras():
    def reference(**options):
        return keras.optimizers.SGD(RATE, momentum=0.75, **options)

    check_keras(make("momentum", **BINARY), reference())
    with pytest.raises(AssertionError):
        check_keras(make("momentum", **BINARY), reference(nesterov=True))


@pytest.mark.parametrize("rho", [0.90625, 0.9921875])
def test_rmsprop_inside_is_the_one_of_keras(rho):
    def reference():
        return keras.optimizers.RMSprop(RATE, rho=rho, epsilon=2.0**-10)

    options = {**BINARY, "inner_rho": rho, "epsilon_placement": "inside"}
    check_keras(make("rmsprop", **options), reference())
    for wrong in ({"inner_rho": 0.95}, {"epsilon_placement": "outside"}):
        with pytest.raises(AssertionError):
            check_keras(make("rmsprop", **{**options, **wrong}), reference())


def test_adam_differs_from_keras_by_the_place_of_epsilon_only():
    """Keras adds eps to the root before removing the bias."""

    def reference(epsilon):
        return keras.optimizers.Adam(
            RATE, beta_1=0.75, beta_2=0.9375, epsilon=epsilon
        )

    tiny = 2.0**-60
    check_keras(
        make("adam", **{**BINARY, "inner_epsilon": tiny}), reference(tiny)
    )
    with pytest.raises(AssertionError):
        check_keras(make("adam", **BINARY), reference(2.0**-10))


# Reach: steps with a constant gradient, in units of the rate.

REACH = {
    0.9: ("3.16 2.29 1.92 1.71 1.56 1.46 1.38 1.33 1.28 1.24", "17.3"),
    0.99: ("10.0 7.09 5.80 5.04 4.52 4.13 3.84 3.60 3.40 3.23", "50.6"),
}


def check_reach(rho, table, *, gradient=0.03):
    optimizer = make("rmsprop", inner_rho=rho, inner_epsilon=1e-12)
    grads = [{"w": np.array(gradient)}] * 10
    steps = [float(d["w"]) for d in run(optimizer, grads)]
    numbers, total = table
    pairs = zip([*steps, sum(steps)], [*numbers.split(), total], strict=True)
    for step, printed in pairs:
        decimals = len(printed.partition(".")[2])
        # Half a unit of the last digit printed, and rounding.
        assert abs(step - float(printed)) <= 0.5 * 10**-decimals + 1e-9


@pytest.mark.parametrize("rho", REACH)
def test_rmsprop_reaches_as_far_as_the_table_says(rho):
    check_reach(rho, REACH[rho])
    check_reach(rho, REACH[rho], gradient=70.0)
    with pytest.raises(AssertionError):
        check_reach(0.9 if rho == 0.99 else 0.99, REACH[rho])


def test_rmsprop_with_warm_statistics_moves_by_the_rate():
    optimizer = make("rmsprop", inner_epsilon=1e-12)
    slots = {"v": {"w": tf.constant(0.03**2, tf.float64)}}
    for _ in range(10):
        direction, slots = optimizer.update(
            {"w": tf.constant(0.03, tf.float64)}, slots
        )
        assert float(direction["w"]) == pytest.approx(1.0, rel=1e-9)


# Derivatives of the first direction u(g), from statistics of zero.


def derivatives(direction, g, order):
    if order == 0:
        return [direction(g)]
    with tf.GradientTape() as tape:
        tape.watch(g)
        lower = derivatives(direction, g, order - 1)
    last = tape.gradient(lower[-1], g)
    return [*lower, tf.zeros_like(g) if last is None else last]


def first_direction(optimizer):
    def direction(g):
        return optimizer.update({"w": g}, optimizer.init({"w": g}))[0]["w"]

    return direction


def slope_at_zero(placement):
    return 1 / math.sqrt(EPSILON) if placement == "inside" else 1 / EPSILON


def check_zero_gradient(direction, placement, dtype):
    """u(0) = 0, u'(0) = 1 / sqrt(eps) or 1 / eps, u''(0) = 0 since u is odd."""
    g = tf.zeros([2], dtype)
    value, first, second = derivatives(direction, g, 2)
    np.testing.assert_array_equal(value, 0.0)
    np.testing.assert_allclose(
        first,
        slope_at_zero(placement),
        rtol=1e-6 if dtype == tf.float32 else 1e-14,
    )
    np.testing.assert_array_equal(second, 0.0)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@pytest.mark.parametrize("statistics_gradient", ["full", "stop"])
@every_placement
@pytest.mark.parametrize("name", ["rmsprop", "adam"])
def test_zero_gradient_has_finite_derivatives(
    name, placement, statistics_gradient, dtype
):
    optimizer = make(
        name,
        epsilon_placement=placement,
        statistics_gradient=statistics_gradient,
    )
    check_zero_gradient(first_direction(optimizer), placement, dtype)


def plain_rmsprop(g):
    return g / (tf.sqrt(0.1 * tf.square(g)) + tf.cast(EPSILON, g.dtype))


@pytest.mark.parametrize(
    ("wrong", "placement"),
    [
        (plain_rmsprop, "outside"),  # NaN, as in other libraries
        (first_direction(make("rmsprop")), "inside"),
        (
            first_direction(make("rmsprop", epsilon_placement="inside")),
            "outside",
        ),
        (tf.sign, "outside"),
    ],
    ids=["plain", "outside", "inside", "masked"],
)
def test_wrong_derivatives_at_zero_are_noticed(wrong, placement):
    with pytest.raises(AssertionError):
        check_zero_gradient(wrong, placement, tf.float64)


def test_zero_gradient_has_finite_derivatives_through_several_steps():
    """A dead unit: the gradient stays zero for the whole inner loop."""
    for name in ("rmsprop", "adam"):
        optimizer = make(name, inner_epsilon=1e-8)
        g = tf.zeros([3], tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(g)
            w, slots = 0.0, optimizer.init({"w": g})
            for _ in range(3):
                direction, slots = optimizer.update({"w": g}, slots)
                w = w - 1e-4 * direction["w"]
        # Each step has slope rate / eps, whatever the bias correction.
        np.testing.assert_allclose(tape.gradient(w, g), -3e4, rtol=1e-12)


POINTS = np.array([-2.0, -1e-3, 1e-5, 0.02, 0.3, 5.0])


def exact_slope(placement, statistics_gradient):
    """u'(g) for RMSprop with v = c^2 g^2, c^2 = 1 - rho."""
    c, e, g = math.sqrt(1.0 - OPTIONS["inner_rho"]), EPSILON, np.abs(POINTS)
    return {
        ("inside", "full"): e / (c**2 * g**2 + e) ** 1.5,
        ("outside", "full"): e / (c * g + e) ** 2,
        ("inside", "stop"): 1.0 / np.sqrt(c**2 * g**2 + e),
        ("outside", "stop"): 1.0 / (c * g + e),
    }[placement, statistics_gradient]


def check_slope(optimizer, expected):
    slope = derivatives(first_direction(optimizer), tf.constant(POINTS), 1)[1]
    # The two terms of u' nearly cancel where |g| >> eps: up to 1e4 roundings.
    np.testing.assert_allclose(slope, expected, rtol=1e-10)


@pytest.mark.parametrize("statistics_gradient", ["full", "stop"])
@every_placement
def test_rmsprop_slope_is_the_closed_form(placement, statistics_gradient):
    options = {
        "epsilon_placement": placement,
        "statistics_gradient": statistics_gradient,
    }
    expected = exact_slope(placement, statistics_gradient)
    check_slope(make("rmsprop", **options), expected)
    swapped = {
        "epsilon_placement": {"inside": "outside", "outside": "inside"},
        "statistics_gradient": {"full": "stop", "stop": "full"},
    }
    for option, other in swapped.items():
        wrong = {**options, option: other[options[option]]}
        with pytest.raises(AssertionError):
            check_slope(make("rmsprop", **wrong), expected)


def check_memory(optimizer, expected):
    """Derivative of the second direction with respect to the first gradient."""
    first, second = tf.constant(0.3, tf.float64), tf.constant(-0.2, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(first)
        slots = optimizer.init({"w": first})
        _, slots = optimizer.update({"w": first}, slots)
        direction, _ = optimizer.update({"w": second}, slots)
    slope = tape.gradient(
        direction, {"g": first}, unconnected_gradients="zero"
    )["g"]
    assert float(slope) == pytest.approx(expected, rel=1e-12)


def test_statistics_pass_a_gradient_to_later_steps_unless_stopped():
    rho, e = OPTIONS["inner_rho"], EPSILON
    v = (1 - rho) * (rho * 0.3**2 + 0.2**2)
    slope = 0.2 * rho * (1 - rho) * 0.3 / (v + e) ** 1.5
    full = make("rmsprop", epsilon_placement="inside")
    stop = make(
        "rmsprop", epsilon_placement="inside", statistics_gradient="stop"
    )
    check_memory(full, slope)
    check_memory(stop, 0.0)
    with pytest.raises(AssertionError):
        check_memory(stop, slope)


def test_momentum_passes_a_gradient_to_later_steps():
    check_memory(make("momentum"), OPTIONS["inner_momentum"])
    check_memory(make("sgd"), 0.0)


def test_stopped_adam_differentiates_its_mean_only():
    b1, b2 = OPTIONS["inner_beta1"], OPTIONS["inner_beta2"]
    v = (1 - b2) * (b2 * 0.3**2 + 0.2**2) / (1 - b2**2)
    slope = b1 * (1 - b1) / (1 - b1**2) / (math.sqrt(v) + EPSILON)
    check_memory(make("adam", statistics_gradient="stop"), slope)
    with pytest.raises(AssertionError):
        check_memory(make("adam"), slope)


# Structure.


@every_name
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_slots_start_at_zero_and_keep_their_structure(name, dtype):
    optimizer = make(name)
    params = {"a": tf.ones([2, 3], dtype), "b": tf.ones([], dtype)}
    slots = optimizer.init(params)
    assert set(optimizer.squares) | set(optimizer.moments) <= set(slots)
    for x in tf.nest.flatten(slots):
        np.testing.assert_array_equal(x, tf.zeros_like(x))
    direction, after = optimizer.update(params, slots)
    tf.nest.assert_same_structure((direction, after), (params, slots))
    for x, y in zip(
        tf.nest.flatten((direction, after)),
        tf.nest.flatten((params, slots)),
        strict=True,
    ):
        assert (x.shape, x.dtype) == (y.shape, dtype)


@pytest.mark.parametrize(
    ("name", "squares", "moments"),
    [
        ("sgd", (), ()),
        ("momentum", (), ("m",)),
        ("rmsprop", ("v",), ()),
        ("adam", ("v",), ("m",)),
    ],
)
def test_squares_and_moments_are_told_apart(name, squares, moments):
    optimizer = make(name)
    assert (optimizer.squares, optimizer.moments) == (squares, moments)


@pytest.mark.parametrize("function", [optim.rmsprop, optim.adam])
@pytest.mark.parametrize(
    ("option", "message"),
    [
        (
            "epsilon_placement",
            r"epsilon_placement='x' is unknown. Use 'inside', .* 'outside'",
        ),
        (
            "statistics_gradient",
            r"statistics_gradient='x' is unknown. Use 'full' .* 'stop'",
        ),
    ],
)
def test_unknown_option_is_refused(function, option, message):
    with pytest.raises(ValueError, match=message):
        make(function.__name__, **{option: "x"})
