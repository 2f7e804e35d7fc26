"""Kernel distance between features (KID): unbiased for any number of images."""

import math
from typing import Any

import numpy as np

from tf_metagan.metrics import base


def kid(
    real: Any, fake: Any, *, subset_size: int, subsets: int, seed: int
) -> base.Estimate:
    """Estimate the squared MMD of the kernel k(x, y) = (x'y / d + 1)^3.

    The mean over random subsets of m rows of
      sum_{i != j} (k(x_i, x_j) + k(y_i, y_j)) / (m (m - 1))
      - 2 sum_{i, j} k(x_i, y_j) / m^2.

    Subsets share rows, so their deviation s says too little about the rows not
    drawn. With n the smaller number of rows, B subsets, and t of B - 1 degrees
    of freedom, the delete-d jackknife gives
      ci95 = t s sqrt(m / (n - m) + 1 / B),
    too wide rather than too narrow for unequal numbers of rows or equal
    distributions. It needs some hundred rows and some dozen subsets to cover
    95 %, and takes rows for independent: images of a few tasks vary more.

    Args:
      real: [n1, d] features.
      fake: [n2, d] features of the same network.
      subset_size: m >= 2; at most n1 and n2.
      subsets: B >= 1; more than a few hundred change little.
      seed: equal seeds draw equal subsets.

    Returns:
      Estimate of the squared distance, 0 in expectation for equal
      distributions and therefore sometimes negative. Its n is B; its ci95 nan
      if B = 1 or if m = n, where nothing varies.

    Raises:
      ValueError: see `base.as_pair`; fewer rows than m; m < 2; B < 1.

    Source: Binkowski et al. (2018). Jackknife: Shao and Wu (1989).
    Differs: others print s, the deviation of one subset, after the mean.
    """
    if subset_size < 2 or subsets < 1:
        raise ValueError(
            f"{subsets} subsets of {subset_size} rows: expected at least one "
            "of at least two. The usual numbers are 100 and 1000."
        )
    real, fake = base.as_pair(real, fake, least=subset_size)
    generator = np.random.default_rng(seed)
    values = [
        mmd2(*(_rows(x, subset_size, generator) for x in (real, fake)))
        for _ in range(subsets)
    ]
    mean, ci95, _ = base.estimate(values)
    rest = min(len(real), len(fake)) - subset_size
    if not rest:
        return base.Estimate(mean, math.nan, subsets)
    widen = math.sqrt(subsets * subset_size / rest + 1.0)
    return base.Estimate(mean, ci95 * widen, subsets)


def mmd2(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the unbiased estimate of the squared MMD from all pairs of rows.

    Args:
      real: [m, d] float64, m >= 2.
      fake: [n, d] float64, n >= 2.

    Returns:
      See `kid`. Memory is that of m x n kernel values.
    """
    across = np.mean(_kernel(real, fake))
    return float(_within(real) + _within(fake) - 2.0 * across)


def _within(x: np.ndarray) -> float:
    """Return the mean kernel value over pairs of different rows."""
    kernel = _kernel(x, x)
    n = len(x)
    return float((np.sum(kernel) - np.trace(kernel)) / (n * (n - 1)))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    inner = x @ y.T / x.shape[1] + 1.0
    cube: np.ndarray = inner * inner * inner
    return cube


def _rows(
    x: np.ndarray, count: int, generator: np.random.Generator
) -> np.ndarray:
    return x[generator.choice(len(x), count, replace=False)]
