"""FOMAML: validation gradients at adapted weights, and nothing else."""

import keras
import pytest
import tensorflow as tf

from tests import problems
from tf_metagan.core import tree
from tf_metagan.core.rollout import Turn

# Sums of some hundred terms in another order, in double precision.
EXACT = 1e-12

# Keras keeps some numbers in single precision: they must be exact there.
RATE = 0.125
TINY = {"inner_epsilon": 1e-30, "epsilon_placement": "outside"}
OPTIMIZERS = {
    "sgd": ({}, lambda: keras.optimizers.SGD(RATE)),
    "momentum": ({}, lambda: keras.optimizers.SGD(RATE, momentum=0.75)),
    "rmsprop": (
        {"inner_epsilon": 1e-4},
        lambda: keras.optimizers.RMSprop(RATE, rho=0.9, epsilon=1e-4),
    ),
    # Keras adds epsilon before the bias is removed; equal when it is nothing.
    "adam": (
        TINY,
        lambda: keras.optimizers.Adam(
            RATE, beta_1=0.5, beta_2=0.96875, epsilon=1e-30
        ),
    ),
}
LOGISTIC = {"loss": "non_saturating"}  # every leaf has a gradient


def check_accumulation(algorithm, weights, make_optimizer):
    """Compare with validation gradients at weights that Keras adapts."""
    vars, batch = problems.start(algorithm), problems.tasks(algorithm)
    task = problems.task(batch)
    total = tree.zeros_like(vars.params)
    steps = problems.keras_steps(algorithm, vars, task, make_optimizer)
    for s, adapted in enumerate(steps):
        total = tree.add_scaled(
            total,
            weights[s],
            problems.validation_gradients(algorithm.game, adapted, task, s),
        )
    grads = problems.gradients(algorithm, vars, batch)
    assert problems.distance(grads.params, total) < EXACT


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fomaml_equals_accumulated_validation_gradients(name):
    changes, make_optimizer = OPTIMIZERS[name]
    algorithm = problems.build(
        "fomaml",
        duel=problems.game(**LOGISTIC),
        inner=problems.optimizer(name, **changes),
        rate=RATE,
        inner_steps=3,
    )
    check_accumulation(algorithm, [1 / 3] * 3, make_optimizer)


def test_fomaml_counts_steps_by_their_weights():
    _, sgd = OPTIMIZERS["sgd"]
    algorithm = problems.build("fomaml", rate=RATE, step_weights="final")
    check_accumulation(algorithm, [0, 1], sgd)
    with pytest.raises(AssertionError):
        check_accumulation(algorithm, [0.5, 0.5], sgd)


def test_other_inner_optimizer_is_noticed():
    changes, _ = OPTIMIZERS["rmsprop"]
    algorithm = problems.build(
        "fomaml", inner=problems.optimizer("rmsprop", **changes), rate=RATE
    )
    other = lambda: keras.optimizers.RMSprop(RATE, rho=0.99, epsilon=1e-4)
    with pytest.raises(AssertionError):
        check_accumulation(algorithm, [0.5, 0.5], other)


def stopped(optimizer):
    """Return an optimiser whose directions are constants to every tape."""

    def update(grads, slots):
        directions, slots = optimizer.update(grads, slots)
        return tf.nest.map_structure(tf.stop_gradient, directions), slots

    return optimizer._replace(update=update)


def check_stopped(inner, **options):
    """Compare FOMAML with MAML whose increments are constants."""
    first = problems.build("fomaml", inner=inner, **options)
    vars, batch = problems.start(first), problems.tasks(first)
    exact = problems.build("maml", inner=stopped(inner), **options)
    ours, theirs = (
        problems.gradients(algorithm, vars, batch)
        for algorithm in (first, exact)
    )
    assert problems.distance(ours, theirs) < EXACT
    for part in (ours.params, ours.inner):
        for gradient in tf.nest.flatten(part):
            assert tf.norm(gradient) > 0.0


SEQUENTIAL = (Turn(("d",), 2), Turn(("g",)))
HEADS = ("d/head/*", "g/paint/*")


CONSTANT = {
    "weights": {"inner_steps": 3},
    "rates-in-sequence": {"learned_rates": "weight", "turns": SEQUENTIAL},
    "rates-of-heads": {
        "learned_rates": "layer_step",
        "adapt": HEADS,
        "inner_loop": "unrolled",
    },
    "rates-of-fixed-weights": {
        "learned_rates": "layer_step",
        "meta_learn": ("*/hidden/*",),
    },
    "rates-of-fixed-player": {
        "learned_rates": "weight",
        "meta_learn": ("g/*",),
        "adapt": HEADS,
    },
}


@pytest.mark.parametrize("name", CONSTANT)
def test_fomaml_equals_maml_with_constant_increments(name):
    inner, duel = problems.optimizer("rmsprop"), problems.game(**LOGISTIC)
    check_stopped(inner, duel=duel, rate=0.02, **CONSTANT[name])


def rate_gradients_by_hand(algorithm, vars, task, rates):
    """Return dM_p / drate_p of w_s = w_0 - sum_i rate_i d_i, d_i constant."""
    duel, k = algorithm.game, algorithm.inner_steps
    weights, directions = vars.params, []
    for s in range(k):
        seed = problems.adapt_seed(task, s)
        step = problems.own_gradients(duel, weights, task.support[s], seed)
        directions.append(step)
        weights = tf.nest.map_structure(
            lambda w, r, d, s=s: w - r[s] * d, weights, rates, step
        )
    found = tree.zeros_like(rates)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(rates)
        weights = vars.params
        for s in range(k):
            weights = tf.nest.map_structure(
                lambda w, r, d, s=s: w - r[s] * tf.stop_gradient(d),
                weights,
                rates,
                directions[s],
            )
            slope = problems.validation_gradients(
                duel, tf.nest.map_structure(tf.stop_gradient, weights), task, s
            )
            linear = {
                p: sum(
                    tf.reduce_sum(w * tf.stop_gradient(slope[p][leaf])) / k
                    for leaf, w in leaves.items()
                )
                for p, leaves in weights.items()
            }
            for p in rates:
                found[p] = tree.add(
                    found[p],
                    tape.gradient(
                        linear[p],
                        rates[p],
                        unconnected_gradients="zero",
                    ),
                )
    return found


def test_learned_rates_have_their_first_order_gradient():
    algorithm = problems.build(
        "fomaml",
        duel=problems.game(**LOGISTIC),
        inner_steps=3,
        learned_rates="layer_step",
    )
    vars, batch = problems.start(algorithm), problems.tasks(algorithm)
    rates = {
        p: {leaf.removeprefix("rate/"): x for leaf, x in leaves.items()}
        for p, leaves in vars.inner.items()
    }
    ours = problems.gradients(algorithm, vars, batch).inner
    theirs = rate_gradients_by_hand(
        algorithm, vars, problems.task(batch), rates
    )
    renamed = {
        p: {f"rate/{leaf}": x for leaf, x in leaves.items()}
        for p, leaves in theirs.items()
    }
    assert problems.distance(ours, renamed) < EXACT
    late = {
        p: {leaf: tf.roll(x, 1, 0) for leaf, x in leaves.items()}
        for p, leaves in renamed.items()
    }
    with pytest.raises(AssertionError):
        assert problems.distance(ours, late) < EXACT


def test_fomaml_tends_to_maml_as_the_inner_rate_tends_to_zero():
    """The difference is of first order in the rate."""
    found = []
    for rate in (1e-3, 1e-4):
        first, exact = (
            problems.build(name, rate=rate) for name in ("fomaml", "maml")
        )
        vars, batch = problems.start(first), problems.tasks(first)
        ours, theirs = (
            problems.gradients(algorithm, vars, batch).params
            for algorithm in (first, exact)
        )
        found.append(problems.distance(ours, theirs))
    assert found[0] == pytest.approx(10 * found[1], rel=0.01)
    assert 0.0 < found[1] < 1e-2


@pytest.mark.parametrize(
    "in_graph", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_first_order_steps_change_the_gradient_at_their_end(in_graph):
    options = {"inner_steps": 1}
    mixed = problems.build("maml", first_order_steps=3, **options)
    vars, batch = problems.start(mixed), problems.tasks(mixed)
    step = mixed.meta_gradients
    if in_graph:
        step = tf.function(step, autograph=False)
    first, exact = (
        problems.gradients(problems.build(name, **options), vars, batch)
        for name in ("fomaml", "maml")
    )
    for meta_step in (0, 2, 3, 4):
        grads = step(vars, batch, tf.constant(meta_step, tf.int64)).grads
        same, other = (first, exact) if meta_step < 3 else (exact, first)
        assert problems.distance(grads, same) < EXACT
        with pytest.raises(AssertionError):
            assert problems.distance(grads, other) < EXACT


def test_learned_statistics_are_refused():
    with pytest.raises(ValueError, match=r"no first-order gradient.*algo=maml"):
        problems.build("fomaml", inner="rmsprop", statistics="learned")
