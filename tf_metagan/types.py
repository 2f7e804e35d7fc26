"""Structures that travel between the parts of the package; no logic."""

from typing import NamedTuple

import tensorflow as tf

Params = dict[str, tf.Tensor]
"""Weights of one player, keyed by leaf: an explicit path, "up1/kernel"."""


class Vars(NamedTuple):
    """Everything that a set of players is made of.

    The same structure holds values, variables, meta-gradients or names; a
    player that has nothing in a field may be absent from it.

    Attributes:
      params: {player: {leaf: weight}}.
      state: {player: {leaf: value}}, changed by a forward pass rather than by
        a gradient: batch-norm statistics, carried optimiser statistics.
      inner: {player: {leaf: value}}, learned by the outer loop and used by the
        inner optimiser: step sizes, initial statistics.
    """

    params: dict[str, Params]
    state: dict[str, Params]
    inner: dict[str, Params]


class TaskBatch(NamedTuple):
    """All that is random about the data of one meta-step.

    Attributes:
      support: [tasks, steps | 1, batch, H, W, C] in the game's value range;
        images the inner loop adapts to. One step's worth serves every step.
      query: [tasks, steps | 1, batch, H, W, C]; images the outer loss is taken
        on; disjoint from `support` when the number of shots is fixed.
      others: same rank, images of other meta-train classes; or None.
      label: [tasks] int64, class id of the data set, never a list index.
      seed: [tasks, 2] int64, root of every latent and interpolation weight.
    """

    support: tf.Tensor
    query: tf.Tensor
    others: tf.Tensor | None
    label: tf.Tensor
    seed: tf.Tensor
