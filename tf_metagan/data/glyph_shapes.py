"""The vocabulary of strokes: lines, bowls, hooks, zigzags, spirals, ...

A shape is a list of pieces of a walk: a corner, then a length that is walked
while turning steadily. Angles are in degrees here, clockwise ones positive, and
lengths about 1; whoever uses a shape brings it to size and direction.
"""

import bisect
import itertools
from collections.abc import Callable, Sequence

import numpy as np

VERSION = 1
"""Of all characters; raise it together with any change of how they look."""

Piece = tuple[float, float, float]
"""Corner before the piece, length, turn within the piece."""


class Dice:
    """Draws from one stream of uniform numbers.

    Args:
      *key: not negative; equal keys give equal draws.
    """

    def __init__(self, *key: int):
        self._random = np.random.default_rng([VERSION, *key]).random

    def between(self, low: float, high: float) -> float:
        """Return a value between low and high."""
        return low + (high - low) * self._random()

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self._random() < probability

    def sign(self) -> int:
        """Return 1 or -1."""
        return 1 if self._random() < 0.5 else -1

    def pick(self, weights: Sequence[float]) -> int:
        """Return a place with a probability proportional to its weight."""
        heap = list(itertools.accumulate(weights))
        return bisect.bisect_right(heap, self._random() * heap[-1])

    def bell(self) -> float:
        """Return a value of mean 0 and variance 1 between -3 and 3."""
        return 2 * (self._random() + self._random() + self._random()) - 3


def line(d: Dice, side: int) -> list[Piece]:
    """Draw a line, nearly straight."""
    return [(0, 1, side * abs(d.bell()) * 6)]


def arc(d: Dice, side: int) -> list[Piece]:
    """Draw less than half a circle."""
    return [(0, 1.2, side * d.between(60, 160))]


def bowl(d: Dice, side: int) -> list[Piece]:
    """Draw more than half a circle."""
    return [(0, 1.9, side * d.between(175, 285))]


def ring(d: Dice, side: int) -> list[Piece]:
    """Draw a circle, about closed."""
    return [(0, 2, side * d.between(340, 370))]


def hook(d: Dice, side: int) -> list[Piece]:
    """Draw a stem that curls at its foot or at its head."""
    foot = (0, d.between(0.3, 0.7), side * d.between(110, 220))
    stem = (0, d.between(0.6, 1.1), d.bell() * 5)
    return [foot, stem] if d.chance(0.4) else [stem, foot]


def corner(d: Dice, side: int) -> list[Piece]:
    """Draw two lines: L, V, 7."""
    bend = side * (90, 60, 120, 140)[d.pick([5, 1, 3, 2])]
    return [(0, d.between(0.6, 1), 0), (bend, d.between(0.4, 1), 0)]


def zigzag(d: Dice, side: int) -> list[Piece]:
    """Draw N, Z, M, W."""
    bend, other = side * d.between(105, 150), d.between(0.6, 1.2)
    return [
        (bend * (-1) ** i if i else 0, (1, other)[i % 2], 0)
        for i in range(3 + d.pick([6, 2.5]))
    ]


def stair(d: Dice, side: int) -> list[Piece]:
    """Draw three lines at right angles: a step or a box without a side."""
    bends = (0, side * 90, side * (90 if d.chance(0.6) else -90))
    return [(bend, d.between(0.5, 1), 0) for bend in bends]


def wave(d: Dice, side: int) -> list[Piece]:
    """Draw S."""
    turn = side * d.between(120, 230)
    back = -turn * d.between(0.7, 1.2)
    return [(0, d.between(0.8, 1.2), turn), (0, d.between(0.8, 1.2), back)]


def humps(d: Dice, side: int) -> list[Piece]:
    """Draw m, w, 3: arcs with cusps between them."""
    turn, cusp = side * d.between(140, 210), -side * d.between(130, 175)
    return [
        (cusp if i else 0, d.between(0.8, 1.1), turn)
        for i in range(2 + d.pick([8, 1.5]))
    ]


def spiral(d: Dice, side: int) -> list[Piece]:
    """Draw a curl that narrows or widens."""
    shrink = d.between(0.6, 0.75)
    pieces = [
        (0, 1.3 * shrink**i, side * 150) for i in range(3 + d.pick([5, 2]))
    ]
    return pieces if d.chance(0.6) else pieces[::-1]


def ribbon(d: Dice, side: int) -> list[Piece]:
    """Draw a line with a loop in it."""
    return [
        (0, d.between(0.5, 1), 0),
        (0, d.between(0.9, 1.4), side * d.between(230, 320)),
        (0, d.between(0.4, 0.9), d.bell() * 12),
    ]


def polygon(d: Dice, side: int) -> list[Piece]:
    """Draw a triangle or a box."""
    if d.chance(0.45):
        return [(side * 120 if i else 0, 1, 0) for i in range(3)]
    sides = (1, d.between(0.6, 1.1))
    return [(side * 90 if i else 0, sides[i % 2], 0) for i in range(4)]


SHAPES: tuple[Callable[[Dice, int], list[Piece]], ...] = (
    line,
    arc,
    bowl,
    ring,
    hook,
    corner,
    zigzag,
    stair,
    wave,
    humps,
    spiral,
    ribbon,
    polygon,
)
"""All of them; `side` is 1 for clockwise, -1 for counter-clockwise."""

LEANINGS = {
    "straight": (9, 1, 0.5, 1, 1, 6, 2, 3, 0.1, 0.1, 0.05, 0.1, 1.5),
    "round": (2, 4, 6, 4, 5, 1, 0.2, 0.4, 3, 2.5, 1, 1.5, 0.2),
    "mixed": (6, 3, 4, 2, 4, 4, 1.2, 2, 1.5, 1.2, 0.4, 0.6, 0.7),
    "cursive": (2, 4, 4, 2, 5, 2, 0.6, 0.4, 4, 3, 0.8, 3, 0.1),
}
"""Weights of SHAPES in kinds of alphabets."""
