"""Exports of runs that model photographs: signatures, sizes, refusals."""

import io
import json
import os
import subprocess
import sys
import types

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.exporting import exports
from tests.exporting.test_files import written
from tf_metagan import (
    applications,
    export,
    photograph_loading,
    photograph_models,
    serve,
)
from tf_metagan.core import rng
from tf_metagan.data import base as data
from tf_metagan.data import landscapes, pixels
from tf_metagan.evaluation import exported
from tf_metagan.evaluation.protocol import Protocol
from tf_metagan.exporting import audit, fitting, golden, stored
from tf_metagan.exporting import photographs as photograph_exports
from tf_metagan.exporting.photograph_terms import Defaults, Limits
from tf_metagan.gan import scale_sizes
from tf_metagan.serving import model as model_lib
from tf_metagan.serving.session import Session

SEED = rng.make_seed(7)
WANTED = (
    "height int32 [] = 0, {}num_samples int32 [] = 5, {}random_from int32 [] "
    "= 0, seed int64 [2] = [0, 0]{}, width int32 [] = 0"
)
IMAGE = "float32 [?, ?, 3]"
MIXED = "first_scale int32 [] = 0, "

# Clients rely on every word of this. A change needs another FORMAT.
SCHEMA = {
    "serving_default": (
        "images float32 [?, ?, ?, 3]",
        "samples float32 [?, ?, ?, ?, 3]",
    ),
    "sample": (
        WANTED.format(f"image {IMAGE}, ", "", ""),
        "samples float32 [?, ?, ?, 3]",
    ),
    "sample_bytes": (
        WANTED.format("image_bytes string [], ", "", ""),
        "png_bytes string [?]",
    ),
    "reconstruct": (f"image {IMAGE}", f"reconstruction {IMAGE}"),
    "reconstruct_bytes": (
        "image_bytes string []",
        "reconstruction_bytes string []",
    ),
    "interpolate": (
        MIXED
        + WANTED.format(
            f"image {IMAGE}, ",
            f"other {IMAGE}, ",
            ", strength float32 [] = 0.5",
        ),
        f"reconstruction {IMAGE}, samples float32 [?, ?, ?, 3]",
    ),
    "interpolate_bytes": (
        MIXED
        + WANTED.format(
            "image_bytes string [], ",
            "other_bytes string [], ",
            ", strength float32 [] = 0.5",
        ),
        "png_bytes string [?], reconstruction_bytes string []",
    ),
}


def landscape(number=0, width=24, height=None):
    """Return a drawn landscape [h, w, 3] in [-1, 1]."""
    drawn = landscapes.draw(np.random.default_rng(number), width)
    picture = PIL.Image.fromarray(drawn)
    if height is not None:
        picture = picture.resize((width, height))
    return data.to_range(np.asarray(picture))


def encoded(image):
    """Return PNG bytes of an image in [-1, 1]."""
    file = io.BytesIO()
    PIL.Image.fromarray(data.to_bytes(image)).save(file, "PNG")
    return file.getvalue()


def decoded(file):
    """Return the levels of a PNG file, given as bytes."""
    return np.asarray(PIL.Image.open(io.BytesIO(file)))


def close(a, b, atol=1e-5):
    np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def test_schema_is_frozen(photographs):
    assert set(photographs.model.signatures) == set(SCHEMA)
    found = {
        name: (written(row["inputs"]), written(row["outputs"]))
        for name, row in photographs.model.info["signatures"].items()
    }
    assert found == SCHEMA


def test_samples_are_those_of_the_run(photographs):
    """Though they are drawn two at a time, see `exports.photograph_export`."""
    image = landscape()
    model = photograph_models.model_of(photographs.run, image)
    for size, random_from in (((18, 24), 0), ((30, 50), 1), ((16, 20), 3)):
        expected = model.resized(size).sample(SEED, 4, random_from=random_from)
        found = photographs.model.sample(
            image,
            num_samples=4,
            height=size[0],
            width=size[1],
            random_from=random_from,
            seed=SEED,
        )
        close(found, expected)
        other = model.resized(size).sample(SEED, 4, random_from=2)
        with pytest.raises(AssertionError):
            close(found, other)
    close(
        photographs.model.sample(image, num_samples=2, seed=SEED),
        model.sample(SEED, 2),
    )


@pytest.mark.parametrize("kind", ["shared_embedding", "shared_d"])
def test_all_that_makes_a_generator_is_exported(kind):
    run = exports.photograph_run(hypernetworks=kind)
    terms = photograph_exports.terms_of(run, Limits(), Defaults(2))
    module = photograph_exports.Photographs().module(run, terms)
    image = landscape()
    model = photograph_models.model_of(run, image)
    found = module.reconstruct(tf.constant(image))["reconstruction"]
    close(found, model.reconstruct()[0])
    players = {x.name.split("/")[1] for x in module.weights}
    assert players == set(run.vars.params) - {"d"}


def test_reconstruction_is_that_of_the_run(photographs):
    for height in (13, 18, 40):
        image = landscape(height=height)
        model = photograph_models.model_of(photographs.run, image)
        found = photographs.model.reconstruct(image)
        assert found.shape == [height, 24, 3]
        close(found, model.reconstruct()[0])


def test_interpolation_is_that_of_the_run(photographs):
    first, second = landscape(0), landscape(1, height=30)
    ((rebuilt, drawn),) = applications.between(
        photographs.run,
        first,
        second,
        strengths=(0.3,),
        num_samples=3,
        first_scale=1,
        seed=7,
    )
    found = photographs.model.interpolate(
        first, second, strength=0.3, first_scale=1, num_samples=3, seed=SEED
    )
    close(found.samples, drawn)
    close(found.reconstruction, rebuilt[0])
    other = photographs.model.interpolate(
        first, second, strength=0.3, first_scale=0, num_samples=3, seed=SEED
    )
    with pytest.raises(AssertionError):
        close(other.samples, drawn)


def test_interpolation_ends_at_both_photographs(photographs):
    model, first, second = photographs.model, landscape(0), landscape(1)
    for strength, image in ((0, first), (1, second)):
        found = model.interpolate(first, second, strength=strength, seed=3)
        close(found.reconstruction, model.reconstruct(image))
        close(found.samples, model.sample(image, seed=3))


def test_equal_requests_have_equal_bytes(photographs):
    file = encoded(landscape(2, width=50))
    answers = [
        photographs.model.sample_bytes(file, num_samples=3, seed=seed).numpy()
        for seed in (1, 1, 2)
    ]
    assert answers[0].tolist() == answers[1].tolist()
    assert answers[0].tolist() != answers[2].tolist()
    assert answers[0][0] != answers[0][1]


def test_fewer_samples_are_the_first_of_more(photographs):
    image, model = landscape(), photographs.model
    more = model.sample(image, num_samples=7, seed=1)
    close(model.sample(image, num_samples=3, seed=1), more[:3])


def test_files_are_treated_as_the_run_treats_them(photographs, tmp_path):
    for size in ((24, 18), (61, 40), (20, 47)):
        image = landscape(4, size[0], size[1])
        path = tmp_path / "photograph.png"
        path.write_bytes(encoded(image))
        (given,) = photograph_loading.load(photographs.run, [str(path)])
        levels = np.round(image * 127.5 + 127.5).astype(np.float32)
        fitted = fitting.to_width(tf.constant(levels), 24)
        # Two passes that round may differ by a level.
        close(fitted, data.to_bytes(given.image), atol=1)
        model = photograph_models.model_of(photographs.run, given.image)
        expected = data.to_bytes(model.reconstruct()[0].numpy())
        found = decoded(
            photographs.model.reconstruct_bytes(path.read_bytes()).numpy()
        )
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).max() <= 2


def test_floats_of_another_size_are_treated_as_files(photographs):
    image, model = landscape(5, width=61), photographs.model
    rebuilt = model.reconstruct(image).numpy()
    found = decoded(model.reconstruct_bytes(encoded(image)).numpy())
    assert np.abs(found.astype(int) - data.to_bytes(rebuilt)).max() <= 1


@pytest.mark.parametrize("width", [16, 64, 250])
def test_heights_in_the_graph_are_those_of_numbers(width):
    """Of the photograph, and of every scale of its pyramid."""
    widths = (11, 11 + width // 3, width)

    @tf.function(input_signature=[tf.TensorSpec([2], tf.int32)])
    def graph(size):
        height = fitting.height_at(width, size[0], size[1])
        scales = [h for h, _ in scale_sizes.sizes(height, widths)]
        return tf.stack([height, *scales])

    draw = np.random.default_rng(width)
    sizes = [(187, 250), (3, 4), (2, 3), (1, 8), (8, 1)]
    sizes += draw.integers(1, 5000, [200, 2]).tolist()
    for height, full in sizes:
        expected = pixels.height_of(width, height / full)
        scales = [h for h, _ in scale_sizes.sizes(expected, widths)]
        found = graph(tf.constant([height, full]))
        assert found.numpy().tolist() == [expected, *scales]


def wide_run(width):
    """Return a run of photographs of a width, as far as its terms need."""
    model = types.SimpleNamespace(sizes=[(20, 28), (width, width)], weights=[1])
    game = types.SimpleNamespace(model=lambda vars: model)
    config = types.SimpleNamespace(channels=3)
    return types.SimpleNamespace(
        algorithm=types.SimpleNamespace(game=game),
        settings=types.SimpleNamespace(config=config),
        vars=None,
    )


@pytest.mark.parametrize(
    ("width", "pixels"), [(128, 2**22), (250, 16 * 250 * 8 * 250)]
)
def test_defaults_of_any_width_are_within_the_limits(width, pixels):
    form, config = photograph_exports.Photographs(), export.ExportConfig()
    terms = form.terms(config, wide_run(width))
    terms.check()
    assert terms.limits.sample_pixels == pixels
    given = export.ExportConfig(max_sample_pixels=2**20)
    narrow = form.terms(given, wide_run(width))
    assert narrow.limits.sample_pixels == 2**20
    with pytest.raises(ValueError, match=r"=1048576\. Raise it, leave it out"):
        narrow.check()


def test_rows_are_photographs(photographs):
    images = np.stack([landscape(i) for i in range(3)])
    function = photographs.model.signatures["serving_default"]
    found = function(images=tf.constant(images))["samples"]
    assert found.shape == [3, 5, 18, 24, 3]
    for row, image in zip(found, images, strict=True):
        close(row, photographs.model.sample(image))


def test_golden_answer_is_given_again(photographs):
    path = photographs.folder / "assets.extra" / golden.FILE
    request, answer = golden.read(path)
    assert photographs.model.info["golden"]["signature"] == "sample"
    close(photographs.model.sample(**request), answer["samples"], atol=1e-4)


def test_only_the_generator_is_exported(photographs):
    reader = tf.train.load_checkpoint(
        str(photographs.folder / "variables" / "variables")
    )
    stored = sum(
        np.prod(shape, dtype=int)
        for shape in reader.get_variable_to_shape_map().values()
    )
    g = photographs.run.vars.params["g"]
    needed = sum(int(tf.size(x)) for x in g.values())
    assert needed <= stored < needed + 1000


def test_weights_are_halved_and_nothing_else(photographs):
    vars = photographs.run.vars
    made, read = stored.keep(vars, "float16")
    assert {x.dtype.name for x in made} == {"float16", "float32", "int64"}
    found = read()
    for a, b in zip(*map(tf.nest.flatten, (found, vars)), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=5e-4, atol=1e-7)
    np.testing.assert_array_equal(
        found.state["g"]["amplitude/sum"], vars.state["g"]["amplitude/sum"]
    )


def test_operations_have_kernels_that_servers_have(photographs):
    graph = (photographs.folder / audit.GRAPH_FILE).read_bytes()
    assert b"_XlaMustCompile" not in graph
    assert b"StatelessRandom" in graph


# What is refused, by a session that compares no shapes.


@pytest.fixture(scope="module")
def session(photographs):
    opened = Session(str(photographs.folder))
    yield opened
    opened.close()


def bad(**changes):
    return {"image": landscape(), **changes}


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (bad(num_samples=41), "num_samples is 41; expected 1 to 40"),
        (bad(num_samples=[2]), "num_samples has the shape [1]"),
        (bad(width=15), "width is 15; expected 0 or 16 to 64"),
        (bad(height=-1), "height is -1; expected 0 to 64"),
        (bad(width=65), "width is 65; expected 0 to 64"),
        (bad(random_from=4), "random_from is 4; expected 0 to 3"),
        (
            bad(num_samples=40, width=64, height=64),
            "the samples have 163840 pixels together; expected at most 131072",
        ),
        (bad(image=landscape()[..., :1]), "image has the shape [18, 24, 1]; "),
        (bad(image=landscape()[None]), "expected [h, w, 3]"),
        (bad(image=landscape()[:0]), "image has 24 x 0 pixels"),
        (bad(image=landscape(width=90)), "expected 1 to 4096 pixels"),
        (bad(image=landscape()[:2]), "expected an aspect between 1 : 8"),
        (bad(image=landscape() * 3), "image holds values from"),
        (bad(image=landscape() * np.nan), "image holds NaN"),
        (bad(seed=np.zeros(3, np.int64)), "seed has the shape [3]"),
    ],
)
def test_what_is_wrong_is_said(session, inputs, sentence):
    # All of them each time: a session makes a graph for every set of inputs.
    usual = {
        "num_samples": 5,
        "width": 0,
        "height": 0,
        "random_from": 0,
        "seed": np.zeros(2),
    }
    kinds = {"image": np.float32, "seed": np.int64}
    fed = {
        name: np.asarray(value, kinds.get(name, np.int32))
        for name, value in {**usual, **inputs}.items()
    }
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        session.run("sample", fed, seconds=60)
    assert sentence in model_lib.explain(error.value)


def test_what_is_wrong_with_two_photographs_is_said(photographs):
    model, image = photographs.model, landscape()
    for changes, sentence in (
        ({"strength": 1.5}, "strength is 1.5; expected 0 to 1"),
        ({"strength": np.nan}, "strength is nan; expected 0 to 1"),
        ({"first_scale": 4}, "first_scale is 4; expected 0 to 3"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.interpolate(image, image, **changes)
    with pytest.raises(ValueError, match="other holds values from"):
        model.interpolate(image, image * 2)
    with pytest.raises(ValueError, match=r"other_bytes\[0\] is neither"):
        model.interpolate_bytes(encoded(image), b"no picture")
    with pytest.raises(ValueError, match="the model knows no steps; expected"):
        model.adapt_and_sample(image[None])
    with pytest.raises(ValueError, match="no signature sample_prior; expected"):
        model.sample_prior()
    with pytest.raises(TypeError, match="unexpected keyword argument 'widht'"):
        model.sample(image, widht=30)


def test_narrow_files_of_many_pixels_are_refused_before_they_grow(photographs):
    tall = PIL.Image.new("RGB", (1, 4000))
    file = io.BytesIO()
    tall.save(file, "PNG")
    with pytest.raises(ValueError, match="1 x 4000 pixels; expected an aspect"):
        photographs.model.sample_bytes(file.getvalue())


# Other programs.

ALONE = """
import importlib.util, sys
sys.modules["keras"] = None
sys.modules["tf_metagan"] = None
import numpy as np
spec = importlib.util.spec_from_file_location("alone", sys.argv[1])
serve = importlib.util.module_from_spec(spec)
spec.loader.exec_module(serve)
model = serve.load(sys.argv[2])
image = np.load(sys.argv[3])
np.save(sys.argv[4], model.sample(image, num_samples=3, width=30, seed=2))
assert sys.modules["keras"] is None
"""


def test_fresh_process_without_keras_answers(photographs, tmp_path):
    image = landscape(3, width=40)
    np.save(tmp_path / "image.npy", image)
    subprocess.run(
        [
            sys.executable,
            "-c",
            ALONE,
            model_lib.__file__,
            str(photographs.folder),
            str(tmp_path / "image.npy"),
            str(tmp_path / "answer.npy"),
        ],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    expected = photographs.model.sample(image, num_samples=3, width=30, seed=2)
    close(np.load(tmp_path / "answer.npy"), expected)


@pytest.fixture
def command(photographs, tmp_path, capsys, monkeypatch):
    """Draw from two photographs: (code, out, err, path)."""
    # Loaded once is enough; the toy of test_serve is loaded by the command.
    monkeypatch.setattr(serve, "load", lambda path: photographs.model)
    for number in range(2):
        path = tmp_path / "images" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(landscape(number, 40, 30 + 10 * number)))

    def run(*words):
        path = tmp_path / "out.png"
        code = serve.main(
            [
                f"--model={photographs.folder}",
                f"--images={tmp_path / 'images'}",
                f"--output={path}",
                *words,
            ]
        )
        return code, *capsys.readouterr(), path

    return run


def test_command_draws_each_photograph(command, tmp_path):
    code, out, err, path = command("--num_samples=3", "--seed=4")
    assert (code, err) == (0, "")
    assert out == f"6 samples: {path}\n"
    plain = decoded(path.read_bytes())
    code, *_ = command("--num_samples=3", "--width=48", "--height=20")
    assert code == 0
    assert decoded(path.read_bytes()).shape != plain.shape


def test_command_blends_with_another(command, tmp_path):
    other = f"--other={tmp_path / 'images' / '1.png'}"
    found = []
    for strength in (0.2, 0.8):
        words = ("--num_samples=1", other, f"--strength={strength}")
        code, _, err, path = command(*words)
        assert (code, err) == (0, "")
        found.append(path.read_bytes())
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--steps=3"], "--steps has no meaning for this model; expected of"),
        (["--strength=0.5"], "--strength has no meaning without --other"),
        (["--width=2"], "width is 2; expected 0 or 16 to 64"),
    ],
)
def test_command_says_what_was_wrong(command, words, sentence):
    code, _, err, path = command(*words)
    assert code == 1
    assert sentence in err
    assert not path.exists()


def test_card_and_record_describe_it(photographs):
    info = json.loads((photographs.folder / "model.json").read_text())
    assert info["image"] == {
        "height": None,
        "width": 24,
        "channels": 3,
        "range": [-1, 1],
    }
    assert info["widths"] == [16, 20, 24]
    assert info["scales"] == 3
    assert info["data_licence"] == "drawn by this package (Apache-2.0)"
    text = (photographs.folder / "README.md").read_text()
    assert "The given images are landscapes drawn by formula." in text
    assert "brought to a width of 24 pixels" in text
    with PIL.Image.open(photographs.folder / "samples.png") as picture:
        assert np.asarray(picture).std() > 10


def test_evaluation_by_classes_is_refused(photographs):
    with pytest.raises(ValueError, match=r"models photographs\. Draw"):
        exported.check(photographs.model, Protocol())


def test_defaults_beyond_the_limits_are_refused(photographs):
    terms = photographs.terms
    for default, flag in ((41, "--max_samples=40"), (30, "_pixels=131072")):
        with pytest.raises(ValueError, match=flag):
            terms._replace(
                defaults=terms.defaults._replace(num_samples=default)
            ).check()
