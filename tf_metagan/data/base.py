"""What an image source hands over, the class split, and the value range.

Every loader returns `ClassImages`: one uint8 array in which the images of a
class lie next to each other. Strokes are bright on dark; the value range of
the game is [-1, 1] (`to_range`).
"""

import collections
import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_metagan.data import atomic

_SPLIT_FORMAT = 1
_DEFAULT_TEST_SHARE = 0.2


class ClassImages(NamedTuple):
    """Images grouped by class.

    Attributes:
      images: uint8 [n, H, W, C], the classes one after the other.
      first: int64 [classes + 1]; class c owns images[first[c]:first[c + 1]].
      label: int64 [classes], class ids of the data set: unique, ascending, not
        negative, not necessarily 0, 1, 2, ...
      name: one name per class, unique.
      test_label: class ids which the data set itself reserves for meta-test;
        None if it does not say. A single class reserved for nothing, (), is
        trained on without a test.
      test_images: int64 [classes], how many images at the end of each class
        belong to the data set's own test split; None unless every class has
        images inside and outside of such a split.
      height: int64 [classes], rows of the images of each class that belong to
        them; below they are filled up. None: all rows of all images.
    """

    images: np.ndarray
    first: np.ndarray
    label: np.ndarray
    name: tuple[str, ...]
    test_label: tuple[int, ...] | None = None
    test_images: np.ndarray | None = None
    height: np.ndarray | None = None


class Split(NamedTuple):
    """Which classes are for meta-training and which for meta-test.

    Attributes:
      dataset: name of the data set.
      seed: seed of the shuffle; recorded also when nothing was shuffled.
      train: class ids, ascending.
      test: class ids, ascending, none of them in `train`.
      classes: `fingerprint` of the classes the split was made from.
    """

    dataset: str
    seed: int
    train: tuple[int, ...]
    test: tuple[int, ...]
    classes: str


def group(
    images: np.ndarray,
    label: np.ndarray,
    *,
    name: Mapping[int, str] | None = None,
    test_label: Iterable[int] | None = None,
) -> ClassImages:
    """Group images by class; images of one class keep their order.

    This is also the way in for arrays of your own.

    Args:
      images: uint8 [n, H, W, C].
      label: integer [n], class id of each image, not negative.
      name: {class id: name}; the number itself where None.
      test_label: class ids reserved for meta-test.

    Returns:
      ClassImages with ascending class ids.

    Raises:
      ValueError: wrong shapes, types or ids.

    >>> images = np.zeros([3, 8, 8, 1], np.uint8)
    >>> grouped = group(images, np.array([5, 2, 5]))
    >>> grouped.label.tolist(), grouped.first.tolist(), grouped.name
    ([2, 5], [0, 1, 3], ('2', '5'))
    """
    images, label = np.asarray(images), np.asarray(label)
    if images.ndim != 4 or images.dtype != np.uint8 or not len(images):
        raise ValueError(
            f"images came as {images.dtype} {list(images.shape)}; expected "
            "uint8 [n, H, W, C] with n >= 1. Convert them before grouping."
        )
    integers = np.issubdtype(label.dtype, np.integer)
    if label.shape != images.shape[:1] or not integers or label.min() < 0:
        raise ValueError(
            f"label came as {label.dtype} {list(label.shape)} for "
            f"{len(images)} images; expected one class id >= 0 per image. "
            "Give labels as integers."
        )
    table, order = arrange(
        label, images.shape[1:], name=name, test_label=test_label
    )
    return table._replace(images=images[order])


def arrange(
    label: np.ndarray,
    shape: tuple[int, ...],
    *,
    name: Mapping[int, str] | None = None,
    test_label: Iterable[int] | None = None,
) -> tuple[ClassImages, np.ndarray]:
    """Return how `group` orders images, without the images.

    Args:
      label: as for `group`.
      shape: of an image, (H, W, C).
      name: as for `group`.
      test_label: as for `group`.

    Returns:
      (ClassImages with `hollow` images, int64 [n], which image comes where).
    """
    unique, count = np.unique(label, return_counts=True)
    names = tuple(str(c) if name is None else name[c] for c in unique.tolist())
    table = ClassImages(
        images=hollow(len(label), shape),
        first=np.concatenate([[0], np.cumsum(count)]).astype(np.int64),
        label=unique.astype(np.int64),
        name=names,
        test_label=None if test_label is None else tuple(sorted(test_label)),
    )
    return table, np.argsort(label, kind="stable")


def hollow(number: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return uint8 [number, *shape] that takes no memory, all zeros."""
    return np.broadcast_to(np.zeros([], np.uint8), (number, *shape))


def class_rows(source: ClassImages, label: Iterable[int]) -> np.ndarray:
    """Return the positions of class ids in `source.label`.

    Args:
      source: where to look.
      label: class ids of the data set.

    Returns:
      int64 [len(label)].

    Raises:
      ValueError: a class id that the data set has not.
    """
    wanted = np.asarray(list(label), np.int64)
    unknown = sorted(set(wanted.tolist()) - set(source.label.tolist()))
    if unknown:
        raise ValueError(
            f"unknown class ids {_few(unknown)}; the data set has "
            f"{len(source.label)} classes with ids {source.label[0]} to "
            f"{source.label[-1]}. Correct --train_classes or --test_classes."
        )
    return np.searchsorted(source.label, wanted)


def images_of(source: ClassImages, label: int) -> np.ndarray:
    """Return the images of one class: uint8 [n, H, W, C], a view."""
    row = int(class_rows(source, [label])[0])
    return source.images[source.first[row] : source.first[row + 1]]


def fingerprint(source: ClassImages) -> str:
    """Return a hash of the class ids and names: 64 hexadecimal digits.

    The images are left out: more images of the same classes are the same
    classes.
    """
    classes = [source.label.tolist(), list(source.name)]
    return hashlib.sha256(json.dumps(classes).encode()).hexdigest()


def make_split(
    source: ClassImages,
    *,
    dataset: str,
    seed: int,
    train_classes: Sequence[int] | None = None,
    test_classes: Sequence[int] | None = None,
    num_test_classes: int | None = None,
    exclude_classes: Sequence[int] | None = None,
) -> Split:
    """Decide which classes are for meta-training and which for meta-test.

    Explicit classes first; where one side is missing it is all the rest. To
    exclude classes is to test on them and to train on all the rest, of which
    there must be two, so that each has images of another beside it.
    Without them `num_test_classes` are shuffled off. Without that the data
    set's own split holds, and a data set that has none gives a shuffled 20 %
    of its classes, at least one, to meta-test.

    Args:
      source: all classes of the data set.
      dataset: its name, for the record.
      seed: of the shuffle.
      train_classes: class ids of the data set; None for all the others.
      test_classes: same.
      num_test_classes: how many, not together with explicit classes.
      exclude_classes: class ids, not together with any of the others.

    Returns:
      Split; save it and load it afterwards.

    Raises:
      ValueError: unknown, overlapping or missing classes.
    """
    explicit = train_classes is not None or test_classes is not None
    if explicit and num_test_classes is not None:
        raise ValueError(
            f"--num_test_classes={num_test_classes} came together with "
            "--train_classes or --test_classes; expected one way of "
            "splitting. Drop one of them."
        )
    every = source.label.tolist()
    if exclude_classes is not None:
        if explicit or num_test_classes is not None:
            raise ValueError(
                f"--exclude_classes={_few(exclude_classes)} came together with "
                "another flag that splits the classes; expected one way of "
                "splitting. Drop --train_classes, --test_classes and "
                "--num_test_classes."
            )
        kept = len(set(every) - set(exclude_classes))
        if kept < 2:
            raise ValueError(
                f"--exclude_classes leaves {kept} of {len(every)} classes for "
                "training; expected at least two, so that each has others "
                f"beside it. Exclude at most {len(every) - 2}."
            )
        explicit, test_classes = True, exclude_classes
    if explicit:
        train, test = train_classes, test_classes
        train = sorted(set(every) - set(test)) if train is None else train
        test = sorted(set(every) - set(train)) if test is None else test
    elif num_test_classes is None and source.test_label is not None:
        test = source.test_label
        train = sorted(set(every) - set(test))
    else:
        count = num_test_classes
        if count is None:
            count = max(1, int(_DEFAULT_TEST_SHARE * len(every)))
        if not 1 <= count < len(every):
            raise ValueError(
                f"{count} test classes asked of a data set with {len(every)} "
                "classes; expected at least one class on each side. Use "
                "--num_test_classes between 1 and the number of classes "
                "minus one, or a data set with more classes."
            )
        shuffled = np.random.default_rng([seed]).permutation(every).tolist()
        test, train = shuffled[:count], shuffled[count:]
    split = Split(
        dataset,
        int(seed),
        tuple(sorted(int(c) for c in train)),
        tuple(sorted(int(c) for c in test)),
        fingerprint(source),
    )
    check_split(split, source)
    return split


def check_split(split: Split, source: ClassImages) -> None:
    """Refuse a split that leaks, lacks a side, or is of other classes.

    Args:
      split: what to check.
      source: the classes it is to be used on.

    Raises:
      ValueError: empty, overlapping or unknown classes, or classes other than
        those the split was made from.
    """
    for side, classes in (("train", split.train), ("test", split.test)):
        if not classes and not (side == "test" and source.test_label == ()):
            raise ValueError(
                f"the split leaves no {side} classes of "
                f"{split.dataset!r}; expected at least one. Leave classes "
                f"out of the other side, or name some with --{side}_classes."
            )
    count = collections.Counter(split.train + split.test)
    twice = sorted(c for c in count if count[c] > 1)
    if twice:
        raise ValueError(
            f"classes {_few(twice)} are named twice in the split; expected "
            "each class once, for train or for test. Name it in one of "
            "--train_classes and --test_classes."
        )
    if split.classes != fingerprint(source):
        raise ValueError(
            f"the split was made from other classes of {split.dataset!r} than "
            f"the {len(source.label)} loaded now; expected the same ids and "
            "names. Load the data set with the settings of the run that made "
            "the split, or start a new run folder."
        )
    class_rows(source, split.train + split.test)


def save_split(split: Split, path: str | os.PathLike) -> None:
    """Write a split as JSON; a reader never sees half a file."""
    content = {"format": _SPLIT_FORMAT, **split._asdict()}
    content["sha256"] = _seal(content)
    with atomic.replacement(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def load_split(path: str | os.PathLike) -> Split:
    """Read a split that `save_split` wrote.

    Args:
      path: JSON file.

    Returns:
      Split; compare it with the data by `check_split`.

    Raises:
      ValueError: the file is broken, foreign, or was changed after writing.
    """
    try:
        content = json.loads(Path(path).read_text())
        if content["format"] != _SPLIT_FORMAT:
            raise ValueError(f"format is {content['format']}")
        seal = content.pop("sha256")
        if seal != _seal(content):
            raise ValueError("content and checksum disagree")
        del content["format"]
        split = Split(**content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no class split ({type(error).__name__}: {error}); "
            f"expected JSON of format {_SPLIT_FORMAT} as written at the start "
            "of a run. Restore the file, or start a new run folder with "
            "--train_classes and --test_classes."
        ) from error
    return split._replace(train=tuple(split.train), test=tuple(split.test))


def to_range(images: np.ndarray, *, dtype: str = "float32") -> np.ndarray:
    """Convert bytes to the game's value range: x / 127.5 - 1.

    Computed as (x - 127.5) * (1 / 127.5), where only the product is rounded:
    graph optimisers turn divisions into products, which rounds otherwise.

    Args:
      images: uint8, any shape.
      dtype: floating type.

    Returns:
      Same shape, values in [-1, 1]; 0 and 255 reach the ends exactly.

    >>> to_range(np.array([0, 255], np.uint8)).tolist()
    [-1.0, 1.0]
    """
    middle, scale = np.asarray([127.5, 1 / 127.5], dtype)
    return (images.astype(dtype) - middle) * scale


def to_bytes(images: np.ndarray) -> np.ndarray:
    """Convert the game's value range to bytes: round((x + 1) * 127.5).

    Args:
      images: floating, any shape; values outside [-1, 1] are clipped.

    Returns:
      uint8, same shape; the inverse of `to_range`.
    """
    scaled = (np.clip(images, -1, 1) + 1) * 127.5
    return np.rint(scaled).astype(np.uint8)


def _seal(content: Mapping) -> str:
    canonical = json.dumps(content, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _few(items: Sequence[int]) -> str:
    """List at most five items."""
    shown = ", ".join(str(item) for item in items[:5])
    return shown + (f" and {len(items) - 5} more" if len(items) > 5 else "")
