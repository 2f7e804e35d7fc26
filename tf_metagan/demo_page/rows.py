"""Rows of data sets to pick instead of drawing."""

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_metagan import assembly
from tf_metagan import settings as settings_lib
from tf_metagan.config import Config
from tf_metagan.data import base as data
from tf_metagan.data import prepared

_GLYPHS = 200  # classes, unless the model was trained on more
_GLYPH_IMAGES = 10
_SETS = ("glyphs", "omniglot", "mnist")


class Row(NamedTuple):
    """Images of one class.

    Attributes:
      name: of the class.
      images: uint8 [n, H, W, C].
    """

    name: str
    images: np.ndarray


class Rows:
    """Classes that a model has not been trained on, where that is known.

    Data sets are loaded when they are first asked for. "glyphs" is always
    there; others where their files are on this machine.
    """

    def __init__(
        self,
        *,
        image_size: int,
        channels: int,
        trained_on: str,
        unseen: Sequence[int],
    ):
        """Take what the rows are for.

        Args:
          image_size: height and width.
          channels: 1 or 3.
          trained_on: data set of the model.
          unseen: its class ids that the model was not trained on.
        """
        self._size, self._channels = image_size, channels
        self._trained_on, self._unseen = trained_on, list(unseen)
        self._loaded: dict[str, data.ClassImages] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the data sets that are at hand, the model's own first."""
        ready = [
            name for name in _SETS if name == "glyphs" or prepared.version(name)
        ]
        return sorted(ready, key=lambda name: name != self._trained_on)

    def pick(
        self, dataset: str, *, rows: int, shots: int, seed: int
    ) -> list[Row]:
        """Draw classes of a data set, and images of each.

        Args:
          dataset: one of `names`.
          rows: classes.
          shots: images of each; fewer where a class has not as many.
          seed: equal seeds give equal rows.

        Raises:
          ValueError: the data set is not at hand.
        """
        if dataset not in self.names():
            raise ValueError(
                f"there is no data set {dataset!r} on this machine; expected "
                f"one of {', '.join(self.names())}"
            )
        with self._lock:
            if dataset not in self._loaded:
                self._loaded[dataset] = self._load(dataset)
        source = self._loaded[dataset]
        draw = np.random.default_rng([seed])
        classes = self._classes(dataset, source)
        chosen = draw.permutation(classes)[:rows]
        found = []
        for row in data.class_rows(source, chosen):
            images = source.images[source.first[row] : source.first[row + 1]]
            images = images[draw.permutation(len(images))[:shots]]
            found.append(Row(source.name[row], images))
        return found

    def _classes(self, dataset: str, source: data.ClassImages) -> list[int]:
        if dataset != self._trained_on:
            return [int(label) for label in source.label]
        known = set(source.label.tolist())
        return [label for label in self._unseen if label in known]

    def _load(self, dataset: str) -> data.ClassImages:
        values = {
            "dataset": dataset,
            "image_size": self._size,
            "channels": self._channels,
        }
        if dataset == "glyphs":
            unseen = self._unseen if self._trained_on == dataset else []
            values["num_classes"] = max([_GLYPHS, *(c + 1 for c in unseen)])
            values["images_per_class"] = _GLYPH_IMAGES
        settings = settings_lib.Settings(Config, [(values, False)])
        return assembly.load_images(settings)
