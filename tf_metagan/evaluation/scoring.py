"""Scores of one task: adapt, draw, compare with the real images."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_metagan.data import base as data
from tf_metagan.evaluation.protocol import Protocol
from tf_metagan.evaluation.reals import RealClass, Reals
from tf_metagan.evaluation.store import Part
from tf_metagan.evaluation.subject import Subject
from tf_metagan.evaluation.tasks import UnseenTask
from tf_metagan.metrics import (
    diversity,
    frechet,
    kid,
    memorisation,
    neighbours,
    nll,
    swd,
)
from tf_metagan.metrics.base import FeatureNet

_CHUNK = 1024  # images between sampling and critic
_POOL = 10_000  # images of all tasks together
_NEIGHBOURS = 512
_KERNEL = 1000
_COPIES = 32
_PROJECTIONS = 128
_FEWEST = 10  # images of a class below which it is not compared with


class Sizes(NamedTuple):
    """Images of a task that each kind of metric looks at.

    Attributes:
      pooled: kept for the metrics of all tasks together.
      neighbours: generated, and as many real ones; 0: too few real ones.
      k: neighbours that span a neighbourhood for density and coverage.
      kernel: generated, and as many real ones, for KID.
      copies: generated, compared with all real ones pixel by pixel.
      frechet: whether there are enough real ones of a class for FID.
    """

    pooled: int
    neighbours: int
    k: int
    kernel: int
    copies: int
    frechet: bool


def sizes(protocol: Protocol, *, fewest: int, width: int) -> Sizes:
    """Decide how many images to compare.

    Args:
      protocol: what was asked for.
      fewest: real images of the smallest test class.
      width: number of features.

    Returns:
      Sizes; they depend on the test classes, not on which of them are drawn.
    """
    both = min(fewest, protocol.samples)
    compared = both if both >= _FEWEST else 0
    return Sizes(
        pooled=min(protocol.samples, -(-_POOL // protocol.tasks)),
        neighbours=min(compared, _NEIGHBOURS),
        k=5 if compared >= 100 else 3,
        kernel=min(compared, _KERNEL),
        copies=min(protocol.samples, _COPIES),
        frechet=both > 2 * width,
    )


def column_names(protocol: Protocol, size: Sizes, net: str) -> dict[str, str]:
    """Return {column of tasks.csv: name of its mean in results.json}.

    Args:
      protocol: goes into every name.
      size: number of images, which goes into the name where it differs.
      net: name of the network behind the features.
    """
    m, k = size.neighbours, size.k
    images = {
        "nll": (None, ""),
        "accuracy": (None, ""),
        "fid": (None, net),
        "kid": (size.kernel, net),
        "precision": (m, net),
        "recall": (m, net),
        "density": (m, net),
        "coverage": (m, net),
        "swd": (m, net),
        "relative_diversity": (m, net),
        "near_copies_support": (size.copies, "pixels"),
        "near_copies_class": (size.copies, "pixels"),
        "nearest_support": (size.copies, "pixels"),
        "nearest_class": (size.copies, "pixels"),
    }
    spans = {"precision": 3, "recall": 3, "density": k, "coverage": k}
    names = {}
    for column, (number, through) in images.items():
        span = f"_k{spans[column]}" if column in spans else ""
        name = protocol.metric(f"{column}{span}", images=number)
        names[column] = f"{name}_{through}" if through else name
    return names


def score_task(
    subject: Subject,
    task: UnseenTask,
    *,
    protocol: Protocol,
    reals: Reals,
    size: Sizes,
    more_nets: Sequence[FeatureNet] = (),
) -> Part:
    """Adapt to a task and score what is drawn.

    Args:
      subject: what is evaluated.
      task: whom to adapt to.
      protocol: how many images and steps.
      reals: real images and the critic.
      size: see `sizes`.
      more_nets: networks that see the pooled images only.

    Returns:
      {column: scalar}, and what is pooled: {"pool_features": [n, d],
      "pool_log_probs": [n, classes], "pool_features_1": ... of more_nets}.

    Raises:
      FloatingPointError: adaptation diverged.
    """
    adapted = subject.adapt(task.support, seed=task.seed, steps=protocol.steps)
    fake = subject.sample(adapted, seed=task.seed, n=protocol.samples)
    if not np.isfinite(fake).all():
        raise FloatingPointError(
            f"adaptation diverged in test task {task.number} (class "
            f"{task.name!r}): after {protocol.steps} steps the images drawn "
            "are not finite. Evaluate with fewer --steps, or train on."
        )
    features, log_probs = look(reals.critic, fake)
    real = reals.of(task.label)
    scores = nll.class_scores(log_probs, reals.column(task.label))
    part: dict[str, Any] = {"label": task.label, **scores._asdict()}
    part |= _against_class(features, real, size, seed=protocol.seed)
    part |= _copies(fake[: size.copies], task, real, reals.copy_threshold())
    part["pool_features"] = features[: size.pooled]
    part["pool_log_probs"] = log_probs[: size.pooled]
    for number, net in enumerate(more_nets, 1):
        part[f"pool_features_{number}"] = net(fake[: size.pooled]).features
    return {name: np.asarray(value) for name, value in part.items()}


def look(net: FeatureNet, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return features and log-probabilities, a bounded number at a time."""
    seen = [net(chunk) for chunk in _chunks(images)]
    return (
        np.concatenate([s.features for s in seen]),
        np.concatenate([s.log_probs for s in seen]),
    )


def _chunks(images: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(images), _CHUNK):
        yield images[first : first + _CHUNK]


def _against_class(
    features: np.ndarray, real: RealClass, size: Sizes, *, seed: int
) -> dict[str, float]:
    """Compare features [n, d] with those of the class's real images."""
    found: dict[str, float] = {}
    others = real.seen.features
    if size.frechet:
        found["fid"] = frechet.fid(others, features)
    if size.kernel:
        m = size.kernel
        found["kid"] = kid.kid(
            others[:m], features[:m], subset_size=m, subsets=1, seed=seed
        ).mean
    if size.neighbours:
        m = size.neighbours
        others, features = others[:m], features[:m]
        found |= neighbours.precision_recall(others, features)._asdict()
        found |= neighbours.density_coverage(
            others, features, k=size.k
        )._asdict()
        found["swd"] = swd.sliced_wasserstein(
            others, features, projections=_PROJECTIONS, seed=seed
        )
        found["relative_diversity"] = diversity.relative_diversity(
            features, others
        )
    return found


def _copies(
    fake: np.ndarray, task: UnseenTask, real: RealClass, threshold: float
) -> dict[str, float]:
    """Compare pixels with what adaptation saw and with the whole class."""
    found = {}
    support = task.support.reshape(-1, *task.support.shape[2:])
    for where, references in (
        ("support", support),
        ("class", data.to_range(real.images)),
    ):
        check = memorisation.copy_check(fake, references, threshold=threshold)
        found[f"near_copies_{where}"] = check.share
        found[f"nearest_{where}"] = check.mean
    return found


def left_out(protocol: Protocol, size: Sizes, *, fewest: int) -> dict[str, str]:
    """Say which metrics of single tasks are not computed, and why."""
    missing = {}
    compared = (
        f"{fewest} real images of the smallest test class and "
        f"{protocol.samples} generated ones per task are too few"
    )
    if not size.frechet:
        missing["fid per task"] = (
            f"{compared} for the covariance of the features, of which there "
            "should be half as many; see kid, coverage and the pooled fid"
        )
    if not size.neighbours:
        missing["kid, coverage and the like per task"] = (
            f"{compared}, {_FEWEST} of each are needed; see the pooled ones"
        )
    return missing
