"""Line charts as pictures, without a plotting library."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

_PAPER = (255, 255, 255)
_INK = (40, 40, 40)
_RULE = (225, 225, 225)
_COLORS = ((31, 98, 168), (201, 92, 30), (44, 135, 72), (129, 76, 160))
_FONT_SIZE = 14
_WIDTH, _HEIGHT = 400, 260  # of the area of a panel in which lines are drawn
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 28, 56, 58
_TICKS = 5
_DOTS = 30  # points of a line above which they are not marked


class Line(NamedTuple):
    """Points of one line.

    Attributes:
      x: ascending, not negative.
      y: of the same length; None where there is no value.
      error: half-widths of the intervals around y; None where there is none.
    """

    x: Sequence[float]
    y: Sequence[float | None]
    error: Sequence[float | None]


class Panel(NamedTuple):
    """One chart of several.

    Attributes:
      title: what the vertical axis shows, with its unit.
      lines: {name: Line}.
      bounds: least and greatest value that there can be; what an interval has
        beyond them is not drawn.
    """

    title: str
    lines: Mapping[str, Line]
    bounds: tuple[float, float] = (-math.inf, math.inf)


def draw(
    panels: Sequence[Panel],
    *,
    x_title: str,
    linear: bool = False,
    per_line: int | None = None,
) -> np.ndarray:
    """Draw charts beside each other.

    Args:
      panels: at least one.
      x_title: what the horizontal axis shows, with its unit.
      linear: the horizontal axis shows x, with round numbers; otherwise
        log(1 + x), so that 0 has a place, with the points' own numbers.
      per_line: charts beside each other, further ones below; None: all.

    Returns:
      uint8 [height, width, 3].
    """
    per_line = per_line or len(panels)
    width, height = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM
    lines = -(-len(panels) // per_line)
    chart = PIL.Image.new("RGB", (width, height), _PAPER)
    picture = PIL.Image.new(
        "RGB", (width * min(per_line, len(panels)), height * lines), _PAPER
    )
    for number, panel in enumerate(panels):
        chart.paste(_PAPER, (0, 0, width, height))
        _draw_panel(PIL.ImageDraw.Draw(chart), panel, x_title, linear)
        down, across = divmod(number, per_line)
        picture.paste(chart, (across * width, down * height))
    return np.asarray(picture)


def _draw_panel(
    pen: PIL.ImageDraw.ImageDraw, panel: Panel, x_title: str, linear: bool
) -> None:
    left = _LEFT
    font = PIL.ImageFont.load_default(_FONT_SIZE)
    xs = sorted({x for line in panel.lines.values() for x in line.x})
    if linear:
        xs = ticks_over(xs[0], xs[-1])
    ticks = y_ticks(panel.lines.values(), panel.bounds)
    low, high = ticks[0], ticks[-1]
    scale = float if linear else math.log1p
    first, last = scale(xs[0]), scale(xs[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (scale(x) - first) / ((last - first) or 1.0)
        up = (y - low) / (high - low)
        return left + across * _WIDTH, _TOP + (1.0 - up) * _HEIGHT

    for y in ticks:
        pen.line([place(xs[0], y), (left + _WIDTH, place(xs[0], y)[1])], _RULE)
        beside = (left - 8.0, place(xs[0], y)[1])
        pen.text(beside, f"{y:.4g}", _INK, font, anchor="rm")
    free = -math.inf
    for x in xs:
        at = place(x, low)
        pen.line([at, (at[0], at[1] + 4)], _INK)
        text = f"{x:,.10g}" if linear else f"{x:g}"
        half = pen.textlength(text, font) / 2
        if at[0] - half > free + 4:
            pen.text((at[0], at[1] + 8), text, _INK, font, anchor="ma")
            free = at[0] + half
    pen.line([place(xs[0], low), (left + _WIDTH, place(xs[0], low)[1])], _INK)
    middle = left + _WIDTH / 2
    below = _TOP + _HEIGHT + _BOTTOM - 12
    pen.text((middle, below), x_title, _INK, font, anchor="mm")
    pen.text((left, 16), panel.title, _INK, font, anchor="lm")
    start = left
    for number, (name, line) in enumerate(panel.lines.items()):
        color = _COLORS[number % len(_COLORS)]
        pen.line([(start, 38), (start + 18, 38)], color, 3)
        pen.text((start + 24, 38), name, _INK, font, anchor="lm")
        start += 44 + int(pen.textlength(name, font))
        _draw_line(pen, line, place, color, panel.bounds)


def _draw_line(
    pen: PIL.ImageDraw.ImageDraw,
    line: Line,
    place: Callable[[float, float], tuple[float, float]],
    color: tuple[int, int, int],
    bounds: tuple[float, float],
) -> None:
    before = None
    marked = len(line.x) <= _DOTS
    for x, y, error in zip(line.x, line.y, line.error, strict=True):
        if y is None:
            before = None
            continue
        at = place(x, y)
        if error is not None and math.isfinite(error):
            ends = _interval(y, error, bounds)
            pen.line([place(x, end) for end in ends], color)
        if before is not None:
            pen.line([before, at], color, 2)
        if marked:
            pen.ellipse([at[0] - 3, at[1] - 3, at[0] + 3, at[1] + 3], color)
        before = at


def _interval(
    y: float, error: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    return max(y - error, bounds[0]), min(y + error, bounds[1])


def y_ticks(
    lines: Iterable[Line],
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> list[float]:
    """Return round numbers that enclose all values and their intervals.

    Args:
      lines: of one panel.
      bounds: see `Panel`.

    Returns:
      At least two, ascending, in equal steps of 1, 2 or 5 times a power of 10.

    >>> y_ticks([Line([0, 1], [0.12, 0.93], [None, 0.02])])
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    ends = [
        end
        for line in lines
        for y, error in zip(line.y, line.error, strict=True)
        if y is not None
        for end in _interval(
            y, error if error and math.isfinite(error) else 0.0, bounds
        )
    ]
    return ticks_over(*(min(ends), max(ends)) if ends else (0.0, 1.0))


def ticks_over(low: float, high: float) -> list[float]:
    """Return round numbers from below `low` to above `high`; see `y_ticks`."""
    if not high > low:
        high = low + 1.0
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(f * power for f in (1, 2, 5, 10) if f * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
