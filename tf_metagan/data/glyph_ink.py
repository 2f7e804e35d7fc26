"""Carry out a programme for a pen with the errors of a hand, and ink the lines.

Many versions of a character are drawn together. Which version comes out is a
matter of its row of `noise` alone, so that it does not depend on how many
others are drawn.

Points are complex numbers: real part to the right, imaginary part down.
Lengths are in units of half a character, angles in radians, clockwise.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MOST_STROKES = 6
MOST_PIECES = 8
_SWAYS = 3
_MISSES = 6
_STROKE_NOISE = _MISSES + 1 + 2 * _SWAYS + 3 * MOST_PIECES
NOISE_SIZE = MOST_STROKES * _STROKE_NOISE
"""Random numbers that one version of a character takes."""

# Standard deviations of a hand of sloppiness 1.
_HEADING_ERROR = 0.05
_CORNER_ERROR = 0.10
_TURN_ERROR = 0.10
_LENGTH_ERROR = 0.10
_SWAY_ERROR = 0.035
_ALONG_ERROR = 0.04
_ATTACH_ERROR = 0.045


class Stroke(NamedTuple):
    """One movement of the pen, and where it lies.

    Attributes:
      corner: [m] change of direction before each piece.
      length: [m] length of each piece.
      turn: [m] change of direction within each piece.
      heading: direction at the start; 0 is right, pi/2 is down.
      stretch: width over height by which the walk is deformed.
      target: the earlier stroke that this one is attached to; -1 for none.
      there: where on the target: 0 its start, 1 its end.
      here: where on this stroke.
      place: the attached point if there is no target, else its distance from
        the target's point.
      goal: the earlier stroke that this one leads to with its end, being
        turned and scaled as needed; -1 for none.
      goal_there: where on that stroke.
    """

    corner: tuple[float, ...]
    length: tuple[float, ...]
    turn: tuple[float, ...]
    heading: float
    stretch: float = 1.0
    target: int = -1
    there: float = 0.0
    here: float = 0.0
    place: complex = 0j
    goal: int = -1
    goal_there: float = 0.0


def trace(
    stroke: Stroke, paths: Sequence[np.ndarray], noise: np.ndarray | None
) -> np.ndarray:
    """Draw the line of one stroke.

    Args:
      stroke: at most MOST_PIECES pieces.
      paths: the lines of the earlier strokes, each [n, points] complex.
      noise: [n, NOISE_SIZE] of mean 0, scaled by sloppiness; None for the
        ideal shape, n = 1.

    Returns:
      [n, points] complex, a polyline.
    """
    if noise is None:
        path = walk(stroke)
        misses = np.zeros([1, _MISSES])
    else:
        begin = len(paths) * _STROKE_NOISE
        misses = noise[:, begin : begin + _MISSES]
        path = walk(stroke, noise[:, begin + _MISSES : begin + _STROKE_NOISE])
    start = stroke.place + _ATTACH_ERROR * (misses[:, 0] + 1j * misses[:, 1])
    if stroke.target >= 0:
        where = stroke.there + _ALONG_ERROR * misses[:, 2]
        start = start + point_at(paths[stroke.target], where)
    if stroke.goal >= 0:
        where = stroke.goal_there + _ALONG_ERROR * misses[:, 3]
        end = _ATTACH_ERROR * (misses[:, 4] + 1j * misses[:, 5])
        end = end + point_at(paths[stroke.goal], where)
        path = path * ((end - start) / path[:, -1])[:, np.newaxis]
    here = point_at(path, np.full(len(path), stroke.here))
    return path + (start - here)[:, np.newaxis]


def walk(stroke: Stroke, noise: np.ndarray | None = None) -> np.ndarray:
    """Walk along one stroke from 0.

    Args:
      stroke: at most MOST_PIECES pieces.
      noise: [n, 1 + 2 * _SWAYS + 3 * MOST_PIECES]; None for the ideal shape.

    Returns:
      [n, points] complex.
    """
    corner, length, turn = np.array([stroke.corner, stroke.length, stroke.turn])
    steps = np.ceil(0.5 + np.abs(turn) / 0.5 + length).astype(int)
    if noise is not None:
        bend, size, swing = (
            noise[:, -(k + 1) * MOST_PIECES :][:, : len(length)]
            for k in range(3)
        )
        length = length * np.exp(_LENGTH_ERROR * size)
        turn = turn + _TURN_ERROR * (0.5 + np.abs(turn)) * bend
        corner = corner + _CORNER_ERROR * (corner != 0) * swing
    first = stroke.heading + np.cumsum(corner + turn, axis=-1) - turn
    if noise is not None:
        first += _HEADING_ERROR * noise[:, :1]
    piece = np.repeat(np.arange(len(steps)), steps)
    within = np.arange(len(piece)) - (np.cumsum(steps) - steps)[piece] + 0.5
    heading = np.atleast_2d(
        first[..., piece] + turn[..., piece] * (within / steps[piece])
    )
    step = (length / steps)[..., piece] * np.exp(1j * heading)
    path = np.zeros([len(step), len(piece) + 1], complex)
    np.cumsum(step, axis=1, out=path[:, 1:])
    path.real *= math.sqrt(stroke.stretch)
    path.imag /= math.sqrt(stroke.stretch)
    if noise is not None:
        order = np.arange(1, _SWAYS + 1)[:, np.newaxis]
        along = np.linspace(0, math.pi, path.shape[1])
        waves = _SWAY_ERROR * np.cos(order * along) / order
        path.real += noise[:, 1 : 1 + _SWAYS] @ waves
        path.imag += noise[:, 1 + _SWAYS : 1 + 2 * _SWAYS] @ waves
    return path


def point_at(path: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return points of polylines.

    Args:
      path: [n, points] complex.
      where: [n] in 0 .. 1, a share of the number of segments; values outside
        are clipped.

    Returns:
      [n] complex.
    """
    last = path.shape[1] - 1
    place = np.minimum(np.maximum(where, 0), 1) * last
    low = np.minimum(place.astype(int), last - 1)
    row = np.arange(len(path))
    share = place - low
    return path[row, low] * (1 - share) + path[row, low + 1] * share


def ink(
    paths: Sequence[np.ndarray], radius: np.ndarray, *, image_size: int
) -> np.ndarray:
    """Draw polylines with a round pen, anti-aliased.

    The share of a pixel that is covered is r + 1/2 - distance within
    0 .. min(1, 2 r); the nearest segment counts.

    Args:
      paths: polylines [n, points] complex, in pixels; the image spans 0 ..
        image_size in both directions.
      radius: [n], r of the pen in pixels.
      image_size: height and width.

    Returns:
      uint8 [n, image_size, image_size], 255 where ink is.
    """
    every = np.concatenate(paths, axis=1)
    start = _pairs(np.concatenate([p[:, :-1] for p in paths], axis=1))
    step = _pairs(np.concatenate([np.diff(p, axis=1) for p in paths], axis=1))
    square = np.maximum((step**2).sum(-1), np.float32(1e-9))
    reach = radius + 0.5
    border = reach[:, np.newaxis] + 0.5
    low = _pairs(every.real.min(1) + 1j * every.imag.min(1)) - border
    high = _pairs(every.real.max(1) + 1j * every.imag.max(1)) + border
    low = np.floor(low).astype(int).clip(0, image_size)
    high = np.ceil(high).astype(int).clip(0, image_size)
    centre = np.arange(image_size, dtype=np.float32) + np.float32(0.5)
    images = np.zeros([len(start), image_size, image_size], np.uint8)
    for i, ((left, top), (right, bottom)) in enumerate(
        zip(low.tolist(), high.tolist(), strict=True)
    ):
        nearest = _distance(
            centre[left:right], centre[top:bottom], start[i], step[i], square[i]
        )
        cover = np.minimum(reach[i] - nearest, min(1.0, 2 * radius[i]))
        images[i, top:bottom, left:right] = 255 * np.maximum(cover, 0) + 0.5
    return images


def _pairs(number: np.ndarray) -> np.ndarray:
    """Turn complex numbers [...] to float32 pairs (x, y): [..., 2]."""
    return np.stack([number.real, number.imag], axis=-1).astype(np.float32)


def _distance(
    x: np.ndarray,
    y: np.ndarray,
    start: np.ndarray,
    step: np.ndarray,
    square: np.ndarray,
) -> np.ndarray:
    """Return the distances of points to the nearest of some segments.

    With q = point - start and t = q.step / |step|^2 within 0 .. 1,
    distance^2 = |q - t step|^2.

    Args:
      x: [w] of the points, y: [h].
      start: [s, 2], step: [s, 2], square: [s], the segments.

    Returns:
      [h, w].
    """
    step_x, step_y = step.T[..., np.newaxis, np.newaxis]
    off_x = x - start[:, 0, np.newaxis, np.newaxis]
    off_y = y[:, np.newaxis] - start[:, 1, np.newaxis, np.newaxis]
    square = square[:, np.newaxis, np.newaxis]
    t = off_x * (step_x / square) + off_y * (step_y / square)
    np.maximum(t, 0, out=t)
    np.minimum(t, 1, out=t)
    far = off_x - t * step_x
    far *= far
    t *= step_y
    np.subtract(off_y, t, out=t)
    t *= t
    far += t
    return np.sqrt(far.min(axis=0))
