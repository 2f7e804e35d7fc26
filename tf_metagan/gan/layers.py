"""Layers for networks that are differentiated through many times.

Inside a rollout an operation needs right gradients of every order. Safe:
matmul, conv2d and both its backward passes, average pooling, leaky_relu,
softplus, tanh, repeat, depth_to_space, nearest UpSampling2D, PReLU.

Banned: `tf.image.resize` and bilinear UpSampling2D (no second derivative, or a
silently wrong one); fused batch normalisation (no second derivative); and
`tf.nn.moments` with all that takes its variance from it, Keras's
LayerNormalization, GroupNormalization and BatchNormalization among them: they
stop the gradient of the mean inside the square, so that values and first
derivatives are right and all higher ones are wrong, by tens of percent.
"""

import keras
import tensorflow as tf

_FEW_CHANNELS = 4


@keras.saving.register_keras_serializable(package="tf_metagan")
class Down(keras.layers.Conv2D):
    """Halve height and width: 4x4 convolution of stride 2, "same" padding.

    Equal to Conv2D(filters, 4, strides=2, padding="same"); faster on a CPU
    for images of at most four channels, whose gradient with respect to the
    image then is a matrix product.
    """

    def __init__(self, filters: int, **kwargs):
        kwargs = {"kernel_size": 4, "strides": 2, "padding": "same", **kwargs}
        super().__init__(filters, **kwargs)

    def call(self, inputs):
        """Map [n, H, W, c] to [n, H/2, W/2, filters], rounded up."""
        _, height, width, channels = inputs.shape
        few = channels <= _FEW_CHANNELS and _has_fast_form(self)
        if not few or not _are_even(height, width):
            return super().call(inputs)
        outputs = _down(inputs, tf.convert_to_tensor(self.kernel))
        return _finish(self, outputs)


@keras.saving.register_keras_serializable(package="tf_metagan")
class Up(keras.layers.Conv2DTranspose):
    """Double height and width: 4x4 transposed convolution of stride 2.

    Equal to Conv2DTranspose(filters, 4, strides=2, padding="same"); faster on
    a CPU for at most four output channels, where it is one matrix product and
    an overlapping sum.
    """

    def __init__(self, filters: int, **kwargs):
        kwargs = {"kernel_size": 4, "strides": 2, "padding": "same", **kwargs}
        super().__init__(filters, **kwargs)

    def call(self, inputs):
        """Map [n, H, W, c] to [n, 2H, 2W, filters]."""
        if self.filters > _FEW_CHANNELS or not _has_fast_form(self):
            return super().call(inputs)
        outputs = _up(inputs, tf.convert_to_tensor(self.kernel))
        return _finish(self, outputs)


def _has_fast_form(layer) -> bool:
    return (
        tuple(layer.kernel_size) == (4, 4)
        and tuple(layer.strides) == (2, 2)
        and tuple(layer.dilation_rate) == (1, 1)
        and layer.padding == "same"
        and layer.data_format == "channels_last"
    )


def _are_even(*sides: int | None) -> bool:
    """Tell whether all sides are known and even, as `_up` gives them back."""
    return all(side is not None and side % 2 == 0 for side in sides)


def _finish(layer, outputs):
    if layer.use_bias:
        outputs = tf.nn.bias_add(outputs, tf.convert_to_tensor(layer.bias))
    return layer.activation(outputs)


@keras.saving.register_keras_serializable(package="tf_metagan")
class LeakyReLU(keras.layers.LeakyReLU):
    """max(x, slope * x), whose second derivative is absent rather than zero.

    Equal to Keras's layer in every derivative. TensorFlow's own rule passes a
    tensor of zeros back through everything below whenever a gradient is
    differentiated again, as a gradient penalty is; here nothing is passed,
    which spares two filter gradients and more in every penalised step.
    """

    def call(self, inputs):
        """Map any shape to the same shape."""
        return leaky_relu(inputs, float(self.negative_slope))


def leaky_relu(x, slope: float):
    """Return max(x, slope * x); see `LeakyReLU`."""

    @tf.custom_gradient
    def activate(x):
        def grad(upstream):
            held = tf.stop_gradient(x)
            return tf.raw_ops.LeakyReluGrad(
                gradients=upstream, features=held, alpha=slope
            )

        return tf.nn.leaky_relu(x, alpha=slope), grad

    return activate(x)


def normalise(x, gamma, beta, *, axes, epsilon: float) -> tf.Tensor:
    """Return gamma (x - mean) / sqrt(mean((x - mean)^2) + epsilon) + beta.

    Args:
      x: any shape.
      gamma: like `x` without the axes, or such that it spreads over it.
      beta: likewise.
      axes: that means run over.
      epsilon: added to the variance.
    """
    centred = x - tf.reduce_mean(x, axes, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), axes, keepdims=True)
    return gamma * (centred * tf.math.rsqrt(variance + epsilon)) + beta


class _Norm(keras.layers.Layer):
    """Normalise over some axes, then scale and shift.

        y = gamma (x - mean) / sqrt(mean((x - mean)^2) + epsilon) + beta

    Statistics are those of the input at hand, whatever the mode.
    """

    def __init__(
        self, epsilon: float = 1e-5, gamma_initializer="ones", **kwargs
    ):
        """Store the settings.

        Args:
          epsilon: added to the variance.
          gamma_initializer: of the scale.
          **kwargs: `name` and `dtype` of the layer.
        """
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_initializer = keras.initializers.Zeros()

    def build(self, input_shape):
        """Create gamma and beta.

        Args:
          input_shape: (n, ...); all that gamma and beta cover known.
        """
        shape = self._scaled(input_shape)
        self.gamma = self.add_weight(
            name="gamma",
            shape=shape,
            initializer=self.gamma_initializer,
            autocast=False,
        )
        self.beta = self.add_weight(
            name="beta",
            shape=shape,
            initializer=self.beta_initializer,
            autocast=False,
        )

    def call(self, inputs):
        """Normalise; statistics are taken in the dtype of the weights.

        Args:
          inputs: [n, ...].

        Returns:
          Same shape and dtype.
        """
        normalised = normalise(
            tf.cast(inputs, self.variable_dtype),
            self.gamma,
            self.beta,
            axes=self._averaged(len(inputs.shape)),
            epsilon=self.epsilon,
        )
        return tf.cast(normalised, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Return the shape of the input."""
        return input_shape

    def _scaled(self, input_shape):
        """Return the shape of gamma and beta: one number per channel."""
        return input_shape[-1:]


@keras.saving.register_keras_serializable(package="tf_metagan")
class LayerNorm(_Norm):
    """Normalise each sample over all its elements; see `_Norm`.

    gamma and beta have the shape of one sample.

    Source: Ba, Kiros and Hinton (2016), as `torch.nn.LayerNorm` over the full
      sample with its default epsilon.
    Differs: keras.layers.LayerNormalization(axis=(1, 2, 3)) has equal values
      and first derivatives, but wrong higher ones: it takes the variance from
      `tf.nn.moments`, which stops the gradient of the mean inside the square.
      What that drops is zero in the first derivative and not in the second.
    """

    def _averaged(self, rank: int) -> list[int]:
        return list(range(1, rank))

    def _scaled(self, input_shape):
        return input_shape[1:]


@keras.saving.register_keras_serializable(package="tf_metagan")
class InstanceNorm(_Norm):
    """Normalise each channel of each sample over its pixels; see `_Norm`.

    Source: Ulyanov et al. (2016), as affine `torch.nn.InstanceNorm2d`.
    Differs: keras.layers.GroupNormalization(groups=-1), as `LayerNorm` does.
    """

    def _averaged(self, rank: int) -> list[int]:
        return list(range(1, rank - 1))


@keras.saving.register_keras_serializable(package="tf_metagan")
class BatchNorm(_Norm):
    """Normalise each channel over samples and pixels; see `_Norm`.

    It keeps no running statistics: in training, adaptation and sampling alike
    a batch is normalised by itself. So nothing is carried from one task to
    another, and who samples must draw whole batches (`game.in_batches`).

    Source: Ioffe and Szegedy (2015), algorithm 1.
    Differs: keras.layers.BatchNormalization, as `LayerNorm` does, and by its
      running statistics.
    """

    def _averaged(self, rank: int) -> list[int]:
        return list(range(rank - 1))


# The three bilinear maps of a strided convolution. Each one's derivatives are
# the other two, so gradients of every order stay within the fast forms.
#   _down(x, w): x [n, 2h, 2w, c], w [4, 4, c, f] -> [n, h, w, f]
#   _up(y, w): y [n, h, w, f] -> [n, 2h, 2w, c], the adjoint of _down in x
#   _kernel(x, y): -> [4, 4, c, f], the adjoint of _down in w


@tf.custom_gradient
def _down(x, w):
    def grad(y):
        return _up(y, w), _kernel(x, y)

    return tf.nn.conv2d(x, w, strides=2, padding="SAME"), grad


@tf.custom_gradient
def _up(y, w):
    def grad(x):
        return _down(x, w), _kernel(x, y)

    return _transposed(y, w), grad


@tf.custom_gradient
def _kernel(x, y):
    def grad(w):
        return _up(y, w), _down(x, w)

    shape = [4, 4, x.shape[-1], y.shape[-1]]
    return (
        tf.raw_ops.Conv2DBackpropFilter(
            input=x,
            filter_sizes=shape,
            out_backprop=y,
            strides=[1, 2, 2, 1],
            padding="SAME",
        ),
        grad,
    )


def _transposed(y, w):
    """Transposed convolution as one matrix product and an overlapping sum.

    Each input pixel paints a 4x4 patch, that is 2x2 blocks of 2x2 pixels, on
    a canvas with a border of one; a block of the canvas is the sum of four.
    """
    h, width = y.shape[1], y.shape[2]
    c, f = w.shape[2], w.shape[3]
    patches = tf.matmul(
        tf.reshape(w, [16 * c, f]), tf.reshape(y, [-1, f]), transpose_b=True
    )
    # Axes: block row, row in block, block column, column in block, ...
    patches = tf.reshape(patches, [2, 2, 2, 2, -1, h, width])
    keep = [[0, 0]] * 3
    canvas = tf.add_n(
        [
            tf.pad(patches[i, :, j], [*keep, [i, 1 - i], [j, 1 - j]])
            for i in (0, 1)
            for j in (0, 1)
        ]
    )
    canvas = tf.reshape(canvas, [2, 2, c, -1, h + 1, width + 1])
    # [row, column, c, n, H, W] -> [n, H, row, W, column, c]
    canvas = tf.transpose(canvas, [3, 4, 0, 5, 1, 2])
    canvas = tf.reshape(canvas, [-1, 2 * h + 2, 2 * width + 2, c])
    return canvas[:, 1:-1, 1:-1]
