"""Where the sampler finds images by number: in memory, or in a mapped file.

A shelf holds the images of some classes, each turned by 0 to `turns` - 1
quarters: image i of the class in place c, turned by r quarters, has the number
first[c] + r * count + i.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_metagan.data import base


def make(source: base.ClassImages, kept: Sequence[int], *, turns: int):
    """Return the shelf for a data set.

    Args:
      source: the data set; images that are mapped from a file stay there.
      kept: class ids, ascending.
      turns: 1, or 4 for images turned by 0, 90, 180 and 270 degrees.

    Returns:
      `InMemory` or `Mapped`.
    """
    kind = Mapped if isinstance(source.images, np.memmap) else InMemory
    return kind(source, kept, turns=turns)


class InMemory:
    """Images of the kept classes, in a tensor.

    Attributes:
      first: int64 [classes], number of the first image of each kept class.
      count: images of one turn.
    """

    def __init__(
        self, source: base.ClassImages, kept: Sequence[int], *, turns: int
    ):
        """Copy the images; see `make`."""
        size = np.diff(source.first)[base.class_rows(source, kept)]
        images = np.concatenate([base.images_of(source, c) for c in kept])
        self.first = np.cumsum(size) - size
        self.count = len(images)
        self._images = tf.concat(
            [np.rot90(images, r, axes=(1, 2)) for r in range(turns)], axis=0
        )

    def gather(self, places: tf.Tensor) -> tf.Tensor:
        """Return uint8 [..., H, W, C] for int64 numbers [...]."""
        return tf.gather(self._images, places)


class Mapped:
    """All images of a file that is larger than memory may be.

    Only what is asked for is read; what the system keeps of the file in memory
    it gives back when others need it.

    Attributes:
      first: int64 [classes], number of the first image of each kept class.
      count: images of one turn.
    """

    def __init__(
        self, source: base.ClassImages, kept: Sequence[int], *, turns: int
    ):
        """Keep the file open; see `make`."""
        del turns  # made when asked for
        self.first = source.first[:-1][base.class_rows(source, kept)]
        self.count = len(source.images)
        self._images = source.images

    def gather(self, places: tf.Tensor) -> tf.Tensor:
        """Return uint8 [..., H, W, C] for int64 numbers [...]."""
        found = tf.numpy_function(self._read, [places], tf.uint8)
        return tf.ensure_shape(found, [*places.shape, *self._images.shape[1:]])

    def _read(self, places: np.ndarray) -> np.ndarray:
        quarters, places = np.divmod(places, self.count)
        found = np.asarray(self._images[places])
        for r in np.unique(quarters):
            turned = quarters == r
            found[turned] = np.rot90(found[turned], r, axes=(1, 2))
        return found
