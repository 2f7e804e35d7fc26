"""Metrics of one photograph and its samples."""

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.data import landscapes
from tf_metagan.metrics import single_image


def photograph(number=0, width=64):
    drawn = landscapes.draw(np.random.default_rng(number), width)
    return drawn / 127.5 - 1.0


def test_laplacian_pyramid_adds_up_to_the_image():
    image = photograph()[np.newaxis]
    fine, middle, coarse = single_image.laplacian(image, 3)
    assert coarse.shape == (1, 12, 16, 3)
    smooth = single_image.laplacian(image, 2)[1]
    np.testing.assert_allclose(fine[:, ::2, ::2] + smooth, image[:, ::2, ::2])
    np.testing.assert_allclose(
        middle[:, ::2, ::2] + coarse, smooth[:, ::2, ::2], atol=1e-12
    )


def test_patch_swd_orders_by_likeness():
    image = photograph()
    others = np.random.default_rng(0).permutation(image.reshape(-1, 3))
    shuffled = others.reshape(1, *image.shape)
    options = {"patches": 1000, "projections": 64}

    def distance(fakes):
        return single_image.patch_swd(image, fakes, **options)

    itself = distance(image[np.newaxis])
    mirrored = distance(image[np.newaxis, :, ::-1])
    other = distance(photograph(4)[np.newaxis])
    noise = distance(shuffled)
    assert max(itself) < 0.1
    assert np.mean(mirrored) < 0.5 * np.mean(other)
    # Equal colours in other places: seen on the finest level.
    assert noise[0] > 5 * itself[0]


def test_patch_swd_refuses_levels_without_patches():
    image = photograph(width=32)
    with pytest.raises(ValueError, match="3 pixels on level 4"):
        single_image.patch_swd(image, image[np.newaxis], levels=4)


def test_levels_of_odd_sizes_are_rounded_up():
    image = photograph()[:27]  # 27, 14 and 7 rows
    assert [x.shape[1] for x in single_image.laplacian(image[None], 3)] == [
        27,
        14,
        7,
    ]
    options = {"patches": 50, "projections": 8}
    found = single_image.patch_swd(image, image[None], **options)
    assert len(found) == 3
    with pytest.raises(ValueError, match="4 pixels on level 4"):
        single_image.patch_swd(image, image[None], levels=4)


def test_pixel_diversity_by_hand():
    real = np.zeros([2, 2, 1])
    real[0] = 1.0  # deviation 1/2
    fakes = np.stack([np.full([2, 2, 1], x) for x in (0.0, 0.5)])
    assert single_image.pixel_diversity(fakes, real) == pytest.approx(0.5)
    same = np.stack([real, real])
    assert single_image.pixel_diversity(same, real) == 0.0
    with pytest.raises(ValueError, match="1 samples"):
        single_image.pixel_diversity(fakes[:1], real)
    grey = np.full([7, 7, 3], 0.1)  # whose deviation is 1e-17 by rounding
    assert grey.std() > 0.0
    with pytest.raises(ValueError, match="contrast 0 tell no diversity"):
        single_image.pixel_diversity(np.stack([grey, -grey]), grey)


def test_psnr_by_hand():
    a = np.zeros([4, 4, 3])
    assert single_image.psnr(a, a + 0.2) == pytest.approx(20.0)
    assert single_image.psnr(a, a) == np.inf


def test_ssim_is_that_of_tensorflow():
    a, b = photograph(0), 0.6 * photograph(0) + 0.4 * photograph(1)
    ours = single_image.ssim(a, b)
    theirs = tf.image.ssim(
        tf.constant(a, tf.float32), tf.constant(b, tf.float32), max_val=2.0
    )
    assert ours == pytest.approx(float(theirs), abs=1e-4)
    assert single_image.ssim(a, a) == pytest.approx(1.0)
    with pytest.raises(AssertionError):
        assert ours == pytest.approx(single_image.ssim(a, a), abs=1e-4)


def test_ssim_refuses_small_images():
    with pytest.raises(ValueError, match="8 x 8 pixels is smaller"):
        single_image.ssim(np.zeros([8, 8, 1]), np.zeros([8, 8, 1]))
