"""Inception-v3 as Keras ships it: features for images of any content."""

import hashlib
import os
from typing import Any

import h5py
import keras
import numpy as np
import tensorflow as tf

from tf_metagan.metrics import base

DOWNLOAD = "download"

_SIZE = 299
_WIDTH = 2048
_BATCH = 32  # images at a time, enlarged to 1 MB each
# Published by Keras: {md5: weights with or without the classifier}.
_MD5 = "9a0d58056eeedaa3f26cb7ebd46da564"
_PUBLISHED = (_MD5, "bcbd6486424b2319ff4ef7d526e38f63")
_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/"
    "inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
)


class Inception:
    """Inception-v3: pooled features, and a classifier if the file has one.

    A `base.FeatureNet`. Its features are those of Keras's port, not of the
    graph of 2015 that published FIDs were computed with; the name says so.

    Attributes:
      name: "inception_v3_keras" for the weights that Keras publishes; others
        are told apart by eight digits of their file's hash behind it.
      classes: (), for the columns are not classes of a data set of ours.
      held_out_accuracy: None.
      model: Keras's own, with the weights.
    """

    classes: tuple[int, ...] = ()
    held_out_accuracy: float | None = None

    def __init__(self, model: Any, *, name: str, has_head: bool):
        """Use `inception` to make one."""
        self.name = name
        self.model = model
        self._has_head = has_head
        self._predict = tf.function(
            self._outputs,
            autograph=False,
            input_signature=[tf.TensorSpec([None, _SIZE, _SIZE, 3])],
        )

    def __call__(self, images: Any) -> base.Predictions:
        """Look at images.

        Args:
          images: [n, H, W, C] in [-1, 1], n >= 1, any size, one channel (grey)
            or three (RGB).

        Returns:
          Predictions: features [n, 2048]; log_probs [n, 1000] of ImageNet's
          classes, or [n, 0] if the weights came without the classifier.

        Raises:
          ValueError: another shape or range, or values that are not finite.
        """
        images = _checked(images)
        parts = []
        for first in range(0, len(images), _BATCH):
            outputs = self._predict(_prepared(images[first : first + _BATCH]))
            parts.append([x.numpy() for x in outputs])
        features, log_probs = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )
        return base.Predictions(features, log_probs)

    def _outputs(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (features, log_probs) of images of the network's size."""
        if not self._has_head:
            features = self.model(images, training=False)
            return features, tf.zeros([tf.shape(features)[0], 0])
        features, logits = self.model(images, training=False)
        return features, tf.nn.log_softmax(logits)


def inception(weights_file: str | os.PathLike[str] | None = None) -> Inception:
    """Load Inception-v3.

    Args:
      weights_file: HDF5 file of the network's weights, with the classifier or
        without; None or "download" takes Keras's own from its cache, or
        downloads 96 MB.

    Returns:
      Inception; never another network in its place.

    Raises:
      FileNotFoundError: there is no such file.
      OSError: the weights are not in the cache and cannot be downloaded.
      ValueError: the file holds something else than these weights.

    Source: Szegedy et al. (2016); keras.applications.InceptionV3.
    """
    if weights_file in (None, DOWNLOAD):
        weights_file = _download()
    path = os.path.abspath(os.path.expanduser(weights_file))
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no file {path}: expected weights of Inception-v3. "
            f"Download them from {_URL}"
        )
    try:
        classes = _head_classes(path)
        model = _network(classes)
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} does not hold the weights of Keras's Inception-v3 "
            f"({error}). Expected an .h5 or .weights.h5 file; download one "
            f"from {_URL}"
        ) from error
    if classes:
        pooled = model.get_layer("avg_pool").output
        model = keras.Model(model.input, [pooled, model.output])
    model.trainable = False
    return Inception(model, name=_name(path), has_head=classes > 0)


def _download() -> str:
    """Return the file in Keras's cache, downloading it if it is not there."""
    try:
        path = keras.utils.get_file(
            origin=_URL, file_hash=_MD5, cache_subdir="models"
        )
    except Exception as error:  # Keras has no narrower class for it.
        raise OSError(
            f"the weights of Inception-v3 cannot be had: {error}. Without "
            f"network, bring the file of {_URL} here and name it as "
            "weights_file (--inception_weights), or use a critic; no other "
            "network takes its place."
        ) from error
    return str(path)


def _head_classes(path: str) -> int:
    """Return the classes of the classifier in a weights file; 0 if none."""
    widths: list[int] = []

    def look(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim == 2:
            rows, columns = item.shape
            if rows == _WIDTH:
                widths.append(columns)

    with h5py.File(path) as file:
        file.visititems(look)
    return widths[0] if widths else 0


def _network(classes: int) -> Any:
    """Return the network without weights; with logits if classes > 0."""
    if not classes:
        return keras.applications.InceptionV3(
            include_top=False,
            weights=None,
            pooling="avg",
            input_shape=(_SIZE, _SIZE, 3),
        )
    return keras.applications.InceptionV3(
        weights=None, classes=classes, classifier_activation=None
    )


def _name(path: str) -> str:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    known = digest in _PUBLISHED
    return "inception_v3_keras" + ("" if known else f"_{digest[:8]}")


def _checked(pictures: Any) -> np.ndarray:
    images: np.ndarray = np.asarray(pictures, np.float32)
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(
            f"images of shape {images.shape}: expected [n, H, W, C] with 1 or "
            "3 channels. Add the axes that are missing."
        )
    base.check_values(images, "images", least=1)
    largest = float(np.max(np.abs(images)))
    if largest > 1.001:
        raise ValueError(
            f"images with a value of magnitude {largest:.4g}: expected values "
            "in [-1, 1]. Bytes become that by images / 127.5 - 1."
        )
    return images


def _prepared(images: np.ndarray) -> tf.Tensor:
    """Return images as RGB of the network's size."""
    rgb = tf.repeat(images, 3 // images.shape[-1], axis=-1)
    # Bilinear. Antialiasing is for images larger than the network's.
    return tf.image.resize(rgb, [_SIZE, _SIZE], antialias=True)
