"""Layers equal Keras's in value and in every derivative, or better them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.gan import layers

# The fast form is taken up to four channels next to the image.
CHANNELS = (1, 3, 4, 5)
OPTIONS = {
    "plain": {"use_bias": False},
    "bias": {},
    "tanh": {"activation": "tanh"},
}


def make(kind, channels, *, ours, **options):
    """Return a layer that maps an image of `channels` down or up to one."""
    options = {"name": "layer", "dtype": "float64", **options}
    filters = 2 if kind == "down" else channels
    if ours:
        return {"down": layers.Down, "up": layers.Up}[kind](filters, **options)
    stock = {"down": keras.layers.Conv2D, "up": keras.layers.Conv2DTranspose}
    return stock[kind](filters, 4, 2, "same", **options)


def inputs(kind, channels):
    shape = (2, 4, 6, channels) if kind == "down" else (2, 2, 3, 2)
    return tf.constant(np.random.default_rng(0).normal(size=shape))


def randomise(layer, x):
    layer.build(x.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])


def nested_gradients(layer, x, order):
    """Return gradients of orders 1 .. order in inputs and weights, flat.

    Each is the gradient of the previous one's product with a random vector
    that itself depends on inputs and weights, so that an order holds all their
    mixed derivatives and no path may be cut on the way back.
    """
    names = [w.name for w in layer.trainable_variables]
    rng = np.random.default_rng(2)
    point = {w.name: tf.convert_to_tensor(w) for w in layer.trainable_variables}
    point["x"] = x
    mix = tf.constant(rng.normal(size=layer(x).shape))

    def value(point):
        call = layer.stateless_call([point[k] for k in names], [], point["x"])
        return tf.reduce_sum(mix * tf.sin(call[0]))

    def along(function, vector, found):
        def product(point):
            with tf.GradientTape() as tape:
                tape.watch(point)
                lower = function(point)
            grads = tape.gradient(lower, point, unconnected_gradients="zero")
            found.append(grads)
            return tf.add_n(
                [
                    tf.reduce_sum(grads[k] * vector[k] * tf.cos(point[k]))
                    for k in point
                ]
            )

        return product

    orders, function = [], value
    for _ in range(order):
        found = []
        vector = {
            k: tf.constant(rng.normal(size=p.shape)) for k, p in point.items()
        }
        function = along(function, vector, found)
        orders.append(found)
    function(point)
    return [found[-1] for found in orders]


def check_equal_layers(ours, stock, x, *, order=3):
    randomise(ours, x)
    randomise(stock, x)
    assert ours(x).shape == stock(x).shape
    # Sums of up to 100 products of numbers of size 1, added in another order;
    # each derivative sums as many again.
    np.testing.assert_allclose(ours(x), stock(x), rtol=1e-11, atol=1e-12)
    got = nested_gradients(ours, x, order)
    expected = nested_gradients(stock, x, order)
    for one, other in zip(got, expected, strict=True):
        assert set(one) == set(other)
        for name, value in other.items():
            scale = np.max(np.abs(value))
            assert scale > 0.0
            np.testing.assert_allclose(
                one[name], value, rtol=1e-9, atol=1e-11 * scale
            )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("kind", ["down", "up"])
def test_strided_layer_equals_keras_to_third_order(kind, channels, options):
    check_equal_layers(
        make(kind, channels, ours=True, **options),
        make(kind, channels, ours=False, **options),
        inputs(kind, channels),
    )


class Flipped(keras.layers.Conv2D):
    """A true convolution: the kernel turned around."""

    def call(self, inputs):
        kernel = self.kernel[::-1, ::-1]
        return tf.nn.conv2d(inputs, kernel, 2, "SAME") + self.bias


class Truncated(keras.layers.Conv2D):
    """Right value and gradient; the gradient's dependence on w is lost."""

    def call(self, inputs):
        @tf.custom_gradient
        def convolve(x, w):
            def grad(upstream):
                held = tf.stop_gradient(w)
                return layers._up(upstream, held), layers._kernel(x, upstream)

            return tf.nn.conv2d(x, w, 2, "SAME"), grad

        return convolve(inputs, tf.convert_to_tensor(self.kernel)) + self.bias


def test_wrong_convolutions_are_noticed():
    def check(kind, order):
        check_equal_layers(
            kind(2, 4, 2, "same", name="layer", dtype="float64"),
            make("down", 3, ours=False),
            inputs("down", 3),
            order=order,
        )

    check(keras.layers.Conv2D, 3)
    with pytest.raises(AssertionError):
        check(Flipped, 1)
    check(Truncated, 1)
    with pytest.raises(AssertionError):
        check(Truncated, 2)


@pytest.mark.parametrize("size", [(5, 6), (4, 3), (5, 5)])
def test_odd_images_are_halved_as_keras_does(size):
    x = tf.constant(np.random.default_rng(0).normal(size=(2, *size, 1)))
    check_equal_layers(
        make("down", 1, ours=True), make("down", 1, ours=False), x
    )


@pytest.mark.parametrize("kind", ["down", "up"])
def test_strided_layer_takes_batches_of_unknown_size(kind):
    x = inputs(kind, 1)
    layer, stock = make(kind, 1, ours=True), make(kind, 1, ours=False)
    randomise(layer, x)
    randomise(stock, x)

    @tf.function(
        input_signature=[tf.TensorSpec([None, *x.shape[1:]], tf.float64)],
        autograph=False,
    )
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(tf.square(layer(x)))
        return tape.gradient(y, x)

    for count in (1, 2):
        with tf.GradientTape() as tape:
            part = x[:count]
            tape.watch(part)
            y = tf.reduce_sum(tf.square(stock(part)))
        np.testing.assert_allclose(
            slope(part), tape.gradient(y, part), rtol=1e-11, atol=1e-12
        )


# Leaky ReLU.


class WrongLeaky(keras.layers.Layer):
    """Right value; the slope does not know the sign of the input."""

    def call(self, inputs):
        @tf.custom_gradient
        def activate(x):
            return tf.nn.leaky_relu(x, 0.2), lambda upstream: upstream

        return activate(inputs)


def leaky_values(layer):
    """Return value and three derivatives of sin(layer(x^2 - 1) + x)."""

    def derivatives(x, order):
        if order == 0:
            return [tf.sin(layer(x * x - 1.0) + x)]
        with tf.GradientTape() as tape:
            tape.watch(x)
            lower = derivatives(x, order - 1)
        return [*lower, tape.gradient(lower[-1], x)]

    # Both sides of the kink and, at 1, the kink itself.
    return derivatives(tf.constant([-2.0, -0.3, 0.4, 1.0, 1.7], tf.float64), 3)


def check_leaky(layer):
    stock = keras.layers.LeakyReLU(0.2, name="stock", dtype="float64")
    for got, want in zip(leaky_values(layer), leaky_values(stock), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)


def leaky(slope=0.2):
    return layers.LeakyReLU(slope, name="leaky", dtype="float64")


def test_leaky_relu_equals_keras_to_third_order():
    check_leaky(leaky())
    for wrong in (leaky(0.1), WrongLeaky(name="wrong", dtype="float64")):
        with pytest.raises(AssertionError):
            check_leaky(wrong)


def test_leaky_relu_has_the_published_slope():
    x = tf.constant([-10.0, 0.0, 10.0], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = leaky()(x)
    # The operation keeps its slope as a float32 attribute.
    np.testing.assert_allclose(y, [-2.0, 0.0, 10.0], rtol=1e-7)
    np.testing.assert_allclose(tape.gradient(y, x), [0.2, 0.2, 1.0], rtol=1e-7)


def test_leaky_relu_passes_nothing_where_keras_passes_zeros():
    x = tf.constant([-1.0, 2.0])
    for layer, expected in (
        (layers.LeakyReLU(0.2, name="a"), type(None)),
        (keras.layers.LeakyReLU(0.2, name="b"), tf.Tensor),
    ):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = layer(x)
            slope = inner.gradient(y, x)
        assert isinstance(outer.gradient(slope, x), expected)


# Layer norm.


def check_layer_norm(layer, *, orders):
    """Values by hand; derivatives against central differences.

    With h = 1e-5 and numbers of size 1, differences err by about 1e-10 from
    their next term and 1e-16 / 1e-5 from rounding.
    """
    rng = np.random.default_rng(0)
    x, step = tf.constant(rng.normal(size=(2, 2, 2, 2, 3)))
    layer.build(x.shape)
    gamma, beta, mix = rng.normal(size=(3, 2, 2, 3))
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    for sample, got in zip(x.numpy(), layer(x).numpy(), strict=True):
        scale = np.sqrt(np.var(sample) + 1e-5)
        expected = gamma * (sample - np.mean(sample)) / scale + beta
        np.testing.assert_allclose(got, expected, rtol=1e-11)

    def derivative(x, order):
        if order == 0:
            return tf.reduce_sum(mix * tf.sin(layer(x)))
        with tf.GradientTape() as tape:
            tape.watch(x)
            lower = derivative(x, order - 1)
        return tf.reduce_sum(tape.gradient(lower, x) * step)

    h = 1e-5
    for order in orders:
        plus, minus = (derivative(x + s * step, order - 1) for s in (h, -h))
        np.testing.assert_allclose(
            derivative(x, order), (plus - minus) / (2.0 * h), rtol=1e-7
        )


def keras_norm(**options):
    return keras.layers.LayerNormalization(
        axis=(1, 2, 3), name="norm", dtype="float64", **options
    )


def test_layer_norm_is_right_to_third_order():
    layer = layers.LayerNorm(name="norm", dtype="float64")
    check_layer_norm(layer, orders=(1, 2, 3))


def test_layer_norm_of_keras_is_wrong_from_second_order_on():
    check_layer_norm(keras_norm(epsilon=1e-5), orders=(1,))
    for order in (2, 3):
        with pytest.raises(AssertionError):
            check_layer_norm(keras_norm(epsilon=1e-5), orders=(order,))
    with pytest.raises(AssertionError):  # Keras's own epsilon
        check_layer_norm(keras_norm(), orders=())


# Batch norm and instance norm.


def check_norm(layer, axes):
    """Values by hand; curvature against differences, see check_layer_norm."""
    rng = np.random.default_rng(0)
    x, step = tf.constant(rng.normal(size=(2, 3, 2, 2, 3)))
    layer.build(x.shape)
    gamma, beta = rng.normal(size=(2, 3))
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    mean, variance = (
        f(x.numpy(), axes, keepdims=True) for f in (np.mean, np.var)
    )
    expected = gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta
    np.testing.assert_allclose(layer(x), expected, rtol=1e-10)

    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(tf.sin(layer(x)))
        return tf.reduce_sum(tape.gradient(value, x) * step)

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = slope(x)
    found = tf.reduce_sum(tape.gradient(value, x) * step)
    h = 1e-5
    difference = (slope(x + h * step) - slope(x - h * step)) / (2.0 * h)
    np.testing.assert_allclose(found, difference, rtol=1e-7)


def test_norms_of_batch_and_instance_are_right_to_second_order():
    options = {"name": "norm", "dtype": "float64"}
    check_norm(layers.BatchNorm(**options), (0, 1, 2))
    check_norm(layers.InstanceNorm(**options), (1, 2))
    with pytest.raises(AssertionError):
        check_norm(layers.InstanceNorm(**options), (0, 1, 2))
    wrong = keras.layers.GroupNormalization(3, epsilon=1e-5, **options)
    with pytest.raises(AssertionError):
        check_norm(wrong, (1, 2))


def test_batch_norm_keeps_no_statistics():
    layer = layers.BatchNorm(name="norm", dtype="float64")
    x = inputs("down", 3)
    layer.build(x.shape)
    once = layer(x, training=True)
    assert layer.non_trainable_variables == []
    np.testing.assert_array_equal(layer(x, training=False), once)


# Keeping.


def every_layer(dtype):
    return [
        layers.Down(3, name="down", dtype=dtype),
        layers.LeakyReLU(0.3, name="leaky", dtype=dtype),
        layers.LayerNorm(1e-3, name="norm", dtype=dtype),
        layers.BatchNorm(gamma_initializer="zeros", name="batch", dtype=dtype),
        layers.InstanceNorm(name="instance", dtype=dtype),
        layers.Up(2, activation="tanh", use_bias=False, name="up", dtype=dtype),
    ]


@pytest.mark.parametrize("index", range(6))
def test_layer_is_rebuilt_from_its_config(index):
    layer = every_layer("float64")[index]
    twin = type(layer).from_config(layer.get_config())
    assert type(twin) is type(layer)
    assert twin.get_config() == layer.get_config()
    x = inputs("down", 1)
    randomise(layer, x)
    twin.build(x.shape)
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(twin(x), layer(x))
    assert twin(x).dtype == tf.float64


# Keras 3.15 converts variables in a way that NumPy 2 will not take for ever.
@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_model_is_saved_and_loaded(tmp_path):
    model = keras.Sequential(
        [keras.Input([4, 4, 1]), *every_layer("float32")], name="net"
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    path = tmp_path / "net.keras"
    model.save(path)
    loaded = keras.saving.load_model(path)
    x = tf.constant(rng.normal(size=(2, 4, 4, 1)), tf.float32)
    np.testing.assert_array_equal(loaded(x), model(x))
    for one, other in zip(loaded.layers, model.layers, strict=True):
        assert type(one) is type(other)


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_layers_compute_in_the_dtype_of_their_policy(dtype):
    x = tf.cast(inputs("down", 1), dtype.removeprefix("mixed_"))
    for layer in every_layer(dtype):
        x = layer(x)
        assert x.dtype == dtype.removeprefix("mixed_")
        assert {w.dtype for w in layer.weights} <= {"float32"}
