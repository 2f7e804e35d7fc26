"""Adapted weights as one vector, and back."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_metagan.types import Vars

_PARTS = ("params", "state")
_SLOTS = "slots/"  # statistics of inner optimisers, which no player sees


class Layout:
    """The order of weights in a vector: every one that players play with."""

    def __init__(self, like: Vars):
        """Take the names and shapes of meta-weights."""
        self._like = like
        self._leaves = [
            (part, player, leaf, tuple(value.shape))
            for part, player, leaf, value in _visit(like)
        ]
        sizes = [int(np.prod(shape)) for *_, shape in self._leaves]
        ends = np.cumsum([0, *sizes]).tolist()
        self._places = list(itertools.pairwise(ends))
        self.size = ends[-1]

    def describe(self) -> list[dict[str, Any]]:
        """Return [{"name", "shape", "offset"}], plain values."""
        return [
            {
                "name": f"{part}/{player}/{leaf}",
                "shape": list(shape),
                "offset": begin,
            }
            for (part, player, leaf, shape), (begin, _) in zip(
                self._leaves, self._places, strict=True
            )
        ]

    def flatten(self, vars: Vars) -> tf.Tensor:
        """Return the weights as float32 [size]."""
        return tf.concat(
            [
                tf.reshape(
                    tf.cast(getattr(vars, part)[player][leaf], tf.float32), [-1]
                )
                for part, player, leaf, _ in self._leaves
            ],
            0,
        )

    def unflatten(self, vector, vars: Vars) -> Vars:
        """Return `vars` with the weights of a vector [size]."""
        parts = {
            name: {p: dict(leaves) for p, leaves in getattr(vars, name).items()}
            for name in _PARTS
        }
        for (part, player, leaf, shape), (begin, end) in zip(
            self._leaves, self._places, strict=True
        ):
            value = tf.reshape(vector[begin:end], shape)
            old = parts[part][player][leaf]
            parts[part][player][leaf] = tf.cast(value, old.dtype)
        return vars._replace(**parts)


def _visit(vars: Vars) -> Iterator[tuple[str, str, str, tf.Tensor]]:
    for part in _PARTS:
        for player, leaves in sorted(getattr(vars, part).items()):
            for leaf, value in sorted(leaves.items()):
                if not leaf.startswith(_SLOTS):
                    yield part, player, leaf, value
