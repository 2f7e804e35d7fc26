"""Internal learning as a rule: sums over photographs, a phase per scale."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import photographs as small
from tests import problems
from tf_metagan import checkpoints
from tf_metagan.core import tree
from tf_metagan.learner import Learner, create_variables

ROUNDING = 1e-12
STEPS = 6  # two for each of three scales


def make_optimizers():
    return (
        {p: keras.optimizers.Adam(0.01, name=p) for p in ("d", "g")},
        {},
    )


def make_learner(algorithm, seed=0, *, optimizers=make_optimizers):
    return Learner(
        algorithm,
        create_variables(algorithm.init(seed)),
        optimizers=optimizers()[0],
        renew=optimizers,
    )


@pytest.fixture(scope="module", autouse=True)
def _eager():
    """Spare the graphs, of which every phase has its own."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def batch(step):
    return small.tasks(2, height=(18, 20)[step % 2], seed=step)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train all phases; keep weights and a checkpoint of each step."""
    learner = make_learner(small.algorithm(STEPS))
    folder = str(tmp_path_factory.mktemp("ckpt"))

    def state():
        path = checkpoints.save(learner, folder, keep=9)
        return learner.values(), path

    found = [state()]
    for step in range(STEPS):
        learner.step(batch(step))
        found.append(state())
    return learner, found


def equal(a, b):
    tf.nest.map_structure(np.testing.assert_array_equal, a, b)


def heads(vars, scale):
    own = vars.params["g"]
    return {x: own[x] for x in own if x.startswith(f"scale{scale}/")}


def test_phases_divide_the_training():
    assert small.algorithm(STEPS).phases() == (0, 2, 4)
    assert small.algorithm(7).phases() == (0, 2, 4)
    assert problems.build("fomaml").phases() == (0,)


def test_meta_gradients_are_sums_over_photographs():
    algorithm = small.algorithm()
    vars = algorithm.init(0)
    tasks = small.tasks(2)._replace(others=None)

    def total(rows):
        some = tf.nest.map_structure(
            lambda x: None if x is None else tf.gather(x, rows), tasks
        )
        return algorithm.meta_gradients(vars, some, problems.STEP)

    both, first, second = total([0, 1]), total([0]), total([1])
    assert problems.distance(tree.add(first, second).grads, both.grads) < 1e-9
    with pytest.raises(AssertionError):
        assert problems.distance(first.grads, both.grads) < 1e-9


def test_frozen_heads_keep_their_bits(run):
    _, found = run
    before, after = found[2][0], found[STEPS][0]
    equal(heads(before, 0), heads(after, 0))
    moved = heads(before, 1), heads(found[4][0], 1)
    with pytest.raises(AssertionError):
        equal(*moved)
    equal(heads(found[4][0], 1), heads(after, 1))
    for leaf in ("embed/stem/kernel", "embed/features/kernel"):
        change = after.params["g"][leaf] - before.params["g"][leaf]
        assert np.abs(change).max() > 0


def test_a_phase_begins_with_copies_and_fresh_optimisers(run):
    _, found = run
    learner = make_learner(small.algorithm(STEPS))
    checkpoints.restore(learner, found[2][1])
    below = heads(learner.values(), 0)
    for leaf, x in heads(learner.values(), 1).items():
        equal(x, below[leaf.replace("scale1/", "scale0/")])
    optimizer = learner._optimizers["params", "g"]
    assert int(optimizer.iterations.numpy()) == 0
    learned = sum("scale" in x for x in learner._groups["params", "g"])
    assert learned == len(below)


@pytest.mark.parametrize("start", [1, 2, 5])
def test_resuming_in_any_phase_gives_the_same_bits(run, start):
    whole, found = run
    learner = make_learner(small.algorithm(STEPS), seed=1)
    checkpoints.restore(learner, found[start][1])
    for step in range(start, STEPS):
        learner.step(batch(step))
    equal(learner.snapshot(), whole.snapshot())


def test_a_later_learner_can_go_back(run):
    _, found = run
    learner = make_learner(small.algorithm(STEPS))
    checkpoints.restore(learner, found[5][1])
    checkpoints.restore(learner, found[1][1])
    equal(learner.values(), found[1][0])


def test_failed_restore_leaves_the_phase(run, tmp_path):
    _, found = run
    learner = make_learner(small.algorithm(STEPS))
    checkpoints.restore(learner, found[3][1])
    before = learner.snapshot()
    with pytest.raises(OSError, match="cannot be read"):
        checkpoints.restore(learner, str(tmp_path / "absent"))
    equal(learner.snapshot(), before)


def test_putting_back_goes_back_to_the_phase_before(run):
    _, found = run
    learner = make_learner(small.algorithm(STEPS))
    checkpoints.restore(learner, found[1][1])
    before = learner.snapshot()
    learner.step(batch(1))  # enters the next phase
    learner.put_back(before)
    equal(learner.snapshot(), before)
    learner.step(batch(1))
    equal(learner.values(), found[2][0])


def test_inner_steps_are_refused():
    with pytest.raises(ValueError, match=r"takes no inner steps.*steps=2"):
        type(small.algorithm())(
            small.algorithm().rollout, inner_steps=2, meta_steps=6
        )


def test_fewer_steps_than_scales_are_refused():
    with pytest.raises(ValueError, match=r"--meta_steps=2 is less than one"):
        small.algorithm(2)


def test_games_without_photographs_are_refused():
    with pytest.raises(ValueError, match="players that model a photograph"):
        problems.build("internal", inner_steps=1, meta_steps=6)
