"""Turn random integers into samples without replacement, many rows at once."""

import tensorflow as tf


def distinct(bits: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Draw from 0 .. size - 1 without replacement, as long as that is possible.

    Step i of a shuffle exchanges place i with place d_i, uniform in
    i .. size - 1; the first b places after b steps are the sample. No array of
    length `size` is needed: what lies at place p before step i is what step j,
    the last earlier one with d_j = p, has put there, namely what lay at place j
    before step j. Following these links to their ends is done for all places
    together by doubling.

    Args:
      bits: [rows, b] int64, independent and uniform over 0 .. 2^63 - 1.
      size: [rows] int64, positive.

    Returns:
      [rows, b] int64. Rows with size >= b hold different values in random
      order, and fewer columns would be the first of them; other rows hold
      independent values.

    Source: Durstenfeld (1964), Algorithm 235; links and doubling are ours.
    """
    count = bits.shape[-1]
    size = size[:, tf.newaxis]
    step = tf.range(count, dtype=tf.int64)[tf.newaxis]
    place = step + bits % tf.maximum(size - step, 1)
    link = _last_before(place, step)
    origin = tf.where(link < 0, step, link)
    for _ in range(max(count - 1, 1).bit_length()):
        origin = tf.gather(origin, origin, axis=1, batch_dims=1)
    moved = _last_before(place, place)
    there = tf.gather(origin, tf.maximum(moved, 0), axis=1, batch_dims=1)
    sample = tf.where(moved < 0, place, there)
    return tf.where(size < count, bits % size, sample)


def outside(taken: tf.Tensor, rank: tf.Tensor) -> tf.Tensor:
    """Return the number of a given rank among those that are not taken.

    The number of rank r is r plus the number of j with s_j - j <= r, where
    s_0 < s_1 < ... are the taken numbers.

    Args:
      taken: [rows, k] int64, different within a row.
      rank: [rows, b] int64.

    Returns:
      [rows, b] int64.
    """
    ascending = tf.sort(taken, axis=1)
    free_below = ascending - tf.range(taken.shape[1], dtype=tf.int64)
    passed = tf.searchsorted(free_below, rank, side="right")
    return rank + tf.cast(passed, tf.int64)


def _last_before(place: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Return for each i the last j < i with place_j = wanted_i, else -1."""
    count = place.shape[1]
    earlier = tf.range(count)[:, tf.newaxis] > tf.range(count)
    hit = (place[:, tf.newaxis] == wanted[:, :, tf.newaxis]) & earlier
    step = tf.range(count, dtype=tf.int64)
    return tf.reduce_max(tf.where(hit, step, tf.constant(-1, tf.int64)), -1)
