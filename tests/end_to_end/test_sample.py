"""python -m tf_metagan.sample: pictures from a trained run."""

import os
import shutil

import numpy as np
import PIL.Image
import pytest

from tests import runs
from tf_metagan import cli, sample, sampling, trained_runs
from tf_metagan.core import rng


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Six pictures, which are more than the four of an inner batch."""
    return runs.write_pictures(tmp_path_factory.mktemp("images"), 6, size=40)


@pytest.fixture
def draw(here, whole, images, tmp_path):
    """Sample in this process: (*words) -> bytes of the picture."""
    assert whole.code == cli.EXIT_OK, whole.err

    def run(*words):
        path = tmp_path / f"{len(os.listdir(tmp_path))}.png"
        code, _, err = here(
            sample.COMMAND,
            f"--run={whole.logdir}",
            f"--images={images[0].parent}",
            "--num_samples=10",
            f"--output={path}",
            *words,
        )
        assert code == cli.EXIT_OK, err
        return path.read_bytes()

    return run


@pytest.fixture(scope="module")
def from_process(whole, images, tmp_path_factory):
    """A picture that a fresh process drew, from a list of files."""
    path = tmp_path_factory.mktemp("out") / "more.png"
    done = runs.process(
        "tf_metagan.sample",
        f"--run={whole.logdir}",
        f"--images={','.join(map(str, images))}",
        "--num_samples=10",
        f"--output={path}",
    )
    return done, path


def test_process_writes_a_picture_and_says_where(from_process):
    (code, out, err), path = from_process
    assert (code, out) == (cli.EXIT_OK, ""), err
    (line,) = err.splitlines()
    assert line.startswith("INFO:absl:6 images, 10 samples, ")
    assert line.endswith(f" s: {path}")
    with PIL.Image.open(path) as file:
        assert file.format == "PNG"
        assert np.asarray(file).std() > 10


def test_equal_seeds_draw_equal_bytes(from_process, draw):
    # In another process, from the folder instead of its files.
    assert draw() == from_process[1].read_bytes()
    assert draw("--seed=1") != from_process[1].read_bytes()


def test_no_steps_draw_from_the_prior(whole, images, draw, tmp_path):
    run = trained_runs.load_run(whole.logdir)
    prior = run.algorithm.game.sample(
        run.vars, rng.fold(rng.make_seed(7), sampling._SAMPLE, 0), 256
    )
    support = sampling.load_support(run, [str(images[0].parent)], invert=False)
    expected = tmp_path / "expected"
    expected.mkdir()
    sampling.write_picture(
        str(expected / "prior.png"), support, prior.numpy()[:10]
    )
    assert _pixels(draw("--steps=0", "--seed=7"), tmp_path) == pytest.approx(
        _pixels((expected / "prior.png").read_bytes(), tmp_path),
        abs=1,  # rounding to bytes
    )
    adapted = _pixels(draw("--steps=40", "--seed=7"), tmp_path)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            adapted,
            _pixels((expected / "prior.png").read_bytes(), tmp_path),
            atol=1,
        )


def _pixels(content, folder):
    path = folder / "pixels"
    path.write_bytes(content)
    with PIL.Image.open(path) as file:
        return np.asarray(file).astype(int)


def test_inverted_images_are_shown_inverted(draw, tmp_path):
    plain = _pixels(draw("--num_samples=1"), tmp_path)
    inverted = _pixels(draw("--num_samples=1", "--invert"), tmp_path)
    # The block of six given images, below its caption, without gaps.
    changed = (plain + inverted == 255).all(axis=2)
    assert changed.sum() >= 6 * 64 * 64


def test_sampling_leaves_the_run_as_it_is(whole, draw):
    before = sorted(os.walk(whole.logdir))
    draw()
    assert sorted(os.walk(whole.logdir)) == before


# Errors in one line.


def assert_one_line(done, code, *words):
    found, _, err = done
    first, *rest = err.splitlines()
    assert found == code, err
    assert first.startswith("tf_metagan.sample: ")
    for word in words:
        assert word in first
    hint = ["Settings: python -m tf_metagan.sample --help"]
    assert rest == (hint if code == cli.EXIT_USAGE else [])


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--images=x"], ["--run is missing", "Such as: python -m"]),
        (["--run=x"], ["--images is missing"]),
        (["--run=x", "--images=y", "--step=3"], ["Did you mean --steps?"]),
        (["--run=x", "--images=y", "z.png"], ["'z.png' is a stray word"]),
    ],
)
def test_wrong_setting_is_one_line(here, words, parts):
    assert_one_line(here(sample.COMMAND, *words), cli.EXIT_USAGE, *parts)


def test_folder_without_run_is_one_line(here, images, tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        assert_one_line(
            here(sample.COMMAND, f"--run={folder}", f"--images={images[0]}"),
            cli.EXIT_DATA,
            f"{folder} is not the folder of a run: it has no config.json.",
        )


def test_run_without_checkpoint_is_one_line(here, whole, images, tmp_path):
    for name in ("config.json", "split.json"):
        shutil.copy(os.path.join(whole.logdir, name), tmp_path)
    assert_one_line(
        here(sample.COMMAND, f"--run={tmp_path}", f"--images={images[0]}"),
        cli.EXIT_DATA,
        f"{tmp_path}/ckpt holds no checkpoint",
        f"--flagfile={tmp_path}/run.flags",
    )


@pytest.mark.parametrize(
    ("content", "code", "part"),
    [
        ({}, cli.EXIT_USAGE, "there are no pictures in"),
        ({"a.png": b"no"}, cli.EXIT_DATA, "a.png cannot be read"),
    ],
)
def test_unusable_images_are_one_line(
    here, whole, tmp_path, content, code, part
):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_bytes(text)
    words = (f"--run={whole.logdir}", f"--images={folder}")
    assert_one_line(here(sample.COMMAND, *words), code, part)


def test_absent_image_is_one_line(here, whole, tmp_path):
    path = tmp_path / "absent.png"
    words = (f"--run={whole.logdir}", f"--images={path}")
    done = here(sample.COMMAND, *words)
    assert_one_line(done, cli.EXIT_DATA, f"{path} does not exist")


def test_picture_of_unknown_kind_is_one_line(here, whole, images, tmp_path):
    path = tmp_path / "more.txt"
    done = here(
        sample.COMMAND,
        f"--run={whole.logdir}",
        f"--images={images[0]}",
        "--steps=0",
        f"--output={path}",
    )
    assert_one_line(done, cli.EXIT_DATA, f"--output={path} cannot be written")


def test_help_does_not_import_tensorflow():
    code, out, err = runs.process(
        "",
        code="import sys, runpy\n"
        "sys.argv = ['sample', '--help']\n"
        "try:\n"
        "    runpy.run_module('tf_metagan.sample', run_name='__main__')\n"
        "finally:\n"
        "    assert 'tensorflow' not in sys.modules\n",
    )
    assert (code, err) == (cli.EXIT_OK, "")
    assert "usage: python -m tf_metagan.sample" in out
