"""Sizes of the scales of a pyramid."""

import pytest
import tensorflow as tf

from tf_metagan.gan import scale_sizes

SIZES = {"scale_factor": 0.6, "pyramid_sizes": "exact"}


def published(smallest):
    return scale_sizes.widths(
        250,
        smallest_size=smallest,
        scale_factor=0.6,
        pyramid_sizes="as_published",
    )


def test_widths_and_heights_of_the_paper():
    exact = scale_sizes.widths(250, smallest_size=25, **SIZES)
    assert exact == (25, 37, 54, 80, 117, 171, 250)
    assert published(25) == (26, 37, 54, 80, 117, 171, 250)
    heights = [h for h, _ in scale_sizes.sizes(187, published(25))]
    assert heights == [19, 27, 40, 60, 87, 128, 187]
    assert published(28) == (28, 41, 59, 84, 121, 174, 250)
    heights = [h for h, _ in scale_sizes.sizes(187, published(28))]
    assert heights == [21, 30, 44, 63, 90, 130, 187]


def test_heights_of_a_tensor_are_those_of_a_number():
    widths = scale_sizes.widths(64, smallest_size=18, **SIZES)
    for height in (42, 48, 64, 99):
        plain = scale_sizes.sizes(height, widths)
        found = scale_sizes.sizes(tf.constant(height), widths)
        assert [(int(h), w) for h, w in found] == plain
        assert plain[-1] == (height, 64)


def test_pyramid_without_scales_is_refused():
    with pytest.raises(ValueError, match=r"--smallest_size=64 leaves no"):
        scale_sizes.widths(64, smallest_size=64, **SIZES)


def test_photograph_lower_than_a_patch_is_refused():
    scale_sizes.check_patches(16, (16, 20, 24))
    with pytest.raises(
        ValueError, match=r"15 x 24 pixels is 10 x 16 at the .* 11 x 11"
    ):
        scale_sizes.check_patches(15, (16, 20, 24))
