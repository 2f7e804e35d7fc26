"""Requests of every kind, asked as a server asks: without a look at shapes.

What is right is written down here a second time, in NumPy: a request that is
right has an answer that is in order, any other a sentence. Nothing else may
happen.
"""

import math
import struct

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.exporting.exports import LIMITS, SIZE, images
from tf_metagan import serve

FRAME = (SIZE, SIZE, 1)
WEIGHTS = 2349  # of the toy run
PNG = tf.io.encode_png(np.full([9, 12, 1], 40, np.uint8)).numpy()
JPEG = tf.io.encode_jpeg(np.full([9, 12, 3], 40, np.uint8)).numpy()

fuzz = settings(
    max_examples=60,
    # The session is the same for all examples, and changes nothing.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

sides = st.sampled_from([0, 1, 2, 3, SIZE - 1, SIZE])
any_shape = st.lists(sides, max_size=5).filter(lambda x: math.prod(x) < 9000)
bad_value = st.sampled_from([np.nan, np.inf, -np.inf, 1.01, -1.5, 255.0, 3e38])


def mostly(usual, odd):
    """Draw what is right three times out of four."""
    return st.integers(0, 3).flatmap(lambda n: odd if n == 0 else usual)


@st.composite
def pictures(draw, *leading):
    """Draw float images of any shape, of which one value may be bad."""
    usual = st.tuples(*leading, *(st.just(side) for side in FRAME))
    shape = tuple(draw(mostly(usual, any_shape)))
    values = images(1, seed=draw(st.integers(0, 3)), shape=shape)[0]
    if values.size and draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, values.size - 1))
        values.flat[place] = draw(bad_value)
    return values


@st.composite
def whole(draw, low, high, *, dtype=np.int32, shape=()):
    """Draw a whole number, or several, that may be too small or large."""
    far = np.iinfo(dtype)
    odd = st.sampled_from([far.min, -1, 0, high + 1, 10**9, far.max])
    size = draw(mostly(st.just(shape), st.lists(st.integers(0, 3), max_size=2)))
    numbers = st.one_of(st.integers(low, high), odd)
    number = draw(mostly(st.integers(low, min(high, low + 4)), numbers))
    return np.full(size, number, dtype)


seeds = whole(0, 2**40, dtype=np.int64, shape=(2,))
num_samples = whole(1, LIMITS.samples)
steps = whole(0, LIMITS.steps)


def right_images(value, *, axes=1, most=LIMITS.images):
    shape = value.shape
    return (
        len(shape) == axes + 3
        and shape[axes:] == FRAME
        and 1 <= math.prod(shape[:axes]) <= most
        and bool(np.isfinite(value).all())
        and bool((np.abs(value) <= 1).all())
    )


def right_number(value, low, high):
    return value.shape == () and low <= value <= high


def right_samples(value, most=LIMITS.samples):
    return right_number(value, 1, most)


def right_work(value, number):
    return (
        right_number(value, 0, LIMITS.steps)
        and int(value) * number <= LIMITS.step_images
    )


def right_seed(value):
    return value.shape == (2,)


def ask(session, right, signature, **inputs):
    """Return the answer to a right request; None to one that is refused."""
    if not right:
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="assertion failed"
        ) as error:
            session(signature, **inputs)
        sentence = serve.explain(error.value)
        assert "expected" in sentence
        assert len(sentence) < 400
        return None
    answer = session(signature, **inputs)
    for value in answer.values():
        assert value.dtype == object or np.isfinite(value).all()
    return answer


@fuzz
@given(pictures(st.integers(0, 9)), num_samples, steps, seeds)
@example(images(3), np.int32(2), np.int32(1), np.array([1, 2]))
def test_adapt_and_sample(session, images, num_samples, steps, seed):
    right = (
        right_images(images)
        and right_samples(num_samples)
        and right_work(steps, min(len(images), 4))
        and right_seed(seed)
    )
    answer = ask(
        session,
        right,
        "adapt_and_sample",
        images=images,
        num_samples=num_samples,
        steps=steps,
        seed=seed,
    )
    if answer:
        assert answer["samples"].shape == (num_samples, *FRAME)
        assert np.abs(answer["samples"]).max() <= 1


@fuzz
@given(pictures(st.integers(0, 9)))
def test_serving_default(session, images):
    right = right_images(images)
    answer = ask(session, right, "serving_default", images=images)
    assert answer is None or answer["samples"].shape == (5, *FRAME)


@fuzz
@given(num_samples, seeds)
def test_sample_prior(session, num_samples, seed):
    right = right_samples(num_samples) and right_seed(seed)
    answer = ask(
        session, right, "sample_prior", num_samples=num_samples, seed=seed
    )
    assert answer is None or answer["samples"].shape == (num_samples, *FRAME)


@fuzz
@given(pictures(st.integers(0, 3), st.integers(0, 9)), steps, seeds)
def test_adapt(session, batches, steps, seed):
    right = (
        right_images(batches, axes=2, most=LIMITS.step_images)
        and right_work(steps, batches.shape[1])
        and right_seed(seed)
    )
    answer = ask(
        session, right, "adapt", batches=batches, steps=steps, seed=seed
    )
    assert answer is None or answer["weights"].shape == (WEIGHTS,)


@fuzz
@given(
    mostly(st.just([WEIGHTS]), any_shape),
    mostly(st.just(0.1), st.sampled_from([np.nan, np.inf, -1.5, 255.0])),
    num_samples,
    seeds,
)
def test_sample_adapted(session, shape, value, num_samples, seed):
    weights = np.full(shape, 0.1, np.float32)
    weights.flat[-1:] = value
    right = (
        shape == [WEIGHTS]
        and np.isfinite(value)
        and right_samples(num_samples)
        and right_seed(seed)
    )
    inputs = {"weights": weights, "num_samples": num_samples, "seed": seed}
    answer = ask(session, right, "sample_adapted", **inputs)
    assert answer is None or answer["samples"].shape == (num_samples, *FRAME)


# A batch: what is wrong with a row stands in that row.


@fuzz
@given(st.data())
def test_adapt_and_sample_batch(session, data):
    draw = data.draw
    tasks = draw(st.integers(0, LIMITS.tasks + 1))
    number = draw(st.integers(0, 5))
    rows = [
        {
            "images": images(number, seed=row),
            "num_images": draw(mostly(st.just(0), st.integers(-1, 6))),
            "num_samples": draw(whole(1, 3).filter(lambda x: x.shape == ())),
            "steps": draw(whole(0, 3).filter(lambda x: x.shape == ())),
            "seed": [row, 7],
        }
        for row in range(tasks)
    ]
    for row in rows:
        if number and draw(st.integers(0, 3)) == 0:
            row["images"][0, 3, 3, 0] = draw(bad_value)
    inputs = {
        "images": np.zeros([0, number, *FRAME], np.float32),
        "seed": np.zeros([0, 2], np.int64),
        **{name: [] for name in ("num_images", "num_samples", "steps")},
    }
    if rows:
        inputs = {name: np.stack([r[name] for r in rows]) for name in rows[0]}
    cut = draw(mostly(st.none(), st.sampled_from(sorted(inputs))))
    if cut:
        inputs[cut] = inputs[cut][1:]
    right = 1 <= tasks <= LIMITS.tasks and not cut
    answer = ask(session, right, "adapt_and_sample_batch", **inputs)
    if answer is None:
        return
    for place, row in enumerate(rows):
        counted = row["num_images"] or number
        fine = (
            0 <= row["num_images"] <= number
            and right_images(row["images"][:counted])
            and right_samples(row["num_samples"], LIMITS.row_samples)
            and right_work(row["steps"], min(counted, 4))
        )
        sentence = answer["error"][place].decode()
        assert fine == (sentence == ""), (row, sentence)
        assert fine == answer["samples"][place].any()
        assert fine or "expected" in sentence


# Files.

header = st.builds(
    lambda w, h: PNG[:16] + struct.pack(">II", w, h) + PNG[24:],
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
)
broken = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"GIF89a" + b"\0" * 30, b"BM" + b"\0" * 60]),
    st.builds(lambda n: PNG[:n], st.integers(0, len(PNG) - 1)),
    st.builds(lambda n: JPEG[:n], st.integers(0, len(JPEG) - 3)),
    header,
)
flipped = st.builds(
    lambda file, place, value: (
        file[: place % len(file)]
        + bytes([value])
        + file[place % len(file) + 1 :]
    ),
    st.sampled_from([PNG, JPEG]),
    st.integers(0, 10**4),
    st.integers(0, 255),
)


@settings(fuzz, max_examples=80)
@given(st.lists(mostly(st.sampled_from([PNG, JPEG]), broken), max_size=9))
def test_files_that_are_broken_are_refused(session, files):
    right = 1 <= len(files) <= LIMITS.images and all(
        file in (PNG, JPEG) for file in files
    )
    check_files(session, files, right=right)


@settings(fuzz, max_examples=80)
@given(flipped)
def test_files_with_another_byte_are_answered_or_refused(session, file):
    check_files(session, [PNG, file], right=None)


def check_files(session, files, *, right):
    inputs = {
        "image_bytes": np.array(files, object),
        "num_samples": 1,
        "steps": 0,
    }
    try:
        (file,) = session("adapt_and_sample_bytes", **inputs)["png_bytes"]
    except tf.errors.InvalidArgumentError as error:
        sentence = serve.explain(error)
    else:
        sentence = ""
        assert tf.io.decode_png(file).shape == FRAME
    # TensorFlow's decoders have words of their own.
    assert right is None or right == (sentence == ""), sentence
    assert right or not sentence or len(sentence.split()) > 1
    assert sentence.isprintable()


# Types, which the graph itself cannot look at.


@pytest.mark.parametrize("dtype", [tf.float64, tf.int32, tf.uint8, tf.string])
@pytest.mark.parametrize("name", ["images", "num_samples", "steps", "seed"])
def test_other_types_are_refused(toy, name, dtype):
    inputs = {
        "images": tf.constant(images(2)),
        "num_samples": tf.constant(1),
        "steps": tf.constant(1),
        "seed": tf.constant([0, 1], tf.int64),
    }
    if inputs[name].dtype == dtype:
        return
    text = dtype == tf.string
    change = tf.strings.as_string if text else lambda x: tf.cast(x, dtype)
    inputs[name] = change(inputs[name])
    with pytest.raises((TypeError, tf.errors.InvalidArgumentError)) as error:
        toy.model.signatures["adapt_and_sample"](**inputs)
    assert "expected" in str(error.value)
