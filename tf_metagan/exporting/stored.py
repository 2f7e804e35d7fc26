"""Weights as variables of an export, in the type that they are stored in."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_metagan.types import Vars


def keep(
    vars: Vars, weights: str
) -> tuple[list[tf.Variable], Callable[[], Vars]]:
    """Copy weights into variables.

    Args:
      vars: tensors.
      weights: type in which `params` are stored, see `terms.Terms`.

    Returns:
      (the variables, for a tf.Module to own; () -> Vars in the types they came
      in, called while a graph is built).

    Raises:
      ValueError: a weight is not finite in the type it is stored in.
    """
    types = tf.nest.map_structure(lambda x: x.dtype, vars)
    made = _variables(vars, weights)

    def read() -> Vars:
        values = tf.nest.pack_sequence_as(vars, list(made))
        return tf.nest.map_structure(tf.cast, values, types)

    return made, read


def _variables(vars: Vars, weights: str) -> list[tf.Variable]:
    """Make variables; only `params` are halved, on which precision is spent.

    Learned rates and statistics are few, or as small as float16 cannot tell.
    """
    made = []
    for part, players in zip(vars._fields, vars, strict=True):
        half = part == "params" and weights != "float32"
        for player, leaves in sorted(players.items()):
            for leaf, value in sorted(leaves.items()):
                name = f"{part}/{player}/{leaf}"
                stored = tf.cast(value, weights) if half else value
                array = np.asarray(tf.cast(stored, tf.float32))
                if not np.isfinite(array).all():
                    raise ValueError(
                        f"{name} is not finite as {stored.dtype.name}; "
                        "expected trained weights. Export an earlier "
                        "checkpoint, or with --weights=float32."
                    )
                made.append(tf.Variable(stored, trainable=False, name=name))
    return made
