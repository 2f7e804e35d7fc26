"""Real and generated images of all tasks, mixed alike."""

import numpy as np
import pytest

from tests.evaluation import fakes
from tf_metagan.evaluation import pooled
from tf_metagan.evaluation.protocol import Protocol
from tf_metagan.evaluation.reals import Reals


@pytest.fixture
def reals():
    return Reals(
        fakes.class_images(),
        classes=fakes.TEST,
        critic=fakes.RowNet(),
        seed=0,
    )


def part(reals, label, n):
    """Return what a perfect subject would leave of a task: real images."""
    features = reals.of(label).seen.features[:n]
    log_probs = reals.of(label).seen.log_probs[:n]
    return {
        "label": np.array(label),
        "pool_features": features,
        "pool_log_probs": log_probs,
    }


def test_tasks_of_a_class_share_its_images_without_repeating(reals):
    labels = [8, 5, 8, 8, 8]
    found = pooled.shares(labels, reals, most=12)
    assert [(s.first, s.n) for s in found] == [
        (0, 12),
        (0, 12),
        (12, 12),
        (24, 6),  # the class has 30
        (30, 0),
    ]
    for label in set(labels):
        taken = [
            place
            for s in found
            if s.label == label
            for place in range(s.first, s.first + s.n)
        ]
        assert len(set(taken)) == len(taken) <= fakes.EACH


def test_both_sides_are_mixed_alike(reals):
    labels = [8, 5, 8, 8, 8, 13]
    parts = [part(reals, label, 12) for label in labels]
    pool = pooled.gather(parts, reals, reals.critic, most=12)
    assert len(pool.real) == len(pool.fake) == 12 + 12 + 12 + 6 + 12
    # The brightest row tells the class of each feature.
    classes = [
        x[:, : len(fakes.ROWS)].argmax(1) for x in (pool.real, pool.fake)
    ]
    np.testing.assert_array_equal(classes[0], classes[1])
    assert len(np.unique(pool.real, axis=0)) == len(pool.real)
    assert pool.place.max() == 11
    assert (pool.place == 0).sum() == 5  # the last task of class 8 has none


def test_real_images_in_place_of_generated_ones_score_as_such(reals):
    # Each class once, with images that the real side has too.
    parts = [part(reals, label, 30) for label in fakes.TEST]
    pool = pooled.gather(parts, reals, reals.critic, most=30)
    found, left_out = pooled.measure(pool, Protocol(tasks=3), reals.critic)
    value = {
        name.split("_pooled")[0]: estimate.mean
        for name, estimate in found.items()
    }
    assert value["fid"] == pytest.approx(0.0, abs=1e-6)
    assert value["kid"] < 1e-3
    assert value["precision_k3"] == value["recall_k3"] == 1.0
    assert value["coverage_k5"] == 1.0
    assert value["swd"] == pytest.approx(0.0, abs=1e-6)
    assert value["relative_diversity"] == pytest.approx(1.0)
    assert 2.0 < value["inception_score"] <= 3.0
    assert left_out == {}


def test_one_class_for_all_is_noticed(reals):
    # The wrong twin of the above: every task draws the first class.
    first = part(reals, 5, 30)
    parts = [{**first, "label": np.array(label)} for label in fakes.TEST]
    pool = pooled.gather(parts, reals, reals.critic, most=30)
    found, _ = pooled.measure(pool, Protocol(tasks=3), reals.critic)
    value = {
        name.split("_pooled")[0]: estimate.mean
        for name, estimate in found.items()
    }
    assert value["fid"] > 0.01
    assert value["coverage_k5"] < 0.5
    assert value["relative_diversity"] < 0.5


def test_fewer_images_than_features_have_no_fid(reals):
    parts = [part(reals, 5, 6)]
    pool = pooled.gather(parts, reals, reals.critic, most=6)
    found, left_out = pooled.measure(pool, Protocol(tasks=1), reals.critic)
    assert not any(name.startswith("fid") for name in found)
    assert "6 images are too few for 8 features" in left_out["fid_pooled_rows"]
