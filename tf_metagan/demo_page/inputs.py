"""What a page asks for, from JSON, checked."""

import base64
import binascii
import json
import math
from typing import Any, NamedTuple

import numpy as np
import PIL.Image

from tf_metagan.data import base as data
from tf_metagan.data import picture_files, pixels
from tf_metagan.demo_page import strokes
from tf_metagan.demo_page.model import Card

_PIXELS = 2**24  # of a file
_POINTS = 20_000  # of all drawings
_SEEDS = 2**31
_BRIGHT = 127.5


class Asked(NamedTuple):
    """A request.

    Attributes:
      images: [K, H, W, C] in [-1, 1], as the model takes them.
      steps: of adaptation.
      number: of samples, or of frames.
      seed: of all random numbers.
    """

    images: np.ndarray
    steps: int
    number: int
    seed: int


def read(body: bytes, card: Card, *, count: str, most: int) -> Asked:
    """Read a request.

    Args:
      body: JSON {"images": [...], "steps": k, count: n, "seed": s}, where an
        image is {"strokes": [[[x, y, pressure], ...], ...]}, coordinates in
        units of the square's side, or {"file": base64, "name": text}.
      card: of the model.
      count: name of the number of pictures that are wanted.
      most: of these.

    Raises:
      ValueError: it is something else; the sentence is for the page.
    """
    content = parse(body, f"images, steps, {count} and seed")
    images = content.get("images")
    if not isinstance(images, list) or not images:
        raise ValueError("there is no drawing yet; draw at least one")
    if len(images) > card.limits.images:
        raise ValueError(
            f"there are {len(images)} images; expected at most "
            f"{card.limits.images}"
        )
    return Asked(
        images=_images(images, card),
        steps=whole(content, "steps", 0, card.limits.steps),
        number=whole(content, count, 1, most),
        seed=whole(content, "seed", 0, _SEEDS - 1),
    )


def parse(body: bytes, names: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
      body: of a request.
      names: that it should have, for errors.

    Raises:
      ValueError: it is something else.
    """
    try:
        content = json.loads(body)
    except ValueError as error:
        raise ValueError(f"the request is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"the request is {type(content).__name__}; expected an object with "
            f"{names}"
        )
    return content


def whole(content: dict[str, Any], name: str, low: int, high: int) -> int:
    """Read a whole number from `low` to `high`; refuse all else."""
    value = content.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}; expected a whole number")
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; expected {low} to {high}")
    return value


def _images(images: list[Any], card: Card) -> np.ndarray:
    """Return [K, H, W, C] in [-1, 1]; drawings are inked together."""
    size, _, channels = card.image
    drawn: dict[int, list[np.ndarray]] = {}
    made: dict[int, np.ndarray] = {}
    for place, image in enumerate(images):
        if isinstance(image, dict) and "strokes" in image:
            drawn[place] = _strokes(image["strokes"])
        elif isinstance(image, dict) and "file" in image:
            made[place] = _file(image, size=size, channels=channels)
        else:
            raise ValueError(
                f"image {place + 1} is neither strokes nor a file; draw it "
                "again"
            )
    if drawn:
        if "strokes" not in card.inputs:
            raise ValueError(
                "this model knows pictures in colour, not drawings; drop "
                "image files instead"
            )
        points = sum(len(s) for strokes in drawn.values() for s in strokes)
        if points > _POINTS:
            raise ValueError(
                f"the drawings have {points} points; expected at most "
                f"{_POINTS}. Draw fewer lines."
            )
        inked = strokes.draw(
            list(drawn.values()),
            image_size=size,
            hand=strokes.hand_of(card.dataset),
        )
        made.update(zip(drawn, inked, strict=True))
    return data.to_range(np.stack([made[place] for place in sorted(made)]))


def _strokes(content: Any) -> list[np.ndarray]:
    """Return strokes [points, 3] of finite numbers, clipped to the square."""
    found = []
    for stroke in content if isinstance(content, list) else [None]:
        try:
            points = np.array(stroke, np.float64)
        except (TypeError, ValueError):
            points = np.empty(0)
        if points.ndim != 2 or points.shape[1] != 3 or not len(points):
            raise ValueError(
                "a stroke is no list of points [x, y, pressure]; draw it again"
            )
        if not np.isfinite(points).all():
            raise ValueError(
                f"a stroke holds {math.nan}; expected finite numbers"
            )
        found.append(np.clip(points, 0.0, 1.0))
    if not found:
        raise ValueError("a drawing has no strokes; draw it, or leave it out")
    return found


def _file(image: dict[str, Any], *, size: int, channels: int) -> np.ndarray:
    """Return uint8 [size, size, channels]; ink on paper becomes bright."""
    opened = open_file(image)
    is_drawing = channels == 1
    picture = pixels.fit(
        opened, image_size=size, channels=channels, strokes=is_drawing
    )
    if is_drawing and _ground(picture) > _BRIGHT:
        picture = 255 - picture
    return picture


def open_file(image: dict[str, Any]) -> PIL.Image.Image:
    """Open {"file": base64, "name": text}, upright and opaque.

    Raises:
      ValueError: it is no picture, or too large.
    """
    name = image.get("name")
    name = name if isinstance(name, str) else "the file"
    try:
        content = base64.b64decode(image["file"], validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise ValueError(f"{name} did not arrive as base64") from error
    try:
        return picture_files.open_bytes(content, name=name, most_pixels=_PIXELS)
    except OSError as error:
        raise ValueError(str(error)) from error


def _ground(picture: np.ndarray) -> float:
    """Return the median of the border pixels."""
    edges = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
    return float(np.median(np.concatenate(edges)))
