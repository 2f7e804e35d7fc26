"""Roots and norms have finite, right derivatives, at zero too."""

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.core import numerics


def derivatives(function, x, order):
    """Return f, f', f'', ... of a function that acts on each element."""
    if order == 0:
        return [function(x)]
    with tf.GradientTape() as tape:
        tape.watch(x)
        lower = derivatives(function, x, order - 1)
    last = tape.gradient(lower[-1], x)
    return [*lower, tf.zeros_like(x) if last is None else last]


def check_root(root, x, dtype, *, tolerance):
    x = tf.constant(x, dtype)
    got = derivatives(root, x, 3)
    exact = np.asarray(x, np.float64)
    above = exact > 1e-24
    inside = np.where(above, exact, 1.0)
    for power, factor, value in zip(
        (0.5, -0.5, -1.5, -2.5), (1.0, 0.5, -0.25, 0.375), got, strict=True
    ):
        assert value.dtype == dtype
        expected = np.where(above, factor * inside**power, 0.0)
        np.testing.assert_allclose(value, expected, rtol=tolerance)


def test_safe_sqrt_is_the_root_and_zero_near_zero():
    x = [0.0, 1e-30, 0.99e-24, 1.01e-24, 1e-12, 0.25, 4.0, 1e6]
    # Three divisions of one rounding each.
    check_root(numerics.safe_sqrt, x, tf.float64, tolerance=1e-14)
    # In float32 the third derivative at 1e-24 would exceed the range.
    x = [0.0, 1e-30, 1e-14, 0.25, 4.0, 1e6]
    check_root(numerics.safe_sqrt, x, tf.float32, tolerance=2e-6)
    for wrong in (
        tf.sqrt,
        lambda x: tf.where(x > 1e-24, tf.sqrt(x), 0.0),  # a single where
        lambda x: tf.sqrt(x + 1e-24),
    ):
        with pytest.raises(AssertionError):
            check_root(wrong, [0.0, 0.25], tf.float64, tolerance=1e-14)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_safe_sqrt_is_finite_to_second_order_just_above_its_threshold(dtype):
    x = tf.constant([1.01e-24, 2e-24], dtype)
    for value in derivatives(numerics.safe_sqrt, x, 2):
        assert np.all(np.isfinite(value))
        assert np.all(value != 0.0)


def check_absolute_value(root):
    """The root of a square at zero: the chain rule multiplies 0 by 1 / 0."""
    x = tf.constant([0.0, -2.0, 3.0], tf.float64)
    value, first, second = derivatives(lambda x: root(x * x), x, 2)
    np.testing.assert_allclose(value, [0.0, 2.0, 3.0], rtol=1e-15)
    np.testing.assert_allclose(first, [0.0, -1.0, 1.0], rtol=1e-15)
    np.testing.assert_allclose(second, 0.0, atol=1e-15)


def test_safe_sqrt_of_a_square_has_finite_derivatives_at_zero():
    check_absolute_value(numerics.safe_sqrt)
    with pytest.raises(AssertionError):
        check_absolute_value(tf.sqrt)


def test_norm_covers_its_axes():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    for axis in ((1, 2, 3), (3,), (1, 2)):
        expected = np.sqrt(np.sum(x**2, axis=axis) + 1e-12)
        got = numerics.norm(tf.constant(x), axis=axis)
        np.testing.assert_allclose(got, expected, rtol=1e-14)


def check_norm_at_zero(norm, dtype):
    """sqrt(x.x + e) at 0: value sqrt(e), gradient 0, curvature 1 / sqrt(e)."""
    x = tf.zeros([1, 2], dtype)
    value, first, second = derivatives(norm, x, 2)
    tolerance = 1e-6 if dtype == tf.float32 else 1e-12
    np.testing.assert_allclose(value, [1e-6], rtol=tolerance)
    np.testing.assert_array_equal(first, [[0.0, 0.0]])
    # `derivatives` sums a row of the Hessian; off the diagonal it is zero.
    np.testing.assert_allclose(second, [[1e6, 1e6]], rtol=tolerance)


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_norm_is_smooth_at_zero(dtype):
    check_norm_at_zero(lambda x: numerics.norm(x, axis=(1,)), dtype)
    for wrong in (
        lambda x: tf.norm(x, axis=1),
        lambda x: numerics.safe_sqrt(tf.reduce_sum(x * x, 1)),
        lambda x: tf.norm(x, axis=1) + 1e-6,
    ):
        with pytest.raises(AssertionError):
            check_norm_at_zero(wrong, dtype)
