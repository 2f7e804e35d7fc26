"""Embeddings of photographs: the bodies of the hypernetworks of --game=pyramid.

The stacks of the pyramid are no networks of their own: their weights are made
by heads on these embeddings (gan/internal.py).

Source: ResNet of He et al. (2016) as in torchvision, without its classifier,
  and a linear layer after the average over places, as in the public program
  of Meta Internal Learning. The small one is ours.
"""

from typing import NamedTuple

import keras

_BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}
_GROUPS = 8
_WHO_EMBEDS = {
    "paired": ("d", "g"),
    "shared_embedding": ("e",),
    "shared_d": ("g",),
}


class _Shape(NamedTuple):
    """A ResNet of basic blocks.

    Attributes:
      blocks: in each of the four parts, every one but the first halving sizes.
      widths: channels in each part.
      stem: side of the first convolution.
      batch_norm: or else group norm, which knows one photograph only.
    """

    blocks: tuple[int, ...]
    widths: tuple[int, ...]
    stem: int
    batch_norm: bool


_SHAPES = {
    "resnet34": _Shape((3, 4, 6, 3), (64, 128, 256, 512), 7, True),
    "resnet18": _Shape((2, 2, 2, 2), (64, 128, 256, 512), 7, True),
    "small": _Shape((1, 1, 1, 1), (16, 32, 64, 128), 3, False),
}


def build(
    *,
    channels: int,
    embedding: str,
    embedding_size: int,
    features: int,
    hypernetworks: str = "paired",
    dtype="float32",
) -> dict[str, keras.Model]:
    """Build the embeddings.

    Args:
      channels: of the photographs.
      embedding: "resnet34", "resnet18", or "small": four blocks of 16 to 128
        channels with group norm.
      embedding_size: E, height and width to which photographs are brought.
      features: numbers that the heads are given.
      hypernetworks: "paired" for one embedding each of D and G,
        "shared_embedding" for one of both, "shared_d" for one of G.
      dtype: Keras dtype or policy of every layer.

    Returns:
      {"d", "g": [n, E, E, channels] -> [n, features]}; {"e"} if shared, {"g"}
      where D has none.

    Raises:
      ValueError: embedding_size is too small for five halvings.
    """
    if embedding_size < 32:
        raise ValueError(
            f"--embedding_size={embedding_size} vanishes in five halvings; "
            "expected at least 32. Use --embedding_size=32."
        )
    image = (embedding_size, embedding_size, channels)
    return {
        player: _Builder(_SHAPES[embedding], dtype).build(
            image, features, player
        )
        for player in _WHO_EMBEDS[hypernetworks]
    }


class _Builder:
    """Layers of one shape and dtype."""

    def __init__(self, shape: _Shape, dtype):
        self.shape = shape
        self.dtype = dtype

    def build(self, image, features: int, name: str) -> keras.Model:
        shape = self.shape
        input_dtype = keras.dtype_policies.get(self.dtype).compute_dtype
        photograph = keras.Input(image, dtype=input_dtype, name="photograph")
        x = self.conv(photograph, shape.widths[0], "stem", shape.stem, 2)
        x = self.relu(self.norm(x, "stem_norm"), "stem_relu")
        x = self.margin(x, 1, "stem_pool_pad")  # no image is below 0 here
        pool = keras.layers.MaxPooling2D(
            3, 2, name="stem_pool", dtype=self.dtype
        )
        x = pool(x)
        for part, (count, width) in enumerate(
            zip(shape.blocks, shape.widths, strict=True), start=1
        ):
            for block in range(1, count + 1):
                stride = 2 if part > 1 and block == 1 else 1
                x = self.block(x, width, stride, f"part{part}_block{block}")
        average = keras.layers.GlobalAveragePooling2D(
            name="average", dtype=self.dtype
        )
        uniform = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        last = keras.layers.Dense(
            features,
            kernel_initializer=uniform,
            bias_initializer=keras.initializers.RandomUniform(
                -(shape.widths[-1] ** -0.5), shape.widths[-1] ** -0.5
            ),
            name="features",
            dtype=self.dtype,
        )
        return keras.Model(photograph, last(average(x)), name=name)

    def block(self, x, width: int, stride: int, name: str):
        """Two convolutions beside a short cut, which fits sizes if need be."""
        y = self.conv(x, width, f"{name}_conv1", 3, stride)
        y = self.relu(self.norm(y, f"{name}_norm1"), f"{name}_relu1")
        y = self.norm(self.conv(y, width, f"{name}_conv2"), f"{name}_norm2")
        if stride > 1 or x.shape[-1] != width:
            x = self.conv(x, width, f"{name}_short", 1, stride)
            x = self.norm(x, f"{name}_short_norm")
        add = keras.layers.Add(name=f"{name}_add", dtype=self.dtype)
        return self.relu(add([x, y]), f"{name}_relu2")

    def margin(self, x, pixels: int, name: str):
        """Add zeros on all sides; "same" has fewer on two where it halves."""
        layer = keras.layers.ZeroPadding2D(pixels, name=name, dtype=self.dtype)
        return layer(x)

    def conv(self, x, filters: int, name: str, side: int = 3, stride: int = 1):
        if side > 1:
            x = self.margin(x, side // 2, f"{name}_pad")
        return keras.layers.Conv2D(
            filters,
            side,
            stride,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_out", "untruncated_normal"
            ),
            name=name,
            dtype=self.dtype,
        )(x)

    def norm(self, x, name: str):
        if self.shape.batch_norm:
            layer = keras.layers.BatchNormalization(
                **_BATCH_NORM, name=name, dtype=self.dtype
            )
        else:
            layer = keras.layers.GroupNormalization(
                _GROUPS, name=name, dtype=self.dtype
            )
        return layer(x)

    def relu(self, x, name: str):
        return keras.layers.ReLU(name=name, dtype=self.dtype)(x)
