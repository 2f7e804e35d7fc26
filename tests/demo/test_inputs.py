"""Requests of the page: what is read, and what is refused."""

import base64
import io
import json

import numpy as np
import PIL.Image
import pytest

from tf_metagan.demo_page import inputs

STROKE = [[0.2, 0.5, 0.5], [0.8, 0.5, 0.5]]
DRAWN = {"strokes": [STROKE]}
GOOD = {"images": [DRAWN, DRAWN], "steps": 2, "samples": 8, "seed": 1}


def read(content, card):
    body = content if isinstance(content, bytes) else json.dumps(content)
    return inputs.read(body, card, count="samples", most=40)


def file_of(picture, name="a.png"):
    file = io.BytesIO()
    PIL.Image.fromarray(picture).save(file, "PNG")
    return {"file": base64.b64encode(file.getvalue()).decode(), "name": name}


def test_request_is_read(choosing):
    found = read(GOOD, choosing.card)
    assert found[1:] == (2, 8, 1)
    assert found.images.shape == (2, 16, 16, 1)
    assert found.images.min() == -1.0
    assert found.images.max() > -0.5
    np.testing.assert_array_equal(found.images[0], found.images[1])


def test_ink_on_paper_and_light_on_dark_are_the_same(choosing):
    paper = np.full([16, 16], 255, np.uint8)
    paper[4:12, 7:9] = 30
    images = [file_of(paper), file_of(255 - paper), DRAWN]
    found = read({**GOOD, "images": images}, choosing.card).images
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0, 8, 8, 0] > 0.7
    assert found[0, 0, 0, 0] == -1.0
    # Order is that of the request, whatever the kind.
    swapped = read({**GOOD, "images": images[::-1]}, choosing.card).images
    np.testing.assert_array_equal(swapped, found[::-1])


HUGE = file_of(np.zeros([1, 2**24 + 1], np.uint8), "huge.png")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": []}, "there is no drawing yet"),
        ({"images": None}, "there is no drawing yet"),
        ({"images": [DRAWN] * 7}, "there are 7 images; expected at most 6"),
        ({"images": [3]}, "image 1 is neither strokes nor a file"),
        ({"images": [{"strokes": []}]}, "a drawing has no strokes"),
        ({"images": [{"strokes": [[]]}]}, "no list of points"),
        ({"images": [{"strokes": [[[1, 2]]]}]}, "no list of points"),
        ({"images": [{"strokes": [["x"]]}]}, "no list of points"),
        ({"images": [{"strokes": 3}]}, "no list of points"),
        (
            {"images": [{"strokes": [[[1, 2, float("nan")]]]}]},
            "expected finite numbers",
        ),
        (
            {"images": [{"strokes": [[[0, 0, 0]] * 20_001]}]},
            "have 20001 points; expected at most 20000",
        ),
        ({"images": [{"file": "%"}]}, "the file did not arrive as base64"),
        ({"images": [{"file": 3}]}, "the file did not arrive as base64"),
        (
            {"images": [{"file": "aGVsbG8=", "name": "b.png"}]},
            "b.png cannot be read",
        ),
        ({"images": [HUGE]}, "16777217 x 1 pixels, more than 16777216"),
        ({"steps": 9}, "steps is 9; expected 0 to 8"),
        ({"steps": -1}, "steps is -1; expected 0 to 8"),
        ({"steps": True}, "steps is True; expected a whole number"),
        ({"steps": 1.5}, "steps is 1.5; expected a whole number"),
        ({"samples": 41}, "samples is 41; expected 1 to 40"),
        ({"samples": None}, "samples is None; expected a whole number"),
        ({"seed": 2**31}, "seed is 2147483648; expected 0 to 2147483647"),
    ],
)
def test_what_cannot_be_used_is_said(choosing, change, sentence):
    with pytest.raises(ValueError, match=sentence):
        read({**GOOD, **change}, choosing.card)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [(b"{", "is no JSON"), (b"\xff", "is no JSON"), (b"[]", "request is list")],
)
def test_bodies_of_another_kind_are_refused(choosing, body, sentence):
    with pytest.raises(ValueError, match=sentence):
        read(body, choosing.card)


def test_drawings_are_not_for_models_of_colour(choosing):
    card = choosing.card._replace(image=(16, 16, 3), inputs=("files",))
    with pytest.raises(ValueError, match="pictures in colour, not drawings"):
        read(GOOD, card)
    white = file_of(np.full([16, 16, 3], 255, np.uint8))
    found = read({**GOOD, "images": [white]}, card)
    assert found.images.min() == 1.0
