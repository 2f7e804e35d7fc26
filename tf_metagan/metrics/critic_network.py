"""The critic's network: a small residual network that knows the classes."""

from collections.abc import Sequence

import keras
import numpy as np

_MOMENTUM = 0.95  # of the running statistics, per batch
_STRIDES = (1, 2, 2, 1)
_SMALLEST = 8


def build(
    *,
    num_classes: int,
    image_size: int,
    channels: int,
    widths: Sequence[int],
    dropout: float,
    seed: int = 0,
) -> keras.Model:
    """Build a residual network of four blocks.

    A convolution of stride 2, four blocks of two convolutions each, of which
    the second and third halve the sides, the average over places, Dense. At 32
    pixels and the widths 32, 64, 128, 128 an image takes 33 MFLOP.

    Args:
      num_classes: columns of the logits.
      image_size: height and width, a multiple of 8.
      channels: 1 or 3.
      widths: channels of the four blocks.
      dropout: share of the features that training leaves out, in [0, 1).
      seed: of the initial weights.

    Returns:
      Model, [n, H, W, C] in [-1, 1] -> (features [n, widths[-1]], logits [n,
      num_classes]). Its layers have names of their own, so that a second
      model has the same paths of variables.

    Raises:
      ValueError: another number of widths, or a side that does not fit.

    Source: He et al. (2016) for the blocks; the number of blocks is that of
      the critic of MAML-GAN, whose widths are not published; widths are ours.
    """
    if len(widths) != len(_STRIDES):
        raise ValueError(
            f"--widths came with {len(widths)} numbers; expected one for each "
            f"of the {len(_STRIDES)} blocks, such as --widths=32,64,128,128."
        )
    if image_size % _SMALLEST:
        raise ValueError(
            f"--image_size={image_size} does not fit the critic; expected a "
            f"multiple of {_SMALLEST}, since its sides are halved three times."
        )
    net = _Builder(np.random.default_rng([seed]))
    inputs = keras.Input((image_size, image_size, channels), name="images")
    # Dark ground is 0, like the frame that convolutions add.
    x = keras.layers.Rescaling(0.5, 0.5, name="ink")(inputs)
    x = net.convolve(x, "stem", widths[0], size=5, stride=2)
    x = keras.layers.ReLU(name="stem_relu")(x)
    for number, (width, stride) in enumerate(
        zip(widths, _STRIDES, strict=True), start=1
    ):
        x = net.block(x, f"block{number}", width, stride)
    features = keras.layers.GlobalAveragePooling2D(name="features")(x)
    x = keras.layers.Dropout(dropout, seed=net.seed(), name="dropout")(features)
    logits = keras.layers.Dense(
        num_classes,
        kernel_initializer=keras.initializers.GlorotUniform(net.seed()),
        name="logits",
    )(x)
    return keras.Model(inputs, [features, logits], name="critic")


def first_columns(model: keras.Model, num_classes: int) -> keras.Model:
    """Return the network without the logits from `num_classes` on.

    Args:
      model: what `build` returned.
      num_classes: columns to keep.

    Returns:
      A model with the same weights otherwise, also if none is left out.
    """
    features, logits = model.outputs
    if logits.shape[-1] == num_classes:
        return model
    last = keras.layers.Dense(num_classes, name="logits")
    kept = keras.Model(
        model.input,
        [features, last(model.get_layer("dropout").output)],
        name=model.name,
    )
    weights = model.get_layer("logits").get_weights()
    last.set_weights([value[..., :num_classes] for value in weights])
    return kept


class _Builder:
    """Adds layers whose initial weights follow from one seed."""

    def __init__(self, generator: np.random.Generator):
        self._generator = generator

    def seed(self) -> int:
        return int(self._generator.integers(2**31))

    def convolve(self, x, name: str, width: int, *, size: int, stride: int):
        x = keras.layers.Conv2D(
            width,
            size,
            stride,
            padding="same",
            use_bias=False,
            kernel_initializer=keras.initializers.HeNormal(self.seed()),
            name=f"{name}_conv",
        )(x)
        return keras.layers.BatchNormalization(
            momentum=_MOMENTUM, name=f"{name}_norm"
        )(x)

    def block(self, x, name: str, width: int, stride: int):
        y = self.convolve(x, f"{name}_a", width, size=3, stride=stride)
        y = keras.layers.ReLU(name=f"{name}_a_relu")(y)
        y = self.convolve(y, f"{name}_b", width, size=3, stride=1)
        if stride > 1:
            x = keras.layers.AveragePooling2D(stride, name=f"{name}_pool")(x)
        if x.shape[-1] != width:
            x = self.convolve(x, f"{name}_short", width, size=1, stride=1)
        x = keras.layers.Add(name=f"{name}_add")([x, y])
        return keras.layers.ReLU(name=f"{name}_relu")(x)
