"""What a GAN is: players, each with its own loss over the same weights."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_metagan.core import functional, rng
from tf_metagan.types import Params, Vars


class Outcome(NamedTuple):
    """What one evaluation of a game yields.

    Attributes:
      loss: {player: scalar}, what each player minimises. With gradients, of
        the players that were asked for and of others that cost nothing more.
      state: {player: {leaf: value}} after the forward passes.
      metrics: {name: scalar} to be logged.
      terms: {name: scalar}, what the losses are made of, where players share
        parts and so can share their derivatives; else None.
      mix: {player: {name of a term: factor}}; loss[p] is the sum of factor *
        term. None with `terms`.
    """

    loss: dict[str, tf.Tensor]
    state: dict[str, Params]
    metrics: dict[str, tf.Tensor]
    terms: dict[str, tf.Tensor] | None = None
    mix: dict[str, dict[str, float]] | None = None


class Game(NamedTuple):
    """A set of players and pure functions over their weights.

    Attributes:
      players: names, in no particular order of moves.
      init: (seed: int) -> Vars, freshly drawn weights.
      losses: (vars, real, others, seed) -> Outcome.
      gradients: (vars, real, others, seed, wrt) -> ({player: {leaf: gradient}},
        Outcome): the gradient of each player's own loss with respect to the
        leaves `wrt[player]` of that player; players absent from `wrt` are
        constants. Same values as differentiating `losses`, with shared work.
      sample: (vars, seed, n) -> images [n, H, W, C] in [-1, 1].
      metrics: names of the metrics of an Outcome.
      remember: (vars, support) -> Vars that also hold what `sample` needs of
        the support images [batches, n, H, W, C]; the inner loop ends with it.
      wants_others: whether the losses make use of `others` in training.
      adapts_with_others: whether the inner loop makes use of them as well;
        otherwise they are for the outer loss only, since who adapts a trained
        model has none.
      least_images: real images that a step of adaptation must have to teach
        anything.
      order: who moves in an inner step, one entry after the other; the players
        of one entry move together, players of none do not move.
      told: (vars, label) -> Vars that also hold what the players are told of a
        training task's class id, an int64 scalar; an adapted class has none.
      stocks: images of meta-train classes that the game keeps, for adaptation
        by those who have no images of others.
      stock: (vars, images) -> Vars that keep them: uint8 [stocks, H, W, C].
      model: (vars) -> `single_image.Model` of the remembered photograph; None
        for games that remember none.
      phases: parts of training, in each of which there may be more weights
        than before; see `algorithms.base.Algorithm.phases`.
      grow: (vars) -> Vars with which the next phase begins.
      learned: (params) -> those that the present phase learns.
      rates: (params) -> {player: {leaf: factor}} of the outer step sizes of
        leaves that learn more slowly than others.
      knows: (vars, photograph [H, W, C]) -> bool, whether the players can model
        it; a GAN of one photograph knows no other.
      blend: (vars, photographs [H, W, C] each, shares) -> Vars that remember
        the GAN of an embedding between those of photographs; None where there
        are no embeddings.
      alone: (vars, photograph [H, W, C]) -> (Game, Vars) of that photograph's
        GAN with weights of its own, which begin as those made of it; None
        where they are its own.

    `real` is [n, H, W, C] in [-1, 1]; `others` the same or None; `seed` int64
    [2]. A game draws as many fakes as there are real images.
    """

    players: tuple[str, ...]
    init: Callable
    losses: Callable
    gradients: Callable
    sample: Callable
    metrics: tuple[str, ...]
    remember: Callable = lambda vars, support: vars
    wants_others: bool = False
    adapts_with_others: bool = False
    least_images: int = 1
    order: tuple[tuple[str, ...], ...] = (("d",), ("g",))
    told: Callable = lambda vars, label: vars
    stocks: int = 0
    stock: Callable = lambda vars, images: vars
    model: Callable | None = None
    phases: int = 1
    grow: Callable = lambda vars: vars
    learned: Callable = lambda params: params
    rates: Callable = lambda params: {}
    knows: Callable = lambda vars, photograph: True
    blend: Callable | None = None
    alone: Callable | None = None


def init_players(nets: dict[str, functional.Network], seed: int) -> Vars:
    """Return freshly drawn weights and initial state of all players."""
    drawn = {
        name: net.init(_player_seed(seed, name)) for name, net in nets.items()
    }
    return Vars(
        params={name: params for name, (params, _) in drawn.items()},
        state={name: state for name, (_, state) in drawn.items()},
        inner={},
    )


def in_batches(sample: Callable, size: int) -> Callable:
    """Let `Game.sample` draw whole batches, as batch norm needs it.

    Args:
      sample: (vars, seed, n) -> [n, H, W, C].
      size: images of a batch.

    Returns:
      The same, but every image is drawn in a batch of `size` that depends on
      its place alone, so that fewer images are the first of more.
    """

    def whole(vars: Vars, seed, n):
        count = (n + size - 1) // size
        like = next(iter(vars.params["g"].values()))
        drawn = tf.map_fn(
            lambda number: sample(vars, rng.fold(seed, number), size),
            tf.range(count),
            fn_output_signature=like.dtype,
            parallel_iterations=1,
        )
        return tf.reshape(drawn, tf.concat([[-1], tf.shape(drawn)[2:]], 0))[:n]

    return whole


def _player_seed(seed: int, player: str) -> int:
    """Derive a seed for one player, whose leaves may be called like others'."""
    return int(np.random.default_rng([seed, *player.encode()]).integers(2**31))
