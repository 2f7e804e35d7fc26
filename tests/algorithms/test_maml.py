"""MAML and Meta-SGD against a naive tape and against hand calculation."""

import numpy as np
import pytest
import tensorflow as tf

from tests import problems
from tf_metagan.core import reverse, rng, tree
from tf_metagan.core.rollout import Turn
from tf_metagan.gan.game import Game, Outcome
from tf_metagan.types import Vars

# Sums of some hundred terms in another order, in double precision.
EXACT = 1e-12

RATE = 0.1


def naive(algorithm, vars, task, weights):
    """Return dM_p / dw_p by one tape around plain gradient descent."""
    duel, params = algorithm.game, vars.params
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(params)
        outer = dict.fromkeys(params, 0.0)
        moving = params
        for s, weight in enumerate(weights):
            grads = problems.own_gradients(
                duel, moving, task.support[s], problems.adapt_seed(task, s)
            )
            moving = tree.add_scaled(moving, -RATE, grads)
            now = Vars(moving, vars.state, {})
            seed = rng.fold(task.seed, 1, s)
            loss = duel.losses(now, task.query[s], None, seed).loss
            outer = {p: x + weight * loss[p] for p, x in outer.items()}
    return {p: tape.gradient(outer[p], params[p]) for p in params}


def check_naive(k, weights, **options):
    algorithm = problems.build("maml", rate=RATE, inner_steps=k, **options)
    vars, batch = problems.start(algorithm), problems.tasks(algorithm)
    ours = problems.gradients(algorithm, vars, batch).params
    theirs = naive(algorithm, vars, problems.task(batch), weights)
    assert problems.distance(ours, theirs) < EXACT


@pytest.mark.parametrize("loss", ["wasserstein", "non_saturating"])
@pytest.mark.parametrize("k", [1, 3])
def test_maml_equals_one_tape_around_everything(k, loss):
    check_naive(k, [1 / k] * k, duel=problems.game(loss=loss))


def test_one_tape_notices_other_step_weights():
    check_naive(2, [0, 1], step_weights="final")
    with pytest.raises(AssertionError):
        check_naive(2, [0, 1], step_weights="uniform")


def test_one_validated_step_has_one_weight():
    """With k = 1, uniform, final and annealed weights are the same."""
    found = []
    for options in (
        {"step_weights": "uniform"},
        {"step_weights": "final"},
        {"step_weights": "annealed", "annealing_steps": 7},
    ):
        algorithm = problems.build("maml", inner_steps=1, **options)
        vars, batch = problems.start(algorithm), problems.tasks(algorithm)
        found.append(problems.gradients(algorithm, vars, batch))
    for other in found[1:]:
        tf.nest.map_structure(np.testing.assert_array_equal, found[0], other)


# The game L_d = x y, L_g = -x y; gradient descent is a matrix.


def bilinear():
    """Return the game whose every derivative is known."""

    def losses(vars, real, others, seed):
        xy = vars.params["d"]["x"] * vars.params["g"]["y"]
        return Outcome({"d": xy, "g": -xy}, {"d": {}, "g": {}}, {})

    def gradients(vars, real, others, seed, wrt):
        slopes = {"d": {"x": vars.params["g"]["y"]}}
        slopes["g"] = {"y": -vars.params["d"]["x"]}
        outcome = losses(vars, real, others, seed)
        return {p: slopes[p] for p in wrt}, outcome

    def init(seed):
        weights = {"d": {"x": 1.5}, "g": {"y": -0.7}}
        weights = tf.nest.map_structure(
            lambda w: tf.constant(w, tf.float64), weights
        )
        return Vars(weights, {"d": {}, "g": {}}, {})

    def sample(vars, seed, n):
        return tf.zeros([n, 1, 1, 1], tf.float64)

    return Game(("d", "g"), init, losses, gradients, sample, ())


TURNS = {
    "simultaneous": (Turn(("d", "g")),),
    "sequential": (Turn(("d",)), Turn(("g",))),
}
STEP = {
    "simultaneous": np.array([[1, -RATE], [RATE, 1]]),
    "sequential": np.array([[1, -RATE], [RATE, 1 - RATE**2]]),
}


def bilinear_by_hand(order, k, cross):
    """Return (dM_d/dx, dM_g/dy) for M = mean over s of L(A^s (x, y))."""
    total = np.zeros(2)
    for s in range(1, k + 1):
        power = np.linalg.matrix_power(STEP[order], s)
        x, y = power @ [1.5, -0.7]
        # x_s = x - RATE * (sum of y_i), so dx_s/dx = 1 where y is constant.
        slope = power.T @ [y, x] if cross == "full" else np.array([y, x])
        total += slope * [1, -1] / k
    return total


def check_bilinear(order, k, cross, expected_cross):
    algorithm = problems.build(
        "maml",
        duel=bilinear(),
        rate=RATE,
        inner_steps=k,
        turns=TURNS[order],
        cross_player=cross,
    )
    batch = problems.tasks(algorithm)
    grads = problems.gradients(algorithm, algorithm.init(0), batch).params
    np.testing.assert_allclose(
        [grads["d"]["x"], grads["g"]["y"]],
        bilinear_by_hand(order, k, expected_cross),
        rtol=1e-14,
    )


@pytest.mark.parametrize("cross", ["full", "stop"])
@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("order", TURNS)
def test_bilinear_game_has_the_gradient_of_its_matrix(order, k, cross):
    check_bilinear(order, k, cross, cross)


@pytest.mark.parametrize("order", TURNS)
def test_bilinear_game_tells_full_and_stop_apart(order):
    with pytest.raises(AssertionError):
        check_bilinear(order, 2, "full", "stop")
    with pytest.raises(AssertionError):
        check_bilinear(order, 2, "stop", "full")


def test_bilinear_game_tells_the_orders_apart():
    simultaneous, sequential = (
        bilinear_by_hand(order, 2, "full") for order in TURNS
    )
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(simultaneous, sequential, rtol=1e-3)


# Meta-SGD.


@pytest.mark.parametrize("cross", ["full", "stop"])
def test_metasgd_with_constant_rates_equals_maml(cross):
    duel = problems.game(loss="non_saturating", penalty="none")
    options = {"duel": duel, "inner_steps": 1, "cross_player": cross}
    learned = problems.build(
        "metasgd",
        rate=RATE,
        learned_rates="weight",
        loss="non_saturating",
        **options,
    )
    vars, batch = learned.init(0), problems.tasks(learned)
    ours = problems.gradients(learned, vars, batch).params
    for rate, close in ((RATE, True), (2 * RATE, False)):
        plain = problems.build("maml", rate=rate, **options)
        theirs = problems.gradients(
            plain, vars._replace(inner={}), batch
        ).params
        assert (problems.distance(ours, theirs) < EXACT) == close


def test_metasgd_refuses_a_rollout_without_rates_per_weight():
    with pytest.raises(ValueError, match=r"got learned_rates=\['none'\]. Use"):
        problems.build("metasgd", loss="non_saturating")


def test_metasgd_warns_of_the_wasserstein_loss():
    options = {"learned_rates": "weight", "loss": "wasserstein"}
    with pytest.warns(UserWarning, match="reported not to train"):
        problems.build("metasgd", **options)


# Both forms of the loop, graph and eager, reduced cases.


@pytest.mark.parametrize("algo", ["maml", "fomaml", "reptile"])
def test_while_in_a_graph_equals_unrolled_without(algo):
    """Gradients, carried statistics and every metric."""
    options = {"inner": "rmsprop", "statistics": "carried", "rate": 0.02}
    if algo == "fomaml":
        options["learned_rates"] = "layer_step"
    loop, unrolled = (
        problems.build(algo, inner_loop=form, **options)
        for form in ("while", "unrolled")
    )
    vars, batch = problems.start(loop), problems.tasks(loop)
    ours = problems.traced(loop, vars, batch)
    theirs = unrolled.meta_gradients(vars, batch, problems.STEP)
    for a, b in zip(ours, theirs, strict=True):
        assert problems.distance(a, b) < EXACT


def test_states_found_once_more_change_nothing(monkeypatch):
    """Segments of three, three and one."""
    k = 7

    def found(many):
        monkeypatch.setattr(reverse, "_MANY_STEPS", many)
        algorithm = problems.build("maml", inner="momentum", inner_steps=k)
        vars, batch = problems.start(algorithm), problems.tasks(algorithm)
        return problems.traced(algorithm, vars, batch)

    whole, segments = found(k), found(1)
    assert problems.distance(segments.grads, whole.grads) < EXACT
    assert problems.distance(segments.metrics, whole.metrics) < EXACT


@pytest.mark.parametrize("algo", ["maml", "fomaml"])
def test_nothing_adapted_is_plain_training_on_the_query(algo):
    duel = problems.game(loss="non_saturating")
    for adapt, plain in (((), True), (("d/head/*",), False)):
        algorithm = problems.build(algo, duel=duel, adapt=adapt)
        vars, batch = problems.start(algorithm), problems.tasks(algorithm)
        result = algorithm.meta_gradients(vars, batch, problems.STEP)
        task = problems.task(batch)
        theirs = tree.add(
            *(
                tree.scale(
                    problems.validation_gradients(duel, vars.params, task, s),
                    0.5,
                )
                for s in range(2)
            )
        )
        close = problems.distance(result.grads.params, theirs) < EXACT
        assert close == plain
        assert (result.metrics["inner_update_norm_D"] == 0.0) == plain
        assert result.metrics["inner_update_norm_G"] == 0.0


@pytest.mark.parametrize("algo", ["maml", "fomaml", "reptile"])
def test_no_inner_step_is_refused(algo):
    with pytest.raises(ValueError, match=r"--inner_steps=0 .*at least 1\. Use"):
        problems.build(algo, inner_steps=0)
    assert problems.build("scratch", inner_steps=0).inner_steps == 0
