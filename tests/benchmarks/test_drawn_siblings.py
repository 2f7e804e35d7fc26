"""Lines are followed along their middle."""

import numpy as np
import pytest

from benchmarks import drawn_siblings
from tf_metagan.demo_page import strokes


def cross(*, width):
    """Return uint8 [105, 105]: a cross of lines of some width, bright."""
    image = np.zeros([105, 105], np.uint8)
    low = 52 - width // 2
    image[20:85, low : low + width] = 255
    image[low : low + width, 20:85] = 255
    return image


def test_skeleton_is_a_pixel_wide_and_keeps_the_shape():
    thin = drawn_siblings.skeleton(cross(width=5) > 127)
    assert thin[30].sum() == thin[75].sum() == 1
    assert thin[:, 30].sum() == thin[:, 75].sum() == 1
    assert 100 < thin.sum() < 135
    assert abs(np.flatnonzero(thin[30])[0] - 52) <= 1


@pytest.mark.parametrize("width", [4, 5, 6])
def test_followed_lines_lie_on_the_lines(width):
    image = cross(width=width)
    drawing = drawn_siblings.traced(image)
    hand = strokes.hand_of("omniglot")._replace(
        pen=width / 105, sizes=(0.0, 2.0), spread=2.0
    )
    (inked,) = strokes.draw([drawing], image_size=105, hand=hand)
    both = (inked[..., 0] > 127) & (image > 127)
    either = (inked[..., 0] > 127) | (image > 127)
    # A line of even width has no pixel in its middle.
    assert both.sum() > 0.75 * either.sum()
    moved = np.roll(image, 6, axis=(0, 1)) > 127
    assert (both & moved).sum() < 0.5 * either.sum()


def test_enlarged_drawings_are_larger_and_aside():
    (stroke,) = drawn_siblings.enlarged([np.array([[0.5, 0.5, 0.3]] * 2)])
    np.testing.assert_allclose(stroke, [[0.55, 0.55, 0.3]] * 2)
    (line,) = drawn_siblings.enlarged(
        [np.array([[0.4, 0.5, 1], [0.6, 0.5, 1]])]
    )
    assert line[1, 0] - line[0, 0] == pytest.approx(0.3)
