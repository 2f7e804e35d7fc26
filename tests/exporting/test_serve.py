"""Exports in other programs: `serve.load` and the command line."""

import io
import json
import os
import shutil
import subprocess
import sys
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests import runs
from tests.exporting.exports import images
from tf_metagan import serve
from tf_metagan.serving import model

# Neither Keras nor anything else of this package can be imported.
ALONE = """
import importlib.util, json, sys
sys.modules["keras"] = None
sys.modules["tf_metagan"] = None
import numpy as np
import tensorflow as tf
tf.config.optimizer.set_experimental_options(json.loads(sys.argv[5]))
spec = importlib.util.spec_from_file_location("alone", sys.argv[1])
serve = importlib.util.module_from_spec(spec)
spec.loader.exec_module(serve)
model = serve.load(sys.argv[2])
with np.load(sys.argv[3]) as request:
    request = dict(request)
answer = model.adapt_and_sample(**request)
np.savez(
    sys.argv[4],
    samples=answer.samples,
    d_loss=answer.d_loss,
    prior=model.sample_prior(num_samples=3, seed=2),
)
assert sys.modules["keras"] is None
assert not [name for name in sys.modules if name.startswith("tf_metagan.")]
"""


def test_fresh_process_without_keras_answers_the_same_bits(toy, tmp_path):
    request = {
        "images": images(3),
        "num_samples": np.int32(7),
        "steps": np.int32(3),
        "seed": np.array([4, 5], np.int64),
    }
    np.savez(tmp_path / "request.npz", **request)
    subprocess.run(
        [
            sys.executable,
            "-c",
            ALONE,
            model.__file__,
            str(toy.folder),
            str(tmp_path / "request.npz"),
            str(tmp_path / "answer.npz"),
            # How graphs are optimised decides on the last bits.
            json.dumps(tf.config.optimizer.get_experimental_options()),
        ],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    expected = toy.model.adapt_and_sample(**request)
    with np.load(tmp_path / "answer.npz") as found:
        np.testing.assert_array_equal(found["samples"], expected.samples)
        np.testing.assert_array_equal(found["d_loss"], expected.d_loss)
        np.testing.assert_array_equal(
            found["prior"], toy.model.sample_prior(num_samples=3, seed=2)
        )


def test_seed_is_a_number_or_a_pair(toy):
    one, pair, other = (
        toy.model.sample_prior(num_samples=2, seed=seed)
        for seed in (7, (0, 7), (7, 0))
    )
    np.testing.assert_array_equal(one, pair)
    assert np.abs(one - other).max() > 1e-2


def test_newest_version_is_taken(toy, tmp_path):
    for name in ("2", "10", ".writing.11", "notes"):
        (tmp_path / name).mkdir()
        shutil.copy(toy.folder / "model.json", tmp_path / name)
    (tmp_path / "12").mkdir()  # empty: not an export
    assert serve.find(str(tmp_path)) == str(tmp_path / "10")
    assert serve.find(str(toy.folder)) == str(toy.folder)
    assert serve.find(str(tmp_path / "absent")) is None


def test_folder_without_export_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no exported model"):
        serve.load(str(tmp_path))


def test_later_format_is_said(toy, tmp_path):
    info = json.loads((toy.folder / "model.json").read_text())
    info["format"] = 99
    (tmp_path / "model.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match="has the format 99, expected 1"):
        serve.load(str(tmp_path))


def test_sentence_is_taken_out_of_the_error():
    error = tf.errors.InvalidArgumentError(
        None,
        None,
        "Graph execution error:\n\nDetected at node Assert\nassertion failed: "
        "[images[2] has [3, 4]]\n\t [[{{node Assert}}]] [Op:__inference]",
    )
    assert serve.explain(error) == "images[2] has [3, 4]"
    other = tf.errors.InvalidArgumentError(
        None, None, "Graph execution error:\n\nInvalid PNG\n\t [[{{node x}}]]"
    )
    assert serve.explain(other) == "Invalid PNG"


def test_divergence_is_an_error_of_its_own():
    def diverge(**_):
        raise tf.errors.InvalidArgumentError(
            None, None, "assertion failed: [the adaptation diverged: so]"
        )

    info = {
        "image": {"height": 8, "width": 8, "channels": 1},
        "defaults": {"num_samples": 1, "seed": [0, 0]},
    }
    loaded = types.SimpleNamespace(signatures={"sample_prior": diverge})
    with pytest.raises(FloatingPointError, match=r"diverged: so$"):
        serve.Model("", info, loaded).sample_prior()


def test_grid_sets_images_in_lines():
    levels = np.arange(3, dtype=np.uint8) * 100
    files = [
        tf.io.encode_png(np.full([32, 32, 1], level, np.uint8)).numpy()
        for level in levels
    ]
    with PIL.Image.open(io.BytesIO(serve.grid(files, columns=2))) as file:
        picture = np.asarray(file)
    assert picture.shape == (2 * 64 + 2, 2 * 64 + 2, 3)
    assert picture[0, 0, 0] == 0
    assert picture[0, 64 + 2, 1] == 100
    assert picture[64 + 2, 0, 2] == 200
    assert (picture[64 + 2 :, 64 + 2 :] == 255).all()
    assert (picture[64:66] == 255).all()


# The command line.


@pytest.fixture
def command(toy, tmp_path, capsys):
    """Answer from six pictures of 40 x 40 pixels: (code, out, err, path)."""
    runs.write_pictures(tmp_path / "images", 6, size=40)
    (tmp_path / "images" / "notes.txt").write_text("no picture")

    def run(*words):
        path = tmp_path / "out.png"
        code = serve.main(
            [
                f"--model={toy.folder.parent}",
                f"--images={tmp_path / 'images'}",
                f"--output={path}",
                *words,
            ]
        )
        return code, *capsys.readouterr(), path

    return run


def test_command_writes_a_picture(command, toy):
    code, out, err, path = command("--num_samples=3", "--steps=1", "--seed=4")
    assert (code, err) == (0, "")
    assert out == f"3 samples: {path}\n"
    answer = toy.model.adapt_and_sample_bytes(
        serve.read_images(str(path.parent / "images")),
        num_samples=3,
        steps=1,
        seed=4,
    )
    assert path.read_bytes() == serve.grid(answer.samples)


def test_command_says_what_was_wrong_in_a_line(command, tmp_path):
    code, out, err, path = command("--num_samples=601")
    assert (code, out) == (1, "")
    assert err == (
        "python -m tf_metagan.serve: num_samples is 601; expected 1 to 600\n"
    )
    assert not path.exists()
    code, _, err, _ = command(f"--images={tmp_path}")
    assert code == 2
    assert f"{tmp_path} holds no images" in err
    code, _, err, _ = command(f"--model={tmp_path}")
    assert code == 2
    assert "holds no exported model" in err
