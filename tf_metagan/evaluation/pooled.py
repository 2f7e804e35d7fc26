"""Metrics of the images of all tasks together.

Real and generated images are mixed in the same proportions: each task brings
as many generated images as real ones of its class, and no real image twice.
"""

import collections
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_metagan.evaluation.protocol import Protocol
from tf_metagan.evaluation.reals import Reals
from tf_metagan.evaluation.store import Part
from tf_metagan.metrics import base as metrics
from tf_metagan.metrics import (
    diversity,
    frechet,
    inception_score,
    kid,
    neighbours,
    swd,
)

_PER_TASK = 16  # images of a task in metrics whose cost is quadratic
_SUBSETS = 100
_SUBSET_SIZE = 1000
_SPLITS = 10
_PROJECTIONS = 512
_K = 5


class Pool(NamedTuple):
    """Features of all tasks.

    Attributes:
      real: [n, d].
      fake: [n, d].
      place: [n] place of each row among the rows of its task.
      fake_log_probs: [n, classes]; of the critic.
    """

    real: np.ndarray
    fake: np.ndarray
    place: np.ndarray
    fake_log_probs: np.ndarray


class Share(NamedTuple):
    """What a task takes of the real images of its class: [first, first + n)."""

    label: int
    first: int
    n: int


def shares(labels: Sequence[int], reals: Reals, *, most: int) -> list[Share]:
    """Divide the real images of each class among its tasks, in order.

    Args:
      labels: class id of each task.
      reals: real images.
      most: images of a task.

    Returns:
      One Share per task; tasks that come after the images of their class are
      used up get none.
    """
    used: collections.Counter[int] = collections.Counter()
    found = []
    for label in labels:
        n = min(most, len(reals.of(label).place) - used[label])
        found.append(Share(label, used[label], n))
        used[label] += n
    return found


def gather(
    parts: Sequence[Part],
    reals: Reals,
    net: metrics.FeatureNet,
    *,
    most: int,
    suffix: str = "",
) -> Pool:
    """Collect the features of all tasks.

    Args:
      parts: of `scoring.score_task`.
      reals: real images.
      net: the network whose features are collected.
      most: images of a task.
      suffix: of the name under which the parts have its features.
    """
    division = shares([int(p["label"]) for p in parts], reals, most=most)
    real, fake, log_probs = [], [], []
    for part, share in zip(parts, division, strict=True):
        if not share.n:
            continue
        taken = slice(share.first, share.first + share.n)
        real.append(reals.features(net, share.label, taken))
        fake.append(part[f"pool_features{suffix}"][: share.n])
        log_probs.append(part["pool_log_probs"][: share.n])
    return Pool(
        real=np.concatenate(real),
        fake=np.concatenate(fake),
        place=np.concatenate([np.arange(len(x)) for x in fake]),
        fake_log_probs=np.concatenate(log_probs),
    )


def measure(
    pool: Pool, protocol: Protocol, net: metrics.FeatureNet
) -> tuple[dict[str, metrics.Estimate], dict[str, str]]:
    """Compare the pooled images.

    Args:
      pool: of `gather`.
      protocol: goes into the names.
      net: whose features they are; its name goes into the names.

    Returns:
      ({name: Estimate}, {what was left out: why}); the interval is nan where
      a metric has none.
    """
    found: dict[str, metrics.Estimate] = {}
    left_out: dict[str, str] = {}

    def keep(name: str, images: int, value: Any) -> None:
        if not isinstance(value, metrics.Estimate):
            value = metrics.Estimate(float(value), float("nan"), images)
        found[f"{protocol.pooled(name, images)}_{net.name}"] = value

    n, width = pool.fake.shape
    if n > width:
        keep("fid", n, frechet.fid(pool.real, pool.fake))
    else:
        left_out[f"fid_pooled_{net.name}"] = (
            f"{n} images are too few for {width} features; more than {width} "
            "are needed"
        )
    keep(
        "kid",
        n,
        kid.kid(
            pool.real,
            pool.fake,
            subset_size=min(_SUBSET_SIZE, max(2, n // 2)),
            subsets=_SUBSETS,
            seed=protocol.seed,
        ),
    )
    if net.classes and n >= _SPLITS:
        score = inception_score.inception_score(
            pool.fake_log_probs, splits=_SPLITS, seed=protocol.seed
        )
        keep("inception_score", n, score)
    few = pool.place < _PER_TASK
    real, fake = pool.real[few], pool.fake[few]
    m = len(fake)
    if m > _K:
        near = neighbours.precision_recall(real, fake)
        keep("precision_k3", m, near.precision)
        keep("recall_k3", m, near.recall)
        cover = neighbours.density_coverage(real, fake, k=_K)
        keep(f"density_k{_K}", m, cover.density)
        keep(f"coverage_k{_K}", m, cover.coverage)
    else:
        left_out[f"coverage_pooled_{net.name}"] = (
            f"{m} images are too few for {_K} neighbours"
        )
    distance = swd.sliced_wasserstein(
        real, fake, projections=_PROJECTIONS, seed=protocol.seed
    )
    keep("swd", m, distance)
    keep("relative_diversity", m, diversity.relative_diversity(fake, real))
    return found, left_out
