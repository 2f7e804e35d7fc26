"""What every page of the demo has: its files, and streamed answers.

Answers are lines of JSON, sent while the model works. Images travel as PNG
sheets: all samples of a moment in one picture, in columns of `COLUMNS`.
"""

import abc
import base64
import contextlib
import importlib.resources
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import PIL.Image
from werkzeug import Request, Response, exceptions
from werkzeug.routing import Rule

from tf_metagan.data import base as data
from tf_metagan.serving import http_server
from tf_metagan.serving.admission import Admission

COLUMNS = 8

_Asked = TypeVar("_Asked")

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


class Page(abc.ABC):
    """A page and the routes behind it.

    Attributes:
      html: file of the page.
    """

    html: str

    def __init__(self, *, admission: Admission, seconds: float):
        """Hold what the routes share.

        Args:
          admission: of the requests that run the model.
          seconds: that a request may take, waiting included.
        """
        self._admission = admission
        self._seconds = seconds
        folder = importlib.resources.files(__package__) / "files"
        self._files = {
            file.name: file.read_bytes()
            for file in sorted(folder.iterdir(), key=lambda file: file.name)
        }

    def rules(self) -> list[Rule]:
        """Return the routes for `http_server.App`."""
        return [
            rule("/", self.page),
            rule("/files/<name>", self.file),
            rule("/api/model", self.card),
        ]

    def page(self, request: Request) -> Response:
        """Return the page."""
        return self.file(request, self.html)

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

    @abc.abstractmethod
    def card(self, request: Request) -> Response:
        """Describe the model."""

    def answer(
        self,
        request: Request,
        read: Callable[[bytes], _Asked],
        work: Callable[[_Asked, float], Iterator[dict[str, Any]]],
    ) -> Response:
        """Read a request, wait for a turn, and stream the answer.

        What is found wrong before the first line has a status of its own; what
        goes wrong later is the last line, {"event": "error"}.

        Args:
          request: with a body of JSON.
          read: body -> what is asked; a ValueError's sentence is for people.
          work: (what is asked, deadline) -> events.
        """
        began = time.monotonic()
        if request.mimetype != "application/json":
            # So no page of another host sends it without being asked.
            raise exceptions.UnsupportedMediaType(
                f"the request is {request.mimetype or 'of no type'}; expected "
                "application/json"
            )
        with sentences():
            asked = read(request.get_data())
        held = contextlib.ExitStack()
        deadline = held.enter_context(
            http_server.turn(
                self._admission, began=began, seconds=self._seconds
            )
        )

        def lines() -> Iterator[bytes]:
            try:
                yield from map(_line, work(asked, deadline))
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


def rule(path: str, endpoint: Any, method: str = "GET") -> Rule:
    """Return a route."""
    return Rule(path, endpoint=endpoint, methods=[method])


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Answer a ValueError with 400 and its sentence, an OSError with 503."""
    try:
        yield
    except ValueError as error:
        raise exceptions.BadRequest(str(error)) from error
    except OSError as error:
        raise exceptions.ServiceUnavailable(str(error)) from error


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _error(sentence: str) -> bytes:
    return _line({"event": "error", "error": sentence})


def json_answer(content: dict[str, Any]) -> Response:
    return Response(
        json.dumps(content), mimetype="application/json", headers=_HEADERS
    )


def sheet(images: np.ndarray) -> str:
    """Set images [n, H, W, C] beside and below each other, a PNG file."""
    n, h, w, c = images.shape
    lines = -(-n // COLUMNS)
    cells = np.zeros([lines * COLUMNS, h, w, c], np.uint8)
    cells[:n] = data.to_bytes(images)
    cells = cells.reshape(lines, COLUMNS, h, w, c).swapaxes(1, 2)
    return png(cells.reshape(lines * h, COLUMNS * w, c))


def png(image: np.ndarray) -> str:
    """Return uint8 [H, W, C] as a data URL."""
    file = io.BytesIO()
    grey = image.shape[-1] == 1
    PIL.Image.fromarray(image[..., 0] if grey else image).save(
        file, "PNG", compress_level=1
    )
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
