"""Copies are found, moved ones too, and real images are not accused."""

import math

import numpy as np
import pytest

from tf_metagan.metrics import distances, memorisation


def spots(n, *, seed, size=12):
    """Return [n, size, size, 1] images in [-1, 1], smooth and all different."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=[n, size, size, 1])
    for axis in (1, 2):
        noise = sum(np.roll(noise, by, axis) for by in (-1, 0, 1))
    return np.tanh(noise / 3.0).astype(np.float32)


REFERENCES = spots(40, seed=0)
NEW = spots(30, seed=1)


def moved(images, down, right):
    """Move images over a dark ground; what leaves is lost."""
    height, width = images.shape[1:3]
    ground = np.pad(
        images, [(0, 0), (3, 3), (3, 3), (0, 0)], constant_values=-1
    )
    return ground[
        :, 3 - down : 3 - down + height, 3 - right : 3 - right + width
    ]


# Distances.


def check_rows(nearest):
    queries = np.array([[1.0, 1.0], [10.0, 4.0]])
    references = np.array([[9.0, 7.0], [0.0, 0.0], [50.0, 50.0]])
    index, distance = nearest(queries, references)
    np.testing.assert_array_equal(index, [1, 0])
    # Roots of (1 + 1) / 2 and of (1 + 9) / 2.
    np.testing.assert_allclose(distance, [1.0, math.sqrt(5.0)], rtol=1e-12)


def test_nearest_rows_by_hand():
    check_rows(memorisation.nearest)


def test_wrong_nearest_rows_are_noticed():
    def exchanged(queries, references):
        return memorisation.nearest(references, queries)

    def summed(queries, references):
        index, distance = memorisation.nearest(queries, references)
        return index, distance * math.sqrt(2.0)

    for wrong in (exchanged, summed):
        with pytest.raises(AssertionError):
            check_rows(wrong)


def restated(queries, references, *, shift):
    """Look at every pair and every move, pixel by pixel."""
    _, height, width, _ = queries.shape
    best = np.full([len(queries), len(references)], np.inf)
    for a in range(-shift, shift + 1):
        for b in range(-shift, shift + 1):
            for i, q in enumerate(queries.astype(np.float64)):
                for j, r in enumerate(references.astype(np.float64)):
                    squares = [
                        np.square(q[y, x] - r[y + a, x + b])
                        for y in range(shift, height - shift)
                        for x in range(shift, width - shift)
                    ]
                    best[i, j] = min(best[i, j], math.sqrt(np.mean(squares)))
    return best.argmin(axis=1), best.min(axis=1)


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_nearest_images_are_those_of_the_loops(shift):
    queries = np.concatenate(
        [NEW[:3, :7, :9], moved(REFERENCES, 1, 0)[4:5, :7, :9]]
    )
    references = REFERENCES[:6, :7, :9]
    index, distance = memorisation.nearest(queries, references, shift=shift)
    expected_index, expected = restated(queries, references, shift=shift)
    np.testing.assert_array_equal(index, expected_index)
    np.testing.assert_allclose(distance, expected, rtol=1e-12)


def check_copies(nearest):
    """Copies moved by up to a pixel are found at distance 0, others not."""
    order = np.random.default_rng(2).permutation(len(REFERENCES))
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            copies = moved(REFERENCES[order], down, right)
            index, distance = nearest(copies, REFERENCES)
            np.testing.assert_array_equal(index, order)
            np.testing.assert_array_equal(distance, 0.0)
    assert nearest(moved(REFERENCES, 2, 0), REFERENCES).distance.min() > 0.1
    assert nearest(NEW, REFERENCES).distance.min() > 0.1


def test_copies_moved_by_a_pixel_are_found():
    check_copies(memorisation.nearest)


@pytest.mark.parametrize("shift", [0, 2])
def test_another_tolerance_is_noticed(shift):
    def wrong(queries, references):
        return memorisation.nearest(queries, references, shift=shift)

    with pytest.raises(AssertionError):
        check_copies(wrong)


def test_channels_are_compared_separately():
    """The same grey, other colours: no copy."""
    red = np.zeros([1, 5, 5, 3])
    green = red.copy()
    red[..., 0] = green[..., 1] = 1.0
    distance = memorisation.nearest(red, green).distance
    np.testing.assert_allclose(distance, math.sqrt(2.0 / 3.0))


def test_own_row_is_not_found():
    index, distance = memorisation.nearest(
        REFERENCES[[5, 9]], REFERENCES, own=np.array([5, 9])
    )
    assert index[0] != 5
    assert index[1] != 9
    assert distance.min() > 0.1


def test_chunks_give_what_the_whole_gives(monkeypatch):
    own = np.arange(len(REFERENCES))
    expected = memorisation.nearest(REFERENCES, REFERENCES, own=own)
    monkeypatch.setattr(distances, "_MOST_AT_ONCE", 7 * len(REFERENCES))
    parts = memorisation.nearest(REFERENCES, REFERENCES, own=own)
    np.testing.assert_array_equal(parts.row, expected.row)
    np.testing.assert_array_equal(parts.distance, expected.distance)


def test_distance_of_single_precision_images_is_computed_in_double():
    single = memorisation.nearest(NEW, REFERENCES)
    double = memorisation.nearest(
        NEW.astype(np.float64), REFERENCES.astype(np.float64)
    )
    np.testing.assert_array_equal(single.row, double.row)
    np.testing.assert_array_equal(single.distance, double.distance)
    assert single.distance.dtype == np.float64


def test_search_is_exact_for_features_far_from_zero():
    """The spread is 1e-5 of the mean: float32 holds it once that is gone."""
    queries, references = 1e5 + np.random.default_rng(4).normal(size=[2, 50, 8])

    def check(rows):
        apart = queries[:, np.newaxis] - references
        expected = np.argmin(np.linalg.norm(apart, axis=-1), axis=1)
        np.testing.assert_array_equal(rows, expected)

    check(memorisation.nearest(queries, references).row)
    with pytest.raises(AssertionError):
        check(memorisation._search(queries, references, None))


def test_bytes_are_compared_without_wrapping():
    low, high = np.zeros([1, 3, 3, 1], np.uint8), np.full([1, 3, 3, 1], 255)
    found = memorisation.nearest(low, high.astype(np.uint8))
    np.testing.assert_array_equal(found.distance, 255.0)


# Threshold.


def check_calibration(calibrate):
    """About 1 % of new real images are near-copies by chance.

    300 points of 400 with a threshold from 400 points: the count is binomial
    up to the error of the threshold; 0 and 4 % or more mean a mistake.
    """
    shares = []
    for seed in range(20):
        real = np.random.default_rng([3, seed]).normal(size=[700, 2])
        threshold = calibrate(real[:400])
        check = memorisation.copy_check(
            real[400:], real[:400], threshold=threshold
        )
        shares.append(check.share)
    error = np.std(shares, ddof=1) / math.sqrt(len(shares))
    assert abs(np.mean(shares) - 0.01) < 4.0 * error


def test_new_real_images_are_hardly_ever_near_copies():
    check_calibration(memorisation.calibrate)


def with_itself(references):
    found = memorisation.nearest(references, references)
    return float(np.quantile(found.distance, 0.01))


def of_all_pairs(references):
    apart = np.linalg.norm(references[:, None] - references, axis=-1)
    pairs = apart[np.triu_indices(len(references), 1)]
    return float(np.quantile(pairs, 0.01)) / math.sqrt(references.shape[1])


@pytest.mark.parametrize("wrong", [with_itself, of_all_pairs])
def test_wrong_threshold_is_noticed(wrong):
    with pytest.raises(AssertionError):
        check_calibration(wrong)


def test_calibration_looks_at_no_more_than_asked():
    full = memorisation.calibrate(REFERENCES)
    assert memorisation.calibrate(REFERENCES, at_most=40, seed=9) == full
    part = memorisation.calibrate(REFERENCES, at_most=10, seed=1)
    assert part == memorisation.calibrate(REFERENCES, at_most=10, seed=1)
    assert part != full
    # A part is compared with all, so no distance is below the smallest.
    own = np.arange(len(REFERENCES))
    found = memorisation.nearest(REFERENCES, REFERENCES, own=own)
    assert part >= found.distance.min()


def test_copy_check_by_hand():
    references = np.array([[0.0], [1.0], [10.0]])
    fake = np.array([[0.125], [0.75], [4.0], [30.0]])
    # Distances 0.125, 0.25, 3, 20.
    check = memorisation.copy_check(fake, references, threshold=0.25)
    assert check == (23.375 / 4.0, 1.625, 0.5, 0.25)
    # Nearest other references: 1, 1, 9; the first percentile is 1.
    assert memorisation.copy_check(fake, references).threshold == 1.0


def test_copies_are_told_from_new_images():
    half = np.concatenate([moved(REFERENCES[:15], 0, 1), NEW[:15]])
    check = memorisation.copy_check(half, REFERENCES)
    assert check.share == 0.5
    assert memorisation.copy_check(NEW, REFERENCES).share < 0.1
    # The bound is closed: of equal references only equal images are copies.
    same = np.repeat(REFERENCES[:1], 4, axis=0)
    check = memorisation.copy_check(REFERENCES[:2], same)
    assert (check.threshold, check.share) == (0.0, 0.5)


def test_order_does_not_matter():
    expected = memorisation.copy_check(NEW, REFERENCES)
    shuffled = memorisation.copy_check(NEW[::-1], REFERENCES[::-1])
    assert shuffled == pytest.approx(expected, rel=1e-12)


# Refusals.


@pytest.mark.parametrize(
    ("queries", "references"),
    [
        (NEW, REFERENCES[:, :8]),
        (NEW[..., 0], REFERENCES[..., 0]),
        (NEW, REFERENCES.reshape(40, -1)),
    ],
    ids=["sizes", "rank", "ranks"],
)
def test_images_that_cannot_be_compared_are_refused(queries, references):
    with pytest.raises(ValueError, match="alike but for their number"):
        memorisation.nearest(queries, references)


@pytest.mark.parametrize("shift", [-1, 6])
def test_shift_that_leaves_nothing_is_refused(shift):
    with pytest.raises(ValueError, match=f"shift={shift} for images of shape"):
        memorisation.nearest(NEW, REFERENCES, shift=shift)


def test_too_few_images_are_refused():
    with pytest.raises(ValueError, match=r"`references` has 2 rows.*least 3"):
        memorisation.copy_check(NEW, REFERENCES[:2])
    with pytest.raises(ValueError, match="`queries` has 0 rows"):
        memorisation.nearest(NEW[:0], REFERENCES)
    with pytest.raises(ValueError, match=r"`references` has 1 rows.*least 2"):
        memorisation.nearest(NEW[:1], NEW[:1], own=np.array([0]))


def test_images_that_are_not_finite_are_refused():
    broken = NEW.copy()
    broken[4, 0, 0, 0] = math.nan  # in the edge that is not compared
    with pytest.raises(ValueError, match=r"`queries` is not finite.*row 4"):
        memorisation.nearest(broken, REFERENCES)
    with pytest.raises(ValueError, match="`references` is not finite"):
        memorisation.calibrate(broken)


@pytest.mark.parametrize("threshold", [-0.1, math.nan, math.inf])
def test_threshold_that_is_no_distance_is_refused(threshold):
    with pytest.raises(ValueError, match="expected a distance, finite and 0"):
        memorisation.copy_check(NEW, REFERENCES, threshold=threshold)
