"""A pyramid of generators and patch discriminators for a single image.

Every scale has a stack of five 3 x 3 convolutions without padding; the weights
come from whoever trains them, a hypernetwork or an optimiser for one image.
Everything here is a pure function. Batches are [n, m, h, w, C]: n photographs
with a model each, m images of each model.

Source: SinGAN (Shaham et al., 2019); sizes, scaling of weights and the stack
  as in the public program of Meta Internal Learning.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.gan import layers, resampling
from tf_metagan.types import Params

BORDER = 5  # pixels that a stack takes from each side
_SIDE = 3
_DEPTH = 5
_TANH_GAIN = 5.0 / 3.0
_NOISE = 1


class Layer(NamedTuple):
    """One convolution of a stack.

    Attributes:
      name: "conv1" to "conv5".
      inputs: channels.
      outputs: channels.
      gain: factor of the weights beside 1/sqrt(fan-in).
    """

    name: str
    inputs: int
    outputs: int
    gain: float

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return {"kernel": shape, "bias": shape}."""
        kernel = (_SIDE, _SIDE, self.inputs, self.outputs)
        return {"kernel": kernel, "bias": (self.outputs,)}

    def scaled(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the weights that a hypernetwork's raw numbers stand for.

        kernel = raw gain / sqrt(9 inputs), bias = raw / sqrt(inputs).

        Args:
          raw: {"kernel": [n, 9 inputs outputs], "bias": [n, outputs]}.

        Returns:
          {"kernel": [n, 3, 3, inputs, outputs], "bias": [n, outputs]}.
        """
        kernel = tf.reshape(raw["kernel"], [-1, *self.shapes()["kernel"]])
        factor = self.gain / math.sqrt(_SIDE * _SIDE * self.inputs)
        return {
            "kernel": factor * kernel,
            "bias": raw["bias"] / math.sqrt(self.inputs),
        }


Weights = dict[str, dict[str, tf.Tensor]]
"""{layer: {"kernel": [n, 3, 3, c, f], "bias": [n, f]}} of n models.

A layer with "gamma" and "beta", [n, f], in place of the bias normalises every
channel of every image over its pixels.
"""


def stack(channels: int, width: int, *, slope: float, player: str) -> tuple:
    """Return the layers of one scale.

    Args:
      channels: of the image.
      width: channels in between.
      slope: of LeakyReLU, for the gain.
      player: "g", which ends with tanh and an image, or "d", which ends with
        one score per patch.
    """
    gain = math.sqrt(2.0 / (1.0 + slope**2))
    last = (channels, _TANH_GAIN) if player == "g" else (1, 1.0)
    sizes = [channels, *[width] * (_DEPTH - 1), last[0]]
    gains = [*[gain] * (_DEPTH - 1), last[1]]
    return tuple(
        Layer(f"conv{i + 1}", sizes[i], sizes[i + 1], gains[i])
        for i in range(_DEPTH)
    )


def shrink(photographs, size) -> tf.Tensor:
    """Return photographs [n, H, W, C] in the size of a scale, in [-1, 1].

    From the full size, in floating point, by smoothing cubic interpolation.
    """
    small = resampling.resize(photographs, size, resampling.bicubic)
    return tf.clip_by_value(small, -1.0, 1.0)


def noise(seed, shape: Sequence, dtype, *, alike: bool) -> tf.Tensor:
    """Draw N(0, 1).

    Args:
      seed: int64 [2].
      shape: [..., C].
      dtype: floating type.
      alike: whether the channels of a pixel are equal, as in SinGAN's coarsest
        scale.
    """
    *places, channels = shape
    drawn = rng.normal(seed, [*places, 1 if alike else channels], dtype)
    return tf.repeat(drawn, channels, -1) if alike else drawn


def num_scales(params: dict) -> int:
    """Return how many scales {player: {leaf: x}} has weights of G for."""
    found = (re.match(r"scale(\d+)/", leaf) for leaf in params["g"])
    return 1 + max(int(match[1]) for match in found if match)


def layers_of(leaves: Params, prefix: str) -> Weights:
    """Return the leaves "PREFIXlayer/name" as {layer: {name: x}}."""
    found: Weights = {}
    for leaf, x in leaves.items():
        if leaf.startswith(prefix):
            layer, name = leaf.removeprefix(prefix).split("/")
            found.setdefault(layer, {})[name] = x
    return found


class Nets(NamedTuple):
    """The arithmetic of the stacks.

    Attributes:
      convolve: a form of `sample_conv`.
      activate: between convolutions.
      alike: see `noise`, of the coarsest scale.
    """

    convolve: Callable
    activate: Callable
    alike: bool = False

    @property
    def enlarges(self) -> bool:
        """Whether the finest scale can draw an image larger than it was."""
        return True

    def run(self, weights: Weights, images) -> tf.Tensor:
        """Apply a stack to [n, m, h, w, C]; ten pixels less on each axis."""
        alone = weights["conv1"]["kernel"].shape[0] == 1
        x = images[0] if alone else images
        for number in range(1, _DEPTH + 1):
            layer = weights[f"conv{number}"]
            if alone:
                layer = {name: w[0] for name, w in layer.items()}
            x = self._layer(layer, x)
            x = self.activate(x) if number < _DEPTH else x
        return x[tf.newaxis] if alone else x

    def _layer(self, layer: dict[str, tf.Tensor], x) -> tf.Tensor:
        """Apply a layer to [m, h, w, c], or one per model if [n, ...]."""
        if x.shape.rank == 4:
            x = tf.nn.conv2d(x, layer["kernel"], 1, "VALID")
        else:
            x = self.convolve(x, layer["kernel"])
            layer = {
                name: w[:, tf.newaxis, tf.newaxis, tf.newaxis]
                for name, w in layer.items()
                if name != "kernel"
            }
        if "gamma" in layer:
            return layers.normalise(
                x, layer["gamma"], layer["beta"], axes=(-3, -2), epsilon=1e-5
            )
        if x.shape.rank == 4:
            return tf.nn.bias_add(x, layer["bias"])
        return x + layer["bias"]

    def judge(self, weights: Weights, images) -> tf.Tensor:
        """Return the scores [n, m, h - 10, w - 10, 1] of patches."""
        return self.run(weights, images)

    def draw(self, seed, models, size, scale: int, count) -> tf.Tensor:
        """Draw what a scale adds: N(0, 1), for scales above 0 with border.

        Args:
          seed: int64 [2].
          models: weights of every scale.
          size: (h, w) of the scale.
          scale: its number.
          count: of images.

        Returns:
          [count, h, w, C] or [count, h + 10, w + 10, C].
        """
        kernel = models[0]["conv1"]["kernel"]
        border = 2 * BORDER * (scale > 0)
        return noise(
            rng.fold(seed, _NOISE, scale),
            [count, size[0] + border, size[1] + border, kernel.shape[3]],
            kernel.dtype,
            alike=self.alike and scale == 0,
        )

    def rest(self, star, models, sizes, scale: int) -> tf.Tensor | None:
        """Return what a scale adds to the reconstruction: z*, [1, h, w, C].

        None above the coarsest scale, where it is without noise.
        """
        if scale:
            return None
        kernel = models[0]["conv1"]["kernel"]
        shape = [1, *sizes[0], kernel.shape[3]]
        return noise(star, shape, kernel.dtype, alike=self.alike)

    def climb(
        self,
        models,
        sizes,
        noises: Sequence,
        below=None,
        keep: Callable | None = None,
    ) -> tf.Tensor:
        """Return x of the last scale: [n, m, h, w, C].

        Args:
          models: weights of every scale.
          sizes: (h, w) of every scale.
          noises: of the last scales, with amplitude; None for none.
          below: x of the scale before those, if they are not all.
          keep: (scale, x) -> x that is gone on with.
        """
        x = below
        first = len(models) - len(noises)
        for i, added in enumerate(noises, start=first):
            if x is None:
                x = self.begin(models[i], added)
            else:
                x = self.refine(models[i], x, sizes[i], added)
            x = x if keep is None else keep(i, x)
        return x

    def stages(self, models, sizes, rests: Sequence) -> list[tf.Tensor]:
        """Return x of every scale, [1, 1, h, w, C], of one image.

        Args:
          models: weights of every scale.
          sizes: (h, w) of every scale.
          rests: see `rest`.
        """
        found: list[tf.Tensor] = []

        def note(scale: int, x):
            found.append(x)
            return x

        noises = [None if z is None else z[tf.newaxis] for z in rests]
        self.climb(models, sizes, noises, keep=note)
        return found

    def guess(self, models, sizes, noises: Sequence) -> tf.Tensor:
        """Return what comes from below the last scale, in its size."""
        below = self.climb(models[:-1], sizes[:-1], noises[:-1])
        return resampling.resize(below, sizes[len(models) - 1])

    def inject(self, models, sizes, images, scale: int) -> tf.Tensor:
        """Draw images [n, H, W, C] again from a scale on, without noise."""
        small = shrink(images, sizes[scale - 1])[tf.newaxis]
        silent = [None] * (len(models) - scale)
        return self.climb(models, sizes, silent, below=small)

    def begin(self, weights: Weights, z) -> tf.Tensor:
        """Return x_0 = G_0(pad(z)), of the size of z [n, m, h, w, C]."""
        return tf.tanh(self.run(weights, _pad(z)))

    def refine(self, weights: Weights, below, size, noise=None) -> tf.Tensor:
        """Return x_i = u + G_i(pad(u) + noise), u = x_{i-1} enlarged.

        Args:
          weights: of scale i.
          below: x_{i-1}, [n, m, h', w', C].
          size: (h, w) of scale i.
          noise: [n, m, h + 10, w + 10, C], amplitude included; None for none.
        """
        u = resampling.resize(below, size)
        padded = _pad(u)
        if noise is not None:
            padded += noise
        return u + tf.tanh(self.run(weights, padded))


def _pad(images):
    return tf.pad(images, [[0, 0], [0, 0], *[[BORDER, BORDER]] * 2, [0, 0]])
