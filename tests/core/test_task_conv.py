"""Convolutions with kernels per task beside one convolution for each task."""

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.core import task_conv

TASKS, IMAGES, CHANNELS, FILTERS = 2, 3, 2, 4

# Sums of a few dozen products in another order.
ROUNDING = 1e-13

# (height, width), (rows, columns) of the kernel, strides, padding of TensorFlow
SHAPES = {
    "down": ((8, 6), (4, 4), (2, 2), "SAME"),
    "odd side": ((7, 9), (4, 4), (2, 2), "SAME"),
    "five": ((5, 6), (5, 5), (1, 1), "SAME"),
    "valid": ((6, 7), (3, 3), (1, 1), "VALID"),
    "pixel": ((4, 4), (1, 1), (1, 1), "SAME"),
    "left over": ((8, 8), (3, 2), (3, 2), "VALID"),
    "sparse": ((9, 8), (2, 1), (4, 3), "SAME"),
    "explicit": ((6, 6), (3, 4), (2, 1), [[0, 0], [2, 0], [1, 3], [0, 0]]),
}


def draw(*shape):
    seed = np.random.default_rng(shape)
    return tf.constant(seed.normal(size=shape))


def window(image, size, strides, padding):
    if padding == "SAME":
        return task_conv.same(size, strides, image)
    if padding == "VALID":
        return task_conv.Window(size, strides, (0, 0), (0, 0))
    _, (top, bottom), (left, right), _ = padding
    return task_conv.Window(size, strides, (top, left), (bottom, right))


def one_by_one(images, kernels, strides, padding):
    """Return the outputs and the function of their slopes to gradients."""
    with tf.GradientTape() as tape:
        tape.watch((images, kernels))
        found = tf.stack(
            [
                tf.nn.conv2d(x, w, strides, padding)
                for x, w in zip(
                    tf.unstack(images), tf.unstack(kernels), strict=True
                )
            ]
        )
    return found, lambda slopes: tape.gradient(
        found, (images, kernels), output_gradients=slopes
    )


def check(case, *, changed=lambda x: x):
    image, size, strides, padding = SHAPES[case]
    images = draw(TASKS, IMAGES, *image, CHANNELS)
    kernels = draw(TASKS, *size, CHANNELS, FILTERS)
    place = changed(window(image, size, strides, padding))
    wanted, gradients = one_by_one(images, kernels, strides, padding)
    slopes = draw(*wanted.shape)
    of_images, of_kernels = gradients(slopes)
    for ours, theirs in (
        (task_conv.convolve(images, kernels, place), wanted),
        (task_conv.kernel_gradient(images, slopes, place), of_kernels),
        (
            task_conv.image_gradient(kernels, slopes, place, image),
            of_images,
        ),
    ):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("case", SHAPES)
def test_equals_a_convolution_for_each_task(case):
    check(case)


def test_padding_on_the_other_side_is_noticed():
    def swapped(place):
        return place._replace(before=place.after, after=place.before)

    with pytest.raises(AssertionError):
        check("explicit", changed=swapped)


def test_kernels_are_those_of_the_task():
    images = tf.ones([2, 1, 4, 4, 1])
    kernels = tf.reshape([1.0, 10.0], [2, 1, 1, 1, 1])
    place = task_conv.same((1, 1), (1, 1), (4, 4))
    found = task_conv.convolve(images, kernels, place)
    np.testing.assert_array_equal(found[:, 0, 0, 0, 0], [1.0, 10.0])
