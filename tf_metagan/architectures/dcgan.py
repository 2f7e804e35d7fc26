"""DCGAN without normalisation, the networks of MAML-GAN.

Source: Radford et al. (2016); the MAML-GAN paper states DCGAN, LeakyReLU 0.2
and no normalisation layer. Widths, latent size and initial values are not
stated there; ours are DCGAN's.
"""

import keras

from tf_metagan.gan import layers

_SLOPE = 0.2


def build(
    *,
    image_size: int,
    channels: int,
    width: int,
    latent_size: int,
    dtype="float32",
) -> dict[str, keras.Model]:
    """Build generator "g" and discriminator "d", mirror images of each other.

    g: latent -> Dense (s/8)^2 * 4w -> up 2w -> up w -> up channels, tanh
    d: image -> down w -> down 2w -> down 4w -> Dense 1

    with LeakyReLU 0.2 between, weights ~ N(0, 0.02), biases 0. 1,070,273 and
    660,929 parameters at 32x32x1, width 64, latent size 100.

    Args:
      image_size: s, height and width in pixels, a multiple of 16.
      channels: image channels.
      width: w, channels next to the image.
      latent_size: dimension of z.
      dtype: Keras dtype or policy of every layer.

    Returns:
      {"d": [n, s, s, channels] -> [n, 1], "g": [n, latent_size] -> [n, s, s,
      channels] in [-1, 1]}.

    Raises:
      ValueError: image_size is not a multiple of 16.
    """
    if image_size < 16 or image_size % 16:
        raise ValueError(
            f"--image_size={image_size} does not suit --architecture=dcgan: "
            "expected a multiple of 16, as every family of convolutional "
            f"networks here. Use --image_size="
            f"{max(16, round(image_size / 16) * 16)}."
        )
    start = image_size // 8

    def options(name):
        return {
            "name": name,
            "dtype": dtype,
            "kernel_initializer": keras.initializers.RandomNormal(stddev=0.02),
        }

    def leaky(name):
        return layers.LeakyReLU(_SLOPE, name=name, dtype=dtype)

    g = keras.Sequential(
        [
            keras.Input([latent_size], dtype=_input_dtype(dtype)),
            keras.layers.Dense(start * start * 4 * width, **options("stem")),
            leaky("stem_act"),
            keras.layers.Reshape(
                [start, start, 4 * width], name="grid", dtype=dtype
            ),
            layers.Up(2 * width, **options("up1")),
            leaky("up1_act"),
            layers.Up(width, **options("up2")),
            leaky("up2_act"),
            layers.Up(channels, activation="tanh", **options("up3")),
        ],
        name="g",
    )
    d = keras.Sequential(
        [
            keras.Input(
                [image_size, image_size, channels], dtype=_input_dtype(dtype)
            ),
            layers.Down(width, **options("down1")),
            leaky("down1_act"),
            layers.Down(2 * width, **options("down2")),
            leaky("down2_act"),
            layers.Down(4 * width, **options("down3")),
            leaky("down3_act"),
            keras.layers.Flatten(name="flat", dtype=dtype),
            keras.layers.Dense(1, **options("head")),
        ],
        name="d",
    )
    return {"d": d, "g": g}


def _input_dtype(dtype) -> str:
    return keras.dtype_policies.get(dtype).compute_dtype
