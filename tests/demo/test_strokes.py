"""Lines of a pen to images like those of a data set."""

import numpy as np
import pytest

from tf_metagan.demo_page import strokes

HAND = strokes.Hand(pen=0.1, sizes=(0.4, 0.6), centre=(0.5, 0.5), spread=0.1)
SIZE = 100


def line(*points):
    return np.array([(x, y, 0.5) for x, y in points])


def inked(drawings, hand=HAND):
    """Return the boxes around the ink, [n, 4]: left, top, right, bottom."""
    images = strokes.draw(drawings, image_size=SIZE, hand=hand)
    assert images.shape == (len(drawings), SIZE, SIZE, 1)
    assert images.dtype == np.uint8
    found = []
    for image in images[..., 0]:
        y, x = np.nonzero(image > 127)
        found.append((x.min(), y.min(), x.max() + 1, y.max() + 1))
    return np.array(found) / SIZE


def test_line_is_as_wide_as_the_pen():
    (box,) = inked([[line((0.3, 0.5), (0.7, 0.5))]])
    np.testing.assert_allclose(box, [0.25, 0.45, 0.75, 0.55], atol=0.015)
    thick = HAND._replace(pen=0.2)
    (other,) = inked([[line((0.3, 0.5), (0.7, 0.5))]], thick)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(other, box, atol=0.015)


def test_pressure_widens_the_line():
    soft, hard = (np.array([(0.3, 0.5, p), (0.7, 0.5, p)]) for p in (0.1, 0.9))
    (a, b) = inked([[soft], [hard]])
    assert b[3] - b[1] > a[3] - a[1]


def test_size_is_brought_into_the_range_of_the_data():
    large = [line((0.02, 0.5), (0.98, 0.5))]
    small = [line((0.45, 0.5), (0.6, 0.5))]
    for drawing, side in ((large, 0.6), (small, 0.4)):
        (box,) = inked([drawing])
        # The pen keeps its width, so the line is a little longer or shorter.
        assert box[2] - box[0] == pytest.approx(side, abs=0.06)


def test_drawings_keep_their_proportions_to_each_other():
    sides = (0.5, 0.8, 0.9)
    boxes = inked([[line((0.05, 0.5), (0.05 + s, 0.5))] for s in sides])
    found = boxes[:, 2] - boxes[:, 0] - HAND.pen
    np.testing.assert_allclose(
        found / found[0], np.array(sides) / 0.5, rtol=0.04
    )


def test_only_what_lies_aside_is_moved():
    corner = [line((0.05, 0.1), (0.45, 0.1))]
    middle = [line((0.25, 0.55), (0.65, 0.55))]
    a, b = inked([corner, middle])
    np.testing.assert_allclose((a[0] + a[2]) / 2, 0.4, atol=0.01)
    np.testing.assert_allclose((a[1] + a[3]) / 2, 0.4, atol=0.01)
    np.testing.assert_allclose((b[0] + b[2]) / 2, 0.45, atol=0.01)
    np.testing.assert_allclose((b[1] + b[3]) / 2, 0.55, atol=0.01)


def test_dot_stays_a_dot():
    (box,) = inked([[line((0.5, 0.5))]])
    np.testing.assert_allclose(box[2:] - box[:2], 0.1, atol=0.015)


def test_other_data_sets_have_the_hand_of_omniglot():
    assert strokes.hand_of("tfds:x") == strokes.HANDS["omniglot"]
    assert strokes.hand_of("mnist").pen > strokes.hand_of("omniglot").pen
