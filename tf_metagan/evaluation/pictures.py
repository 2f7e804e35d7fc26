"""Pictures of an evaluation: curves, and samples of some tasks."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from tf_metagan import chart, pictures
from tf_metagan.data import atomic
from tf_metagan.evaluation import photographs
from tf_metagan.evaluation.subject import Subject
from tf_metagan.evaluation.tasks import UnseenTask

TASKS = 8  # rows of a picture of samples; of photographs, of each group
SAMPLES = 4  # of each photograph and model

_SHOWN = 16  # images per task and column
_AXES = {
    "steps": "steps of adaptation",
    "shots": "support images",
}
_VALUES = {
    "accuracy": ("accuracy under the critic", (0.0, 1.0)),
    "nll": ("NLL under the critic, nats", (0.0, math.inf)),
    "relative_diversity": ("diversity, real = 1", (0.0, math.inf)),
}


def write_curves(folder: Path, drawn: Mapping[str, Any]) -> None:
    """Write curve_steps.png and curve_shots.png.

    Args:
      folder: where to.
      drawn: {curve: {who: `curves.summary`}}.
    """
    for name, subjects in drawn.items():
        panels = [
            chart.Panel(
                title=title,
                lines={
                    who: chart.Line(
                        curve["x"], curve[column]["mean"], curve[column]["ci95"]
                    )
                    for who, curve in subjects.items()
                },
                bounds=bounds,
            )
            for column, (title, bounds) in _VALUES.items()
        ]
        picture = chart.draw(panels, x_title=_AXES[name])
        _write(folder / f"curve_{name}.png", picture)


def write_samples(
    folder: Path,
    tasks: Sequence[UnseenTask],
    subject: Subject,
    scratch: Subject,
    *,
    steps: int,
) -> None:
    """Write samples.png: support, prior, adapted, from scratch.

    Args:
      folder: where to.
      tasks: one row each.
      subject: what was evaluated.
      scratch: the control.
      steps: of adaptation.
    """
    columns: dict[str, list[np.ndarray]] = {
        "support (unseen classes)": [],
        "prior (no adaptation)": [],
        f"adapted, {steps} steps": [],
        f"from scratch, {steps} steps": [],
    }
    for task in tasks:
        support = task.support.reshape(-1, *task.support.shape[2:])
        drawn = (
            support[:_SHOWN],
            _drawn(subject, task, 0),
            _drawn(subject, task, steps),
            _drawn(scratch, task, steps),
        )
        for column, images in zip(columns.values(), drawn, strict=True):
            column.append(images)
    picture = pictures.grid(columns, [task.name for task in tasks], per_line=4)
    _write(folder / "samples.png", picture)


def write_photographs(
    folder: Path,
    shown: Sequence[photographs.Subject],
    drawn: Mapping[str, Mapping[str, photographs.Drawn]],
) -> None:
    """Write photographs.png: photograph, reconstructions, samples.

    Args:
      folder: where to.
      shown: photographs; a row for the first of each group that all models
        have drawn.
      drawn: {caption of a model: {name of a photograph: what it draws}}.
    """
    groups: dict[str, list[photographs.Subject]] = {}
    for x in shown:
        if all(x.name in found for found in drawn.values()):
            groups.setdefault(x.group, []).append(x)
    rows = [x for group in groups.values() for x in group[:TASKS]]
    if not rows:
        return
    columns = {"photograph": [x.image[np.newaxis] for x in rows]}
    for name, found in drawn.items():
        every = [found[x.name] for x in rows]
        columns[f"{name}: reconstruction"] = [
            x.rebuilt[np.newaxis] for x in every
        ]
        columns[f"{name}: samples"] = [x.samples[:SAMPLES] for x in every]
    names = [f"{x.group}, {x.name}" for x in rows]
    _write(folder / "photographs.png", pictures.grid(columns, names))


def _drawn(subject: Subject, task: UnseenTask, steps: int) -> np.ndarray:
    """Draw images of a task; those that diverged are blank."""
    adapted = subject.adapt(task.support, seed=task.seed, steps=steps)
    images = subject.sample(adapted, seed=task.seed, n=_SHOWN)
    sound = np.isfinite(images).all(axis=(1, 2, 3), keepdims=True)
    return np.where(sound, images, 1.0)


def _write(path: Path, picture: np.ndarray) -> None:
    with atomic.replacement(path) as temporary:
        PIL.Image.fromarray(picture).save(temporary)
