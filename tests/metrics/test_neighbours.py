"""Precision, recall, density, coverage: points placed by hand."""

import math

import numpy as np
import pytest

from tf_metagan.metrics import distances, neighbours


def on_a_line(*values):
    return np.array(values, float)[:, np.newaxis]


# Real balls for k = 1: 0±1, 1±1, 3±2, 10±7. Fake balls: 1.5±.5, 2±.5, 20±18.
REAL = on_a_line(0, 1, 3, 10)
FAKE = on_a_line(1.5, 2, 20)


def check_line(precision_recall):
    # Fakes 1.5 and 2 are held, 20 is not. Real 1 is on the edge of 1.5±.5, 3
    # and 10 are held by 20±18, 0 by none.
    assert precision_recall(REAL, FAKE, k=1) == pytest.approx((2 / 3, 3 / 4))


def test_precision_and_recall_on_a_line_by_hand():
    check_line(neighbours.precision_recall)


def restated(real, fake, *, k, skip=1, closed=True):
    """Restate with a loop; `skip` neighbours are the point itself."""
    inside = (lambda a, b: a <= b + 1e-12) if closed else (lambda a, b: a < b)

    def held(points, others):
        def ball(c):
            return np.sort(np.linalg.norm(others - c, axis=1))[k + skip - 1]

        return np.mean(
            [
                any(inside(np.linalg.norm(p - c), ball(c)) for c in others)
                for p in points
            ]
        )

    return held(fake, real), held(real, fake)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda real, fake, k: neighbours.precision_recall(fake, real, k=k),
        lambda real, fake, k: restated(real, fake, k=k, skip=0),
        lambda real, fake, k: restated(real, fake, k=k + 1),
    ],
    ids=["exchanged", "itself a neighbour", "next neighbour"],
)
def test_wrong_precision_and_recall_are_noticed(wrong):
    check_line(lambda real, fake, k: restated(real, fake, k=k))
    with pytest.raises(AssertionError):
        check_line(wrong)


def check_density(density_coverage):
    """Real balls for k = 1 hold: 0±1 none; 1±1 two; 3±2 two; 10±7 none.

    20 lies outside of all. Density 4 / (1 * 3), coverage 2 / 4.
    """
    assert density_coverage(REAL, FAKE, k=1) == pytest.approx((4 / 3, 2 / 4))


def test_density_and_coverage_on_a_line_by_hand():
    check_density(neighbours.density_coverage)


def density_restated(real, fake, *, k, closed=True, balls_of="real"):
    centres, points = (real, fake) if balls_of == "real" else (fake, real)
    apart = np.linalg.norm(centres[:, None] - points[None], axis=-1)
    own = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    reach = np.sort(own, axis=1)[:, k, None]
    inside = apart <= reach + 1e-12 if closed else apart < reach
    return inside.sum() / (k * len(points)), inside.any(axis=1).mean()


@pytest.mark.parametrize(
    "options", [{"closed": False}, {"balls_of": "fake"}], ids=str
)
def test_wrong_density_and_coverage_are_noticed(options):
    check_density(density_restated)
    with pytest.raises(AssertionError):
        check_density(
            lambda real, fake, k: density_restated(real, fake, k=k, **options)
        )


def test_second_neighbour_of_density_by_hand():
    # k = 2: 0±3, 1±2, 3±3, 10±9. 1.5 and 2 are in all four, 20 in none.
    assert neighbours.density_coverage(REAL, FAKE, k=2) == pytest.approx(
        (8 / (2 * 3), 1.0)
    )


@pytest.fixture(scope="module")
def clouds():
    generator = np.random.default_rng(0)
    real = generator.normal(100.0, 1.0, [70, 3])
    fake = generator.normal(100.5, 0.7, [50, 3])
    return real, fake


@pytest.mark.parametrize("k", [1, 3])
def test_clouds_are_scored_as_by_the_loops(clouds, k):
    assert neighbours.precision_recall(*clouds, k=k) == pytest.approx(
        restated(*clouds, k=k)
    )
    assert neighbours.density_coverage(*clouds, k=k) == pytest.approx(
        density_restated(*clouds, k=k)
    )


def test_usual_neighbours_are_the_papers(clouds):
    assert neighbours.precision_recall(*clouds) == (
        neighbours.precision_recall(*clouds, k=3)
    )
    assert neighbours.density_coverage(*clouds) == (
        neighbours.density_coverage(*clouds, k=5)
    )


def test_a_set_holds_itself(clouds):
    """Points on the edge of a ball count, however distances are rounded."""
    real, _ = clouds
    assert neighbours.precision_recall(real, real[::-1]) == (1.0, 1.0)
    # Each ball holds its centre and the k neighbours that define it.
    density, coverage = neighbours.density_coverage(real, real[::-1], k=5)
    assert (density, coverage) == (pytest.approx(6 / 5), 1.0)


def test_points_on_the_edge_of_a_ball_are_inside_however_it_is_rounded():
    """Equal steps: each ball of either set ends at the next point."""
    generator = np.random.default_rng(4)
    for _ in range(50):
        begin, step = generator.uniform([0.0, 1.0], [1.0, 2.0])
        points = begin + step * np.arange(4.0)
        real, fake = on_a_line(*points[:2]), on_a_line(*points[2:])
        assert neighbours.precision_recall(real, fake, k=1) == (0.5, 0.5)
        assert neighbours.density_coverage(real, fake, k=1) == (0.5, 0.5)


def test_copies_of_an_image_that_exists_often_are_inside():
    """Omniglot holds equal images: balls without extent are still there."""
    real = np.repeat([[0.1, 0.7], [5.3, 5.9]], 4, axis=0)
    assert neighbours.precision_recall(real, real) == (1.0, 1.0)
    fake = np.repeat([[0.1, 0.7]], 6, axis=0)
    assert neighbours.precision_recall(real, fake) == (1.0, 0.5)
    density, coverage = neighbours.density_coverage(real, fake, k=3)
    assert (density, coverage) == (pytest.approx(4 / 3), 0.5)
    nearly = fake + 1e-5
    assert neighbours.precision_recall(real, nearly).precision == 0.0


def test_one_mode_of_two_has_precision_without_recall():
    generator = np.random.default_rng(1)
    modes = generator.normal(size=[2, 40, 2]) + [[[0.0, 0.0]], [[50.0, 0.0]]]
    real = modes.reshape(80, 2)
    # Squeezed to half, so that few fakes leave the real balls.
    fake = generator.normal(size=[40, 2]) / 2.0
    precision, recall = neighbours.precision_recall(real, fake)
    assert precision > 0.9
    assert recall <= 0.5
    assert neighbours.density_coverage(real, fake).coverage <= 0.5


def test_far_sets_do_not_hold_each_other(clouds):
    real, fake = clouds
    assert neighbours.precision_recall(real, fake + 30.0) == (0.0, 0.0)
    assert neighbours.density_coverage(real, fake + 30.0) == (0.0, 0.0)


def check_expectations(density_coverage):
    """Means over 40 pairs of equal distribution, within 5 standard errors.

    A ball reaches to the k-th of n - 1 others. The k points nearest to its
    centre among n - 1 real and n fake ones are all real with probability
    prod (n - j) / (2 n - j), j = 1 .. k; a fake is inside with probability
    k / n.
    """
    n, k = 100, 2
    drawn = np.random.default_rng(2).normal(size=[40, 2, n, 4])
    scores = np.array([density_coverage(*pair, k=k) for pair in drawn])
    missed = math.prod((n - j) / (2 * n - j) for j in range(1, k + 1))
    errors = scores.std(axis=0, ddof=1) / math.sqrt(len(scores))
    apart = np.abs(scores.mean(axis=0) - [1.0, 1.0 - missed])
    assert np.all(apart < 5.0 * errors)


def test_equal_distributions_have_the_expected_density_and_coverage():
    check_expectations(neighbours.density_coverage)

    def itself_a_neighbour(real, fake, *, k):
        return neighbours.density_coverage(real, fake, k=k - 1)

    with pytest.raises(AssertionError):
        check_expectations(itself_a_neighbour)


def test_order_of_points_does_not_matter(clouds):
    real, fake = clouds
    shuffled = np.random.default_rng(3).permutation(real), fake[::-1]
    for score in (neighbours.precision_recall, neighbours.density_coverage):
        assert score(*shuffled) == pytest.approx(score(real, fake))


def test_chunks_give_what_the_whole_gives(clouds, monkeypatch):
    scores = neighbours.precision_recall, neighbours.density_coverage
    expected = [score(*clouds) for score in scores]
    # One row at a time; eight, with fewer left at the end.
    for most in (1, 8 * 70):
        monkeypatch.setattr(distances, "_MOST_AT_ONCE", most)
        assert [score(*clouds) for score in scores] == expected


def test_single_precision_features_are_computed_in_double(clouds):
    single = [x.astype(np.float32) for x in clouds]
    double = [x.astype(np.float64) for x in single]
    for score in (neighbours.precision_recall, neighbours.density_coverage):
        assert score(*single) == score(*double)


def test_fewer_points_than_neighbours_are_refused():
    with pytest.raises(ValueError, match=r"`fake` has 3 rows: expected .*4"):
        neighbours.precision_recall(REAL, FAKE)
    with pytest.raises(ValueError, match=r"`real` has 4 rows: expected .*6"):
        neighbours.density_coverage(REAL, FAKE)
    # Nothing is asked of the neighbours of fakes.
    assert neighbours.density_coverage(REAL, FAKE[:1], k=3).coverage == 1.0


def test_no_neighbour_is_refused():
    for score in (neighbours.precision_recall, neighbours.density_coverage):
        with pytest.raises(ValueError, match="k=0: expected a neighbour"):
            score(REAL, FAKE, k=0)


def test_points_that_are_not_finite_are_refused():
    for score in (neighbours.precision_recall, neighbours.density_coverage):
        with pytest.raises(ValueError, match="`fake` is not finite in 1 of 3"):
            score(REAL, on_a_line(0.0, math.nan, 1.0), k=1)
