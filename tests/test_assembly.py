"""From settings to parts."""

import functools
import os
import types

import numpy as np
import pytest
import tensorflow as tf

from tests import problems, runs
from tf_metagan import (
    assembly,
    settings,
    training,
)
from tf_metagan.config import Config
from tf_metagan.core.rollout import Turn

# Runtime.


@pytest.fixture
def runtime(monkeypatch):
    """Record what would be set; `cores` and `gpus` are the machine's."""
    done = types.SimpleNamespace(cores=2, gpus=[], calls={})

    def note(place, name, key):
        monkeypatch.setattr(
            place, name, lambda *value: done.calls.update({key: value})
        )

    monkeypatch.setattr(os, "cpu_count", lambda: done.cores)
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda kind: done.gpus
    )
    threading = tf.config.threading
    note(threading, "set_inter_op_parallelism_threads", "inter")
    note(threading, "set_intra_op_parallelism_threads", "intra")
    note(tf.config.optimizer, "set_experimental_options", "options")
    note(tf.config.experimental, "enable_op_determinism", "deterministic")
    note(tf.keras.utils, "set_random_seed", "seed")
    return done


@pytest.mark.parametrize(
    ("cores", "gpus", "changes", "inter", "intra"),
    [
        (2, [], {}, (2,), (1,)),
        (4, [], {}, (4,), (1,)),
        (8, [], {}, None, None),
        (2, ["gpu"], {}, None, None),
        (2, [], {"inter_op_threads": 3}, (3,), None),
        (8, ["gpu"], {"intra_op_threads": 5}, None, (5,)),
    ],
)
def test_threads_follow_the_machine_unless_given(
    runtime, cores, gpus, changes, inter, intra
):
    runtime.cores, runtime.gpus = cores, gpus
    assembly.configure_runtime(runs.settings(**changes))
    assert runtime.calls.pop("inter", None) == inter
    assert runtime.calls.pop("intra", None) == intra
    assert runtime.calls == {"options": ({"remapping": False},)}


def test_determinism_is_set_with_the_seed(runtime):
    assembly.configure_runtime(runs.settings(deterministic=True, seed=5))
    assert runtime.calls["seed"] == (5,)
    assert runtime.calls["deterministic"] == ()


@pytest.fixture
def devices(monkeypatch):
    """Pretend to have devices; MirroredStrategy then gives their names."""

    def pretend(**names):
        monkeypatch.setattr(
            tf.config,
            "list_logical_devices",
            lambda kind: [
                types.SimpleNamespace(name=name)
                for name in names.get(kind.lower(), [])
            ],
        )
        monkeypatch.setattr(tf.distribute, "MirroredStrategy", tuple)

    return pretend


@pytest.mark.parametrize(
    ("strategy", "gpu", "cpu", "expected"),
    [
        ("auto", ["g0", "g1"], ["c0"], ("g0", "g1")),
        ("mirrored", ["g0", "g1"], ["c0"], ("g0", "g1")),
        ("mirrored", [], ["c0", "c1"], ("c0", "c1")),
        ("auto", ["g0"], ["c0", "c1"], None),
        ("auto", [], ["c0"], None),
        ("one", ["g0", "g1"], ["c0"], None),
    ],
)
def test_strategy_follows_the_devices(devices, strategy, gpu, cpu, expected):
    devices(gpu=gpu, cpu=cpu)
    made = assembly.make_strategy(runs.settings(strategy=strategy))
    if expected is None:
        assert made is tf.distribute.get_strategy()
    else:
        assert made == expected


@pytest.mark.parametrize("gpu", [[], ["g0"]])
def test_mirrored_on_one_device_is_refused(devices, gpu):
    devices(gpu=gpu, cpu=["c0"])
    with pytest.raises(
        ValueError, match=r"needs two devices of a kind, found \['.0'\]\. Use"
    ):
        assembly.make_strategy(runs.settings(strategy="mirrored"))


# Data.


def test_images_decide_on_open_channels():
    source = types.SimpleNamespace(images=np.zeros([2, 8, 8, 3], np.uint8))
    open_ = settings.Settings(Config)
    assert assembly.with_channels(open_, source).config.channels == 3
    chosen = runs.settings(channels=1)
    assert assembly.with_channels(chosen, source).config.channels == 1


def test_streams_of_episodes_are_independent():
    toy = runs.settings(meta_batch=8)
    images = assembly.load_images(toy)

    def seeds(stream, **options):
        sampler = assembly.make_sampler(
            toy, images, classes=range(8), stream=stream, **options
        )
        return sampler.batch(0).seed.numpy()

    train, panel = seeds(training.TRAIN_STREAM), seeds(training.PANEL_STREAM)
    assert train.shape == panel.shape == (8, 2)
    np.testing.assert_array_equal(train, seeds(training.TRAIN_STREAM))
    assert not (train == panel).all(axis=1).any()
    # With fewer tasks these are the first of more.
    few = seeds(training.PANEL_STREAM, meta_batch=3)
    np.testing.assert_array_equal(few, panel[:3])


def test_split_follows_the_settings():
    toy = runs.settings(test_classes=(1, 3), train_classes=(0, 2))
    split = assembly.make_split(toy, assembly.load_images(toy))
    assert (split.train, split.test) == ((0, 2), (1, 3))
    assert split.dataset == "glyphs"


# Inner loop and algorithm.


def test_turns():
    make = functools.partial(assembly.make_turns, (("d",), ("g",)))
    together, in_turn = "simultaneous", "sequential"
    assert make(update_order=together, n_critic=1) == (Turn(("d", "g")),)
    assert make(update_order=in_turn, n_critic=1) == (
        Turn(("d",), 1),
        Turn(("g",)),
    )
    assert make(update_order=in_turn, n_critic=5)[0] == Turn(("d",), 5)
    assert make(update_order=in_turn, n_critic=1, n_generator=3) == (
        Turn(("d",)),
        Turn(("g",), 3),
    )
    with pytest.raises(ValueError, match=r"--n_critic=2 needs --update_order"):
        make(update_order=together, n_critic=2)
    with pytest.raises(ValueError, match=r"--n_generator=3 needs --update_or"):
        make(update_order=together, n_critic=1, n_generator=3)


@pytest.mark.parametrize("algo", problems.RULES)
def test_every_algorithm_is_made_of_its_own_defaults(algo):
    steps = 1 if algo == "joint" else runs.TOY["inner_steps"]
    found = assembly.with_algorithm_defaults(
        runs.settings(algo=algo, inner_steps=steps)
    )
    made = assembly.make_algorithm(found)
    assert made.inner_steps == steps
    for name, value in made.defaults.items():
        if name not in runs.TOY:
            assert getattr(found.config, name) == value


def test_given_settings_are_stronger_than_the_algorithms_defaults():
    chosen = runs.settings(algo="metasgd", inner_rate=0.5)
    found = assembly.with_algorithm_defaults(chosen).config
    assert found.inner_rate == 0.5
    assert found.inner_optimizer == "sgd"


def test_annealing_takes_the_whole_training_unless_given():
    def steps(**changes):
        found = runs.settings(step_weights="annealed", meta_steps=9, **changes)
        return assembly.with_algorithm_defaults(found).config.annealing_steps

    assert steps() == 9
    assert steps(annealing_steps=4) == 4
    plain = assembly.with_algorithm_defaults(runs.settings(meta_steps=9))
    assert plain.config.annealing_steps is None


def test_networks_for_open_channels_are_grey():
    values = {k: v for k, v in runs.TOY.items() if k != "channels"}
    networks = assembly.make_networks(
        settings.Settings(Config, [(values, True)])
    )
    assert networks["d"].input_shape == (None, 16, 16, 1)


# Beginning with another run's weights.


def test_weights_of_another_run_are_taken_and_rates_are_not():
    rule = assembly.make_algorithm(
        assembly.with_algorithm_defaults(
            runs.settings(algo="fomaml", learned_rates="layer_step")
        )
    )
    plain = assembly.make_algorithm(
        assembly.with_algorithm_defaults(runs.settings(algo="reptile"))
    )
    own, other = rule.init(0), plain.init(5)
    begun = assembly.begin_with(own, other)
    assert begun.inner is own.inner
    for p, leaves in other.params.items():
        for leaf, x in leaves.items():
            np.testing.assert_array_equal(begun.params[p][leaf], x)
    assert any(
        np.any(own.params[p][leaf] != x)
        for p, leaves in other.params.items()
        for leaf, x in leaves.items()
    )
    wide = assembly.make_algorithm(
        assembly.with_algorithm_defaults(runs.settings(width=5))
    )
    said = r"--init_from .*d/hidden/bias.*--width"
    with pytest.raises(ValueError, match=said):
        assembly.begin_with(own, wide.init(0))
