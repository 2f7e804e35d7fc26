"""Invent written characters: alphabets with a style, characters of strokes.

A character is a programme for a pen, not a picture. Each stroke is a walk of
pieces (go this far while turning this much), and later strokes say where on an
earlier one they start, end or cross. `glyph_ink` carries such a programme out
with the inaccuracy of a hand.

Lengths are in units of half a character, angles in radians, y points down.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tf_metagan.data import glyph_ink

ALPHABET_SIZE = 20
"""Characters of an alphabet; its characters have consecutive numbers."""

_VERSION = 1
_ALPHABET, _CHARACTER = 0, 1
_TRIES = 10
_TURN = math.pi / 180


class Dice:
    """Draws from one stream of uniform numbers, the same on every machine."""

    def __init__(self, *key: int):
        self._random = np.random.default_rng([_VERSION, *key]).random

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self._random()

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def sign(self) -> int:
        return 1 if self._random() < 0.5 else -1

    def pick(self, weights: Sequence[float]) -> int:
        """Return a place with a probability proportional to its weight."""
        heap = np.cumsum(weights)
        return int(np.searchsorted(heap, self._random() * heap[-1], "right"))

    def bell(self) -> float:
        """Return a value of mean 0 and variance 1 within -3 and 3."""
        return float(2 * (self._random(3).sum() - 1.5))


class Style(NamedTuple):
    """What the characters of an alphabet have in common.

    Attributes:
      shapes: weight of each entry of _SHAPES.
      strokes: weights of 1, 2, 3 and 4 strokes.
      chain: probability that a stroke goes on with one more shape.
      smooth: probability that it goes on without a corner.
      angle: directions are multiples of this angle.
      loose: standard deviation of directions about these multiples.
      wide: width over height that strokes tend to.
      clockwise: probability of turning clockwise.
      copies: probability that a stroke repeats or mirrors an earlier one.
      free: probability that a stroke stands alone.
      marks: probability of a dot or tick beside the character.
      parts: strokes that many characters share.
      shared: probability that a stroke is one of these.
    """

    shapes: tuple[float, ...]
    strokes: tuple[float, ...]
    chain: float
    smooth: float
    angle: float
    loose: float
    wide: float
    clockwise: float
    copies: float
    free: float
    marks: float
    parts: tuple[glyph_ink.Stroke, ...]
    shared: float


Piece = tuple[float, float, float]
"""Corner before the piece, length, turn within the piece."""


def _line(d: Dice, s: int) -> list[Piece]:
    return [(0, 1, s * abs(d.bell()) * 6 * _TURN)]


def _arc(d: Dice, s: int) -> list[Piece]:
    return [(0, 1.2, s * d.between(60, 160) * _TURN)]


def _bowl(d: Dice, s: int) -> list[Piece]:
    return [(0, 1.9, s * d.between(180, 290) * _TURN)]


def _ring(d: Dice, s: int) -> list[Piece]:
    return [(0, d.between(1.3, 2.2), s * d.between(335, 370) * _TURN)]


def _hook(d: Dice, s: int) -> list[Piece]:
    turn = d.between(110, 230) * _TURN
    foot = (0, d.between(0.3, 0.7), s * turn)
    stem = (0, d.between(0.6, 1.1), d.bell() * 5 * _TURN)
    if d.chance(0.4):
        return [foot, stem]
    return [stem, foot]


def _corner(d: Dice, s: int) -> list[Piece]:
    bend = s * d.between(55, 135) * _TURN
    return [(0, d.between(0.6, 1), 0), (bend, d.between(0.4, 1), 0)]


def _zigzag(d: Dice, s: int) -> list[Piece]:
    bend = d.between(85, 145) * _TURN
    first, other = d.between(0.5, 1), d.between(0.4, 0.9)
    count = 3 + d.pick([6, 3, 1])
    return [
        ((0 if i == 0 else s * bend * (-1) ** i), (first, other)[i % 2], 0)
        for i in range(count)
    ]


def _steps(d: Dice, s: int) -> list[Piece]:
    lengths = [d.between(0.4, 1) for _ in range(3)]
    bends = [0, s * 90 * _TURN, s * 90 * _TURN * (1 if d.chance(0.55) else -1)]
    return [(b, length, 0) for b, length in zip(bends, lengths, strict=True)]


def _wave(d: Dice, s: int) -> list[Piece]:
    turn = s * d.between(120, 230) * _TURN
    back = -turn * d.between(0.7, 1.2)
    return [(0, d.between(0.8, 1.2), turn), (0, d.between(0.8, 1.2), back)]


def _humps(d: Dice, s: int) -> list[Piece]:
    turn = s * d.between(140, 210) * _TURN
    cusp = -s * d.between(130, 175) * _TURN
    count = 2 + d.pick([7, 2])
    return [((cusp if i else 0), d.between(0.8, 1.1), turn) for i in range(count)]


def _spiral(d: Dice, s: int) -> list[Piece]:
    shrink = d.between(0.6, 0.75)
    pieces = [
        (0, 1.3 * shrink**i, s * 150 * _TURN) for i in range(3 + d.pick([5, 3]))
    ]
    return pieces if d.chance(0.6) else pieces[::-1]


def _ribbon(d: Dice, s: int) -> list[Piece]:
    turn = s * d.between(230, 330) * _TURN
    lengths = [d.between(0.5, 1), d.between(0.9, 1.4), d.between(0.4, 0.9)]
    bend = d.bell() * 12 * _TURN
    return [(0, lengths[0], 0), (0, lengths[1], turn), (0, lengths[2], bend)]


def _polygon(d: Dice, s: int) -> list[Piece]:
    if d.chance(0.5):
        side, bend = d.between(0.8, 1.1), s * 120 * _TURN
        return [(0, side, 0), (bend, side, 0), (bend, side, 0)]
    sides, bend = (d.between(0.6, 1.1), d.between(0.6, 1.1)), s * 90 * _TURN
    return [((bend if i else 0), sides[i % 2], 0) for i in range(4)]


_SHAPES: tuple[Callable[[Dice, int], list[Piece]], ...] = (
    _line,
    _arc,
    _bowl,
    _ring,
    _hook,
    _corner,
    _zigzag,
    _steps,
    _wave,
    _humps,
    _spiral,
    _ribbon,
    _polygon,
)

# Leanings of alphabets: straight, round, mixed, cursive. Weights of _SHAPES.
_LEANINGS = (
    (9, 1, 0.5, 1, 1, 6, 3, 4, 0.2, 0.2, 0.1, 0.2, 3),
    (2, 4, 6, 4, 5, 1, 0.3, 0.5, 3, 3, 1.5, 2, 0.3),
    (6, 3, 4, 2, 4, 4, 1.5, 2, 1.5, 1.5, 0.5, 0.8, 1),
    (2, 4, 4, 2, 5, 2, 1, 0.5, 4, 4, 1, 4, 0.2),
)
