"""From settings to parts."""

import functools
import json
import math
import os
import shutil
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import problems, runs
from tf_metagan import assembly, registry, settings, training
from tf_metagan.config import Config
from tf_metagan.core.rollout import Turn
from tf_metagan.data import base as data
from tf_metagan.types import Vars

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


# Outer optimisers.


def follow(schedule, count):
    """Return the step sizes that an optimizer takes in its first steps."""
    weight = keras.Variable(0.0)
    optimizer = keras.optimizers.SGD(schedule)
    optimizer.build([weight])
    sizes = []
    for _ in range(count):
        before = float(weight)
        optimizer.apply([tf.constant(-1.0)])
        sizes.append(float(weight) - before)
    return sizes


def make_schedule(kind, *, warmup=0, steps=10):
    return assembly.make_schedule(
        rate=2.0, outer_schedule=kind, outer_warmup=warmup, meta_steps=steps
    )


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        ("constant", lambda t: 1.0),
        ("linear", lambda t: 1 - t / 10),
        ("cosine", lambda t: (1 + math.cos(math.pi * t / 10)) / 2),
    ],
)
def test_schedule_is_its_formula(kind, share):
    expected = [2.0 * share(t) for t in range(10)]
    found = follow(make_schedule(kind), 10)
    # Differences of float32 sums up to 20.
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # The wrong twin: one step late.
    late = [2.0 * share(t + 1) for t in range(10)]
    if kind != "constant":
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(found, late, atol=1e-5)


@pytest.mark.parametrize("kind", ["constant", "linear", "cosine"])
def test_warm_up_rises_and_hands_over_at_the_full_rate(kind):
    found = follow(make_schedule(kind, warmup=3, steps=13), 13)
    np.testing.assert_allclose(found[:4], [0.5, 1.0, 1.5, 2.0], atol=1e-5)
    after = follow(make_schedule(kind, steps=10), 10)
    np.testing.assert_allclose(found[3:], after, atol=1e-5)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_decay_of_the_last_steps(kind):
    def make(steps, **changes):
        return assembly.make_schedule(
            rate=2.0, outer_schedule=kind, meta_steps=steps, **changes
        )

    short = follow(make(10, outer_warmup=0), 10)
    late = follow(make(17, outer_warmup=0, outer_decay_steps=10), 17)
    np.testing.assert_allclose(late, [2.0] * 7 + short, atol=1e-5)
    warm = follow(make(20, outer_warmup=3, outer_decay_steps=10), 20)
    np.testing.assert_allclose(warm, [0.5, 1.0, 1.5, *late], atol=1e-5)
    for wrong, schedule in ((18, kind), (10, "constant")):
        with pytest.raises(ValueError, match=f"--outer_decay_steps={wrong}"):
            assembly.make_schedule(
                rate=2.0,
                outer_schedule=schedule,
                outer_decay_steps=wrong,
                outer_warmup=0,
                meta_steps=17,
            )


def test_schedule_survives_saving():
    schedule = make_schedule("cosine", warmup=3, steps=13)
    stored = json.dumps(keras.optimizers.schedules.serialize(schedule))
    again = keras.optimizers.schedules.deserialize(json.loads(stored))
    assert follow(again, 13) == follow(schedule, 13)


@pytest.mark.parametrize("name", registry.OUTER_OPTIMIZERS)
def test_every_outer_optimizer_descends_and_takes_its_settings(name):
    found = runs.settings(outer_optimizer=name, outer_rate=0.1)
    optimizer = assembly.make_optimizer(found, 0.1, name="x")
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
    config = assembly.make_optimizer(found, 0.125, name="x").get_config()
    expected = {
        "beta_1": 0.25,
        "beta_2": 0.75,
        "epsilon": 0.5,
        "learning_rate": 0.125,
        "use_ema": True,
        "ema_momentum": 0.9,
    }
    assert {name: config[name] for name in expected} == expected
    plain = assembly.make_optimizer(runs.settings(), 0.125, name="x")
    assert plain.use_ema is False


def test_learned_rates_have_a_step_size_of_their_own():
    weights = {"d": {}, "g": {}}

    def rates(inner, **changes):
        found = runs.settings(outer_rate=0.25, **changes)
        both = assembly.make_optimizers(
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


# A run from its folder.


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run that has moved its weights, with moving averages."""
    folder = str(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as patch:
        runs.keep_runtime(patch)
        training.train(
            runs.settings(
                meta_steps=2,
                checkpoint_every=1,
                ema=0.5,
                penalty="none",
                algo="reptile",
                outer_rate=0.01,
                seed=4,
                logdir=folder,
            )
        )
    return folder


def test_loaded_run_is_the_one_that_was_trained(trained):
    run = assembly.load_run(trained)
    assert run.meta_step == 2
    assert run.settings.config.seed == 4
    assert run.split.test == (8, 9)
    weights = runs.variables(trained)
    before = runs.variables(trained, step=1)
    for player, leaves in run.vars.params.items():
        for leaf, tensor in leaves.items():
            name = f"params.{player}.{leaf}".replace("/", ".")
            # Keras's average begins with the weights after the first step.
            mean = 0.5 * before[name] + 0.5 * weights[name]
            np.testing.assert_allclose(tensor, mean, rtol=1e-6, atol=1e-7)
    kernel = run.vars.params["g"]["hidden/kernel"]
    assert not np.array_equal(kernel, weights["params.g.hidden.kernel"])


@pytest.mark.parametrize(("last", "share"), [(2, 0.25), (9, 0.25), (1, 0.5)])
def test_loaded_weights_are_the_mean_of_checkpoints(
    trained, tmp_path, last, share
):
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    path = folder / "config.json"
    record = json.loads(path.read_text())
    record["settings"]["average_checkpoints"] = last
    path.write_text(json.dumps(record))
    run = assembly.load_run(str(folder))
    assert run.meta_step == 2
    name = "hidden/kernel"
    first, second = (
        runs.variables(trained, step=step)[f"params.g.{name.replace('/', '.')}"]
        for step in (1, 2)
    )
    # Moving averages: `first`, and half of each.
    wanted = (1 - share) * first + share * second
    found = run.vars.params["g"][name]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)
    assert not np.allclose(first, second, rtol=1e-4)


def test_folder_that_holds_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not the folder of a run"):
        assembly.load_run(str(tmp_path))


def test_run_without_checkpoint_is_refused(tmp_path):
    toy = runs.settings()
    toy.save(str(tmp_path), command="tf_metagan.train")
    split = assembly.make_split(toy, assembly.load_images(toy))
    data.save_split(split, tmp_path / assembly.SPLIT_FILE)
    with pytest.raises(
        FileNotFoundError, match=r"ckpt holds no checkpoint: .*Train longer"
    ):
        assembly.load_run(str(tmp_path))


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
