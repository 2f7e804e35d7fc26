"""The page of photographs without a browser: inputs, answers, refusals."""

import base64
import io
import json
import math

import numpy as np
import PIL.Image
import pytest

from tests.demo.test_routes import fetch, stream
from tests.exporting.test_photographs import close, encoded, landscape
from tests.serving import asking
from tf_metagan import demo
from tf_metagan.demo_page import pages, photograph_inputs, routes
from tf_metagan.demo_page.photograph_model import (
    PhotographExport,
)
from tf_metagan.serving.http_server import Limits

ROUTE = "/api/photograph"


def file_of(image, name="a.png"):
    """Return a photograph as the page sends it."""
    content = base64.b64encode(encoded(image)).decode()
    return {"file": content, "name": name}


GOOD = {
    "image": file_of(landscape(0, 60)),
    "other": None,
    "strength": 0.5,
    "samples": 8,
    "width": 0,
    "height": 0,
    "random_from": 0,
    "seed": 1,
}


@pytest.fixture(scope="module")
def page(photographer):
    limits = Limits(body_bytes=2**17, seconds=60.0)
    with routes.serving(photographer, None, limits=limits) as server:
        yield server.url


def picture(url):
    content = base64.b64decode(url.partition(",")[2])
    return np.asarray(PIL.Image.open(io.BytesIO(content)))


def asked(model, **changes):
    body = json.dumps({**GOOD, **changes}).encode()
    return photograph_inputs.read(body, model.card)


def test_run_and_export_draw_what_the_signature_draws(
    photographer, photographs
):
    model = photographer
    request = asked(model, other=file_of(landscape(1)), width=40, height=30)
    exported = PhotographExport(str(photographs.folder))
    try:
        assert (
            exported.card._replace(name="toy", limits=model.card.limits)
            == model.card
        )
        found = [x.draw(request, deadline=math.inf) for x in (model, exported)]
    finally:
        exported.close()
    expected = photographs.model.interpolate(
        request.image,
        request.other,
        num_samples=8,
        width=40,
        height=30,
        seed=1,
    )
    for drawn in found:
        close(drawn.samples, expected.samples, atol=1e-4)
        close(drawn.reconstruction, expected.reconstruction, atol=1e-4)
    with pytest.raises(TimeoutError):
        model.draw(request, deadline=0.0)


def test_answer_is_streamed_in_order(page):
    found = stream(page, GOOD, ROUTE)
    kinds = [event["event"] for event in found]
    assert kinds == ["given", "rebuilt", "samples", "done"]
    given, rebuilt, samples, _ = found
    assert (given["height"], given["width"]) == (18, 24)
    assert picture(given["images"][0]).shape == (18, 24, 3)
    assert picture(rebuilt["image"]).shape == (18, 24, 3)
    assert picture(samples["sheet"]).shape == (18, 24 * pages.COLUMNS, 3)
    assert stream(page, GOOD, ROUTE)[:3] == found[:3]
    other = stream(page, {**GOOD, "seed": 2, "width": 48}, ROUTE)
    assert picture(other[2]["sheet"]).shape == (18, 48 * pages.COLUMNS, 3)


def test_page_and_landscapes_are_there(page):
    status, _, body = fetch(page, "GET", "/")
    assert status == 200
    assert b"/files/photograph.js" in body
    card = asking.ask(page, "GET", "/api/model").content
    assert card["inputs"] == ["photographs"]
    assert (card["width"], card["scales"]) == (24, 3)
    first, again, others = (
        asking.ask(page, "GET", f"/api/landscapes/{seed}").content["images"]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert len({*first, *others}) == 16
    assert picture(first[0]).shape == (96, 128, 3)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"image": None}, "there is no photograph yet; drop or take one"),
        ({"image": {"strokes": []}}, "a photograph is no file"),
        ({"image": {"file": "%", "name": "a.png"}}, "a.png did not arrive"),
        ({"image": {"file": "eA==", "name": "b"}}, "b cannot be read"),
        ({"image": file_of(landscape()[:2])}, "expected an aspect between"),
        ({"other": 3}, "a photograph is no file"),
        ({"strength": 1.1}, "strength is 1.1; expected 0 to 1"),
        ({"strength": "half"}, "strength is 'half'; expected a number"),
        ({"samples": 33}, "samples is 33; expected 1 to 32"),
        ({"width": 15}, "width is 15; expected 16 to 256"),
        ({"height": True}, "height is True; expected a whole number"),
        ({"random_from": 4}, "random_from is 4; expected 0 to 3"),
        ({"seed": -1}, "seed is -1; expected 0 to"),
    ],
)
def test_wrong_requests_are_sentences(page, changes, sentence):
    body = json.dumps({**GOOD, **changes})
    status, _, answer = fetch(page, "POST", ROUTE, body)
    assert status == 400
    assert sentence in json.loads(answer)["error"]


def test_other_bodies_are_sentences(page):
    for body, sentence in (("{", "is no JSON"), ("[1]", "is list; expected")):
        status, _, answer = fetch(page, "POST", ROUTE, body)
        assert status == 400
        assert sentence in json.loads(answer)["error"]


def test_export_of_photographs_has_their_page(photographs):
    found, rows = demo.load(str(photographs.folder))
    assert isinstance(found, PhotographExport)
    assert rows is None
    found.close()
