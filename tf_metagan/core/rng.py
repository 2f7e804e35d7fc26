"""Random numbers as pure functions of a seed.

A seed is an int64 tensor of shape [2]. Streams are separated by `fold`, never
by drawing twice from the same seed. Everything is built from the integer bits
of the Philox counter generator, which are the same in eager mode, in graphs,
under XLA and in TensorFlow 2.15 and later, and do not depend on how many
numbers are asked for: the first n of n + m numbers are the n numbers. (Normal
numbers up to their last place: the logarithm of a number may round otherwise
in a vector than alone.)
"""

import math

import tensorflow as tf

_ALG = "philox"


def make_seed(*integers: int) -> tf.Tensor:
    """Return the seed that belongs to a sequence of integers.

    Args:
      *integers: Python integers; the order matters.

    Returns:
      int64 [2].
    """
    return fold(tf.zeros([2], tf.int64), *integers)


def fold(seed: tf.Tensor, *integers: int | tf.Tensor) -> tf.Tensor:
    """Derive a new seed from a seed and integers, one after the other.

    Args:
      seed: integer [2].
      *integers: Python integers or integer scalars.

    Returns:
      int64 [2].
    """
    seed = tf.cast(seed, tf.int64)
    for integer in integers:
        seed = tf.random.experimental.stateless_fold_in(
            seed, tf.cast(integer, tf.int64), alg=_ALG
        )
    return seed


def uniform(seed: tf.Tensor, shape, dtype=tf.float32) -> tf.Tensor:
    """Draw from the open interval (0, 1): u = (bits // 2^9 + 1/2) / 2^23.

    Args:
      seed: int64 [2].
      shape: shape of the result, Python integers or an integer vector.
      dtype: tf.float32 or tf.float64.

    Returns:
      Values in (0, 1), 2^23 distinct ones, the same in both types. Never 0 nor
      1: with one bit more, adding 1/2 would round up to 1 in float32.
    """
    bits = tf.random.stateless_uniform(
        shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg=_ALG
    )
    high = tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32))
    return (tf.cast(high, dtype) + 0.5) * 2.0**-23


def normal(seed: tf.Tensor, shape, dtype=tf.float32) -> tf.Tensor:
    """Draw from N(0, 1) by Box-Muller: sqrt(-2 ln u) cos(2 pi v).

    Args:
      seed: int64 [2].
      shape: shape of the result, Python integers or an integer vector.
      dtype: tf.float32 or tf.float64.

    Returns:
      Standard normal values, magnitude at most 5.8.

    Source: Box and Muller (1958); one output per pair keeps the sequence
      independent of how many numbers are asked for.
    """
    radius = tf.sqrt(-2.0 * tf.math.log(uniform(fold(seed, 0), shape, dtype)))
    return radius * tf.cos(2.0 * math.pi * uniform(fold(seed, 1), shape, dtype))


def integers(seed: tf.Tensor, shape, maxval) -> tf.Tensor:
    """Draw int64 values uniformly from 0 .. maxval - 1.

    Args:
      seed: int64 [2].
      shape: shape of the result, Python integers or an integer vector.
      maxval: positive integer or integer tensor that broadcasts to `shape`.

    Returns:
      int64. The bias of the remainder is below maxval / 2^63.
    """
    bits = tf.random.stateless_uniform(
        shape, seed, minval=None, maxval=None, dtype=tf.int64, alg=_ALG
    )
    positive = tf.bitwise.bitwise_and(bits, tf.constant(2**63 - 1, tf.int64))
    return tf.math.floormod(positive, tf.cast(maxval, tf.int64))
