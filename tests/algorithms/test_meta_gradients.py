"""Meta-gradients against central differences of the outer objectives.

Float64, h = 1e-5, three random unit directions for each player's weights and
for what the inner rule learns. Differences are wrong by h^2 times the third
derivative and by 1e-16 / h times the objective, relative to the slope. Measured
1e-11 to 1e-7 for the toy, to 3e-7 for the convolutional families; 1e-5 leaves
room for other machines, and wrong gradients are off by 1e-2 and more. The
optimisers that divide by a root have epsilon 1e-4 under it, or 1e-2 beside it,
since their directions bend where a gradient is as small as that; the default
has a case of its own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from tests import problems
from tf_metagan import registry
from tf_metagan.algorithms import step_weights
from tf_metagan.core import gradcheck
from tf_metagan.core.rollout import Turn

TOLERANCE = 1e-5

NOTHING = MappingProxyType({})

CRITIC_FIRST = (Turn(("d",), 2), Turn(("g",)))
HEADS = ("d/head/*", "g/paint/*")


class Case(NamedTuple):
    """One configuration that promises exact meta-gradients.

    Attributes:
      algo: name in the registry.
      inner: name of the inner optimiser.
      loss: name of the loss.
      penalty: name of the penalty.
      k: inner steps.
      game: other options of the game.
      optimizer: changed options of the inner optimiser.
      options: of the inner rule, the rollout and the algorithm.
      weights: of the steps, where they are not uniform.
      cross: "full" or "stop".
    """

    algo: str = "maml"
    inner: str = "sgd"
    loss: str = "wasserstein"
    penalty: str = "gradient"
    k: int = 2
    game: Mapping = NOTHING
    optimizer: Mapping = NOTHING
    options: Mapping = NOTHING
    weights: tuple | None = None
    cross: str = "full"


OUTSIDE = {"epsilon_placement": "outside", "inner_epsilon": 1e-2}
LAYER_STEP = {"learned_rates": "layer_step"}
PER_WEIGHT = {"learned_rates": "weight"}
ANNEALED = {"step_weights": "annealed", "annealing_steps": 10}

CASES = {
    # Inner optimisers, numbers of steps, both forms of the loop.
    "sgd": Case(k=3),
    "rmsprop": Case(inner="rmsprop", k=1),
    "rmsprop-unrolled": Case(
        inner="rmsprop", k=2, options={"inner_loop": "unrolled"}
    ),
    "rmsprop-outside": Case(inner="rmsprop", optimizer=OUTSIDE),
    "rmsprop-default-epsilon": Case(
        inner="rmsprop", optimizer={"inner_epsilon": 1e-7}, penalty="none"
    ),
    # Losses and penalties.
    "minimax-r1": Case(loss="minimax", penalty="r1"),
    "non-saturating-none": Case(
        loss="non_saturating", penalty="none", inner="momentum"
    ),
    "least-squares-channel": Case(
        loss="least_squares", game={"penalty_norm": "channel"}, inner="rmsprop"
    ),
    "figr-as-published": Case(
        loss="wasserstein_figr_as_published",
        penalty="gradient_figr_as_published",
    ),
    # Weights of the steps.
    "final": Case(
        k=3, options={"step_weights": "final"}, weights=(0.0, 0.0, 1.0)
    ),
    # The opponent held constant.
    "stop": Case(cross="stop", inner="rmsprop", k=1),
    # Players that move in sequence.
    "sequential": Case(options={"turns": CRITIC_FIRST}, inner="rmsprop"),
    "sequential-stop": Case(options={"turns": CRITIC_FIRST}, cross="stop", k=1),
    # Learned step sizes and statistics, carried statistics.
    "layer-step": Case(options=LAYER_STEP, inner="rmsprop"),
    "per-weight": Case(options=PER_WEIGHT, inner="momentum", penalty="r1"),
    "learned-rmsprop": Case(
        inner="rmsprop", options={"statistics": "learned", **LAYER_STEP}
    ),
    "carried-adam": Case(
        inner="adam", optimizer=OUTSIDE, options={"statistics": "carried"}
    ),
    # Parts that do not move, do not learn, or neither.
    "adapt-heads": Case(options={"adapt": HEADS, **LAYER_STEP}),
    "adapt-d": Case(options={"adapt": ("d/*",)}, inner="adam"),
    "learn-hidden-adapt-heads": Case(
        options={"meta_learn": ("*/hidden/*",), "adapt": HEADS, **LAYER_STEP},
        k=3,
    ),
    # Meta-SGD.
    "metasgd": Case(algo="metasgd", loss="non_saturating", penalty="none", k=1),
    "metasgd-rmsprop": Case(
        algo="metasgd", loss="minimax", penalty="r1", inner="rmsprop"
    ),
    "metasgd-momentum": Case(algo="metasgd", loss="hinge", inner="momentum"),
    "metasgd-adam": Case(algo="metasgd", loss="least_squares", inner="adam"),
}

SLOW_CASES = {
    "adam": Case(inner="adam", k=3, optimizer=OUTSIDE),
    "hinge-pixel": Case(
        loss="hinge", game={"penalty_norm": "pixel"}, inner="adam"
    ),
    "learned-adam": Case(inner="adam", options={"statistics": "learned"}),
    "momentum": Case(inner="momentum", k=3),
    "rmsprop-three-steps": Case(inner="rmsprop", k=3),
    "adam-inside": Case(inner="adam", k=2),
    "annealed": Case(k=2, options=ANNEALED, weights=(0.3, 0.7)),
    "stop-two-steps": Case(cross="stop", loss="non_saturating", k=2),
    "stop-unrolled": Case(
        cross="stop", inner="momentum", options={"inner_loop": "unrolled"}
    ),
    "layer-step-stop": Case(options=LAYER_STEP, cross="stop"),
    "learned-momentum": Case(
        inner="momentum", options={"statistics": "learned"}
    ),
    "carried-rmsprop": Case(inner="rmsprop", options={"statistics": "carried"}),
    "adapt-heads-stop": Case(
        options={"adapt": HEADS}, inner="rmsprop", cross="stop", k=1
    ),
    "adapt-nothing": Case(options={"adapt": ()}, inner="rmsprop"),
    "learn-g": Case(options={"meta_learn": ("g/*",)}),
}

SLOW_CASES |= {  # the grid
    f"{inner}-{k}-{cross}-{loss}": Case(
        inner=inner, k=k, cross=cross, loss=loss
    )
    for inner in registry.INNER_OPTIMIZERS
    for k in (1, 2, 3)
    for cross, loss in (("full", "non_saturating"), ("stop", "wasserstein"))
}


def make(case):
    """Build the algorithm of a case."""
    options = {"cross_player": case.cross, **case.options}
    if case.algo == "metasgd":
        options = {"loss": case.loss, **PER_WEIGHT, **options}
    return problems.build(
        case.algo,
        duel=problems.game(loss=case.loss, penalty=case.penalty, **case.game),
        inner=problems.optimizer(case.inner, **case.optimizer),
        rate=0.1 if case.inner in ("sgd", "momentum") else 0.02,
        inner_steps=case.k,
        **options,
    )


def check(
    algorithm,
    *,
    weights=None,
    cross="full",
    meta_step=0,
    tasks=None,
    spread=0.0,
    distance=1e-5,
):
    """Compare every meta-gradient of an algorithm with differences."""
    vars = problems.start(algorithm, spread=spread)
    errors = gradcheck.relative_errors(
        algorithm,
        vars,
        problems.tasks(algorithm) if tasks is None else tasks,
        step_weights=weights,
        cross_player=cross,
        meta_step=meta_step,
        distance=distance,
    )
    learned = algorithm.learned(vars.params)
    inner = [f"{p}/inner" for p, leaves in vars.inner.items() if leaves]
    assert set(errors) == {p for p, x in learned.items() if x} | set(inner)
    assert max(errors.values()) < TOLERANCE, errors


def check_case(case):
    meta_step = 4 if "annealing_steps" in case.options else 0
    check(
        make(case), weights=case.weights, cross=case.cross, meta_step=meta_step
    )


@pytest.mark.parametrize("name", CASES)
def test_meta_gradient_equals_differences(name):
    check_case(CASES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_CASES)
def test_meta_gradient_equals_differences_in_more_cases(name):
    check_case(SLOW_CASES[name])


def test_cases_cover_the_registry():
    cases = CASES.values()
    exact = ("maml", "metasgd")
    assert {(c.algo, c.inner) for c in cases} == {
        (algo, inner) for algo in exact for inner in registry.INNER_OPTIMIZERS
    } | {("metasgd", "sgd")}
    assert {c.loss for c in cases} == set(registry.LOSSES)
    assert {c.penalty for c in cases} == set(registry.PENALTIES)


@pytest.mark.slow
def test_error_is_that_of_the_differences():
    # A right gradient leaves the h^2 of the differences: 100 for 10 times h.
    # A wrong one leaves its own error, whatever h is.
    def ratio(algorithm):
        vars, tasks = problems.start(algorithm), problems.tasks(algorithm)
        coarse, fine = (
            gradcheck.relative_errors(algorithm, vars, tasks, distance=h)["d"]
            for h in (1e-3, 1e-4)
        )
        return coarse / fine

    adam = problems.optimizer("adam")
    assert ratio(problems.build(inner=adam)) == pytest.approx(100, rel=0.1)
    wrong = ratio(problems.build("fomaml", inner=adam))
    assert wrong == pytest.approx(1, rel=0.1)


def test_several_tasks_add_up():
    algorithm = make(CASES["rmsprop-unrolled"])
    check(algorithm, tasks=problems.tasks(algorithm, 3))


# Every unit of these families has a kink, which a difference must not cross: it
# is the shorter, the more units there are. Weights are moved away from their
# small initial values, where the slopes that a penalty sees are as small as h.
DISTANCE = {"figr_resnet": 1e-7}
SLOW_FAMILIES = ("figr_dcgan", "figr_resnet")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=[pytest.mark.slow] if name in SLOW_FAMILIES else []
        )
        for name in problems.FAMILIES
    ],
)
def test_every_architecture_has_exact_meta_gradients(name):
    duel = problems.game(architecture=name, width=1, loss="non_saturating")
    check(
        problems.build("maml", duel=duel, inner_steps=1),
        spread=0.1,
        distance=DISTANCE.get(name, 1e-5),
    )


# Wrong twins: what the check must refuse.


def test_first_order_gradient_is_refused():
    with pytest.raises(AssertionError):
        check(problems.build("fomaml"))


def test_stopped_statistics_are_refused():
    stopped = {"inner": "rmsprop", "optimizer": {"statistics_gradient": "stop"}}
    with pytest.raises(AssertionError):
        check_case(Case(**stopped))


def test_cross_player_full_and_stop_are_told_apart():
    for one, other in (("full", "stop"), ("stop", "full")):
        with pytest.raises(AssertionError):
            check_case(Case(k=1, options={"cross_player": one}, cross=other))


def test_wrong_step_weights_are_refused():
    with pytest.raises(AssertionError):
        check_case(CASES["final"]._replace(weights=(0.0, 1.0, 0.0)))


def test_single_precision_is_refused():
    algorithm = problems.build("maml", duel=problems.game(dtype="float32"))
    tasks = problems.tasks(algorithm, dtype="float32")
    with pytest.raises(ValueError, match=r"float32; .* need float64. Build"):
        gradcheck.relative_errors(algorithm, algorithm.init(0), tasks)
    algorithm = problems.build("maml")
    with pytest.raises(ValueError, match=r"tasks.support is float32"):
        gradcheck.relative_errors(algorithm, algorithm.init(0), tasks)


def test_annealed_case_has_the_weights_of_the_schedule():
    weights = step_weights.step_weights(
        tf.constant(4),
        inner_steps=2,
        schedule="annealed",
        annealing_steps=10,
        dtype=tf.float64,
    )
    np.testing.assert_allclose(
        weights, SLOW_CASES["annealed"].weights, atol=1e-15
    )


def test_unknown_cross_player_is_refused():
    with pytest.raises(ValueError, match=r"cross_player='half' is unknown"):
        problems.build("maml", cross_player="half")
