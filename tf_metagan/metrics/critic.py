"""A classifier that says what images show, and how it is kept on disk."""

import functools
import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from tf_metagan.data import atomic, cache
from tf_metagan.metrics import base, critic_card, critic_network
from tf_metagan.metrics.critic_card import Card

WEIGHTS_FILE = "weights.npz"

_BATCH = 256
_SHIPPED = Path(__file__).parents[1] / "pretrained" / "critics"
_MARGIN = 1e-3  # by which rounding may leave [-1, 1]


@final
class Critic:
    """A trained classifier as a `base.FeatureNet`.

    >>> model = critic_network.build(
    ...     num_classes=3, image_size=8, channels=1, widths=(4,) * 4, dropout=0
    ... )
    >>> card = Card(
    ...     "some", 8, 1, (4, 7, 9), (2,) * 3, ((0,),) * 3, 0.5, 1.0, {}, {}
    ... )
    >>> critic = Critic(model, card)
    >>> features, log_probs = critic(np.zeros([5, 8, 8, 1]))
    >>> features.shape, log_probs.shape, critic.classes
    ((5, 4), (5, 3), (4, 7, 9))
    """

    def __init__(self, model: keras.Model, card: Card):
        """Combine a network with its card.

        Args:
          model: [n, H, W, C] -> (features, logits), one logit per class.
          card: its card.
        """
        assert model.outputs[1].shape[-1] == len(card.classes)
        self.card = card
        self._model = model
        shape = [_BATCH, card.image_size, card.image_size, card.channels]
        self._graph = tf.function(
            self.tensors,
            input_signature=[tf.TensorSpec(shape, tf.float32)],
            autograph=False,
        )

    @functools.cached_property
    def name(self) -> str:
        """Data set, number of classes, and a hash of card and weights."""
        weights = critic_card.seal(_values(self._model))
        card = critic_card.to_text(self.card, weights)
        dataset, ways = _as_file(self.card.dataset), len(self.classes)
        return f"critic_{dataset}_{ways}way_{_short_hash(card)}"

    @property
    def classes(self) -> tuple[int, ...]:
        """Class id of the data set of each column, ascending."""
        return self.card.classes

    @property
    def held_out_accuracy(self) -> float:
        """Share of the held-out images told right."""
        return self.card.held_out_accuracy

    @property
    def held_out(self) -> dict[int, np.ndarray]:
        """{class id: int64 indices in the class of images it never saw}."""
        pairs = zip(self.classes, self.card.held_out, strict=True)
        return {label: np.array(own, np.int64) for label, own in pairs}

    @property
    def num_held_out(self) -> int:
        """Images that it was examined with."""
        return sum(map(len, self.card.held_out))

    def tensors(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Look at images inside a graph of the caller's.

        Args:
          images: float32 [n, H, W, C] in [-1, 1].

        Returns:
          (features [n, d], log_probs [n, classes]), float32.
        """
        features, logits = self._model(images, training=False)
        return features, tf.nn.log_softmax(logits)

    def __call__(self, images: Any) -> base.Predictions:
        """Look at images, 256 at a time.

        Args:
          images: [n, H, W, C] in [-1, 1], n >= 1.

        Returns:
          Predictions: features are the last block's, averaged over places.

        Raises:
          ValueError: another shape, or values outside the range or not finite.
        """
        images = self._checked(np.asarray(images, np.float32))
        features, log_probs = [], []
        for first in range(0, len(images), _BATCH):
            batch = images[first : first + _BATCH]
            n = len(batch)
            if n < _BATCH:
                batch = np.pad(batch, [(0, _BATCH - n)] + [(0, 0)] * 3)
            for parts, part in zip(
                (features, log_probs), self._graph(batch), strict=True
            ):
                parts.append(part.numpy()[:n])
        return base.Predictions(
            np.concatenate(features), np.concatenate(log_probs)
        )

    def _checked(self, images: np.ndarray) -> np.ndarray:
        size, channels = self.card.image_size, self.card.channels
        if images.shape[1:] != (size, size, channels) or not len(images):
            raise ValueError(
                f"images have shape {images.shape}; this critic expects "
                f"[n, {size}, {size}, {channels}], n >= 1. Train one for your "
                f"images: {_command(self.card.dataset, None, None)} "
                "--image_size=SIZE --channels=CHANNELS"
            )
        low, high = float(images.min()), float(images.max())
        if not (low >= -1.0 - _MARGIN and high <= 1.0 + _MARGIN):
            raise ValueError(
                f"images have values from {low} to {high}; the critic expects "
                "finite ones in [-1, 1]. Convert bytes by data.base.to_range."
            )
        return images


def to_stored_precision(model: keras.Model) -> None:
    """Round the weights to what a file keeps: matrices to float16.

    Vectors, among them the running statistics, stay float32. Do it before
    measuring, so that the numbers on the card hold for the file.

    Args:
      model: changed in place.
    """
    for variable in model.weights:
        value = variable.numpy()
        if value.ndim > 1:
            variable.assign(value.astype(np.float16).astype(np.float32))


def examine(
    critic: Critic, images: np.ndarray, column: np.ndarray
) -> tuple[float, float]:
    """Return (accuracy, nll) on labelled images.

    Args:
      critic: the critic.
      images: [n, H, W, C] in [-1, 1].
      column: integer [n], the right column of each.

    Returns:
      Share told right, and mean of -ln P(class | image).
    """
    log_probs = critic(images).log_probs.astype(np.float64)
    right = log_probs.argmax(axis=1) == column
    own = np.take_along_axis(log_probs, column[:, np.newaxis], axis=1)
    return float(right.mean()), float(-own.mean())


def save(critic: Critic, folder: Path) -> None:
    """Write a critic; the card comes last, so half a critic is none.

    Args:
      critic: its weights in stored precision, see `to_stored_precision`.
      folder: made if absent; a critic in it is replaced.
    """
    values = _values(critic._model)
    (folder / critic_card.FILE).unlink(missing_ok=True)
    with atomic.replacement(folder / WEIGHTS_FILE) as temporary:
        np.savez_compressed(temporary, **values)
    with atomic.replacement(folder / critic_card.FILE) as temporary:
        text = critic_card.to_text(critic.card, critic_card.seal(values))
        temporary.write_text(text, encoding="utf-8")


def read(folder: Path) -> Critic:
    """Read what `save` wrote.

    Args:
      folder: of the critic.

    Raises:
      FileNotFoundError: there is no critic.
      ValueError: the files are damaged, foreign, or not of one critic.
    """
    card, weights = critic_card.read(folder)
    try:
        path = folder / WEIGHTS_FILE
        with open(path, "rb") as file, np.load(file) as content:
            values = dict(content.items())
        if critic_card.seal(values) != weights:
            raise ValueError("the weights are not those of the card")
        model = critic_network.build(
            num_classes=len(card.classes),
            image_size=card.image_size,
            channels=card.channels,
            widths=card.settings["widths"],
            dropout=0.0,
        )
        if set(values) != {v.path for v in model.weights}:
            raise ValueError("the weights are of another network")
        for variable in model.weights:
            variable.assign(values[variable.path].astype(np.float32))
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise critic_card.damaged(folder, error) from error
    return Critic(model, card)


def new_folder(
    dataset: str, settings: Mapping[str, Any], cache_dir: str | None = None
) -> Path:
    """Return where a critic of these settings is kept in the cache.

    Args:
      dataset: name of the data set.
      settings: all that determines the critic.
      cache_dir: where caches lie; None for the user's.
    """
    text = json.dumps(settings, sort_keys=True)
    return _cache(cache_dir) / f"{_as_file(dataset)}-{_short_hash(text)}"


def find(
    *,
    dataset: str,
    image_size: int,
    channels: int | None,
    classes: Iterable[int] | None = None,
    settings: Mapping[str, Any] | None = None,
    cache_dir: str | None = None,
) -> list[Path]:
    """Return the folders of critics that know a data set.

    Args:
      dataset: name of the data set.
      image_size: height and width.
      channels: 1 or 3; None for either.
      classes: class ids they have to know; None for any.
      settings: what they have to be trained with; others do not matter.
      cache_dir: where caches lie; None for the user's.

    Returns:
      Those of the package first.

    Raises:
      ValueError: a critic of this name is damaged.
    """
    wanted = set(classes or ())
    # As JSON has them: lists for tuples.
    trained_with = json.loads(json.dumps(settings or {}))

    def suits(card: Card) -> bool:
        return (
            (card.dataset, card.image_size) == (dataset, image_size)
            and channels in (None, card.channels)
            and wanted <= set(card.classes)
            and all(
                card.settings.get(name) == value
                for name, value in trained_with.items()
            )
        )

    name = _as_file(dataset)
    places = (
        *_SHIPPED.glob(f"{name}/{critic_card.FILE}"),
        *sorted(_cache(cache_dir).glob(f"{name}-*/{critic_card.FILE}")),
    )
    folders = (path.parent for path in places)
    return [f for f in folders if suits(critic_card.read(f)[0])]


def load(
    *,
    dataset: str,
    image_size: int = 32,
    channels: int | None = 1,
    classes: Sequence[int] | None = None,
    cache_dir: str | None = None,
    folder: str | None = None,
) -> Critic:
    """Load the critic of a data set.

    Args:
      dataset: name of the data set.
      image_size: height and width.
      channels: 1 or 3; None for either.
      classes: class ids it has to know; None for any.
      cache_dir: where caches lie; None for the user's.
      folder: the critic's own folder, which decides between several; None for
        that of the package or, where it has none, the one in the cache.

    Raises:
      FileNotFoundError: there is none.
      ValueError: there are several in the cache, the one in `folder` does not
        fit, or the files are damaged.
    """
    if folder is not None:
        critic = read(Path(folder))
        card = critic.card
        unknown = sorted(set(classes or ()) - set(card.classes))
        if (
            (card.dataset, card.image_size) != (dataset, image_size)
            or channels not in (None, card.channels)
            or unknown
        ):
            raise ValueError(
                f"the critic in {folder} is of {card.dataset}, "
                f"{card.image_size} pixels, {card.channels} channels, "
                f"{len(card.classes)} classes; expected {dataset}, "
                f"{image_size} pixels, {channels or 'any number of'} channels"
                + (f", and also class {unknown[0]}" if unknown else "")
                + f". Train another: {_command(dataset, image_size, channels)}"
            )
        return critic
    found = find(
        dataset=dataset,
        image_size=image_size,
        channels=channels,
        classes=classes,
        cache_dir=cache_dir,
    )
    if not found:
        raise FileNotFoundError(
            f"there is no critic for {dataset} at {image_size} pixels with "
            f"{channels or 'any number of'} channels"
            + (f" that knows the {len(classes)} classes" if classes else "")
            + f" in the package or in {_cache(cache_dir)}. Train one: "
            + _command(dataset, image_size, channels)
        )
    if len(found) > 1 and found[0].parent != _SHIPPED:
        raise ValueError(
            f"there are {len(found)} critics for {dataset}: "
            f"{', '.join(map(str, found))}; expected one. Name its folder, or "
            "delete the others."
        )
    return read(found[0])


def _command(dataset: str, image_size: int | None, channels: int | None) -> str:
    words = ["python -m tf_metagan.critic", f"--dataset={dataset}"]
    words += [f"--image_size={image_size}"] if image_size else []
    words += [f"--channels={channels}"] if channels else []
    return " ".join(words)


def _cache(cache_dir: str | None) -> Path:
    return cache.folder(cache_dir) / "critics"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _as_file(dataset: str) -> str:
    return re.sub(r"[^\w.]", "_", dataset)


def _values(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the weights as they are stored, {path: array}."""
    values = {v.path: v.numpy() for v in model.weights}
    return {
        path: value.astype(np.float16 if value.ndim > 1 else np.float32)
        for path, value in values.items()
    }
