"""KID: unbiased, with an interval that covers; wrong ones are noticed."""

import math

import numpy as np
import pytest

from tf_metagan.metrics import base, kid


def restated(x, y):
    """Squared MMD by loops over pairs."""

    def k(a, b):
        return (np.dot(a, b) / len(a) + 1.0) ** 3

    def within(z):
        pairs = [
            (a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j
        ]
        return np.mean([k(a, b) for a, b in pairs])

    across = np.mean([k(a, b) for a in x for b in y])
    return within(x) + within(y) - 2.0 * across


def whole(real, fake):
    """KID from one subset that holds all rows."""
    return kid.kid(real, fake, subset_size=len(real), subsets=1, seed=0).mean


def test_distance_of_two_rows_each_by_hand():
    # d = 1. Real 0, 1: k(0, 1) = 1. Fake 1, 1: k = 8. Across: 1, 1, 8, 8.
    real, fake = [[0.0], [1.0]], [[1.0], [1.0]]
    assert whole(real, fake) == pytest.approx(1.0 + 8.0 - 2.0 * 4.5)


def test_distance_is_that_of_the_loops():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=[7, 3]), generator.normal(1.0, 2.0, [5, 3])
    assert kid.mmd2(x, y) == pytest.approx(restated(x, y), rel=1e-12)


def biased(x, y):
    """The V-statistic: pairs of a row with itself count too."""
    kernel = lambda a, b: np.mean((a @ b.T / a.shape[1] + 1.0) ** 3)
    return kernel(x, x) + kernel(y, y) - 2.0 * kernel(x, y)


def check_unbiased(distance):
    """Mean over 2,000 pairs of equal distribution: 0 within 5 errors."""
    generator = np.random.default_rng(1)
    draws = generator.normal(0.5, 1.0, [2_000, 2, 8, 4])
    values = np.array([distance(x, y) for x, y in draws])
    assert abs(values.mean()) < 5.0 * values.std() / math.sqrt(len(values))


def test_equal_distributions_have_distance_zero_on_average():
    check_unbiased(whole)


def test_biased_distance_is_noticed():
    with pytest.raises(AssertionError):
        check_unbiased(biased)


def signs(generator, mean):
    """Return [400, 1] of -1 and 1.

    With d = 1, k(x, y) = 1 + 3 xy + 3 (xy)^2 + (xy)^3 = 4 + 4 xy for signs, so
    that the true distance is 4 (difference of the means)^2.
    """
    odds = [0.5 - mean / 2.0, 0.5 + mean / 2.0]
    return generator.choice([-1.0, 1.0], [400, 1], p=odds)


def check_interval(make, *, mean, size=50, subsets=50):
    """Intervals of 400 data sets hold the true distance."""
    trials = 400
    generator = np.random.default_rng(2)
    held = []
    for seed in range(trials):
        real, fake = signs(generator, 0.0), signs(generator, mean)
        centre, ci95, _ = make(
            real, fake, subset_size=size, subsets=subsets, seed=seed
        )
        held.append(abs(centre - 4.0 * mean**2) <= ci95)
    # 95 % less three standard errors of the trials: 91.7 %.
    error = math.sqrt(0.95 * 0.05 / trials)
    assert np.mean(held) > 0.95 - 3.0 * error


def interval_of_subsets(real, fake, *, subset_size, subsets, seed):
    """A known wrong way: t s / sqrt(B), as if no rows were shared."""
    centre, ci95, n = kid.kid(
        real, fake, subset_size=subset_size, subsets=subsets, seed=seed
    )
    widened = subsets * subset_size / (len(real) - subset_size) + 1.0
    return base.Estimate(centre, ci95 / math.sqrt(widened), n)


def interval_of_rows(real, fake, *, subset_size, subsets, seed):
    """Another: the jackknife alone, as if all subsets had been drawn."""
    centre, ci95, n = kid.kid(
        real, fake, subset_size=subset_size, subsets=subsets, seed=seed
    )
    share = subsets * subset_size / (len(real) - subset_size)
    return base.Estimate(centre, ci95 * math.sqrt(share / (share + 1.0)), n)


@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_interval_covers_the_true_distance(mean):
    check_interval(kid.kid, mean=mean)


def test_interval_covers_the_choice_of_few_subsets():
    check_interval(kid.kid, mean=0.8, size=20, subsets=20)


@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_interval_as_if_subsets_were_independent_is_noticed(mean):
    with pytest.raises(AssertionError):
        check_interval(interval_of_subsets, mean=mean)


def test_interval_as_if_all_subsets_were_drawn_is_noticed():
    with pytest.raises(AssertionError):
        check_interval(interval_of_rows, mean=0.8, size=20, subsets=20)


@pytest.fixture(scope="module")
def pair():
    generator = np.random.default_rng(3)
    return generator.normal(size=[50, 6]), generator.normal(0.5, 2.0, [40, 6])


def test_subsets_are_a_function_of_the_seed(pair):
    options = {"subset_size": 10, "subsets": 5}
    first = kid.kid(*pair, **options, seed=4)
    assert kid.kid(*pair, **options, seed=4) == first
    assert kid.kid(*pair, **options, seed=5) != first
    assert first.n == 5


def test_subsets_are_about_what_all_rows_say(pair):
    mean, ci95, _ = kid.kid(*pair, subset_size=20, subsets=300, seed=0)
    assert abs(mean - kid.mmd2(*pair)) < ci95


def test_distance_is_symmetric_and_knows_no_order(pair):
    real, fake = pair[0][:40], pair[1]
    expected = pytest.approx(whole(real, fake), rel=1e-12)
    assert whole(fake, real) == expected
    assert whole(real[::-1], np.roll(fake, 3, axis=0)) == expected


def test_single_precision_features_are_computed_in_double(pair):
    single = [x[:40].astype(np.float32) for x in pair]
    assert whole(*single) == whole(*(x.astype(np.float64) for x in single))


def test_subset_of_all_rows_has_no_interval(pair):
    result = kid.kid(*pair, subset_size=40, subsets=3, seed=0)
    assert math.isnan(result.ci95)
    single = kid.kid(*pair, subset_size=10, subsets=1, seed=0)
    assert math.isnan(single.ci95)


def test_subset_larger_than_the_data_is_refused(pair):
    with pytest.raises(ValueError, match="`fake` has 40 rows: expected at lea"):
        kid.kid(*pair, subset_size=41, subsets=3, seed=0)


@pytest.mark.parametrize(("size", "subsets"), [(1, 3), (10, 0)])
def test_subsets_of_nothing_are_refused(pair, size, subsets):
    with pytest.raises(ValueError, match="expected at least one of at least"):
        kid.kid(*pair, subset_size=size, subsets=subsets, seed=0)


def test_features_that_are_not_finite_are_refused(pair):
    broken = pair[1].copy()
    broken[2, 3] = np.nan
    with pytest.raises(ValueError, match="`fake` is not finite in 1 of 40"):
        kid.kid(pair[0], broken, subset_size=10, subsets=2, seed=0)
