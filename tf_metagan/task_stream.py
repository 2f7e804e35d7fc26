"""Tasks for `MetaGAN.fit`: a `tf.data.Dataset` of TaskBatch from images."""

import functools
import itertools
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tf_metagan import assembly, python_errors
from tf_metagan.config import Config
from tf_metagan.data import base
from tf_metagan.data.episodes import EpisodeSampler
from tf_metagan.settings import Settings

_SPLITS = ("train", "test")
_OWN = "images given as arrays"


def tasks(
    source="glyphs",
    *,
    split: str = "train",
    num_batches: int | None = None,
    **settings,
) -> tf.data.Dataset:
    """Return tasks: a few images of one class to adapt to, and more to test on.

    The classes are divided into meta-train and meta-test ones, the same way
    whenever source, seed and settings are the same: make the data of `fit` by
    split="train" and those of validation by split="test".

    `MetaGAN.fit` begins with the tasks of the model's own meta-step: a second
    `fit`, or one after loading, sees new tasks, and an interrupted run goes on
    as if it had not been interrupted. This holds for the dataset as it is
    returned here; after .map, .take or the like it begins at its beginning
    every time, as other datasets do.

    Args:
      source: name of a data set ("glyphs", "omniglot", "tfds:NAME", or
        "folder" with image_folder=...); or {class name: uint8 [n, H, W, C]};
        or (images, labels) with uint8 [n, H, W, C] and integer [n]; or
        `data.base.ClassImages`.
      split: "train" or "test", which classes to draw from.
      num_batches: meta-steps in one epoch of `fit`; without end if None, which
        needs steps_per_epoch.
      **settings: shots, meta_batch, inner_batch_size, inner_steps, seed,
        train_classes, test_classes, num_test_classes, rotate_classes,
        mirror_classes, elastic, elastic_classes; for a name also image_size,
        channels and the settings of the data set. As the flags of the command
        line; inner_steps as the MetaGAN has it.

    Returns:
      Dataset of TaskBatch, images in [-1, 1].

    Raises:
      TypeError, ValueError: a setting or the images are not usable.

    >>> classes = {name: np.zeros([6, 16, 16, 1], np.uint8) for name in "abcde"}
    >>> data = tasks(classes, shots=2, meta_batch=3, num_batches=10)
    >>> data.element_spec.support.shape, int(data.cardinality())
    (TensorShape([3, 1, 2, 16, 16, 1]), 10)
    """
    if split not in _SPLITS:
        raise ValueError(
            f"split={split!r} names no part of the classes; expected one of "
            f"{', '.join(_SPLITS)}. Use split='train' for fit and "
            "split='test' for classes it does not see."
        )
    if num_batches is not None and num_batches < 1:
        raise ValueError(
            f"num_batches={num_batches} gives no data; expected at least 1, "
            "or None for tasks without end. Use num_batches=100, say."
        )
    with python_errors.without_flags():
        sampler = _make_sampler(source, split, settings)
    dataset = _stream(sampler, num_batches, lambda: 0)
    dataset.beginning_at = functools.partial(_stream, sampler, num_batches)
    return dataset


def _make_sampler(source, split: str, given: dict) -> EpisodeSampler:
    if isinstance(source, str):
        given = {**given, "dataset": source}
    settings = Settings(Config, [(given, True)])
    if isinstance(source, str):
        images = assembly.load_images(settings)
        classes = assembly.make_split(settings, images)
    else:
        images = _as_class_images(source)
        classes = settings.call(base.make_split, images, dataset=_OWN)
    sampler = assembly.make_sampler(
        settings,
        images,
        classes=getattr(classes, split),
        stream=_SPLITS.index(split),
    )
    idle = [name for name in settings.given if name not in settings.used]
    if idle:
        raise ValueError(
            f"{', '.join(idle)} has no effect on these tasks; expected "
            "settings of the data in use. Remove it, or give it to "
            "tf_metagan.MetaGAN(...) if it is one of the model."
        )
    return sampler


def _as_class_images(source) -> base.ClassImages:
    if isinstance(source, base.ClassImages):
        return source
    if isinstance(source, tuple) and len(source) == 2:
        return base.group(*source)
    if not isinstance(source, Mapping) or not source:
        raise TypeError(
            f"tasks cannot be drawn from {type(source).__name__}; expected the "
            "name of a data set, {class name: images} or (images, labels). "
            'Use tasks("glyphs") or tasks({"a": images_of_a, ...}).'
        )
    arrays = [np.asarray(images) for images in source.values()]
    kinds = {(str(x.dtype), x.shape[1:]) for x in arrays}
    if len(kinds) > 1:
        raise ValueError(
            f"the classes have images of different kinds: {sorted(kinds)}; "
            "expected uint8 [n, H, W, C] with the same H, W and C everywhere. "
            "Resize and convert them first."
        )
    return base.group(
        np.concatenate(arrays),
        np.repeat(np.arange(len(arrays)), [len(x) for x in arrays]),
        name=dict(enumerate(map(str, source))),
    )


def _stream(
    sampler: EpisodeSampler,
    num_batches: int | None,
    first: Callable[[], int],
) -> tf.data.Dataset:
    """Return the tasks of meta-steps first(), first() + 1, ...

    `first` is called whenever an iterator of the dataset starts.
    """

    def meta_steps():
        start = first()
        if num_batches is None:
            return itertools.count(start)
        return range(start, start + num_batches)

    size = tf.data.INFINITE_CARDINALITY if num_batches is None else num_batches
    return (
        tf.data.Dataset.from_generator(
            meta_steps, output_signature=tf.TensorSpec([], tf.int64)
        )
        .map(sampler.batch)
        .prefetch(2)
        .apply(tf.data.experimental.assert_cardinality(size))
    )
