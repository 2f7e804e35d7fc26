"""Inception score: closed forms, natural logarithms, fair splits."""

import itertools
import math

import numpy as np
import pytest

from tf_metagan.metrics import inception_score as module

TINY = 1e-9


def one_hot(labels, classes):
    """Return log-probabilities, all but TINY on the label."""
    probs = np.full([len(labels), classes], TINY / (classes - 1))
    probs[np.arange(len(labels)), labels] = 1.0 - TINY
    return np.log(probs)


def score(log_probs, *, splits=1, **options):
    return module.inception_score(log_probs, splits=splits, **options).mean


def test_images_that_look_all_the_same_score_one():
    uniform = np.full([12, 5], -math.log(5.0))
    assert score(uniform) == pytest.approx(1.0)
    assert score(one_hot([3] * 12, 5)) == pytest.approx(1.0)


@pytest.mark.parametrize("classes", [2, 7])
def test_certain_images_of_all_classes_score_their_number(classes):
    labels = np.arange(classes * 4) % classes
    assert score(one_hot(labels, classes)) == pytest.approx(classes)


PROBS = np.array([[0.7, 0.3], [0.1, 0.9]])


def check_two_images(measure):
    # p(y) = (0.4, 0.6).
    divergences = [
        0.7 * math.log(0.7 / 0.4) + 0.3 * math.log(0.3 / 0.6),
        0.1 * math.log(0.1 / 0.4) + 0.9 * math.log(0.9 / 0.6),
    ]
    expected = math.exp(sum(divergences) / 2.0)
    assert measure(np.log(PROBS)) == pytest.approx(expected, rel=1e-12)


def test_two_images_by_hand():
    check_two_images(score)


def restated(log_probs, *, log=np.log, reverse=False, marginal=np.mean):
    p = np.exp(log_probs)
    q = np.broadcast_to(marginal(p, axis=0), p.shape)
    if reverse:
        p, q = q, p
    return np.exp(np.mean(np.sum(p * log(p / q), axis=1)))


@pytest.mark.parametrize(
    "options",
    [
        {"log": np.log2},
        {"reverse": True},
        {"marginal": lambda p, axis: np.full(p.shape[1], 1.0 / p.shape[1])},
    ],
    ids=["log2", "reverse divergence", "uniform marginal"],
)
def test_wrong_score_is_noticed(options):
    check_two_images(restated)
    with pytest.raises(AssertionError):
        check_two_images(lambda logs: restated(logs, **options))


@pytest.fixture(scope="module")
def log_probs():
    logits = np.random.default_rng(0).normal(0.0, 2.0, [103, 6])
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def test_splits_are_the_parts_of_the_list(log_probs):
    mean, ci95, n = module.inception_score(log_probs, splits=4, seed=None)
    ends = [0, 25, 51, 77, 103]
    parts = [
        restated(log_probs[begin:end])
        for begin, end in itertools.pairwise(ends)
    ]
    assert (mean, n) == (pytest.approx(np.mean(parts)), 4)
    # t(3) = 3.182446.
    half = 3.182446 * np.std(parts, ddof=1) / 2.0
    assert ci95 == pytest.approx(half, rel=1e-6)


def check_sorted(measure):
    """Certain images, sorted by class: 8 splits see all four classes."""
    labels = np.repeat(np.arange(4), 200)
    # 100 images of 4 classes: the plug-in loses (4 - 1) / 200 nats or so.
    assert measure(one_hot(labels, 4), splits=8) > 3.8


def test_images_sorted_by_class_are_divided_fairly():
    check_sorted(score)
    with pytest.raises(AssertionError):
        check_sorted(lambda *a, **k: score(*a, **k, seed=None))


def test_one_split_knows_no_order(log_probs):
    expected = pytest.approx(score(log_probs), rel=1e-12)
    assert score(log_probs[::-1]) == expected
    assert score(log_probs, seed=None) == expected


def test_division_is_a_function_of_the_seed(log_probs):
    first = score(log_probs, splits=5, seed=1)
    assert score(log_probs, splits=5, seed=1) == first
    assert score(log_probs, splits=5, seed=2) != first


def test_single_precision_is_summed_in_double():
    """2^18 equal images score exactly 1; float32 would lose the 1."""
    row = np.log(np.array([[0.9, 0.1]], np.float32))
    assert score(np.tile(row, [2**18, 1])) == pytest.approx(1.0, abs=1e-12)


def test_probability_zero_in_single_precision_adds_nothing():
    logs = np.array([[0.0, -400.0], [-400.0, 0.0]], np.float32)
    assert score(logs) == pytest.approx(2.0)


def test_wrong_inputs_are_refused(log_probs):
    with pytest.raises(ValueError, match="splits=0: expected at least one"):
        score(log_probs, splits=0)
    with pytest.raises(ValueError, match="has 103 rows: expected at least 104"):
        score(log_probs, splits=104)
    with pytest.raises(ValueError, match=r"sum to exp\(.*log_softmax"):
        score(np.exp(log_probs))
    with pytest.raises(ValueError, match="`log_probs` is not finite in 1 of"):
        score([[math.nan, 0.0], [0.0, -100.0]])
