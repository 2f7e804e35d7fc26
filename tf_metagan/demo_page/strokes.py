"""Lines of a pen to images like those that a model was trained on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageDraw

from tf_metagan.data import pixels

_FINE = 420  # pixels of a side before it is averaged down
_INK = 255


class Hand(NamedTuple):
    """How characters of a data set lie in their square, in units of its side.

    Attributes:
      pen: width of the lines.
      sizes: longer side of what is drawn, the 5th and the 95th percentile.
      centre: (x, y) of the middle of what is drawn, on average.
      spread: how far that middle may be from there, two standard deviations.
    """

    pen: float
    sizes: tuple[float, float]
    centre: tuple[float, float]
    spread: float


_OMNIGLOT = Hand(0.048, (0.41, 0.85), (0.48, 0.48), 0.11)

HANDS = {
    "omniglot": _OMNIGLOT,
    "mnist": Hand(0.097, (0.60, 0.65), (0.52, 0.52), 0.07),
}
"""Measured on 600 (omniglot) and 300 images of the test split: the pen by the
share of ink that one erosion leaves, the rest by boxes around the ink. Other
data sets are taken to be as Omniglot."""


def hand_of(dataset: str) -> Hand:
    """Return the hand of a data set."""
    return HANDS.get(dataset, _OMNIGLOT)


def draw(
    drawings: Sequence[Sequence[np.ndarray]],
    *,
    image_size: int,
    hand: Hand,
) -> np.ndarray:
    """Ink drawings of one symbol.

    All are enlarged or shrunk by one factor, if their sizes are not those of
    the data set, so that they keep their proportions to each other; each is
    moved, if it lies where nothing does there.

    Args:
      drawings: each a sequence of strokes, float [points, 3]: x to the right
        and y down in units of the square's side, and the pressure of the pen,
        0 to 1, 0.5 in the middle.
      image_size: height and width wanted.
      hand: of the data set.

    Returns:
      uint8 [n, image_size, image_size, 1], bright on black.
    """
    scale = _scale([_longer_side(strokes) for strokes in drawings], hand)
    return np.stack(
        [
            _ink(_placed(strokes, scale, hand), image_size, hand.pen)
            for strokes in drawings
        ]
    )


def _box(strokes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate(strokes)[:, :2]
    return points.min(0), points.max(0)


def _longer_side(strokes: Sequence[np.ndarray]) -> float:
    low, high = _box(strokes)
    return float(np.max(high - low))


def _scale(sides: Sequence[float], hand: Hand) -> float:
    """Return the factor that brings the usual side into the usual range."""
    usual = float(np.median(sides)) + hand.pen
    low, high = hand.sizes
    # A dot stays one.
    if usual < 2.0 * hand.pen:
        return 1.0
    return float(np.clip(usual, low, high)) / usual


def _placed(
    strokes: Sequence[np.ndarray], scale: float, hand: Hand
) -> list[np.ndarray]:
    low, high = _box(strokes)
    middle = (low + high) / 2
    centre = np.asarray(hand.centre)
    goal = np.clip(middle, centre - hand.spread, centre + hand.spread)
    return [
        np.concatenate(
            [(stroke[:, :2] - middle) * scale + goal, stroke[:, 2:]], 1
        )
        for stroke in strokes
    ]


def _ink(
    strokes: Sequence[np.ndarray], image_size: int, pen: float
) -> np.ndarray:
    picture = PIL.Image.new("L", (_FINE, _FINE), 0)
    paper = PIL.ImageDraw.Draw(picture)
    for stroke in strokes:
        points = stroke[:, :2] * _FINE
        widths = pen * _FINE * (0.75 + 0.5 * stroke[:, 2])
        for a, b, width in zip(
            points[:-1], points[1:], widths[1:], strict=True
        ):
            paper.line([*a, *b], fill=_INK, width=round(width))
        for (x, y), width in zip(points, widths, strict=True):
            r = width / 2
            paper.ellipse([x - r, y - r, x + r, y + r], fill=_INK)
    return pixels.fit(picture, image_size=image_size, channels=1, strokes=True)
