"""Samples without replacement: exact, uniform, in random order."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tf_metagan.core import rng
from tf_metagan.data import draws


def shuffled(bits, size):
    """Shuffle a list and take its head: Durstenfeld, step by step."""
    deck = list(range(size))
    for i, number in enumerate(bits):
        j = i + number % (size - i)
        deck[i], deck[j] = deck[j], deck[i]
    return deck[: len(bits)]


@given(
    st.integers(1, 12).flatmap(
        lambda count: st.tuples(
            st.lists(
                st.lists(st.integers(0, 2**62), min_size=count, max_size=count),
                min_size=1,
                max_size=3,
            ),
            st.integers(count, 30),
        )
    )
)
def test_distinct_equals_a_shuffle_step_by_step(case):
    bits, size = case
    sizes = tf.constant([size] * len(bits), tf.int64)
    drawn = draws.distinct(tf.constant(bits, tf.int64), sizes)
    assert drawn.numpy().tolist() == [shuffled(row, size) for row in bits]


def check_uniform(sample):
    """Check that ordered pairs out of 0 .. 3 are equally frequent.

    1,200 of each of 12 pairs are expected, with a standard deviation of 33;
    five of them are allowed.
    """
    count = collections.Counter(map(tuple, sample.tolist()))
    for pair in itertools.permutations(range(4), 2):
        assert abs(count.pop(pair, 0) - 1200) < 165
    assert not count


def test_distinct_gives_all_ordered_samples_equally_often():
    bits = rng.integers(rng.make_seed(5), [14400, 2], tf.int64.max)
    size = tf.fill([14400], tf.constant(4, tf.int64))
    check_uniform(draws.distinct(bits, size).numpy())
    with pytest.raises(AssertionError):  # with replacement
        check_uniform((bits % 4).numpy())


def test_distinct_repeats_only_where_there_is_too_little():
    bits = rng.integers(rng.make_seed(6), [200, 5], tf.int64.max)
    size = tf.repeat(tf.constant([5, 4], tf.int64), 100)
    drawn = draws.distinct(bits, size).numpy()
    different = np.array([len(set(row)) for row in drawn.tolist()])
    assert (different[:100] == 5).all()
    assert different[100:].max() == 4
    assert set(drawn[100:].ravel()) == set(range(4))


def test_distinct_with_fewer_columns_gives_the_first():
    bits = rng.integers(rng.make_seed(7), [50, 9], tf.int64.max)
    size = tf.fill([50], tf.constant(11, tf.int64))
    few = draws.distinct(bits[:, :4], size)
    assert (few.numpy() == draws.distinct(bits, size)[:, :4].numpy()).all()


@given(st.sets(st.integers(0, 20), min_size=1, max_size=15), st.randoms())
def test_outside_lists_what_is_not_taken(taken, random):
    free = [n for n in range(21) if n not in taken]
    order = sorted(taken)
    random.shuffle(order)
    found = draws.outside(
        tf.constant([order], tf.int64),
        tf.range(len(free), dtype=tf.int64)[tf.newaxis],
    )
    assert found.numpy().tolist() == [free]
