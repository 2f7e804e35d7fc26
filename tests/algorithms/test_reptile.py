"""Reptile: towards the adapted weights. And the row without learning."""

import numpy as np
import pytest
import tensorflow as tf

from tests import problems
from tests.algorithms import test_first_order
from tf_metagan.core import tree

EXACT = 1e-12
OPTIMIZERS = test_first_order.OPTIMIZERS
RATE = test_first_order.RATE


def check_difference(algorithm, make_optimizer, sign=1.0):
    vars, batch = problems.start(algorithm), problems.tasks(algorithm)
    *_, adapted = problems.keras_steps(
        algorithm, vars, problems.task(batch), make_optimizer
    )
    difference = tree.add_scaled(vars.params, -1.0, adapted)
    ours = problems.gradients(algorithm, vars, batch).params
    assert problems.distance(ours, tree.scale(difference, sign)) < EXACT


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_reptile_is_meta_weight_minus_adapted_weight(name):
    changes, make_optimizer = OPTIMIZERS[name]
    algorithm = problems.build(
        "reptile",
        duel=problems.game(loss="non_saturating"),
        inner=problems.optimizer(name, **changes),
        rate=RATE,
        inner_steps=3,
    )
    check_difference(algorithm, make_optimizer)
    with pytest.raises(AssertionError):
        check_difference(algorithm, make_optimizer, sign=-1.0)


def test_reptile_of_one_sgd_step_is_the_plain_gradient():
    for k, plain in ((1, True), (2, False)):
        algorithm = problems.build("reptile", rate=RATE, inner_steps=k)
        vars, batch = problems.start(algorithm), problems.tasks(algorithm)
        task = problems.task(batch)
        gradient = problems.own_gradients(
            algorithm.game,
            vars.params,
            task.support[0],
            problems.adapt_seed(task, 0),
        )
        ours = problems.gradients(algorithm, vars, batch).params
        theirs = tree.scale(gradient, RATE)
        assert (problems.distance(ours, theirs) < EXACT) == plain


def test_reptile_moves_only_what_adapts():
    algorithm = problems.build(
        "reptile",
        duel=problems.game(loss="non_saturating"),
        adapt=("d/head/*",),
    )
    vars, batch = problems.start(algorithm), problems.tasks(algorithm)
    ours = problems.gradients(algorithm, vars, batch).params
    for player, leaves in ours.items():
        for leaf, gradient in leaves.items():
            moves = player == "d" and leaf.startswith("head/")
            assert bool(tf.reduce_any(gradient != 0.0)) == moves


@pytest.mark.parametrize(
    "options",
    [
        {"learned_rates": "layer_step"},
        {"learned_rates": "weight"},
        {"statistics": "learned", "inner": "rmsprop"},
    ],
    ids=str,
)
def test_reptile_refuses_to_learn_more_than_weights(options):
    with pytest.raises(ValueError, match=r"reptile cannot learn .*algo=maml"):
        problems.build("reptile", **options)


def test_scratch_changes_nothing():
    for options in (
        {"inner": "rmsprop", "statistics": "carried"},
        {"learned_rates": "layer_step"},
    ):
        algorithm = problems.build("scratch", **options)
        vars, batch = problems.start(algorithm), problems.tasks(algorithm, 3)
        result = algorithm.meta_gradients(vars, batch, problems.STEP)
        assert result.grads.params == {"d": {}, "g": {}}
        assert result.metrics == algorithm.metrics(vars, batch) == {}
        for change in tf.nest.flatten((result.grads.inner, result.state)):
            np.testing.assert_array_equal(change, np.zeros(change.shape))
