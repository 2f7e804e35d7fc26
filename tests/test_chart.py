"""Line charts: where things are drawn."""

import math

import numpy as np
import pytest

from tf_metagan import chart
from tf_metagan.chart import Line, Panel


def shown(picture, color):
    """Return the places [n, 2] (y, x) of pixels of a color."""
    return np.argwhere((picture == color).all(axis=-1))


def draw(*panels):
    return chart.draw(panels, x_title="steps")


def flat(y, n=3):
    return Line([0, 10, 100][:n], [y] * n, [None] * n)


def test_lines_stand_by_their_values():
    picture = draw(Panel("p", {"low": flat(0.2), "high": flat(0.8)}))
    area = picture[chart._TOP - 3 : chart._TOP + chart._HEIGHT + 4]
    low, high = (shown(area, c)[:, 0].mean() for c in chart._COLORS[:2])
    assert high + 50 < low  # rows count downwards
    # The wrong twin: exchanged values.
    twin = draw(Panel("p", {"low": flat(0.8), "high": flat(0.2)}))
    area = twin[chart._TOP - 3 : chart._TOP + chart._HEIGHT + 4]
    low, high = (shown(area, c)[:, 0].mean() for c in chart._COLORS[:2])
    assert not high + 50 < low


def test_missing_points_are_a_gap():
    x = [0, 1, 3, 7, 15]  # equal distances on the axis

    def columns(y):
        picture = draw(Panel("p", {"a": Line(x, y, [None] * 5)}))
        area = picture[chart._TOP : chart._TOP + chart._HEIGHT + 1]
        return set(shown(area, chart._COLORS[0])[:, 1])

    whole, gap = columns([1.0] * 5), columns([1.0, 1.0, None, 1.0, 1.0])
    middle = chart._LEFT + chart._WIDTH // 2
    assert middle in whole
    assert not gap & set(range(middle - 50, middle + 50))
    assert min(whole) == min(gap)


def test_intervals_are_drawn():
    def height(error):
        line = Line([0, 1], [0.5, 0.5], [error, None])
        other = Line([0, 1], [0.0, 1.0], [None, None])
        picture = draw(Panel("p", {"a": line, "b": other}))
        area = picture[chart._TOP : chart._TOP + chart._HEIGHT + 1]
        places = shown(area, chart._COLORS[0])[:, 0]
        return places.max() - places.min()

    assert height(0.4) > height(None) + 100


def test_panels_stand_beside_each_other():
    one = draw(Panel("p", {"a": flat(1)}))
    two = draw(Panel("p", {"a": flat(1)}), Panel("q", {"a": flat(2)}))
    assert two.shape == (one.shape[0], 2 * one.shape[1], 3)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(two[:, : one.shape[1]], one)


def test_panel_without_values_is_empty():
    line = Line([0, 1], [None, None], [None, None])
    picture = draw(Panel("p", {"a": line}))
    area = picture[chart._TOP : chart._TOP + chart._HEIGHT + 1]
    assert not len(shown(area, chart._COLORS[0]))


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-3.2, 48.0), (0.0712, 0.0713), (5.0, 5.0)]
)
def test_ticks_enclose_values_in_round_steps(low, high):
    ticks = chart.y_ticks([Line([0, 1], [low, high], [None, None])])
    assert ticks[0] <= low + 1e-9
    assert ticks[-1] >= high - 1e-9
    assert 2 <= len(ticks) <= chart._TICKS + 2
    step = ticks[1] - ticks[0]
    np.testing.assert_allclose(np.diff(ticks), step, rtol=1e-6)
    mantissa = step / 10.0 ** np.floor(np.log10(step) + 1e-9)
    assert any(np.isclose(mantissa, m) for m in (1, 2, 5, 10))


def test_ticks_enclose_intervals():
    ticks = chart.y_ticks([Line([0], [1.0], [3.0])])
    assert ticks[0] <= -2.0
    assert ticks[-1] >= 4.0


def test_intervals_end_where_values_cannot_be():
    line = Line([0, 1], [0.2, 0.9], [1.0, 0.3])
    assert chart.y_ticks([line], (0.0, 1.0))[::5] == [0.0, 1.0]
    free, bounded = (
        chart.draw([Panel("accuracy", {"a": line}, bounds)], x_title="steps")
        for bounds in ((-math.inf, math.inf), (0.0, 1.0))
    )
    assert not np.array_equal(free, bounded)
    # Nothing of the interval is above the axis, where the names stand.
    wide = Line([0, 1], [0.2, 0.9], [9.0, 9.0])
    cut = chart.draw([Panel("accuracy", {"a": wide}, (0, 1))], x_title="steps")
    again = Line([0, 1], [0.2, 0.9], [0.8, 0.9])
    at_most = Panel("accuracy", {"a": again}, (0, 1))
    assert np.array_equal(cut, chart.draw([at_most], x_title="steps"))


def test_linear_axis_has_round_numbers_and_even_distances():
    x = [0.0, 500.0, 1000.0]
    y = [0.0, 0.5, 1.0]

    def middle(linear):
        picture = chart.draw(
            [Panel("p", {"a": Line(x, y, [None] * 3)})],
            x_title="steps",
            linear=linear,
        )
        area = picture[chart._TOP : chart._TOP + chart._HEIGHT + 1]
        places = shown(area, chart._COLORS[0])
        half = np.abs(places[:, 0] - chart._HEIGHT / 2) < 2
        return places[half, 1].mean() - chart._LEFT

    assert middle(True) == pytest.approx(chart._WIDTH / 2, abs=3)
    assert middle(False) > 0.8 * chart._WIDTH
    assert chart.ticks_over(20, 8000) == [0, 2000, 4000, 6000, 8000]


def test_further_charts_stand_below():
    panels = [Panel(f"{i}", {"a": flat(0.5)}) for i in range(3)]
    wide = chart.draw(panels, x_title="steps")
    tall = chart.draw(panels, x_title="steps", per_line=2)
    height, width = wide.shape[:2]
    assert tall.shape == (2 * height, width // 3 * 2, 3)
    np.testing.assert_array_equal(
        tall[height:, : width // 3], wide[:, 2 * width // 3 :]
    )
    assert (tall[height:, width // 3 :] == 255).all()
