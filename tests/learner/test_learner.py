"""One meta-step: what it changes, by how much, and what it leaves alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import problems
from tf_metagan.core import tree
from tf_metagan.core.rollout import Turn
from tf_metagan.gan import duel, losses, penalties

# A few roundings in double precision.
EXACT = 1e-14


@pytest.fixture(autouse=True)
def _eager():
    """Run steps without a graph, which saves the time of tracing them.

    Graphs have a test of their own below and are what test_checkpoints.py and
    test_devices.py use.
    """
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def mean_gradients(algorithm, vars, batch, meta_step=0):
    """Return the outer gradients divided by the number of tasks."""
    grads = problems.gradients(algorithm, vars, batch, meta_step)
    return tree.scale(grads, 1.0 / len(batch.label))


def check_moved(learner, before, gradients, rate):
    """Check that the weights went down the gradients by a rate."""
    expected = tree.add_scaled(before.params, -rate, gradients)
    assert problems.distance(learner.values().params, expected) < EXACT


# The outer step in closed form.


def test_step_descends_the_mean_over_tasks():
    algorithm = problems.build("fomaml")
    batch, learner = problems.tasks(algorithm, 3), problems.learner(algorithm)
    before = learner.values()
    learner.step(batch)
    mean = mean_gradients(algorithm, before, batch).params
    check_moved(learner, before, mean, 0.125)
    with pytest.raises(AssertionError):
        check_moved(learner, before, tree.scale(mean, 3.0), 0.125)


def test_graph_of_a_step_equals_the_step():
    algorithm = problems.build("maml", inner="rmsprop", inner_steps=1)
    learner = problems.learner(algorithm, keras.optimizers.Adam)
    batch, before = problems.tasks(algorithm, 2), learner.snapshot()
    found = []
    for eagerly in (True, False):
        tf.config.run_functions_eagerly(eagerly)
        learner.put_back(before)
        metrics = learner.step(batch)
        found.append((learner.values().params, metrics))
        assert int(learner.meta_step) == 1
    assert problems.distance(*found) < 1e-12


def test_metrics_are_means_over_tasks():
    algorithm = problems.build("fomaml")
    batch, learner = problems.tasks(algorithm, 3), problems.learner(algorithm)
    before = learner.values()
    sums = algorithm.meta_gradients(before, batch, problems.STEP)
    alone = tf.function(learner.replica_metrics, autograph=False)(batch)
    assert int(learner.meta_step) == 0
    metrics = learner.step(batch)
    norms = {
        f"grad_norm_outer_{p.upper()}": tree.global_norm(x) / 3.0
        for p, x in sums.grads.params.items()
    }
    expected = {**tree.scale(sums.metrics, 1.0 / 3.0), **norms}
    assert set(metrics) == set(expected)
    assert problems.distance(metrics, expected) < EXACT
    assert set(alone) == set(sums.metrics)
    for name, value in alone.items():
        np.testing.assert_allclose(value, metrics[name], rtol=1e-12)


def test_meta_step_reaches_the_algorithm():
    options = {"step_weights": "annealed", "annealing_steps": 2}
    algorithm = problems.build("fomaml", **options)
    batch, learner = problems.tasks(algorithm), problems.learner(algorithm)
    for meta_step in range(3):
        before = learner.values()
        assert int(learner.meta_step) == meta_step
        learner.step(batch)
        now, next_ = (
            mean_gradients(algorithm, before, batch, step).params
            for step in (meta_step, meta_step + 1)
        )
        check_moved(learner, before, now, 0.125)
        if meta_step < 2:
            with pytest.raises(AssertionError):
                check_moved(learner, before, next_, 0.125)


def adapted(algorithm, vars, batch):
    """Return the weights that evaluation would adapt to the first task."""
    task = problems.task(batch)
    return algorithm.adapt(
        vars, task.support, None, task.seed, algorithm.inner_steps
    )[0]


@pytest.mark.parametrize("rate", [1.0, 0.25, 0.0])
def test_reptile_with_sgd_interpolates(rate):
    algorithm = problems.build("reptile", inner="rmsprop", inner_steps=3)
    learner = problems.learner(algorithm, lambda: keras.optimizers.SGD(rate))
    before, batch = learner.values(), problems.tasks(algorithm)
    learner.step(batch)
    after = learner.values().params
    target = adapted(algorithm, before, batch).params
    between = tree.add(
        tree.scale(before.params, 1.0 - rate), tree.scale(target, rate)
    )
    assert problems.distance(after, between) < EXACT
    assert problems.distance(target, before.params) > 1e-3
    if rate == 0.0:
        tf.nest.map_structure(
            np.testing.assert_array_equal, after, before.params
        )


def test_schedule_counts_meta_steps():
    """Linear from 1 to 0 in four meta-steps: the last ones change nothing."""
    algorithm = problems.build("reptile", inner_steps=1)
    decay = keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0)
    learner = problems.learner(algorithm, lambda: keras.optimizers.SGD(decay))
    batch = problems.tasks(algorithm)
    for rate in (1.0, 0.75, 0.5, 0.25, 0.0, 0.0):
        before = learner.values()
        learner.step(batch)
        mean = mean_gradients(algorithm, before, batch).params
        check_moved(learner, before, mean, rate)
        with pytest.raises(AssertionError):
            check_moved(learner, before, mean, rate + 0.25)


def clipped(gradients, *, norm=None, value=None):
    """Clip one player's gradients, in NumPy."""
    gradients = {leaf: x.numpy() for leaf, x in gradients.items()}
    if norm is not None:
        length = np.sqrt(sum(np.sum(x**2) for x in gradients.values()))
        factor = min(1.0, norm / length)
        gradients = {leaf: factor * x for leaf, x in gradients.items()}
    if value is not None:
        gradients = {
            leaf: np.clip(x, -value, value) for leaf, x in gradients.items()
        }
    return gradients


@pytest.mark.parametrize(
    "bounds", [{"norm": 0.1}, {"value": 0.02}, {"norm": 0.1, "value": 0.02}]
)
def test_clipping_comes_after_the_mean_over_tasks(bounds):
    algorithm = problems.build("reptile", inner_steps=1, rate=1.0)
    options = {f"outer_clip_{name}": bound for name, bound in bounds.items()}
    learner = problems.learner(algorithm, **options)
    before, batch = learner.values(), problems.tasks(algorithm, 2)
    metrics = learner.step(batch)
    mean = mean_gradients(algorithm, before, batch).params
    expected = {p: clipped(x, **bounds) for p, x in mean.items()}
    check_moved(learner, before, expected, 0.125)
    assert float(metrics["grad_norm_outer_D"]) == pytest.approx(
        float(tree.global_norm(mean["d"])), rel=1e-12
    )
    singly = [
        problems.gradients(
            algorithm,
            before,
            batch._replace(
                support=batch.support[i : i + 1],
                query=batch.query[i : i + 1],
                label=batch.label[i : i + 1],
                seed=batch.seed[i : i + 1],
            ),
        ).params
        for i in range(2)
    ]
    before_mean = tf.nest.map_structure(
        lambda a, b: 0.5 * (a + b),
        *({p: clipped(x, **bounds) for p, x in one.items()} for one in singly),
    )
    for wrong in (mean, before_mean):
        with pytest.raises(AssertionError):
            check_moved(learner, before, wrong, 0.125)


def test_average_follows_the_weights():
    """a_1 = w_1, a_t = 0.75 a_(t-1) + 0.25 w_t; the weights do not feel it."""
    algorithm = problems.build("reptile", inner_steps=1)

    def sgd(**options):
        return lambda: keras.optimizers.SGD(1.0, **options)

    with_ema = problems.learner(algorithm, sgd(use_ema=True, ema_momentum=0.75))
    without = problems.learner(algorithm, sgd())
    batch = problems.tasks(algorithm)
    tf.nest.map_structure(
        np.testing.assert_array_equal, with_ema.averaged(), without.values()
    )
    expected = None
    for _ in range(3):
        with_ema.step(batch)
        without.step(batch)
        now = without.values().params
        if expected is None:
            expected = now
        else:
            expected = tree.add_scaled(tree.scale(expected, 0.75), 0.25, now)
        assert problems.distance(with_ema.averaged().params, expected) < EXACT
        tf.nest.map_structure(
            np.testing.assert_array_equal, with_ema.values().params, now
        )
    with pytest.raises(AssertionError):
        assert problems.distance(with_ema.averaged().params, now) < EXACT
    tf.nest.map_structure(
        np.testing.assert_array_equal, without.averaged(), without.values()
    )


# Reach.


def changed(before, after):
    """Return the leaves of a part that are not the same bit for bit."""
    return {
        f"{p}/{leaf}"
        for p, leaves in before.items()
        for leaf, x in leaves.items()
        if not np.array_equal(x, after[p][leaf])
    }


REACH = {
    "learned": {
        "inner": "rmsprop",
        "learned_rates": "layer_step",
        "statistics": "learned",
    },
    "carried": {"inner": "adam", "statistics": "carried"},
    "parts": {
        "learned_rates": "weight",
        "meta_learn": ("d/hidden/*", "g/*"),
        "adapt": ("d/*", "g/paint/kernel"),
    },
}


@pytest.mark.parametrize("name", REACH)
def test_one_step_changes_what_is_declared_and_nothing_else(name):
    algorithm = problems.build(
        "maml", duel=problems.game(loss="non_saturating"), **REACH[name]
    )
    learner = problems.learner(
        algorithm, keras.optimizers.Adam, seed=5, split="halves"
    )
    before, batch = learner.values(), problems.tasks(algorithm, 2)
    learner.step(batch)
    after = learner.values()
    learned = algorithm.learned(before.params)
    assert changed(before.params, after.params) == set(tree.names(learned))
    assert changed(before.inner, after.inner) == set(tree.names(before.inner))
    # Carried statistics of every player, those of Adam's counters too.
    assert changed(before.state, after.state) == set(tree.names(before.state))
    assert {p: len(x) > 0 for p, x in before.state.items()} == {
        "d": name == "carried",
        "g": name == "carried",
    }
    assert bool(before.inner) == (name != "carried")
    items = learner.items()
    assert [int(items[k]) for k in ("seed", "meta_step")] == [5, 1]
    assert items["split"].numpy() == b"halves"


def test_carried_statistics_become_the_mean_over_tasks():
    algorithm = problems.build("fomaml", inner="rmsprop", statistics="carried")
    learner = problems.learner(algorithm)
    before, batch = learner.values(), problems.tasks(algorithm, 2)
    learner.step(batch)
    ends = []
    for number in range(2):
        task = problems.task(batch, number)
        ends.append(
            algorithm.adapt(before, task.support, None, task.seed, 2)[0].state
        )
    mean = tree.scale(tree.add(*ends), 0.5)
    assert problems.distance(learner.values().state, mean) < EXACT
    with pytest.raises(AssertionError):
        assert problems.distance(learner.values().state, ends[0]) < EXACT


def test_scratch_changes_nothing():
    algorithm = problems.build("scratch", learned_rates="layer_step")
    learner = problems.learner(algorithm)
    before = learner.values()
    learner.step(problems.tasks(algorithm))
    tf.nest.map_structure(
        np.testing.assert_array_equal, before, learner.values()
    )
    assert int(learner.meta_step) == 1


class Detached(keras.layers.Layer):
    """Add a bias that no loss feels."""

    def build(self, input_shape):
        self.shift = self.add_weight(name="shift", shape=input_shape[1:])

    def call(self, inputs):
        return inputs + tf.stop_gradient(self.shift)


@pytest.mark.parametrize("adapt", [("*",), ("g/*",)])
@pytest.mark.parametrize("algo", ["maml", "fomaml"])
def test_detached_leaf_is_refused(algo, adapt):
    dense = keras.layers.Dense
    options = {"dtype": "float64"}
    networks = {
        "d": keras.Sequential(
            [
                keras.Input([1, 1, 1], dtype="float64"),
                keras.layers.Flatten(name="flat", **options),
                Detached(name="loose", **options),
                dense(1, name="head", **options),
            ],
            name="d",
        ),
        "g": keras.Sequential(
            [
                keras.Input([1], dtype="float64"),
                dense(1, name="paint", **options),
                keras.layers.Reshape([1, 1, 1], name="grid", **options),
            ],
            name="g",
        ),
    }
    game = duel.two_player(
        networks, loss=losses.least_squares(), penalty=penalties.none()
    )
    algorithm = problems.build(algo, duel=game, adapt=adapt)
    learner = problems.learner(algorithm)
    with pytest.raises(ValueError, match=r"d/loose/shift cannot learn"):
        learner.step(problems.tasks(algorithm))


# Undoing.


def test_put_back_undoes_everything():
    algorithm = problems.build("reptile", inner="rmsprop", statistics="carried")
    learner = problems.learner(algorithm, keras.optimizers.Adam)
    batches = [problems.tasks(algorithm, seed=seed) for seed in range(3)]
    learner.step(batches[0])
    kept = learner.snapshot()
    before = {name: np.array(x) for name, x in kept.items()}  # copies

    def go_on():
        for batch in batches[1:]:
            learner.step(batch)
        return learner.snapshot()

    first = go_on()
    assert int(learner.meta_step) == 3
    with pytest.raises(AssertionError):
        check_same(first, before)
    learner.put_back(kept)
    assert int(learner.meta_step) == 1
    check_same(learner.snapshot(), before)
    check_same(go_on(), first)


def check_same(ours, theirs):
    tf.nest.map_structure(np.testing.assert_array_equal, ours, theirs)


# Errors.


@pytest.mark.parametrize("field", ["params", "inner"])
def test_player_without_optimizer_is_refused(field):
    algorithm = problems.build("fomaml", learned_rates="layer_step")
    learner = problems.learner(algorithm)
    both = {p: keras.optimizers.SGD() for p in ("d", "g")}
    rates = {p: keras.optimizers.SGD() for p in ("d", "g")}
    del (both if field == "params" else rates)["g"]
    message = rf"player 'g' has {field} to learn but .*\['d'\]. Pass one"
    with pytest.raises(ValueError, match=message):
        type(learner)(
            algorithm,
            learner.variables,
            optimizers=both,
            rate_optimizers=rates,
        )


# Turns of the outer loop.


def test_players_learn_one_after_another():
    """G's gradient is taken at the D that has already learned."""
    turns = (Turn(("d",)), Turn(("g",)))
    algorithm = problems.build("joint", inner_steps=1, turns=turns)
    learner = problems.learner(algorithm, lambda: keras.optimizers.SGD(0.5))
    tasks = problems.tasks(algorithm, 2)
    before = learner.values()
    learner.step(tasks)

    def moved(vars, player, number):
        rule = algorithm.outer_turns()[number]
        grads = rule.meta_gradients(vars, tasks, problems.STEP).grads.params
        return {
            leaf: w - 0.5 * grads[player][leaf] / 2
            for leaf, w in vars.params[player].items()
        }

    d = moved(before, "d", 0)
    after = before._replace(params={**before.params, "d": d})
    expected = {"d": d, "g": moved(after, "g", 1)}
    assert problems.distance(learner.values().params, expected) < 1e-12
    at_once = {"d": d, "g": moved(before, "g", 1)}
    assert problems.distance(at_once, expected) > 1e-6
