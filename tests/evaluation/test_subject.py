"""Subjects made of weights, and the tasks they meet."""

import numpy as np
import pytest
import tensorflow as tf

from tests import runs
from tests.evaluation import fakes
from tf_metagan import assembly
from tf_metagan.core import rng
from tf_metagan.evaluation import subject as subjects
from tf_metagan.evaluation.subject import CHUNK, WeightsSubject
from tf_metagan.evaluation.tasks import UnseenTasks

SEED = np.array([3, 4], np.int64)
SIZE = 16


@pytest.fixture(scope="module")
def algorithm():
    settings = assembly.with_algorithm_defaults(runs.settings(algo="maml"))
    return assembly.make_algorithm(settings)


def make(algorithm, *, seed=0, vars=None):
    vars = algorithm.init(seed) if vars is None else vars
    return WeightsSubject(
        algorithm, vars, {"kind": "test"}, image_shape=(SIZE, SIZE, 1)
    )


def support(batches=2, batch=4, seed=0):
    draw = np.random.default_rng(seed)
    shape = (batches, batch, SIZE, SIZE, 1)
    return draw.uniform(-1, 1, shape).astype(np.float32)


def test_subject_adapts_and_samples_as_the_algorithm_does(algorithm):
    vars = algorithm.init(5)
    ours = make(algorithm, vars=vars)
    adapted = ours.adapt(support(), seed=SEED, steps=3)
    expected, _ = algorithm.adapt(
        vars, tf.constant(support()), None, rng.fold(SEED, 0), 3
    )
    for player, leaves in expected.params.items():
        for leaf, value in leaves.items():
            np.testing.assert_allclose(
                adapted.params[player][leaf], value, rtol=1e-4, atol=1e-6
            )
    drawn = ours.sample(adapted, seed=SEED, n=10)
    first = algorithm.game.sample(expected, rng.fold(SEED, 1, 0), CHUNK)
    np.testing.assert_allclose(drawn, first[:10], rtol=1e-3, atol=1e-4)
    prior = ours.sample(
        ours.adapt(support(), seed=SEED, steps=0), seed=SEED, n=10
    )
    assert np.abs(prior - drawn).max() > 1e-3


def test_fewer_samples_are_the_first_of_more(algorithm):
    ours = make(algorithm)
    adapted = ours.adapt(support(), seed=SEED, steps=1)
    more = ours.sample(adapted, seed=SEED, n=CHUNK + 5)
    assert more.shape == (CHUNK + 5, SIZE, SIZE, 1)
    np.testing.assert_array_equal(
        ours.sample(adapted, seed=SEED, n=7), more[:7]
    )
    # Another chunk is not the first one again.
    assert np.abs(more[:5] - more[CHUNK:]).max() > 1e-4


class Keeping:
    """An algorithm that keeps the support images and draws them again."""

    def __init__(self):
        self.traced = 0
        self.game = self

    def adapt(self, vars, support, others, seed, steps):
        images = tf.reshape(support, [-1, SIZE, SIZE, 1])
        return vars._replace(state={"g": {"images": images}}), {}

    def sample(self, vars, seed, n):
        self.traced += 1
        images = vars.state["g"]["images"]
        return tf.gather(images, tf.range(n) % tf.shape(images)[0])


def test_rules_may_keep_any_number_of_support_images():
    keeping = Keeping()
    vars = subjects.Vars({"g": {"grey": tf.constant(0.5)}}, {}, {})
    ours = make(keeping, vars=vars)
    for number in (1, 4, 5, 9, 16):
        images = support(2, number)
        drawn = ours.sample(
            ours.adapt(images, seed=SEED, steps=0), seed=SEED, n=2 * number
        )
        np.testing.assert_array_equal(drawn, images.reshape(drawn.shape))
    assert keeping.traced == 2  # the second time for any number


class Counting:
    """An algorithm that counts how often its Python code runs.

    It keeps the mean of the support in its state, as a rule may that looks at
    images without taking a step.
    """

    def __init__(self):
        self.traced = []
        self.game = self

    def adapt(self, vars, support, others, seed, steps):
        assert others is None
        self.traced.append("adapt")
        mean = tf.reduce_mean(support)
        grey = vars.params["g"]["grey"] + 0.0 * tf.cast(steps, tf.float32)
        return vars._replace(
            params={"g": {"grey": grey}}, state={"g": {"mean": mean}}
        ), {}

    def sample(self, vars, seed, n):
        self.traced.append("sample")
        return tf.fill([n, SIZE, SIZE, 1], vars.state["g"]["mean"])


def test_graphs_are_traced_once_whatever_the_support():
    counting = Counting()
    vars = subjects.Vars({"g": {"grey": tf.constant(0.5)}}, {}, {})
    ours = make(counting, vars=vars)
    for shape in ((1, 1), (10, 16), (100, 3)):
        for steps in (0, 10):
            adapted = ours.adapt(support(*shape), seed=SEED, steps=steps)
            ours.sample(adapted, seed=SEED, n=300)
    assert counting.traced == ["adapt", "sample"]


def test_zero_steps_go_through_the_algorithm():
    vars = subjects.Vars({"g": {"grey": tf.constant(0.5)}}, {}, {})
    ours = make(Counting(), vars=vars)
    images = support() * 0 + 0.25
    drawn = ours.sample(ours.adapt(images, seed=SEED, steps=0), seed=SEED, n=2)
    np.testing.assert_array_equal(drawn, np.full_like(drawn, 0.25))


def test_hash_tells_weights_apart(algorithm):
    one, same, other = (
        make(algorithm, seed=seed).facts["weights"] for seed in (0, 0, 1)
    )
    assert one == same != other
    assert len(one) == 16
    vars = algorithm.init(0)
    vars.params["g"][min(vars.params["g"])] += 1e-6
    assert make(algorithm, vars=vars).facts["weights"] != one


def test_hash_of_settings_counts_what_is_computed():
    def of(**changes):
        return subjects.settings_hash(runs.settings(**changes))

    assert of() == of(logdir="/elsewhere", meta_steps=7, log_every=3)
    assert of() == of(data_dir="/elsewhere", panel_tasks=2)
    assert of() == of(inner_rho=0.9)  # the default, given
    for change in (
        {"inner_rate": 0.5},
        {"algo": "scratch"},
        {"seed": 1},
        {"dataset": "mnist"},
    ):
        assert of() != of(**change)


def test_scratch_is_the_same_networks_with_other_weights():
    settings = assembly.with_algorithm_defaults(
        runs.settings(algo="metasgd", inner_rate=0.25)
    )
    scratch = subjects.scratch_of(settings, seed=9)
    again = subjects.scratch_of(settings, seed=9)
    assert scratch.facts == again.facts
    assert scratch.facts["kind"] == "scratch"
    assert (
        scratch.facts["weights"]
        != subjects.scratch_of(settings, seed=8).facts["weights"]
    )
    drawn = scratch.sample(
        scratch.adapt(support(), seed=SEED, steps=2), seed=SEED, n=3
    )
    assert drawn.shape == (3, SIZE, SIZE, 1)
    assert np.isfinite(drawn).all()


# Tasks.


def tasks(**changes):
    values = {"classes": fakes.TEST, "batch_size": 4, "seed": 0, **changes}
    return UnseenTasks(fakes.class_images(), **values)


def shows(task):
    """Return the class ids that the support of a task shows."""
    rows = task.support.mean(axis=(3, 4))[..., : len(fakes.ROWS)]
    return {fakes.ROWS[i] for i in rows.argmax(-1).ravel()}


def test_support_is_of_the_class_of_the_task():
    draw = tasks().draw(steps=3, shots=0)
    found = [draw(i) for i in range(20)]
    assert all(shows(task) == {task.label} for task in found)
    assert {task.label for task in found} == set(fakes.TEST)
    assert all(task.name == f"row {task.label}" for task in found)


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_fewer_steps_keep_class_seed_and_first_images(shots):
    source = tasks()
    few, many = (source.draw(steps=n, shots=shots) for n in (2, 7))
    for number in range(4):
        a, b = few(number), many(number)
        assert a.label == b.label
        np.testing.assert_array_equal(a.seed, b.seed)
        np.testing.assert_array_equal(a.support, b.support[: len(a.support)])
    assert few(0).support.shape[:2] == ((2, 4) if not shots else (1, shots))


def test_fewer_shots_are_the_first_of_more():
    source = tasks()
    one, four = (source.draw(steps=2, shots=n)(3) for n in (1, 4))
    np.testing.assert_array_equal(one.support, four.support[:, :1])
    assert one.label == four.label
    np.testing.assert_array_equal(one.seed, four.seed)


def test_more_shots_than_a_batch_are_divided_over_the_steps():
    task = tasks().draw(steps=50, shots=6)(0)
    assert task.support.shape[:2] == (50, 4)
    flat = task.support.reshape(200, -1)
    assert len(np.unique(flat, axis=0)) == 6


def test_too_many_shots_are_refused():
    with pytest.raises(ValueError, match=r"--shots=30 needs 31 images"):
        tasks().draw(steps=2, shots=30)


def test_other_seeds_draw_other_tasks():
    def labels(seed):
        draw = tasks(seed=seed).draw(steps=1, shots=0)
        return [draw(i).label for i in range(20)]

    assert labels(0) == labels(0) != labels(1)
