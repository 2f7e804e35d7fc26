"""Players that are told a label: the conditional GAN, a baseline.

Source: Mirza and Osindero (2014).
"""

import keras
import tensorflow as tf

from tf_metagan.gan import duel, game
from tf_metagan.gan.losses import Loss
from tf_metagan.gan.penalties import Penalty
from tf_metagan.types import Vars

_MEMORY = "memory"
_BATCH = 64  # images drawn together


def labelled_game(
    networks: dict[str, keras.Model], *, loss: Loss, penalty: Penalty
) -> game.Game:
    """Make the two-player game in which both players are told the class.

    A class id below the number of labels is a row with a one at its place. All
    other classes, and one that is adapted to, have a row of equal numbers with
    the sum one: an unseen class begins as the mean of the trained ones.

    Args:
      networks: {"d": ([n, H, W, C], [n, L]) -> [n, 1], "g": ([n, z], [n, L])
        -> [n, H, W, C]}, L the number of labels.
      loss: what the scores mean to each player.
      penalty: added to D's loss.

    Returns:
      A Game with players ("d", "g").

    Raises:
      ValueError: the networks take no label.
    """
    labels = _check_networks(networks)

    def told(vars: Vars, label) -> Vars:
        row = tf.one_hot(label, labels, dtype=_dtype(vars))
        row = tf.where(label < labels, row, _unknown(vars))
        return vars._replace(state={**vars.state, _MEMORY: {"label": row}})

    def rows(vars: Vars, n):
        memory = vars.state.get(_MEMORY, {})
        row = memory.get("label", _unknown(vars))
        return tf.repeat(row[tf.newaxis], n, axis=0)

    def _unknown(vars: Vars):
        return tf.ones([labels], _dtype(vars)) / labels

    def show(vars: Vars, real, others, seed) -> duel.Shown:
        del others, seed
        return duel.Shown(real, rows(vars, tf.shape(real)[0]))

    view = duel.ALONE._replace(
        show=show, recall=lambda vars, seed, n: rows(vars, n)
    )
    plain = duel.two_player(networks, loss=loss, penalty=penalty, view=view)
    return plain._replace(
        told=told, sample=game.in_batches(plain.sample, _BATCH)
    )


def _dtype(vars: Vars) -> tf.DType:
    return next(iter(vars.params["g"].values())).dtype


def _check_networks(networks: dict[str, keras.Model]) -> int:
    """Return the number of labels."""
    shapes = {
        p: [tuple(x.shape[1:]) for x in net.inputs]
        for p, net in networks.items()
    }
    fits = set(shapes) == {"d", "g"} and all(
        len(x) == 2 and len(x[1]) == 1 for x in shapes.values()
    )
    if not fits or shapes["d"][1] != shapes["g"][1]:
        raise ValueError(
            f"--game=labelled got networks that take {shapes}, expected d: "
            "(image, label) and g: (z, label), the label of the same size. Use "
            "--architecture=cdcgan, or --game=two_player with networks that "
            "are told nothing."
        )
    return shapes["d"][1][0]
