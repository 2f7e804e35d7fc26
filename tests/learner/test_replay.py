"""A number that is not finite: which step, which metric, which weights."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import photographs as small
from tests import problems
from tests.algorithms.test_internal import make_learner
from tf_metagan import checkpoints, replay

BAD = 3


@pytest.fixture(autouse=True)
def _eager():
    """Run steps without a graph, which saves the time of tracing them."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


class Sampler:
    """Episodes of noise; the real images of one of them are no numbers."""

    def __init__(self, algorithm, bad=None):
        self.algorithm = algorithm
        self.bad = bad

    def batch(self, meta_step):
        """Return the tasks of a meta-step."""
        batch = problems.tasks(self.algorithm, 2, seed=meta_step)
        if meta_step == self.bad:
            nan = tf.fill(batch.support.shape, tf.constant(np.nan, tf.float64))
            batch = batch._replace(support=nan)
        return batch


def noticed(bad):
    """Train five meta-steps from the second on; return what is known then."""
    algorithm = problems.build(
        "reptile", duel=problems.game(loss="non_saturating"), inner_steps=1
    )
    learner = problems.learner(algorithm, keras.optimizers.Adam)
    sampler = Sampler(algorithm, bad)
    states = []
    for meta_step in range(5):
        states.append(learner.snapshot())
        learner.step(sampler.batch(meta_step))
    return learner, sampler, states


def explain(learner, sampler, states, logdir):
    return replay.explain(
        FloatingPointError("D_loss is nan."),
        learner,
        sampler,
        replay.Known(1, states[1]),
        5,
        str(logdir),
    )


def check_same(ours, theirs):
    tf.nest.map_structure(np.testing.assert_array_equal, ours, theirs)


def test_explanation_names_step_metrics_and_weights(tmp_path):
    learner, sampler, states = noticed(BAD)
    spoilt = learner.values().params["d"]
    assert all(np.isnan(x).all() for x in spoilt.values())
    error = explain(learner, sampler, states, tmp_path)
    assert isinstance(error, FloatingPointError)
    text = str(error)
    assert f"diverged at meta-step {BAD + 1}:" in text
    wrong, _, rest = text.partition(" not finite; ")
    leaves, _, advice = rest.partition("The state before that step is ")
    # Adaptation sees images without numbers; the game is simultaneous and has
    # one step, so that only the discriminator's move is spoilt.
    for name in ("D_loss", "gradient_penalty", "grad_norm_outer_D"):
        assert name in wrong
    assert "G_loss" not in wrong
    assert "grad_norm_outer_G" not in wrong
    for leaf in ("hidden/kernel", "hidden/bias", "head/kernel", "head/bias"):
        assert f"d/{leaf}" in leaves
    assert "g/" not in leaves
    assert "Lower --inner_rate" in advice

    # The learner is as it was before that step, and so is the saved state.
    check_same(learner.snapshot(), states[BAD])
    path = checkpoints.latest(str(tmp_path / replay.FOLDER))
    assert f" {path}." in f" {advice}"
    again = problems.learner(learner.algorithm, keras.optimizers.Adam)
    checkpoints.restore(again, path)
    check_same(again.snapshot(), states[BAD])
    step = int(again.meta_step)
    assert step == BAD
    assert np.isnan(again.step(sampler.batch(step))["D_loss"]).all()


class Photographs:
    """Episodes of which the second is no numbers."""

    def batch(self, meta_step):
        """Return the tasks of a meta-step."""
        batch = small.tasks(1)
        if meta_step == 1:
            nan = tf.fill(batch.support.shape, tf.constant(np.nan, tf.float64))
            batch = batch._replace(support=nan)
        return batch


def test_last_step_of_a_phase_is_explained(tmp_path):
    learner = make_learner(
        small.algorithm(6, name="singan", duel=small.singan())
    )
    sampler = Photographs()
    good = replay.Known(0, learner.snapshot())
    learner.step(sampler.batch(0))
    before = learner.snapshot()
    learner.step(sampler.batch(1))
    assert 2 in learner.algorithm.phases()
    noticed = FloatingPointError("D_val is nan.")
    error = replay.explain(noticed, learner, sampler, good, 2, str(tmp_path))
    assert "diverged at meta-step 2: " in str(error)
    check_same(learner.snapshot(), before)


def test_other_step_would_not_fail():
    learner, sampler, states = noticed(BAD)
    learner.put_back(states[BAD])
    metrics = learner.step(sampler.batch(BAD + 1))
    assert np.isfinite(metrics["D_loss"]).all()


def test_failure_that_does_not_repeat_is_said_so(tmp_path):
    learner, sampler, states = noticed(None)
    end = learner.snapshot()
    error = explain(learner, sampler, states, tmp_path)
    assert isinstance(error, FloatingPointError)
    message = r"^D_loss is nan. Repeating meta-steps 2 to 5 .*does not repeat"
    with pytest.raises(FloatingPointError, match=message):
        raise error
    check_same(learner.snapshot(), end)
    assert not (tmp_path / replay.FOLDER).exists()
