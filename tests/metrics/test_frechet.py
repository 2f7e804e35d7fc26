"""Frechet distance: closed forms, singular covariances, streaming."""

import itertools
import math

import numpy as np
import pytest

from tf_metagan.metrics import frechet


def moments(features):
    result = frechet.Moments()
    result.update(features)
    return result


def with_moments(mean, cov, n=64):
    """Return n rows that have exactly this mean and unbiased covariance."""
    mean, cov = np.asarray(mean, float), np.asarray(cov, float)
    x = np.random.default_rng(n).normal(size=[n, len(mean)])
    x -= x.mean(axis=0)
    x = np.linalg.qr(x)[0] * math.sqrt(n - 1)
    values, vectors = np.linalg.eigh(cov)
    return mean + x @ (vectors * np.sqrt(np.maximum(values, 0.0))).T


# Distances by hand, (mean, covariance) of each side.


def check_one_dimension(fid):
    # N(1, 4) and N(3, 25): (1 - 3)^2 + (2 - 5)^2 = 13.
    real, fake = with_moments([1.0], [[4.0]]), with_moments([3.0], [[25.0]], 81)
    assert fid(real, fake) == pytest.approx(13.0, rel=1e-10)


def test_distance_of_gaussians_on_a_line_by_hand():
    check_one_dimension(frechet.fid)


def reference(real, fake, *, ddof=1, root=np.sqrt, factor=2.0):
    """Restate by the eigenvalues of the product; for regular covariances."""
    apart = real.mean(axis=0) - fake.mean(axis=0)
    covs = [
        np.atleast_2d(np.cov(x, rowvar=False, ddof=ddof)) for x in (real, fake)
    ]
    values = np.linalg.eigvals(covs[0] @ covs[1]).real
    trace = np.trace(covs[0]) + np.trace(covs[1])
    return apart @ apart + trace - factor * np.sum(root(values))


@pytest.mark.parametrize(
    "options",
    [{"ddof": 0}, {"root": lambda x: x}, {"factor": 1.0}],
    ids=["biased covariance", "no root", "factor"],
)
def test_wrong_distance_is_noticed(options):
    check_one_dimension(reference)
    with pytest.raises(AssertionError):
        check_one_dimension(lambda *sides: reference(*sides, **options))


def check_correlated(fid):
    """Covariances that do not commute; elementwise roots give 2.06."""
    real = with_moments([0.0, 0.0], [[2.0, 1.0], [1.0, 2.0]])
    fake = with_moments([0.0, 1.0], [[4.0, 0.0], [0.0, 1.0]])
    # Tr (CaCb)^(1/2) = sqrt(Tr M + 2 sqrt(det M)), M = CaCb: Tr 10, det 12.
    expected = 1.0 + 4.0 + 5.0 - 2.0 * math.sqrt(10.0 + 2.0 * math.sqrt(12.0))
    assert fid(real, fake) == pytest.approx(expected, rel=1e-10)


def test_distance_of_correlated_gaussians_by_hand():
    check_correlated(frechet.fid)

    def diagonal_only(real, fake):
        deviations = [x.std(axis=0, ddof=1) for x in (real, fake)]
        apart = real.mean(axis=0) - fake.mean(axis=0)
        return apart @ apart + np.sum((deviations[0] - deviations[1]) ** 2)

    with pytest.raises(AssertionError):
        check_correlated(diagonal_only)


def test_distance_of_singular_covariances_by_hand():
    """One variance per axis; zeros where an axis is missing.

    Roots of eigenvalues within rounding of zero would be 1e-8 each.
    """
    d = 40
    a, b = np.zeros(d), np.zeros(d)
    a[:5], b[3:12] = 4.0, 9.0  # they share axes 3 and 4
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=[d, d]))[0]
    real = with_moments(np.zeros(d), turn @ np.diag(a) @ turn.T)
    fake = with_moments(np.zeros(d), turn @ np.diag(b) @ turn.T, n=50)
    expected = 3 * 4.0 + 7 * 9.0 + 2 * (2.0 - 3.0) ** 2
    assert frechet.fid(real, fake) == pytest.approx(expected, rel=1e-8)


def test_fewer_rows_than_features_have_a_distance():
    """Of 4 orthogonal rows each, no axis shared: the traces add up."""
    real, fake = np.eye(12)[:4], np.eye(12)[4:8]
    # Per side: mean norm^2 = 4/16, trace = 4 * (1 - 1/4) / 3 = 1.
    assert frechet.fid(real, fake) == pytest.approx(2 * 0.25 + 2 * 1.0)


def test_constant_features_differ_by_their_means():
    real, fake = np.full([3, 2], 1.0), np.full([5, 2], 4.0)
    assert frechet.fid(real, fake) == pytest.approx(18.0)
    assert frechet.fid(real, real) == 0.0


def test_distance_to_itself_is_zero_within_rounding():
    x = np.random.default_rng(3).normal(5.0, 3.0, [30, 50])
    assert 0.0 <= frechet.fid(x, x) < 1e-11 * np.trace(np.cov(x.T))


@pytest.fixture(scope="module")
def pair():
    generator = np.random.default_rng(4)
    mix = generator.normal(size=[6, 6])
    real = generator.normal(size=[200, 6])
    fake = generator.normal(0.4, 1.3, [150, 6]) @ mix
    return real, fake


def test_distance_is_that_of_the_restatement(pair):
    assert frechet.fid(*pair) == pytest.approx(reference(*pair), rel=1e-10)


def test_distance_is_symmetric_and_knows_no_order(pair):
    real, fake = pair
    expected = pytest.approx(frechet.fid(real, fake), rel=1e-12)
    assert frechet.fid(fake, real) == expected
    assert frechet.fid(real[::-1], np.roll(fake, 7, axis=0)) == expected


def test_distance_does_not_change_under_rotation_and_shift(pair):
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=[6, 6]))[0]
    moved = [x @ turn + 3.0 for x in pair]
    assert frechet.fid(*moved) == pytest.approx(frechet.fid(*pair), rel=1e-9)


def test_single_precision_features_are_computed_in_double(pair):
    single = [x.astype(np.float32) for x in pair]
    double = [x.astype(np.float64) for x in single]
    assert frechet.fid(*single) == frechet.fid(*double)


# Streaming.


def check_parts(make):
    """Moments of parts are those of the whole; the mean is 1e4 deviations."""
    x = np.random.default_rng(6).normal(1e4, 1.0, [101, 4])
    expected_cov = np.cov(x, rowvar=False)
    for ends in ([101], [1, 2, 101], [50, 100, 101]):
        streamed = make()
        for begin, end in itertools.pairwise([0, *ends]):
            streamed.update(x[begin:end])
        assert streamed.n == 101
        np.testing.assert_allclose(streamed.mean, x.mean(axis=0), rtol=1e-13)
        np.testing.assert_allclose(
            streamed.cov, expected_cov, rtol=0.0, atol=1e-11
        )


def test_moments_of_parts_are_those_of_the_whole():
    check_parts(frechet.Moments)


class RawSums:
    """The known wrong way: mean of squares less square of the mean."""

    def __init__(self):
        self.n, self.sum, self.squares = 0, 0.0, 0.0

    def update(self, x):
        self.n += len(x)
        self.sum = self.sum + x.sum(axis=0)
        self.squares = self.squares + x.T @ x

    @property
    def mean(self):
        return self.sum / self.n

    @property
    def cov(self):
        centre = np.outer(self.sum, self.sum) / self.n
        return (self.squares - centre) / (self.n - 1)


def test_raw_sums_of_squares_are_noticed():
    with pytest.raises(AssertionError):
        check_parts(RawSums)


def test_moments_handed_out_are_copies():
    streamed = moments(np.eye(3))
    streamed.mean[:] = 7.0
    np.testing.assert_allclose(streamed.mean, 1.0 / 3.0)


# Refusals.


def test_moments_of_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="moments of 0 rows: expected at l"):
        _ = frechet.Moments().mean
    with pytest.raises(ValueError, match=r"of 1 rows: expected at least 2"):
        _ = moments(np.zeros([1, 3])).cov
    with pytest.raises(ValueError, match="`fake` has 1 rows"):
        frechet.fid(np.zeros([2, 3]), np.zeros([1, 3]))


def test_parts_of_another_width_are_refused():
    streamed = moments(np.zeros([2, 3]))
    with pytest.raises(ValueError, match="4 columns: expected 3 as before"):
        streamed.update(np.zeros([2, 4]))
    with pytest.raises(ValueError, match="of 3 and of 4 features"):
        frechet.frechet_distance(streamed, moments(np.zeros([2, 4])))


def test_features_that_are_not_finite_leave_the_moments_alone():
    streamed = moments(np.eye(3))
    with pytest.raises(ValueError, match="`features` is not finite in 1 of 2"):
        streamed.update([[0.0, 1.0, 2.0], [0.0, np.nan, 1.0]])
    assert streamed.n == 3
    with pytest.raises(ValueError, match="`real` is not finite"):
        frechet.fid([[0.0], [np.inf]], [[0.0], [1.0]])
