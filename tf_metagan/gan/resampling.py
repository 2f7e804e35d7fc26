"""Change the size of images by two small matrices, one for each axis.

Differentiable any number of times, and sizes may be tensors. Unlike
`tf.image.resize` it has bilinear interpolation with aligned corners.
"""

import tensorflow as tf

_CUBIC = -0.5  # Keys' coefficient, as MATLAB and Pillow have it


def bilinear(inputs, outputs, *, dtype) -> tf.Tensor:
    """Return the matrix of linear interpolation with aligned corners.

    Output i lies at i (inputs - 1) / (outputs - 1), so that first and last
    pixels keep their place.

    Args:
      inputs: pixels before; integer or integer scalar.
      outputs: pixels after.
      dtype: of the matrix.

    Returns:
      [outputs, inputs], rows that sum to one.

    Source: `align_corners=True` of PyTorch, which the public program of Meta
      Internal Learning uses.
    """
    place = tf.cast(tf.range(outputs), dtype)
    last = tf.cast(tf.maximum(outputs - 1, 1), dtype)
    place *= tf.cast(inputs - 1, dtype) / last
    pixel = tf.cast(tf.range(inputs), dtype)
    return tf.nn.relu(1.0 - tf.abs(place[:, tf.newaxis] - pixel))


def bicubic(inputs, outputs, *, dtype) -> tf.Tensor:
    """Return the matrix of cubic interpolation that smooths when it shrinks.

    The kernel is Keys' with a = -1/2, as wide as an output pixel where that is
    more than an input pixel. Pixels outside of the image have no weight.

    Args:
      inputs: pixels before; integer or integer scalar.
      outputs: pixels after.
      dtype: of the matrix.

    Returns:
      [outputs, inputs], rows that sum to one.

    Source: MATLAB's imresize; Keys (1981).
    Differs: MATLAB mirrors the image at its borders.
    """
    ratio = tf.cast(inputs, dtype) / tf.cast(outputs, dtype)
    centre = (tf.cast(tf.range(outputs), dtype) + 0.5) * ratio - 0.5
    pixel = tf.cast(tf.range(inputs), dtype)
    stretch = tf.maximum(ratio, 1.0)
    x = tf.abs(centre[:, tf.newaxis] - pixel) / stretch
    a = _CUBIC
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = a * (((x - 5.0) * x + 8.0) * x - 4.0)
    weight = tf.where(x <= 1.0, near, tf.where(x < 2.0, far, 0.0))
    return weight / tf.reduce_sum(weight, 1, keepdims=True)


def resize(images, size, method=bilinear) -> tf.Tensor:
    """Bring images to another size.

    Args:
      images: [..., h, w, C].
      size: (height, width) wanted; integers or integer scalars.
      method: `bilinear` or `bicubic`.

    Returns:
      [..., height, width, C].
    """
    # Plain products: tf.einsum of these three crashes in eager mode on the CPU
    # (TensorFlow 2.21, oneDNN).
    images = tf.convert_to_tensor(images)
    for axis, wanted in zip((-3, -2), size, strict=True):
        before = images.shape[axis]
        if before is None:
            before = tf.shape(images)[axis]
        matrix = method(before, wanted, dtype=images.dtype)
        images = _along(matrix, images, axis)
    return images


def _along(matrix, images, axis: int) -> tf.Tensor:
    """Multiply a matrix [outputs, inputs] with one axis of images."""
    rank = images.shape.rank
    order = list(range(rank))
    order.insert(0, order.pop(axis))
    back = [order.index(i) for i in range(rank)]
    first = tf.transpose(images, order)
    shape = tf.concat([tf.shape(matrix)[:1], tf.shape(first)[1:]], 0)
    static = [matrix.shape[0], *first.shape[1:]]
    product = tf.matmul(matrix, tf.reshape(first, [tf.shape(first)[0], -1]))
    product = tf.ensure_shape(tf.reshape(product, shape), static)
    return tf.transpose(product, back)
