"""The GAN of one photograph: the game of a pyramid with weights of its own.

Source: SinGAN (Shaham et al., 2019) and its public program.
Differs: z* stays as it was drawn, as in the paper; the program draws another
  one at every step of the coarsest scale. Batch norm over one image takes the
  statistics of that image at all scales and at all times; the program has
  running averages in the scales that no longer learn. Images are enlarged by
  linear interpolation; cubic there. Above the coarsest scale the border of
  five pixels has noise too; zeros there.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from tf_metagan.core import rng
from tf_metagan.gan import (
    layers,
    pyramid,
    resampling,
    sample_conv,
    scale_sizes,
)
from tf_metagan.gan.game import Game
from tf_metagan.gan.losses import Loss
from tf_metagan.gan.penalties import Penalty
from tf_metagan.gan.pyramid_game import PyramidGame
from tf_metagan.types import Params, Vars

_SLOPE = 0.2
_DEVIATION = 0.02  # of weights at the start
_SCALES_OF_A_WIDTH, _WIDEST = 4, 4
_ROOT, _GLANCE = "root", "photograph"
_SIDE = 16  # of the copy by which the photograph is known again
_TOLERANCE = 0.05  # of it, in a range of 2; two photographs are 0.3 apart
PLAYERS = ("d", "g")


def singan_game(
    networks: dict,
    *,
    loss: Loss,
    penalty: Penalty,
    image_size: int,
    channels: int,
    width: int,
    smallest_size: int,
    scale_factor: float,
    pyramid_sizes: str,
    reconstruction_weight: float,
    noise_amplitude: str,
    dtype: str = "float32",
) -> Game:
    """Make the game of one photograph.

    For the losses see `pyramid_game`. The stacks have batch norm after all
    convolutions but the last. A scale begins with the weights of the one below,
    of D as of G, unless it is wider; older scales of G do not learn, older ones
    of D are not kept.

    Args:
      networks: none; the stacks are all there is.
      loss: what the scores of patches mean to each player.
      penalty: added to D's loss.
      image_size: width of the photograph in pixels; it may have any height.
      channels: of the photograph.
      width: channels inside the stacks of the coarsest scales; doubled every
        four scales up to four times as many.
      smallest_size, scale_factor, pyramid_sizes: see `scale_sizes.widths`.
      reconstruction_weight: of the squared error in G's loss.
      noise_amplitude: see `internal.pyramid_game`.
      dtype: of the weights.

    Returns:
      A Game with players ("d", "g") and a phase per scale. `real` is a batch
      of the one photograph.

    Raises:
      ValueError: sizes that make no pyramid.
    """
    del networks
    widths = scale_sizes.widths(
        image_size,
        smallest_size=smallest_size,
        scale_factor=scale_factor,
        pyramid_sizes=pyramid_sizes,
    )
    game = PyramidGame(
        weights=OwnWeights(channels, width, tf.as_dtype(dtype)),
        channels=channels,
        widths=widths,
        loss=loss,
        penalty=penalty,
        reconstruction_weight=reconstruction_weight,
        amplitude=noise_amplitude,
        arithmetic=pyramid.Nets(
            sample_conv.loop, lambda x: layers.leaky_relu(x, _SLOPE), alike=True
        ),
    ).as_game()
    return game._replace(knows=knows)


def knows(vars: Vars, photograph) -> bool:
    """Tell whether a photograph [H, W, C] is the one that was trained on."""
    own = vars.state["g"][_GLANCE]
    other = resampling.resize(tf.cast(photograph, own.dtype), own.shape[:2])
    return bool(tf.reduce_mean(tf.abs(own - other)) < _TOLERANCE)


class OwnWeights(NamedTuple):
    """Weights that are what is learned; see `pyramid_game.Players`.

    Attributes:
      channels: of the photograph.
      width: of the coarsest scale, see `singan_game`.
      dtype: of the weights.
    """

    channels: int
    width: int
    dtype: tf.DType

    def init(self, seed: int) -> Vars:
        """Draw the weights of the coarsest scale."""
        root = rng.fold(rng.make_seed(seed), 0)
        params = {p: self._drawn(root, p, 0) for p in PLAYERS}
        blank = tf.zeros([1, _SIDE, _SIDE, self.channels], self.dtype)
        state = {"d": {}, "g": {_ROOT: root, **glance(blank)}}
        return Vars(params, state, {})

    def grow(self, vars: Vars) -> Vars:
        """Add a scale that begins with the weights of the one below."""
        scale = pyramid.num_scales(vars.params)
        root = vars.state["g"][_ROOT]
        params = {}
        for p, leaves in vars.params.items():
            copies = {
                _prefix(scale) + leaf.removeprefix(_prefix(scale - 1)): x
                for leaf, x in leaves.items()
                if leaf.startswith(_prefix(scale - 1))
            }
            if self._width(scale) != self._width(scale - 1):
                copies = self._drawn(root, p, scale)
            kept = leaves if p == "g" else {}
            params[p] = kept | {x: tf.identity(w) for x, w in copies.items()}
        return vars._replace(params=params)

    def learned(self, params: dict) -> dict:
        """Return the leaves of the newest scale."""
        newest = _prefix(pyramid.num_scales(params) - 1)
        return {
            p: {x: w for x, w in leaves.items() if x.startswith(newest)}
            for p, leaves in params.items()
        }

    def models(
        self, vars: Vars, player: str, photographs, *, training: bool
    ) -> tuple[list[pyramid.Weights], dict[str, Params]]:
        """Return the weights of n = 1; training notes the photograph."""
        count = pyramid.num_scales(vars.params)
        leaves = {
            leaf: x[tf.newaxis] for leaf, x in vars.params[player].items()
        }
        scales = range(count) if player == "g" else (count - 1,)
        models = [pyramid.layers_of(leaves, _prefix(i)) for i in scales]
        if player == "d" or not training:
            return models, {}
        return models, {"g": glance(photographs)}

    def moving(self, models: list[pyramid.Weights]) -> list[pyramid.Weights]:
        """Return the newest scale of `models`."""
        return models[-1:]

    def _width(self, scale: int) -> int:
        return self.width * min(2 ** (scale // _SCALES_OF_A_WIDTH), _WIDEST)

    def _drawn(self, root, player: str, scale: int) -> Params:
        """Draw a stack, all layers of which but the last normalise."""
        drawn: Params = {}
        stack = pyramid.stack(
            self.channels, self._width(scale), slope=_SLOPE, player=player
        )
        for number, layer in enumerate(stack):
            key = rng.fold(root, PLAYERS.index(player), scale, number)
            leaves = draw_layer(
                key, layer, self.dtype, norm=layer is not stack[-1]
            )
            name = _prefix(scale) + layer.name
            drawn |= {f"{name}/{leaf}": x for leaf, x in leaves.items()}
        return drawn


def draw_layer(
    key, layer: pyramid.Layer, dtype: tf.DType, *, norm: bool
) -> Params:
    """Draw a convolution: its kernel N(0, 0.02).

    With a norm, gamma N(1, 0.02) and beta 0; else a constant that is uniform in
    +-1/sqrt(fan-in).

    Args:
      key: int64 [2], seed.
      layer: its channels.
      dtype: of the weights.
      norm: whether the layer normalises.
    """

    def normal(place, shape):
        return _DEVIATION * rng.normal(rng.fold(key, place), shape, dtype)

    shape = layer.shapes()["kernel"]
    drawn = {"kernel": normal(0, shape)}
    if norm:
        drawn["gamma"] = 1.0 + normal(1, [layer.outputs])
        drawn["beta"] = tf.zeros([layer.outputs], dtype)
        return drawn
    bound = 1.0 / math.sqrt(math.prod(shape[:-1]))
    uniform = rng.uniform(rng.fold(key, 1), [layer.outputs], dtype)
    drawn["bias"] = bound * (2.0 * uniform - 1.0)
    return drawn


def glance(photographs) -> Params:
    """Return the state by which the first of photographs is known again."""
    small = resampling.resize(photographs[0], (_SIDE, _SIDE))
    return {_GLANCE: small}


def _prefix(scale: int) -> str:
    return f"scale{scale}/"
