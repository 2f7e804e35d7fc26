"""DCGAN whose players are told a label: for --game=labelled, the baseline.

Source: Mirza and Osindero (2014), conditional GAN; the layers are those of
latent_dcgan.py, so that the two families differ by what the players are told.
"""

import keras

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
    behind the channels of the image. Otherwise they are G and D of
    `latent_dcgan.build`, D with one head.

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
    join = {"name": "join", "dtype": dtype}
    image = make.input([image_size, image_size, channels], "image")
    label = make.input([num_labels], "label")
    row = keras.layers.Reshape([1, 1, num_labels], name="row", dtype=dtype)
    maps = keras.layers.UpSampling2D(image_size, name="maps", dtype=dtype)
    seen = keras.layers.Concatenate(**join)([image, maps(row(label))])
    score = make.head(make.trunk(seen, width), "head")
    z = make.input([latent_size], "z")
    told = make.input([num_labels], "label")
    start = keras.layers.Concatenate(**join)([z, told])
    drawn = make.paint(start, image.shape[1:], width)
    return {
        "d": keras.Model([image, label], score, name="d"),
        "g": keras.Model([z, told], drawn, name="g"),
    }
