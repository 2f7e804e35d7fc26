"""The server of the page: its files, streams, limits and refusals."""

import base64
import http.client
import io
import json
import re
import threading
import time

import numpy as np
import PIL.Image
import pytest

from tests.demo.conftest import LIMITS
from tests.demo.test_inputs import DRAWN, GOOD
from tests.serving import asking
from tf_metagan.data import prepared
from tf_metagan.demo_page import model as models
from tf_metagan.demo_page import pages, routes
from tf_metagan.demo_page.rows import Rows
from tf_metagan.serving.http_server import Limits

JSON = {"Content-Type": "application/json"}
WALK = {k: v for k, v in GOOD.items() if k != "samples"} | {"frames": 9}


def rows_of(**changes):
    return Rows(
        **{
            "image_size": 16,
            "channels": 1,
            "trained_on": "glyphs",
            "unseen": [3, 4],
            **changes,
        }
    )


@pytest.fixture(scope="module")
def page(choosing):
    limits = Limits(body_bytes=2**16, seconds=60.0)
    with routes.serving(choosing, rows_of(), limits=limits) as server:
        yield server.url


def fetch(url, method, path, body=None, headers=JSON):
    """Return (status, headers, body) of a request."""
    connection = http.client.HTTPConnection(*asking.address(url), timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def stream(url, content, path="/api/draw"):
    """Return the events of an answer."""
    status, _, body = fetch(url, "POST", path, json.dumps(content))
    assert status == 200, body
    return [json.loads(line) for line in body.splitlines()]


def sheet(event):
    """Return the samples of an event, uint8 [n, h, w]."""
    content = event["sheet"].partition(",")[2]
    file = io.BytesIO(base64.b64decode(content))
    picture = np.asarray(PIL.Image.open(file))
    side = picture.shape[1] // pages.COLUMNS
    cells = picture.reshape(-1, side, pages.COLUMNS, side).swapaxes(1, 2)
    return cells.reshape(-1, side, side)[: event["count"]]


def test_files_of_the_page_ask_no_other_host(page):
    status, headers, body = fetch(page, "GET", "/")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    named = set(re.findall(rb'(?:src|href)="([^"]+)"', body))
    assert b"/files/main.js" in named
    for path in named:
        status, headers, content = fetch(page, "GET", path.decode())
        assert status == 200
        assert content
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        # Names of XML, which nobody asks for.
        hosts = re.findall(rb"https?://[^\"' ]+", content)
        assert set(hosts) <= {b"http://www.w3.org/2000/svg"}
    status, _, body = fetch(page, "GET", "/files/none.js")
    assert (status, b"there is no" in body or b"no file" in body) == (404, True)


def test_card_is_that_of_the_model(page, choosing):
    found = asking.ask(page, "GET", "/api/model").content
    assert found["name"] == "toy"
    assert found["limits"] == LIMITS._asdict()
    assert found["rows"][0] == "glyphs"
    assert found["best_of"] == choosing.card.best_of


def test_drawing_is_streamed_in_order(page):
    found = stream(page, GOOD)
    kinds = [(e["event"], e.get("of"), e.get("step")) for e in found]
    assert kinds == [
        ("given", None, None),
        *(("step", "adapted", step) for step in (0, 1, 2, 2)),
        ("nearest", None, None),
        ("prior", None, None),
        *(("step", "scratch", step) for step in (0, 1, 2, 2)),
        ("done", None, None),
    ]
    last = [e for e in found if e.get("of") == "adapted"][-1]
    assert last["chosen"]
    assert sheet(last).shape == (8, 16, 16)
    assert stream(page, GOOD)[4]["sheet"] == last["sheet"]
    other = stream(page, {**GOOD, "seed": 2})
    assert other[4]["sheet"] != last["sheet"]


def test_sheet_holds_the_samples_in_their_order(page, choosing):
    found = stream(page, {**GOOD, "samples": 11, "steps": 0})
    drawn = sheet(found[1])
    prior = sheet(next(e for e in found if e["event"] == "prior"))
    expected = choosing.prior(
        num_samples=11, seed=1, deadline=time.monotonic() + 60
    )
    expected = np.rint((np.clip(expected, -1, 1) + 1) * 127.5)
    np.testing.assert_array_equal(prior, expected[..., 0])
    assert drawn.shape == (11, 16, 16)


def test_nearest_drawing_is_told(page):
    other = {"strokes": [[[0.5, 0.1, 0.5], [0.5, 0.9, 0.5]]]}
    found = stream(page, {**GOOD, "images": [DRAWN, other, DRAWN]})
    near = next(e for e in found if e["event"] == "nearest")
    assert set(near["image"]) <= {0, 1, 2}
    assert len(near["distance"]) == 8
    assert found[0]["apart"] == 0.0  # two are the same
    assert stream(page, {**GOOD, "images": [DRAWN]})[0]["apart"] is None


def test_walk_is_one_sheet(page):
    walk, done = stream(page, WALK, "/api/walk")
    assert (walk["event"], walk["count"]) == ("walk", 9)
    assert done["event"] == "done"


def test_rows_are_classes_that_were_not_trained_on(page):
    found = asking.ask(page, "GET", "/api/rows/glyphs/0").content["rows"]
    assert len(found) == 2
    assert {len(row["images"]) for row in found} == {5}
    missing = asking.ask(page, "GET", "/api/rows/none/0")
    assert missing.status == 400
    assert "there is no data set 'none' on this machine" in str(missing.content)


def test_rows_of_other_sets_are_of_all_classes(monkeypatch):
    at_hand = {"mnist": "3.0.1"}
    monkeypatch.setattr(prepared, "version", at_hand.get)
    rows = rows_of(trained_on="mnist", unseen=[7])
    assert rows.names() == ["mnist", "glyphs"]
    first = rows.pick("glyphs", rows=4, shots=3, seed=1)
    assert len({row.name for row in first}) == 4
    assert first[0].images.shape == (3, 16, 16, 1)
    again = rows.pick("glyphs", rows=4, shots=3, seed=2)
    assert [r.name for r in again] != [r.name for r in first]


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"body": b"{"}, 400, "the request is no JSON"),
        ({"body": json.dumps({**GOOD, "steps": 9})}, 400, "steps is 9; expect"),
        ({"headers": {}}, 415, "of no type; expected application/json"),
        (
            {"headers": {"Content-Type": "text/plain"}},
            415,
            "is text/plain; expected application/json",
        ),
        ({"method": "GET"}, 405, "/api/draw is not for GET"),
        (
            {"headers": {**JSON, "Host": "evil.example"}},
            400,
            "this server is addressed as evil.example",
        ),
        ({"body": b" " * 20 * 2**14}, 413, "expected fewer than 65536"),
    ],
)
def test_refusals_are_sentences(page, change, status, sentence):
    request = {"method": "POST", "body": json.dumps(GOOD), "headers": JSON}
    request.update(change)
    found, _, body = fetch(page, path="/api/draw", **request)
    assert found == status
    assert sentence in json.loads(body)["error"]


class _Standing(models.Model):
    """Draws nothing until it may; then what it is told."""

    def __init__(self, card):
        self.card = card._replace(scratch=False)
        self.go = threading.Event()
        self.error = None
        self.left = threading.Event()

    def prior(self, *, num_samples, seed, deadline):
        return -np.ones([num_samples, 16, 16, 1], np.float32)

    def unfold(self, images, *, steps, num_samples, seed, deadline, scratch=0):
        samples = -np.ones([num_samples, 16, 16, 1], np.float32)
        try:
            yield models.Frame(0, samples)
            while not self.go.wait(0.01):
                models.check_time(deadline)
                yield models.Frame(1, samples)
            if self.error:
                raise self.error
        finally:
            self.left.set()

    def warm_up(self):
        pass


@pytest.fixture
def standing(choosing):
    model = _Standing(choosing.card)
    limits = Limits(seconds=5.0, running=1, waiting=0)
    with routes.serving(model, rows_of(), limits=limits) as server:
        yield server.url, model
        model.go.set()


def begin(url):
    """Send a request; return the connection when its first line is there."""
    connection = http.client.HTTPConnection(*asking.address(url), timeout=20)
    connection.request("POST", "/api/draw", json.dumps(GOOD), JSON)
    answer = connection.getresponse()
    assert json.loads(answer.readline())["event"] == "given"
    return connection, answer


def test_errors_on_the_way_are_the_last_line(standing):
    url, model = standing
    for error in (ValueError("so it is"), FloatingPointError("so it is")):
        model.go.clear()
        model.error = error
        connection, answer = begin(url)
        model.go.set()
        *_, last = answer.read().splitlines()
        assert json.loads(last) == {"event": "error", "error": "so it is"}
        connection.close()


def test_who_finds_no_place_is_told_and_who_leaves_makes_one(standing):
    url, model = standing
    connection, answer = begin(url)
    status, headers, body = fetch(url, "POST", "/api/draw", json.dumps(GOOD))
    assert status == 503
    assert "try again later" in json.loads(body)["error"]
    assert headers["Retry-After"] == "1"
    answer.close()
    connection.close()  # as a page that is loaded anew in mid-run
    assert model.left.wait(5)
    model.go.set()
    time.sleep(0.1)
    assert stream(url, GOOD)[-1]["event"] == "done"


def test_time_limit_ends_the_stream_with_a_sentence(choosing):
    model = _Standing(choosing.card)
    limits = Limits(seconds=0.3)
    with routes.serving(model, rows_of(), limits=limits) as server:
        *_, last = stream(server.url, GOOD)
        assert "no answer within 0.3 s" in last["error"]


def test_model_without_latents_has_no_walk(standing):
    found, _, body = fetch(standing[0], "POST", "/api/walk", json.dumps(WALK))
    assert found == 404
    assert "no latents to walk through" in json.loads(body)["error"]
