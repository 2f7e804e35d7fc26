"""Hypernetworks of the players: from photographs to the weights of stacks.

An embedding of the photograph and a linear head for every weight tensor. G has
heads for each scale, of which only the newest learn; D has one set. For
comparison, both may share one embedding, a player "e" of its own that learns
from both losses, or D may be an ordinary network that judges all photographs.

Source: Meta Internal Learning (Bensadoun et al., 2021), which compares the
  three.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_metagan.core import functional, rng, tree
from tf_metagan.gan import heads, pyramid, resampling
from tf_metagan.gan.game import init_players
from tf_metagan.types import Params, Vars

_EMBED = "embed/"
_SHARED = "e"
_PLAYERS = ("d", "g")


class Hypernetworks(NamedTuple):
    """Functions over the weights of both players.

    Attributes:
      nets: {player: embedding, [n, *embedded, C] -> [n, features]}; of "d" and
        "g", of "e", or of "g" where D has no heads.
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

    @property
    def order(self) -> tuple[tuple[str, ...], ...]:
        """Return who moves together: a shared embedding with either player."""
        shared = (_SHARED,) if _SHARED in self.nets else ()
        return tuple((player, *shared) for player in _PLAYERS)

    def init(self, seed: int) -> Vars:
        """Return freshly drawn embeddings and heads of the coarsest scale."""
        drawn = init_players(self.nets, seed)
        params, state = (
            {
                p: {_EMBED + leaf: x for leaf, x in part.get(p, {}).items()}
                for p in dict.fromkeys((*_PLAYERS, *self.nets))
            }
            for part in (drawn.params, drawn.state)
        )
        some = next(iter(drawn.params.values()))
        dtype = next(iter(some.values())).dtype
        for p in _PLAYERS:
            if self._embedder(p) is None:
                params[p] |= self._draw_stack(seed, p, dtype)
            else:
                params[p] |= self._draw_heads(seed, p, _prefix(p, 0), dtype)
        return Vars(params, state, {})

    def _embedder(self, player: str) -> str | None:
        """Return whose embedding a player's heads are given; None: no heads."""
        if _SHARED in self.nets:
            return _SHARED
        return player if player in self.nets else None

    def _draw_stack(self, seed: int, player: str, dtype) -> Params:
        """Draw a network that is the same for all photographs."""
        root = rng.fold(rng.make_seed(seed), _STACK)
        leaves: Params = {}
        for number, layer in enumerate(self.stacks[player]):
            kernel, bias = layer.shapes().values()
            drawn = rng.normal(rng.fold(root, number), kernel, dtype)
            fan_in = int(np.prod(kernel[:-1]))
            leaves |= {
                f"{layer.name}/kernel": layer.gain / fan_in**0.5 * drawn,
                f"{layer.name}/bias": tf.zeros(bias, dtype),
            }
        return leaves

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
            lambda p, leaf: p != "g" or leaf.startswith((_EMBED, f"{newest}/")),
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
          {player: {leaf: state of the embedding afterwards}}).
        """
        owner = self._embedder(player)
        if owner is None:
            n = photographs.shape[0]
            alike = {
                leaf: tf.repeat(x[tf.newaxis], n, axis=0)
                for leaf, x in vars.params[player].items()
            }
            return [pyramid.layers_of(alike, "")], {}
        embedding, after = self._embed(
            vars, owner, photographs, training=training
        )
        return self.projected(vars, player, embedding), {owner: after}

    def projected(
        self, vars: Vars, player: str, embedding
    ) -> list[pyramid.Weights]:
        """Return what heads make of embeddings [n, features]; see `models`."""
        count = pyramid.num_scales(vars.params) if player == "g" else 1
        return [
            self._project(
                vars.params[player], player, _prefix(player, i), embedding
            )
            for i in range(count)
        ]

    def blended(self, vars: Vars, photographs, shares) -> list[pyramid.Weights]:
        """Return G's weights of an embedding between those of photographs.

        Args:
          vars: of all players.
          photographs: each [H, W, C], of any height.
          shares: floating scalars, one for each.
        """
        owner = self._embedder("g")
        found = [
            share * self._embed(vars, owner, x[tf.newaxis], training=False)[0]
            for share, x in zip(shares, photographs, strict=True)
        ]
        return self.projected(vars, "g", tf.add_n(found))

    def moving(self, models: list[pyramid.Weights]) -> list[pyramid.Weights]:
        """Return all of `models`: the embedding learns through each scale."""
        return models

    def _embed(self, vars: Vars, owner: str, photographs, *, training: bool):
        params, state = (
            {
                leaf.removeprefix(_EMBED): x
                for leaf, x in part.get(owner, {}).items()
                if leaf.startswith(_EMBED)
            }
            for part in (vars.params, vars.state)
        )
        embedding, after = self.nets[owner].apply(
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


_STACK = 2**40  # a place in the tree of seeds that is no player's


def _prefix(player: str, scale: int) -> str:
    return f"scale{scale}" if player == "g" else "heads"
