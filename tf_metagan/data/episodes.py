"""Draw tasks: which class, and which of its images in which inner step.

An episode is a function of (seed, meta_step, slot). It does not depend on what
was drawn before, on the number of slots or on the number of devices.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.data import base, draws, kinds, shelves, warp
from tf_metagan.types import TaskBatch

# What is random about a slot; the place in this list is its stream.
_STREAMS = (
    "kind",
    "seed",
    "shots",
    "support",
    "query",
    "other_kind",
    "other_image",
    "warp_support",
    "warp_query",
    "warp_others",
    "warp_class",
    "warp_other_class",
)


_HEIGHT = 2**40  # a place in the tree of seeds that is no slot's


class EpisodeSampler:
    """Tasks of a set of classes, each a pure function of its place.

    With shots = 0 every inner step sees a fresh batch of the class, and so
    does the query: both are independent draws from all its images. With
    shots = K the K support images of an episode are drawn once. They serve
    every step as they are when K <= inner_batch_size, else each step draws a
    batch of them; the query comes from the images that remain. No image is
    repeated within a batch as long as there are enough different ones.

    With fewer shots or fewer inner steps an episode keeps its class and its
    first images.

    Images of several heights make batches of one height each, drawn like the
    class of a task, and the classes of such a batch differ as long as there
    are enough of that height.

    Args:
      class_images: the data set; images of classes not named below are not
        kept.
      classes: class ids of the data set, equally likely.
      meta_batch: tasks of one meta-step.
      inner_batch_size: images of one inner step.
      inner_steps: inner steps of one task.
      shots: images of the support set; 0 stands for the whole class.
      seed: root of all that is random.
      rotate_classes: let each class, turned counter-clockwise by r times 90
        degrees, be a class of its own with the label
        class id + r * (largest class id of the data set + 1). Costs four
        times the memory, unless the images are mapped from a file.
      mirror_classes: let each class, turned or not, be one more class when
        left and right are exchanged; labels and memory go on as above.
      elastic: root mean square, in pixels, of a smooth random displacement of
        every image; 0 is off.
      elastic_classes: the same for a displacement that all images of a task
        share, which makes another class of it; its label stays. Of `others`,
        each image has its own.
      others: whether to draw as many images of other classes; each is of a
        class drawn uniformly, independently of the rest.
      other_classes: class ids that `others` may come from; None for
        `classes`. Name the meta-train classes when `classes` are not these.
      dtype: floating type of the images.

    Raises:
      ValueError: unknown classes, too few classes or images, sizes below 1.

    Source: query resampled after every inner step as in MAML-GAN; images of
      other classes as the anti-domain of latent-space Reptile-GANs; turned
      classes as in Santoro et al. (2016), section 4.1.

    >>> images = np.zeros([40, 8, 8, 1], np.uint8)
    >>> sampler = EpisodeSampler(
    ...     base.group(images, np.repeat([3, 8], 20)),
    ...     classes=[3, 8],
    ...     meta_batch=2,
    ...     inner_batch_size=4,
    ...     inner_steps=5,
    ... )
    >>> sampler.batch(0).support.shape
    TensorShape([2, 5, 4, 8, 8, 1])
    """

    def __init__(
        self,
        class_images: base.ClassImages,
        *,
        classes: Sequence[int],
        meta_batch: int,
        inner_batch_size: int,
        inner_steps: int,
        shots: int = 0,
        seed: int = 0,
        rotate_classes: bool = False,
        mirror_classes: bool = False,
        elastic: float = 0.0,
        elastic_classes: float = 0.0,
        others: bool = False,
        other_classes: Sequence[int] | None = None,
        dtype: str = "float32",
    ):
        self._meta_batch = _positive("meta_batch", meta_batch)
        self._batch_shape = (
            _positive("inner_steps", inner_steps),
            _positive("inner_batch_size", inner_batch_size),
        )
        self._shots = shots
        self._seed = seed
        self._elastic = elastic
        self._elastic_classes = elastic_classes
        self._dtype = tf.as_dtype(dtype)
        self._span = int(class_images.label[-1]) + 1
        self._names = dict(
            zip(class_images.label.tolist(), class_images.name, strict=True)
        )
        _check_images(class_images, classes, shots=shots, turn=rotate_classes)
        other_classes = classes if other_classes is None else other_classes
        kept = sorted({*classes, *(other_classes if others else ())})
        size = np.diff(class_images.first)
        size = size[base.class_rows(class_images, kept)]
        self._views = shelves.views(
            rotate=rotate_classes, mirror=mirror_classes
        )
        views = len(self._views)
        self._kinds = kinds.Kinds(class_images, classes, kept=kept, views=views)
        self._others = None
        if others:
            self._others = kinds.Others(
                self._kinds,
                kinds.Kinds(
                    class_images, other_classes, kept=kept, views=views
                ),
            )
        with tf.device("CPU:0"):
            self._shelf = shelves.make(class_images, kept, views=self._views)
            self._count = self._shelf.count
            self._size = tf.constant(size, tf.int64)
            self._first = tf.constant(self._shelf.first, tf.int64)
            self._label = tf.constant(kept, tf.int64)

    @property
    def num_kinds(self) -> int:
        """Number of different tasks: classes times views of them."""
        return len(self._kinds)

    def class_name(self, label: int) -> str:
        """Return the name of a class: "Kavoru/03" or "Kavoru/03 turned 90".

        Args:
          label: an entry of TaskBatch.label.
        """
        view, class_id = divmod(int(label), self._span)
        return self._names[class_id] + self._views[view].suffix

    def batch(self, meta_step: int | tf.Tensor) -> TaskBatch:
        """Return the tasks of one meta-step.

        Args:
          meta_step: integer scalar, not negative.

        Returns:
          TaskBatch; support [meta_batch, inner_steps, inner_batch_size, H, W,
          C] or, for 0 < shots <= inner_batch_size, [meta_batch, 1, shots, H,
          W, C]; query and others always have the former shape; values in
          [-1, 1].
        """
        return self._batch(tf.cast(meta_step, tf.int64))

    def dataset(self, start: int = 0) -> tf.data.Dataset:
        """Return the tasks of meta_step = start, start + 1, ... without end.

        Args:
          start: first meta-step.

        Returns:
          Dataset of TaskBatch, in order and prefetched.
        """
        meta_steps = tf.data.Dataset.range(start, tf.int64.max)
        return meta_steps.map(self.batch).prefetch(2)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64)], autograph=False)
    def _batch(self, meta_step: tf.Tensor) -> TaskBatch:
        with tf.device("CPU:0"):
            root = rng.fold(rng.make_seed(self._seed), meta_step)
            shapes = self._stream_shapes()
            drawn = tf.map_fn(
                lambda slot: self._draw(rng.fold(root, slot), shapes),
                tf.range(self._meta_batch, dtype=tf.int64),
                fn_output_signature={n: self._stream_type(n) for n in shapes},
            )
            kind, height = self._kinds.choose(
                drawn["kind"], rng.fold(root, _HEIGHT)
            )
            row, view = self._kinds.place_and_view(kind)
            first = tf.gather(self._first, row) + view * self._count
            first = first[:, tf.newaxis, tf.newaxis]
            support, query = self._choose(drawn, tf.gather(self._size, row))
            others = None
            if self._others is not None:
                others = self._fetch(
                    self._choose_others(drawn, kind),
                    self._knots(drawn, "others", drawn.get("warp_other_class")),
                    height,
                )
            shared = drawn.get("warp_class")
            if shared is not None:
                shared = shared[:, tf.newaxis, tf.newaxis]
            return TaskBatch(
                support=self._fetch(
                    first + support,
                    self._knots(drawn, "support", shared),
                    height,
                ),
                query=self._fetch(
                    first + query, self._knots(drawn, "query", shared), height
                ),
                others=others,
                label=tf.gather(self._label, row) + view * self._span,
                seed=drawn["seed"],
            )

    def _stream_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name the streams in use and their shapes for one slot."""
        shared = 0 < self._shots <= self._batch_shape[1]
        support = (1, self._shots) if shared else self._batch_shape
        shapes = {"kind": (), "seed": (2,), "query": self._batch_shape}
        if self._shots:
            shapes["shots"] = (self._shots,)
        if not shared:
            shapes["support"] = self._batch_shape
        if self._others is not None:
            shapes["other_kind"] = self._batch_shape
            shapes["other_image"] = self._batch_shape
        knots = (warp.GRID, warp.GRID, 2)
        if self._elastic:
            shapes["warp_support"] = support + knots
            shapes["warp_query"] = self._batch_shape + knots
        if self._elastic_classes:
            shapes["warp_class"] = knots
        if self._others is not None:
            if self._elastic:
                shapes["warp_others"] = self._batch_shape + knots
            if self._elastic_classes:
                shapes["warp_other_class"] = self._batch_shape + knots
        return shapes

    def _stream_type(self, name: str) -> tf.DType:
        return self._dtype if name.startswith("warp") else tf.dtypes.int64

    def _draw(
        self, seed: tf.Tensor, shapes: dict[str, tuple[int, ...]]
    ) -> dict[str, tf.Tensor]:
        """Draw all streams of one slot: normal for knots, else 63 bits."""
        drawn = {}
        for name, shape in shapes.items():
            stream = rng.fold(seed, _STREAMS.index(name))
            if name.startswith("warp"):
                drawn[name] = rng.normal(stream, shape, self._dtype)
            else:
                drawn[name] = rng.integers(stream, shape, tf.int64.max)
        return drawn

    def _choose(
        self, drawn: dict[str, tf.Tensor], size: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Choose images of each task's class.

        Args:
          drawn: streams, each with a leading task axis.
          size: [tasks] number of images of the class.

        Returns:
          Places within the class of support and query, both [tasks, steps | 1,
          batch].
        """
        if not self._shots:
            support = _batches(drawn["support"], size)
            return support, _batches(drawn["query"], size)
        taken = draws.distinct(drawn["shots"], size)
        rank = _batches(drawn["query"], size - self._shots)
        flat = tf.reshape(rank, [self._meta_batch, -1])
        query = tf.reshape(draws.outside(taken, flat), tf.shape(rank))
        if "support" not in drawn:
            return taken[:, tf.newaxis], query
        among = _batches(
            drawn["support"],
            tf.fill(size.shape, tf.constant(self._shots, tf.int64)),
        )
        return tf.gather(taken, among, axis=1, batch_dims=1), query

    def _choose_others(
        self, drawn: dict[str, tf.Tensor], kind: tf.Tensor
    ) -> tf.Tensor:
        """Choose images of kinds other than each task's own.

        Returns:
          [tasks, steps, batch] places in the array of all images.
        """
        row, view = self._others.choose(drawn["other_kind"], kind)
        within = drawn["other_image"] % tf.gather(self._size, row)
        return tf.gather(self._first, row) + view * self._count + within

    def _knots(
        self, drawn: dict[str, tf.Tensor], name: str, shared: tf.Tensor | None
    ) -> tf.Tensor | float:
        """Add what bends every image and what bends a class, in pixels.

        Args:
          drawn: streams, each with a leading task axis.
          name: support, query or others.
          shared: of the classes, [tasks, steps | 1, batch | 1, GRID, GRID, 2].

        Returns:
          [tasks, steps, batch, GRID, GRID, 2], or 0 if nothing is bent.
        """
        knots = 0.0
        if self._elastic:
            knots += self._elastic * drawn[f"warp_{name}"]
        if shared is not None:
            knots += self._elastic_classes * shared
        return knots

    def _fetch(
        self, places: tf.Tensor, knots: tf.Tensor | float, height
    ) -> tf.Tensor:
        """Fetch images [..., H, W, C], convert and distort them."""
        images = self._shelf.gather(places)
        if height is not None:
            images = images[..., :height, :, :]
        images = tf.cast(images, self._dtype)
        images = (images - 127.5) * (1 / 127.5)  # as base.to_range
        if not tf.is_tensor(knots):
            return images
        flat = tf.reshape(images, [-1, *images.shape[-3:]])
        knots = tf.broadcast_to(knots, [*images.shape[:-3], *knots.shape[-3:]])
        knots = tf.reshape(knots, [-1, *knots.shape[-3:]])
        bent = warp.elastic(flat, knots, strength=1.0)
        return tf.reshape(bent, images.shape)


def _batches(bits: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Draw [tasks, steps, batch] places, each batch without replacement."""
    tasks, steps, batch = bits.shape
    rows = tf.reshape(bits, [tasks * steps, batch])
    return tf.reshape(draws.distinct(rows, tf.repeat(size, steps)), bits.shape)


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ValueError(
            f"--{name}={value} gives empty batches; expected at least 1. Use "
            f"--{name}=1 or more."
        )
    return value


def _check_images(
    source: base.ClassImages,
    classes: Sequence[int],
    *,
    shots: int,
    turn: bool,
) -> None:
    """Refuse what no episode can be drawn from."""
    height, width = source.images.shape[1:3]
    if turn and height != width:
        raise ValueError(
            f"--rotate_classes turns images of {height} x {width} pixels; "
            "expected square ones. Load the data set in a square size."
        )
    if shots < 0 or not len(classes):
        raise ValueError(
            f"--shots={shots} and {len(classes)} classes give no task; "
            "expected shots >= 0 and at least one class. Use --shots=0 for "
            "the whole class, or name classes."
        )
    rows = base.class_rows(source, classes)
    size = np.diff(source.first)[rows]
    short = int(size.argmin())
    if shots and size[short] <= shots:
        fewest = int(size[short])
        raise ValueError(
            f"--shots={shots} needs {shots + 1} images per class, one of them "
            f"for the query; class {source.name[rows[short]]!r} has {fewest}. "
            f"Use --shots={fewest - 1} or another --dataset."
        )
