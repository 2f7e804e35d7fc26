"""An export behind TensorFlow Serving, by what the server runs.

The server itself is in no package registry; `double` runs the model as it does.
"""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import kernels
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from tests.exporting.exports import images
from tests.serving import double
from tf_metagan.exporting import audit
from tf_metagan.serving.session import Session

GOOD = images(3)
SEED = np.array([1, 2], np.int64)
SCALARS = {"num_samples": np.int32(2), "steps": np.int32(1), "seed": SEED}
PNG = tf.io.encode_png(np.zeros([20, 20, 1], np.uint8)).numpy()
REQUESTS = {
    "serving_default": {"images": GOOD},
    "adapt_and_sample": {"images": GOOD, **SCALARS},
    "adapt_and_sample_bytes": {
        "image_bytes": np.array([PNG, PNG], object),
        **SCALARS,
    },
    "adapt_and_sample_batch": {
        "images": GOOD[None],
        "num_images": np.zeros([1], np.int32),
        **{key: value[None] for key, value in SCALARS.items()},
    },
    "sample_prior": {"num_samples": np.int32(2), "seed": SEED},
    "adapt": {"batches": GOOD[None], "steps": np.int32(1), "seed": SEED},
    "sample_adapted": {
        "weights": np.linspace(-0.1, 0.1, 2349, dtype=np.float32),
        "num_samples": np.int32(2),
        "seed": SEED,
    },
}


def request(signature, inputs, **spec):
    """Return a PredictRequest."""
    made = predict_pb2.PredictRequest()
    made.model_spec.name = spec.get("name", "toy")
    made.model_spec.signature_name = signature
    for key, value in inputs.items():
        made.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return made


def arrays(answer):
    return {key: tf.make_ndarray(x) for key, x in answer.outputs.items()}


def refused(stub, asked):
    """Return the code and the text of an error."""
    with pytest.raises(grpc.RpcError) as error:
        stub.Predict(asked, timeout=60)
    return error.value.code(), error.value.details()


# ------------------------------------------------------------ the signatures


@pytest.mark.parametrize("name", REQUESTS)
def test_every_signature_answers_by_tensor_names(stubs, toy, name):
    found = arrays(stubs[0].Predict(request(name, REQUESTS[name])))
    tensors = {k: tf.constant(v) for k, v in REQUESTS[name].items()}
    expected = toy.model.signatures[name](**tensors)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if value.dtype == tf.string:
            assert found[key].shape == value.shape
        else:
            # Threads share the work otherwise.
            np.testing.assert_allclose(found[key], value, atol=1e-4)


def test_requests_cover_every_signature(toy):
    assert set(REQUESTS) == set(toy.model.signatures)


def test_players_that_see_the_task_are_served(exemplar):
    session = Session(str(exemplar.folder))
    adapted = session.run("adapt", REQUESTS["adapt"], seconds=60)
    inputs = {"weights": adapted["weights"], "images": GOOD}
    found = session.run("sample_adapted", inputs, seconds=60)
    assert found["samples"].shape == (5, 16, 16, 1)
    other = session.run(
        "sample_adapted", {**inputs, "images": images(3, seed=1)}, seconds=60
    )
    assert np.abs(found["samples"] - other["samples"]).max() > 1e-3
    session.close()


def test_empty_name_is_the_default_signature(stubs):
    answer = stubs[0].Predict(request("", REQUESTS["serving_default"]))
    assert answer.model_spec.signature_name == "serving_default"
    assert answer.model_spec.version.value == 1
    assert arrays(answer)["samples"].shape == (5, 16, 16, 1)


def test_inputs_with_defaults_may_be_left_out(stubs):
    full = {"num_samples": np.int32(5), "steps": np.int32(2), "seed": [0, 0]}
    full["seed"] = np.zeros(2, np.int64)
    given, left_out = (
        arrays(stubs[0].Predict(request("adapt_and_sample", inputs)))
        for inputs in ({"images": GOOD, **full}, {"images": GOOD})
    )
    np.testing.assert_allclose(given["samples"], left_out["samples"], atol=1e-4)


def test_output_filter_leaves_out_the_rest(stubs):
    asked = request("adapt_and_sample", {"images": GOOD})
    asked.output_filter.append("d_loss")
    assert arrays(stubs[0].Predict(asked)).keys() == {"d_loss"}
    asked.output_filter.append("d_los")
    assert refused(stubs[0], asked)[0] == grpc.StatusCode.INVALID_ARGUMENT


# ------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("signature", "inputs", "name", "code"),
    [
        ("adapt_and_sampl", {}, "toy", "FAILED_PRECONDITION"),
        ("sample_prior", {}, "other", "NOT_FOUND"),
        ("adapt_and_sample", {}, "toy", "INVALID_ARGUMENT"),
        (
            "sample_prior",
            {"steps": np.int32(1)},
            "toy",
            "INVALID_ARGUMENT",
        ),
        (
            "sample_prior",
            {"num_samples": np.int64(1)},
            "toy",
            "INVALID_ARGUMENT",
        ),
    ],
)
def test_wrong_requests_have_their_code(stubs, signature, inputs, name, code):
    asked = request(signature, inputs, name=name)
    assert refused(stubs[0], asked)[0] == grpc.StatusCode[code]


def test_sentence_of_the_graph_survives_the_cut(stubs):
    code, text = refused(
        stubs[0], request("sample_prior", {"num_samples": np.int32(601)})
    )
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "num_samples is 601; expected 1 to 600" in text
    assert len(text) <= 1024


def test_deadline_interrupts_the_model(stubs):
    asked = request(
        "adapt_and_sample",
        {"images": GOOD, **SCALARS, "steps": np.int32(20)},
    )
    with pytest.raises(grpc.RpcError) as error:
        stubs[0].Predict(asked, timeout=0.002)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(arrays(stubs[0].Predict(asked, timeout=60))["samples"]) == 2


# --------------------------------------------------- metadata, status, start


def test_metadata_holds_signatures_and_defaults(stubs, toy):
    asked = get_model_metadata_pb2.GetModelMetadataRequest()
    asked.model_spec.name = "toy"
    asked.metadata_field.append("signature_def")
    found = get_model_metadata_pb2.SignatureDefMap()
    stubs[0].GetModelMetadata(asked).metadata["signature_def"].Unpack(found)
    described = found.signature_def["adapt_and_sample"]
    assert tf.make_ndarray(described.defaults["steps"]) == 2
    rows = toy.model.info["signatures"]["adapt_and_sample"]["inputs"]
    for key, info in described.inputs.items():
        assert info.name == rows[key]["tensor"]


def test_status_is_available(stubs):
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "toy"
    (row,) = stubs[1].GetModelStatus(asked).model_version_status
    assert row.version == 1
    assert row.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE


def test_warm_up_file_is_answered(stubs, toy):
    logs = double.warm_up(toy.folder)
    asked = [log.predict_log.request for log in logs]
    assert {x.model_spec.name for x in asked} == {"toy"}
    assert [x.model_spec.signature_name for x in asked] == [
        "serving_default",
        "adapt_and_sample",
        "adapt_and_sample_bytes",
        "sample_prior",
    ]
    for one in asked:
        answer = stubs[0].Predict(one, timeout=60)
        assert answer.outputs


# ------------------------------------------------------------ the operations


def operations(folder):
    """Return the names of the operations in a SavedModel, functions apart."""
    graph = (folder / audit.GRAPH_FILE).read_bytes()
    model = saved_model_pb2.SavedModel.FromString(graph)
    graphs = [each.graph_def for each in model.meta_graphs]
    own = {one.signature.name for g in graphs for one in audit.functions(g)}
    return {node.op for g in graphs for node in audit.nodes(g)} - own


def without_kernel(names):
    """Return those that neither the CPU nor every device can compute."""

    def devices(name):
        found = kernels.get_registered_kernels_for_op(name)
        return {kernel.device_type for kernel in found.kernel}

    return {name for name in names if not {"CPU", "DEFAULT"} & devices(name)}


@pytest.mark.parametrize("kind", ["toy", "exemplar"])
def test_every_operation_has_a_kernel_in_the_c_library(kind, request):
    names = operations(request.getfixturevalue(kind).folder)
    assert {"Assert", "MatMul"} <= names
    assert without_kernel(names) == set()
    assert without_kernel({"Add>2", "Conv2D"}) == {"Add>2"}
