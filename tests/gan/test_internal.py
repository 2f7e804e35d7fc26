"""The game of internal learning: what learns, what stays, what is drawn."""

import numpy as np
import pytest
import tensorflow as tf

from tests import photographs as small

# Sums of some thousand terms in another order, in double precision.
ROUNDING = 1e-9


def distance(a, b):
    """Return the largest difference relative to the largest entry."""
    a, b = (
        np.concatenate([np.ravel(x) for x in tf.nest.flatten(t)])
        for t in (a, b)
    )
    return np.abs(a - b).max() / np.abs(a).max()


def gradients(game, vars, batch):
    wrt = {p: tuple(x) for p, x in game.learned(vars.params).items()}

    @tf.function(autograph=False)
    def both(vars, images, seeds):
        return game.gradients(vars, images, None, seeds, wrt)

    return both(vars, small.photographs(batch), batch.seed)


def test_photographs_one_by_one_are_photographs_together():
    batch = small.tasks()
    vars = small.at_scale(small.game(), 1)
    alone, first = gradients(small.game(), vars, batch)
    beside, second = gradients(small.game(convolution="patches"), vars, batch)
    for player in ("d", "g"):
        assert distance(alone[player], beside[player]) < ROUNDING
        losses = first.loss[player], second.loss[player]
        assert distance(*losses) < ROUNDING
    half = gradients(
        small.game(),
        vars,
        tf.nest.map_structure(lambda x: x[:2], batch._replace(others=())),
    )[0]
    with pytest.raises(AssertionError):
        assert distance(half["g"], beside["g"]) < ROUNDING
