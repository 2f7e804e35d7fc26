"""Random numbers are functions of a seed, and random."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.core import rng

SEED = rng.make_seed(3)


def uniform(seed, shape):
    return rng.uniform(seed, shape, tf.float64)


def normal(seed, shape):
    return rng.normal(seed, shape, tf.float64)


def integers(seed, shape):
    return rng.integers(seed, shape, 7)


DRAWS = {"uniform": uniform, "normal": normal, "integers": integers}

every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)


# A draw is a function.


def check_pure(draw):
    first = draw(SEED, [5])
    tf.random.set_seed(8)
    draw(rng.fold(SEED, 1), [3])
    np.testing.assert_array_equal(draw(SEED, [5]), first)
    assert not np.array_equal(draw(rng.fold(SEED, 1), [5]), first)


@every_draw
def test_draw_depends_on_its_seed_and_nothing_else(draw):
    check_pure(draw)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda seed, shape: tf.random.normal(shape),
        lambda seed, shape: tf.zeros(shape),
    ],
    ids=["stateful", "constant"],
)
def test_impure_draw_is_noticed(wrong):
    with pytest.raises(AssertionError):
        check_pure(wrong)


def check_prefix(draw, *, ulps=0):
    long = draw(SEED, [9]).numpy()

    def check_equal(part, whole):
        np.testing.assert_allclose(part, whole, rtol=ulps * 2.2e-16, atol=0.0)

    for count in range(9):
        check_equal(draw(SEED, [count]), long[:count])
    check_equal(draw(SEED, [3, 3]), np.reshape(long, [3, 3]))
    # A shape may itself be computed.
    check_equal(draw(SEED, tf.shape(long)), long)


# A logarithm may round otherwise in a vector than alone.
@pytest.mark.parametrize(
    ("draw", "ulps"), [(uniform, 0), (integers, 0), (normal, 2)]
)
def test_first_numbers_do_not_depend_on_how_many_follow(draw, ulps):
    check_prefix(draw, ulps=ulps)


def test_pairs_of_box_and_muller_would_not_be_prefix_stable():
    def both_halves(seed, shape):
        half = [-(-int(np.prod(shape)) // 2)]
        radius = tf.sqrt(-2.0 * tf.math.log(uniform(rng.fold(seed, 0), half)))
        angle = 2.0 * math.pi * uniform(rng.fold(seed, 1), half)
        pairs = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], 0)
        return tf.reshape(pairs[: int(np.prod(shape))], shape)

    with pytest.raises(AssertionError):
        check_prefix(both_halves, ulps=2)


def check_graph(draw, **options):
    graph = tf.function(
        lambda seed: draw(seed, [4, 3]), autograph=False, **options
    )
    np.testing.assert_array_equal(graph(SEED), draw(SEED, [4, 3]))


@every_draw
def test_graph_draws_what_eager_draws(draw):
    check_graph(draw)


@pytest.mark.parametrize("draw", [uniform, integers])
def test_compiled_graph_draws_what_eager_draws(draw):
    check_graph(draw, jit_compile=True)


def test_draw_that_differs_in_graphs_is_noticed():
    def wrong(seed, shape):
        return uniform(rng.fold(seed, int(tf.executing_eagerly())), shape)

    with pytest.raises(AssertionError):
        check_graph(wrong)


# Values. The number of draws is fixed, so is the seed: nothing is flaky.

COUNT = 20_000


def check_moments(values, moments):
    """Compare E[x^j], j = 1 .. 4, with five standard errors as tolerance."""
    x = np.asarray(values, np.float64)
    for power, expected in enumerate(moments, 1):
        error = np.std(x**power) / math.sqrt(x.size)
        assert abs(np.mean(x**power) - expected) < 5.0 * error


UNIFORM_MOMENTS = (1 / 2, 1 / 3, 1 / 4, 1 / 5)
NORMAL_MOMENTS = (0.0, 1.0, 0.0, 3.0)


def test_uniform_has_the_moments_of_its_distribution():
    check_moments(uniform(SEED, [COUNT]), UNIFORM_MOMENTS)
    with pytest.raises(AssertionError):
        check_moments(uniform(SEED, [COUNT]) * 0.98, UNIFORM_MOMENTS)


def test_normal_has_the_moments_of_its_distribution():
    check_moments(normal(SEED, [COUNT]), NORMAL_MOMENTS)

    def wrong(seed, shape):  # without the 2 under the root
        return normal(seed, shape) / math.sqrt(2.0)

    with pytest.raises(AssertionError):
        check_moments(wrong(SEED, [COUNT]), NORMAL_MOMENTS)


def check_counts(values, maxval):
    """Chi-square with five standard deviations of it as tolerance."""
    values = np.asarray(values)
    assert values.dtype == np.int64
    assert values.min() >= 0
    counts = np.bincount(values, minlength=maxval)
    expected = values.size / maxval
    chi = np.sum((counts - expected) ** 2) / expected
    assert len(counts) == maxval
    assert chi < maxval - 1 + 5.0 * math.sqrt(2.0 * (maxval - 1))


def test_integers_are_uniform_over_their_range():
    check_counts(integers(SEED, [COUNT]), 7)
    for wrong in (
        integers(SEED, [COUNT]) + 1,
        tf.minimum(integers(SEED, [COUNT]), 5),
        rng.integers(SEED, [COUNT], 6),
    ):
        with pytest.raises(AssertionError):
            check_counts(wrong, 7)


def test_integers_take_one_bound_per_number():
    bounds = np.array([1, 2, 5, 2**40])
    drawn = rng.integers(SEED, [200, 4], tf.constant(bounds)).numpy()
    assert np.all((drawn >= 0) & (drawn < bounds))
    assert np.all(drawn[:, 0] == 0)
    assert set(drawn[:, 2]) == set(range(5))
    assert drawn[:, 3].max() > 2**39


def check_open_interval(draw, monkeypatch, dtype):
    """Feed the extreme bit patterns; they come once in 2^23 draws."""
    bits = [0, 1, 2**31, 2**32 - 512, 2**32 - 1]
    monkeypatch.setattr(
        tf.random,
        "stateless_uniform",
        lambda *args, **kwargs: tf.constant(bits, tf.uint32),
    )
    values = draw(SEED, [len(bits)], dtype).numpy()
    assert np.all((values > 0.0) & (values < 1.0))


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_uniform_never_reaches_zero_or_one(monkeypatch, dtype):
    check_open_interval(rng.uniform, monkeypatch, dtype)


def test_24_bits_would_round_up_to_one(monkeypatch):
    def wrong(seed, shape, dtype):
        bits = tf.random.stateless_uniform(shape, seed, dtype=tf.uint32)
        wide = tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32))
        return (tf.cast(wide, dtype) + 0.5) * 2.0**-24

    with pytest.raises(AssertionError):
        check_open_interval(wrong, monkeypatch, tf.float32)


def test_uniform_of_both_precisions_is_the_same_number():
    single = rng.uniform(SEED, [COUNT], tf.float32)
    assert single.dtype == tf.float32
    np.testing.assert_array_equal(
        tf.cast(single, tf.float64), uniform(SEED, [COUNT])
    )


def test_normal_of_both_precisions_is_the_same_number():
    single = rng.normal(SEED, [COUNT], tf.float32)
    assert single.dtype == tf.float32
    # 2 pi v is up to 6.3 and rounded to 2.4e-7; the radius is at most 5.8.
    np.testing.assert_allclose(single, normal(SEED, [COUNT]), atol=6e-6)


def test_largest_normal_is_as_documented(monkeypatch):
    monkeypatch.setattr(
        tf.random,
        "stateless_uniform",
        lambda *args, **kwargs: tf.zeros([1], tf.uint32),
    )
    largest = normal(SEED, [1]).numpy()[0]
    assert largest == pytest.approx(math.sqrt(48.0 * math.log(2.0)))
    assert largest < 5.8


# Streams.


def check_streams(fold):
    """No two streams of a seed are correlated, nor shifted copies.

    Correlation of independent streams is N(0, 1/n): 5 standard deviations.
    """
    count = 2_000
    seeds = [SEED, *(fold(SEED, i) for i in range(8)), fold(SEED, 0, 0)]
    streams = np.array([normal(seed, [count]) for seed in seeds])
    for one, other in itertools.combinations(streams, 2):
        for shift in (0, 1):
            correlation = np.mean(one * np.roll(other, shift))
            assert abs(correlation) < 5.0 / math.sqrt(count)


def test_folded_streams_are_independent():
    check_streams(rng.fold)
    with pytest.raises(AssertionError):
        check_streams(lambda seed, *integers: seed)
    with pytest.raises(AssertionError):  # depends on the last integer only
        check_streams(lambda seed, *integers: rng.fold(SEED, integers[-1]))


def test_successive_numbers_of_a_stream_are_independent():
    x = uniform(SEED, [COUNT]).numpy() - 0.5
    for lag in (1, 2, 4):
        correlation = np.mean(x[lag:] * x[:-lag]) * 12.0
        assert abs(correlation) < 5.0 / math.sqrt(COUNT)


def check_order(fold):
    pairs = itertools.product(range(4), repeat=2)
    seeds = [fold(SEED, *pair) for pair in pairs]
    seeds += [fold(SEED), *(fold(SEED, i) for i in range(4))]
    assert len({tuple(seed.numpy()) for seed in seeds}) == len(seeds)


def test_order_and_number_of_folded_integers_matter():
    check_order(rng.fold)
    with pytest.raises(AssertionError):
        check_order(lambda seed, *integers: rng.fold(seed, sum(integers)))
    with pytest.raises(AssertionError):
        check_order(lambda seed, *integers: rng.fold(seed, *sorted(integers)))


def test_fold_takes_integers_one_after_the_other():
    chained = rng.fold(rng.fold(rng.fold(SEED, 4), -1), 2**40)
    np.testing.assert_array_equal(rng.fold(SEED, 4, -1, 2**40), chained)
    assert chained.shape == (2,)
    assert chained.dtype == tf.int64


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64, tf.uint8])
def test_fold_takes_integers_of_any_type(dtype):
    expected = rng.fold(SEED, 5)
    graph = tf.function(rng.fold, autograph=False)
    for fold in (rng.fold, graph):
        np.testing.assert_array_equal(
            fold(SEED, tf.constant(5, dtype)), expected
        )
    # The seed of a saved model may arrive as int32.
    small = tf.constant([1, 2])
    np.testing.assert_array_equal(
        rng.fold(small, 5), rng.fold(tf.cast(small, tf.int64), 5)
    )


def test_make_seed_folds_into_nothing():
    np.testing.assert_array_equal(
        rng.make_seed(1, 2), rng.fold(tf.zeros([2], tf.int64), 1, 2)
    )
    assert not np.array_equal(rng.make_seed(1, 2), rng.make_seed(2, 1))
