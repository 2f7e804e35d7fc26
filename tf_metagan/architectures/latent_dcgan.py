"""DCGAN whose latents are made by small networks: for --game=latent.

Source: the public program of "Reptile on D and the latent MLPs" (NicelyCla,
GAN-and-Meta-Learning), whose sizes and initial values these are. There the
WGAN scripts hand the initialiser to the wrong object, so that PyTorch's
defaults remain; here every layer has its own.
"""

import math

import keras

from tf_metagan.gan import layers

VARIANTS = ("1mlp", "2mlp", "concat", "mlp_mean_std", "noise")
NORMALISATIONS = ("batch", "instance", "selu")

_SLOPE = 0.2
_NOISE_SHARE = 0.7  # of the latent of "concat"


def build(
    *,
    image_size: int,
    channels: int,
    width: int,
    latent_size: int,
    variant: str = "2mlp",
    normalisation: str = "batch",
    dtype="float32",
) -> dict[str, keras.Model]:
    """Build a generator, a two-headed discriminator and the latent networks.

    With w = width, s = image_size, L = latent_size:

    g: latent -> (s/8)^2 * 4w -> up 2w -> up w -> up channels, tanh
    d: image -> down w -> down 2w -> down 4w; from there the adversarial head,
       the domain head and the features, the mean over the map
    mlp: z [L] -> Dense L, ReLU -> Dense L
    mlp_cls: features [4w] -> Dense L, ReLU -> Dense

    "1mlp" has mlp, G takes its L numbers; "2mlp" has both, G takes 2 L;
    "concat" has mlp_cls, whose 30 % of L numbers follow 70 % of z;
    "mlp_mean_std" has mlp_cls, which gives a mean and a deviation of each of L
    numbers; "noise" has neither. At 32x32x1 and width 64 G has 1,066,880
    parameters for 100 numbers and 1,476,480 for 200, D 665,344, mlp 20,200 and
    mlp_cls of 2mlp 35,800.

    Args:
      image_size: height and width in pixels, a multiple of 16.
      channels: image channels.
      width: channels next to the image.
      latent_size: dimension of z.
      variant: one of VARIANTS.
      normalisation: of the feature maps. "batch": batch norm in G and D;
        "instance": batch norm in G, instance norm in D; "selu": none, SELU is
        every activation. The last two give D's first layer a bias.
      dtype: Keras dtype or policy of every layer.

    Returns:
      {"d": [n, s, s, channels] -> [n, 1], [n, 1], [n, 4w]; "g": [n, latent] ->
      [n, s, s, channels] in [-1, 1]; "mlp" and "mlp_cls" as above}.

    Raises:
      ValueError: image_size is not a multiple of 16.
    """
    make = Blocks("latent_dcgan", normalisation, dtype)
    make.check_size(image_size)
    condition = {
        "2mlp": latent_size,
        "concat": latent_size - round(_NOISE_SHARE * latent_size),
        "mlp_mean_std": 2 * latent_size,
    }
    drawn = 2 * latent_size if variant == "2mlp" else latent_size
    image = make.input([image_size, image_size, channels], "image")
    trunk = make.trunk(image, width)
    pool = keras.layers.GlobalAveragePooling2D(name="pool", dtype=dtype)
    heads = [make.head(trunk, name) for name in ("adversarial", "domain")]
    z = make.input([drawn], "z")
    networks = {
        "d": keras.Model(image, [*heads, pool(trunk)], name="d"),
        "g": keras.Model(z, make.paint(z, image.shape[1:], width), name="g"),
    }
    if variant in ("1mlp", "2mlp"):
        sizes = latent_size, latent_size, latent_size
        networks["mlp"] = make.mlp("mlp", *sizes)
    if variant in condition:
        sizes = 4 * width, latent_size, condition[variant]
        networks["mlp_cls"] = make.mlp("mlp_cls", *sizes)
    return networks


class Blocks:
    """The parts of which this family is made."""

    def __init__(self, family: str, normalisation: str, dtype):
        """Fix what the parts share; see `build`."""
        self.family = family
        self.normalisation = normalisation
        self.dtype = dtype

    def check_size(self, image_size: int) -> None:
        """Refuse sizes that cannot be halved often enough."""
        if image_size < 16 or image_size % 16:
            raise ValueError(
                f"--image_size={image_size} does not suit "
                f"--architecture={self.family}: expected a multiple of 16, as "
                "every family of convolutional networks here. Use "
                f"--image_size={max(16, round(image_size / 16) * 16)}."
            )

    def input(self, shape, name: str):
        """Return an input of one sample's shape."""
        policy = keras.dtype_policies.get(self.dtype)
        return keras.Input(shape, dtype=policy.compute_dtype, name=name)

    def trunk(self, x, width: int, told=None):
        """Map [n, s, s, c] to [n, s/8, s/8, 4 width].

        Args:
          x: images.
          width: channels after the first layer.
          told: [n, s/2, s/2, width], added to what the first layer makes of
            the images.
        """
        first_bias = self.normalisation != "batch"
        x = layers.Down(width, **self.options("down1", bias=first_bias))(x)
        if told is not None:
            x = keras.layers.Add(name="hear", dtype=self.dtype)([x, told])
        x = self._activate(x, "down1")
        for name, filters in (("down2", 2 * width), ("down3", 4 * width)):
            x = layers.Down(filters, **self.options(name))(x)
            if self.normalisation == "batch":
                x = self._batch_norm(x, name)
            elif self.normalisation == "instance":
                norm = layers.InstanceNorm(
                    name=f"{name}_norm", dtype=self.dtype
                )
                x = norm(x)
            x = self._activate(x, name)
        return x

    def head(self, x, name: str):
        """Map the trunk's output to one score per image."""
        flat = keras.layers.Flatten(name=f"{name}_flat", dtype=self.dtype)(x)
        return keras.layers.Dense(1, **self.options(name))(flat)

    def paint(self, z, shape, width: int):
        """Map [n, latent] to images of `shape`, (s, s, c), in [-1, 1]."""
        start = shape[0] // 8
        grid = [start, start, 4 * width]
        x = keras.layers.Dense(math.prod(grid), **self.options("stem"))(z)
        x = keras.layers.Reshape(grid, name="grid", dtype=self.dtype)(x)
        x = self._revive(x, "stem")
        for name, filters in (("up1", 2 * width), ("up2", width)):
            x = layers.Up(filters, **self.options(name))(x)
            x = self._revive(x, name)
        last = {"activation": "tanh", **self.options("up3")}
        return layers.Up(shape[-1], **last)(x)

    def mlp(self, name: str, size: int, hidden: int, out: int) -> keras.Model:
        """Return Dense, ReLU, Dense with PyTorch's initial values."""

        def dense(name, fan_in, units):
            bound = 1.0 / math.sqrt(fan_in)
            draw = keras.initializers.RandomUniform(-bound, bound)
            return keras.layers.Dense(
                units,
                kernel_initializer=draw,
                bias_initializer=draw,
                name=name,
                dtype=self.dtype,
            )

        relu = keras.layers.Activation("relu", name="act", dtype=self.dtype)
        x = self.input([size], "seen")
        y = dense("out", hidden, out)(relu(dense("hidden", size, hidden)(x)))
        return keras.Model(x, y, name=name)

    def options(self, name: str, *, bias: bool = False) -> dict:
        """Return the arguments that every layer with a kernel has."""
        draw = keras.initializers.RandomNormal(stddev=0.02)
        if self.normalisation == "selu":
            draw = keras.initializers.VarianceScaling(
                1.0, "fan_in", "untruncated_normal"
            )
        return {
            "name": name,
            "dtype": self.dtype,
            "use_bias": bias,
            "kernel_initializer": draw,
        }

    def _batch_norm(self, x, name: str):
        draw = keras.initializers.RandomNormal(mean=1.0, stddev=0.02)
        norm = layers.BatchNorm(
            gamma_initializer=draw, name=f"{name}_norm", dtype=self.dtype
        )
        return norm(x)

    def _activate(self, x, name: str):
        """Apply D's activation."""
        if self.normalisation == "selu":
            return self._selu(x, name)
        act = layers.LeakyReLU(_SLOPE, name=f"{name}_act", dtype=self.dtype)
        return act(x)

    def _revive(self, x, name: str):
        """Apply G's normalisation and activation."""
        if self.normalisation == "selu":
            return self._selu(x, name)
        act = keras.layers.Activation(
            "relu", name=f"{name}_act", dtype=self.dtype
        )
        return act(self._batch_norm(x, name))

    def _selu(self, x, name: str):
        act = keras.layers.Activation(
            "selu", name=f"{name}_act", dtype=self.dtype
        )
        return act(x)
