"""Inception score: confident about each image, undecided over all of them."""

import itertools
from typing import Any

import numpy as np

from tf_metagan.metrics import base, nll


def inception_score(
    log_probs: Any, *, splits: int, seed: int | None = 0
) -> base.Estimate:
    """Return exp(mean over x of KL(p(y|x) || p(y))), averaged over splits.

    p(y) is the mean of p(y|x) over the images of the split.

    Args:
      log_probs: [n, classes] natural logarithms of probabilities, n >= splits;
        of any classifier, whose name belongs into the metric's.
      splits: parts of nearly equal size; 10 as usual. Small parts give small
        scores: at most n / splits.
      seed: of the random division into parts; None takes the images as they
        come, which is wrong for images sorted by class or task.

    Returns:
      Estimate over the splits, each in 1 .. classes: 1 if every image looks
      the same to the classifier.

    Raises:
      ValueError: splits < 1, too few images, values that are not finite, or
        rows that are not logarithms of probabilities.

    Source: Salimans et al. (2016).
    Differs: others give the deviation over the splits, ours its interval.
    """
    if splits < 1:
        raise ValueError(
            f"splits={splits}: expected at least one. The usual number is 10."
        )
    log_probs = base.as_features(log_probs, "log_probs", least=splits)
    nll.check_log_probs(log_probs)
    if seed is not None:
        generator = np.random.default_rng(seed)
        log_probs = generator.permutation(log_probs)
    ends = np.arange(splits + 1) * len(log_probs) // splits
    return base.estimate(
        _score(log_probs[begin:end]) for begin, end in itertools.pairwise(ends)
    )


def _score(log_probs: np.ndarray) -> float:
    """Return the score of one split: [n, classes] float64."""
    log_marginal = np.logaddexp.reduce(log_probs) - np.log(len(log_probs))
    divergences = np.sum(np.exp(log_probs) * (log_probs - log_marginal), axis=1)
    return float(np.exp(np.mean(divergences)))
