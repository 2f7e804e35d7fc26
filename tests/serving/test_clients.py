"""Clients answer as the model in this program, by either protocol."""

import io
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tests import runs
from tests.exporting.exports import images
from tests.serving import double
from tf_metagan import serve

# Another division of work among threads adds in another order, and the inner
# optimiser enlarges that.
_ATOL = 1e-4

GOOD = images(3)
PNG = [
    tf.io.encode_png(np.full([20, 20, 1], level, np.uint8)).numpy()
    for level in (0, 90, 255)
]
ASKED = {"num_samples": 4, "steps": 3, "seed": (5, 6)}

CALLS = {
    "floats": lambda model: model.adapt_and_sample(GOOD, **ASKED),
    "defaults": lambda model: model.adapt_and_sample(GOOD),
    "batch": lambda model: model.adapt_and_sample_batch(
        np.stack([GOOD, GOOD * np.float32(0.5)]), num_images=[0, 2], **ASKED
    ),
    "prior": lambda model: model.sample_prior(num_samples=3, seed=2),
    "adapt": lambda model: model.adapt(GOOD[None], steps=2, seed=1),
    "draw": lambda model: model.sample_adapted(
        serve.Adapted(tf.linspace(-0.1, 0.1, 2349), GOOD, None, None),
        num_samples=2,
        seed=3,
    ),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_answers_are_those_of_the_loaded_model(remote, toy, call):
    expected, found = (tf.nest.flatten(call(x)) for x in (toy.model, remote))
    for one, other in zip(expected, found, strict=True):
        if one is None or one.dtype == tf.string:
            np.testing.assert_array_equal(one, other)
            continue
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, atol=_ATOL)


def test_encoded_images_come_back_encoded(remote, toy):
    answer, expected = (
        model.adapt_and_sample_bytes(PNG, **ASKED)
        for model in (remote, toy.model)
    )
    assert answer.samples.shape == [4]
    for one, other in zip(answer.samples, expected.samples, strict=True):
        levels = [
            tf.cast(tf.io.decode_png(png), tf.int32) for png in (one, other)
        ]
        # Values that fall on another side of a half differ by a level.
        assert np.abs(levels[0] - levels[1]).max() <= 1
    np.testing.assert_allclose(answer.d_loss, expected.d_loss, atol=_ATOL)


def test_bad_rows_of_a_batch_have_their_sentence(remote):
    rows = np.stack([GOOD, GOOD * np.float32(3.0)])
    answer = remote.adapt_and_sample_batch(rows, **ASKED)
    assert answer.error[0] == b""
    assert answer.error[1].numpy().startswith(b"images holds values from")


def test_what_the_model_refuses_is_a_sentence(remote):
    with pytest.raises(ValueError, match=r"^there are 9 images; .* 1 to 8$"):
        remote.adapt_and_sample(images(9))
    with pytest.raises(ValueError, match=r"^steps is -1; expected 0 to 20$"):
        remote.adapt_and_sample(GOOD, steps=-1)
    with pytest.raises(ValueError, match=r"^images have the shape \[3, 8, 8"):
        remote.adapt_and_sample(GOOD[:, :8, :8])
    assert remote.sample_prior(num_samples=1).shape == [1, 16, 16, 1]


@pytest.fixture(params=["http", "grpc"])
def server(request, rest, grpc_address):
    return rest if request.param == "http" else f"grpc://{grpc_address}"


def test_model_that_is_not_there_is_said(server):
    with pytest.raises(ValueError, match="other"):
        serve.connect(server, "other")
    with pytest.raises(ValueError, match="toy"):
        serve.connect(server, "toy", version=9)
    assert serve.connect(server, "toy", version=1).info["defaults"] == {
        "num_samples": 5,
        "seed": [0, 0],
        "steps": 2,
    }


def test_time_limit_is_kept_and_the_next_request_answered(server):
    model = serve.connect(server, "toy")
    model._seconds = 0.002
    with pytest.raises(
        TimeoutError, match=r"within 0\.002 s|DEADLINE_EXCEEDED"
    ):
        model.adapt_and_sample(GOOD, steps=20, num_samples=600)
    model._seconds = 60.0
    model.adapt_and_sample(GOOD, steps=1)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_absent_server_is_said(scheme):
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
        serve.connect(f"{scheme}://127.0.0.1:9", "toy", seconds=5)


@pytest.mark.parametrize(
    "body", [b"<html>", b'{"status": "ok"}', b"[1]", b'{"metadata": null}']
)
def test_server_of_something_else_is_said(body, monkeypatch):
    monkeypatch.setattr(
        urllib.request, "urlopen", lambda *_, **__: io.BytesIO(body)
    )
    with pytest.raises(ConnectionError, match="does not speak TensorFlow"):
        serve.connect("http://127.0.0.1:9", "toy")


@pytest.mark.parametrize("server", ["127.0.0.1:8501", "grpc://", "ftp://x"])
def test_other_protocols_are_refused(server):
    with pytest.raises(ValueError, match=r"expected http://HOST:8501 \(REST\)"):
        serve.connect(server, "toy")


def test_default_that_the_server_does_not_tell_must_be_given(remote):
    older = {
        name: type(signature).FromString(signature.SerializeToString())
        for name, signature in remote.signatures.items()
    }
    for signature in older.values():
        signature.defaults.clear()
    model = object.__new__(type(remote))
    model.__dict__.update(remote.__dict__)
    super(type(remote), model).__init__(older)
    with pytest.raises(ValueError, match="steps is not given, and the server"):
        model.adapt_and_sample(GOOD, num_samples=1)
    answer = model.adapt_and_sample(GOOD, **ASKED)
    assert len(answer.samples) == 4
    del older["adapt_and_sample"]
    with pytest.raises(ValueError, match="has no signature adapt_and_sample"):
        model.adapt_and_sample(GOOD, **ASKED)
    with pytest.raises(ValueError, match="expected an export of tf_metagan"):
        super(type(remote), model).__init__(older)


class _Large(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers with more than the 4 MB that a client takes by default."""

    def __init__(self, served):
        self.GetModelMetadata = served.GetModelMetadata

    def Predict(self, request, context):
        answer = predict_pb2.PredictResponse()
        large = np.zeros([5000, 16, 16, 1], np.float32)
        answer.outputs["samples"].CopyFrom(tf.make_tensor_proto(large))
        return answer


def test_grpc_takes_answers_of_any_size(served):
    with double.listening(_Large(served)) as address:
        model = serve.connect(f"grpc://{address}", "toy")
        assert len(model.sample_prior()) == 5000
        model.close()


def test_absent_serving_api_is_said():
    code = """
import sys
sys.modules["tensorflow_serving"] = None
from tf_metagan import serve
try:
    serve.connect("grpc://127.0.0.1:9", "toy")
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert "gRPC needs tensorflow-serving-api" in done.stdout
    assert f"=={tf.__version__.rpartition('.')[0]}.*'" in done.stdout


def test_command_draws_by_a_server(server, toy, tmp_path, capsys):
    runs.write_pictures(tmp_path / "images", 6, size=40)
    path = tmp_path / "out.png"
    words = ["--num_samples=3", "--steps=1", f"--images={tmp_path / 'images'}"]
    to_server = [f"--server={server}", "--model_name=toy", f"--output={path}"]
    assert serve.main([*to_server, *words]) == 0
    assert capsys.readouterr().out == f"3 samples: {path}\n"
    here = tmp_path / "here.png"
    assert (
        serve.main([f"--model={toy.folder}", f"--output={here}", *words]) == 0
    )
    pictures = [
        tf.cast(tf.io.decode_png(p.read_bytes()), tf.int32)
        for p in (path, here)
    ]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    capsys.readouterr()
    assert serve.main([*to_server, *words, "--seed=1", "--steps=99"]) == 1
    assert "steps is 99; expected 0 to 20" in capsys.readouterr().err
