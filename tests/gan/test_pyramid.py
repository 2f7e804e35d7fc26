"""Stacks of a pyramid and the matrices that resize images."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tf_metagan.gan import pyramid, resampling, sample_conv


def test_bilinear_keeps_corners_and_lines():
    line = np.linspace(-1.0, 1.0, 5)
    matrix = resampling.bilinear(5, 8, dtype=tf.float64)
    np.testing.assert_allclose(
        matrix @ line[:, None], np.linspace(-1, 1, 8)[:, None], atol=1e-15
    )
    shifted = tf.image.resize(line[None, :, None, None], (8, 1))[0, :, 0]
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(shifted, np.linspace(-1, 1, 8)[:, None])


@pytest.mark.parametrize("size", [(9, 7), (30, 50), (20, 31)])
def test_bicubic_is_pillows(size):
    image = np.random.default_rng(0).uniform(size=(20, 31)).astype("float32")
    pillow = PIL.Image.fromarray(image).resize(
        size[::-1], PIL.Image.Resampling.BICUBIC
    )
    found = resampling.resize(
        image[None, :, :, None], size, resampling.bicubic
    )[0, :, :, 0]
    np.testing.assert_allclose(found, np.asarray(pillow), atol=1e-5)


def test_shrinking_has_more_levels_than_128():
    """What the public program's way through [0, 1] and bytes leaves."""
    noise = tf.random.stateless_uniform([1, 64, 64, 1], [1, 2], -1)
    small = pyramid.shrink(noise, (48, 48))
    levels = len(np.unique(small))
    assert levels > 2000
    quantised = np.round((small + 1) / 2 * 127)
    assert len(np.unique(quantised)) <= 128


def shapes(dtype="float64", n=3):
    generator = np.random.default_rng(0)
    images = generator.normal(size=[n, 2, 7, 9, 4]).astype(dtype)
    kernels = generator.normal(size=[n, 3, 3, 4, 5]).astype(dtype)
    return tf.constant(images), tf.constant(kernels)


def slopes(form, images, kernels):
    with tf.GradientTape() as tape:
        tape.watch((images, kernels))
        found = form(images, kernels)
        value = tf.reduce_sum(tf.sin(found))
    return found, *tape.gradient(value, (images, kernels))


@pytest.mark.parametrize("name", ["grouped", "patches"])
def test_forms_of_convolution_agree_with_a_loop(name):
    images, kernels = shapes("float32")
    for ours, loop in zip(
        slopes(sample_conv.FORMS[name], images, kernels),
        slopes(sample_conv.loop, images, kernels),
        strict=True,
    ):
        np.testing.assert_allclose(ours, loop, rtol=1e-5, atol=1e-4)
    turned = tf.reverse(kernels, [0])  # every image has another's weights
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            sample_conv.FORMS[name](images, turned),
            sample_conv.loop(images, kernels),
            atol=1e-4,
        )


def test_form_is_chosen_by_device():
    gpu = tf.config.list_physical_devices("GPU")
    expected = sample_conv.grouped if gpu else sample_conv.loop
    assert sample_conv.choose("auto") is expected
    assert sample_conv.choose("patches") is sample_conv.patches


@pytest.mark.parametrize("player", ["d", "g"])
def test_stack_scales_raw_numbers_by_fan_in(player):
    layers = pyramid.stack(3, 64, slope=0.02, player=player)
    gains = [x.gain for x in layers]
    assert gains[:4] == [pytest.approx(1.41393, abs=1e-5)] * 4
    assert gains[4] == (5 / 3 if player == "g" else 1.0)
    for layer in layers:
        sizes = {k: int(np.prod(s)) for k, s in layer.shapes().items()}
        raw = {name: tf.ones([2, size]) for name, size in sizes.items()}
        scaled = layer.scaled(raw)
        fan_in = 9 * layer.inputs
        np.testing.assert_allclose(
            scaled["kernel"], layer.gain / np.sqrt(fan_in), rtol=1e-6
        )
        np.testing.assert_allclose(
            scaled["bias"], 1 / np.sqrt(layer.inputs), rtol=1e-6
        )


def test_map_of_the_critic_is_ten_smaller_and_generator_keeps_size():
    nets = pyramid.Nets(sample_conv.loop, tf.nn.relu)
    weights = {
        player: {
            x.name: x.scaled(
                {
                    name: tf.ones([2, int(np.prod(shape))])
                    for name, shape in x.shapes().items()
                }
            )
            for x in pyramid.stack(3, 4, slope=0.02, player=player)
        }
        for player in ("d", "g")
    }
    z = tf.zeros([2, 1, 13, 17, 3])
    coarse = nets.begin(weights["g"], z)
    assert coarse.shape == z.shape
    fine = nets.refine(weights["g"], coarse, (15, 20))
    assert fine.shape == (2, 1, 15, 20, 3)
    assert nets.judge(weights["d"], fine).shape == (2, 1, 5, 10, 1)
