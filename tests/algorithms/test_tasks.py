"""A meta-step is a sum over tasks, whatever their order and number."""

import numpy as np
import pytest
import tensorflow as tf

from tests import problems
from tf_metagan.core import tree

# Sums of a few terms in another order.
ROUNDING = 1e-14


LEARNING = [name for name in problems.RULES if name != "scratch"]


def build(algo):
    options = {}
    if algo == "metasgd":
        options = {"learned_rates": "weight", "loss": "hinge"}
    duel = problems.game(loss="hinge")
    return problems.build(algo, duel=duel, inner_steps=1, **options)


def pick(batch, numbers):
    """Return some of the tasks of a batch."""
    return tf.nest.map_structure(
        lambda x: None if x is None else tf.gather(x, numbers), batch
    )


@pytest.mark.parametrize("algo", LEARNING)
def test_sum_over_tasks_equals_sum_of_single_tasks(algo):
    algorithm = build(algo)
    vars, batch = problems.start(algorithm), problems.tasks(algorithm, 3)

    def total(numbers):
        found = algorithm.meta_gradients(
            vars, pick(batch, numbers), problems.STEP
        )
        return found.grads, found.metrics

    together = total([0, 1, 2])
    one, two = total([0]), total([1, 2])
    assert problems.distance(tree.add(one, two), together) < ROUNDING
    assert problems.distance(total([2, 0, 1]), together) < ROUNDING
    with pytest.raises(AssertionError):
        assert problems.distance(two, together) < ROUNDING


@pytest.mark.parametrize("algo", LEARNING)
def test_metrics_without_gradients_are_the_same(algo):
    algorithm = build(algo)
    vars, batch = problems.start(algorithm), problems.tasks(algorithm, 2)
    alone = algorithm.metrics(vars, batch)
    beside = algorithm.meta_gradients(vars, batch, problems.STEP).metrics
    assert set(alone) == set(beside)
    assert problems.distance(alone, beside) < ROUNDING


@pytest.mark.parametrize("algo", problems.RULES)
def test_no_task_gives_zero(algo):
    algorithm = build(algo)
    vars, batch = problems.start(algorithm), problems.tasks(algorithm, 2)
    one = algorithm.meta_gradients(vars, pick(batch, [0]), problems.STEP)
    none = algorithm.meta_gradients(
        vars, pick(batch, tf.zeros([0], tf.int32)), problems.STEP
    )
    tf.nest.assert_same_structure(one, none)
    for value, zero in zip(
        tf.nest.flatten(one), tf.nest.flatten(none), strict=True
    ):
        assert value.dtype == zero.dtype
        np.testing.assert_array_equal(zero, np.zeros(value.shape))


SLOWLY = [pytest.param(x, marks=pytest.mark.slow) for x in ("fomaml", "maml")]


@pytest.mark.parametrize("algo", ["reptile", *SLOWLY])
def test_tasks_at_the_same_time_change_nothing(algo):
    found = []
    for parallel in (1, 2):
        algorithm = problems.build(algo, inner_steps=2, parallel_tasks=parallel)
        vars, batch = problems.start(algorithm), problems.tasks(algorithm, 3)
        found.append(problems.traced(algorithm, vars, batch))
    tf.nest.map_structure(np.testing.assert_array_equal, *found)


def test_one_batch_of_images_serves_every_step():
    algorithm = problems.build("fomaml", inner_steps=3)
    vars, batch = problems.start(algorithm), problems.tasks(algorithm)
    one = batch._replace(support=batch.support[:, :1])
    same = batch._replace(support=tf.repeat(one.support, 3, axis=1))
    ours, theirs, other = (
        problems.gradients(algorithm, vars, tasks)
        for tasks in (one, same, batch)
    )
    tf.nest.map_structure(np.testing.assert_array_equal, ours, theirs)
    assert problems.distance(ours, other) > 1e-3
