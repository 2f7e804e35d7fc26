"""Distort batches of images smoothly inside a graph; draws nothing itself."""

import numpy as np
import tensorflow as tf

GRID = 5
"""Knots per side of the displacement field."""


def elastic(
    images: tf.Tensor, knots: tf.Tensor, *, strength: float
) -> tf.Tensor:
    """Displace every pixel smoothly: out(p) = in(p + strength * u(p)).

    u is the cubic B-spline through a coarse grid of random vectors, scaled so
    that both its components have variance 1 at every pixel. Values between
    pixels are bilinear; places outside are those of the nearest border pixel.

    Args:
      images: [n, H, W, C] floating.
      knots: [n, GRID, GRID, 2] standard normal values.
      strength: root mean square of each component in pixels.

    Returns:
      [n, H, W, C].

    Source: random displacements on a coarse grid as in Ronneberger et al.
      (2015), section 3.1, with a B-spline for the bicubic interpolation.
    """
    height, width = images.shape[1:3]
    rows = tf.constant(_spline_weights(height), images.dtype)
    columns = tf.constant(_spline_weights(width), images.dtype)
    field = tf.einsum("hi,nijd,wj->dnhw", rows, knots, columns) * strength
    y = field[0] + tf.range(height, dtype=images.dtype)[:, tf.newaxis]
    x = field[1] + tf.range(width, dtype=images.dtype)
    y = tf.clip_by_value(y, 0, height - 1)
    x = tf.clip_by_value(x, 0, width - 1)
    top = tf.clip_by_value(tf.floor(y), 0, height - 2)
    left = tf.clip_by_value(tf.floor(x), 0, width - 2)
    down, right = (y - top)[..., tf.newaxis], (x - left)[..., tf.newaxis]
    pixels = tf.reshape(images, [-1, images.shape[3]])
    image = tf.range(tf.shape(images)[0])[:, tf.newaxis, tf.newaxis]
    corner = tf.cast(top * width + left, tf.int32) + image * (height * width)

    def at(ahead: int) -> tf.Tensor:
        return tf.gather(pixels, corner + ahead)

    above = at(0) + (at(1) - at(0)) * right
    below = at(width) + (at(width + 1) - at(width)) * right
    return above + (below - above) * down


def _spline_weights(length: int) -> np.ndarray:
    """Cubic B-spline weights [length, GRID], each row of unit length."""
    knot = np.linspace(-0.5, length - 0.5, GRID)
    distance = np.abs(np.arange(length)[:, None] - knot) / (knot[1] - knot[0])
    weights = np.where(
        distance < 1,
        2 / 3 - distance**2 + distance**3 / 2,
        np.maximum(2 - distance, 0) ** 3 / 6,
    )
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)
