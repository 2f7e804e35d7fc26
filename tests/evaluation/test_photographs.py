"""Scores and costs of models of photographs."""

import json
import types

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


def test_cost_is_of_all_starts_even_after_a_cut_line(tmp_path):
    run = types.SimpleNamespace(
        split=types.SimpleNamespace(train=(4, 7)), meta_step=40
    )
    cost = photographs.cost(run, str(tmp_path))
    assert cost["training_seconds"] is None
    assert cost["training_seconds_per_photograph"] is None
    lines = [{"run": "train", "seconds": x} for x in (5.0, 9.0, 2.0, 4.0)]
    text = "".join(json.dumps(x) + "\n" for x in lines)
    (tmp_path / "metrics.jsonl").write_text(text + '{"run": "tra')
    cost = photographs.cost(run, str(tmp_path))
    assert cost["training_seconds"] == 13.0
    assert cost["training_seconds_per_photograph"] == 6.5
    assert cost["training_photographs"] == 2


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
