"""The programs of export/examples."""

import importlib.util
import subprocess

import numpy as np
import PIL.Image
import pytest

from tests import runs
from tests.exporting import exports

EXAMPLES = runs.ROOT / "export" / "examples"
ADDONS = runs.ROOT / ".venv-addons" / "bin" / "python"


def example(name):
    """Import one of the programs."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# augment_dataset.py


@pytest.fixture(scope="module")
def augment():
    return example("augment_dataset")


def by_label(dataset):
    found = {}
    for image, label in dataset.as_numpy_iterator():
        found.setdefault(int(label), []).append(image)
    return {label: np.stack(images) for label, images in found.items()}


def test_training_set_holds_real_images_and_as_many_drawings(augment, toy):
    support = exports.images(6).reshape(2, 3, 16, 16, 1)
    found = by_label(
        augment.augmented(toy.model, support, num_samples=4, seed=5)
    )
    assert list(found) == [0, 1]
    for label, images in found.items():
        assert len(images) == 6 + 4
        np.testing.assert_array_equal(
            images[:6], np.concatenate([support[label]] * 2)
        )
        alone = toy.model.adapt_and_sample(
            support[label], num_samples=4, seed=(5, label)
        )
        # A pipeline's graph is optimised in another way than an eager call.
        np.testing.assert_allclose(
            images[6:], alone.samples, rtol=1e-3, atol=1e-4
        )
    # Drawn once: a second pass sees the same.
    dataset = augment.augmented(toy.model, support, num_samples=2, seed=5)
    for first, second in zip(dataset, dataset, strict=True):
        np.testing.assert_array_equal(first[0], second[0])


def test_no_drawings_leave_the_images_alone(augment, toy):
    support = exports.images(6).reshape(2, 3, 16, 16, 1)
    found = by_label(
        augment.augmented(toy.model, support, num_samples=0, seed=5)
    )
    for label, images in found.items():
        np.testing.assert_array_equal(images, support[label])


@pytest.mark.parametrize("source", ["glyphs", "folder"])
def test_classifier_is_trained_on_both(
    augment, toy, tmp_path, capsys, monkeypatch, source
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    words = ["--classes=3"]
    if source == "folder":
        runs.write_classes(tmp_path / "classes", (4, 5, 4))
        words = [f"--images={tmp_path / 'classes'}"]
    augment.main(
        [
            f"--model={toy.folder}",
            *words,
            "--samples=2",
            "--steps=2",
            "--trials=1",
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["without", "with"]
    for line in lines:
        assert 0 <= float(line.split()[3]) <= 1


def test_shots_that_leave_no_test_images_are_refused(augment, toy, capsys):
    with pytest.raises(SystemExit):
        augment.main([f"--model={toy.folder}", "--classes=2", "--shots=40"])
    assert "expected 1 to 39" in capsys.readouterr().err


# keras_layer.py


def test_keras_model_answers_as_the_export(toy):
    levels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 1))
    model = example("keras_layer").build(str(toy.folder))
    drawn = model.predict(np.float32(levels), batch_size=3, verbose=0)
    expected = toy.model.adapt_and_sample(np.float32(levels / 127.5 - 1))
    np.testing.assert_allclose(
        drawn / 127.5 - 1, expected.samples, rtol=1e-3, atol=1e-4
    )
    weights = sum(np.prod(w.shape) for w in model.weights)
    assert weights >= sum(
        np.prod(w["shape"]) for w in toy.model.info["weights"]
    )


def test_keras_layer_draws_more_of_a_folder(toy, tmp_path, capsys):
    runs.write_pictures(tmp_path / "images", 3, size=20)
    path = tmp_path / "more.png"
    example("keras_layer").main(
        [
            f"--model={toy.folder.parent}",
            f"--images={tmp_path / 'images'}",
            f"--output={path}",
        ]
    )
    assert capsys.readouterr().out == f"5 samples: {path}\n"
    with PIL.Image.open(path) as picture:
        assert np.asarray(picture).std() > 10


# addons.py, in an environment of its own.


@pytest.mark.skipif(
    not ADDONS.exists(), reason="no .venv-addons: make addons (Python 3.11)"
)
def test_answer_behind_addons_is_that_of_the_current_stack(toy, tmp_path):
    runs.write_pictures(tmp_path / "images", 4, size=16)
    path = tmp_path / "rotated.npz"
    done = subprocess.run(
        [
            str(ADDONS),
            str(EXAMPLES / "addons.py"),
            f"--model={toy.folder}",
            f"--images={tmp_path / 'images'}",
            "--degrees",
            "0",
            "90",
            "--seed=3",
            f"--output={path}",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "by TensorFlow 2.15.1 and TensorFlow Addons 0.23.0" in done.stdout
    with np.load(path) as found:
        support, samples = found["support"], found["samples"]
    # By a right angle every pixel lands on another.
    np.testing.assert_allclose(
        support[1], np.rot90(support[0], axes=(1, 2)), atol=1e-5
    )
    assert np.abs(support[0] - support[1]).max() > 0.1
    for images, drawn in zip(support, samples, strict=True):
        expected = toy.model.adapt_and_sample(images, seed=3).samples
        np.testing.assert_allclose(drawn, expected, atol=1e-5)
        other = toy.model.adapt_and_sample(images, seed=3, steps=1).samples
        assert np.abs(drawn - other).max() > 1e-3
