"""Sliced Wasserstein distance: closed forms, any two numbers of rows."""

import math

import numpy as np
import pytest

from tf_metagan.metrics import swd


def distance(real, fake, *, projections=64, seed=0):
    return swd.sliced_wasserstein(
        real, fake, projections=projections, seed=seed
    )


def mean_projection(width):
    """E|u_1| of unit vectors: gamma(d/2) / (sqrt(pi) gamma((d + 1)/2))."""
    log_ratio = math.lgamma(width / 2.0) - math.lgamma((width + 1) / 2.0)
    return math.exp(log_ratio) / math.sqrt(math.pi)


def check_shift(measure, *, width=6, count=4_000):
    """A shift by a moves every projection by |a u|: |a| E|u_1| on average."""
    generator = np.random.default_rng(1)
    real = generator.normal(size=[20, width])
    shift = np.full(width, 0.8)
    value = measure(real, real[::-1] + shift, projections=count)
    expected = np.linalg.norm(shift) * mean_projection(width)
    error = np.linalg.norm(shift) * math.sqrt(
        (1.0 / width - mean_projection(width) ** 2) / count
    )
    assert abs(value - expected) < 5.0 * error


def test_distance_of_shifted_points_is_the_mean_projection():
    check_shift(distance)


def with_directions(make, power=1):
    """Return the distance with other directions or another power."""

    def measure(real, fake, *, projections):
        u = make(np.random.default_rng(2), projections, real.shape[1]).T
        apart = np.sort(real @ u, axis=0) - np.sort(fake @ u, axis=0)
        return np.mean(np.abs(apart) ** power) ** (1.0 / power)

    return measure


def unit(generator, count, width):
    normal = generator.normal(size=[count, width])
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("make", "power"),
    [
        (lambda g, count, width: g.normal(size=[count, width]), 1),
        (lambda g, count, width: np.abs(unit(g, count, width)), 1),
        (unit, 2),
    ],
    ids=["not normalised", "one orthant", "W2"],
)
def test_wrong_directions_are_noticed(make, power):
    check_shift(with_directions(unit))
    with pytest.raises(AssertionError):
        check_shift(with_directions(make, power))


def test_scaled_gaussian_has_the_distance_of_its_deviations():
    """W1 of N(0, 1) and N(0, s^2) is |s - 1| E|x| in every direction."""
    x = np.random.default_rng(3).normal(size=[20_000, 3])
    value = distance(x, 1.5 * x[::-1])
    expected = 0.5 * math.sqrt(2.0 / math.pi)
    # E|x| of 20,000 rows is known to 0.6 / sqrt(20,000) = 0.4 %.
    assert value == pytest.approx(expected, rel=5 * 0.006)


def test_one_dimension_is_the_area_between_the_distributions():
    # Unequal numbers. F^-1: 0, 6 on halves; G^-1: 1, 2, 9 on thirds.
    real, fake = [[6.0], [0.0]], [[2.0], [9.0], [1.0]]
    expected = 1 / 3 * 1 + 1 / 6 * 2 + 1 / 6 * 4 + 1 / 3 * 3
    assert distance(real, fake) == pytest.approx(expected, rel=1e-12)


def by_repetition(real, fake, *, projections):
    """Repeat the rows to the least common multiple, then match them."""
    times = math.lcm(len(real), len(fake))
    real = np.repeat(real, times // len(real), axis=0)
    fake = np.repeat(fake, times // len(fake), axis=0)
    return distance(real, fake, projections=projections)


@pytest.mark.parametrize(("n", "m"), [(5, 7), (6, 4), (1, 9), (8, 8)])
def test_unequal_numbers_of_rows_are_matched_exactly(n, m):
    generator = np.random.default_rng(4)
    real, fake = generator.normal(size=[n, 3]), generator.normal(size=[m, 3])
    assert distance(real, fake, projections=70) == pytest.approx(
        by_repetition(real, fake, projections=70), rel=1e-12
    )


@pytest.mark.parametrize("n", [1, 4, 10, 13])
@pytest.mark.parametrize("m", [1, 4, 10, 13])
def test_common_quantiles_divide_the_unit_interval(n, m):
    lengths, one, other = swd._common_quantiles(n, m)
    assert np.sum(lengths) == pytest.approx(1.0, abs=1e-14)
    assert np.all(lengths > 0.0)
    for index, count in ((one, n), (other, m)):
        shares = np.bincount(index, lengths, minlength=count)
        np.testing.assert_allclose(shares, 1.0 / count, rtol=1e-12)


@pytest.fixture(scope="module")
def pair():
    generator = np.random.default_rng(5)
    return generator.normal(size=[40, 5]), generator.normal(1, 2, [30, 5])


def test_equal_sets_are_at_distance_zero(pair):
    real, fake = pair
    # Matrix products may round rows otherwise in another order.
    assert distance(real, real[::-1]) < 1e-14
    assert distance(real, fake) > 0.1


def test_distance_is_symmetric_and_knows_no_order(pair):
    real, fake = pair
    expected = pytest.approx(distance(real, fake), rel=1e-12)
    assert distance(fake, real) == expected
    assert distance(real[::-1], np.roll(fake, 3, axis=0)) == expected


def test_number_of_directions_at_once_does_not_matter(pair, monkeypatch):
    expected = pytest.approx(distance(*pair, projections=10), rel=1e-12)
    monkeypatch.setattr(swd, "_DIRECTIONS_AT_ONCE", 3)
    assert distance(*pair, projections=10) == expected


def test_directions_are_a_function_of_the_seed(pair):
    assert distance(*pair, seed=7) == distance(*pair, seed=7)
    assert distance(*pair, seed=7) != distance(*pair, seed=8)
    long = swd._directions(4, 9, 3)
    np.testing.assert_array_equal(swd._directions(4, 5, 3), long[:5])


def test_single_precision_features_are_computed_in_double(pair):
    single = [x.astype(np.float32) for x in pair]
    double = [x.astype(np.float64) for x in single]
    assert distance(*single) == distance(*double)


def test_wrong_inputs_are_refused(pair):
    real, fake = pair
    with pytest.raises(ValueError, match="projections=0: expected at least o"):
        distance(real, fake, projections=0)
    with pytest.raises(ValueError, match="`fake` has 0 rows"):
        distance(real, fake[:0])
    with pytest.raises(ValueError, match="`real` is not finite in 40 of 40"):
        distance(real * math.inf, fake)
    with pytest.raises(ValueError, match="`real` has 5 features and `fake` 4"):
        distance(real, fake[:, :4])
