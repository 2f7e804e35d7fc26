"""Intervals cover as often as they say; what cannot be used is refused."""

import math

import numpy as np
import pytest

from tf_metagan.metrics import base


def test_estimate_of_three_values_by_hand():
    # Mean 2, s = 1, t(2) = 4.302653: a table of Student's distribution.
    mean, ci95, n = base.estimate([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert ci95 == pytest.approx(4.302653 / math.sqrt(3.0), rel=1e-6)
    assert n == 3


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706205), (4, 2.776445), (10, 2.228139), (100, 1.983972)],
)
def test_quantile_is_that_of_the_tables(freedom, quantile):
    assert base.t_quantile(freedom) == pytest.approx(quantile, abs=1e-6)


def test_quantile_tends_to_the_normal_one():
    assert base.t_quantile(10**7) == pytest.approx(1.959964, abs=1e-5)


def test_one_value_has_no_interval():
    mean, ci95, n = base.estimate([3.5])
    assert (mean, n) == (3.5, 1)
    assert math.isnan(ci95)


def check_coverage(interval, n):
    """95 % of 10,000 intervals hold the mean, within 5 standard errors."""
    trials = 10_000
    x = np.random.default_rng([1, n]).normal(7.0, 3.0, [trials, n])
    held = [abs(mean - 7.0) <= ci95 for mean, ci95, _ in map(interval, x)]
    error = math.sqrt(0.95 * 0.05 / trials)
    assert abs(np.mean(held) - 0.95) < 5.0 * error


@pytest.mark.parametrize("n", [2, 3, 10])
def test_interval_covers_as_often_as_it_says(n):
    check_coverage(base.estimate, n)


@pytest.mark.parametrize(
    "half_width",
    [
        lambda x: 1.96 * np.std(x, ddof=1) / math.sqrt(len(x)),
        lambda x: base.t_quantile(2) * np.std(x) / math.sqrt(len(x)),
        lambda x: base.t_quantile(3) * np.std(x, ddof=1) / math.sqrt(len(x)),
    ],
    ids=["normal quantile", "biased deviation", "n degrees of freedom"],
)
def test_wrong_interval_of_three_values_is_noticed(half_width):
    def wrong(x):
        return base.Estimate(float(np.mean(x)), half_width(x), len(x))

    with pytest.raises(AssertionError):
        check_coverage(wrong, 3)


def test_estimate_takes_any_iterable_in_any_order():
    values = [0.5, -1.0, 8.0]
    assert base.estimate(iter(values)) == base.estimate(np.array(values))
    assert base.estimate(values[::-1]) == pytest.approx(base.estimate(values))


@pytest.mark.parametrize("values", [[], [[1.0, 2.0], [3.0, 4.0]]])
def test_estimate_refuses_what_is_not_a_list_of_numbers(values):
    with pytest.raises(ValueError, match="expected one number per indep"):
        base.estimate(values)


def test_estimate_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match=r"value 1 of 3 is nan.*Leave out no"):
        base.estimate([1.0, math.nan, 2.0])


def test_features_come_back_in_double_precision():
    x = np.arange(6, dtype=np.uint8).reshape(3, 2)
    features = base.as_features(x, "fake", least=3)
    assert features.dtype == np.float64
    np.testing.assert_array_equal(features, x)


@pytest.mark.parametrize("shape", [(3,), (3, 2, 2), (3, 0)])
def test_features_of_another_rank_are_refused(shape):
    with pytest.raises(ValueError, match=r"`fake` has shape.*\[n, d\].*Flat"):
        base.as_features(np.zeros(shape), "fake", least=1)


def test_too_few_features_are_refused():
    with pytest.raises(ValueError, match=r"`real` has 2 rows.*at least 3"):
        base.as_features(np.zeros([2, 2]), "real", least=3)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_features_that_are_not_finite_are_refused(bad):
    x = np.zeros([5, 2])
    x[3, 1] = x[4, 0] = bad
    with pytest.raises(ValueError, match=r"in 2 of 5 rows, first in row 3"):
        base.as_features(x, "fake", least=1)


def test_features_of_different_networks_are_refused():
    with pytest.raises(ValueError, match=r"`real` has 3 features and `fake` 2"):
        base.as_pair(np.zeros([4, 3]), np.zeros([4, 2]), least=1)
