"""Distances between all rows of two sets, a bounded number at a time."""

from collections.abc import Iterator

import numpy as np

_MOST_AT_ONCE = 2**23  # distances; 64 MiB


def squared(
    x: np.ndarray, y: np.ndarray, *, dtype: type = np.float64
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield |x_i - y_j|^2 = |x_i|^2 + |y_j|^2 - 2 x_i'y_j for rows of x.

    Rounding is relative to the squared norms: move both by a point in their
    middle first, and compare with a tolerance (`rounding`).

    Args:
      x: [n, d].
      y: [m, d].
      dtype: of the computation.

    Yields:
      (rows, [len(rows), m] distances >= 0), rows a slice of 0 .. n. The array
      is the caller's to change.
    """
    x, y = x.astype(dtype, copy=False), y.astype(dtype, copy=False)
    norms_x = np.einsum("nd,nd->n", x, x)
    norms_y = np.einsum("nd,nd->n", y, y)
    count = max(1, _MOST_AT_ONCE // len(y))
    for first in range(0, len(x), count):
        rows = slice(first, min(first + count, len(x)))
        distances = x[rows] @ y.T
        distances *= -2.0
        distances += norms_x[rows, np.newaxis]
        distances += norms_y
        yield rows, np.maximum(distances, 0.0, out=distances)


def rounding(x: np.ndarray, y: np.ndarray) -> float:
    """Return how far equal squared distances between x and y may differ.

    Args:
      x: [n, d] float64.
      y: [m, d] float64.

    Returns:
      4 (d + 2) eps times the largest squared norms: inner products of length
      d, two additions, and coordinates that were rounded themselves.
    """
    largest = sum(float(np.max(np.sum(z * z, axis=1))) for z in (x, y))
    return float(4 * (x.shape[1] + 2) * np.finfo(np.float64).eps * largest)


def centred(*sets: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return sets of rows, all moved by the mean of the first set."""
    middle = np.mean(sets[0], axis=0)
    return tuple(x - middle for x in sets)
