"""What every family of networks in the registry promises to the rest.

The checks take a `build` function, so that each of them can be shown to
refuse a family that breaks its promise.
"""

import math
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests import problems
from tf_metagan import registry
from tf_metagan.core import functional
from tf_metagan.exporting import audit

SMALLEST = {"image_size": 16, "channels": 1, "width": 2, "latent_size": 3}
# Built of dense layers only, for mathematics; takes images of any size.
ANY_SIZE = ("toy",)
# No gradient of the gradient, or one that is silently wrong.
BANNED = re.compile("Resize(Bilinear|Bicubic|NearestNeighbor)|FusedBatchNorm")

names = problems.FAMILIES
every_name = pytest.mark.parametrize("name", names)


def find(name):
    return registry.find(registry.ARCHITECTURES, name)


def family(*, layer=None, named=True, activation="tanh"):
    """Return the `build` of small players, sound unless told otherwise.

    Args:
      layer: function of name and dtype that returns a layer to put among the
        feature maps [n, 16, 16, w] of both players.
      named: give names to layers and models.
      activation: of the last layer of g.
    """

    def build(*, image_size, channels, width, latent_size, dtype="float32"):
        def options(name):
            return {"name": name, "dtype": dtype} if named else {"dtype": dtype}

        def conv(name, filters, activation):
            return keras.layers.Conv2D(
                filters, 3, 1, "same", activation=activation, **options(name)
            )

        extra = [] if layer is None else [layer, layer]
        extra = [make(**options("extra")) for make in extra]
        shape = (image_size, image_size, width)
        g = [
            keras.Input([latent_size], dtype=dtype),
            keras.layers.Dense(math.prod(shape), "softplus", **options("stem")),
            keras.layers.Reshape(shape, **options("grid")),
            *extra[:1],
            conv("head", channels, activation),
        ]
        d = [
            keras.Input([image_size, image_size, channels], dtype=dtype),
            conv("stem", width, "softplus"),
            *extra[1:],
            keras.layers.Flatten(**options("flat")),
            keras.layers.Dense(1, **options("head")),
        ]
        return {
            "d": keras.Sequential(d, name="d" if named else None),
            "g": keras.Sequential(g, name="g" if named else None),
        }

    return build


def keras_layer_norm(**options):
    return keras.layers.LayerNormalization(axis=(1, 2, 3), **options)


class Bilinear(keras.layers.Layer):
    """Double the size by interpolation and halve it by averaging."""

    def call(self, inputs):
        size = [2 * side for side in inputs.shape[1:3]]
        large = tf.cast(tf.image.resize(inputs, size), self.compute_dtype)
        return tf.nn.avg_pool2d(large, 2, 2, "VALID")


class Narrow(keras.layers.Layer):
    """Round to single precision on the way."""

    def call(self, inputs):
        return tf.cast(tf.cast(inputs, tf.float32), self.compute_dtype)


class Hidden(keras.layers.Layer):
    """Scale by random numbers whose initializer nobody can find."""

    def build(self, input_shape):
        self.scale = self.add_weight(
            name="scale",
            shape=input_shape[1:],
            initializer=keras.initializers.RandomNormal(),
        )

    def call(self, inputs):
        return inputs * self.scale


class Detached(keras.layers.Layer):
    """Add a bias that the loss does not feel."""

    def build(self, input_shape):
        self.shift = self.add_weight(name="shift", shape=input_shape[1:])

    def call(self, inputs):
        return inputs + tf.stop_gradient(self.shift)


# Names.


def all_layers(model):
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)


def check_names(build):
    for model in build(**SMALLEST).values():
        for layer in (model, *all_layers(model)):
            kind = re.sub(r"(?<!^)(?=[A-Z])", "_?", type(layer).__name__)
            assert not re.fullmatch(rf"{kind}(_\d+)?", layer.name, re.I)
        given = [layer.name for layer in all_layers(model)]
        assert len(given) == len(set(given)) > 0


@every_name
def test_every_layer_is_named(name):
    check_names(find(name))


def test_numbered_names_are_noticed():
    check_names(family())
    with pytest.raises(AssertionError):
        check_names(family(named=False))


def check_second_build(build):
    first, second = build(**SMALLEST), build(**SMALLEST)
    assert {"d", "g"} <= set(first) == set(second)
    for player in first:
        leaves = []
        for model in (first[player], second[player]):
            params, state = functional.from_keras(model).variables()
            leaves.append([(k, tuple(v.shape)) for k, v in params.items()])
            assert state == {}
        assert leaves[0] == leaves[1] != []


@every_name
def test_second_build_has_the_same_leaves(name):
    check_second_build(find(name))


def test_other_leaves_in_second_build_are_noticed():
    check_second_build(family())
    count = iter(range(100))

    def counted(**options):
        return keras.layers.Dense(2, **{**options, "name": f"x{next(count)}"})

    for layer in (counted, keras.layers.BatchNormalization):
        with pytest.raises(AssertionError):
            check_second_build(family(layer=layer))


def check_seeded(build):
    """Check that a seed decides every start value that is not a constant."""
    for model in build(**SMALLEST).values():
        network = functional.from_keras(model)
        one, same, other = (network.init(seed)[0] for seed in (1, 1, 2))
        assert set(one) == set(network.variables()[0])
        for leaf, value in one.items():
            np.testing.assert_array_equal(value, same[leaf])
            constant = np.ptp(value) == 0.0
            assert constant or not np.array_equal(value, other[leaf])


@every_name
def test_seed_decides_the_start(name):
    check_seeded(find(name))


def test_start_without_seed_is_noticed():
    check_seeded(family())
    with pytest.raises(AssertionError):
        check_seeded(family(layer=Hidden))


# Shapes and range.


def feed(model, x, exemplar):
    """Return what a model is called with to see `x`.

    One that takes more numbers, or compares images, gets `x` several times.
    One that also sees an image of the task gets `exemplar` beside it; one that
    is told a label gets the first.
    """
    first, *rest = model.inputs
    wanted = first.shape[-1]
    x = tf.concat([x] * -(-wanted // x.shape[-1]), -1)[..., :wanted]
    if not rest:
        return x
    if len(rest[0].shape) == 4:
        return [x, exemplar]
    labels = rest[0].shape[-1]
    return [x, tf.one_hot(tf.zeros(len(x), tf.int32), labels, dtype=x.dtype)]


def scored(outputs):
    """Return one score [n, 1] that feels everything a model gives."""
    return tf.add_n(
        [tf.reduce_mean(x, 1, keepdims=True) for x in tf.nest.flatten(outputs)]
    )


def check_images(build, *, image_size, channels):
    settings = {"image_size": image_size, "channels": channels}
    pair = build(**{**SMALLEST, **settings})
    latent = np.random.default_rng(0).normal(size=(4, SMALLEST["latent_size"]))
    exemplar = tf.zeros([4, image_size, image_size, channels])
    for scale in (1.0, 1e4):
        z = tf.constant(scale * latent, tf.float32)
        images = pair["g"](feed(pair["g"], z, exemplar))
        assert images.shape == (4, image_size, image_size, channels)
        assert np.all(np.abs(images) <= 1.0)
        # One pixel saturates to the same sign at huge latents.
        assert scale > 1.0 or np.ptp(images) > 0.0
        judged = tf.nest.flatten(pair["d"](feed(pair["d"], images, exemplar)))
        assert judged[0].shape == (4, 1)
        assert np.all(np.isfinite(scored(judged)))


@every_name
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_size", [16, 32])
def test_images_have_their_shape_and_range(name, image_size, channels):
    check_images(find(name), image_size=image_size, channels=channels)


def test_images_out_of_range_are_noticed():
    check_images(family(), image_size=16, channels=3)
    wrong = family(activation="softplus")
    with pytest.raises(AssertionError):
        check_images(wrong, image_size=16, channels=3)


@pytest.mark.parametrize("name", [x for x in names if x not in ANY_SIZE])
@pytest.mark.parametrize("image_size", [-16, 0, 8, 30])
def test_other_sizes_than_multiples_of_16_are_refused(name, image_size):
    message = f"--image_size={image_size} .*multiple of 16.*Use --image_size="
    with pytest.raises(ValueError, match=message) as caught:
        find(name)(**{**SMALLEST, "image_size": image_size})
    advice = int(str(caught.value).rpartition("=")[2].removesuffix("."))
    assert advice % 16 == 0
    assert 0 < advice <= 32


@pytest.mark.parametrize("name", ANY_SIZE)
@pytest.mark.parametrize("image_size", [1, 30])
def test_any_size_is_taken_by_families_that_say_so(name, image_size):
    check_images(find(name), image_size=image_size, channels=1)


# Derivatives.


def penalised_gradients(networks, params, batch):
    """Return each player's gradient of a critic loss with gradient penalty."""

    def run(player, params, x):
        seed = tf.zeros([2], tf.int64)
        model, network = networks[player]
        x = feed(model, x, batch["exemplar"])
        outputs = network.apply(params[player], {}, x, seed)[0]
        return outputs if player == "g" else scored(outputs)

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(params)
        fake = run("g", params, batch["latent"])
        between = 0.5 * (batch["real"] + fake)
        with tf.GradientTape() as inner:
            inner.watch(between)
            scores = run("d", params, between)
        slope = inner.gradient(scores, between)
        norm = tf.sqrt(tf.reduce_sum(slope**2, [1, 2, 3]) + 1e-12)
        real, fooled = run("d", params, batch["real"]), run("d", params, fake)
        # No Wasserstein loss: the bias of the last layer would cancel out.
        loss = tf.reduce_mean(tf.nn.softplus(fooled) + tf.nn.softplus(-real))
        loss += tf.reduce_mean((norm - 1.0) ** 2)
        for player in params.keys() - {"d", "g"}:
            made = run(player, params, batch["latent"])
            loss += tf.reduce_mean(tf.nn.softplus(made))
    return {player: tape.gradient(loss, params[player]) for player in params}


def prepare(build):
    """Return networks, weights and images in double precision."""
    rng = np.random.default_rng(0)
    networks, params = {}, {}
    for player, model in build(**SMALLEST, dtype="float64").items():
        network = functional.from_keras(model)
        networks[player] = model, network
        params[player] = {
            leaf: tf.constant(value + 0.1 * rng.normal(size=value.shape))
            for leaf, value in network.init(0)[0].items()
        }
    batch = {
        "real": tf.constant(rng.uniform(-1, 1, (2, 16, 16, 1))),
        "latent": tf.constant(rng.normal(size=(2, SMALLEST["latent_size"]))),
        "exemplar": tf.constant(rng.uniform(-1, 1, (2, 16, 16, 1))),
    }
    return networks, params, batch


def trace(build):
    networks, params, batch = prepare(build)
    gradients = {}

    def record(params, batch):
        gradients.update(penalised_gradients(networks, params, batch))

    graph = tf.function(record).get_concrete_function(params, batch).graph
    return graph, params, gradients


def operations(graph):
    """List the operations of a graph, those of its functions too."""
    return list(audit.nodes(graph.as_graph_def()))


def check_operations(graph):
    found = {node.op for node in operations(graph)}
    assert not {op for op in found if BANNED.search(op)}


def is_narrow(node):
    """Tell whether an operation handles numbers below double precision."""
    shape = node.attr["value"].tensor.tensor_shape.dim
    if any(axis.size == 0 for axis in shape):
        return False  # an empty constant: the shape of a scalar
    attributes = node.attr.values()
    dtypes = {x for a in attributes for x in (a.type, *a.list.type)}
    narrow = (tf.float16, tf.bfloat16, tf.float32)
    return any(dtype.as_datatype_enum in dtypes for dtype in narrow)


def check_double_precision(graph):
    assert not [node for node in operations(graph) if is_narrow(node)]


def check_every_leaf_has_a_gradient(params, gradients):
    for player, leaves in params.items():
        assert set(gradients[player]) == set(leaves)
        assert not [k for k, v in gradients[player].items() if v is None]
        for leaf, value in leaves.items():
            assert gradients[player][leaf].shape == value.shape
            assert gradients[player][leaf].dtype == tf.float64


@every_name
def test_gradient_of_gradient_is_sound(name):
    graph, params, gradients = trace(find(name))
    assert len(operations(graph)) > 100
    check_operations(graph)
    check_double_precision(graph)
    check_every_leaf_has_a_gradient(params, gradients)


def test_unsound_gradients_are_noticed():
    graph, *leaves = trace(family())
    check_operations(graph)
    check_double_precision(graph)
    check_every_leaf_has_a_gradient(*leaves)

    with pytest.raises(AssertionError):
        check_operations(trace(family(layer=Bilinear))[0])
    with pytest.raises(AssertionError):
        check_double_precision(trace(family(layer=Narrow))[0])
    _, *leaves = trace(family(layer=Detached))
    with pytest.raises(AssertionError):
        check_every_leaf_has_a_gradient(*leaves)


def check_curvature(build):
    """Compare u.H v with a central difference of u.grad, H the Hessian.

    u and v are random directions in the weights of both players. With the
    penalty, H takes three nested derivatives. Measured error 1e-9 to 1e-7; a
    step that crosses a kink of a (leaky, parametric) ReLU is off by much more
    than the tolerance, hence the fixed seed.
    """
    networks, params, batch = prepare(build)
    rng = np.random.default_rng(1)

    def unit():
        draws = [rng.normal(size=w.shape) for w in tf.nest.flatten(params)]
        length = math.sqrt(sum(np.sum(x**2) for x in draws))
        return [x / length for x in draws]

    left, right = unit(), unit()

    def slope(params):
        gradients = penalised_gradients(networks, params, batch)
        leaves = zip(tf.nest.flatten(gradients), left, strict=True)
        return tf.add_n([tf.reduce_sum(g * u) for g, u in leaves])

    def moved(step):
        leaves = zip(tf.nest.flatten(params), right, strict=True)
        return tf.nest.pack_sequence_as(
            params, [w + step * v for w, v in leaves]
        )

    with tf.GradientTape() as tape:
        tape.watch(params)
        value = slope(params)
    hessian = tf.nest.flatten(tape.gradient(value, params))
    exact = sum(np.sum(h * v) for h, v in zip(hessian, right, strict=True))
    difference = float(slope(moved(1e-6)) - slope(moved(-1e-6))) / 2e-6
    assert exact == pytest.approx(difference, rel=1e-5)


@every_name
def test_curvature_agrees_with_differences(name):
    check_curvature(find(name))


@pytest.mark.parametrize("layer", [keras_layer_norm, Bilinear])
def test_wrong_curvature_is_noticed(layer):
    check_curvature(family())
    with pytest.raises(AssertionError):
        check_curvature(family(layer=layer))
