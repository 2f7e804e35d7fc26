"""Scores and costs of models of photographs."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.metrics.test_single_image import photograph
from tf_metagan.evaluation import photographs

PROTOCOL = photographs.Protocol(samples=3, levels=3, seed=0)


class Copier:
    """A model that draws its photograph, darker by `wrong`."""

    def __init__(self, image, wrong=0.0):
        self.image = tf.constant(image) - wrong

    def sample(self, seed, n):
        del seed
        return tf.stack([self.image] * n)

    def reconstruct(self):
        return self.image[tf.newaxis] + 0.01


def test_scores_of_a_copier_and_of_a_worse_one():
    image = photograph()
    good = photographs.score(Copier(image), image, PROTOCOL)
    bad = photographs.score(Copier(image, 0.3), image, PROTOCOL)
    assert good["diversity"] == pytest.approx(0.0, abs=1e-12)
    assert good["psnr_reconstruction"] == pytest.approx(46.02, abs=0.01)
    assert good[photographs.SWD] < 2 * good[photographs.ITSELF]
    assert bad[photographs.SWD] > 5 * bad[photographs.ITSELF]
    assert bad["kid_random_features"] > 10 * abs(good["kid_random_features"])
    levels = [good[f"{photographs.SWD}_level{i}"] for i in range(3)]
    assert good[photographs.SWD] == pytest.approx(np.mean(levels))
    assert not [name for name in good if "sifid" in name]
    assert photographs.score(Copier(image), image, PROTOCOL) == good


def test_every_start_of_a_run_counts(tmp_path):
    lines = [
        {"run": "train", "seconds": 5.0},
        {"run": "train", "seconds": 9.0},
        {"run": "eval", "seconds": 99.0},
        {"run": "train", "seconds": 2.0},
        {"run": "train", "seconds": 4.0},
    ]
    assert photographs.training_seconds(str(tmp_path)) is None
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(x) + "\n" for x in lines))
    assert photographs.training_seconds(str(tmp_path)) == 13.0


def row(name, group, value):
    return {"name": name, "group": group, "scores": {"swd": value}}


def test_table_has_means_and_a_line_per_photograph():
    rows = [row("a", "seen", 1.0), row("b", "seen", 3.0), row("c", "unseen", 9)]
    means = photographs.means(rows)
    assert means["seen"]["swd"].mean == 2.0
    cost = {"forward_seconds": 0.5, "training_seconds_per_photograph": 60.0}
    system = {"run": "x", "algo": "internal", "cost": cost}
    text = photographs.table([{**system, "means": means, "photographs": rows}])
    assert "| internal, x | seen (2) | 60 | 2 ± 13 |" in text
    assert "| internal, x | unseen (1) | 0.50 | 9 |" in text
    assert "| a | internal, x | 60 | 1 |" in text
