"""Single-image FID: how far the places of two pictures are in Inception."""

import os
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_metagan.metrics import features, frechet

LAYERS = {64: 1, 192: 2}
"""{channels: which pooling they are the features before}."""


class Places:
    """The stem of Inception-v3: features of every place of an image.

    Attributes:
      name: of the weights, see `features.Inception`.
      channels: 64, the features before the first pooling, or 192, before the
        second.
    """

    def __init__(self, inception: Any, *, name: str, channels: int):
        """Use `places` to make one.

        Args:
          inception: Keras's model, of any input size.
          name: of its weights.
          channels: 64 or 192.
        """
        self.name = name
        self.channels = channels
        self._model = _stem(inception, LAYERS[channels])

    def __call__(self, images: Any) -> np.ndarray:
        """Return [n, places, channels] of images [n, H, W, 1 or 3] in [-1, 1].

        Images are not resized.
        """
        x = tf.convert_to_tensor(np.asarray(images, np.float32))
        rgb = tf.repeat(x, 3 // x.shape[-1], axis=-1)
        found = self._model(rgb, training=False).numpy()
        return found.reshape(len(found), -1, self.channels)


def places(
    weights_file: str | os.PathLike[str], *, channels: Iterable[int] = (64,)
) -> tuple[Places, ...]:
    """Load stems of Inception-v3 from a file, which is read once.

    Args:
      weights_file: see `features.inception`.
      channels: 64 or 192, or both.

    Returns:
      Places of each number of channels, in their order.

    Raises:
      FileNotFoundError, ValueError: see `features.inception`; there is no
        layer of so many channels.
    """
    wanted = tuple(channels)
    for number in wanted:
        if number not in LAYERS:
            raise ValueError(
                f"channels={number} is no layer that SIFID is taken at; "
                f"expected one of {sorted(LAYERS)}. Use 64 for published "
                "values."
            )
    net = features.inception(weights_file)
    return tuple(
        Places(net.model, name=net.name, channels=number) for number in wanted
    )


def sifid(real: Any, fakes: Any, net: Any) -> float:
    """Return the mean Frechet distance of the places of single images.

    Args:
      real: [H, W, C] in [-1, 1], the photograph.
      fakes: [n, H', W', C], samples; each is compared by itself.
      net: a `Places`, or any function from images to [n, places, channels].

    Returns:
      The mean over the samples; 0 for copies. Biased upwards for small images,
      which have few places: compare images of one size only.

    Raises:
      ValueError: an image has fewer than two places.

    Source: SinGAN (Shaham et al., 2019), section 4.2. Its text says 192
      channels, its program, and so the published values, 64.
    """
    own = frechet.Moments()
    own.update(net(np.asarray(real)[np.newaxis])[0])
    found = []
    for rows in net(fakes):
        moments = frechet.Moments()
        moments.update(rows)
        found.append(frechet.frechet_distance(own, moments))
    return float(np.mean(found))


def _stem(model: Any, pooling: int) -> keras.Model:
    """Return the layers in front of the n-th pooling, for any size.

    They follow one another without branches.
    """
    images = keras.Input([None, None, 3], name="images")
    x, seen = images, 0
    for layer in model.layers[1:]:
        seen += isinstance(layer, keras.layers.MaxPooling2D)
        if seen == pooling:
            return keras.Model(images, x)
        x = layer(x)
    raise AssertionError(f"{model.name} has no {pooling} poolings")
