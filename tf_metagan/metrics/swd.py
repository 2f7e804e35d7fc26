"""Sliced Wasserstein distance: how far distributions are along directions."""

from typing import Any

import numpy as np

from tf_metagan.metrics import base

_DIRECTIONS_AT_ONCE = 64


def sliced_wasserstein(
    real: Any, fake: Any, *, projections: int, seed: int
) -> float:
    """Return the mean over unit vectors u of W1(real u, fake u).

    W1 = integral over q in 0 .. 1 of |F^-1(q) - G^-1(q)|, exact for the
    empirical distributions of any two numbers of rows.

    Args:
      real: [n, d] features or flattened images.
      fake: [m, d] likewise.
      projections: random directions, uniform on the sphere; the error is that
        of a mean of so many. Fewer are the first of more.
      seed: equal seeds give equal directions.

    Returns:
      The distance, in units of the features; 0 only for equal sets. Two draws
      from one distribution are apart by O(1 / sqrt(n)): compare with the
      distance of real from real.

    Raises:
      ValueError: see `base.as_pair`; projections < 1.

    Source: Rabin et al. (2011).
    Differs: Karras et al. (2018) average over patches of a Laplacian pyramid
      and multiply by 1000. Pass such patches to get theirs.
    """
    if projections < 1:
        raise ValueError(
            f"projections={projections}: expected at least one direction. The "
            "usual numbers are 128 to 1000."
        )
    real, fake = base.as_pair(real, fake, least=1)
    directions = _directions(real.shape[1], projections, seed)
    weights, real_index, fake_index = _common_quantiles(len(real), len(fake))
    total = 0.0
    for first in range(0, projections, _DIRECTIONS_AT_ONCE):
        u = directions[first : first + _DIRECTIONS_AT_ONCE].T
        along_real, along_fake = (np.sort(x @ u, axis=0) for x in (real, fake))
        apart = np.abs(along_real[real_index] - along_fake[fake_index])
        total += float(np.sum(weights @ apart))
    return total / projections


def _directions(width: int, count: int, seed: int) -> np.ndarray:
    """Return unit vectors, [count, width]."""
    normal = np.random.default_rng(seed).standard_normal([count, width])
    unit: np.ndarray = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return unit


def _common_quantiles(
    n: int, m: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide 0 .. 1 where either of two step functions may jump.

    Args:
      n: values of the one, which jumps at i / n.
      m: values of the other, which jumps at j / m.

    Returns:
      (lengths of the parts, index into the one's sorted values, into the
      other's). Parts begin at multiples of 1 / (n m), so that all is exact.
    """
    begins = np.union1d(np.arange(n) * m, np.arange(m) * n)
    lengths = np.diff(begins, append=n * m) / (n * m)
    return lengths, begins // m, begins // n
