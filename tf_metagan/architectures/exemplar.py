"""Networks that see an image of the task: for --game=exemplar.

Source: a generator that encodes a real image and draws another of its class is
DAGAN's (Antoniou, Storkey and Edwards, 2017); the layers and widths are ours.
"""

import keras

from tf_metagan.gan import layers

_SLOPE = 0.2
PACKED = 2


def build(
    *,
    image_size: int,
    channels: int,
    width: int,
    latent_size: int,
    dtype="float32",
) -> dict[str, keras.Model]:
    """Build a generator and a discriminator that are given an exemplar.

    g: exemplar -> down w (a) -> down 2w (b) -> down 4w; with a grid of 2w
       channels made of z -> conv 4w -> up 2w; with (b) -> conv 2w -> up w;
       with (a) -> conv w -> up channels, tanh
    d: exemplar and each of two images -> down w -> down 2w -> conv 2w, the
       same weights for all three; together -> conv 2w -> down 4w -> conv 4w
       -> Dense 1

    with LeakyReLU 0.2 between and weights of He et al. (2015).

    Args:
      image_size: s, height and width in pixels, a multiple of 16.
      channels: c, image channels.
      width: w, channels next to the image.
      latent_size: dimension of z.
      dtype: Keras dtype or policy of every layer.

    Returns:
      {"d": ([n, s, s, 2c], [n, s, s, c]) -> [n, 1], "g": ([n, latent_size],
      [n, s, s, c]) -> [n, s, s, c] in [-1, 1]}.

    Raises:
      ValueError: image_size is not a multiple of 16.
    """
    if image_size < 16 or image_size % 16:
        raise ValueError(
            f"--image_size={image_size} does not suit --architecture=exemplar: "
            "expected a multiple of 16, as every family of convolutional "
            f"networks here. Use --image_size="
            f"{max(16, round(image_size / 16) * 16)}."
        )
    make = _Layers(dtype)
    image = [image_size, image_size, channels]
    return {
        "d": _discriminator(make, image, width),
        "g": _generator(make, image, width, latent_size),
    }


class _Layers:
    """Layers of one dtype, with their activation."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.input_dtype = keras.dtype_policies.get(dtype).compute_dtype

    def options(self, name: str, scale: float = 2 / (1 + _SLOPE**2)) -> dict:
        initializer = keras.initializers.VarianceScaling(
            scale, "fan_in", "untruncated_normal"
        )
        return {
            "name": name,
            "dtype": self.dtype,
            "kernel_initializer": initializer,
        }

    def input(self, shape, name: str):
        return keras.Input(shape, dtype=self.input_dtype, name=name)

    def leaky(self, x, name: str):
        act = layers.LeakyReLU(_SLOPE, name=f"{name}_act", dtype=self.dtype)
        return act(x)

    def down(self, x, filters: int, name: str):
        return self.leaky(layers.Down(filters, **self.options(name))(x), name)

    def up(self, x, filters: int, name: str):
        return self.leaky(layers.Up(filters, **self.options(name))(x), name)

    def conv(self, x, filters: int, name: str):
        conv = keras.layers.Conv2D(
            filters, 3, padding="same", **self.options(name)
        )
        return self.leaky(conv(x), name)

    def join(self, parts, name: str):
        return keras.layers.Concatenate(name=name, dtype=self.dtype)(parts)


def _generator(make: _Layers, image, width: int, latent_size: int):
    z = make.input([latent_size], "z")
    exemplar = make.input(image, "exemplar")
    start = image[0] // 8
    finest = make.down(exemplar, width, "down1")
    fine = make.down(finest, 2 * width, "down2")
    coarse = make.down(fine, 4 * width, "down3")
    stem = keras.layers.Dense(
        start * start * 2 * width, **make.options("stem")
    )(z)
    grid = keras.layers.Reshape(
        [start, start, 2 * width], name="grid", dtype=make.dtype
    )(make.leaky(stem, "stem"))
    x = make.conv(make.join([coarse, grid], "join1"), 4 * width, "mix1")
    x = make.up(x, 2 * width, "up1")
    x = make.conv(make.join([x, fine], "join2"), 2 * width, "mix2")
    x = make.up(x, width, "up2")
    x = make.conv(make.join([x, finest], "join3"), width, "mix3")
    paint = layers.Up(
        image[-1], activation="tanh", **make.options("up3", scale=0.3)
    )
    return keras.Model([z, exemplar], paint(x), name="g")


def _discriminator(make: _Layers, image, width: int):
    *size, channels = image
    seen = make.input([*size, PACKED * channels], "images")
    exemplar = make.input(image, "exemplar")
    one = make.input(image, "image")
    x = make.down(one, width, "down1")
    x = make.down(x, 2 * width, "down2")
    x = make.conv(x, 2 * width, "mix1")
    look = keras.Model(one, x, name="look")
    parts = [
        look(seen[..., i * channels : (i + 1) * channels])
        for i in range(PACKED)
    ]
    x = make.join([look(exemplar), *parts], "join")
    x = make.conv(x, 2 * width, "mix2")
    x = make.down(x, 4 * width, "down3")
    x = make.conv(x, 4 * width, "mix3")
    x = keras.layers.Flatten(name="flat", dtype=make.dtype)(x)
    score = keras.layers.Dense(1, **make.options("head", scale=1.0))(x)
    return keras.Model([seen, exemplar], score, name="d")
