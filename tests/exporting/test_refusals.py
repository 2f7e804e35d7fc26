"""Every bad request has its sentence, from Python and as a server runs it."""

import numpy as np
import pytest
import tensorflow as tf

from tests.exporting.exports import Session, images, toy_run
from tf_metagan import serve
from tf_metagan.exporting.adapter import Adapter

GOOD = images(3)
PNG = tf.io.encode_png(np.zeros([20, 20, 1], np.uint8)).numpy()
JPEG = tf.io.encode_jpeg(np.zeros([20, 20, 3], np.uint8)).numpy()
LARGE = tf.io.encode_png(np.zeros([70, 70, 1], np.uint8)).numpy()

# (signature, inputs, sentence)
REFUSED = {
    "no images": (
        "adapt_and_sample",
        {"images": GOOD[:0]},
        "there are 0 images; expected 1 to 8",
    ),
    "too many images": (
        "adapt_and_sample",
        {"images": images(9)},
        "there are 9 images; expected 1 to 8",
    ),
    "NaN": (
        "adapt_and_sample",
        {"images": GOOD * np.nan},
        "images holds NaN or infinite values; expected numbers in [-1, 1]",
    ),
    "infinite": (
        "serving_default",
        {"images": GOOD * np.inf},
        "images holds NaN or infinite values; expected numbers in [-1, 1]",
    ),
    "bytes as floats": (
        "adapt_and_sample",
        {"images": np.round(GOOD * 127.5 + 127.5) * 0 + 255},
        "images holds values from 255 to 255; expected [-1, 1]: byte / 127.5 "
        "- 1",
    ),
    "negative steps": (
        "adapt_and_sample",
        {"images": GOOD, "steps": -1},
        "steps is -1; expected 0 to 20",
    ),
    "too many steps": (
        "adapt_and_sample",
        {"images": GOOD, "steps": 10**9},
        "steps is 1000000000; expected 0 to 20",
    ),
    "too much work": (
        "adapt",
        {"batches": np.stack([images(8)]), "steps": 11},
        "steps times the images of a step is 88; expected at most 80",
    ),
    "too many batches": (
        "adapt",
        {"batches": np.stack([images(8)] * 11), "steps": 1},
        "there are 88 images in batches; expected 1 to 80",
    ),
    "no samples": (
        "sample_prior",
        {"num_samples": 0},
        "num_samples is 0; expected 1 to 600",
    ),
    "too many samples": (
        "sample_prior",
        {"num_samples": 10**8},
        "num_samples is 100000000; expected 1 to 600",
    ),
    "no files": (
        "adapt_and_sample_bytes",
        {"image_bytes": np.zeros([0], object)},
        "there are 0 image_bytes; expected 1 to 8",
    ),
    "no picture": (
        "adapt_and_sample_bytes",
        {"image_bytes": [PNG, JPEG, b"GIF89a"]},
        "image_bytes[2] is neither a PNG nor a JPEG file; expected one of "
        "these",
    ),
    "large picture": (
        "adapt_and_sample_bytes",
        {"image_bytes": [LARGE]},
        "image_bytes[0] has 70 x 70 pixels; expected at most 4096",
    ),
    "half a PNG file": (
        "adapt_and_sample_bytes",
        {"image_bytes": [PNG[:40]]},
        "Invalid PNG",
    ),
    "half a JPEG file": (
        "adapt_and_sample_bytes",
        {"image_bytes": [JPEG[:-60]]},
        "Invalid JPEG data",
    ),
    "no tasks": (
        "adapt_and_sample_batch",
        {
            "images": np.zeros([0, 2, 16, 16, 1]),
            "num_images": [],
            "num_samples": [],
            "steps": [],
            "seed": np.zeros([0, 2]),
        },
        "there are 0 tasks; expected 1 to 4",
    ),
    "weights that are not finite": (
        "sample_adapted",
        {"weights": np.full([2349], np.nan)},
        "weights has 0 finite numbers; expected 2349, those of one adaptation",
    ),
}

# What Python itself refuses, in its own words.
BY_SHAPE = {
    "rank": (
        "adapt_and_sample",
        {"images": GOOD[0]},
        "images has the shape [16, 16, 1]; expected [K, 16, 16, 1]",
    ),
    "channels": (
        "adapt_and_sample",
        {"images": np.zeros([3, 16, 16, 2])},
        "images has the shape [3, 16, 16, 2]; expected [K, 16, 16, 1]",
    ),
    "size": (
        "serving_default",
        {"images": np.zeros([3, 28, 28, 1])},
        "images has the shape [3, 28, 28, 1]; expected [K, 16, 16, 1]",
    ),
    "a number for batches": (
        "adapt",
        {"batches": 0.5},
        "batches has the shape []; expected [B, n, 16, 16, 1]",
    ),
    "rank of batches": (
        "adapt",
        {"batches": GOOD},
        "batches has the shape [3, 16, 16, 1]; expected [B, n, 16, 16, 1]",
    ),
    "long seed": (
        "adapt_and_sample",
        {"images": GOOD, "seed": [1, 2, 3]},
        "seed has the shape [3]; expected [2]",
    ),
    "short seed": (
        "sample_prior",
        {"seed": [1]},
        "seed has the shape [1]; expected [2]",
    ),
    "seed without axis": (
        "sample_prior",
        {"seed": 3},
        "seed has the shape []; expected [2]",
    ),
    "steps with an axis": (
        "adapt_and_sample",
        {"images": GOOD, "steps": [1]},
        "steps has the shape [1]; expected a single number",
    ),
    "samples with an axis": (
        "sample_prior",
        {"num_samples": [1]},
        "num_samples has the shape [1]; expected a single number",
    ),
    "weights of another model": (
        "sample_adapted",
        {"weights": np.zeros([7])},
        "weights has 7 finite numbers; expected 2349, those of one adaptation",
    ),
    "tasks that differ": (
        "adapt_and_sample_batch",
        {
            "images": GOOD[:, None],
            "num_images": [0, 0, 0],
            "num_samples": [1, 1],
            "steps": [1, 1, 1],
            "seed": [[0, 0]] * 3,
        },
        "num_samples has the shape [2]; expected one row for each of the 3 "
        "tasks",
    ),
}


def ids(cases):
    return pytest.mark.parametrize("case", cases.values(), ids=list(cases))


@ids(REFUSED)
def test_python_hears_the_sentence(toy, case):
    signature, inputs, sentence = case
    described = toy.model.info["signatures"][signature]["inputs"]
    tensors = {
        name: tf.constant(inputs.get(name, row.get("default")), row["dtype"])
        for name, row in described.items()
    }
    with pytest.raises(ValueError) as error:
        toy.model._call(signature, **tensors)
    assert sentence in str(error.value)
    assert "node" not in str(error.value)


@ids({**REFUSED, **BY_SHAPE})
def test_session_that_checks_no_shapes_hears_the_sentence(session, case):
    signature, inputs, sentence = case
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        session(signature, **inputs)
    assert sentence in error.value.message


def test_session_answers_with_defaults_and_without(session, toy):
    found = session("adapt_and_sample", images=GOOD)
    expected = toy.model.adapt_and_sample(GOOD)
    # The session divides its work among threads otherwise.
    np.testing.assert_allclose(found["samples"], expected.samples, atol=1e-4)
    found = session(
        "adapt_and_sample", images=GOOD, num_samples=2, steps=0, seed=[7, 7]
    )
    prior = toy.model.sample_prior(num_samples=2, seed=(7, 7))
    np.testing.assert_allclose(found["samples"], prior, atol=1e-5)


def test_a_number_for_remembered_images_is_said(exemplar, tmp_path):
    session = Session(exemplar.folder, tmp_path / "copy")
    size = exemplar.model.signatures["adapt"].structured_outputs["weights"]
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        session(
            "sample_adapted", weights=np.zeros(size.shape), images=np.float32(0)
        )
    sentence = "images has the shape []; expected [K, 16, 16, 1]"
    assert sentence in error.value.message
    session.close()


def test_images_of_another_size_fail_in_their_rows(session):
    found = session(
        "adapt_and_sample_batch",
        images=np.zeros([2, 3, 16, 16, 2]),
        num_images=[0, 0],
        num_samples=[1, 1],
        steps=[1, 1],
        seed=[[0, 0]] * 2,
    )
    sentence = b"images has the shape [3, 16, 16, 2]; expected [K, 16, 16, 1]"
    assert found["error"].tolist() == [sentence] * 2
    assert not found["samples"].any()


def test_divergence_is_a_sentence_and_never_a_picture(toy):
    run = toy_run(algo="fomaml", inner_rate=1e38)
    far = Adapter(run.algorithm, run.vars, toy.terms)
    inputs = (tf.constant(2), tf.constant(3), tf.constant([0, 0], tf.int64))
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        far.adapt_and_sample(tf.constant(GOOD), *inputs)
    assert "the adaptation diverged" in serve.explain(error.value)
    rows = [tf.repeat(value[tf.newaxis], 2, 0) for value in inputs]
    both = tf.constant(np.stack([GOOD] * 2))
    rows[1] = tf.constant([3, 0])
    found = far.adapt_and_sample_batch(both, tf.constant([0, 0]), *rows)
    assert "the adaptation diverged" in found["error"][0].numpy().decode()
    assert found["error"][1] == b""
    assert not found["samples"][0].numpy().any()


def test_shapes_are_said_in_words_by_the_library(toy):
    with pytest.raises(ValueError, match=r"\[3, 8, 8, 1\]; expected \[K, 16"):
        toy.model.adapt_and_sample(np.zeros([3, 8, 8, 1]))
