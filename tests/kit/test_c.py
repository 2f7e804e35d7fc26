"""The program of export/c, built and run; it answers without Python."""

import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from tests.runs import ROOT

pytestmark = pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("make")),
    reason="needs a C compiler and make: apt install gcc make",
)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    built = subprocess.run(
        [
            "make",
            f"--directory={ROOT / 'export' / 'c'}",
            f"PYTHON={sys.executable}",
            f"BUILD={folder}",
            "CFLAGS=-Werror -Wconversion -Wno-sign-conversion",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder / "adapt"


@pytest.fixture
def run(program, toy, tmp_path):
    """Run it without any environment: (code, sentence, picture)."""

    def run(*numbers, pictures, model=toy.folder):
        output = tmp_path / "output.pgm"
        output.unlink(missing_ok=True)
        words = ["env", "-i", program, model, output, *numbers, *pictures]
        done = subprocess.run(
            [str(word) for word in words],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr.splitlines()[-1], output

    return run


@pytest.fixture
def pictures(tmp_path):
    """Return how to write pictures of noise as PGM or PPM: (paths, levels)."""

    def write(number, *, size=16, channels=()):
        draw = np.random.default_rng(number)
        levels = draw.integers(0, 256, (number, size, size, *channels))
        paths = [tmp_path / f"{i}.pnm" for i in range(number)]
        for path, picture in zip(paths, levels.astype(np.uint8), strict=True):
            PIL.Image.fromarray(picture).save(path, "PPM")
        return paths, levels

    return write


@pytest.mark.parametrize(("number", "lines"), [(3, 1), (20, 3)])
def test_picture_is_what_python_answers(run, toy, pictures, number, lines):
    paths, levels = pictures(4)
    code, sentence, path = run(number, 3, 9, pictures=paths)
    assert code == 0, sentence
    answer = toy.model.adapt_and_sample(
        np.float32(levels[..., np.newaxis] / 127.5 - 1),
        num_samples=number,
        steps=3,
        seed=9,
    )
    expected = np.round(answer.samples.numpy()[..., 0] * 127.5 + 127.5)
    with PIL.Image.open(path) as file:
        assert (file.format, file.mode) == ("PPM", "L")
        found = np.asarray(file).astype(int)
    columns = min(8, number)
    assert found.shape == (16 * lines, 16 * columns)
    cells = found.reshape(lines, 16, columns, 16).swapaxes(1, 2)
    cells = cells.reshape(-1, 16, 16)
    np.testing.assert_allclose(cells[:number], expected, atol=1)
    assert not cells[number:].any()
    other = toy.model.adapt_and_sample(
        np.float32(levels[..., np.newaxis] / 127.5 - 1),
        num_samples=number,
        steps=3,
        seed=8,
    )
    gap = np.abs(cells[:number] - (other.samples[..., 0] * 127.5 + 127.5))
    assert gap.max() > 10


@pytest.mark.parametrize(
    ("numbers", "options", "sentence"),
    [
        ((0, 1, 1), {}, "num_samples is 0; expected 1 to 600"),
        (
            (1, 1, 1),
            {"size": 20},
            "images has the shape [2, 20, 20, 1]; expected [K, 16, 16, 1]",
        ),
        (
            (1, 1, 1),
            {"channels": (3,)},
            "images has the shape [2, 16, 16, 3]; expected [K, 16, 16, 1]",
        ),
    ],
)
def test_model_says_what_is_wrong(run, pictures, numbers, options, sentence):
    paths, _ = pictures(**{"number": 2, **options})
    code, said, path = run(*numbers, pictures=paths)
    assert (code, said) == (1, f"adapt: {sentence}")
    assert not path.exists()


def test_files_that_cannot_be_read_are_named(run, pictures, tmp_path):
    (good, small), _ = pictures(2)
    PIL.Image.new("L", (8, 8)).save(small, "PPM")
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    short = tmp_path / "short.pgm"
    short.write_bytes(good.read_bytes()[:-1])
    for bad, sentence in (
        (small, "has another size or kind than the first picture"),
        (text, "is no binary PGM or PPM file of 255 levels"),
        (short, "ends early"),
        (tmp_path / "absent", "cannot be read"),
    ):
        code, said, _ = run(1, 1, 1, pictures=[good, bad])
        assert (code, said) == (1, f"adapt: {bad} {sentence}")
    code, said, _ = run("4294967297", 1, 1, pictures=[good])
    assert (code, said) == (
        1,
        "adapt: 4294967297 is no whole number of 32 bits",
    )
    code, said, _ = run(1, 1, 1, pictures=[good], model=tmp_path)
    assert code == 1
    assert "Could not find SavedModel" in said
    code, said, _ = run(pictures=[good])
    assert (code, said) == (
        1,
        "adapt: expected VERSION OUTPUT SAMPLES STEPS SEED PICTURE...",
    )
