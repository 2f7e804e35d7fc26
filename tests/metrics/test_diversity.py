"""Diversity is a mean over pairs of different images."""

import itertools
import math

import numpy as np
import pytest

from tf_metagan.metrics import distances, diversity


def check_triangle(measure):
    # Sides 3, 4 and 5.
    assert measure(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])) == (
        pytest.approx(4.0)
    )


def test_diversity_of_a_triangle_is_its_mean_side():
    check_triangle(diversity.diversity)


def with_itself(x):
    return diversity.diversity(x) * (len(x) - 1) / len(x)


@pytest.mark.parametrize(
    "wrong",
    [
        with_itself,
        lambda x: np.linalg.norm(x - x.mean(axis=0), axis=1).mean(),
        lambda x: math.sqrt(2.0 * np.trace(np.cov(x.T))),
    ],
    ids=["pairs with itself", "distance to the mean", "mean square"],
)
def test_wrong_diversity_is_noticed(wrong):
    with pytest.raises(AssertionError):
        check_triangle(wrong)


def check_unbiased(measure):
    """E|x - y| of N(0, 1) on a line is 2 / sqrt(pi), for any number of rows."""
    draws = np.random.default_rng(0).normal(size=[4_000, 4, 1])
    values = np.array([measure(x) for x in draws])
    error = values.std() / math.sqrt(len(values))
    assert abs(values.mean() - 2.0 / math.sqrt(math.pi)) < 5.0 * error


def test_diversity_of_few_images_is_that_of_many_on_average():
    check_unbiased(diversity.diversity)
    with pytest.raises(AssertionError):
        check_unbiased(with_itself)


def test_diversity_is_that_of_the_loop():
    x = np.random.default_rng(1).normal(50.0, 2.0, [30, 6])
    pairs = itertools.combinations(x, 2)
    expected = np.mean([np.linalg.norm(a - b) for a, b in pairs])
    assert diversity.diversity(x) == pytest.approx(expected, rel=1e-12)


def test_equal_images_have_no_diversity():
    x = np.tile(np.random.default_rng(2).normal(1e3, 1.0, [1, 64]), [9, 1])
    assert diversity.diversity(x) < 1e-9


def test_order_and_chunks_do_not_matter(monkeypatch):
    x = np.random.default_rng(3).normal(size=[31, 4])
    expected = pytest.approx(diversity.diversity(x), rel=1e-12)
    assert diversity.diversity(x[::-1]) == expected
    monkeypatch.setattr(distances, "_MOST_AT_ONCE", 31 * 4)
    assert diversity.diversity(x) == expected


def test_single_precision_features_are_computed_in_double():
    x = np.random.default_rng(4).normal(size=[20, 4]).astype(np.float32)
    assert diversity.diversity(x) == diversity.diversity(x.astype(np.float64))


def check_relative(measure):
    real = np.array([[0.0], [4.0], [8.0]])
    assert measure(real / 2.0 + 7.0, real) == pytest.approx(0.5)


def test_half_as_different_is_one_half():
    check_relative(diversity.relative_diversity)
    with pytest.raises(AssertionError):
        check_relative(lambda f, r: diversity.relative_diversity(r, f))


def test_equal_real_images_are_refused():
    with pytest.raises(ValueError, match="all 2 rows of `real` are equal"):
        diversity.relative_diversity([[0.0], [1.0]], [[3.0], [3.0]])


def test_one_image_is_refused():
    with pytest.raises(ValueError, match="`features` has 1 rows"):
        diversity.diversity([[1.0]])
    with pytest.raises(ValueError, match="`fake` has 1 rows"):
        diversity.relative_diversity([[1.0]], [[1.0], [2.0]])


def test_images_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="`features` is not finite"):
        diversity.diversity([[1.0], [math.nan]])
