"""Where the sampler finds images by number: in memory, or in a mapped file.

A shelf holds the images of some classes, each in several views, turned or
mirrored: image i of the class in place c has in view v the number
first[c] + v * count + i.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_metagan.data import base


class View(NamedTuple):
    """A way to look at images.

    Attributes:
      suffix: what it adds to the name of a class.
      show: uint8 [n, H, W, C] to the same, seen this way.
    """

    suffix: str
    show: Callable[[np.ndarray], np.ndarray]


def views(*, rotate: bool, mirror: bool) -> tuple[View, ...]:
    """Return the views that make classes of their own, the plain one first.

    Args:
      rotate: by r times 90 degrees, counter-clockwise.
      mirror: left and right exchanged, of each of those.
    """
    turned = tuple(
        View(f" turned {90 * r}" if r else "", functools.partial(_turn, r=r))
        for r in range(4 if rotate else 1)
    )
    mirrored = tuple(
        View(
            f"{plain.suffix} mirrored",
            functools.partial(_mirror, show=plain.show),
        )
        for plain in turned
    )
    return turned + (mirrored if mirror else ())


def _turn(images: np.ndarray, r: int) -> np.ndarray:
    return np.rot90(images, r, axes=(1, 2)) if r else images


def _mirror(images: np.ndarray, show: Callable) -> np.ndarray:
    return np.flip(show(images), axis=2)


def make(
    source: base.ClassImages, kept: Sequence[int], *, views: Sequence[View]
):
    """Return the shelf for a data set.

    Args:
      source: the data set; images that are mapped from a file stay there.
      kept: class ids, ascending.
      views: in which each image is there, the plain one first.

    Returns:
      `InMemory` or `Mapped`.
    """
    kind = Mapped if isinstance(source.images, np.memmap) else InMemory
    return kind(source, kept, views=views)


class InMemory:
    """Images of the kept classes, in a tensor.

    Attributes:
      first: int64 [classes], number of the first image of each kept class.
      count: images of one view.
    """

    def __init__(
        self,
        source: base.ClassImages,
        kept: Sequence[int],
        *,
        views: Sequence[View],
    ):
        """Copy the images; see `make`."""
        size = np.diff(source.first)[base.class_rows(source, kept)]
        images = np.concatenate([base.images_of(source, c) for c in kept])
        self.first = np.cumsum(size) - size
        self.count = len(images)
        self._images = tf.concat([view.show(images) for view in views], axis=0)

    def gather(self, places: tf.Tensor) -> tf.Tensor:
        """Return uint8 [..., H, W, C] for int64 numbers [...]."""
        return tf.gather(self._images, places)


class Mapped:
    """All images of a file that is larger than memory may be.

    Only what is asked for is read; what the system keeps of the file in memory
    it gives back when others need it.

    Attributes:
      first: int64 [classes], number of the first image of each kept class.
      count: images of one view.
    """

    def __init__(
        self,
        source: base.ClassImages,
        kept: Sequence[int],
        *,
        views: Sequence[View],
    ):
        """Keep the file open; see `make`. Views are made when asked for."""
        self._views = tuple(views)
        self.first = source.first[:-1][base.class_rows(source, kept)]
        self.count = len(source.images)
        self._images = source.images

    def gather(self, places: tf.Tensor) -> tf.Tensor:
        """Return uint8 [..., H, W, C] for int64 numbers [...]."""
        found = tf.numpy_function(self._read, [places], tf.uint8)
        return tf.ensure_shape(found, [*places.shape, *self._images.shape[1:]])

    def _read(self, places: np.ndarray) -> np.ndarray:
        view, places = np.divmod(places, self.count)
        found = np.asarray(self._images[places])
        for v in np.unique(view):
            chosen = view == v
            found[chosen] = self._views[v].show(found[chosen])
        return found
