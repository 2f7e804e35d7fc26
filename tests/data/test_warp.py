"""Elastic distortion: identity, exact shifts, strength in pixels."""

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.data import warp


def pictures(n=3, height=9, width=11, channels=2, dtype="float64"):
    shape = [n, height, width, channels]
    return rng.uniform(rng.make_seed(1), shape, dtype)


def knots(n=3, seed=2, dtype="float64"):
    return rng.normal(rng.make_seed(seed), [n, warp.GRID, warp.GRID, 2], dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_elastic_of_strength_zero_is_identity(dtype):
    images = pictures(dtype=dtype)
    out = warp.elastic(images, knots(dtype=dtype), strength=0.0)
    assert out.dtype == dtype
    assert (out.numpy() == images.numpy()).all()


def displacement(strength, *, n=400, side=16):
    """Measure the displacement by distorting the coordinates themselves."""
    y, x = np.mgrid[0:side, 0:side].astype("float64")
    images = np.broadcast_to(np.stack([y, x], -1), (n, side, side, 2))
    out = warp.elastic(
        tf.constant(images), knots(n=n), strength=strength
    ).numpy()
    return out - images


def check_strength(moved, strength):
    """Check the root mean square far from the border, where none is cut off.

    400 images and 5 x 5 knots leave an error of about 1 / sqrt(400 * 4).
    """
    inner = moved[:, 6:-6, 6:-6]
    assert np.sqrt((inner**2).mean()) == pytest.approx(strength, rel=0.1)
    assert abs(inner.mean()) < 0.1 * strength


def test_elastic_displaces_by_its_strength_in_pixels():
    check_strength(displacement(1.0), 1.0)
    with pytest.raises(AssertionError):
        check_strength(displacement(1.5), 1.0)


def test_elastic_is_smooth():
    moved = displacement(1.0)[:, 4:-4, 4:-4]
    step = np.diff(moved, axis=1)
    assert np.sqrt((step**2).mean()) < 0.5 * np.sqrt((moved**2).mean())


def test_elastic_stays_within_the_values_of_the_image():
    images = pictures()
    out = warp.elastic(images, knots(), strength=5.0).numpy()
    assert out.min() >= images.numpy().min()
    assert out.max() <= images.numpy().max()
    assert not np.allclose(out, images)


def test_elastic_equals_bilinear_interpolation_pixel_by_pixel():
    images, random = pictures(n=2), knots(n=2)
    out = warp.elastic(images, random, strength=1.5).numpy()
    n, height, width, _ = images.shape
    rows, columns = warp._spline_weights(height), warp._spline_weights(width)
    for i in range(n):
        for h in range(height):
            for w in range(width):
                move = 1.5 * np.einsum(
                    "i,ijd,j->d", rows[h], random[i].numpy(), columns[w]
                )
                y = np.clip(h + move[0], 0, height - 1)
                x = np.clip(w + move[1], 0, width - 1)
                top = min(int(y), height - 2)
                left = min(int(x), width - 2)
                near = images[i].numpy()[top : top + 2, left : left + 2]
                share_y = np.array([top + 1 - y, y - top])
                share_x = np.array([left + 1 - x, x - left])
                wanted = np.einsum("i,ijc,j->c", share_y, near, share_x)
                assert out[i, h, w] == pytest.approx(wanted, abs=1e-12)
