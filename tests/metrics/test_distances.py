"""Distances in chunks are the distances."""

import numpy as np
import pytest

from tf_metagan.metrics import distances


@pytest.fixture(scope="module")
def pair():
    generator = np.random.default_rng(0)
    return generator.normal(size=[23, 5]), generator.normal(size=[17, 5])


def collected(x, y, **options):
    result = np.full([len(x), len(y)], np.nan)
    for rows, apart in distances.squared(x, y, **options):
        assert np.isnan(result[rows]).all()  # no row comes twice
        result[rows] = apart
    return result


@pytest.mark.parametrize("most", [1, 17, 100, 2**23])
def test_distances_are_those_of_differences(pair, monkeypatch, most):
    monkeypatch.setattr(distances, "_MOST_AT_ONCE", most)
    x, y = pair
    expected = np.sum((x[:, np.newaxis] - y) ** 2, axis=-1)
    np.testing.assert_allclose(collected(x, y), expected, rtol=1e-12)


def test_chunks_are_no_larger_than_allowed(pair, monkeypatch):
    monkeypatch.setattr(distances, "_MOST_AT_ONCE", 17 * 4)
    sizes = [apart.size for _, apart in distances.squared(*pair)]
    assert sizes == [17 * 4] * 5 + [17 * 3]


def test_precision_is_the_one_asked_for(pair):
    apart = collected(*pair, dtype=np.float32)
    np.testing.assert_allclose(apart, collected(*pair), rtol=1e-4)
    _, first = next(distances.squared(*pair, dtype=np.float32))
    assert first.dtype == np.float32


def test_equal_rows_are_apart_by_rounding_only():
    x = np.random.default_rng(1).normal(size=[200, 300])
    own = np.diag(collected(x, x[:, :].copy()))
    assert np.all(own >= 0.0)
    assert np.max(own) <= distances.rounding(x, x)
    # And the allowance is small: a change of 1e-6 in one of 300 features.
    moved = x.copy()
    moved[:, 0] += 1e-6
    assert np.min(np.diag(collected(x, moved))) < 1e-9
    assert distances.rounding(x, x) < 1e-9


def test_centred_sets_keep_their_distances(pair):
    x, y = distances.centred(pair[0] + 1e6, pair[1] + 1e6)
    np.testing.assert_allclose(x.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(collected(x, y), collected(*pair), rtol=1e-7)
