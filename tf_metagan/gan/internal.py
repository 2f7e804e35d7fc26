"""The game of internal learning: a photograph is a task, its patches the data.

Each player is a hypernetwork: an embedding of the photograph and a linear head
for every weight tensor of a pyramid of patch GANs. Nothing is adapted by
steps: to remember a photograph is to embed it and to project its weights.

Source: Meta Internal Learning (Bensadoun et al., 2021), and its public program
where the paper is silent.
"""

import functools

import keras
import tensorflow as tf

from tf_metagan.core import functional
from tf_metagan.gan import (
    finetuning,
    hypernetwork,
    layers,
    pyramid,
    sample_conv,
    scale_sizes,
)
from tf_metagan.gan.game import Game
from tf_metagan.gan.losses import Loss
from tf_metagan.gan.penalties import Penalty
from tf_metagan.gan.pyramid_game import PyramidGame
from tf_metagan.types import Vars

_SLOPE = 0.02


def pyramid_game(
    networks: dict[str, keras.Model],
    *,
    loss: Loss,
    penalty: Penalty,
    image_size: int,
    width: int,
    smallest_size: int,
    scale_factor: float,
    pyramid_sizes: str,
    head_rank: int | None,
    head_hidden: int,
    reconstruction_weight: float,
    noise_amplitude: str,
    convolution: str,
) -> Game:
    """Make the game of two hypernetworks.

    For the losses see `pyramid_game`; D and G are those that the hypernetworks
    make of a photograph. The scale is the newest one that G has heads for;
    `grow` adds a copy of them, `learned` leaves out those of older scales. D
    has one set of heads.

    Args:
      networks: {"d", "g": [n, E, E, C] -> [n, features]}, the embeddings, or
        those of `hypernetwork.Hypernetworks`; E is the size to which
        photographs are brought for them, whatever their aspect.
      loss: what the scores of patches mean to each player.
      penalty: added to D's loss.
      image_size: width of photographs in pixels; they may have any height.
      width: channels inside the stacks.
      smallest_size, scale_factor, pyramid_sizes: see `scale_sizes.widths`.
      head_rank, head_hidden: see `heads.init`.
      reconstruction_weight: of the squared error in G's loss.
      noise_amplitude: of scale i >= 1. "moving_average": of the root mean
        square error of reconstructions in training; "last_batch_as_published":
        that of the last batch; "at_start": a tenth of the error with which the
        scale begins; "constant": 1.
      convolution: see `sample_conv.choose`.

    Returns:
      A Game with players "d", "g" and those of `networks`, and a phase per
      scale. `real` is a batch of photographs of one size, each a task of its
      own; a seed may be [n, 2], one for each.

    Raises:
      ValueError: sizes that make no pyramid.
    """
    some = next(iter(networks.values()))
    channels = some.input_shape[-1]
    weights = hypernetwork.Hypernetworks(
        nets={p: functional.from_keras(net) for p, net in networks.items()},
        embedded=some.input_shape[1:3],
        features=some.output_shape[-1],
        stacks={
            p: pyramid.stack(channels, width, slope=_SLOPE, player=p)
            for p in ("d", "g")
        },
        rank=head_rank,
        hidden=head_hidden,
    )
    game = PyramidGame(
        weights=weights,
        channels=channels,
        widths=scale_sizes.widths(
            image_size,
            smallest_size=smallest_size,
            scale_factor=scale_factor,
            pyramid_sizes=pyramid_sizes,
        ),
        loss=loss,
        penalty=penalty,
        reconstruction_weight=reconstruction_weight,
        amplitude=noise_amplitude,
        arithmetic=pyramid.Nets(
            sample_conv.choose(convolution),
            lambda x: layers.leaky_relu(x, _SLOPE),
        ),
    )
    return game.as_game()._replace(
        players=tuple(dict.fromkeys(("d", "g", *networks))),
        order=weights.order,
        blend=functools.partial(_blend, game),
        alone=functools.partial(finetuning.alone, game),
    )


def _blend(game: PyramidGame, vars: Vars, photographs, shares) -> Vars:
    models = game.weights.blended(vars, photographs, shares)
    return game.keep(vars, models, tf.shape(photographs[0])[0])
