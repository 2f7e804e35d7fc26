"""What is known of a critic besides its weights, and its file."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FILE = "critic.json"

_FORMAT = 1


class Card(NamedTuple):
    """What is known of a critic besides its weights.

    Attributes:
      dataset: name of the data set.
      image_size: height and width.
      channels: 1 or 3.
      classes: class id of the data set of each column.
      num_images: images of each class, when it was trained.
      held_out: of each class the ascending indices, counted within the class,
        of the images it did not learn from.
      held_out_accuracy: share of the held-out images told right.
      held_out_nll: mean of -ln P(class | image) over them.
      settings: {name: value} of the command that trained it.
      versions: {package: version} it was trained with.
    """

    dataset: str
    image_size: int
    channels: int
    classes: tuple[int, ...]
    num_images: tuple[int, ...]
    held_out: tuple[tuple[int, ...], ...]
    held_out_accuracy: float
    held_out_nll: float
    settings: Mapping[str, Any]
    versions: Mapping[str, str | None]


def seal(values: Mapping[str, np.ndarray]) -> str:
    """Return a hash of weights: 64 hexadecimal digits.

    Args:
      values: {path: array}, in any order.
    """
    found = hashlib.sha256()
    for path in sorted(values):
        value = values[path]
        found.update(f"{path} {value.dtype.str} {value.shape}".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


def to_text(card: Card, weights: str) -> str:
    """Write a card as JSON.

    Args:
      card: the card.
      weights: `seal` of the weights it belongs to.
    """
    content = {"format": _FORMAT, **card._asdict(), "weights": weights}
    content["held_out"] = [_to_runs(own) for own in card.held_out]
    return json.dumps(content, sort_keys=True, allow_nan=False) + "\n"


def read(folder: Path) -> tuple[Card, str]:
    """Read a card and the seal of the weights it belongs to.

    Args:
      folder: of the critic.

    Raises:
      FileNotFoundError: there is no card.
      ValueError: it is damaged or foreign.
    """
    path = folder / FILE
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} holds no critic: {FILE} is missing. Give the folder "
            "that python -m tf_metagan.critic named."
        )
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["format"] != _FORMAT:
            raise ValueError(f"format is {stored['format']}")
        fields = {name: stored[name] for name in Card._fields}
        for name in ("classes", "num_images"):
            fields[name] = tuple(fields[name])
        fields["held_out"] = tuple(map(_from_runs, fields["held_out"]))
        card = Card(**fields)
        if not len(card.classes) == len(card.num_images) == len(card.held_out):
            raise ValueError("classes, num_images and held_out disagree")
        return card, stored["weights"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(folder, error) from error


def damaged(folder: Path, error: Exception) -> ValueError:
    """Return the error that says that the critic in a folder is unusable."""
    return ValueError(
        f"the critic in {folder} cannot be used ({type(error).__name__}: "
        f"{error}); expected {FILE} and its weights as python -m "
        "tf_metagan.critic writes them. Delete the folder and train it again."
    )


def _to_runs(indices: Sequence[int]) -> list[list[int]]:
    """Write ascending indices as [start, stop] pairs.

    >>> _to_runs((3, 4, 5, 9))
    [[3, 6], [9, 10]]
    """
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][1] == index:
            runs[-1][1] = index + 1
        else:
            runs.append([index, index + 1])
    return runs


def _from_runs(runs: Iterable[Sequence[int]]) -> tuple[int, ...]:
    return tuple(i for start, stop in runs for i in range(start, stop))
