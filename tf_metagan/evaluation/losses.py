"""Loss curves of many trainings side by side, as the paper's figure 8."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image

from tf_metagan import chart
from tf_metagan.data import atomic
from tf_metagan.evaluation import progress

COLUMNS = {"D": "D_val", "G": "G_val"}
"""{player: name in metrics.jsonl of its loss after adaptation}."""

_POINTS = 100
_PER_LINE = 3


def read(run: Path, *, points: int = _POINTS) -> dict[str, chart.Line]:
    """Read the losses of a training.

    Args:
      run: its folder.
      points: at most so many along the training; each is the mean of the
        values logged since the one before.

    Returns:
      {player: Line over meta-steps}; empty if nothing was logged.
    """
    # A run that went on from an older checkpoint logs some steps again.
    rows = {
        row["step"]: row
        for row in progress.logged(run)
        if row.get("run") == "train"
    }
    found = {}
    for player, column in COLUMNS.items():
        values = [
            (step, value)
            for step, row in sorted(rows.items())
            if (value := row.get(column)) is not None and math.isfinite(value)
        ]
        if values:
            found[player] = _thinned(np.array(values), points)
    return found


def _thinned(values: np.ndarray, points: int) -> chart.Line:
    """Average [n, 2] (step, value) in at most `points` groups of neighbours."""
    groups = np.array_split(values, min(points, len(values)))
    return chart.Line(
        [float(group[-1, 0]) for group in groups],
        [float(group[:, 1].mean()) for group in groups],
        [None] * len(groups),
    )


def write(path: Path, runs: Mapping[str, Path]) -> bool:
    """Draw the losses of trainings, a chart for each.

    Args:
      path: of the picture.
      runs: {name for people: folder}; those without losses are left out.

    Returns:
      Whether there was anything to draw.
    """
    panels = [
        chart.Panel(name, lines)
        for name, run in runs.items()
        if (lines := read(run))
    ]
    if not panels:
        return False
    picture = chart.draw(
        panels,
        x_title="meta-steps",
        linear=True,
        per_line=min(_PER_LINE, len(panels)),
    )
    with atomic.replacement(path) as temporary:
        PIL.Image.fromarray(picture).save(temporary)
    return True
