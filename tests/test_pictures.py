"""Pictures: values, places, enlargement, captions."""

import numpy as np
import pytest

from tf_metagan import pictures


def test_to_bytes_maps_the_ends_of_the_range():
    images = np.array([-1.0, 0.0, 1.0, -3.0, 7.0]).reshape(5, 1, 1, 1)
    values = pictures.to_bytes(images)
    assert values.shape == (5, 1, 1, 3)
    assert values[:, 0, 0, 0].tolist() == [0, 128, 255, 0, 255]


def test_to_bytes_keeps_bytes_and_colour():
    images = np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    np.testing.assert_array_equal(pictures.to_bytes(images), images)


def test_to_bytes_refuses_other_channels():
    with pytest.raises(ValueError, match=r"shape \(1, 2, 2, 2\).*1 or 3"):
        pictures.to_bytes(np.zeros([1, 2, 2, 2]))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_to_bytes_refuses_values_that_are_not_finite(value):
    with pytest.raises(ValueError, match="not finite cannot be shown"):
        pictures.to_bytes(np.full([1, 2, 2, 1], value))


def regions(picture, colour):
    """Return (top, left, height, width) of the pixels of a colour."""
    ys, xs = np.nonzero((picture == colour).all(axis=-1))
    return ys.min(), xs.min(), np.ptp(ys) + 1, np.ptp(xs) + 1


def coloured(*rows):
    """Return images [tasks, n, 8, 8, 3], each of one colour."""
    colours = np.array(rows, np.uint8)[:, :, None, None, :]
    return np.broadcast_to(colours, (*colours.shape[:2], 8, 8, 3))


RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def test_grid_enlarges_small_images_to_squares_of_64_pixels():
    picture = pictures.grid({"a": coloured([RED])}, ["one"])
    assert picture.dtype == np.uint8
    assert regions(picture, RED)[2:] == (64, 64)


def test_grid_does_not_enlarge_big_images():
    images = np.zeros([1, 1, 100, 80, 1], np.uint8)
    picture = pictures.grid({"": images}, [""])
    assert regions(picture, BLACK)[2:] == (100, 80)


def test_grid_sets_tasks_below_and_blocks_beside_each_other():
    picture = pictures.grid(
        {"a": coloured([RED], [GREEN]), "b": coloured([BLUE], [BLACK])},
        ["one", "two"],
    )
    top_red, left_red, *_ = regions(picture, RED)
    top_green, left_green, *_ = regions(picture, GREEN)
    top_blue, left_blue, *_ = regions(picture, BLUE)
    top_black, left_black, *_ = regions(picture, BLACK)
    assert top_red == top_blue < top_green == top_black
    assert left_red == left_green < left_blue == left_black


def test_grid_breaks_long_blocks_into_lines_with_thin_gaps():
    images = coloured([RED, GREEN, BLUE])
    picture = pictures.grid({"a": images}, ["one"], per_line=2)
    top, left, *_ = regions(picture, RED)
    assert regions(picture, GREEN)[:2] == (top, left + 66)
    assert regions(picture, BLUE)[:2] == (top + 66, left)


def test_grid_writes_captions():
    images = coloured([WHITE])

    def ink(picture):
        return (picture.sum(axis=-1) < 3 * 128).sum()

    assert ink(pictures.grid({"": images}, [""])) == 0
    assert ink(pictures.grid({"": images}, ["a class"])) > 50
    assert ink(pictures.grid({"support": images}, [""])) > 50


def test_grid_keeps_long_captions_of_columns_apart():
    images = coloured([RED])
    name = "from scratch, the same number of steps"
    picture = pictures.grid({name: images, f"{name} again": images}, [""])
    top, _, _, width = regions(picture, RED)
    # Two blocks of 64 pixels and the space between them.
    assert width < 2 * 64 + 30
    assert picture.shape[1] < width + 100
    assert top > 5 * 15


def test_grid_widens_columns_for_words_that_are_wider():
    word = "reconstruction"
    blocks = {f"{word}_{i}": coloured([RED]) for i in range(3)}
    picture = pictures.grid(blocks, [""])
    top = regions(picture, RED)[0]
    ink = (picture[:top] < 128).all(axis=-1).any(axis=0)
    # Gaps of at least ten pixels without ink stand between captions.
    quiet = np.diff(np.flatnonzero(ink))
    assert (quiet > 10).sum() == 2
    assert not ink[-5:].any()


def test_grid_keeps_pixels_sharp():
    images = np.zeros([1, 1, 8, 8, 1], np.uint8)
    images[0, 0, 3, 4] = 255
    picture = pictures.grid({"": images}, [""])
    top, left, *_ = regions(picture, BLACK)
    cell = picture[top : top + 64, left : left + 64, 0]
    expected = images[0, 0, :, :, 0].repeat(8, axis=0).repeat(8, axis=1)
    np.testing.assert_array_equal(cell, expected)


@pytest.mark.parametrize("shape", [(2, 1, 8, 8, 1), (1, 8, 8, 1)])
def test_grid_refuses_other_numbers_of_tasks(shape):
    with pytest.raises(ValueError, match=r"block 'a' .* of 1 captions"):
        pictures.grid({"a": np.zeros(shape)}, ["one"])
