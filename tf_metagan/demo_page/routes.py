"""The routes of the page of drawings: model's card, rows, and drawings.

Drawings are streamed while the model adapts.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from werkzeug import Request, Response, exceptions
from werkzeug.routing import Rule

from tf_metagan.data import base as data
from tf_metagan.demo_page import inputs
from tf_metagan.demo_page.model import Model
from tf_metagan.demo_page.pages import (
    Page,
    json_answer,
    png,
    rule,
    sentences,
    sheet,
)
from tf_metagan.demo_page.photograph_model import PhotographModel
from tf_metagan.demo_page.photograph_routes import PhotographRoutes
from tf_metagan.demo_page.rows import Rows
from tf_metagan.metrics import memorisation
from tf_metagan.serving import http_server
from tf_metagan.serving.admission import Admission
from tf_metagan.serving.http_server import Limits, Server

LIMITS = Limits(body_bytes=2**22, seconds=30.0, running=2, waiting=8)

_ROWS, _SHOTS = 6, 5
_SEEDS = 2**31
_SHIFT = 1  # pixels by which a copy may be moved


class PageRoutes(Page):
    """Answers the page of a model that adapts to images."""

    html = "index.html"

    def __init__(
        self, model: Model, rows: Rows, *, admission: Admission, seconds: float
    ):
        """Hold what the routes share.

        Args:
          model: what draws.
          rows: to pick from.
          admission: see `Page`.
          seconds: see `Page`.
        """
        super().__init__(admission=admission, seconds=seconds)
        self._model = model
        self._rows = rows

    def rules(self) -> list[Rule]:
        """See `Page`."""
        return [
            *super().rules(),
            rule("/api/rows/<dataset>/<int:seed>", self.rows),
            rule("/api/draw", self.draw, "POST"),
            rule("/api/walk", self.walk, "POST"),
        ]

    def card(self, request: Request) -> Response:
        """Describe the model, and name the data sets at hand."""
        del request
        card = self._model.card._asdict()
        card["limits"] = card["limits"]._asdict()
        card["walk"] = self._model.walk is not None
        return json_answer({**card, "rows": self._rows.names()})

    def rows(self, request: Request, dataset: str, seed: int) -> Response:
        """Return classes to pick from, other ones for another seed."""
        del request
        with sentences():
            found = self._rows.pick(
                dataset, rows=_ROWS, shots=_SHOTS, seed=seed % _SEEDS
            )
        return json_answer(
            {
                "rows": [
                    {"name": name, "images": [png(image) for image in images]}
                    for name, images in found
                ]
            }
        )

    def draw(self, request: Request) -> Response:
        """Adapt to the images, and stream what is drawn on the way."""
        most = self._model.card.limits.samples
        return self._ask(request, self._drawing, count="samples", most=most)

    def walk(self, request: Request) -> Response:
        """Adapt to the images, and draw along a way through the latents."""
        card, walk = self._model.card, self._model.walk
        if walk is None:
            raise exceptions.NotFound(
                f"{card.name} has no latents to walk through"
            )

        def frames(
            asked: inputs.Asked, deadline: float
        ) -> Iterator[dict[str, Any]]:
            drawn = walk(
                asked.images,
                steps=asked.steps,
                frames=asked.number,
                seed=asked.seed,
                deadline=deadline,
            )
            yield {"event": "walk", "sheet": sheet(drawn), "count": len(drawn)}

        most = card.limits.frames
        return self._ask(request, frames, count="frames", most=most)

    def _ask(
        self, request: Request, work: Any, *, count: str, most: int
    ) -> Response:
        def read(body: bytes) -> inputs.Asked:
            return inputs.read(body, self._model.card, count=count, most=most)

        return self.answer(request, read, work)

    def _drawing(
        self, asked: inputs.Asked, deadline: float
    ) -> Iterator[dict[str, Any]]:
        """Yield the events of an adaptation."""
        model, card = self._model, self._model.card
        given = data.to_bytes(asked.images)
        yield {
            "event": "given",
            "images": [png(image) for image in given],
            "apart": _apart(asked.images),
            "steps": asked.steps if len(given) >= card.least_images else 0,
        }
        request: dict[str, Any] = {
            "num_samples": asked.number,
            "seed": asked.seed,
            "deadline": deadline,
        }
        for frame in model.unfold(asked.images, steps=asked.steps, **request):
            yield _step("adapted", frame)
        near = memorisation.nearest(frame.samples, asked.images, shift=_SHIFT)
        yield {
            "event": "nearest",
            "image": near.row.tolist(),
            "distance": near.distance.round(4).tolist(),
        }
        prior = model.prior(**request)
        yield {"event": "prior", "sheet": sheet(prior), "count": len(prior)}
        if card.scratch:
            for frame in model.unfold(
                asked.images, steps=asked.steps, scratch=True, **request
            ):
                yield _step("scratch", frame)


@contextlib.contextmanager
def serving(
    model: Model | PhotographModel,
    rows: Rows | None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: Limits = LIMITS,
) -> Iterator[Server]:
    """Serve the page until the block ends.

    Args:
      model: what draws; closed at the end.
      rows: to pick from; None for photographs, of which some are drawn.
      host: address to listen on.
      port: 0 takes a free one.
      limits: for all visitors.

    Yields:
      The server.

    Raises:
      OSError: the port cannot be had.
    """
    admission = Admission(running=limits.running, waiting=limits.waiting)
    shared: dict[str, Any] = {
        "admission": admission,
        "seconds": limits.seconds,
    }
    page: Page
    if isinstance(model, PhotographModel):
        page = PhotographRoutes(model, **shared)
    else:
        assert rows is not None
        page = PageRoutes(model, rows, **shared)
    with (
        contextlib.closing(model),
        http_server.serving(
            page.rules(),
            host=host,
            port=port,
            limits=limits,
            admission=admission,
            prepare=model.warm_up,
        ) as server,
    ):
        yield server


def _step(of: str, frame: Any) -> dict[str, Any]:
    return {
        "event": "step",
        "of": of,
        "step": frame.step,
        "chosen": frame.chosen,
        "losses": None
        if frame.d_loss is None
        else {"d": round(frame.d_loss, 5), "g": round(frame.g_loss, 5)},
        "sheet": sheet(frame.samples),
        "count": len(frame.samples),
    }


def _apart(images: np.ndarray) -> float | None:
    """Return the least distance between two of the images."""
    if len(images) < 2:
        return None
    near = memorisation.nearest(
        images, images, shift=_SHIFT, own=np.arange(len(images))
    )
    return round(float(near.distance.min()), 4)
