"""Fidelity and diversity apart from each other, by nearest neighbours.

Around each point lies the closed ball that reaches to its k-th nearest
neighbour in its own set; a set's balls together stand for its distribution.
"""

from typing import Any, NamedTuple

import numpy as np

from tf_metagan.metrics import base, distances


class PrecisionRecall(NamedTuple):
    """Shares in 0 .. 1.

    Attributes:
      precision: share of fake points in some ball of the real ones.
      recall: share of real points in some ball of the fake ones.
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density is 0 or more and 1 for equal distributions; coverage 0 .. 1.

    Attributes:
      density: balls of real points that hold a fake one, by k, on average.
      coverage: share of real points with a fake one in their ball.
    """

    density: float
    coverage: float


def precision_recall(real: Any, fake: Any, *, k: int = 3) -> PrecisionRecall:
    """Return which share of each set the balls of the other one hold.

    Args:
      real: [n, d] features, n > k.
      fake: [m, d] features of the same network, m > k.
      k: neighbour that a ball reaches to, not counting the point itself.

    Returns:
      PrecisionRecall. Exchanging the sets exchanges the two.

    Raises:
      ValueError: see `base.as_pair`; k < 1.

    Source: Kynkäänniemi et al. (2019), equation 2, k = 3.
    """
    real, fake = _points(real, fake, k, least_fake=k + 1)
    slack = distances.rounding(real, fake)
    real_reach = _reach(real, k) + slack
    fake_reach = _reach(fake, k) + slack
    fake_held = np.zeros(len(fake), np.bool_)
    real_held = np.zeros(len(real), np.bool_)
    for rows, apart in distances.squared(real, fake):
        fake_held |= np.any(apart <= real_reach[rows, np.newaxis], axis=0)
        real_held[rows] = np.any(apart <= fake_reach, axis=1)
    return PrecisionRecall(float(np.mean(fake_held)), float(np.mean(real_held)))


def density_coverage(real: Any, fake: Any, *, k: int = 5) -> DensityCoverage:
    """Return how densely and how completely fakes fill the real balls.

    density = sum over fakes of (real balls that hold it) / (k m).

    Args:
      real: [n, d] features, n > k.
      fake: [m, d] features of the same network, m >= 1.
      k: neighbour that a ball reaches to, not counting the point itself.

    Returns:
      DensityCoverage. For equal distributions and m = n, coverage is about
      1 - 1 / 2^k, less for smaller m.

    Raises:
      ValueError: see `base.as_pair`; k < 1.

    Source: Naeem et al. (2020), equations 4 and 6, k = 5.
    Differs: their program has open balls, so that a copy of a real image that
      exists k + 1 times would count as far off.
    """
    real, fake = _points(real, fake, k, least_fake=1)
    reach = _reach(real, k) + distances.rounding(real, fake)
    balls = 0
    covered = np.zeros(len(real), np.bool_)
    for rows, apart in distances.squared(real, fake):
        inside = apart <= reach[rows, np.newaxis]
        balls += int(np.sum(inside))
        covered[rows] = np.any(inside, axis=1)
    return DensityCoverage(
        density=balls / (k * len(fake)), coverage=float(np.mean(covered))
    )


def _points(
    real: Any, fake: Any, k: int, *, least_fake: int
) -> tuple[np.ndarray, ...]:
    """Return both sets, moved by the real mean so that distances are exact."""
    if k < 1:
        raise ValueError(
            f"k={k}: expected a neighbour, 1 or more. The usual numbers are 3 "
            "for precision and recall, 5 for density and coverage."
        )
    real, fake = base.as_pair(real, fake, least=1)
    base.check_values(real, "real", least=k + 1)
    base.check_values(fake, "fake", least=least_fake)
    return distances.centred(real, fake)


def _reach(x: np.ndarray, k: int) -> np.ndarray:
    """Return the squared distance of each row to its k-th neighbour: [n]."""
    reach = np.empty(len(x))
    for rows, apart in distances.squared(x, x):
        own = np.arange(rows.start, rows.stop)
        apart[own - rows.start, own] = np.inf
        apart.partition(k - 1, axis=1)
        reach[rows] = apart[:, k - 1]
    return reach
