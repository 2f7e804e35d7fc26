"""JSON of the REST protocol: what is read, what is refused, what is written."""

import base64
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from tf_metagan.serving import rest


def signature(**inputs):
    """Return a SignatureDef of {name: dtype}."""
    made = meta_graph_pb2.SignatureDef()
    for key, kind in inputs.items():
        made.inputs[key].dtype = kind.as_datatype_enum
    return made


SIGNATURES = {
    "serving_default": signature(images=tf.float32),
    "files": signature(image_bytes=tf.string, steps=tf.int32, seed=tf.int64),
}


def read(**content):
    return rest.read(json.dumps(content).encode(), SIGNATURES)


FILES = {"image_bytes": ["a"], "steps": 1, "seed": [0, 1]}


def test_columns_are_read_by_name():
    found = read(signature_name="files", inputs={**FILES, "other": None})
    assert (found.signature, found.rows) == ("files", False)
    assert found.inputs.keys() == {"image_bytes", "steps", "seed"}
    assert found.inputs["steps"].dtype == np.int32
    assert found.inputs["steps"].shape == ()
    assert found.inputs["seed"].dtype == np.int64
    assert found.inputs["image_bytes"].tolist() == [b"a"]


@pytest.mark.parametrize("name", [{}, {"signature_name": ""}])
def test_a_single_input_needs_no_name(name):
    for inputs in ([[1, 2.5]], {"images": [[1, 2.5]]}):
        found = read(inputs=inputs, **name)
        assert found.signature == "serving_default"
        np.testing.assert_array_equal(
            found.inputs["images"], np.array([[1, 2.5]], np.float32)
        )


def test_rows_get_an_axis_in_front():
    found = read(signature_name="files", instances=[FILES, FILES, FILES])
    assert found.rows
    assert found.inputs["steps"].tolist() == [1, 1, 1]
    assert found.inputs["seed"].shape == (3, 2)
    assert found.inputs["image_bytes"].shape == (3, 1)
    plain = read(instances=[[1.0], [2.0]])
    named = read(instances=[{"images": [1.0]}, {"images": [2.0]}])
    np.testing.assert_array_equal(
        plain.inputs["images"], named.inputs["images"]
    )


def test_bytes_are_base64_or_text():
    encoded = {"b64": base64.b64encode(b"\x89PNG\0").decode()}
    found = read(
        signature_name="files",
        inputs={**FILES, "image_bytes": [encoded, "é"]},
    )
    assert found.inputs["image_bytes"].tolist() == [b"\x89PNG\0", "é".encode()]
    rows = [{**FILES, "image_bytes": encoded}]
    found = read(signature_name="files", instances=rows)
    assert found.inputs["image_bytes"].tolist() == [b"\x89PNG\0"]


def test_numbers_that_are_not_finite_are_left_to_the_graph():
    body = b'{"inputs": [NaN, Infinity, 1e39, 1e999]}'
    found = rest.read(body, SIGNATURES).inputs["images"]
    assert np.isnan(found[0])
    assert np.isinf(found[1:]).all()


def test_empty_lists_have_a_shape():
    assert read(inputs=[]).inputs["images"].shape == (0,)
    assert read(inputs=[[], []]).inputs["images"].shape == (2, 0)


REFUSED = {
    "nothing": (b"", "the body is no JSON: Expecting value"),
    "no text": (b"\xff\xfe\xfd", "the body is no JSON"),
    "deep": (b"[" * 10**5, "the body is nested too deeply"),
    "digits": (b'{"inputs": ' + b"9" * 5000 + b"}", "the body is no JSON"),
    "a list": (b"[1, 2]", "the body is a list of 2 elements; expected a JSON"),
    "a number": (b"7", "the body is 7; expected a JSON object"),
    "neither": (b"{}", "the request has neither; expected either"),
    "both": (
        b'{"inputs": 1, "instances": [1]}',
        "the request has inputs and instances; expected either",
    ),
    "signature": (
        b'{"signature_name": "file", "inputs": 1}',
        'signature_name is "file"; expected one of files, serving_default',
    ),
    "name": (b'{"signature_name": [1]}', "signature_name is a list of 1"),
    "long": (
        b'{"signature_name": "' + b"x" * 999 + b'"}',
        'signature_name is "' + "x" * 59 + "...; expected",
    ),
    "rows": (b'{"instances": 3}', '"instances" is 3; expected a list of one'),
    "no rows": (b'{"instances": []}', '"instances" is a list of 0 elements'),
    "ragged": (
        b'{"inputs": [[1, 2], [3]]}',
        "images holds lists of different lengths, or lists beside something "
        "else, on axis 1",
    ),
    "mixed": (b'{"inputs": [1, [2]]}', "something else, on axis 1"),
    "nested": (
        b'{"inputs": ' + b"[" * 9 + b"1" + b"]" * 9 + b"}",
        "images is nested more than 8 lists deep",
    ),
    "text": (b'{"inputs": ["1"]}', 'images holds "1"; expected numbers'),
    "truth": (b'{"inputs": [true, 1]}', "images holds true; expected numbers"),
    "object": (
        b'{"inputs": [{"a": 1}]}',
        "images holds an object of 1 elements; expected numbers",
    ),
    "large": (
        b'{"inputs": [1' + b"0" * 400 + b"]}",
        "images holds a number that is too large; expected float32",
    ),
}
FILES_REFUSED = {
    "no names": ([1], '"inputs" names no tensors; expected image_bytes, seed'),
    "missing": (
        {"steps": 1},
        "image_bytes, seed is missing; expected image_bytes, seed, steps: this",
    ),
    "fraction": ({**FILES, "steps": 5.0}, "steps holds 5.0; expected whole"),
    "range": (
        {**FILES, "steps": 2**31},
        "steps holds 2147483648; expected -2147483648 to 2147483647",
    ),
    "low": ({**FILES, "seed": [0, -(2**63) - 1]}, "seed holds -9223372036854"),
    "base64": (
        {**FILES, "image_bytes": [{"b64": "?"}]},
        "image_bytes holds an object of 1 elements: ",
    ),
    "no base64": (
        {**FILES, "image_bytes": [{"b64": 3}]},
        'expected a text or {"b64": base64}',
    ),
    "number": ({**FILES, "image_bytes": [3]}, "image_bytes holds 3; expected"),
    "surrogate": ({**FILES, "image_bytes": ["\ud800"]}, "surrogates not"),
}
ROWS_REFUSED = {
    "plain": ([1, 2], '"instances" names no tensors'),
    "first": ([FILES, 1], "instances[1] is 1; expected an object with image"),
    "missing": ([FILES, {"seed": 1}], "image_bytes, steps is missing"),
    "other": (
        [{**FILES, "step": 1}],
        'instances[0] has "step"; expected exactly image_bytes, seed, steps',
    ),
    "ragged": (
        [FILES, {**FILES, "image_bytes": ["a", "b"]}],
        "image_bytes holds lists of different lengths",
    ),
}
BODIES = [
    *REFUSED.values(),
    *(
        (json.dumps({"signature_name": "files", form: value}).encode(), said)
        for form, cases in (
            ("inputs", FILES_REFUSED),
            ("instances", ROWS_REFUSED),
        )
        for value, said in cases.values()
    ),
]


@pytest.mark.parametrize(
    ("body", "sentence"),
    BODIES,
    ids=[*REFUSED, *FILES_REFUSED, *(f"rows {name}" for name in ROWS_REFUSED)],
)
def test_bad_requests_have_a_sentence(body, sentence):
    with pytest.raises(ValueError) as error:
        rest.read(body, SIGNATURES)
    assert sentence in str(error.value)
    assert len(str(error.value)) < 300


# ------------------------------------------------------------------- answers

SAMPLES = np.arange(6, dtype=np.float32).reshape(3, 2)
FILE = np.array([b"\x89\0", b"b\0", b""], object)


def written(*, rows=False, **outputs):
    return json.loads(rest.write(outputs, rows=rows))


def test_single_output_stands_without_its_name():
    assert written(samples=SAMPLES) == {"outputs": SAMPLES.tolist()}
    found = written(samples=SAMPLES, d_loss=np.float32(0.1))
    assert found["outputs"].keys() == {"samples", "d_loss"}
    assert np.float32(found["outputs"]["d_loss"]) == np.float32(0.1)


def test_large_arrays_are_written_in_pieces():
    large = np.random.default_rng(0).normal(size=(3, 50, 50, 2)).astype("f4")
    found = np.array(written(samples=large)["outputs"], np.float32)
    np.testing.assert_array_equal(found, large)


def test_bytes_are_base64_by_the_name_of_the_output():
    found = written(png_bytes=FILE, error=np.array([b"so", b""], object))
    coded = [base64.b64decode(x["b64"]) for x in found["outputs"]["png_bytes"]]
    assert coded == FILE.tolist()
    assert found["outputs"]["error"] == ["so", ""]


def test_rows_are_written_row_by_row():
    found = written(rows=True, samples=SAMPLES, png_bytes=FILE)
    assert [row["samples"] for row in found["predictions"]] == SAMPLES.tolist()
    last = found["predictions"][1]["png_bytes"]["b64"]
    assert base64.b64decode(last) == b"b\0"
    assert written(rows=True, samples=SAMPLES)["predictions"][2] == [4.0, 5.0]


@pytest.mark.parametrize("other", [np.float32(1), np.zeros(2)])
def test_outputs_without_common_rows_are_refused(other):
    with pytest.raises(ValueError, match='ask with "inputs", not "instances"'):
        rest.write({"samples": SAMPLES, "d_loss": other}, rows=True)


# ------------------------------------------------------------------ the rest


def test_metadata_is_what_the_server_writes():
    found = rest.metadata("toy", 3, SIGNATURES)
    assert found["model_spec"]["version"] == "3"
    described = found["metadata"]["signature_def"]["signature_def"]
    assert described["serving_default"]["inputs"]["images"] == {
        "dtype": "DT_FLOAT"
    }
    assert rest.status(3)["model_version_status"][0]["state"] == "AVAILABLE"
