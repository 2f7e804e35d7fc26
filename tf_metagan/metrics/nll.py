"""How well images show the class they are to show, says a classifier."""

import operator
from typing import Any, NamedTuple

import numpy as np

from tf_metagan.metrics import base

_SUM_ERROR = 1e-3  # of probabilities in float32 over some thousand classes


class ClassScores(NamedTuple):
    """Scores of the images of one task.

    Attributes:
      nll: mean of -ln P(class | image), in nats; 0 at best, unbounded.
      accuracy: share of images whose most probable class is the task's.
    """

    nll: float
    accuracy: float


def class_scores(log_probs: Any, column: int) -> ClassScores:
    """Score images of one task: nll = mean of -ln p[column].

    Args:
      log_probs: [n, classes] natural logarithms of probabilities; each row's
        probabilities sum to 1.
      column: of the task's class, from 0. Not its class id: a network's
        `classes.index(label)` gives the column of a label.

    Returns:
      ClassScores, summed in float64.

    Raises:
      ValueError: no rows, values that are not finite, no such column, or rows
        that are not logarithms of probabilities.

    Source: MAML-GAN, section 4: images drawn for a task, scored by a critic
      trained on labelled images.
    """
    log_probs = base.as_features(log_probs, "log_probs", least=1)
    column = operator.index(column)
    if not 0 <= column < log_probs.shape[1]:
        raise ValueError(
            f"column {column} of `log_probs` with {log_probs.shape[1]} "
            "columns: expected one from 0. A label is not a column; use "
            "classes.index(label) of the network."
        )
    check_log_probs(log_probs)
    right = np.argmax(log_probs, axis=1) == column
    return ClassScores(
        nll=float(-np.mean(log_probs[:, column])),
        accuracy=float(np.mean(right)),
    )


def check_log_probs(log_probs: np.ndarray) -> None:
    """Raise unless the probabilities of each row sum to 1.

    Args:
      log_probs: [n, classes] float64, finite.

    Raises:
      ValueError: they do not, as those of logits or of logarithms to base 2.
    """
    total = np.logaddexp.reduce(log_probs, axis=1)
    worst = int(np.argmax(np.abs(total)))
    if abs(total[worst]) > _SUM_ERROR:
        raise ValueError(
            f"the probabilities in row {worst} of `log_probs` sum to "
            f"exp({total[worst]:.4g}): expected 1. Pass natural logarithms of "
            "probabilities, such as tf.nn.log_softmax(logits)."
        )
