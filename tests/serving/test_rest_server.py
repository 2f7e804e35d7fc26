"""The local server: routes, errors, limits, overload."""

import base64
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.exporting.exports import images
from tests.serving import asking
from tf_metagan.serving import rest_server
from tf_metagan.serving import session as session_lib
from tf_metagan.serving.http_server import Limits

GOOD = images(3)
SCALARS = {"num_samples": 4, "steps": 1, "seed": [1, 2]}
REQUEST = {
    "signature_name": "adapt_and_sample",
    "inputs": {"images": GOOD.tolist(), **SCALARS},
}
PATH = "/v1/models/toy:predict"


def refused(found, status, sentence):
    assert found.status == status
    assert found.content.keys() == {"error"}
    assert sentence in found.content["error"]


# ------------------------------------------------------------------ requests


def test_columns_are_answered_by_name(rest, toy):
    found = asking.predict(rest, REQUEST)
    assert found.status == 200
    expected = toy.model.adapt_and_sample(GOOD, **SCALARS)
    for key, value in found.content["outputs"].items():
        np.testing.assert_allclose(value, getattr(expected, key), atol=1e-4)


def test_images_as_rows_are_answered_row_by_row(rest, toy):
    found = asking.predict(rest, {"instances": GOOD.tolist()})
    samples = np.array(found.content["predictions"], np.float32)
    expected = toy.model.adapt_and_sample(GOOD).samples
    np.testing.assert_allclose(samples, expected, atol=1e-4)


def test_tasks_as_rows_are_answered_row_by_row(rest):
    row = {"images": GOOD.tolist(), "num_images": 0, **SCALARS}
    asked = {"signature_name": "adapt_and_sample_batch", "instances": [row] * 2}
    first, second = asking.predict(rest, asked).content["predictions"]
    assert first["error"] == second["error"] == ""
    assert np.shape(first["samples"]) == (4, 16, 16, 1)
    np.testing.assert_allclose(first["samples"], second["samples"], atol=1e-4)


def test_encoded_images_are_answered_encoded(rest):
    png = tf.io.encode_png(np.zeros([20, 20, 3], np.uint8)).numpy()
    encoded = {"b64": base64.b64encode(png).decode()}
    asked = {
        "signature_name": "adapt_and_sample_bytes",
        "inputs": {"image_bytes": [encoded, encoded], **SCALARS},
    }
    found = asking.predict(rest, asked).content["outputs"]
    (first, *others) = [base64.b64decode(x["b64"]) for x in found["png_bytes"]]
    assert tf.io.decode_png(first).shape == [16, 16, 1]
    assert len(others) == 3


@pytest.mark.parametrize("path", [PATH, "/v1/models/toy/versions/1:predict"])
def test_equal_requests_have_equal_answers(rest, path):
    one, other = (asking.predict(rest, REQUEST, path=path) for _ in range(2))
    assert one.content == other.content


@pytest.mark.parametrize(
    "base", ["/v1/models/toy", "/v1/models/toy/versions/1"]
)
def test_status_and_metadata_are_told(rest, toy, base):
    (row,) = asking.ask(rest, "GET", base).content["model_version_status"]
    assert (row["version"], row["state"]) == ("1", "AVAILABLE")
    found = asking.ask(rest, "GET", f"{base}/metadata").content
    described = found["metadata"]["signature_def"]["signature_def"]
    assert described.keys() == toy.model.info["signatures"].keys()


# -------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "path", ["/v1/models/other", "/v1/models/toy/versions/2", "/v1/models/toy2"]
)
def test_other_models_are_not_found(rest, path):
    for found in (
        asking.ask(rest, "GET", path),
        asking.ask(rest, "GET", f"{path}/metadata"),
        asking.predict(rest, REQUEST, path=f"{path}:predict"),
    ):
        refused(found, 404, "expected toy, version 1")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", PATH, 405),
        ("POST", "/v1/models/toy", 405),
        ("POST", "/v1/models/toy:classify", 404),
        ("POST", "/v1/models/toy/labels/stable:predict", 404),
        ("POST", "/v1/models/toy/versions/x:predict", 404),
    ],
)
def test_other_routes_are_refused(rest, method, path, status):
    found = asking.ask(rest, method, path, b"{}")
    assert (found.status, list(found.content)) == (status, ["error"])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": []}, "images has the shape [0]; expected [K, 16, 16, 1]"),
        ({"images": [1]}, "images has the shape [1]; expected [K, 16, 16, 1]"),
        ({"images": "a"}, 'images holds "a"; expected numbers'),
        (
            {"images": (GOOD * np.nan).tolist()},
            "images holds NaN or infinite values",
        ),
        ({"steps": 10**9}, "steps is 1000000000; expected 0 to 20"),
        ({"steps": [1]}, "steps has the shape [1]; expected a single number"),
        ({"num_samples": 601}, "num_samples is 601; expected 1 to 600"),
        ({"seed": [1]}, "seed has the shape [1]; expected [2]"),
    ],
)
def test_refusals_of_the_graph_are_its_sentence(rest, change, sentence):
    asked = {**REQUEST, "inputs": {**REQUEST["inputs"], **change}}
    found = asking.predict(rest, asked)
    refused(found, 400, sentence)
    assert "node" not in found.content["error"]


def test_rows_of_outputs_without_rows_are_refused(rest):
    row = {"images": GOOD[0].tolist(), **SCALARS}
    asked = {"signature_name": "adapt_and_sample", "instances": [row]}
    refused(asking.predict(rest, asked), 400, "has the shape [1]; expected a")


def test_compressed_body_is_refused(rest):
    headers = {"Content-Encoding": "gzip"}
    found = asking.ask(rest, "POST", PATH, b"\x1f\x8b", headers=headers)
    refused(found, 415, "expected plain JSON")


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
_SIGNATURES = st.sampled_from(
    ["", "adapt_and_sample", "adapt_and_sample_bytes", "sample_prior", "adapt"]
)
_KEYS = ("images", "num_samples", "steps", "seed", "image_bytes", "batches")


@settings(max_examples=200)
@given(
    content=_JSON
    | st.fixed_dictionaries(
        {
            "signature_name": _SIGNATURES,
            "inputs": st.fixed_dictionaries(dict.fromkeys(_KEYS, _JSON))
            | _JSON,
        }
    )
    | st.fixed_dictionaries(
        {"signature_name": _SIGNATURES, "instances": st.lists(_JSON)}
    )
)
def test_no_json_is_the_end_of_it(rest, content):
    found = asking.predict(rest, content)
    if found.status != 200:
        assert found.status == 400
        assert found.content.keys() == {"error"}
        assert isinstance(found.content["error"], str)
        assert len(found.content["error"]) > 10


@settings(max_examples=100)
@given(body=st.binary(max_size=60))
def test_no_body_is_the_end_of_it(rest, body):
    found = asking.ask(rest, "POST", PATH, body)
    refused(found, 400, "")


# -------------------------------------------------------------- many clients


def at_once(number, client):
    """Run client(0), client(1), ... in threads; return what they return."""
    found = [None] * number

    def run(place):
        found[place] = client(place)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_clients_at_once_get_their_own_answers(rest):
    def client(seed):
        inputs = {"num_samples": 2, "seed": [seed % 4, 7]}
        asked = {"signature_name": "sample_prior", "inputs": inputs}
        return asking.predict(rest, asked).content["outputs"]

    found = at_once(16, client)
    for seed in range(16):
        np.testing.assert_allclose(found[seed], found[seed % 4], atol=1e-5)
    assert np.abs(np.subtract(found[0], found[1])).max() > 1e-2


class _Waiting:
    """A session whose runs end when they are let go, or as they are told."""

    def __init__(self, toy):
        self.info = toy.model.info
        found = session_lib._graph(str(toy.folder)).signature_def
        self.signatures = dict(found)
        self.go, self.error, self.running = threading.Event(), None, 0

    def run(self, signature, inputs, *, seconds):
        self.running += 1
        if self.error is not None:
            raise self.error
        if not self.go.wait(seconds):
            raise tf.errors.DeadlineExceededError(None, None, "too late")
        return {"samples": inputs["seed"]}

    def warm_up(self):
        pass

    def close(self):
        pass


ASKED = {
    "signature_name": "sample_prior",
    "inputs": {"num_samples": 1, "seed": [1, 2]},
}


@pytest.fixture
def waiting(toy, monkeypatch):
    """Yield (URL, session) of a server for one request and two that wait."""
    session = _Waiting(toy)
    monkeypatch.setattr(rest_server, "Session", lambda path: session)
    limits = Limits(seconds=20.0, running=1, waiting=2)
    with rest_server.serving("", limits=limits) as server:
        yield server.url, session
        session.go.set()


def test_overload_is_refused_at_once_and_passes(waiting):
    url, session = waiting
    times = []

    def client(number):
        start = time.monotonic()
        found = asking.predict(url, ASKED)
        times.append((found.status, time.monotonic() - start))
        if found.status == 503 and len(times) >= 29:
            session.go.set()
        return found

    found = at_once(32, client)
    statuses = [x.status for x in found]
    assert statuses.count(200) == 3
    assert statuses.count(503) == 29
    for reply in found:
        if reply.status == 503:
            refused(reply, 503, "3 requests are running or waiting")
            assert reply.headers["Retry-After"] == "1"
    assert max(seconds for status, seconds in times if status == 503) < 5
    # Status is told meanwhile, and afterwards there is room again.
    assert asking.predict(url, ASKED).status == 200


def test_time_limit_holds_for_running_and_waiting(toy, monkeypatch):
    session = _Waiting(toy)
    monkeypatch.setattr(rest_server, "Session", lambda path: session)
    limits = Limits(seconds=0.3, running=1, waiting=2)
    with rest_server.serving("", limits=limits) as server:
        for found in at_once(3, lambda _: asking.predict(server.url, ASKED)):
            refused(found, 504, "no answer within 0.3 s, the time limit")
        session.go.set()
        assert asking.predict(server.url, ASKED).status == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (tf.errors.ResourceExhaustedError, 429),
        (tf.errors.UnimplementedError, 501),
        (tf.errors.InternalError, 500),
        (tf.errors.FailedPreconditionError, 400),
    ],
)
def test_errors_of_tensorflow_have_their_status(waiting, error, status):
    url, session = waiting
    session.error = error(None, None, "so it is\n\t [[{{node x}}]]")
    refused(asking.predict(url, ASKED), status, "so it is")
    assert asking.ask(url, "GET", "/v1/models/toy").status == 200


def test_admitted_requests_are_answered_before_the_end(toy, monkeypatch):
    session = _Waiting(toy)
    monkeypatch.setattr(rest_server, "Session", lambda path: session)
    found = []
    with rest_server.serving("", limits=Limits(running=1)) as server:
        clients = [
            threading.Thread(
                target=lambda: found.append(asking.predict(server.url, ASKED))
            )
            for _ in range(2)
        ]
        for client in clients:
            client.start()
        while not session.running:
            time.sleep(0.01)
        threading.Timer(0.3, session.go.set).start()
        time.sleep(0.2)
    for client in clients:
        client.join()
    assert [reply.status for reply in found] == [200, 200]


def test_session_stops_after_its_time_and_goes_on(toy):
    session = session_lib.Session(str(toy.folder))
    inputs = {
        "images": GOOD,
        "num_samples": np.int32(600),
        "steps": np.int32(20),
        "seed": np.zeros(2, np.int64),
    }
    with pytest.raises(tf.errors.DeadlineExceededError):
        session.run("adapt_and_sample", inputs, seconds=0.002)
    found = session.run("adapt_and_sample", {"images": GOOD}, seconds=60)
    assert found["samples"].shape == (5, 16, 16, 1)
    session.close()


def test_name_can_be_chosen(toy, monkeypatch):
    monkeypatch.setattr(rest_server, "Session", lambda path: _Waiting(toy))
    with rest_server.serving("", name="mine") as server:
        assert asking.ask(server.url, "GET", "/v1/models/mine").status == 200
        assert asking.ask(server.url, "GET", "/v1/models/toy").status == 404
