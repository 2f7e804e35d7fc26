"""Residual pair of FIGR: pairs of 3x3 residual units between resolutions.

    unit: x -> x + (conv 3, PReLU, norm, conv 3, PReLU, norm)(x)
    g: z -> stem -> 4 x (unit, unit, conv 3, PReLU, norm, upsample 2)
         -> conv 5 -> tanh
    d: x -> conv 7, PReLU, norm -> 4 x (unit, unit, conv 3, PReLU, norm,
         pool 2) -> mean over pixels -> dense

Both players normalise after the activation, unlike d of `figr_dcgan`. Every
layer has derivatives of every order.

Source: github.com/OctThe16th/FIGR, model.py; Clouatre and Demers, "FIGR:
  Few-shot Image Generation with Reptile" (2019).
"""

import keras

from tf_metagan.architectures import figr_dcgan
from tf_metagan.gan import layers


def build(
    *,
    image_size: int,
    channels: int,
    width: int,
    latent_size: int,
    dtype: str | keras.DTypePolicy = "float32",
) -> dict[str, keras.Model]:
    """Build the generator and the critic.

    At 32 x 32 x 1, width 64 and latent size 100: 57,399,745 weights in g and
    20,422,081 in d. Layer norm ties the weights to the image size.

    >>> pair = build(image_size=32, channels=3, width=4, latent_size=8)
    >>> pair["g"].output_shape
    (None, 32, 32, 3)

    Args:
      image_size: height and width in pixels, a multiple of 16.
      channels: colour channels of the images.
      width: filters at full resolution; 16 times as many at the smallest.
      latent_size: length of the latent vector.
      dtype: dtype or Keras dtype policy of every layer.

    Returns:
      {"d": [n, H, W, C] -> [n, 1] unbounded,
       "g": [n, latent_size] -> [n, H, W, C] in [-1, 1]}.

    Raises:
      ValueError: image_size is not a positive multiple of 16.

    Source: github.com/OctThe16th/FIGR, model.py: ResNetGenerator and
      ResNetDiscriminator.
    """
    side = figr_dcgan.base_size(image_size, architecture="figr_resnet")
    image = figr_dcgan.inputs(
        (image_size, image_size, channels), name="image", dtype=dtype
    )
    latent = figr_dcgan.inputs((latent_size,), name="latent", dtype=dtype)
    score = _critic(image, width=width, dtype=dtype)
    fake = _generator(
        latent, side=side, channels=channels, width=width, dtype=dtype
    )
    return {
        "d": keras.Model(image, score, name="d"),
        "g": keras.Model(latent, fake, name="g"),
    }


def _generator(latent, *, side, channels, width, dtype):
    filters = width * 2**figr_dcgan.NUM_BLOCKS
    x = figr_dcgan.stem(latent, side=side, filters=filters, dtype=dtype)
    for block in range(1, figr_dcgan.NUM_BLOCKS + 1):
        x = _unit(x, name=f"block{block}a", dtype=dtype)
        x = _unit(x, name=f"block{block}b", dtype=dtype)
        filters //= 2
        x = _layer(x, filters, 3, name=f"shrink{block}", dtype=dtype)
        x = figr_dcgan.double(x, name=f"up{block}", dtype=dtype)
    return figr_dcgan.conv(
        x, channels, 5, name="head", dtype=dtype, activation="tanh"
    )


def _critic(image, *, width, dtype):
    x = _layer(image, width, 7, name="stem", dtype=dtype)
    for block in range(1, figr_dcgan.NUM_BLOCKS + 1):
        x = _unit(x, name=f"block{block}a", dtype=dtype)
        x = _unit(x, name=f"block{block}b", dtype=dtype)
        x = _layer(x, width * 2**block, 3, name=f"grow{block}", dtype=dtype)
        x = figr_dcgan.halve(x, name=f"down{block}", dtype=dtype)
    x = keras.layers.GlobalAveragePooling2D(
        data_format="channels_last", name="mean", dtype=dtype
    )(x)
    return figr_dcgan.dense(x, 1, name="head", dtype=dtype)


def _unit(x, *, name, dtype):
    filters = x.shape[-1]
    inner = _layer(x, filters, 3, name=f"{name}1", dtype=dtype)
    inner = _layer(inner, filters, 3, name=f"{name}2", dtype=dtype)
    return keras.layers.Add(name=f"{name}_sum", dtype=dtype)([x, inner])


def _layer(x, filters, size, *, name, dtype):
    x = figr_dcgan.conv(x, filters, size, name=f"{name}_conv", dtype=dtype)
    x = figr_dcgan.prelu(x, name=f"{name}_act", dtype=dtype)
    return layers.LayerNorm(name=f"{name}_norm", dtype=dtype)(x)
