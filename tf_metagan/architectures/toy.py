"""The smallest networks that have every ingredient, for mathematics.

Smooth everywhere (softplus instead of LeakyReLU), so that finite differences
meet no kink; a hundred weights, so that a double-precision check is instant.
"""

import keras


def build(
    *,
    image_size: int,
    channels: int,
    width: int,
    latent_size: int,
    dtype="float32",
) -> dict[str, keras.Model]:
    """Build a generator and a discriminator with one hidden layer each.

    g: latent -> Dense w, softplus -> Dense image, tanh
    d: image -> Dense w, softplus -> Dense 1

    Args:
      image_size: height and width in pixels, any positive number.
      channels: image channels.
      width: w, hidden units.
      latent_size: dimension of z.
      dtype: Keras dtype or policy of every layer.

    Returns:
      {"d": [n, s, s, channels] -> [n, 1], "g": [n, latent_size] -> [n, s, s,
      channels] in [-1, 1]}.

    Source: ours.
    """
    shape = [image_size, image_size, channels]
    compute = keras.dtype_policies.get(dtype).compute_dtype

    def dense(units, name, activation=None):
        return keras.layers.Dense(
            units,
            activation,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.5),
            bias_initializer=keras.initializers.RandomNormal(stddev=0.1),
            name=name,
            dtype=dtype,
        )

    g = keras.Sequential(
        [
            keras.Input([latent_size], dtype=compute),
            dense(width, "hidden", "softplus"),
            dense(image_size * image_size * channels, "paint", "tanh"),
            keras.layers.Reshape(shape, name="grid", dtype=dtype),
        ],
        name="g",
    )
    d = keras.Sequential(
        [
            keras.Input(shape, dtype=compute),
            keras.layers.Flatten(name="flat", dtype=dtype),
            dense(width, "hidden", "softplus"),
            dense(1, "head"),
        ],
        name="d",
    )
    return {"d": d, "g": g}
