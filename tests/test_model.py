"""MetaGAN as Keras users expect it, and the tasks it learns from."""

import csv
import doctest
import functools
import hashlib
import json
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_metagan
from tf_metagan import MetaGAN, assembly, sampling, tasks
from tf_metagan.config import Config
from tf_metagan.data import base
from tf_metagan.settings import Settings

# Keras converts variables by np.array(variable), which NumPy 2.4 warns of.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)

ROOT = pathlib.Path(tf_metagan.__file__).parents[1]
CLASSES = {
    name: np.random.default_rng(number).integers(
        0, 256, [6, 4, 4, 1], dtype=np.uint8
    )
    for number, name in enumerate("abcdefg")
}
DATA = {"shots": 2, "meta_batch": 1, "inner_steps": 1, "inner_batch_size": 3}
NETWORKS = {
    "architecture": "toy",
    "image_size": 4,
    "width": 2,
    "latent_size": 2,
}
IMAGES = CLASSES["a"][:3]


@functools.cache
def make_tasks(**options):
    """Return tasks of CLASSES, or of options["source"]."""
    return tasks(**{"source": CLASSES, **DATA, **options})


def make_gan(algorithm="reptile", **options):
    """Build a small model; without penalty, which takes most of the time."""
    given = {**NETWORKS, "inner_steps": 1, "penalty": "none", **options}
    return MetaGAN(algorithm=algorithm, **given)


def make_networks():
    dense = keras.layers.Dense
    generator = keras.Sequential(
        [
            keras.Input([2]),
            dense(3, "softplus", name="frozen", trainable=False),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Dropout(0.2, name="drop"),
            dense(16, "tanh", name="paint"),
            keras.layers.Reshape([4, 4, 1], name="grid"),
        ],
        name="inside",
    )
    image = keras.Input([4, 4, 1])
    features = keras.layers.Flatten(name="flat")(image)
    features = dense(3, "softplus", name="hidden")(features)
    discriminator = keras.Model(image, dense(1, name="head")(features))
    return generator, discriminator


def fit(gan, data=None, steps=1, **options):
    """Fit without tracing, which takes longer than these few steps."""
    if not gan.compiled:
        gan.compile(run_eagerly=True)
    data = make_tasks() if data is None else data
    options = {"steps_per_epoch": steps, "verbose": 0, **options}
    return gan.fit(data, **options).history


def state(gan):
    """Return every number that a model consists of."""
    variables = list(gan.weights)
    if gan.compiled:
        variables += gan.optimizer.variables
    return [np.asarray(v.value.numpy()) for v in variables]


def digest(gan):
    return hashlib.sha256(b"".join(x.tobytes() for x in state(gan))).hexdigest()


def check_equal(one, other):
    for x, y in zip(state(one), state(other), strict=True):
        np.testing.assert_array_equal(x, y)


# What fit does.


def test_fit_does_the_meta_steps_of_the_command_line():
    size = {"inner_steps": 2, "meta_batch": 2}
    given = {**NETWORKS, **DATA, **size, "algo": "fomaml", "seed": 5}
    settings = assembly.with_algorithm_defaults(
        Settings(Config, [(given, True)])
    )
    rule = assembly.make_algorithm(settings)
    learner = assembly.make_learner(
        settings, rule, tf.distribute.get_strategy()
    )
    images = base.group(
        np.concatenate(list(CLASSES.values())), np.repeat(np.arange(7), 6)
    )
    split = assembly.make_split(settings, images)
    sampler = assembly.make_sampler(
        settings, images, classes=split.train, stream=0
    )
    logged = [learner.step(sampler.batch(step)) for step in range(3)]

    def check():
        weights = {
            f"{player}/{v.path.split('/', 1)[1]}": v.numpy()
            for player, net in (("d", gan.discriminator), ("g", gan.generator))
            for v in net.weights
        }
        for player, leaves in learner.values().params.items():
            for leaf, value in leaves.items():
                np.testing.assert_array_equal(
                    weights[f"{player}/{leaf}"], value
                )

    gan = make_gan("fomaml", penalty="gradient", seed=5, inner_steps=2)
    gan.compile()
    data = make_tasks(seed=5, **size)
    history = fit(gan, data, 3)
    check()
    for name, value in history.items():
        if name != "loss":
            mean = np.mean([metrics[name] for metrics in logged])
            np.testing.assert_allclose(value, [mean], rtol=1e-5)
    fit(gan, data)
    with pytest.raises(AssertionError):
        check()


def test_given_networks_keep_their_weights_and_hold_the_meta_weights():
    generator, discriminator = make_networks()
    before = [
        {v.path: v.numpy() for v in network.weights}
        for network in (generator, discriminator)
    ]
    gan = MetaGAN(
        generator, discriminator, "reptile", inner_steps=1, penalty="none"
    )
    assert gan.generator is generator
    for network, values in zip((generator, discriminator), before, strict=True):
        for variable in network.weights:
            np.testing.assert_array_equal(variable, values[variable.path])
    fit(gan, make_tasks(meta_batch=5), 2)
    # The head's bias shifts all scores alike: the Wasserstein loss of the
    # discriminator does not depend on it.
    constant = ("frozen/kernel", "frozen/bias", "head/bias")
    for network, values in zip((generator, discriminator), before, strict=True):
        for variable in network.weights:
            same = np.array_equal(variable, values[variable.path])
            if "seed_generator" not in variable.path:
                assert same == variable.path.endswith(constant), variable.path


def test_a_family_of_four_players_learns_and_is_saved(tmp_path):
    def make():
        sizes = {"image_size": 16, "width": 2, "latent_size": 3}
        own = {"inner_steps": 1, "kept_images": 2, "classical_rate": 0.1}
        return MetaGAN(algorithm="latent", **own, **sizes)

    rng = np.random.default_rng(0)
    source = {
        name: rng.integers(0, 256, [6, 16, 16, 1], dtype=np.uint8)
        for name in "abcde"
    }
    gan = make()
    gan.compile(run_eagerly=True)
    assert set(gan.more_networks) == {"mlp", "mlp_cls"}
    before = [v.numpy().copy() for v in gan.trainable_weights]
    fit(gan, tasks(source, **DATA))
    assert len(before) == 9 + 4 + 4 + 10
    for variable, old in zip(gan.trainable_weights, before, strict=True):
        assert not np.array_equal(variable, old), variable.path
    path = str(tmp_path / "x.weights.h5")
    gan.save_weights(path)
    loaded = make()
    loaded.compile(run_eagerly=True)
    loaded.load_weights(path)
    check_equal(loaded, gan)


def test_loss_is_the_sum_of_the_players_outer_losses():
    history = fit(make_gan("fomaml"))
    total = history["D_val"][0] + history["G_val"][0]
    np.testing.assert_allclose(history["loss"], [total], rtol=1e-6)


def test_learned_rates_and_statistics_are_weights_of_the_model():
    gan = make_gan(
        "fomaml", learned_rates="layer_step", inner_statistics="carried"
    )
    before = [v.numpy() for v in gan.weights]
    assert len(gan.inner_quantities) == 8  # two kernels and biases a player
    assert len(gan.inner_statistics) == 8
    assert all(v.shape == (1,) for v in gan.inner_quantities)
    fit(gan, steps=2)
    unchanged = [
        v.path
        for v, value in zip(gan.weights, before, strict=True)
        if np.array_equal(v, value)
    ]
    # The loss does not depend on the bias of all scores.
    assert all(path.endswith(("head/bias", "head.bias")) for path in unchanged)
    assert len(unchanged) < 4
    assert int(gan.meta_step.numpy()) == 2


def test_evaluate_gives_the_metrics_of_fit_and_changes_nothing():
    for algorithm in ("fomaml", "reptile"):
        gan = make_gan(algorithm)
        gan.compile(run_eagerly=True)
        before = digest(gan)
        data = make_tasks()
        found = gan.evaluate(data, steps=1, verbose=0, return_dict=True)
        assert digest(gan) == before
        history = fit(gan, data)
        logged = {n for n in history if not n.startswith("grad_norm")}
        assert logged == set(found)
        for name, value in found.items():
            np.testing.assert_allclose(value, history[name], rtol=1e-6)


def test_train_on_batch_takes_one_batch_of_tasks():
    gan = make_gan()
    gan.compile(run_eagerly=True)
    batch = next(iter(make_tasks()))
    logs = gan.train_on_batch(batch, return_dict=True)
    other = make_gan()
    np.testing.assert_allclose(logs["loss"], fit(other)["loss"][0], rtol=1e-6)
    check_equal(gan, other)


# Going on: second fits, saved models, interrupted runs.


def test_training_goes_on_exactly_after_fit_save_and_load(tmp_path):
    options = {
        "learned_rates": "layer_step",
        "inner_statistics": "carried",
        "outer_optimizer": "adam",
        "outer_schedule": "cosine",
        "meta_steps": 6,
    }
    whole, parts = make_gan("fomaml", **options), make_gan("fomaml", **options)
    fit(whole, steps=3)
    fit(parts, steps=2)
    parts.save(tmp_path / "gan.keras")
    loaded = keras.saving.load_model(tmp_path / "gan.keras")
    parts.save_weights(tmp_path / "gan.weights.h5")
    refilled = make_gan("fomaml", **options)
    refilled.compile(run_eagerly=True)
    refilled.load_weights(tmp_path / "gan.weights.h5")
    for gan in (parts, loaded, refilled):
        fit(gan)
        check_equal(whole, gan)
    unfollowed = make_gan("fomaml", **options)
    for steps in (2, 1):
        fit(unfollowed, make_tasks().take(2), steps)
    with pytest.raises(AssertionError):
        check_equal(whole, unfollowed)


class _Crash(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.meta_step.numpy()) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("finite", [False, True])
def test_backup_and_restore_continues_exactly(tmp_path, finite):
    data = make_tasks(num_batches=1 if finite else None)
    options = {"epochs": 3, "steps": None if finite else 1}
    whole = make_gan(outer_optimizer="adam")
    fit(whole, data, **options)

    for crash in ([_Crash()], []):
        gan = make_gan(outer_optimizer="adam")
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        try:
            fit(gan, data, callbacks=[backup, *crash], **options)
        except KeyboardInterrupt:
            assert int(gan.meta_step.numpy()) == 2
            assert (tmp_path / "backup").exists()
    check_equal(whole, gan)
    assert int(gan.d_optimizer.iterations.numpy()) == 3


def test_a_model_loads_in_a_fresh_process(tmp_path):
    generator, discriminator = make_networks()
    gan = MetaGAN(generator, discriminator, "reptile", inner_steps=1)
    gan.compile(d_optimizer=keras.optimizers.Adam(0.5))
    gan.save(tmp_path / "gan.keras")
    np.save(tmp_path / "images.npy", IMAGES)
    code = """
import sys, keras, numpy as np
from tf_metagan import MetaGAN
gan = keras.saving.load_model(sys.argv[1] + "/gan.keras")
assert type(gan) is MetaGAN
assert float(gan.d_optimizer.learning_rate.numpy()) == 0.5
images = np.load(sys.argv[1] + "/images.npy")
np.save(sys.argv[1] + "/out.npy", gan.adapt(images).sample(4))
"""
    run_python(code, tmp_path)
    # Another process may add in another order: the last bit is not promised.
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), gan.adapt(IMAGES).sample(4), atol=1e-5
    )


def run_python(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Keras's own machinery.


def test_keras_callbacks_work(tmp_path):
    gan = make_gan()
    callbacks = [
        keras.callbacks.ModelCheckpoint(
            tmp_path / "{epoch}.weights.h5", save_weights_only=True
        ),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path / "board"),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.25 / (1 + epoch)),
        keras.callbacks.ReduceLROnPlateau("val_D_val", mode="min"),
        keras.callbacks.EarlyStopping("val_loss", min_delta=1e9, patience=1),
    ]
    validation = make_tasks(split="test", num_batches=1)
    history = fit(
        gan, epochs=9, callbacks=callbacks, validation_data=validation
    )
    assert len(history["val_loss"]) == 2  # stopped early
    assert float(gan.d_optimizer.learning_rate.numpy()) == 0.125
    assert float(gan.g_optimizer.learning_rate.numpy()) == 0.125
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["D_val"]) for r in rows] == pytest.approx(history["D_val"])
    assert list((tmp_path / "board" / "train").iterdir())
    weights = [v.numpy() for v in gan.weights]
    gan.load_weights(tmp_path / "1.weights.h5")
    assert int(gan.meta_step.numpy()) == 1
    gan.load_weights(tmp_path / "2.weights.h5")
    for variable, value in zip(gan.weights, weights, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_one_callback_need_not_be_in_a_list():
    gan = make_gan()
    gan.compile(run_eagerly=True)
    stop = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(
            gan, "stop_training", True
        )
    )
    fit(gan, steps=3, callbacks=stop)
    assert int(gan.meta_step.numpy()) == 1
    listed = keras.callbacks.CallbackList([stop], model=gan)
    fit(gan, steps=3, callbacks=listed)
    assert int(gan.meta_step.numpy()) == 2


def test_terminate_on_nan_stops_at_once():
    gan = make_gan()
    kernel = gan.generator.get_layer("paint").kernel
    kernel.assign(np.nan * kernel)
    history = fit(gan, steps=3, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert int(gan.meta_step.numpy()) == 1
    assert np.isnan(history["loss"][0])


def test_summary_counts_networks_and_optimisers():
    gan = make_gan(learned_rates="layer_step", algorithm="fomaml")
    gan.compile()
    lines = []
    gan.summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    assert "g (Sequential)" in text
    assert "d (Sequential)" in text
    own = gan.generator.count_params() + gan.discriminator.count_params()
    assert f"Trainable params: {own + 8}" in text  # eight leaves, one step
    assert "Optimizer params" in text


def test_config_repeats_the_model_with_the_defaults_of_then():
    gan = make_gan("metasgd", outer_rate=0.5, seed=3)
    config = json.loads(json.dumps(gan.get_config()))
    assert config["inner_optimizer"] == "sgd"  # the rule's own default
    assert config["outer_rate"] == 0.5
    assert "outer_optimizer" not in config
    again = MetaGAN.from_config(config)
    assert again.get_config() == gan.get_config()
    check_equal(gan, again)
    own = MetaGAN(*make_networks(), "reptile", inner_steps=2)
    copy = MetaGAN.from_config(own.get_config())
    shapes = [(v.path.split("/")[-2:], v.shape) for v in own.generator.weights]
    assert shapes == [
        (v.path.split("/")[-2:], v.shape) for v in copy.generator.weights
    ]


def test_predict_maps_latents_by_the_generator():
    gan = make_gan()
    latents = np.array([[0.5, -1.0], [2.0, 0.0]], np.float32)
    # Compiled and not, a matrix product may be rounded differently.
    np.testing.assert_allclose(
        gan.predict(latents, verbose=0), gan.generator(latents), rtol=1e-5
    )


def test_compile_uses_the_optimizers_given_and_the_settings_otherwise():
    gan = make_gan(outer_rate=0.25)
    gan.compile(d_optimizer="sgd")
    assert isinstance(gan.d_optimizer, keras.optimizers.SGD)
    assert isinstance(gan.g_optimizer, keras.optimizers.RMSprop)
    assert float(gan.g_optimizer.learning_rate.numpy()) == 0.25
    assert gan.d_optimizer.built
    assert gan.g_optimizer.built
    assert gan.get_compile_config()["d_optimizer"]["class_name"] == "SGD"
    assert make_gan().get_compile_config() == {}


def test_sgd_of_rate_one_moves_reptile_to_the_adapted_weights():
    gan = make_gan()
    gan.compile(
        d_optimizer=keras.optimizers.SGD(1.0),
        g_optimizer=keras.optimizers.SGD(1.0),
        run_eagerly=True,
    )
    batch = next(iter(make_tasks()))
    vars, _ = gan._rule.adapt(
        gan._values(), batch.support[0], None, batch.seed[0], 1
    )
    fit(gan)
    # w - (w - adapted) rounds once more than adapted.
    for p, leaves in gan._values().params.items():
        for leaf, value in leaves.items():
            np.testing.assert_allclose(
                value, vars.params[p][leaf], rtol=1e-6, atol=1e-7
            )


def test_moving_averages_serve_samples_and_leave_weights_alone():
    gan, plain = make_gan(ema=0.5), make_gan()
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(
            gan.generator.get_weights()
        )
    )
    fit(gan, steps=2, callbacks=[note])
    fit(plain, steps=2)
    np.testing.assert_array_equal(
        gan.generator.get_weights()[0], plain.generator.get_weights()[0]
    )
    raw = plain.sample(3)
    assert np.abs(gan.sample(3) - raw).max() > 0
    # Keras begins its averages with the weights after the first step.
    average = [0.5 * a + 0.5 * b for a, b in zip(*seen, strict=True)]
    plain.generator.set_weights(average)
    np.testing.assert_allclose(gan.sample(3), plain.sample(3), atol=1e-6)


# Adaptation.


def test_adapt_changes_nothing_in_the_model():
    gan = make_gan(inner_statistics="carried")
    fit(gan)
    before = digest(gan)
    adapted = gan.adapt(IMAGES, steps=4)
    adapted.sample(3)
    gan.sample(3)
    assert digest(gan) == before
    fit(gan)
    assert digest(gan) != before  # the digest does see changes


@pytest.mark.parametrize("n", [3, 6])
def test_adapt_agrees_with_the_sampling_command(n):
    gan = make_gan(inner_batch_size=4)
    run = types.SimpleNamespace(
        settings=gan._settings, algorithm=gan._rule, vars=gan._values()
    )
    images = CLASSES["b"][:n]
    drawn = sampling.draw(
        run, base.to_range(images), num_samples=5, steps=3, seed=2
    )
    adapted = gan.adapt(images, steps=3, seed=2)
    np.testing.assert_array_equal(adapted.sample(5, seed=2), drawn)
    assert np.abs(adapted.sample(5, seed=3) - drawn).max() > 0


def test_adaptation_has_the_steps_and_the_range_asked_for():
    gan = make_gan(adapt_steps=5)
    assert gan.adapt(IMAGES).metrics["D_loss"].shape == (5,)
    assert gan.adapt(IMAGES, steps=1).metrics["D_loss"].shape == (1,)
    assert make_gan().adapt(IMAGES).metrics["D_loss"].shape == (1,)
    still = gan.adapt(IMAGES, steps=0)
    np.testing.assert_array_equal(
        still.sample(4, seed=1), gan.sample(4, seed=1)
    )
    moved = gan.adapt(IMAGES)
    as_floats = gan.adapt(IMAGES / 127.5 - 1)
    np.testing.assert_array_equal(moved.sample(4), as_floats.sample(4))
    assert np.abs(moved.sample(4) - gan.sample(4)).max() > 0
    other = gan.adapt(IMAGES, seed=1)
    assert np.abs(moved.sample(4) - other.sample(4)).max() > 0


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (
            IMAGES[0],
            ValueError,
            r"shape \(4, 4, 1\); expected \(n, \*\(4, 4, 1",
        ),
        (IMAGES[:0], ValueError, r"shape \(0, 4, 4, 1\); .* with n >= 1"),
        (IMAGES[:, :2], ValueError, r"shape \(3, 2, 4, 1\); expected"),
        (IMAGES.repeat(3, -1), ValueError, r"shape \(3, 4, 4, 3\); expected"),
        (IMAGES.astype(int), TypeError, "came as int64; expected uint8"),
        (IMAGES.astype(float), ValueError, r"to 2\d\d.0; expected all in \[-1"),
        (IMAGES * np.nan, ValueError, "values from nan to nan; expected all"),
    ],
)
def test_adapt_refuses_other_images(images, error, message):
    with pytest.raises(error, match=message):
        make_gan().adapt(images)


def test_adapt_warns_of_images_between_zero_and_one():
    with pytest.warns(UserWarning, match=r"give 2 \* images - 1"):
        make_gan().adapt(IMAGES / 255)


def test_adapt_and_sample_refuse_impossible_numbers():
    gan = make_gan()
    with pytest.raises(ValueError, match="steps=-1 is not possible; expected"):
        gan.adapt(IMAGES, steps=-1)
    with pytest.raises(ValueError, match="n=0 asks for no image; expected"):
        gan.sample(0)


# Bad input of the model.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"algorithm": "fomamll"},
            ValueError,
            r"algorithm='fomamll' is not .* Did you mean 'fomaml'\?",
        ),
        ({"algo": "maml"}, TypeError, r"Use MetaGAN\(algorithm='maml'\)"),
        (
            {"inner_step": 3},
            ValueError,
            r"'inner_step' is not a setting. .* Did you mean 'inner_steps'\?",
        ),
        (
            {"inner_rate": -1.0},
            ValueError,
            r"^inner_rate=-1.0 is not possible: expected a number > 0",
        ),
        (
            {"inner_steps": "3"},
            TypeError,
            "^inner_steps=3 is not possible: expected a whole number",
        ),
        (
            {"loss": "hing"},
            ValueError,
            r"^loss=hing is not a known choice. .* Did you mean 'hinge'\?",
        ),
        (
            {"cross_player": "stop"},
            ValueError,
            "^cross_player=stop has no effect with algorithm=fomaml. Remove",
        ),
        (
            {"meta_batch": 8, "shots": 5},
            ValueError,
            "^shots, meta_batch has no effect on the model; .*tasks",
        ),
        ({"logdir": "x"}, ValueError, "^logdir=x has no effect here. Remove"),
        (
            {"architecture": "dcgan", "image_size": 20},
            ValueError,
            "^image_size=20 does not suit architecture=dcgan: .* Use image",
        ),
    ],
)
def test_the_model_refuses_other_settings(arguments, error, message):
    with pytest.raises(error, match=message):
        MetaGAN(**arguments)


def test_the_model_refuses_other_networks():
    generator, discriminator = make_networks()
    with pytest.raises(TypeError, match="discriminator came as NoneType; exp"):
        MetaGAN(generator)
    with pytest.raises(TypeError, match="generator came as str; expected a K"):
        MetaGAN("dcgan", discriminator)
    with pytest.raises(
        ValueError, match="width, channels have no effect: they"
    ):
        MetaGAN(generator, discriminator, width=3, channels=1)
    unbuilt = keras.Sequential([keras.layers.Dense(16, name="paint")])
    with pytest.raises(ValueError, match=r"the generator .* is not built, so"):
        MetaGAN(unbuilt, discriminator)
    coloured = keras.Sequential(
        [
            keras.Input([2]),
            keras.layers.Dense(48, name="paint"),
            keras.layers.Reshape([4, 4, 3], name="grid"),
        ]
    )
    with pytest.raises(ValueError, match=r"draws images of shape \(4, 4, 3\)"):
        MetaGAN(coloured, discriminator)
    numbered = keras.Sequential(
        [keras.Input([4, 4, 1]), keras.layers.Flatten()]
    )
    numbered.add(keras.layers.Dense(1))
    with pytest.raises(ValueError, match="the name Keras numbered it with"):
        MetaGAN(generator, numbered)


class _Subclass(keras.Model):
    def __init__(self, inner):
        super().__init__(name="outer")
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def test_a_subclassed_network_is_refused_bare_and_taken_wrapped():
    generator, discriminator = make_networks()
    subclass = _Subclass(generator)
    subclass(np.zeros([1, 2], np.float32))
    with pytest.raises(
        ValueError, match=r"as a subclass .* wrap it: keras.Seq"
    ):
        MetaGAN(subclass, discriminator)
    wrapped = keras.Sequential([keras.Input([2]), subclass])
    gan = MetaGAN(wrapped, discriminator, inner_steps=1)
    assert gan.adapt(IMAGES).sample(2).shape == (2, 4, 4, 1)


def test_compile_refuses_what_has_no_effect():
    gan = make_gan(outer_rate=0.1)
    sgd = keras.optimizers.SGD
    with pytest.raises(TypeError, match="got loss, optimizer; expected an opt"):
        gan.compile(optimizer="adam", loss="mse")
    with pytest.raises(ValueError, match="settings outer_rate have no effect"):
        gan.compile(sgd(), sgd())
    with pytest.raises(ValueError, match="d_rate_optimizer has nothing to opt"):
        gan.compile(d_rate_optimizer=sgd())
    one = sgd()
    with pytest.raises(ValueError, match="one optimizer object came for seve"):
        make_gan().compile(one, one)
    with pytest.raises(ValueError, match="learns nothing in fit"):
        make_gan("scratch").compile()
    with pytest.raises(ValueError, match="must call `compile"):
        gan.fit(make_tasks(), steps_per_epoch=1)


def test_settings_are_for_players_that_compile_does_not_name_too():
    sizes = {"image_size": 16, "width": 2, "latent_size": 3}
    gan = MetaGAN(algorithm="latent", inner_steps=1, outer_rate=0.5, **sizes)
    sgd = keras.optimizers.SGD
    gan.compile(sgd(0.25), sgd(0.25))
    rates = [
        float(getattr(gan, f"{player}_optimizer").learning_rate.numpy())
        for player in ("d", "g", "mlp", "mlp_cls")
    ]
    assert rates == [0.25, 0.25, 0.5, 0.5]


def test_scratch_adapts_without_compile():
    gan = make_gan("scratch")
    assert gan.adapt(IMAGES).sample(2).shape == (2, 4, 4, 1)


def test_fit_refuses_what_are_no_tasks_or_other_tasks():
    gan = make_gan()
    gan.compile(run_eagerly=True)
    data = make_tasks()
    with pytest.raises(TypeError, match="but got ndarray; expected a tf"):
        gan.fit(IMAGES)
    with pytest.raises(
        TypeError, match="data are of TensorSpec; expected tf_m"
    ):
        gan.fit(tf.data.Dataset.from_tensors(tf.zeros([2])))
    with pytest.raises(TypeError, match="the data are of"):
        gan.evaluate(tf.data.Dataset.from_tensors(tf.zeros([2])))
    with pytest.raises(
        ValueError, match=r"for 3 inner steps, the model takes 1"
    ):
        fit(gan, make_tasks(inner_steps=3))
    colours = {name: x.repeat(3, -1) for name, x in CLASSES.items()}
    with pytest.raises(ValueError, match=r"4, 4, 3\); expected \(tasks, steps"):
        fit(gan, tasks(colours, **DATA))
    flat = data.map(lambda x: x._replace(support=x.support[:, 0]))
    with pytest.raises(
        ValueError, match=r"support images have shape \(1, 2, 4"
    ):
        fit(gan, flat)
    whole = data.map(lambda x: x._replace(support=tf.cast(x.support, tf.uint8)))
    with pytest.raises(
        ValueError, match="support images are uint8; expected f"
    ):
        fit(gan, whole)
    bright = data.map(lambda x: x._replace(query=9 * x.query))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"lie outside \[-1, 1\]; expected"
    ):
        fit(gan, bright)


# Tasks.


def test_tasks_of_the_two_splits_share_no_class():
    def labels(**options):
        data = make_tasks(num_batches=20, **options)
        return {int(x) for batch in data for x in batch.label}

    train, test = labels(), labels(split="test")
    assert not train & test
    assert train | test == set(range(7))
    with pytest.raises(AssertionError):
        assert not train & labels(test_classes=tuple(test))


def test_tasks_depend_on_the_seed_and_hold_images_of_their_class():
    batch = next(iter(make_tasks(num_test_classes=1, seed=3)))
    again = next(iter(make_tasks(num_test_classes=1, seed=3)))
    other = next(iter(make_tasks(num_test_classes=1, seed=4)))
    np.testing.assert_array_equal(batch.query, again.query)
    assert np.abs(batch.query - other.query).max() > 0
    images = base.to_bytes(batch.support[0, 0].numpy())
    known = CLASSES["abcdefg"[int(batch.label[0])]]
    assert all((known == image).all((1, 2, 3)).any() for image in images)


def test_tasks_take_every_kind_of_source():
    images = np.concatenate(list(CLASSES.values()))
    labels = np.repeat(np.arange(7), 6)
    first = next(iter(make_tasks()))
    for source in ((images, labels), base.group(images, labels)):
        batch = next(iter(tasks(source, **DATA)))
        np.testing.assert_array_equal(batch.support, first.support)
    drawn = {"num_classes": 5, "images_per_class": 4, "image_size": 8}
    data = make_tasks(source="glyphs", **drawn)
    assert data.element_spec.support.shape == (1, 1, 2, 8, 8, 1)
    assert data.cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"split": "validation"}, ValueError, "split='validation' names no pa"),
        ({"num_batches": 0}, ValueError, "num_batches=0 gives no data; expec"),
        ({"shotss": 1}, ValueError, r"Did you mean 'shots'\?"),
        ({"shots": 6}, ValueError, "^shots=6 needs 7 images per class"),
        ({"inner_rate": 0.1}, ValueError, "^inner_rate has no effect on these"),
        ({"image_size": 8}, ValueError, "^image_size has no effect on these"),
        ({"source": "glyph"}, ValueError, r"Did you mean 'glyphs'\?"),
        ({"source": [1, 2]}, TypeError, "cannot be drawn from list; expected"),
        ({"source": {}}, TypeError, "cannot be drawn from dict; expected"),
        (
            {"source": {"a": IMAGES, "b": IMAGES[:, :2]}},
            ValueError,
            "the classes have images of different kinds",
        ),
        (
            {"source": {"a": IMAGES / 255, "b": IMAGES / 255}},
            ValueError,
            r"images came as float64 \[6, 4, 4, 1\]; expected uint8",
        ),
    ],
)
def test_tasks_refuse_other_input(arguments, error, message):
    with pytest.raises(error, match=message):
        tasks(**{"source": CLASSES, **DATA, **arguments})


# Several devices, and the page.


@pytest.mark.slow
def test_several_devices_give_the_result_of_one(tmp_path):
    code = """
import sys
import keras, numpy as np, pytest, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
from tests import test_model as t

mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
found = []
for strategy in (tf.distribute.get_strategy(), mirrored):
    with strategy.scope():
        gan = t.make_gan(outer_clip_norm=1e-3, inner_statistics="carried")
    gan.compile()
    # Three tasks are two on one device and one on the other.
    history = [t.fit(gan, t.make_tasks(meta_batch=n), 2) for n in (4, 3)]
    test = t.make_tasks(split="test", meta_batch=3, num_batches=2)
    history.append(gan.evaluate(test, verbose=0, return_dict=True))
    found.append((t.state(gan), history, gan.adapt(t.IMAGES).sample(3)))
for a, b in zip(*map(tf.nest.flatten, found), strict=True):
    # Sums over tasks are rounded in another order.
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
for v in gan.weights:
    copies = [copy.numpy() for copy in v.value.values]
    np.testing.assert_array_equal(*copies)

with pytest.raises(ValueError, match="steps_per_execution=2 cannot be comb"):
    gan.compile(steps_per_execution=2)
with mirrored.scope():
    clipping = keras.optimizers.Adam(clipnorm=1.0)
with pytest.raises(ValueError, match="clipnorm of optimizer 'adam' acts on"):
    gan.compile(d_optimizer=clipping)
with pytest.raises(ValueError, match="was made outside the scope of Mirr"):
    gan.compile(d_optimizer=keras.optimizers.SGD())
networks = t.make_networks()
with mirrored.scope(), pytest.raises(ValueError, match="made outside the sco"):
    t.MetaGAN(*networks)
"""
    run_python(code)


@pytest.mark.parametrize(
    ("page", "examples"), [("docs/python.md", 10), ("README.md", 7)]
)
def test_the_pages_about_python_are_right(page, examples):
    page = ROOT / page
    failed, tried = doctest.testfile(
        str(page), module_relative=False, optionflags=doctest.ELLIPSIS
    )
    assert tried > examples
    assert failed == 0


def test_rule_of_several_phases_is_refused():
    with pytest.raises(ValueError, match=r"'internal' trains in 3 phases"):
        MetaGAN(
            algorithm="internal",
            image_size=24,
            smallest_size=16,
            embedding="small",
            embedding_size=32,
            features=4,
            width=2,
        )
