"""Carry out a programme for a pen with the inaccuracy of a hand, and ink it.

Many versions of one character are drawn together. Which version comes out is
a matter of the numbers in `noise` alone, so that version i does not depend on
how many others are drawn.
"""

import math
from typing import NamedTuple

import numpy as np

MOST_STROKES = 6
MOST_PIECES = 12
_SWAY = 3
_PER_STROKE = 3 * MOST_PIECES + 4 + 2 * _SWAY
NOISE_SIZE = MOST_STROKES * _PER_STROKE
"""Standard numbers that one version of a character takes."""
HAND_SIZE = 8
"""Standard numbers that describe the hand which draws a version."""

_CORNER_ERROR = 0.10
_TURN_ERROR = 0.10
_LENGTH_ERROR = 0.10
_HEADING_ERROR = 0.05
_ATTACH_ERROR = 0.05
_ALONG_ERROR = 0.05
_SWAY_ERROR = 0.035
_EDGE = 0.6
"""Pixels between ink and the border of the image."""


class Stroke(NamedTuple):
    """One movement of the pen, and where it lies.

    Attributes:
      corner: [m] change of direction before each piece, radians.
      length: [m] length of each piece.
      turn: [m] change of direction within each piece, radians.
      heading: direction at the start; 0 is right, pi/2 is down.
      stretch: width over height by which the walk is deformed.
      target: the earlier stroke that this one is attached to; -1 for none.
      there: where on the target: 0 its start, 1 its end.
      here: where on this stroke.
      place: [2] (x, y) of the attached point if there is no target, else
        its distance from the target's point.
    """

    corner: tuple[float, ...]
    length: tuple[float, ...]
    turn: tuple[float, ...]
    heading: float
    stretch: float = 1.0
    target: int = -1
    there: float = 0.0
    here: float = 0.0
    place: tuple[float, float] = (0.0, 0.0)


def trace(
    strokes: tuple[Stroke, ...], noise: np.ndarray, sloppiness: np.ndarray
) -> list[np.ndarray]:
    """Walk along all strokes.

    Args:
      strokes: at most MOST_STROKES.
      noise: [n, NOISE_SIZE], mean 0, variance 1; zeros for the ideal shape.
      sloppiness: [n] factor of all errors.

    Returns:
      For each stroke [n, points, 2], (x, y) of the points of a polyline.
    """
    paths: list[np.ndarray] = []
    for k, stroke in enumerate(strokes):
        part = noise[:, k * _PER_STROKE : (k + 1) * _PER_STROKE]
        part = part * sloppiness[:, None]
        walk = _walk(stroke, part[:, 4:])
        there = stroke.there + _ALONG_ERROR * part[:, 0] * (
            0 < stroke.there < 1
        )
        here = np.full(len(noise), stroke.here)
        goal = np.asarray(stroke.place) + _ATTACH_ERROR * part[:, 1:3]
        if stroke.target >= 0:
            goal = goal + _point_at(paths[stroke.target], there)
        paths.append(walk + (goal - _point_at(walk, here))[:, None])
    return paths


def _walk(stroke: Stroke, noise: np.ndarray) -> np.ndarray:
    """Walk along one stroke from the origin: [n, points, 2]."""
    pieces = len(stroke.length)
    bend, size, swing, rest = np.split(
        noise, [MOST_PIECES, 2 * MOST_PIECES, 3 * MOST_PIECES], axis=1
    )
    turn = np.asarray(stroke.turn)
    corner = np.asarray(stroke.corner)
    steps = np.ceil(1 + np.abs(turn) / 0.5 + 1.5 * np.asarray(stroke.length))
    steps = steps.astype(int)
    turn = turn + _TURN_ERROR * (0.5 + np.abs(turn)) * bend[:, :pieces]
    length = np.asarray(stroke.length) * np.exp(
        _LENGTH_ERROR * size[:, :pieces]
    )
    corner = corner + _CORNER_ERROR * (corner != 0) * swing[:, :pieces]
    start = stroke.heading + np.cumsum(corner + turn, axis=1) - turn
    piece = np.repeat(np.arange(pieces), steps)
    within = np.concatenate([(np.arange(s) + 0.5) / s for s in steps])
    heading = start[:, piece] + turn[:, piece] * within
    heading += _HEADING_ERROR * rest[:, -1:]
    step = (length / steps)[:, piece]
    points = np.zeros([len(noise), len(piece) + 1, 2])
    points[:, 1:, 0] = np.cumsum(step * np.cos(heading), axis=1)
    points[:, 1:, 1] = np.cumsum(step * np.sin(heading), axis=1)
    widen = math.sqrt(stroke.stretch)
    points *= (widen, 1 / widen)
    along = np.linspace(0, 1, points.shape[1])
    waves = np.cos(math.pi * np.arange(1, _SWAY + 1)[:, None] * along)
    waves /= np.arange(1, _SWAY + 1)[:, None]
    sway = rest[:, : 2 * _SWAY].reshape(-1, 2, _SWAY) @ waves
    return points + _SWAY_ERROR * sway.transpose(0, 2, 1)


def _point_at(path: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the point at a fraction of the steps: [n, 2]."""
    last = path.shape[1] - 1
    place = np.clip(where, 0, 1) * last
    low = np.minimum(place.astype(int), last - 1)
    part = (place - low)[:, None]
    rows = np.arange(len(path))
    return path[rows, low] * (1 - part) + path[rows, low + 1] * part
