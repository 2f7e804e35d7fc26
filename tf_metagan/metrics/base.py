"""What every metric takes and gives: features, predictions, intervals."""

import functools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf


class Estimate(NamedTuple):
    """A mean and how far it may be off.

    Attributes:
      mean: mean of independent values.
      ci95: half-width of the 95 % interval around it; nan if n is 1.
      n: number of values.
    """

    mean: float
    ci95: float
    n: int


class Predictions(NamedTuple):
    """What a network says about images.

    Attributes:
      features: [n, d] float32.
      log_probs: [n, classes] float32, natural logarithms of probabilities; no
        columns if the network does not classify.
    """

    features: np.ndarray
    log_probs: np.ndarray


class FeatureNet(Protocol):
    """A network that metrics look through.

    Attributes:
      name: goes into the names of metrics, such as
        "critic_mnist_10way_1f0a33c2"; other weights have another name.
      classes: data-set class id of each column of `log_probs`; () if they
        stand for no classes of a data set.
      held_out_accuracy: share of images right that it was not trained on;
        None where nobody measured it.
    """

    @property
    def name(self) -> str: ...

    @property
    def classes(self) -> tuple[int, ...]: ...

    @property
    def held_out_accuracy(self) -> float | None: ...

    def __call__(self, images: Any) -> Predictions:
        """Look at images: [n, H, W, C] floating, in [-1, 1], any n >= 1."""


def estimate(values: Iterable[float]) -> Estimate:
    """Return the mean of independent values and its 95 % interval.

    ci95 = t s / sqrt(n), where s^2 = sum (x - mean)^2 / (n - 1) and t is the
    97.5 % quantile of Student's distribution with n - 1 degrees of freedom.

    Args:
      values: finite numbers, one per independent unit (task, block), n >= 1.

    Returns:
      Estimate; its ci95 is nan if there is one value.

    Raises:
      ValueError: no values, or values that are not finite.

    Source: Student (1908). The normal quantile 1.96 would cover 88 % for n = 3.

    >>> mean, ci95, n = estimate([1.0, 2.0, 3.0])
    >>> f"{mean} ± {ci95:.3f}, {n} values"
    '2.0 ± 2.484, 3 values'
    """
    x = np.asarray(list(values), np.float64)
    if x.ndim != 1 or not x.size:
        raise ValueError(
            f"an estimate of values of shape {x.shape}: expected one number "
            "per independent unit, at least one. Pass a list of numbers."
        )
    if not np.isfinite(x).all():
        first = int(np.flatnonzero(~np.isfinite(x))[0])
        raise ValueError(
            f"value {first} of {x.size} is {x[first]}: expected finite "
            "numbers. Leave out no task; find out why this one has no value."
        )
    n = x.size
    if n == 1:
        return Estimate(float(x[0]), math.nan, 1)
    error = float(np.std(x, ddof=1)) / math.sqrt(n)
    return Estimate(float(np.mean(x)), t_quantile(n - 1) * error, n)


@functools.cache
def t_quantile(freedom: int) -> float:
    """Return t with P(|T| <= t) = 0.95, T of Student's distribution.

    P(|T| > t) = I_x(v/2, 1/2) with x = v / (v + t^2), the regularised
    incomplete beta function, which increases with x; bisection finds x.

    Args:
      freedom: v, degrees of freedom, >= 1.

    Returns:
      12.706 for 1, 1.96 in the limit.

    Source: Abramowitz and Stegun, 26.7.1 and 26.5.27.
    """
    half_freedom = tf.constant(freedom / 2.0, tf.float64)
    half = tf.constant(0.5, tf.float64)
    low, high = 0.0, 1.0
    for _ in range(60):
        x = (low + high) / 2.0
        beyond = tf.math.betainc(half_freedom, half, tf.constant(x, tf.float64))
        if float(beyond) < 0.05:
            low = x
        else:
            high = x
    return math.sqrt(freedom * (1.0 - low) / low)


def as_features(x: Any, name: str, *, least: int) -> np.ndarray:
    """Return rows to compute with, or say why they cannot be used.

    Args:
      x: [n, d] real numbers.
      name: what to call them in errors: "real", "fake".
      least: fewest rows.

    Returns:
      [n, d] float64.

    Raises:
      ValueError: another rank, too few rows, no columns, values that are not
        finite.
    """
    features = np.asarray(x, np.float64)
    if features.ndim != 2 or not features.shape[1]:
        raise ValueError(
            f"`{name}` has shape {features.shape}: expected [n, d], one row "
            "per image. Flatten images by x.reshape(len(x), -1)."
        )
    check_values(features, name, least=least)
    return features


def check_values(x: np.ndarray, name: str, *, least: int) -> None:
    """Raise unless there are enough rows and all values are finite.

    Args:
      x: [n, ...] floating.
      name: what to call them in errors.
      least: fewest rows.

    Raises:
      ValueError: too few rows, values that are not finite.
    """
    if len(x) < least:
        raise ValueError(
            f"`{name}` has {len(x)} rows: expected at least {least}. Draw or "
            "load more images, or choose smaller neighbourhoods or subsets."
        )
    finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"`{name}` is not finite in {np.sum(~finite)} of {len(x)} rows, "
            f"first in row {np.argmin(finite)}: expected finite numbers. The "
            "images or the network behind them diverged; no row is left out."
        )


def as_pair(
    real: Any, fake: Any, *, least: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return real and fake rows of the same width to compute with.

    Args:
      real: [n, d] real numbers.
      fake: [m, d] real numbers, seen by the same network.
      least: fewest rows of each.

    Returns:
      Both in float64.

    Raises:
      ValueError: as `as_features`, or the widths differ.
    """
    real = as_features(real, "real", least=least)
    fake = as_features(fake, "fake", least=least)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"`real` has {real.shape[1]} features and `fake` "
            f"{fake.shape[1]}: expected the same number. Use one network and "
            "one image size for both."
        )
    return real, fake
