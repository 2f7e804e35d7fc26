"""Scores over the number of steps, and over the number of support images."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tf_metagan.evaluation import scoring
from tf_metagan.evaluation.reals import Reals
from tf_metagan.evaluation.store import Part
from tf_metagan.evaluation.subject import Subject
from tf_metagan.evaluation.tasks import UnseenTask
from tf_metagan.metrics import base as metrics
from tf_metagan.metrics import diversity, nll

COLUMNS = ("nll", "accuracy", "relative_diversity")


def along_steps(
    subject: Subject,
    task: UnseenTask,
    *,
    steps: Sequence[int],
    samples: int,
    reals: Reals,
) -> Part:
    """Score a task after several numbers of steps, each from the start.

    Args:
      subject: what adapts.
      task: with support for the most steps.
      steps: numbers of steps.
      samples: images drawn after each of them.
      reals: real images and the critic.

    Returns:
      {column of COLUMNS: [points]}; nan where adaptation diverged.
    """
    points = [
        point(
            subject,
            # What an evaluation of so few steps would be given.
            task._replace(support=task.support[: max(1, number)]),
            steps=number,
            samples=samples,
            reals=reals,
        )
        for number in steps
    ]
    return {column: np.array([p[column] for p in points]) for column in COLUMNS}


def point(
    subject: Subject,
    task: UnseenTask,
    *,
    steps: int,
    samples: int,
    reals: Reals,
) -> dict[str, Any]:
    """Score a task once: {column of COLUMNS: value}, nan if it diverged.

    Unlike the main protocol a curve goes where a subject was never meant to
    be, from scratch or over many steps, and says where that ends.
    """
    adapted = subject.adapt(task.support, seed=task.seed, steps=steps)
    fake = subject.sample(adapted, seed=task.seed, n=samples)
    if not np.isfinite(fake).all():
        return dict.fromkeys(COLUMNS, np.nan)
    features, log_probs = scoring.look(reals.critic, fake)
    scores = nll.class_scores(log_probs, reals.column(task.label))
    real = reals.of(task.label).seen.features[:samples]
    spread = diversity.relative_diversity(features[: len(real)], real)
    return {**scores._asdict(), "relative_diversity": float(spread)}


def summary(x: Sequence[int], parts: Iterable[Part]) -> dict[str, Any]:
    """Average the points of a curve over its tasks.

    Args:
      x: where the points are.
      parts: of `along_steps`, one per task.

    Returns:
      {"x", "diverged": tasks per point, and for each column {"mean", "ci95"},
      lists over the points; None where no task is left}.
    """
    parts = list(parts)
    values = {c: np.stack([p[c] for p in parts]) for c in COLUMNS}
    sound = np.isfinite(values["nll"])
    curve: dict[str, Any] = {
        "x": [int(number) for number in x],
        "tasks": len(parts),
        "diverged": [int(number) for number in (~sound).sum(axis=0)],
    }
    for column, table in values.items():
        points = [
            metrics.estimate(table[kept, i]) if kept.any() else None
            for i, kept in enumerate(sound.T)
        ]
        curve[column] = {
            name: [None if p is None else getattr(p, name) for p in points]
            for name in ("mean", "ci95")
        }
    return curve
