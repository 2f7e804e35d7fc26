"""Keras models as pure functions: equal to the model, seeded leaf by leaf."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.core import functional, rng

SEED = rng.make_seed(1)
OTHER = rng.make_seed(2)


def dense(units, name, **options):
    return keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.5),
        bias_initializer=keras.initializers.RandomNormal(stddev=0.1),
        name=name,
        **options,
    )


def sequential(*layers, features=3, name="net"):
    return keras.Sequential([keras.Input([features]), *layers], name=name)


def plain(name="net"):
    return sequential(
        dense(4, "hidden", activation="tanh"), dense(2, "head"), name=name
    )


def nested():
    inner = keras.Sequential(
        [keras.Input([4]), dense(4, "mix"), dense(4, "out")], name="block"
    )
    return sequential(dense(4, "stem"), inner, dense(2, "out"))


def normalised():
    return sequential(
        dense(4, "stem"),
        keras.layers.BatchNormalization(momentum=0.75, name="norm"),
        dense(2, "head"),
    )


def dropped():
    return sequential(
        dense(8, "stem"),
        keras.layers.Dropout(0.5, name="drop1"),
        dense(8, "middle"),
        keras.layers.Dropout(0.5, name="drop2"),
        features=8,
    )


class Composite(keras.layers.Layer):
    """A layer with a layer inside, which Keras names if nobody else does."""

    def __init__(self, inside=None, **options):
        super().__init__(**options)
        self.inside = keras.layers.Dense(2, name=inside)

    def build(self, input_shape):
        self.inside.build(input_shape)

    def call(self, inputs):
        return self.inside(inputs)


class Constant(keras.layers.Layer):
    """Add a vector whose start value no initializer attribute names."""

    def build(self, input_shape):
        self.shift = self.add_weight(
            name="shift",
            shape=input_shape[1:],
            initializer=keras.initializers.Constant(0.25),
        )

    def call(self, inputs):
        return inputs + self.shift


def batch(features=3):
    return tf.constant(
        np.random.default_rng(0).normal(size=(5, features)), tf.float32
    )


# Applying.


def check_same_as_model(model, apply, features=3):
    x = batch(features)
    network = functional.from_keras(model)
    params, state = network.init(1)
    before = [w.copy() for w in model.get_weights()]
    outputs, after = apply(params, state, x, SEED)
    for w, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(w, old)  # pure
    own_params, own_state = network.variables()
    for leaf, variable in {**own_params, **own_state}.items():
        variable.assign({**params, **state}[leaf])
    np.testing.assert_array_equal(outputs, model(x, training=True))
    assert set(after) == set(own_state)
    for leaf, variable in own_state.items():
        np.testing.assert_array_equal(after[leaf], variable)


@pytest.mark.parametrize("build", [plain, nested, normalised])
def test_apply_is_a_call_of_the_model_in_training(build):
    model = build()
    check_same_as_model(model, functional.from_keras(model).apply)


def test_apply_with_other_weights_or_in_inference_is_noticed():
    model = normalised()
    apply = functional.from_keras(model).apply

    def doubled(params, state, x, seed):
        return apply({k: 2.0 * w for k, w in params.items()}, state, x, seed)

    def inference(params, state, x, seed):
        variables, fixed = functional.from_keras(model).variables()
        outputs, _ = model.stateless_call(
            [params[k] for k in variables], [state[k] for k in fixed], x
        )
        return outputs, state

    for wrong in (doubled, inference):
        with pytest.raises(AssertionError):
            check_same_as_model(model, wrong)


def test_apply_differentiates_with_respect_to_its_arguments():
    """Of a linear model: d sum(x W + b) / dW = sum of x, / db = n."""
    network = functional.from_keras(sequential(dense(2, "head")))
    params, state = network.init(0)
    with tf.GradientTape() as tape:
        tape.watch(params)
        total = tf.reduce_sum(network.apply(params, state, batch(), SEED)[0])
    grads = tape.gradient(total, params)
    column = np.sum(batch(), axis=0)
    np.testing.assert_allclose(
        grads["head/kernel"], np.stack([column, column], 1), rtol=1e-6
    )
    np.testing.assert_array_equal(grads["head/bias"], [5.0, 5.0])


# Leaf names.


@pytest.mark.parametrize(
    ("build", "params", "state"),
    [
        (
            plain,
            ["hidden/kernel", "hidden/bias", "head/kernel", "head/bias"],
            [],
        ),
        (
            nested,
            [
                "stem/kernel",
                "stem/bias",
                "block/mix/kernel",
                "block/mix/bias",
                "block/out/kernel",
                "block/out/bias",
                "out/kernel",
                "out/bias",
            ],
            [],
        ),
        (
            normalised,
            [
                "stem/kernel",
                "stem/bias",
                "norm/gamma",
                "norm/beta",
                "head/kernel",
                "head/bias",
            ],
            ["norm/moving_mean", "norm/moving_variance"],
        ),
        (
            lambda: sequential(Composite("inside", name="outside")),
            ["outside/inside/kernel", "outside/inside/bias"],
            [],
        ),
        (
            lambda: sequential(dense(1, "kernel")),
            ["kernel/kernel", "kernel/bias"],
            [],
        ),
    ],
    ids=["plain", "nested", "normalised", "composite", "like_its_weight"],
)
def test_leaves_are_named_by_their_layers(build, params, state):
    for _ in range(2):  # at the second build as well
        network = functional.from_keras(build())
        for values in (network.variables(), network.init(0)):
            assert list(values[0]) == params
            assert list(values[1]) == state


def conv_transpose():
    return keras.layers.Conv2DTranspose(1, 4)


@pytest.mark.parametrize(
    ("make", "features"),
    [
        (lambda: keras.layers.Dense(2), [3]),
        (keras.layers.PReLU, [3]),
        (lambda: keras.layers.Conv2D(1, 3), [4, 4, 1]),
        (conv_transpose, [4, 4, 1]),
        (lambda: keras.layers.SeparableConv2D(1, 3), [4, 4, 1]),
        (keras.layers.LayerNormalization, [3]),
        (lambda: keras.layers.LSTM(2), [3, 1]),
        (lambda: keras.layers.Dense(2, name="dense_12"), [3]),
        (lambda: Composite("inside"), [3]),
        (lambda: Composite(name="outside"), [3]),
        (
            lambda: keras.Sequential([keras.Input([3]), dense(2, "in")]),
            [3],
        ),
    ],
)
def test_names_that_keras_numbers_are_refused(make, features):
    layer = make()
    model = keras.Sequential([keras.Input(features), layer], name="net")
    with pytest.raises(
        ValueError,
        match=r"layer '\w+' of model 'net' has the name Keras numbered it "
        r'with, .*Write \w+\(\.\.\., name="\.\.\."\)',
    ):
        functional.from_keras(model)


@pytest.mark.parametrize("name", ["up2", "dense1", "head", "dense_out", "d"])
def test_names_with_a_meaning_are_taken(name):
    functional.from_keras(sequential(dense(2, name)))


def test_layers_without_weights_need_no_name():
    model = sequential(keras.layers.ReLU(), dense(2, "head"))
    assert len(functional.from_keras(model).variables()[0]) == 2


class Subclassed(keras.Model):
    """A model that can do what functional ones cannot."""

    def __init__(self, layers, *, own_weight=False):
        super().__init__(name="net")
        self.parts = layers
        if own_weight:
            self.scale = self.add_weight(name="scale", shape=())

    def call(self, inputs):
        for layer in self.parts:
            inputs = layer(inputs)
        return inputs


def test_repeated_names_are_refused():
    model = Subclassed([dense(3, "same"), dense(3, "same")])
    model(batch())
    with pytest.raises(
        ValueError,
        match=r"model 'net': weights \['same/bias', 'same/kernel'\] cannot be "
        "told apart .* named layers",
    ):
        functional.from_keras(model)


def test_weights_outside_a_layer_are_refused():
    model = Subclassed([dense(3, "one")], own_weight=True)
    model(batch())
    with pytest.raises(ValueError, match=r"weights \['net/scale'\] cannot be"):
        functional.from_keras(model)


def test_model_without_weights_yet_is_refused():
    model = keras.Sequential([dense(2, "head")], name="net")
    with pytest.raises(
        ValueError, match=r"model 'net' is not built, .*Give it an Input"
    ):
        functional.from_keras(model)


def test_layer_used_twice_is_one_leaf():
    shared = dense(3, "shared")
    model = sequential(shared, keras.layers.ReLU())
    x = keras.Input([3])
    model = keras.Model(x, shared(shared(x)), name="net")
    assert list(functional.from_keras(model).variables()[0]) == [
        "shared/kernel",
        "shared/bias",
    ]
    check_same_as_model(model, functional.from_keras(model).apply)


# Initial values.


def check_seeded(init):
    """`init(seed, build)` depends on the seed and on nothing else."""
    first = init(3, plain)
    keras.utils.set_random_seed(9)
    plain()
    again, other = init(3, plain), init(4, plain)
    for leaf, value in first.items():
        np.testing.assert_array_equal(again[leaf], value)
        assert not np.array_equal(other[leaf], value)


def test_init_depends_on_the_seed_and_not_on_earlier_builds():
    check_seeded(
        lambda seed, build: functional.from_keras(build()).init(seed)[0]
    )

    def wrong(seed, build):  # what Keras drew when it built the model
        keras.utils.set_random_seed(seed)
        first = build()
        return functional.from_keras(first).variables()[0]

    def unseeded(seed, build):
        params, _ = functional.from_keras(build()).variables()
        return {k: v.numpy() for k, v in params.items()}

    check_seeded(wrong)  # seeding the process would do as well, but for:
    with pytest.raises(AssertionError):
        check_seeded(unseeded)
    check_order(lambda build: functional.from_keras(build()).init(3)[0])
    with pytest.raises(AssertionError):
        check_order(lambda build: wrong(3, build))


def check_order(init):
    """A leaf has its own value, whatever other layers there are."""

    def turned():
        return sequential(
            dense(3, "extra"), dense(4, "hidden"), dense(2, "head")
        )

    one, other = init(plain), init(turned)
    for leaf in ("hidden/kernel", "hidden/bias", "head/kernel", "head/bias"):
        np.testing.assert_array_equal(one[leaf], other[leaf])


def test_init_is_the_same_in_another_process():
    program = (
        "import keras\n"
        "from tf_metagan.core import functional\n"
        "n = keras.initializers.RandomNormal(stddev=0.5)\n"
        "layers = [keras.layers.Dense(2, kernel_initializer=n, name=k)\n"
        "          for k in ('spare', 'head')]\n"
        "model = keras.Sequential([keras.Input([2]), *layers], name='x')\n"
        "value = functional.from_keras(model).init(7)[0]['head/kernel']\n"
        "print(value.numpy().tobytes().hex())\n"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "123",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    there = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    model = sequential(dense(2, "head"), features=2)
    here = functional.from_keras(model).init(7)[0]["head/kernel"]
    assert here.numpy().tobytes().hex() == there


def wide():
    return keras.Sequential(
        [
            keras.Input([80]),
            dense(80, "normal"),
            keras.layers.Dense(
                80,
                kernel_initializer="glorot_uniform",
                bias_initializer=keras.initializers.Constant(0.5),
                name="glorot",
            ),
            keras.layers.Dense(
                80, kernel_initializer="orthogonal", name="orthogonal"
            ),
        ],
        name="net",
    )


def check_spread(params):
    """Standard deviations within 4 %: 3 / sqrt(2 * 6400) is 2.7 %."""
    for leaf, expected in {
        "normal/kernel": 0.5,
        "glorot/kernel": (2.0 / 160.0) ** 0.5,
        "orthogonal/kernel": 80.0**-0.5,
    }.items():
        assert np.std(params[leaf]) == pytest.approx(expected, rel=0.04)
    # 80 numbers: 3 / sqrt(160) is 24 %.
    assert np.std(params["normal/bias"]) == pytest.approx(0.1, rel=0.24)
    np.testing.assert_array_equal(params["glorot/bias"], 0.5)
    kernel = np.asarray(params["orthogonal/kernel"])
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(80), atol=1e-5)


def test_init_applies_the_initializers_of_the_layers():
    model = wide()
    network = functional.from_keras(model)
    check_spread(network.init(0)[0])
    for variable in model.trainable_variables:  # what was there has no say
        variable.assign(tf.zeros_like(variable))
    check_spread(network.init(0)[0])
    with pytest.raises(AssertionError):  # initial values never applied
        check_spread(network.variables()[0])


def check_independent(params):
    """Leaves of one size must not be copies, nor correlated."""
    one, other = params["normal/kernel"], params["orthogonal/kernel"]
    assert abs(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1]) < 5 / 80


def test_every_leaf_draws_its_own_numbers():
    model = wide()
    params = functional.from_keras(model).init(0)[0]
    check_independent(params)
    copied = {**params, "orthogonal/kernel": params["normal/kernel"]}
    with pytest.raises(AssertionError):
        check_independent(copied)


def test_variable_without_initializer_keeps_its_value():
    model = sequential(Constant(name="move"), dense(2, "head"))
    network = functional.from_keras(model)
    variable = network.variables()[0]["move/shift"]
    np.testing.assert_array_equal(network.init(0)[0]["move/shift"], 0.25)
    variable.assign([1.0, 2.0, 3.0])
    kept = network.init(5)[0]["move/shift"]
    variable.assign([0.0, 0.0, 0.0])
    np.testing.assert_array_equal(kept, [1.0, 2.0, 3.0])  # and is a copy


def test_state_starts_as_its_initializers_say():
    _, state = functional.from_keras(normalised()).init(0)
    np.testing.assert_array_equal(state["norm/moving_mean"], 0.0)
    np.testing.assert_array_equal(state["norm/moving_variance"], 1.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_init_keeps_the_dtype(dtype):
    model = keras.Sequential(
        [keras.Input([3], dtype=dtype), dense(2, "head", dtype=dtype)],
        name="net",
    )
    params, _ = functional.from_keras(model).init(0)
    assert {value.dtype for value in params.values()} == {tf.as_dtype(dtype)}


# State and seeds.


def check_batch_norm(apply, network):
    """Moving mean after two batches, by hand, momentum 3/4."""
    params, state = network.init(0)
    stem = lambda x: x @ params["stem/kernel"] + params["stem/bias"]
    x, expected = batch(), np.zeros(4)
    for scale in (1.0, 3.0):
        expected = 0.75 * expected + 0.25 * np.mean(stem(scale * x), axis=0)
        _, state = apply(params, state, scale * x, SEED)
    np.testing.assert_allclose(
        state["norm/moving_mean"], expected, rtol=1e-5, atol=1e-7
    )


def test_batch_statistics_thread_through():
    model = normalised()
    network = functional.from_keras(model)
    check_batch_norm(network.apply, network)
    untouched = network.init(0)[1]
    for leaf, value in network.variables()[1].items():
        np.testing.assert_array_equal(value, untouched[leaf])

    def forgetful(params, state, x, seed):
        return network.apply(params, network.init(0)[1], x, seed)

    with pytest.raises(AssertionError):
        check_batch_norm(forgetful, network)


def check_dropout(apply, params):
    x = tf.ones([5, 8])
    draw = lambda seed: apply(params, {}, x, seed)[0].numpy()
    np.testing.assert_array_equal(draw(SEED), draw(SEED))
    assert not np.array_equal(draw(SEED), draw(OTHER))
    graph = tf.function(lambda s: apply(params, {}, x, s)[0], autograph=False)
    for seed in (SEED, OTHER):
        np.testing.assert_array_equal(graph(seed) == 0.0, draw(seed) == 0.0)


def test_dropout_follows_the_seed_argument():
    model = dropped()
    network = functional.from_keras(model)
    params, state = network.init(0)
    assert list(network.variables()[1]) == list(state) == []
    assert network.apply(params, state, tf.ones([5, 8]), SEED)[1] == {}
    check_dropout(network.apply, params)

    def stateful(params, state, x, seed):
        return model(x, training=True), {}

    def fixed(params, state, x, seed):
        return network.apply(params, state, x, SEED)

    for wrong in (stateful, fixed):
        with pytest.raises(AssertionError):
            check_dropout(wrong, params)


def test_two_dropouts_draw_different_masks():
    identity = keras.initializers.Identity()
    model = sequential(
        keras.layers.Dropout(0.5, name="drop1"),
        keras.layers.Dense(64, kernel_initializer=identity, name="same"),
        keras.layers.Dropout(0.5, name="drop2"),
        features=64,
    )
    network = functional.from_keras(model)
    params, state = network.init(0)
    kept, _ = network.apply(params, state, tf.ones([50, 64]), SEED)
    # Kept by both with probability 1/4, if the masks differ; 5 deviations.
    share = np.mean(np.asarray(kept) != 0.0)
    assert abs(share - 0.25) < 5.0 * (0.25 * 0.75 / 3200) ** 0.5
