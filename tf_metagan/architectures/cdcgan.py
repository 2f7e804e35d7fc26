"""DCGAN whose players are told a label: for --game=labelled, the baseline.

Source: Mirza and Osindero (2014), conditional GAN; the layers are those of
latent_dcgan.py, so that the two families differ by what the players are told.
"""

import keras
import numpy as np
import tensorflow as tf

from tf_metagan.architectures import latent_dcgan


def build(
    *,
    image_size: int,
    channels: int,
    width: int,
    latent_size: int,
    num_labels: int = 10,
    normalisation: str = "batch",
    dtype="float32",
) -> dict[str, keras.Model]:
    """Build a generator and a discriminator that are given a label.

    The label is a row of weights of `num_labels` classes, one for the class
    and zero for all others. G has it behind z, D as as many constant maps
    behind the channels of the image (see `Maps`). Otherwise they are G and D
    of `latent_dcgan.build`, D with one head.

    Args:
      image_size: s, height and width in pixels, a multiple of 16.
      channels: image channels.
      width: channels next to the image.
      latent_size: dimension of z.
      num_labels: classes that have a label.
      normalisation: see `latent_dcgan.build`.
      dtype: Keras dtype or policy of every layer.

    Returns:
      {"d": ([n, s, s, channels], [n, num_labels]) -> [n, 1], "g": ([n,
      latent_size], [n, num_labels]) -> [n, s, s, channels] in [-1, 1]}.

    Raises:
      ValueError: image_size is not a multiple of 16.
    """
    make = latent_dcgan.Blocks("cdcgan", normalisation, dtype)
    make.check_size(image_size)
    image = make.input([image_size, image_size, channels], "image")
    label = make.input([num_labels], "label")
    taps = keras.layers.Dense(16 * width, **make.options("taps"))(label)
    maps = Maps(image_size, name="label_maps", dtype=dtype)(taps)
    score = make.head(make.trunk(image, width, maps), "head")
    z = make.input([latent_size], "z")
    told = make.input([num_labels], "label")
    join = keras.layers.Concatenate(name="join", dtype=dtype)
    start = join([z, told])
    drawn = make.paint(start, image.shape[1:], width)
    return {
        "d": keras.Model([image, label], score, name="d"),
        "g": keras.Model([z, told], drawn, name="g"),
    }


@keras.saving.register_keras_serializable(package="tf_metagan")
class Maps(keras.layers.Layer):
    """What a convolution makes of constant maps, without making the maps.

    A 4x4 convolution of stride 2 and "same" padding gives, for a map that is
    constant, the sum of those of its 16 taps that lie within the image. So a
    hundred labels cost no more than ten.
    """

    def __init__(self, image_size: int, **kwargs):
        """Fix s, height and width of the maps."""
        super().__init__(**kwargs)
        self.image_size = image_size

    def call(self, taps):
        """Map [n, 16 w], the taps times the labels, to [n, s/2, s/2, w]."""
        half = self.image_size // 2
        first = 2 * np.arange(half)[:, np.newaxis] - 1 + np.arange(4)
        inside = (first >= 0) & (first < self.image_size)
        # Axes: row, column, row of the tap, column of the tap.
        inside = inside[:, np.newaxis, :, np.newaxis] & inside[:, np.newaxis]
        inside = tf.constant(inside.reshape(half * half, 16), taps.dtype)
        width = taps.shape[-1] // 16
        sums = tf.matmul(inside, tf.reshape(taps, [-1, 16, width]))
        return tf.reshape(sums, [-1, half, half, width])

    def compute_output_shape(self, input_shape):
        """Return (n, s/2, s/2, w)."""
        half = self.image_size // 2
        return (input_shape[0], half, half, input_shape[-1] // 16)
