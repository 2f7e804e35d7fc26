"""The routes of the page: its files, the model's card, rows, and drawings.

Drawings are streamed as lines of JSON while the model adapts. Images travel as
PNG sheets: all samples of a moment in one picture, in columns of `COLUMNS`.
"""

import base64
import contextlib
import importlib.resources
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import PIL.Image
from werkzeug import Request, Response, exceptions
from werkzeug.routing import Rule

from tf_metagan.data import base as data
from tf_metagan.demo_page import inputs
from tf_metagan.demo_page.model import Model
from tf_metagan.demo_page.rows import Rows
from tf_metagan.metrics import memorisation
from tf_metagan.serving import http_server
from tf_metagan.serving.admission import Admission
from tf_metagan.serving.http_server import Limits, Server

COLUMNS = 8
LIMITS = Limits(body_bytes=2**22, seconds=30.0, running=2, waiting=8)

_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_ROWS, _SHOTS = 6, 5
_SEEDS = 2**31
_SHIFT = 1  # pixels by which a copy may be moved


class PageRoutes:
    """Answers the page of one model."""

    def __init__(
        self, model: Model, rows: Rows, *, admission: Admission, seconds: float
    ):
        """Hold what the routes share.

        Args:
          model: what draws.
          rows: to pick from.
          admission: of the requests that run the model.
          seconds: that a request may take, waiting included.
        """
        self._model = model
        self._rows = rows
        self._admission = admission
        self._seconds = seconds
        folder = importlib.resources.files(__package__) / "files"
        self._files = {
            file.name: file.read_bytes()
            for file in sorted(folder.iterdir(), key=lambda file: file.name)
        }

    def rules(self) -> list[Rule]:
        """Return the routes for `http_server.App`."""

        def rule(path: str, endpoint: Any, method: str = "GET") -> Rule:
            return Rule(path, endpoint=endpoint, methods=[method])

        return [
            rule("/", self.page),
            rule("/files/<name>", self.file),
            rule("/api/model", self.card),
            rule("/api/rows/<dataset>/<int:seed>", self.rows),
            rule("/api/draw", self.draw, "POST"),
            rule("/api/walk", self.walk, "POST"),
        ]

    def page(self, request: Request) -> Response:
        """Return the page."""
        return self.file(request, "index.html")

    def file(self, request: Request, name: str) -> Response:
        """Return one of the files of the page."""
        del request
        if name not in self._files:
            raise exceptions.NotFound(
                f"the page has no file {name}; expected one of "
                f"{', '.join(self._files)}"
            )
        return Response(
            self._files[name],
            mimetype=_TYPES[os.path.splitext(name)[1]],
            headers=_HEADERS,
        )

    def card(self, request: Request) -> Response:
        """Describe the model, and name the data sets at hand."""
        del request
        card = self._model.card._asdict()
        card["limits"] = card["limits"]._asdict()
        return _json({**card, "rows": self._rows.names()})

    def rows(self, request: Request, dataset: str, seed: int) -> Response:
        """Return classes to pick from, other ones for another seed."""
        del request
        with _sentences():
            found = self._rows.pick(
                dataset, rows=_ROWS, shots=_SHOTS, seed=seed % _SEEDS
            )
        return _json(
            {
                "rows": [
                    {"name": name, "images": [_png(image) for image in images]}
                    for name, images in found
                ]
            }
        )

    def draw(self, request: Request) -> Response:
        """Adapt to the images, and stream what is drawn on the way."""
        return self._answer(
            request,
            lambda asked, deadline: _lines(self._drawing(asked, deadline)),
            count="samples",
            most=self._model.card.limits.samples,
        )

    def walk(self, request: Request) -> Response:
        """Adapt to the images, and draw along a way through the latents."""
        card = self._model.card
        if not card.walk:
            raise exceptions.NotFound(
                f"{card.name} has no latents to walk through"
            )

        def frames(asked: inputs.Asked, deadline: float) -> Iterator[bytes]:
            drawn = self._model.walk(
                asked.images,
                steps=asked.steps,
                frames=asked.number,
                seed=asked.seed,
                deadline=deadline,
            )
            yield _line(
                {"event": "walk", "sheet": _sheet(drawn), "count": len(drawn)}
            )

        return self._answer(
            request, frames, count="frames", most=card.limits.frames
        )

    def _drawing(
        self, asked: inputs.Asked, deadline: float
    ) -> Iterator[dict[str, Any]]:
        """Yield the events of an adaptation."""
        model, card = self._model, self._model.card
        given = data.to_bytes(asked.images)
        yield {
            "event": "given",
            "images": [_png(image) for image in given],
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
        yield {"event": "prior", "sheet": _sheet(prior), "count": len(prior)}
        if card.scratch:
            for frame in model.unfold(
                asked.images, steps=asked.steps, scratch=True, **request
            ):
                yield _step("scratch", frame)

    def _answer(
        self,
        request: Request,
        work: Callable[[inputs.Asked, float], Iterator[bytes]],
        *,
        count: str,
        most: int,
    ) -> Response:
        """Read a request, wait for a turn, and stream the answer.

        What is found wrong before the first line has a status of its own; what
        goes wrong later is the last line, {"event": "error"}.
        """
        began = time.monotonic()
        if request.mimetype != "application/json":
            # So no page of another host sends it without being asked.
            raise exceptions.UnsupportedMediaType(
                f"the request is {request.mimetype or 'of no type'}; expected "
                "application/json"
            )
        with _sentences():
            asked = inputs.read(
                request.get_data(), self._model.card, count=count, most=most
            )
        held = contextlib.ExitStack()
        deadline = held.enter_context(
            http_server.turn(
                self._admission, began=began, seconds=self._seconds
            )
        )

        def lines() -> Iterator[bytes]:
            try:
                yield from work(asked, deadline)
            except TimeoutError:
                yield _error(http_server.late(self._seconds))
            except (ValueError, FloatingPointError) as error:
                yield _error(str(error))
            else:
                spent = time.monotonic() - began
                yield _line({"event": "done", "seconds": round(spent, 3)})

        response = Response(lines(), mimetype="application/x-ndjson")
        response.headers.extend(_HEADERS)
        response.call_on_close(held.close)
        return response


@contextlib.contextmanager
def serving(
    model: Model,
    rows: Rows,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    limits: Limits = LIMITS,
) -> Iterator[Server]:
    """Serve the page until the block ends.

    Args:
      model: what draws; closed at the end.
      rows: to pick from.
      host: address to listen on.
      port: 0 takes a free one.
      limits: for all visitors.

    Yields:
      The server.

    Raises:
      OSError: the port cannot be had.
    """
    admission = Admission(running=limits.running, waiting=limits.waiting)
    routes = PageRoutes(
        model, rows, admission=admission, seconds=limits.seconds
    )
    with (
        contextlib.closing(model),
        http_server.serving(
            routes.rules(),
            host=host,
            port=port,
            limits=limits,
            admission=admission,
            prepare=model.warm_up,
        ) as server,
    ):
        yield server


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """Answer a ValueError with 400 and its sentence, an OSError with 503."""
    try:
        yield
    except ValueError as error:
        raise exceptions.BadRequest(str(error)) from error
    except OSError as error:
        raise exceptions.ServiceUnavailable(str(error)) from error


def _step(of: str, frame: Any) -> dict[str, Any]:
    return {
        "event": "step",
        "of": of,
        "step": frame.step,
        "chosen": frame.chosen,
        "losses": None
        if frame.d_loss is None
        else {"d": round(frame.d_loss, 5), "g": round(frame.g_loss, 5)},
        "sheet": _sheet(frame.samples),
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


def _lines(events: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    return (_line(event) for event in events)


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _error(sentence: str) -> bytes:
    return _line({"event": "error", "error": sentence})


def _json(content: dict[str, Any]) -> Response:
    return Response(
        json.dumps(content), mimetype="application/json", headers=_HEADERS
    )


def _sheet(images: np.ndarray) -> str:
    """Set images [n, H, W, C] beside and below each other, a PNG file."""
    n, h, w, c = images.shape
    lines = -(-n // COLUMNS)
    sheet = np.zeros([lines * COLUMNS, h, w, c], np.uint8)
    sheet[:n] = data.to_bytes(images)
    sheet = sheet.reshape(lines, COLUMNS, h, w, c).swapaxes(1, 2)
    return _png(sheet.reshape(lines * h, COLUMNS * w, c))


def _png(image: np.ndarray) -> str:
    """Return uint8 [H, W, C] as a data URL."""
    file = io.BytesIO()
    grey = image.shape[-1] == 1
    PIL.Image.fromarray(image[..., 0] if grey else image).save(
        file, "PNG", compress_level=1
    )
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
