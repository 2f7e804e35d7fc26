"""Convolutions in which every sample of a batch has weights of its own.

Three forms of the same operation. On a GPU one grouped convolution is best; on
a CPU an ordinary convolution for each sample was the fastest at all sizes
measured (64 channels, 4 to 16 samples, 21 x 28 to 48 x 64 pixels, one thread,
forward and backward: 1 : 1.0 to 1.3 grouped : 5 to 6 patches). Patches take
nine times the memory of the images.
"""

from collections.abc import Callable

import tensorflow as tf

_SIDE = 3


def loop(images, kernels) -> tf.Tensor:
    """Convolve each sample by an operation of its own.

    Args:
      images: [n, m, h, w, c]; the m images of a sample share its weights. n is
        known when the graph is built.
      kernels: [n, 3, 3, c, f].

    Returns:
      [n, m, h - 2, w - 2, f]: stride 1, no padding.
    """
    pairs = zip(tf.unstack(images), tf.unstack(kernels), strict=True)
    return tf.stack(
        [tf.nn.conv2d(image, kernel, 1, "VALID") for image, kernel in pairs]
    )


def grouped(images, kernels) -> tf.Tensor:
    """Convolve as `loop`: samples beside each other in the channels.

    Source: Meta Internal Learning's public program.
    """
    n, _, _, c, f = kernels.shape
    m, h, w = tf.unstack(tf.shape(images)[1:4])
    beside = tf.reshape(tf.transpose(images, [1, 2, 3, 0, 4]), [m, h, w, n * c])
    kernels = tf.reshape(
        tf.transpose(kernels, [1, 2, 3, 0, 4]), [_SIDE, _SIDE, c, n * f]
    )
    found = tf.nn.conv2d(beside, kernels, 1, "VALID")
    found = tf.reshape(found, [m, h - 2, w - 2, n, f])
    return tf.transpose(found, [3, 0, 1, 2, 4])


def patches(images, kernels) -> tf.Tensor:
    """Convolve as `loop`: a product of 3 x 3 patches and kernels."""
    m, h, w = tf.unstack(tf.shape(images)[1:4])
    shifted = [
        images[:, :, i : i + h - 2, j : j + w - 2]
        for i in range(_SIDE)
        for j in range(_SIDE)
    ]
    n, _, _, c, f = kernels.shape
    size = _SIDE * _SIDE * c
    rows = tf.reshape(tf.concat(shifted, -1), [n, -1, size])
    found = tf.matmul(rows, tf.reshape(kernels, [n, size, f]))
    return tf.reshape(found, [n, m, h - 2, w - 2, f])


FORMS = {"loop": loop, "grouped": grouped, "patches": patches}


def choose(name: str) -> Callable:
    """Return one of the forms.

    Args:
      name: "loop", "grouped", "patches", or "auto": grouped where there is a
        GPU, else loop.
    """
    if name == "auto":
        gpu = tf.config.list_physical_devices("GPU")
        name = "grouped" if gpu else "loop"
    return FORMS[name]
