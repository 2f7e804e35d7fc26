"""DCGAN-like pair of FIGR: 5x5 convolutions, PReLU, layer norm, no strides.

    g: z -> stem -> 4 x (conv 5, PReLU, norm, upsample 2) -> conv 5 -> tanh
    d: x -> conv 5, norm, PReLU -> 4 x (conv 5, norm, PReLU, pool 2) -> dense

g normalises after the activation, d before it. Every layer has derivatives of
every order, so that both players can be differentiated through inner steps.

Source: github.com/OctThe16th/FIGR, model.py; Clouatre and Demers, "FIGR:
  Few-shot Image Generation with Reptile" (2019).
"""

import keras

from tf_metagan.gan import layers

NUM_BLOCKS = 4
"""Doublings in g and halvings in d; 2 ** NUM_BLOCKS divides the image size."""


def base_size(image_size: int, *, architecture: str) -> int:
    """Return the side of the smallest feature map, image_size / 16.

    Args:
      image_size: height and width of the images in pixels.
      architecture: name of the network family, for the message.

    Raises:
      ValueError: image_size is not a positive multiple of 16.
    """
    multiple = 2**NUM_BLOCKS
    if image_size < 1 or image_size % multiple:
        nearest = max(1, round(image_size / multiple)) * multiple
        raise ValueError(
            f"--image_size={image_size} does not suit "
            f"--architecture={architecture}, which doubles the side "
            f"{NUM_BLOCKS} times: expected a positive multiple of {multiple}. "
            f"Use --image_size={nearest}."
        )
    return image_size // multiple


def conv(x, filters: int, size: int, *, name: str, dtype, activation=None):
    """Apply a convolution that keeps height and width.

    Kernel and bias start uniform in +-1 / sqrt(size^2 C), as in PyTorch.

    Args:
      x: [n, H, W, C].
      filters: channels of the result.
      size: odd side of the kernel.
      name: name of the layer.
      dtype: dtype or Keras dtype policy of the layer.
      activation: Keras activation or None.

    Returns:
      [n, H, W, filters].
    """
    fan_in = size * size * x.shape[-1]
    return keras.layers.Conv2D(
        filters,
        size,
        padding="same",
        data_format="channels_last",
        activation=activation,
        kernel_initializer=_uniform(fan_in),
        bias_initializer=_uniform(fan_in),
        name=name,
        dtype=dtype,
    )(x)


def dense(x, units: int, *, name: str, dtype):
    """Apply an affine map, its weights uniform in +-1 / sqrt(features).

    Args:
      x: [n, features].
      units: features of the result.
      name: name of the layer.
      dtype: dtype or Keras dtype policy of the layer.

    Returns:
      [n, units].
    """
    fan_in = x.shape[-1]
    return keras.layers.Dense(
        units,
        kernel_initializer=_uniform(fan_in),
        bias_initializer=_uniform(fan_in),
        name=name,
        dtype=dtype,
    )(x)


def prelu(x, *, name: str, dtype):
    """Apply max(x, 0) + alpha min(x, 0); alpha is learned and starts at 1/4.

    Args:
      x: [n, H, W, C], with one alpha per channel; or [n, features], with one
        alpha per feature.
      name: name of the layer.
      dtype: dtype or Keras dtype policy of the layer.

    Returns:
      Same shape.
    """
    return keras.layers.PReLU(
        alpha_initializer=keras.initializers.Constant(0.25),
        shared_axes=(1, 2) if len(x.shape) == 4 else None,
        name=name,
        dtype=dtype,
    )(x)


def double(x, *, name: str, dtype):
    """Repeat every pixel twice in height and width (no resize operation).

    Args:
      x: [n, H, W, C].
      name: name of the layer.
      dtype: dtype or Keras dtype policy of the layer.

    Returns:
      [n, 2 H, 2 W, C].
    """
    return keras.layers.UpSampling2D(
        2,
        data_format="channels_last",
        interpolation="nearest",
        name=name,
        dtype=dtype,
    )(x)


def halve(x, *, name: str, dtype):
    """Average disjoint squares of 2 x 2 pixels.

    Args:
      x: [n, H, W, C], H and W even.
      name: name of the layer.
      dtype: dtype or Keras dtype policy of the layer.

    Returns:
      [n, H / 2, W / 2, C].
    """
    return keras.layers.AveragePooling2D(
        2, data_format="channels_last", name=name, dtype=dtype
    )(x)


def inputs(shape: tuple[int, ...], *, name: str, dtype):
    """Return the symbolic input of a network, in the dtype it computes in.

    Args:
      shape: shape of one sample.
      name: name of the layer.
      dtype: dtype or Keras dtype policy of the network.
    """
    compute_dtype = keras.dtype_policies.get(dtype).compute_dtype
    return keras.Input(shape, name=name, dtype=compute_dtype)


def stem(latent, *, side: int, filters: int, dtype):
    """Map the latent vector to the smallest feature map of a generator.

    Dense, PReLU with one slope per unit, layer norm over all units, reshape.

    Args:
      latent: [n, latent_size].
      side: height and width of the result.
      filters: channels of the result.
      dtype: dtype or Keras dtype policy of the layers.

    Returns:
      [n, side, side, filters].
    """
    x = dense(latent, side * side * filters, name="stem", dtype=dtype)
    x = prelu(x, name="stem_act", dtype=dtype)
    x = layers.LayerNorm(name="stem_norm", dtype=dtype)(x)
    return keras.layers.Reshape(
        (side, side, filters), name="stem_map", dtype=dtype
    )(x)


def build(
    *,
    image_size: int,
    channels: int,
    width: int,
    latent_size: int,
    dtype: str | keras.DTypePolicy = "float32",
) -> dict[str, keras.Model]:
    """Build the generator and the critic.

    At 32 x 32 x 1, width 64 and latent size 100: 17,898,945 weights in g and
    18,040,257 in d. Layer norm ties the weights to the image size.

    >>> pair = build(image_size=32, channels=1, width=4, latent_size=8)
    >>> pair["g"].output_shape
    (None, 32, 32, 1)

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

    Source: github.com/OctThe16th/FIGR, model.py: DCGANGenerator and
      DCGANDiscriminator, whose names for d and g we keep.
    """
    side = base_size(image_size, architecture="figr_dcgan")
    image = inputs(
        (image_size, image_size, channels), name="image", dtype=dtype
    )
    latent = inputs((latent_size,), name="latent", dtype=dtype)
    score = _critic(image, width=width, dtype=dtype)
    fake = _generator(
        latent, side=side, channels=channels, width=width, dtype=dtype
    )
    return {
        "d": keras.Model(image, score, name="d"),
        "g": keras.Model(latent, fake, name="g"),
    }


def _generator(latent, *, side, channels, width, dtype):
    filters = width * 2**NUM_BLOCKS
    x = stem(latent, side=side, filters=filters, dtype=dtype)
    for block in range(1, NUM_BLOCKS + 1):
        filters //= 2
        x = conv(x, filters, 5, name=f"conv{block}", dtype=dtype)
        x = prelu(x, name=f"act{block}", dtype=dtype)
        x = layers.LayerNorm(name=f"norm{block}", dtype=dtype)(x)
        x = double(x, name=f"up{block}", dtype=dtype)
    return conv(x, channels, 5, name="head", dtype=dtype, activation="tanh")


def _critic(image, *, width, dtype):
    x = image
    for block in range(NUM_BLOCKS + 1):
        x = conv(x, width * 2**block, 5, name=f"conv{block}", dtype=dtype)
        x = layers.LayerNorm(name=f"norm{block}", dtype=dtype)(x)
        x = prelu(x, name=f"act{block}", dtype=dtype)
        if block:
            x = halve(x, name=f"down{block}", dtype=dtype)
    x = keras.layers.Flatten(
        data_format="channels_last", name="flat", dtype=dtype
    )(x)
    return dense(x, 1, name="head", dtype=dtype)


def _uniform(fan_in):
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound)
