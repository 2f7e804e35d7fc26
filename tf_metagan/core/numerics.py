"""Roots and norms whose derivatives of every order are finite at zero."""

import tensorflow as tf

_TINY = 1e-24


def safe_sqrt(x: tf.Tensor) -> tf.Tensor:
    """Return sqrt(x) for x > 1e-24 and 0, with zero derivatives, below.

    The plain root has an infinite derivative at 0, which a chain rule turns
    into 0 * inf = NaN. Values below 1e-24 have a root below 1e-12, far under
    any epsilon it is added to; their third derivative would leave float32.

    Args:
      x: non-negative, any shape, floating.

    Returns:
      Same shape and dtype.

    Source: ours; the usual double `where`, with a threshold that keeps
      x ** -1.5 inside float32.
    """
    positive = x > _TINY
    inside = tf.where(positive, x, tf.ones_like(x))
    return tf.where(positive, tf.sqrt(inside), tf.zeros_like(x))


def norm(x: tf.Tensor, *, axis: tuple[int, ...]) -> tf.Tensor:
    """Return sqrt(sum(x^2, axis) + 1e-12), smooth at x = 0.

    Args:
      x: any shape, floating.
      axis: axes the norm runs over.

    Returns:
      `x` without `axis`; at least 1e-6.

    Source: a constant inside the root, as TF-GAN's penalty has it.
    """
    squares = tf.reduce_sum(tf.square(x), axis=list(axis))
    return tf.sqrt(squares + 1e-12)
