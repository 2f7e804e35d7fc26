"""Kinds of task: a class in one of its views, and which of them is drawn."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.data import base, draws


class Kinds:
    """The kinds that some classes make, numbered in the order of heights.

    Attributes:
      pairs: [kinds, 2] int64: place of the class in `kept`, number of the
        view.
    """

    def __init__(
        self,
        source: base.ClassImages,
        classes: Sequence[int],
        *,
        kept: Sequence[int],
        views: int,
    ):
        """List them.

        Args:
          source: the data set.
          classes: class ids, all of them in `kept`.
          kept: class ids, ascending.
          views: number of views of each class.
        """
        rows = np.searchsorted(kept, classes)
        pairs = np.stack(
            [np.tile(rows, views), np.repeat(np.arange(views), len(rows))],
            axis=1,
        ).astype(np.int64)
        self._height = None
        if source.height is not None:
            height = source.height[base.class_rows(source, kept)][pairs[:, 0]]
            order = np.argsort(height, kind="stable")
            pairs, self._height = pairs[order], height[order]
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def choose(
        self, bits: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Choose a kind for each task; all of them have one height.

        Args:
          bits: [tasks] int64, independent and uniform over 0 .. 2^63 - 1.
          seed: of the height.

        Returns:
          [tasks] kinds, and their height; None where all images are equally
          high. A height is drawn like the kind of one task; kinds of it are
          different as long as there are enough.
        """
        if self._height is None:
            return bits % len(self), None
        first = np.searchsorted(self._height, self._height, side="left")
        end = np.searchsorted(self._height, self._height, side="right")
        chosen = rng.integers(seed, [], len(self))
        first, count, height = (
            tf.gather(x, chosen) for x in (first, end - first, self._height)
        )
        within = draws.distinct(bits[tf.newaxis], count[tf.newaxis])[0]
        return first + within, height

    def place_and_view(self, kind: tf.Tensor) -> list[tf.Tensor]:
        """Return place in `kept` and number of the view, shaped like `kind`."""
        return tf.unstack(tf.gather(self.pairs, kind), axis=-1)


class Others:
    """Kinds other than a task's own."""

    def __init__(self, own: Kinds, among: Kinds):
        """Find each own kind among those to choose from.

        Args:
          own: kinds of tasks.
          among: kinds to choose from, of the same kept classes.

        Raises:
          ValueError: there is no other kind.
        """
        place = {pair: i for i, pair in enumerate(map(tuple, among.pairs))}
        own_place = [place.get(pair, -1) for pair in map(tuple, own.pairs)]
        if len(among) == 1 and max(own_place) >= 0:
            raise ValueError(
                "images of other classes were asked for, but there is one "
                "class; expected at least two. Add classes, or use an "
                "algorithm without images of others."
            )
        self._among = among
        self._own_place = np.array(own_place)

    def choose(self, bits: tf.Tensor, kind: tf.Tensor) -> list[tf.Tensor]:
        """Choose uniformly and independently.

        Args:
          bits: [tasks, steps, batch] int64, independent and uniform over
            0 .. 2^63 - 1.
          kind: [tasks] own kinds.

        Returns:
          Places in `kept` and numbers of views, both shaped like `bits`.
        """
        own = tf.gather(self._own_place, kind)[:, tf.newaxis, tf.newaxis]
        inside = tf.cast(own >= 0, tf.int64)
        pick = bits % (len(self._among) - inside)
        pick += inside * tf.cast(pick >= own, tf.int64)
        return self._among.place_and_view(pick)
