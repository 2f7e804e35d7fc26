"""What the page of photographs asks for, from JSON, checked."""

from typing import Any

import numpy as np

from tf_metagan.data import base as data
from tf_metagan.data import pixels
from tf_metagan.demo_page import inputs
from tf_metagan.demo_page.photograph_model import Asked, Card

_SEEDS = 2**31


def read(body: bytes, card: Card) -> Asked:
    """Read a request.

    Args:
      body: JSON {"image": picture, "other": picture or null, "strength": t,
        "samples": n, "width": w, "height": h, "random_from": i, "seed": s},
        where a picture is {"file": base64, "name": text} and a side of 0
        stands for the photograph's own.
      card: of the model.

    Raises:
      ValueError: it is something else; the sentence is for the page.
    """
    content = inputs.parse(
        body,
        "image, other, strength, samples, width, height, random_from and seed",
    )
    if content.get("image") is None:
        raise ValueError("there is no photograph yet; drop or take one")
    other = content.get("other")
    return Asked(
        image=_photograph(content["image"], card),
        other=None if other is None else _photograph(other, card),
        strength=_share(content),
        number=inputs.whole(content, "samples", 1, card.limits.samples),
        width=_side(content, "width", card),
        height=_side(content, "height", card),
        random_from=inputs.whole(content, "random_from", 0, card.scales),
        seed=inputs.whole(content, "seed", 0, _SEEDS - 1),
    )


def _photograph(image: Any, card: Card) -> np.ndarray:
    """Return [h, width, C] in [-1, 1], as a run treats files."""
    if not isinstance(image, dict) or "file" not in image:
        raise ValueError("a photograph is no file; drop or take it again")
    picture = inputs.open_file(image)
    short, long = sorted(picture.size)
    if long > card.aspect * short:
        raise ValueError(
            f"the photograph has {picture.width} x {picture.height} pixels; "
            f"expected an aspect between 1 : {card.aspect} and "
            f"{card.aspect} : 1. Crop it"
        )
    fitted = pixels.fit_width(
        picture, image_size=card.width, channels=card.channels, aspects=None
    )
    return data.to_range(fitted)


def _share(content: dict[str, Any]) -> float:
    value = content.get("strength")
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"strength is {value!r}; expected a number")
    if not 0 <= value <= 1:
        raise ValueError(f"strength is {value}; expected 0 to 1")
    return float(value)


def _side(content: dict[str, Any], name: str, card: Card) -> int:
    if content.get(name) == 0:
        return inputs.whole(content, name, 0, 0)
    limits = card.limits
    return inputs.whole(content, name, limits.least_side, limits.side)
