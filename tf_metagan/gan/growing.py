"""One generator that grows: the game of ConSinGAN.

Its stages pass on features rather than images. A new stage is a copy of the one
before, and the newest ones learn together, older ones more slowly.

Source: ConSinGAN (Hinz et al., 2021) and its public program, for generation.
Differs: features are enlarged by linear interpolation; cubic there.
"""

from typing import NamedTuple

import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.gan import (
    layers,
    pyramid,
    resampling,
    sample_conv,
    scale_sizes,
    singan,
)
from tf_metagan.gan.game import Game
from tf_metagan.gan.losses import Loss
from tf_metagan.gan.penalties import Penalty
from tf_metagan.gan.pyramid_game import PyramidGame
from tf_metagan.types import Params, Vars

_SLOPE = 0.05
_DEPTH = 3  # convolutions of a stage
_ROOT = "root"
_NOISE = 1


def growing_game(
    networks: dict,
    *,
    loss: Loss,
    penalty: Penalty,
    image_size: int,
    channels: int,
    width: int,
    smallest_size: int,
    stages: int,
    trained_stages: int,
    stage_rate: float,
    reconstruction_weight: float,
    noise_amplitude: str,
    dtype: str = "float32",
) -> Game:
    """Make the game of one photograph and a growing generator.

    For the losses see `pyramid_game`. The reconstruction begins with the
    photograph itself at the coarsest stage, and with fixed noise above.

    Args:
      networks: none; the stacks are all there is.
      loss: what the scores of patches mean to each player.
      penalty: added to D's loss.
      image_size: width of the photograph in pixels; it may have any height.
      channels: of the photograph.
      width: channels of the features.
      smallest_size, stages: see `scale_sizes.dense_widths`.
      trained_stages: the newest ones that learn; with them the last layer, and
        the first one as long as all stages do.
      stage_rate: factor of the step size from a stage to the one below.
      reconstruction_weight: of the squared error in G's loss.
      noise_amplitude: see `internal.pyramid_game`.
      dtype: of the weights.

    Returns:
      A Game with players ("d", "g") and a phase per stage.

    Raises:
      ValueError: sizes that make no pyramid.
    """
    del networks
    widths = scale_sizes.dense_widths(
        image_size, smallest_size=smallest_size, stages=stages
    )
    weights = GrowingWeights(
        channels=channels,
        width=width,
        widths=widths,
        trained=trained_stages,
        rate=stage_rate,
        dtype=tf.as_dtype(dtype),
    )
    game = PyramidGame(
        weights=weights,
        channels=channels,
        widths=widths,
        loss=loss,
        penalty=penalty,
        reconstruction_weight=reconstruction_weight,
        amplitude=noise_amplitude,
        arithmetic=Nets(),
    ).as_game()
    return game._replace(knows=singan.knows, rates=weights.rates)


class GrowingWeights(NamedTuple):
    """Weights that are what is learned; see `pyramid_game.Players`.

    Attributes:
      channels: of the photograph.
      width: channels of the features.
      widths: of the stages, coarse to fine.
      trained, rate: see `growing_game`.
      dtype: of the weights.
    """

    channels: int
    width: int
    widths: tuple[int, ...]
    trained: int
    rate: float
    dtype: tf.DType

    def init(self, seed: int) -> Vars:
        """Draw the first layer, one stage and the last layer; and D."""
        root = rng.fold(rng.make_seed(seed), 0)
        stack = pyramid.stack(
            self.channels, self.width, slope=_SLOPE, player="d"
        )
        params = {
            "d": self._drawn(root, 0, {f"scale0/{x.name}": x for x in stack}),
            "g": self._drawn(root, 1, self._generator()),
        }
        blank = tf.zeros([1, 1, 1, self.channels], self.dtype)
        state = {"d": {}, "g": {_ROOT: root, **singan.glance(blank)}}
        return Vars(params, state, {})

    def grow(self, vars: Vars) -> Vars:
        """Add a stage that is a copy of the newest; D goes on as it is."""
        count = pyramid.num_scales(vars.params)
        old, new = f"scale{count - 1}/", f"scale{count}/"
        params = {}
        for p, leaves in vars.params.items():
            copies = {
                new + leaf.removeprefix(old): tf.identity(x)
                for leaf, x in leaves.items()
                if leaf.startswith(old)
            }
            params[p] = copies if p == "d" else leaves | copies
        return vars._replace(params=params)

    def learned(self, params: dict) -> dict:
        """Return all of D, the newest stages of G and its outer layers."""
        slow = self._depths(params)
        return {
            "d": params["d"],
            "g": {x: w for x, w in params["g"].items() if x in slow},
        }

    def rates(self, params: dict) -> dict:
        """Return the factor of the step size of every leaf that is slow."""
        slow = self._depths(params)
        return {"g": {x: self.rate**n for x, n in slow.items() if n}}

    def models(
        self, vars: Vars, player: str, photographs, *, training: bool
    ) -> tuple[list[pyramid.Weights], dict[str, Params]]:
        """Return the weights of n = 1; G's know the small photograph."""
        count = pyramid.num_scales(vars.params)
        leaves = {
            leaf: x[tf.newaxis] for leaf, x in vars.params[player].items()
        }
        if player == "d":
            return [pyramid.layers_of(leaves, f"scale{count - 1}/")], {}
        models = [pyramid.layers_of(leaves, f"scale{i}/") for i in range(count)]
        height = photographs.shape[1]
        if height is None:
            height = tf.shape(photographs)[1]
        smallest = scale_sizes.sizes(height, self.widths)[0]
        start = pyramid.shrink(photographs, smallest)
        outer = pyramid.layers_of(leaves, "outer/")
        models[0] |= {"head": outer["head"], "start": {"image": start}}
        models[-1] |= {"tail": outer["tail"]}
        noted = {"g": singan.glance(photographs)} if training else {}
        return models, noted

    def moving(self, models: list[pyramid.Weights]) -> list[pyramid.Weights]:
        """Return the newest stages of `models`, and what goes with them."""
        found = [
            {name: w for name, w in stage.items() if name.startswith("conv")}
            for stage in models[-self.trained :]
        ]
        outer = {**models[0], **models[-1]}
        names = {"tail"} | ({"head"} if len(models) <= self.trained else set())
        return [*found, {name: outer[name] for name in names & set(outer)}]

    def _generator(self) -> dict[str, pyramid.Layer]:
        c, w = self.channels, self.width
        stage = {
            f"scale0/conv{i + 1}": pyramid.Layer(f"conv{i + 1}", w, w, 1.0)
            for i in range(_DEPTH)
        }
        return {
            "outer/head": pyramid.Layer("head", c, w, 1.0),
            "outer/tail": pyramid.Layer("tail", w, c, 1.0),
            **stage,
        }

    def _drawn(self, root, player: int, stack: dict) -> Params:
        drawn: Params = {}
        for number, (name, layer) in enumerate(stack.items()):
            key = rng.fold(root, player, number)
            leaves = singan.draw_layer(key, layer, self.dtype, norm=False)
            drawn |= {f"{name}/{leaf}": x for leaf, x in leaves.items()}
        return drawn

    def _depths(self, params: dict) -> dict[str, int]:
        """Return how far below the newest stage each learning leaf of G is."""
        newest = pyramid.num_scales(params) - 1
        depths = {}
        for leaf in params["g"]:
            part, layer, _ = leaf.split("/")
            if part == "outer":
                depth = newest if layer == "head" else 0
            else:
                depth = newest - int(part.removeprefix("scale"))
            if depth < self.trained:
                depths[leaf] = depth
        return depths


class Nets(NamedTuple):
    """The arithmetic of the growing generator; see `pyramid.Nets`.

    Stage i of features f with u = f enlarged to its size, and U to six pixels
    more on each axis, which the three convolutions take away again:

      f_0 = G_0(pad(head(pad(z)) enlarged by two)),  f_i = u + G_i(U + noise)
      x = tanh(tail(pad(f)))

    Weights are those of one model, n = 1. It has no scale of its own by which
    an image could be enlarged.
    """

    @property
    def enlarges(self) -> bool:
        """See `pyramid.Nets`."""
        return False

    @property
    def convolve(self):
        """Return the convolution of one model after the other."""
        return sample_conv.loop

    def judge(self, weights: pyramid.Weights, images) -> tf.Tensor:
        """Return the scores of patches by D's stack, which has no norm."""
        nets = pyramid.Nets(self.convolve, _activate)
        return nets.judge(weights, images)

    def draw(self, seed, models, size, scale: int, count) -> tf.Tensor:
        """Draw [count, h, w, C], and features [count, h + 6, w + 6, c]."""
        border = 2 * _DEPTH * (scale > 0)
        layer = models[0]["conv1" if scale else "head"]
        shape = [count, size[0] + border, size[1] + border]
        seed = rng.fold(seed, _NOISE, scale)
        kernel = layer["kernel"]
        return rng.normal(seed, [*shape, kernel.shape[3]], kernel.dtype)

    def rest(self, star, models, sizes, scale: int) -> tf.Tensor:
        """Return the small photograph, or the fixed noise of a later stage."""
        if scale == 0:
            start = models[0]["start"]["image"]
            return tf.ensure_shape(
                resampling.resize(start, sizes[0]),
                [1, None, None, start.shape[3]],
            )
        return self.draw(star, models, sizes[scale], scale, 1)

    def climb(self, models, sizes, noises) -> tf.Tensor:
        """Return x of the last stage, [1, m, h, w, C]; see `pyramid.Nets`."""
        f = _activate(_conv(models[0]["head"], _pad(noises[0][0])))
        for i, (weights, size, noise) in enumerate(
            zip(models, sizes, noises, strict=False)
        ):
            margin = 2 * _DEPTH if i else 2
            wide = (size[0] + margin, size[1] + margin)
            enlarged = resampling.resize(f, wide)
            enlarged = enlarged if i else _pad(enlarged, _DEPTH - 1)
            if i and noise is not None:
                enlarged += noise[0]
            for number in range(1, _DEPTH + 1):
                layer = weights[f"conv{number}"]
                enlarged = _activate(_conv(layer, enlarged))
            u = resampling.resize(f, size) if i else 0.0
            f = u + enlarged
        tail = models[-1]["tail"]
        return tf.tanh(_conv(tail, _pad(f)))[tf.newaxis]

    def guess(self, models, sizes, noises) -> tf.Tensor:
        """Return x of the last stage without its noise."""
        return self.climb(models, sizes, [*noises[:-1], None])

    def inject(self, models, sizes, images, scale: int) -> tf.Tensor:
        """Draw images [n, H, W, C] from the coarsest stage on, no noise."""
        del scale
        start = pyramid.shrink(images, sizes[0])[tf.newaxis]
        return self.climb(models, sizes, [start, *[None] * (len(models) - 1)])


def _activate(x) -> tf.Tensor:
    return layers.leaky_relu(x, _SLOPE)


def _conv(layer: dict[str, tf.Tensor], x) -> tf.Tensor:
    """Convolve [m, h, w, c] by the one model of a layer."""
    x = tf.nn.conv2d(x, layer["kernel"][0], 1, "VALID")
    return tf.nn.bias_add(x, layer["bias"][0])


def _pad(x, border: int = 1) -> tf.Tensor:
    return tf.pad(x, [[0, 0], *[[border, border]] * 2, [0, 0]])
