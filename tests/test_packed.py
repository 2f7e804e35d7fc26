"""Trained runs in one small folder."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

import tf_metagan
from tests import runs
from tf_metagan import packed, sampling, trained_runs, training
from tf_metagan.types import Vars


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        runs.keep_runtime(patch)
        settings = runs.settings(
            meta_steps=2, logdir=str(folder), penalty="none"
        )
        assert training.train(settings) == 0
    return folder


@pytest.fixture(scope="module")
def folder(logdir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "a"
    tf_metagan.pack(str(logdir), str(folder))
    return folder


def flat(run):
    return [x.numpy() for x in tf.nest.flatten(run.vars)]


def test_packed_run_is_the_run_in_half_precision(logdir, folder):
    there, here = (
        trained_runs.load_run(str(logdir)),
        trained_runs.load_run(str(folder)),
    )
    assert here.meta_step == there.meta_step == 2
    assert here.split == there.split
    for found, expected in zip(flat(here), flat(there), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(
            found, expected.astype(np.float16).astype(found.dtype)
        )
    support = np.zeros([2, 16, 16, 1], np.float32)
    pictures = [sampling.draw(x, support, num_samples=4) for x in (there, here)]
    np.testing.assert_allclose(*pictures, atol=0.05)
    assert np.ptp(pictures[0]) > 0.0


@pytest.mark.parametrize("source", ["folder", "pretrained:mnist"])
def test_packed_run_is_packed_again(folder, tmp_path, source):
    source = str(folder) if source == "folder" else source
    tf_metagan.pack(source, str(tmp_path))
    again, before = map(trained_runs.load_run, (str(tmp_path), source))
    assert again.meta_step == before.meta_step
    for found, expected in zip(flat(again), flat(before), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_packed_folder_names_no_place_of_this_machine(logdir, folder):
    text = (folder / "config.json").read_text()
    assert str(logdir) not in text
    assert str(logdir) in (logdir / "config.json").read_text()
    assert sum(x.stat().st_size for x in folder.iterdir()) < 100_000


def test_bytes_stay_bytes(logdir, tmp_path):
    kept = {"kept": {"images": tf.constant([[0, 7, 255]], tf.uint8)}}
    vars = Vars({"g": {"w": tf.constant([0.5])}}, kept, {})
    packed.write(
        str(tmp_path),
        config=str(logdir / "config.json"),
        split=str(logdir / "split.json"),
        vars=vars,
        meta_step=1,
    )
    again, _ = packed.read(str(tmp_path), lambda _: vars)
    found = again.state["kept"]["images"]
    assert found.dtype == tf.uint8
    np.testing.assert_array_equal(found, kept["kept"]["images"])
    with np.load(tmp_path / packed.WEIGHTS_FILE) as stored:
        assert {stored[n].dtype.name for n in stored.files} == {
            "float16",
            "int64",
            "uint8",
        }


def test_whole_precision_can_be_kept(logdir, tmp_path):
    run = trained_runs.load_run(str(logdir))
    packed.write(
        str(tmp_path),
        config=str(logdir / "config.json"),
        split=str(logdir / "split.json"),
        vars=run.vars,
        meta_step=7,
        half=False,
    )
    again = trained_runs.load_run(str(tmp_path))
    assert again.meta_step == 7
    for found, expected in zip(flat(again), flat(run), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_weights_that_do_not_fit_in_half_precision_are_refused(
    logdir, tmp_path
):
    run = trained_runs.load_run(str(logdir))
    huge = tf.nest.map_structure(lambda x: x + 1e6, run.vars)
    with pytest.raises(ValueError, match=r"params/d/.* is not finite as float"):
        packed.write(
            str(tmp_path / "new"),
            config=str(logdir / "config.json"),
            split=str(logdir / "split.json"),
            vars=huge,
            meta_step=1,
        )
    assert not (tmp_path / "new").exists()


def damaged(folder, tmp_path, change):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    change(copy)
    return str(copy)


def test_damaged_weights_are_refused(folder, tmp_path):
    def cut(copy):
        path = copy / "weights.npz"
        path.write_bytes(path.read_bytes()[:300])

    with pytest.raises(ValueError, match=r"weights.npz cannot be read: .*File"):
        trained_runs.load_run(damaged(folder, tmp_path, cut))


def test_weights_of_other_settings_are_refused(folder, tmp_path):
    def widen(copy):
        path = copy / "config.json"
        record = json.loads(path.read_text())
        record["settings"]["width"] += 1
        path.write_text(json.dumps(record))

    with pytest.raises(ValueError, match=r"params/d/hidden/kernel.*differ"):
        trained_runs.load_run(damaged(folder, tmp_path, widen))


def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"pretrained:omni names no model"):
        tf_metagan.load_pretrained("omni")


@pytest.mark.parametrize("name", packed.names())
def test_shipped_model_draws_what_it_is_shown(name):
    """What is drawn of a shape is liker to it than what is drawn of another."""
    run = tf_metagan.load_pretrained(name)
    size = run.settings.config.image_size
    cross, ring = -np.ones([2, size, size, 1], np.float32)
    middle, far = size // 2, size // 4
    cross[middle - 1 : middle + 1, far:-far] = 1.0
    cross[far:-far, middle - 1 : middle + 1] = 1.0
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    ring[np.abs(np.hypot(x, y) - far) < 1.2] = 1.0
    given_cross, given_ring = (
        sampling.draw(run, np.stack([shown] * 3), num_samples=16)
        for shown in (cross, ring)
    )

    def likeness(images, shown):
        return np.mean(images * (shown - shown.mean()))

    assert likeness(given_cross, cross) > 1.1 * likeness(given_ring, cross)
    assert likeness(given_ring, ring) > 1.1 * likeness(given_cross, ring)


@pytest.mark.parametrize("name", packed.names())
def test_card_of_a_shipped_model_is_true(name):
    run = tf_metagan.load_pretrained(name)
    card = pathlib.Path(packed.resolve(f"pretrained:{name}"), "README.md")
    text = card.read_text()
    config = run.settings.config
    weights = {
        player: sum(int(tf.size(leaf)) for leaf in leaves.values())
        for player, leaves in run.vars.params.items()
    }
    for fact in (
        f'load_pretrained("{name}")',
        f"{config.image_size} x {config.image_size}",
        f"--algo={config.algo}",
        f"meta-step {run.meta_step}",
        f"{weights['g']} of G, {weights['d']} of D",
    ):
        assert fact in text
