"""Real images of the test classes, seen through the networks of a protocol."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tf_metagan.data import base as data
from tf_metagan.metrics import base as metrics
from tf_metagan.metrics import memorisation, nll

MOST = 10_000  # images of a class that are looked at

_ORDER = 0
_CHUNK = 1024  # images shown to the critic at a time
_CALIBRATED = 1000  # real images whose nearest other one is looked for
_COPIES = 0.01  # share of real images that count as copies of others


class RealClass(NamedTuple):
    """Real images of one class in a random order that depends on the seed.

    Attributes:
      place: [n] place of each image among those of its class in the data set.
      images: [n, H, W, C] uint8.
      seen: Predictions of the critic.
    """

    place: np.ndarray
    images: np.ndarray
    seen: metrics.Predictions


class Reals:
    """Looks at all real images when the first are asked for."""

    def __init__(
        self,
        images: data.ClassImages,
        *,
        classes: Sequence[int],
        critic: metrics.FeatureNet,
        seed: int,
    ):
        """Check that the critic knows the classes.

        Args:
          images: the data set.
          classes: class ids of the test classes.
          critic: a classifier of (at least) these classes.
          seed: of the order of images.

        Raises:
          ValueError: the critic has no column for a class, or was trained on
            other images of it.
        """
        self.classes = tuple(classes)
        self.critic = critic
        self._source = images
        self._seed = seed
        self._seen: dict[int, RealClass] = {}
        self._threshold: float | None = None
        for label in self.classes:
            self.column(label)
        counts = np.diff(images.first)[data.class_rows(images, self.classes)]
        self._count = dict(zip(self.classes, counts.tolist(), strict=True))
        self.fewest = int(min(counts.min(), MOST))
        self._check_held_out()

    def _check_held_out(self) -> None:
        for label, places in getattr(self.critic, "held_out", {}).items():
            count = self._count.get(label)
            if count is not None and len(places) and max(places) >= count:
                raise ValueError(
                    f"the critic {self.critic.name} never saw image "
                    f"{max(places)} of class {label}, which has {count} "
                    "images; expected a critic trained on these images. Train "
                    "one anew: python -m tf_metagan.critic --retrain"
                )

    def column(self, label: int) -> int:
        """Return the critic's column of a class id.

        Raises:
          ValueError: it has none.
        """
        known = self.critic.classes
        if label not in known:
            raise ValueError(
                f"the critic {self.critic.name} has {len(known)} classes and "
                f"test class {label} is none of them; expected a critic "
                "trained on the test classes of the run's data set. Train one: "
                "python -m tf_metagan.critic --help"
            )
        return known.index(label)

    def of(self, label: int) -> RealClass:
        """Return the images of a class.

        Args:
          label: class id.
        """
        if not self._seen:
            self._look()
        return self._seen[label]

    def _look(self) -> None:
        """Show the critic the images of all classes, in full batches."""
        chosen = []
        for label in self.classes:
            images = data.images_of(self._source, label)
            generator = np.random.default_rng([self._seed, _ORDER, label])
            index = generator.permutation(len(images))[:MOST]
            chosen.append((index, images[index]))
        every = np.concatenate([images for _, images in chosen])
        seen = [
            self.critic(data.to_range(every[first : first + _CHUNK]))
            for first in range(0, len(every), _CHUNK)
        ]
        features = np.concatenate([s.features for s in seen])
        log_probs = np.concatenate([s.log_probs for s in seen])
        ends = np.cumsum([len(index) for index, _ in chosen])
        for label, (index, images), end in zip(
            self.classes, chosen, ends, strict=True
        ):
            own = slice(end - len(index), end)
            self._seen[label] = RealClass(
                index,
                images,
                metrics.Predictions(features[own], log_probs[own]),
            )

    def features(
        self, net: metrics.FeatureNet, label: int, taken: slice
    ) -> np.ndarray:
        """Return features [n, d] of some images of a class.

        Args:
          net: the critic, or another network.
          label: class id.
          taken: which of the images of `of`.
        """
        real = self.of(label)
        if net is self.critic:
            return real.seen.features[taken]
        return net(data.to_range(real.images[taken])).features

    def copy_threshold(self) -> float:
        """Return the pixel distance up to which an image is a near-copy.

        1 % of the real images are that near to another one of their class, in
        the mean over the test classes.
        """
        if self._threshold is None:
            each = -(-_CALIBRATED // len(self.classes))
            distances = []
            for label in self.classes:
                images = data.to_range(self.of(label).images)
                own = np.arange(min(each, len(images)))
                if len(images) > 1:
                    found = memorisation.nearest(images[own], images, own=own)
                    distances.append(found.distance)
            if not distances:
                raise ValueError(
                    "no test class has two images; expected some with more, "
                    "to know how near different images are. Use another data "
                    "set."
                )
            self._threshold = float(
                np.quantile(np.concatenate(distances), _COPIES)
            )
        return self._threshold

    def row(self) -> dict[str, Any]:
        """Return the scores of real images, the row "Real" of a table.

        Returns:
          {"all" and, where the critic tells what it was trained on, "held_out":
          {"nll" and "accuracy": Estimate over classes, "images": number}}.
        """
        held_out = getattr(self.critic, "held_out", None)
        found = {"all": self._row(None)}
        if held_out is not None:
            found["held_out"] = self._row(held_out)
        return found

    def _row(self, only: Mapping[int, Any] | None) -> dict[str, Any]:
        """Score the images of each class, or those of `only` among them."""
        scores, count = [], 0
        for label in self.classes:
            real = self.of(label)
            log_probs = real.seen.log_probs
            if only is not None:
                unseen = np.asarray(only.get(label, ()), np.int64)
                log_probs = log_probs[np.isin(real.place, unseen)]
            if len(log_probs):
                count += len(log_probs)
                scores.append(nll.class_scores(log_probs, self.column(label)))
        if not scores:
            return {"images": 0}
        estimates = {
            name: metrics.estimate(map(operator.attrgetter(name), scores))
            for name in ("nll", "accuracy")
        }
        return {**estimates, "images": count}
