"""Which images a critic learns from, and which are kept to examine it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_metagan.data import base

_MOST_CLASSES = 100  # of a set that is learned whole when nothing else is said


class Division(NamedTuple):
    """The images of a critic's classes, divided.

    Attributes:
      classes: class id of the data set of each column.
      num_images: images of each class, all together.
      held_out: of each class the ascending indices, counted within the class,
        of the images to examine with.
      images: uint8 [n, H, W, C] to learn from.
      column: int64 [n], their columns; those of other classes that are learned
        along come after `classes`.
      num_columns: of both kinds.
      held_images: uint8 [m, H, W, C] to examine with.
      held_column: int64 [m].
    """

    classes: tuple[int, ...]
    num_images: tuple[int, ...]
    held_out: tuple[tuple[int, ...], ...]
    images: np.ndarray
    column: np.ndarray
    num_columns: int
    held_images: np.ndarray
    held_column: np.ndarray


def choose_classes(
    source: base.ClassImages, classes: Sequence[int] | None = None
) -> tuple[int, ...]:
    """Return the ids of a critic's classes, ascending.

    Args:
      source: the data set.
      classes: ids; None for all of them or, where these are more than 100 and
        the set reserves some for meta-test, for the reserved ones.

    Raises:
      ValueError: unknown or repeated ids, or fewer than two.
    """
    if classes is None:
        many = len(source.label) > _MOST_CLASSES
        reserved = source.test_label if many else None
        classes = source.label.tolist() if reserved is None else reserved
    chosen = tuple(sorted(int(c) for c in classes))
    unknown = sorted(set(chosen) - set(source.label.tolist()))
    if unknown or len(set(chosen)) != len(chosen) or len(chosen) < 2:
        raise ValueError(
            f"--classes={','.join(map(str, chosen[:5]))}"
            f"{',...' if len(chosen) > 5 else ''} cannot be told apart: "
            f"expected two or more different class ids of the "
            f"{len(source.label)} from {source.label[0]} to "
            f"{source.label[-1]}. Correct --classes."
        )
    return chosen


def uses_test_split(source: base.ClassImages, examine_on: str) -> bool:
    """Say whether a critic is examined on the data set's own test split.

    Args:
      source: the data set.
      examine_on: "test_split", "share", or "auto" for the former where every
        class has images in it.

    Raises:
      ValueError: "test_split" of a set that has none.
    """
    if examine_on == "test_split" and source.test_images is None:
        raise ValueError(
            "--examine_on=test_split needs a data set of which every class has "
            "images in a train and in a test split; this one has not. Use "
            "--examine_on=share."
        )
    return examine_on != "share" and source.test_images is not None


def divide(
    source: base.ClassImages,
    *,
    classes: Sequence[int] | None,
    learn_along: bool,
    held_out: float | None,
    seed: int,
) -> Division:
    """Divide the images of a critic's classes.

    Args:
      source: the data set.
      classes: as `choose_classes` takes them.
      learn_along: whether the set's other classes, all their images, are
        learned too.
      held_out: share of each class to examine with, in (0, 1); at least one
        image of each class is held out and at least one is not. None for the
        images of the data set's own test split.
      seed: of the share.

    Returns:
      Division.

    Raises:
      ValueError: unknown classes, or one that has a single image.
    """
    chosen = choose_classes(source, classes)
    rows = base.class_rows(source, chosen)
    counts = np.diff(source.first)[rows]
    if held_out is None:
        assert source.test_images is not None
        last = source.test_images[rows]
        out = [
            np.arange(count - own, count)
            for count, own in zip(counts, last, strict=True)
        ]
    else:
        out = _share(counts, share=held_out, seed=seed)
    held = [source.first[row] + own for row, own in zip(rows, out, strict=True)]
    learned = [
        np.delete(np.arange(source.first[row], source.first[row + 1]), own)
        for row, own in zip(rows, out, strict=True)
    ]
    if learn_along:
        others = np.setdiff1d(np.arange(len(source.label)), rows)
        learned += [
            np.arange(source.first[row], source.first[row + 1])
            for row in others
        ]
    return Division(
        classes=chosen,
        num_images=tuple(counts.tolist()),
        held_out=tuple(tuple(own.tolist()) for own in out),
        images=source.images[np.concatenate(learned)],
        column=_columns(learned),
        num_columns=len(learned),
        held_images=source.images[np.concatenate(held)],
        held_column=_columns(held),
    )


def _columns(groups: Sequence[np.ndarray]) -> np.ndarray:
    return np.repeat(np.arange(len(groups)), [len(g) for g in groups])


def _share(counts: np.ndarray, *, share: float, seed: int) -> list[np.ndarray]:
    """Choose a share of each class; one does not depend on those after it."""
    if counts.min() < 2:
        raise ValueError(
            f"a class has {counts.min()} image; expected at least 2, one to "
            "learn from and one to hold out. Add images, or leave the class "
            "out by --classes."
        )
    generator = np.random.default_rng([seed])
    return [
        np.sort(
            generator.permutation(count)[
                : min(max(1, round(share * count)), count - 1)
            ]
        )
        for count in counts.tolist()
    ]
