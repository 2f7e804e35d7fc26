"""Hypernetworks of the players: from photographs to the weights of stacks.

An embedding of the photograph and a linear head for every weight tensor. G has
heads for each scale, of which only the newest learn; D has one set.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_metagan.core import functional, rng, tree
from tf_metagan.gan import heads, pyramid, resampling
from tf_metagan.gan.game import init_players
from tf_metagan.types import Params, Vars

_EMBED = "embed/"


class Hypernetworks(NamedTuple):
    """Functions over the weights of both players.

    Attributes:
      nets: {player: embedding, [n, *embedded, C] -> [n, features]}.
      embedded: (height, width) to which photographs are brought.
      features: numbers in an embedding.
      stacks: {player: layers of one scale}.
      rank: of heads, see `heads.init`.
      hidden: layers of heads.
    """

    nets: dict[str, functional.Network]
    embedded: tuple[int, int]
    features: int
    stacks: dict[str, tuple[pyramid.Layer, ...]]
    rank: int | None
    hidden: int

    def init(self, seed: int) -> Vars:
        """Return freshly drawn embeddings and heads of the coarsest scale."""
        drawn = init_players(self.nets, seed)
        dtype = next(iter(drawn.params["g"].values())).dtype
        params = {
            p: {
                **{_EMBED + leaf: x for leaf, x in leaves.items()},
                **self._draw_heads(seed, p, _prefix(p, 0), dtype),
            }
            for p, leaves in drawn.params.items()
        }
        state = {
            p: {_EMBED + leaf: x for leaf, x in leaves.items()}
            for p, leaves in drawn.state.items()
        }
        return Vars(params, state, {})

    def _draw_heads(self, seed: int, player: str, prefix: str, dtype) -> Params:
        leaves: Params = {}
        for layer in self.stacks[player]:
            for name, shape in layer.shapes().items():
                leaves |= heads.init(
                    seed,
                    f"{prefix}/{layer.name}/{name}",
                    features=self.features,
                    size=int(np.prod(shape)),
                    rank=self.rank,
                    hidden=self.hidden,
                    dtype=dtype,
                )
        return leaves

    def grow(self, vars: Vars) -> Vars:
        """Return `vars` with heads for one scale more, copies of the newest."""
        newest = pyramid.num_scales(vars.params) - 1
        old, new = _prefix("g", newest), _prefix("g", newest + 1)
        copies = {
            new + leaf.removeprefix(old): tf.identity(x)
            for leaf, x in vars.params["g"].items()
            if leaf.startswith(f"{old}/")
        }
        return vars._replace(params=tree.merge(vars.params, {"g": copies}))

    def learned(self, params: dict) -> dict:
        """Return all leaves but the heads of older scales."""
        newest = _prefix("g", pyramid.num_scales(params) - 1)
        return tree.select(
            params,
            lambda p, leaf: p == "d" or leaf.startswith((_EMBED, f"{newest}/")),
        )

    def models(self, vars: Vars, player: str, photographs, *, training: bool):
        """Return the weights that photographs are given.

        Args:
          vars: of both players.
          player: "d" or "g".
          photographs: [n, H, W, C].
          training: whether batch norm uses the statistics of the batch.

        Returns:
          ([pyramid.Weights of n models] of every scale, one of D,
          {leaf: state of the embedding afterwards}).
        """
        embedding, after = self._embed(
            vars, player, photographs, training=training
        )
        count = pyramid.num_scales(vars.params) if player == "g" else 1
        models = [
            self._project(
                vars.params[player], player, _prefix(player, i), embedding
            )
            for i in range(count)
        ]
        return models, after

    def moving(self, models: list[pyramid.Weights]) -> list[pyramid.Weights]:
        """Return all of `models`: the embedding learns through each scale."""
        return models

    def _embed(self, vars: Vars, player: str, photographs, *, training: bool):
        params, state = (
            {
                leaf.removeprefix(_EMBED): x
                for leaf, x in part[player].items()
                if leaf.startswith(_EMBED)
            }
            for part in (vars.params, vars.state)
        )
        embedding, after = self.nets[player].apply(
            params,
            state,
            resampling.resize(photographs, self.embedded),
            rng.make_seed(0),
            training=training,
        )
        embedding = tf.cast(embedding, photographs.dtype)
        return embedding, {_EMBED + leaf: x for leaf, x in after.items()}

    def _project(self, params: Params, player: str, prefix: str, embedding):
        return {
            layer.name: layer.scaled(
                {
                    name: heads.project(
                        params, f"{prefix}/{layer.name}/{name}", embedding
                    )
                    for name in layer.shapes()
                }
            )
            for layer in self.stacks[player]
        }


def _prefix(player: str, scale: int) -> str:
    return f"scale{scale}" if player == "g" else "heads"
