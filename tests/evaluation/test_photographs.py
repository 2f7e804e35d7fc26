"""Scores and costs of models of photographs."""

import json
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.metrics.test_single_image import photograph
from tf_metagan.evaluation import photographs, pictures

PROTOCOL = photographs.Protocol(samples=3, levels=3, seed=0)


class Copier:
    """A model that draws its photograph, darker by `wrong`."""

    def __init__(self, image, wrong=0.0):
        self.image = tf.constant(image) - wrong

    def sample_in_parts(self, seed, n):
        del seed
        return tf.stack([self.image] * n)

    def reconstruct(self):
        return self.image[tf.newaxis] + 0.01


def scored(model, image):
    drawn = photographs.draw(model, image, PROTOCOL)
    return photographs.score(drawn, image, PROTOCOL)


def test_scores_of_a_copier_and_of_a_worse_one():
    image = photograph()
    good = scored(Copier(image), image)
    bad = scored(Copier(image, 0.3), image)
    assert good["diversity"] == pytest.approx(0.0, abs=1e-12)
    assert good["psnr_reconstruction"] == pytest.approx(46.02, abs=0.01)
    assert good[photographs.SWD] < 2 * good[photographs.ITSELF]
    assert bad[photographs.SWD] > 5 * bad[photographs.ITSELF]
    assert bad["kid_random_features"] > 10 * abs(good["kid_random_features"])
    levels = [good[f"{photographs.SWD}_level{i}"] for i in range(3)]
    assert good[photographs.SWD] == pytest.approx(np.mean(levels))
    assert not [name for name in good if "sifid" in name]
    assert scored(Copier(image), image) == good


def test_what_cannot_be_scored_is_named_before_anything_is():
    good = photographs.Subject("good.png", photograph(), "seen")
    photographs.check([good], PROTOCOL)
    flat = photographs.Subject("flat.png", good.image[:20], "seen")
    grey = photographs.Subject("grey.png", 0.0 * good.image, "seen")
    low = photographs.Subject("low.png", good.image[:10], "seen")
    with pytest.raises(ValueError, match=r"flat\.png cannot .* on level 3"):
        photographs.check([good, flat], PROTOCOL)
    with pytest.raises(ValueError, match=r"grey\.png cannot .* no diversity"):
        photographs.check([grey], PROTOCOL)
    one = PROTOCOL._replace(levels=1)
    photographs.check([flat], one)
    with pytest.raises(ValueError, match=r"low\.png cannot .* the window"):
        photographs.check([low], one)


def test_picture_shows_what_all_models_have_drawn(tmp_path):
    image = photograph()
    names = ("seen", "both", "late")
    shown = [photographs.Subject(name, image, "seen") for name in names]
    red = np.zeros_like(image) - 1.0
    red[..., 0] = 1.0
    plain = photographs.Drawn(np.stack([image] * 9), image)
    other = photographs.Drawn(red[np.newaxis], red)

    def height(drawn):
        pictures.write_photographs(tmp_path, shown, drawn)
        return np.asarray(PIL.Image.open(tmp_path / "photographs.png"))

    every = dict.fromkeys(names, plain)
    alone = height({"a": every})
    compared = height({"a": every, "b": {"both": other}})
    assert compared.shape[0] < alone.shape[0]
    reds = (compared == (255, 0, 0)).all(axis=-1).sum()
    assert reds == 2 * image.shape[0] * image.shape[1]
    shown.append(photographs.Subject("new", image, "given"))
    assert height({"a": every | {"new": plain}}).shape[0] > alone.shape[0]


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
    assert cost["training_cpu_seconds"] is None
    lines = [{"seconds": 9.0, "cpu_seconds": x} for x in (3.0, 4.0, 1.0)]
    text = "".join(json.dumps(x) + "\n" for x in lines)
    (tmp_path / "metrics.jsonl").write_text(text)
    cost = photographs.cost(run, str(tmp_path))
    assert cost["training_seconds_per_photograph"] == 4.5
    assert cost["training_cpu_seconds_per_photograph"] == 2.5


def row(name, group, value):
    return {"name": name, "group": group, "scores": {"swd": value}}


def test_table_has_means_and_a_line_per_photograph():
    rows = [row("a", "seen", 1.0), row("b", "seen", 3.0), row("c", "unseen", 9)]
    means = photographs.means(rows)
    assert means["seen"]["swd"].mean == 2.0
    cost = {
        "forward_seconds": 0.5,
        "forward_cpu_seconds": 0.25,
        "finetuning_seconds": 0.0,
        "finetuning_cpu_seconds": 0.0,
        "training_seconds_per_photograph": 60.0,
        "training_cpu_seconds_per_photograph": None,
    }
    system = {"run": "x", "algo": "internal", "cost": cost}
    text = photographs.table([{**system, "means": means, "photographs": rows}])
    assert "| internal, x | seen (2) | 60 | unknown | 2 ± 13 |" in text
    assert "| internal, x | unseen (1) | 0.50 | 0.25 | 9 |" in text
    assert "| a | internal, x | 60 | unknown | 1 |" in text
    cost["finetuning_seconds"] = 5.0  # on top of either
    cost["finetuning_cpu_seconds"] = 4.0
    cost["training_cpu_seconds_per_photograph"] = 86.0
    text = photographs.table([{**system, "means": means, "photographs": rows}])
    assert "| internal, x | seen (2) | 65 | 90 |" in text
    assert "| internal, x | unseen (1) | 5.50 | 4.25 |" in text
