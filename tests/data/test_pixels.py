"""Sizes, frames and channels of pictures."""

import numpy as np
import pytest
from PIL import Image

from tf_metagan.data import pixels


def grey(array):
    return Image.fromarray(np.asarray(array, np.uint8))


def fit(image, image_size, **changes):
    given = {"channels": 1, "strokes": True, **changes}
    return pixels.fit(image, image_size=image_size, **given)


def test_strokes_that_fit_are_framed_with_their_ground():
    image = np.full([3, 5], 7)
    image[1, 2] = 200
    out = fit(grey(image), 8)
    assert out.shape == (8, 8, 1)
    assert out[3, 3, 0] == 200
    assert (np.delete(out.ravel(), 8 * 3 + 3) == 7).all()


def test_strokes_of_the_right_size_are_untouched():
    image = np.arange(64).reshape(8, 8)
    assert (fit(grey(image), 8)[..., 0] == image).all()


def test_strokes_shrink_by_averages_over_areas():
    image = np.zeros([12, 12])
    image[5, :] = 240
    out = fit(grey(image), 4)[..., 0]
    assert (out[1] == 80).all()
    assert (np.delete(out, 1, axis=0) == 0).all()


def test_strokes_grow_by_whole_factors():
    out = fit(grey(np.full([5, 5], 100)), 12)
    assert (out == 100).all()
    drawing = np.zeros([5, 5])
    drawing[2, 2] = 255
    out = fit(grey(drawing), 12)[..., 0]
    rows = np.flatnonzero(out.max(axis=1) > 100)
    assert rows.tolist() == [5, 6]


def test_long_strokes_are_kept_whole():
    image = np.zeros([4, 40])
    image[:, 0] = image[:, -1] = 255
    out = fit(grey(image), 20)[..., 0]
    assert (out[9:11, 0] > 100).all()
    assert (out[9:11, -1] > 100).all()
    assert out[:8].max() == 0


def test_photographs_are_cropped_to_the_central_square():
    image = np.zeros([10, 30, 3], np.uint8)
    image[:, 10:20] = 90
    out = fit(Image.fromarray(image), 5, channels=3, strokes=False)
    assert out.shape == (5, 5, 3)
    assert (out == 90).all()
    with pytest.raises(AssertionError):
        assert (fit(Image.fromarray(image), 5, channels=3) == 90).all()


def test_photographs_of_the_right_size_are_untouched():
    image = np.random.default_rng(0).integers(0, 256, [6, 6, 3], np.uint8)
    out = fit(Image.fromarray(image), 6, channels=3, strokes=False)
    assert (out == image).all()


@pytest.mark.parametrize("strokes", [True, False])
def test_channels_are_converted_both_ways(strokes):
    image = np.zeros([4, 4, 3], np.uint8)
    image[..., 1] = 100
    out = fit(Image.fromarray(image), 4, strokes=strokes)
    assert (out == 59).all()  # 0.587 of green
    out = fit(grey(np.full([4, 4], 9)), 4, channels=3, strokes=strokes)
    assert out.shape == (4, 4, 3)
    assert (out == 9).all()
