"""Penalties equal their formulas on critics whose slope is known."""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan import registry
from tf_metagan.core import rng
from tf_metagan.gan import penalties

SEED = rng.make_seed(1)
SHAPE = (4, 3, 3, 2)
NORMS = ("sample", "pixel", "channel")
WEIGHT = 7.0

every_norm = pytest.mark.parametrize("norm", NORMS)


def images(seed):
    values = np.random.default_rng(seed).uniform(-1.0, 1.0, SHAPE)
    return tf.constant(values)


REAL, FAKE = images(1), images(2)


def linear(weights):
    """D(x) = <w, x>: the slope is w at every image."""
    return lambda x: tf.reduce_sum(weights * x, axis=[1, 2, 3])[:, None]


def direction(length):
    """Return weights [3, 3, 2] of a given norm, no two alike."""
    w = np.random.default_rng(3).normal(size=SHAPE[1:])
    return length * w / np.sqrt(np.sum(w**2))


def gradient(norm, weight=WEIGHT):
    return penalties.gradient(penalty_weight=weight, penalty_norm=norm)


# A norm of nearly zero is 1e-6 instead, hence the absolute tolerance: its
# square enters as 2e-6 times the weight where w = 0, as 1e-12 elsewhere.


def closed_form(norm, w):
    axes = {"sample": (0, 1, 2), "pixel": (2,), "channel": (0, 1)}[norm]
    norms = np.sqrt(np.sum(w**2, axis=axes) + 1e-12)
    return WEIGHT * np.mean((norms - 1.0) ** 2)


def check_linear(penalty, expected, length):
    critic = linear(tf.constant(direction(length)))
    got = penalty(critic, REAL, FAKE, SEED)
    assert got.shape == ()
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("length", [0.0, 0.5, 1.5, 3.0])
@every_norm
def test_gradient_penalty_of_a_linear_critic_is_the_closed_form(norm, length):
    expected = closed_form(norm, direction(length))
    check_linear(gradient(norm), expected, length)
    if length:
        for other in set(NORMS) - {norm}:
            with pytest.raises(AssertionError):
                check_linear(gradient(other), expected, length)
        with pytest.raises(AssertionError):
            check_linear(gradient(norm, 10.0), expected, length)


def check_sample(penalty, length):
    critic = linear(tf.constant(direction(length)))
    got = penalty(critic, REAL, FAKE, SEED)
    # sqrt(c^2 + 1e-12) is c + 5e-13 / c.
    expected = WEIGHT * (length - 1.0) ** 2
    np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("length", [0.5, 1.0, 2.0, 5.0])
def test_penalty_over_the_sample_pulls_the_norm_of_the_slope_to_one(length):
    check_sample(gradient("sample"), length)
    for norm in ("pixel", "channel"):
        with pytest.raises(AssertionError):
            check_sample(gradient(norm), length)


def test_penalty_over_pixels_pulls_a_grey_image_to_its_number_of_pixels():
    """FIGR's: with one channel every derivative is pulled to one."""
    w = tf.ones([3, 3, 1], tf.float64)
    grey = REAL[..., :1]
    pixel = gradient("pixel")(linear(w), grey, grey, SEED)
    sample = gradient("sample")(linear(w), grey, grey, SEED)
    np.testing.assert_allclose(pixel, 0.0, atol=1e-20)
    # The norm over all 9 pixels is 3 instead of 1.
    np.testing.assert_allclose(sample, WEIGHT * 4.0, rtol=1e-11)


def test_gradient_penalty_has_the_right_slope_in_the_weights():
    """d weight (c - 1)^2 / dw = 2 weight (c - 1) w / c."""
    for length in (0.25, 3.0):
        w = tf.constant(direction(length))
        with tf.GradientTape() as tape:
            tape.watch(w)
            value = gradient("sample")(linear(w), REAL, FAKE, SEED)
        expected = 2.0 * WEIGHT * (length - 1.0) * w / length
        np.testing.assert_allclose(
            tape.gradient(value, w), expected, rtol=1e-10
        )


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
@every_norm
def test_gradient_penalty_is_smooth_for_a_critic_without_slope(norm, dtype):
    w = tf.zeros(SHAPE[1:], dtype)
    real, fake = tf.cast(REAL, dtype), tf.cast(FAKE, dtype)
    with tf.GradientTape() as outer:
        outer.watch(w)
        with tf.GradientTape() as inner:
            inner.watch(w)
            value = gradient(norm)(linear(w), real, fake, SEED)
        first = inner.gradient(value, w)
    assert value.dtype == dtype
    np.testing.assert_allclose(value, WEIGHT, rtol=1e-5)
    np.testing.assert_array_equal(first, 0.0)
    assert np.all(np.isfinite(outer.gradient(first, w)))


def test_figr_norm_is_the_one_over_channels_of_a_pixel():
    published = penalties.gradient_figr_as_published(penalty_weight=WEIGHT)
    check_linear(published, closed_form("pixel", direction(2.0)), 2.0)
    with pytest.raises(AssertionError):
        check_sample(published, 2.0)


# Where the slope is taken.


def seen_by(penalty, seed=SEED):
    """Return e [n, 3, 3, 2] with x = e real + (1 - e) fake, per element."""
    seen = []

    def critic(x):
        seen.append(x.numpy())
        return linear(tf.ones([], tf.float64))(x)

    penalty(critic, REAL, FAKE, seed)
    (x,) = seen
    return (x - FAKE.numpy()) / (REAL.numpy() - FAKE.numpy())


def check_interpolation(penalty):
    e = seen_by(penalty).reshape(SHAPE[0], -1)
    # Constant within a sample, up to the cancellation in `seen_by`.
    assert np.max(np.ptp(e, axis=1)) < 1e-10
    assert np.all((e > 0.0) & (e < 1.0))
    assert np.var(e[:, 0]) > 1e-3
    other = seen_by(penalty, rng.make_seed(2)).reshape(SHAPE[0], -1)
    assert np.all(np.abs(other - e) > 1e-3)


def interpolating(shape, *, stretch=1.0):
    def penalty(critic, real, fake, seed):
        e = stretch * rng.uniform(seed, shape, real.dtype)
        critic(e * real + (1.0 - e) * fake)

    return penalty


@every_norm
def test_every_sample_has_one_interpolation_coefficient(norm):
    check_interpolation(gradient(norm))


@pytest.mark.parametrize(
    "wrong",
    [
        interpolating([1, 1, 1, 1]),
        interpolating(SHAPE),
        interpolating([SHAPE[0], 1, 1, 1], stretch=5.0),
        lambda critic, real, fake, seed: critic(real),
    ],
    ids=["one_per_batch", "one_per_element", "beyond", "real"],
)
def test_other_interpolations_are_noticed(wrong):
    with pytest.raises(AssertionError):
        check_interpolation(wrong)


def test_interpolation_coefficients_are_uniform():
    """Half of them below 1/2: 5 standard deviations of a fair coin."""
    values = np.concatenate(
        [
            seen_by(gradient("sample"), rng.make_seed(i))[:, 0, 0, 0]
            for i in range(100)
        ]
    )
    assert abs(np.mean(values) - 0.5) < 5.0 / np.sqrt(12 * values.size)
    assert abs(np.mean(values < 0.5) - 0.5) < 2.5 / np.sqrt(values.size)


# R1 and none.


def half_square(x):
    """D(x) = |x|^2 / 2: the slope is x."""
    return 0.5 * tf.reduce_sum(x**2, axis=[1, 2, 3])[:, None]


def check_r1(penalty):
    expected = 0.5 * WEIGHT * np.mean(np.sum(REAL.numpy() ** 2, (1, 2, 3)))
    got = penalty(half_square, REAL, FAKE, SEED)
    np.testing.assert_allclose(got, expected, rtol=1e-14)
    critic = linear(tf.constant(direction(3.0)))
    got = penalty(critic, REAL, FAKE, SEED)
    np.testing.assert_allclose(got, 0.5 * WEIGHT * 9.0, rtol=1e-14)


def test_r1_is_half_the_mean_square_slope_at_real_images():
    penalty = penalties.r1(penalty_weight=WEIGHT)
    check_r1(penalty)
    for wrong in (
        lambda critic, real, fake, seed: penalty(critic, fake, real, seed),
        penalties.r1(penalty_weight=2.0 * WEIGHT),
        gradient("sample"),
    ):
        with pytest.raises(AssertionError):
            check_r1(wrong)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_no_penalty_is_zero_and_does_not_ask_the_critic(dtype):
    real = tf.cast(REAL, dtype)
    value = penalties.none()(None, real, real, SEED)
    assert value.dtype == dtype
    np.testing.assert_array_equal(value, 0.0)


@pytest.mark.parametrize("name", registry.PENALTIES)
def test_penalty_takes_a_batch_of_unknown_size(name):
    make = registry.find(registry.PENALTIES, name)
    options = {"penalty_weight": WEIGHT, "penalty_norm": "sample"}
    wanted = inspect.signature(make).parameters
    penalty = make(**{k: options[k] for k in wanted})
    graph = tf.function(
        lambda real, fake: penalty(half_square, real, fake, SEED),
        input_signature=[tf.TensorSpec([None, *SHAPE[1:]], tf.float64)] * 2,
        autograph=False,
    )
    for count in (1, 4):
        real, fake = REAL[:count], FAKE[:count]
        np.testing.assert_allclose(
            graph(real, fake),
            penalty(half_square, real, fake, SEED),
            rtol=1e-14,
        )


def test_unknown_norm_is_refused():
    with pytest.raises(
        ValueError,
        match=r"penalty_norm='image' is unknown. Use one of sample, pixel, ",
    ):
        gradient("image")
