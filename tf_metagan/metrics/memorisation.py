"""Are generated images copies of images that the generator has seen?"""

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tf_metagan.metrics import base, distances

_USUAL = 0.01  # share of real images that count as copies of other ones


class Nearest(NamedTuple):
    """The most similar reference of each query.

    Attributes:
      row: [n] int64, of the reference.
      distance: [n] float64, root mean square over the values compared.
    """

    row: np.ndarray
    distance: np.ndarray


class CopyCheck(NamedTuple):
    """How near generated images come to references.

    Attributes:
      mean: of the distances to the nearest reference.
      median: of the same distances.
      share: of generated images at most `threshold` from a reference.
      threshold: distance up to which an image counts as a near-copy.
    """

    mean: float
    median: float
    share: float
    threshold: float


def copy_check(
    fake: Any,
    references: Any,
    *,
    threshold: float | None = None,
    shift: int = 1,
) -> CopyCheck:
    """Compare each generated image with its nearest reference.

    Args:
      fake: [n, H, W, C] images or [n, d] features, n >= 1.
      references: [m, H, W, C] or [m, d]: what might have been copied, such as
        the support images or all images of a class.
      threshold: distance of near-copies; None calibrates it on the references,
        three at least. For few references, calibrate on more images of their
        class.
      shift: see `nearest`; the one of the calibration.

    Returns:
      CopyCheck. Under a calibrated threshold about 1 % of new real images are
      near-copies, so a share of 0.01 is no sign of copying.

    Raises:
      ValueError: see `nearest`; a threshold below 0; too few references.

    Source: ours; the percentile of real-to-real distances makes the threshold
      independent of image size and contrast.
    """
    if threshold is None:
        threshold = calibrate(references, shift=shift)
    if not threshold >= 0.0 or math.isinf(threshold):
        raise ValueError(
            f"threshold={threshold}: expected a distance, finite and 0 or "
            "more. Use the result of calibrate(references)."
        )
    distance = nearest(fake, references, shift=shift).distance
    return CopyCheck(
        mean=float(np.mean(distance)),
        median=float(np.median(distance)),
        share=float(np.mean(distance <= threshold)),
        threshold=float(threshold),
    )


def calibrate(
    references: Any, *, shift: int = 1, at_most: int = 1000, seed: int = 0
) -> float:
    """Return the distance that 1 % of real images are from another one.

    Args:
      references: [m, H, W, C] images or [m, d] features, m >= 3, real.
      shift: see `nearest`.
      at_most: images whose nearest other image is looked for; if there are
        more, they are chosen at random.
      seed: of that choice.

    Returns:
      The first percentile of distances to the nearest other image; between
      values it is interpolated, so it means little for fewer than 100.

    Raises:
      ValueError: see `nearest`; too few references.
    """
    references = np.asarray(references)
    base.check_values(references, "references", least=3)
    chosen = np.arange(len(references))
    if len(chosen) > at_most:
        generator = np.random.default_rng(seed)
        chosen = generator.choice(len(references), at_most, replace=False)
    distance = nearest(
        references[chosen], references, shift=shift, own=chosen
    ).distance
    return float(np.quantile(distance, _USUAL))


def nearest(
    queries: Any,
    references: Any,
    *,
    shift: int = 1,
    own: np.ndarray | None = None,
) -> Nearest:
    """Find the reference that each query is most similar to.

    distance = min over references r and moves (a, b), |a|, |b| <= shift, of
    the root mean square of q[y, x, c] - r[y + a, x + b, c] over all channels
    and the pixels at least `shift` from the edge of q.

    Args:
      queries: [n, H, W, C] images or [n, d] features, n >= 1.
      references: [m, H, W, C] or [m, d], m >= 1, in the same units.
      shift: pixels by which a copy may be moved; features are not moved.
      own: [n] rows of references that are not to be found, the query itself.

    Returns:
      Nearest. The search is made in float32, the distance of what it finds in
      float64: a copy is at distance 0.

    Raises:
      ValueError: shapes that do not match, values that are not finite, no
        rows, or images too small to be moved.
    """
    queries, references = np.asarray(queries), np.asarray(references)
    _check_shapes(queries, references, shift)
    base.check_values(queries, "queries", least=1)
    base.check_values(
        references, "references", least=2 if own is not None else 1
    )
    # Moved by the mean of each channel or feature: float32 suffices to search.
    middle = np.mean(references, axis=tuple(range(references.ndim - 1)))
    near_q, near_r = (
        (x - middle).astype(np.float32) for x in (queries, references)
    )
    best = Nearest(
        np.zeros(len(queries), np.int64), np.full(len(queries), np.inf)
    )
    for inner, window in _moves(queries.shape[1:], shift):
        row = _search(near_q[:, *inner], near_r[:, *window], own)
        apart = queries[:, *inner].astype(np.float64)
        apart -= references[:, *window][row]
        distance = np.sqrt(np.mean(_rows(apart) ** 2, axis=1))
        closer = distance < best.distance
        best.row[closer] = row[closer]
        best.distance[closer] = distance[closer]
    return best


def _check_shapes(
    queries: np.ndarray, references: np.ndarray, shift: int
) -> None:
    if queries.ndim not in (2, 4) or queries.shape[1:] != references.shape[1:]:
        raise ValueError(
            f"queries of shape {queries.shape} and references of shape "
            f"{references.shape}: expected [n, H, W, C] images or [n, d] "
            "features, alike but for their number."
        )
    if shift < 0 or (
        queries.ndim == 4 and min(queries.shape[1:3]) <= 2 * shift
    ):
        raise ValueError(
            f"shift={shift} for images of shape {queries.shape[1:]}: expected "
            "0 or more, and less than half of the image. Use a smaller shift."
        )


def _moves(
    shape: tuple[int, ...], shift: int
) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Yield (part of a query, part of a reference it is compared with)."""
    if len(shape) == 1:
        yield (), ()
        return
    height, width = shape[0] - 2 * shift, shape[1] - 2 * shift
    inner = slice(shift, shift + height), slice(shift, shift + width)
    for a, b in itertools.product(range(2 * shift + 1), repeat=2):
        yield inner, (slice(a, a + height), slice(b, b + width))


def _search(q: np.ndarray, r: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Return the row of r that is nearest to each row of q."""
    row = np.empty(len(q), np.int64)
    found = distances.squared(_rows(q), _rows(r), dtype=np.float32)
    for rows, apart in found:
        if own is not None:
            apart[np.arange(len(apart)), own[rows]] = np.inf
        row[rows] = np.argmin(apart, axis=1)
    return row


def _rows(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)
