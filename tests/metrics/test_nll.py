"""Class scores: natural logarithms, the right column, nothing else."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tf_metagan.metrics import nll

PROBS = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
# Column 1: -(ln 1/4 + ln 0.8 + ln 0.2) / 3, and one of three right.
NLL = -(math.log(0.25) + math.log(0.8) + math.log(0.2)) / 3.0


def check_by_hand(scores):
    value, accuracy = scores(np.log(PROBS), 1)
    assert value == pytest.approx(NLL, rel=1e-12)
    assert accuracy == pytest.approx(1.0 / 3.0)


def test_class_scores_by_hand():
    check_by_hand(nll.class_scores)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda logs, column: nll.class_scores(logs, column + 1),
        lambda logs, column: nll.class_scores(logs, column - 1),
        lambda logs, column: (-np.mean(logs[:, column]) / math.log(2), 1 / 3),
        lambda logs, column: (-np.mean(np.max(logs, 1)), 1 / 3),
        lambda logs, column: (np.mean(logs[:, column]), 1 / 3),
    ],
    ids=["next", "previous", "log2", "best class", "sign"],
)
def test_wrong_score_is_noticed(wrong):
    with pytest.raises(AssertionError):
        check_by_hand(wrong)


def test_uniform_guess_costs_the_logarithm_of_the_classes():
    scores = nll.class_scores(np.full([7, 659], -math.log(659.0)), 658)
    assert scores.nll == pytest.approx(math.log(659.0))
    assert scores.accuracy == 0.0  # a tie goes to the first class


def test_scores_do_not_depend_on_the_order_of_images():
    shuffled = np.log(PROBS)[[2, 0, 1]]
    expected = nll.class_scores(np.log(PROBS), 2)
    assert nll.class_scores(shuffled, 2) == pytest.approx(expected)


def test_many_images_are_summed_in_double_precision():
    n = 2**18
    logs = np.tile(np.log(np.array([[0.9, 0.1]], np.float32)), [n, 1])
    expected = -float(np.float64(logs[0, 1]))
    assert nll.class_scores(logs, 1).nll == pytest.approx(expected, rel=1e-12)
    running = np.cumsum(logs[:, 1], dtype=np.float32)[-1] / n
    assert -running != pytest.approx(expected, rel=1e-6)


def test_confident_mistakes_in_single_precision_count_in_full():
    logits = tf.constant([[200.0, 0.0], [0.0, -300.0]])
    scores = nll.class_scores(tf.nn.log_softmax(logits), 1)
    assert scores == (250.0, 0.0)


@pytest.mark.parametrize("column", [-1, 3])
def test_column_that_is_not_there_is_refused(column):
    with pytest.raises(ValueError, match=r"3 columns.*classes\.index\(label"):
        nll.class_scores(np.log(PROBS), column)


def test_column_is_an_integer():
    assert nll.class_scores(np.log(PROBS), np.int64(1)).nll == pytest.approx(
        NLL
    )
    with pytest.raises(TypeError, match="integer"):
        nll.class_scores(np.log(PROBS), 1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        PROBS,
        np.log2(PROBS),
        np.log(PROBS)[:, :2],
        np.array([[3.0, -1.0, 0.5]]),
    ],
    ids=["probabilities", "log2", "columns left out", "logits"],
)
def test_what_is_no_logarithm_of_probabilities_is_refused(wrong):
    with pytest.raises(ValueError, match=r"sum to exp\(.*log_softmax"):
        nll.class_scores(wrong, 1)


def test_scores_of_nothing_or_of_nan_are_refused():
    with pytest.raises(ValueError, match="`log_probs` has 0 rows"):
        nll.class_scores(np.zeros([0, 3]), 1)
    with pytest.raises(ValueError, match="`log_probs` is not finite in 1 of"):
        nll.class_scores(np.where(PROBS == 0.8, np.nan, np.log(PROBS)), 1)
