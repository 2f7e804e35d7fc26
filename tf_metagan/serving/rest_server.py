"""TensorFlow Serving's REST routes over an export in this process."""

import contextlib
import json
import time
from collections.abc import Iterator

import tensorflow as tf
from werkzeug import Request, Response, exceptions
from werkzeug.routing import Rule

from tf_metagan.serving import http_server, rest
from tf_metagan.serving import model as model_lib
from tf_metagan.serving.admission import Admission
from tf_metagan.serving.http_server import DEFAULT_LIMITS, Limits, Server
from tf_metagan.serving.session import Session

# Source: tensorflow/serving, util/net_http and http_rest_api_util; what is not
# named is 500.
_STATUS = {
    tf.errors.INVALID_ARGUMENT: 400,
    tf.errors.FAILED_PRECONDITION: 400,
    tf.errors.OUT_OF_RANGE: 400,
    tf.errors.NOT_FOUND: 404,
    tf.errors.RESOURCE_EXHAUSTED: 429,
    tf.errors.UNIMPLEMENTED: 501,
    tf.errors.DEADLINE_EXCEEDED: 504,
}


class RestRoutes:
    """Answers predict, metadata and status of one model."""

    def __init__(
        self,
        session: Session,
        *,
        name: str,
        admission: Admission,
        seconds: float,
    ):
        """Hold what the routes share.

        Args:
          session: the loaded export.
          name: under which it is served.
          admission: of the requests that run it.
          seconds: that a request may take, waiting included.
        """
        self._session = session
        self._name = name
        self._version = int(session.info["version"])
        self._admission = admission
        self._seconds = seconds

    def rules(self) -> list[Rule]:
        """Return the routes for `http_server.App`."""
        made = []
        for base in ("", "/versions/<int:version>"):
            path = f"/v1/models/<name>{base}"
            made += [
                Rule(
                    f"{path}:predict", endpoint=self.predict, methods=["POST"]
                ),
                Rule(path, endpoint=self.status, methods=["GET"]),
                Rule(
                    f"{path}/metadata", endpoint=self.metadata, methods=["GET"]
                ),
            ]
        return made

    def status(
        self, request: Request, name: str, version: int | None = None
    ) -> Response:
        """Say that the version is there."""
        del request
        self._check(name, version)
        return _json(json.dumps(rest.status(self._version), indent=1))

    def metadata(
        self, request: Request, name: str, version: int | None = None
    ) -> Response:
        """Describe the signatures."""
        del request
        self._check(name, version)
        content = rest.metadata(name, self._version, self._session.signatures)
        return _json(json.dumps(content, indent=1))

    def predict(
        self, request: Request, name: str, version: int | None = None
    ) -> Response:
        """Run a signature."""
        began = time.monotonic()
        self._check(name, version)
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise exceptions.UnsupportedMediaType(
                "the body has a Content-Encoding; expected plain JSON"
            )
        try:
            with http_server.turn(
                self._admission, began=began, seconds=self._seconds
            ) as deadline:
                return _json(self._predict(request.get_data(), deadline))
        except tf.errors.DeadlineExceededError as error:
            raise exceptions.GatewayTimeout(
                http_server.late(self._seconds)
            ) from error
        except ValueError as error:
            raise exceptions.BadRequest(str(error)) from error
        except tf.errors.OpError as error:
            status = _STATUS.get(error.error_code, 500)
            sentence = model_lib.explain(error)
            raise exceptions.default_exceptions[status](sentence) from error

    def _predict(self, body: bytes, deadline: float) -> str:
        asked = rest.read(body, self._session.signatures)
        outputs = self._session.run(
            asked.signature,
            asked.inputs,
            seconds=deadline - time.monotonic(),
        )
        return rest.write(outputs, rows=asked.rows)

    def _check(self, name: str, version: int | None) -> None:
        if name != self._name or version not in (None, self._version):
            came = name if version is None else f"{name}, version {version}"
            raise exceptions.NotFound(
                f"there is no model {came}; expected {self._name}, version "
                f"{self._version}"
            )


def _json(text: str) -> Response:
    return Response(text, mimetype="application/json")


@contextlib.contextmanager
def serving(
    path: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    name: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Server]:
    """Serve an export until the block ends; admitted requests are answered.

    Args:
      path: folder of a version, or of a model, whose newest version is taken.
      host: address to listen on.
      port: 0 takes a free one.
      name: of the model in requests; None is the one in model.json.
      limits: for all clients.

    Yields:
      The server.

    Raises:
      FileNotFoundError: there is no exported model.
      OSError: the port cannot be had.
    """
    session = Session(path)
    admission = Admission(running=limits.running, waiting=limits.waiting)
    routes = RestRoutes(
        session,
        name=name or session.info["name"],
        admission=admission,
        seconds=limits.seconds,
    )
    try:
        with http_server.serving(
            routes.rules(),
            host=host,
            port=port,
            limits=limits,
            admission=admission,
            prepare=session.warm_up,
        ) as server:
            yield server
    finally:
        session.close()
