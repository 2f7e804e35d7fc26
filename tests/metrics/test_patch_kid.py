"""Patches in a network that nobody trained."""

import numpy as np
import pytest

from tests.metrics.test_single_image import photograph
from tf_metagan.metrics import patch_kid


def apart(real, fakes, **options):
    return patch_kid.patch_kid(
        real, fakes, patches=1000, subset_size=200, subsets=20, **options
    )


def test_patches_of_the_photograph_itself_are_not_apart():
    image = photograph()
    own = apart(image, image[np.newaxis])
    assert abs(own.mean) < 3 * own.ci95


def test_texture_counts_and_not_only_colour():
    image = photograph()
    draw = np.random.default_rng(0)
    shuffled = draw.permutation(image.reshape(-1, 3)).reshape(image.shape)
    own = apart(image, image[np.newaxis]).mean
    assert apart(image, shuffled[np.newaxis]).mean > 10 * abs(own)
    other = photograph(3)
    assert apart(image, other[np.newaxis]).mean > 10 * abs(own)


def test_equal_seeds_give_equal_numbers():
    image, other = photograph(), photograph(1)[np.newaxis]
    assert apart(image, other, seed=3) == apart(image, other, seed=3)
    assert apart(image, other, seed=3) != apart(image, other, seed=4)


def test_the_network_is_the_same_for_everybody():
    rows = np.ones([1, 192])
    found = patch_kid.features(rows)
    assert found.shape == (1, 64)
    assert found.sum() == pytest.approx(float(patch_kid.features(rows).sum()))


def test_images_without_patches_are_refused():
    image = photograph()
    with pytest.raises(ValueError, match="hold no patch of 8 x 8"):
        apart(image, image[np.newaxis, :7])
