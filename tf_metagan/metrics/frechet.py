"""Frechet distance between Gaussians fitted to features (FID)."""

from typing import Any

import numpy as np

from tf_metagan.metrics import base


class Moments:
    """Mean and covariance of features that come in parts.

    Only the sums are kept, in float64: [d] and [d, d].

    Attributes:
      n: rows so far.
    """

    def __init__(self) -> None:
        """Start without rows."""
        self.n = 0
        self._mean = np.zeros([0])
        self._scatter = np.zeros([0, 0])

    def update(self, features: Any) -> None:
        """Take in more rows; the result does not depend on the parts.

        Args:
          features: [m, d] real numbers, m >= 1.

        Raises:
          ValueError: values that are not finite, or another width than before.

        Source: Chan, Golub and LeVeque (1979); raw sums of squares would lose
          half of the digits where the mean is large.
        """
        x = base.as_features(features, "features", least=1)
        if not self.n:
            self._mean = np.zeros(x.shape[1])
            self._scatter = np.zeros([x.shape[1]] * 2)
        elif x.shape[1] != len(self._mean):
            raise ValueError(
                f"`features` has {x.shape[1]} columns: expected "
                f"{len(self._mean)} as before. Use one network for all parts."
            )
        m, mean = len(x), np.mean(x, axis=0)
        centred = x - mean
        apart = mean - self._mean
        total = self.n + m
        self._scatter += centred.T @ centred
        self._scatter += np.outer(apart, apart) * (self.n * m / total)
        self._mean += apart * (m / total)
        self.n = total

    @property
    def mean(self) -> np.ndarray:
        """Mean, [d] float64."""
        self._require(1)
        return self._mean.copy()

    @property
    def cov(self) -> np.ndarray:
        """Unbiased covariance, divided by n - 1: [d, d] float64."""
        self._require(2)
        return self._scatter / (self.n - 1)

    def _require(self, rows: int) -> None:
        if self.n < rows:
            raise ValueError(
                f"moments of {self.n} rows: expected at least {rows}. Update "
                "them with more features first."
            )


def frechet_distance(a: Moments, b: Moments) -> float:
    """Return |ma - mb|^2 + Tr(Ca + Cb - 2 (Ca Cb)^(1/2)).

    With Ca = A A' and Cb = B B', the trace of the root is the sum of the
    singular values of A' B: nothing complex, nothing to regularise, and
    singular covariances lose no digits.

    Args:
      a: moments of at least two rows.
      b: likewise, of the same width.

    Returns:
      The distance, squared; 0 or more. Symmetric. It is biased upwards for
      few rows; compare values of equal n only, and with n well above d.

    Raises:
      ValueError: too few rows, or the widths differ.

    Source: Heusel et al. (2017); Dowson and Landau (1982).
    Differs: others take scipy.linalg.sqrtm of Ca Cb and, where that fails, add
      1e-6 to the diagonals. Equal up to rounding where it does not fail.
    """
    mean_a, mean_b, cov_a, cov_b = a.mean, b.mean, a.cov, b.cov
    if mean_a.shape != mean_b.shape:
        raise ValueError(
            f"moments of {len(mean_a)} and of {len(mean_b)} features: "
            "expected the same number. Use one network for both."
        )
    cross = _factor(cov_a).T @ _factor(cov_b)
    root = np.sum(np.linalg.svd(cross, compute_uv=False))
    apart = mean_a - mean_b
    distance = apart @ apart + np.trace(cov_a) + np.trace(cov_b) - 2.0 * root
    return max(float(distance), 0.0)  # rounding may leave -1e-15


def fid(real: Any, fake: Any) -> float:
    """Return the Frechet distance between real and fake features.

    Args:
      real: [n, d], n >= 2.
      fake: [m, d], m >= 2.

    Returns:
      See `frechet_distance`.

    Raises:
      ValueError: see `base.as_pair`.
    """
    moments = Moments(), Moments()
    for part, rows in zip(
        moments, base.as_pair(real, fake, least=2), strict=True
    ):
        part.update(rows)
    return frechet_distance(*moments)


def _factor(cov: np.ndarray) -> np.ndarray:
    """Return A, [d, rank], with A A' = cov.

    Eigenvalues within rounding of zero are zero: their roots would be 1e-8.
    """
    values, vectors = np.linalg.eigh(cov)
    largest = max(float(values[-1]), 0.0)
    kept = values > len(values) * np.finfo(np.float64).eps * largest
    factor: np.ndarray = vectors[:, kept] * np.sqrt(values[kept])
    return factor
