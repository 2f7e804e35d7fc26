"""Invent written characters: alphabets with a style, characters of strokes.

A character is a programme for a pen, not a picture: `glyph_ink` carries it out.
The second and later strokes begin, end or cross at chosen points of earlier
ones, as in handwriting. Several strokes are proposed for each place, and the
first is taken that neither covers old lines nor leaves the frame.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_metagan.data import glyph_ink, glyph_shapes
from tf_metagan.data.glyph_ink import Stroke
from tf_metagan.data.glyph_shapes import Dice

ALPHABET_SIZE = 20
"""Characters of an alphabet; they have consecutive numbers."""

_ALPHABET, _CHARACTER = 0, 1
_MOST_STROKES = 4  # and a mark, and one more where all are too simple
_TRIES = 12
_ENOUGH = 3.0
_ANCHORS = (0.0, 0.25, 0.5, 0.75, 1.0)
_POINTS = 24
_AWAY = np.abs(np.subtract.outer(range(_POINTS), range(_POINTS))) > 5


class Style(NamedTuple):
    """What the characters of an alphabet have in common.

    Attributes:
      shapes: weights of glyph_shapes.SHAPES.
      strokes: weights of 1, 2, 3 and 4 strokes.
      chain: probability that a stroke goes on with one more shape.
      smooth: probability that it does so without a corner.
      slanting: probability that a simple stroke is not upright nor level.
      loose: standard deviation of directions in radians.
      wide: width over height of walks.
      clockwise: probability of turning clockwise.
      copies: probability that a stroke repeats or mirrors an earlier one.
      free: probability that a stroke stands alone.
      bridges: probability that a stroke leads from one stroke to another.
      marks: probability of a dot or tick beside the character.
      framed: probability that the first stroke is `frame`.
      frame: the stroke that many characters begin with.
      shared: probability that another stroke is one of `parts`.
      parts: strokes that many characters contain.
    """

    shapes: tuple[float, ...]
    strokes: tuple[float, ...]
    chain: float
    smooth: float
    slanting: float
    loose: float
    wide: float
    clockwise: float
    copies: float
    free: float
    bridges: float
    marks: float
    framed: float
    frame: Stroke | None
    shared: float
    parts: tuple[Stroke, ...]


class Character(NamedTuple):
    """A programme for the pen, and how it is placed in an image.

    Attributes:
      strokes: in the order of writing.
      middle: of the ideal shape, a complex number.
      extent: longer side of the ideal shape.
      size: longer side of the drawn character as a share of the image.
    """

    strokes: tuple[Stroke, ...]
    middle: complex
    extent: float
    size: float


def style(alphabet: int) -> Style:
    """Return the style of an alphabet, a pure function of its number."""
    d = Dice(_ALPHABET, alphabet)
    leaning = tuple(glyph_shapes.LEANINGS.values())[d.pick([3, 3, 4, 2])]
    counts = ((3, 4, 2, 1), (5, 4, 1.5, 0.3), (1, 3, 3, 2))
    plain = Style(
        shapes=tuple(w * math.exp(0.7 * d.bell()) for w in leaning),
        strokes=counts[d.pick([4, 3, 3])],
        chain=d.between(0.1, 0.45),
        smooth=d.between(0.2, 0.8),
        slanting=(0.0, 0.3)[d.pick([1, 1])] * d.between(0.5, 1.5),
        loose=math.radians(d.between(1, 5)),
        wide=math.exp(0.2 * d.bell()),
        clockwise=d.between(0.25, 0.75),
        copies=d.between(0.05, 0.3),
        free=d.between(0.0, 0.1),
        bridges=d.between(0.1, 0.5),
        marks=d.between(0, 0.25) if d.chance(0.6) else 0.0,
        framed=d.between(0, 0.7),
        frame=None,
        shared=d.between(0, 0.4),
        parts=(),
    )
    return plain._replace(
        frame=_frame(d, plain), parts=tuple(_walk(d, plain) for _ in range(2))
    )


def character(number: int, look: Style) -> Character:
    """Invent a character, a pure function of its number.

    Args:
      number: of the character, not negative.
      look: style of alphabet number // ALPHABET_SIZE.
    """
    d = Dice(_CHARACTER, number)
    strokes: list[Stroke] = []
    paths: list[np.ndarray] = []
    count = 1 + d.pick(look.strokes)
    while len(strokes) < count:
        last = len(strokes) == count - 1
        stroke = _fitting(d, look, strokes, paths, last=last)
        strokes.append(stroke)
        paths.append(glyph_ink.trace(stroke, paths, None))
        if last and count < _MOST_STROKES and _interest(strokes) < _ENOUGH:
            count += 1
    if d.chance(look.marks):
        strokes.append(_mark(d, paths))
        paths.append(glyph_ink.trace(strokes[-1], paths, None))
    low, high = _box(paths)
    return Character(
        strokes=tuple(strokes),
        middle=(low + high) / 2,
        extent=_longer(high - low),
        size=min(max(0.57 + 0.09 * d.bell(), 0.36), 0.8),
    )


def _interest(strokes: Sequence[Stroke]) -> float:
    """Measure how much there is to recognise; a repetition counts little."""
    total, seen = -1.0, set()
    for stroke in strokes:
        if stroke.length in seen:
            total += 0.4
            continue
        seen.add(stroke.length)
        total += 1 + sum(
            0.5 + abs(turn) / math.pi + 0.5 * (corner != 0)
            for corner, turn in zip(stroke.corner, stroke.turn, strict=True)
        )
    return total


def _stroke(pieces: Sequence[glyph_shapes.Piece], **place) -> Stroke:
    """Make a stroke of pieces with angles in degrees."""
    corner, length, turn = zip(*pieces, strict=True)
    return Stroke(
        corner=tuple(math.radians(angle) for angle in corner),
        length=length,
        turn=tuple(math.radians(angle) for angle in turn),
        **place,
    )


def _frame(d: Dice, look: Style) -> Stroke:
    """Make what characters begin with: a stem, a bar, a bowl, a hook, an L."""
    side = 1 if d.chance(look.clockwise) else -1
    way = d.pick([5, 2, 2, 1, 1])
    shape = (
        glyph_shapes.line,
        glyph_shapes.line,
        glyph_shapes.bowl,
        glyph_shapes.hook,
        glyph_shapes.corner,
    )[way]
    stroke = _stroke(shape(d, side), heading=0.0 if way == 1 else math.pi / 2)
    if way == 2:
        stroke = stroke._replace(heading=stroke.heading - stroke.turn[0] / 2)
    return _unit(stroke)


def _walk(d: Dice, look: Style) -> Stroke:
    """Chain one to three shapes to a stroke of extent 1."""
    pieces: list[glyph_shapes.Piece] = []
    for i in range(1 + d.chance(look.chain) + d.chance(look.chain / 3)):
        side = 1 if d.chance(look.clockwise) else -1
        shape = glyph_shapes.SHAPES[d.pick(look.shapes)](d, side)
        if i:
            bend = 0 if d.chance(look.smooth) else d.sign() * d.between(50, 140)
            scale = d.between(0.5, 1)
            shape[0] = (bend, *shape[0][1:])
            shape = [(c, scale * length, t) for c, length, t in shape]
        pieces += shape
    stroke = _stroke(
        pieces[: glyph_ink.MOST_PIECES],
        heading=0.0,
        stretch=look.wide * math.exp(0.15 * d.bell()),
    )
    return _unit(_directed(d, look, stroke))


def _directed(d: Dice, look: Style, stroke: Stroke) -> Stroke:
    """Turn a walk so that its first piece or its whole has a usual direction.

    Hands write downwards and to the right.
    """
    end = glyph_ink.walk(stroke)[0, -1]
    chord = stroke.turn[0] / 2
    if abs(end) > 0.3 * sum(stroke.length) and d.chance(0.5):
        chord = math.atan2(end.imag, end.real)
    right, down, left, up = 3.0, 4.0, 0.8, 0.8
    way = math.radians(90 * d.pick([right, down, left, up]))
    if len(stroke.length) < 3 and d.chance(look.slanting):
        way += math.radians((45, 60)[d.pick([2, 1])]) * d.sign()
    return stroke._replace(heading=way - chord + look.loose * d.bell())


def _box(paths: Sequence[np.ndarray]) -> tuple[complex, complex]:
    """Return the upper left and lower right corner around paths."""
    points = np.concatenate(paths, axis=None)
    x, y = points.real, points.imag
    return complex(x.min(), y.min()), complex(x.max(), y.max())


def _longer(diagonal: complex) -> float:
    """Return the longer side of a box."""
    return max(diagonal.real, diagonal.imag)


def _unit(stroke: Stroke) -> Stroke:
    """Scale a stroke to a longer side of 1."""
    low, high = _box([glyph_ink.walk(stroke)])
    return _scaled(stroke, 1 / _longer(high - low))


def _scaled(stroke: Stroke, scale: float) -> Stroke:
    """Make a stroke longer without changing its shape."""
    return stroke._replace(length=tuple(scale * part for part in stroke.length))


def _fitting(
    d: Dice,
    look: Style,
    strokes: Sequence[Stroke],
    paths: Sequence[np.ndarray],
    *,
    last: bool,
) -> Stroke:
    """Propose strokes until one fits to the earlier ones; else the best."""
    dense = [_dense(path[0]) for path in paths]
    least, best = math.inf, None
    tries = 0
    while best is None or (least > 0 and tries < _TRIES):
        tries += 1
        stroke = _proposal(d, look, strokes)
        if stroke.goal >= 0 and not _leads(stroke, paths):
            continue
        path = glyph_ink.trace(stroke, paths, None)
        fault = _fault(dense, _dense(path[0]), last=last)
        if fault < least:
            least, best = fault, stroke
    return best


def _proposal(d: Dice, look: Style, strokes: Sequence[Stroke]) -> Stroke:
    """Propose the next stroke."""
    if not strokes:
        if d.chance(look.framed):
            return _scaled(look.frame, d.between(1.5, 2.0))
        return _scaled(_walk(d, look), d.between(1.3, 2.0))
    simple = [i for i, s in enumerate(strokes) if _interest([s]) < 1.8]
    copied = len({s.length for s in strokes}) < len(strokes)
    if simple and not copied and d.chance(look.copies):
        return _copy(d, strokes, simple[d.pick([1] * len(simple))])
    if d.chance(look.shared):
        stroke = look.parts[d.pick([3, 2])]
    else:
        stroke = _walk(d, look)
    small = 4 if _interest([stroke]) < 1.8 else 0.0
    extent = (0.55, 1.0, 1.7)[d.pick([small, 4, 2])]
    stroke = _scaled(stroke, extent * math.exp(0.12 * d.bell()))
    target = len(strokes) - 1
    if d.chance(0.4):
        target = d.pick([1] * len(strokes))
    stroke = stroke._replace(target=target)
    if d.chance(look.free):
        place = d.between(0.5, 0.9) * 1j ** d.pick([3, 2, 1, 1])
        return stroke._replace(there=0.5, here=0.5, place=place)
    if d.chance(look.bridges):
        return stroke._replace(
            there=_ANCHORS[d.pick([3, 1, 2, 1, 3])],
            goal=d.pick([1] * len(strokes)),
            goal_there=_ANCHORS[d.pick([3, 1, 2, 1, 3])],
        )
    inside = _ANCHORS[1 + d.pick([1, 2, 1])]
    there, here = (
        (0.0, 0.0),
        (1.0, 0.0),
        (inside, 0.0),
        (inside, 0.5),
        (inside, 1.0),
        (0.0, 0.5),
        (1.0, 0.5),
    )[d.pick([2, 2, 4, 3, 1, 1.5, 1])]
    return stroke._replace(there=there, here=here)


def _copy(d: Dice, strokes: Sequence[Stroke], target: int) -> Stroke:
    """Repeat an earlier stroke beside itself, or mirror it."""
    model = strokes[target]._replace(goal=-1, target=target)
    low, high = _box([glyph_ink.walk(model)])
    size = high - low
    if d.chance(0.5):
        shift = d.between(0.4, 0.9) * d.sign()
        place = shift * (1 if size.imag > size.real else 1j)
        at = d.between(0, 1)
        return model._replace(there=at, here=at, place=place)
    end = float(d.chance(0.5))
    return model._replace(
        corner=tuple(-angle for angle in model.corner),
        turn=tuple(-angle for angle in model.turn),
        heading=math.pi - model.heading,
        there=end,
        here=end,
        place=0j if d.chance(0.7) else complex(0.5 * d.sign()),
    )


def _mark(d: Dice, paths: Sequence[np.ndarray]) -> Stroke:
    """Put a dot or a tick beside the character."""
    low, high = _box(paths)
    share = d.between(0.2, 0.8)
    x = low.real + share * (high - low).real
    y = low.imag + share * (high - low).imag
    gap = d.between(0.3, 0.45)
    place = (
        complex(x, low.imag - gap),
        complex(x, high.imag + gap),
        complex(high.real + gap, y),
        complex(low.real - gap, y),
    )[d.pick([4, 2, 2, 1])]
    length = 0.06 if d.chance(0.6) else d.between(0.3, 0.5)
    return _stroke(
        [(0, length, 0)],
        heading=math.radians(45 * d.pick([1, 1, 1, 1])),
        here=0.5,
        place=place,
    )


def _leads(stroke: Stroke, paths: Sequence[np.ndarray]) -> bool:
    """Tell whether a stroke can lead to its goal without much deformation."""
    start, end = (
        glyph_ink.point_at(paths[which], np.array([where]))[0]
        for which, where in (
            (stroke.target, stroke.there),
            (stroke.goal, stroke.goal_there),
        )
    )
    span = abs(end - start)
    own = abs(glyph_ink.walk(stroke)[0, -1])
    straight = own > 0.3 * sum(stroke.length)
    return straight and span > 0.35 and 0.4 < span / own < 2.5


def _fault(old: Sequence[np.ndarray], new: np.ndarray, *, last: bool) -> float:
    """Measure what is wrong with a next stroke; 0 is nothing.

    Args:
      old: earlier strokes, each [_POINTS] complex.
      new: proposed stroke, [_POINTS] complex.
      last: whether the character ends with it.
    """
    gap = np.abs(new[:, np.newaxis] - new)
    fault = max(0.0, ((gap < 0.2) & _AWAY).any(axis=1).mean() - 0.3)
    if old:
        gap = np.abs(new[:, np.newaxis] - np.concatenate(old)).min(axis=1)
        fault += 3 * max(0.0, (gap < 0.22).mean() - 0.3)
    low, high = _box([*old, new])
    long = _longer(high - low)
    short = min((high - low).real, (high - low).imag)
    fault += 3 * max(0.0, long - 2.2)
    if last:
        fault += 2 * max(0.0, 0.5 - short / long)
    walked = sum(np.abs(np.diff(path)).sum() for path in (*old, new))
    return float(fault + max(0.0, walked / long - 4.5))


def _dense(path: np.ndarray) -> np.ndarray:
    """Resample a polyline [points] to equal distances: [_POINTS]."""
    run = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(path)))])
    return np.interp(np.linspace(0, run[-1], _POINTS), run, path)
