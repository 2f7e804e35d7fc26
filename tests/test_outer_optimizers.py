"""The optimisers of the outer loop."""

import keras
import pytest
import tensorflow as tf

from tests import runs
from tf_metagan import (
    outer_optimizers,
    registry,
)
from tf_metagan.types import Vars


@pytest.mark.parametrize("name", registry.OUTER_OPTIMIZERS)
def test_every_outer_optimizer_descends_and_takes_its_settings(name):
    found = runs.settings(outer_optimizer=name, outer_rate=0.1)
    optimizer = outer_optimizers.make_optimizer(found, 0.1, name="x")
    weight = keras.Variable([1.0, -2.0])
    optimizer.build([weight])
    for _ in range(3):
        optimizer.apply([tf.constant([0.5, -0.5])])
    moved = weight.numpy() - [1.0, -2.0]
    assert moved[0] < 0 < moved[1]
    taken = {n for n in found.used if n.startswith("outer_")}
    own = {
        "sgd": {"outer_momentum"},
        "rmsprop": {"outer_rho", "outer_momentum", "outer_epsilon"},
        "lion": {"outer_beta1", "outer_beta2"},
    }
    adaptive = {"outer_beta1", "outer_beta2", "outer_epsilon"}
    shared = {
        "outer_optimizer",
        "outer_schedule",
        "outer_decay_steps",
        "outer_warmup",
    }
    assert taken == shared | own.get(name, adaptive)


def test_numbers_of_the_outer_optimizer_are_those_given():
    numbers = {"outer_beta1": 0.25, "outer_beta2": 0.75, "outer_epsilon": 0.5}
    found = runs.settings(outer_optimizer="adam", ema=0.9, **numbers)
    config = outer_optimizers.make_optimizer(
        found, 0.125, name="x"
    ).get_config()
    expected = {
        "beta_1": 0.25,
        "beta_2": 0.75,
        "epsilon": 0.5,
        "learning_rate": 0.125,
        "use_ema": True,
        "ema_momentum": 0.9,
    }
    assert {name: config[name] for name in expected} == expected
    plain = outer_optimizers.make_optimizer(runs.settings(), 0.125, name="x")
    assert plain.use_ema is False


def test_learned_rates_have_a_step_size_of_their_own():
    weights = {"d": {}, "g": {}}

    def rates(inner, **changes):
        found = runs.settings(outer_rate=0.25, **changes)
        both = outer_optimizers.make_optimizers(
            found, Vars(weights, {}, inner), tf.distribute.get_strategy()
        )
        rates = [
            {p: float(x.learning_rate) for p, x in table.items()}
            for table in both
        ]
        return *rates, "rates_outer_rate" in found.used

    assert rates({}) == ({"d": 0.25, "g": 0.25}, {}, False)
    assert rates({"g": {}}) == ({"d": 0.25, "g": 0.25}, {"g": 0.25}, True)
    chosen = rates({"g": {}}, rates_outer_rate=0.5)
    assert chosen == ({"d": 0.25, "g": 0.25}, {"g": 0.5}, True)
