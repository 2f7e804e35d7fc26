"""Joint training takes the game's gradient at the meta-weights."""

import numpy as np
import pytest
import tensorflow as tf

from tests import problems
from tf_metagan.algorithms import fomaml
from tf_metagan.core import tree
from tf_metagan.core.rollout import Turn


def build(**options):
    return problems.build("joint", inner_steps=1, **options)


def check_gradients(algorithm, vars, batch):
    """Compare with the losses on the query images, task by task."""
    total = None
    for number in range(batch.label.shape[0]):
        task = problems.task(batch, number)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(vars.params)
            outcome = algorithm.game.losses(
                vars, *algorithm.rollout.validation(0, task)
            )
        one = {
            p: tape.gradient(outcome.loss[p], x) for p, x in vars.params.items()
        }
        total = one if total is None else tree.add(total, one)
    found = algorithm.meta_gradients(vars, batch, problems.STEP).grads.params
    assert problems.distance(found, total) < 1e-12


def test_gradient_is_that_of_the_losses_on_query_images():
    algorithm = build()
    vars, batch = problems.start(algorithm), problems.tasks(algorithm, 2)
    check_gradients(algorithm, vars, batch)
    swapped = batch._replace(query=batch.support)
    with pytest.raises(AssertionError):
        check_gradients(problems.build("fomaml", inner_steps=1), vars, batch)
    found = algorithm.meta_gradients(vars, swapped, problems.STEP).grads.params
    other = algorithm.meta_gradients(vars, batch, problems.STEP).grads.params
    assert problems.distance(found, other) > 1e-3


def test_it_is_fomaml_in_the_limit_of_no_inner_step():
    algorithm = build(rate=1e-9)
    limit = problems.build("fomaml", inner_steps=1, rate=1e-9)
    assert isinstance(limit, fomaml.Fomaml)
    vars, batch = problems.start(algorithm), problems.tasks(algorithm, 2)
    joint, first_order = (
        rule.meta_gradients(vars, batch, problems.STEP).grads.params
        for rule in (algorithm, limit)
    )
    assert problems.distance(joint, first_order) < 1e-6


def test_weights_that_are_not_learned_have_no_gradient():
    algorithm = build(meta_learn=("g/*",))
    vars, batch = problems.start(algorithm), problems.tasks(algorithm, 1)
    grads = algorithm.meta_gradients(vars, batch, problems.STEP).grads
    assert grads.params["d"] == {}
    assert set(grads.params["g"]) == set(vars.params["g"])


def test_adaptation_still_moves():
    algorithm = build()
    vars, batch = problems.start(algorithm), problems.tasks(algorithm, 1)
    adapted, log = algorithm.adapt(
        vars, batch.support[0], None, batch.seed[0], 3
    )
    assert problems.distance(adapted.params, vars.params) > 1e-4
    assert np.shape(log["D_loss"]) == (3,)


def test_what_joint_cannot_do_is_refused():
    with pytest.raises(ValueError, match=r"--inner_steps=2\. Leave it out"):
        problems.build("joint", inner_steps=2)
    with pytest.raises(ValueError, match="learned_rates='layer_step'"):
        build(learned_rates="layer_step")


def test_players_take_the_turns_of_an_inner_step():
    (together,) = build().outer_turns()
    batch = problems.tasks(together, 1)
    vars = problems.start(together)

    def grads(rule):
        return rule.meta_gradients(vars, batch, problems.STEP).grads.params

    assert {p for p, x in grads(together).items() if x} == {"d", "g"}
    sequential = build(turns=(Turn(("d",), 2), Turn(("g",))))
    rules = sequential.outer_turns()
    learners = [[p for p, x in grads(rule).items() if x] for rule in rules]
    assert learners == [["d"], ["d"], ["g"]]
    # The same images, other latents in each turn.
    first, second, _ = map(grads, rules)
    assert problems.distance(first["d"], grads(together)["d"]) < 1e-12
    assert problems.distance(first["d"], second["d"]) > 1e-6
