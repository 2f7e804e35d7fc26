"""HTTP for development: limits, errors as JSON, a clean stop.

waitress reads and writes all connections in one thread, so that slow clients
hold no worker, and hands complete requests to its workers. Here its limits are
set, its own errors become JSON, and requests that trickle in or are too large
are dealt with. It knows nothing about models.
"""

import contextlib
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import waitress.utilities
from waitress import channel, parser, server, task, wasyncore
from waitress.adjustments import Adjustments
from werkzeug import Request, Response, exceptions
from werkzeug.routing import BaseConverter, Map, Rule

from tf_metagan.serving.admission import Admission, Busy
from tf_metagan.serving.listening import is_loopback

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_PORT = re.compile(r":\d+$")
_RETRY_SECONDS = 1
_SPARE = 4  # workers beyond all places, which turn requests away
_CONNECTIONS = 256
_HEADER_BYTES = 2**14
_IN_MEMORY = 2**16  # bytes of a body beyond which it waits on the disk
_READ_AWAY = 8  # times the largest body, read to say that it is too large
_FAREWELL = 5.0  # seconds to send what is under way when the server stops
_UNSENT = 2**28  # bytes of answers that a connection may have to fetch


class Limits(NamedTuple):
    """What one client or many can make the server do.

    Attributes:
      body_bytes: of a request.
      seconds: from a complete request to its answer; also for a client to send
        one, and to fetch the answer.
      running: requests that are worked on at the same time.
      waiting: requests that wait for them.
    """

    body_bytes: int = 2**24
    seconds: float = 30.0
    running: int = 2
    waiting: int = 32


DEFAULT_LIMITS = Limits()


class _Part(BaseConverter):
    """A part of a path; it ends at a colon too, as in models/NAME:predict."""

    regex = "[^/:]+"


class App:
    """A WSGI application of routes, whose errors are {"error": sentence}."""

    def __init__(self, rules: Sequence[Rule], *, hosts: Sequence[str] = ()):
        """Take the routes.

        Args:
          rules: whose endpoint is a function of (request, **parts of the path)
            that returns a Response or raises an HTTPException.
          hosts: names under which the server may be addressed; none: every
            name. With LOOPBACK a web page in a browser cannot reach a server
            of this machine by a name of its own that leads here.
        """
        self._rules = [f"{_methods(rule)} {rule.rule}" for rule in rules]
        self._map = Map(
            rules,
            strict_slashes=False,
            merge_slashes=False,
            converters={"default": _Part},
        )
        self._hosts = hosts

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        try:
            response = self._answer(Request(environ))
        except exceptions.HTTPException as error:
            response = _refused(error)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        host = request.headers.get("Host", "")
        if self._hosts and host and _PORT.sub("", host) not in self._hosts:
            raise exceptions.BadRequest(
                f"this server is addressed as {host}; expected one of "
                f"{', '.join(self._hosts)}"
            )
        try:
            found = self._map.bind("").match(request.path, request.method)
        except exceptions.NotFound as error:
            raise exceptions.NotFound(
                f"there is no {request.path}; expected one of "
                f"{', '.join(self._rules)}"
            ) from error
        except exceptions.MethodNotAllowed as error:
            raise exceptions.MethodNotAllowed(
                error.valid_methods,
                f"{request.path} is not for {request.method}; expected "
                f"{' or '.join(sorted(error.valid_methods or ()))}",
            ) from error
        endpoint, parts = found
        answer: Response = endpoint(request, **parts)
        return answer


@contextlib.contextmanager
def turn(
    admission: Admission, *, began: float, seconds: float
) -> Iterator[float]:
    """Wait for a turn and hold it; who gets none is refused in HTTP.

    Args:
      admission: the queue.
      began: when the request came, of `time.monotonic`.
      seconds: that it may take from then on, waiting included.

    Yields:
      The deadline. A TimeoutError of the block is answered 504.

    Raises:
      HTTPException: there is no place, or the time is over.
    """
    try:
        with admission.enter(began + seconds):
            yield began + seconds
    except Busy as error:
        raise exceptions.ServiceUnavailable(
            f"{error}; try again later", retry_after=_RETRY_SECONDS
        ) from error
    except TimeoutError as error:
        raise exceptions.GatewayTimeout(late(seconds)) from error


def late(seconds: float) -> str:
    """Return the sentence of a request that took longer than it may."""
    return (
        f"there was no answer within {seconds:g} s, the time limit of this "
        "server; ask for fewer steps, images or samples"
    )


@contextlib.contextmanager
def serving(
    rules: Sequence[Rule],
    *,
    host: str,
    port: int,
    limits: Limits,
    admission: Admission,
    prepare: Callable[[], None],
) -> Iterator["Server"]:
    """Serve routes until the block ends; admitted requests are answered.

    Args:
      rules: see `App`.
      host: address to listen on. On a loopback address requests under another
        host name are refused.
      port: 0 takes a free one.
      limits: for all clients.
      admission: the queue of the routes, closed at the end.
      prepare: called when the port is had and before anybody is answered.

    Yields:
      The server.

    Raises:
      OSError: the port cannot be had.
    """
    app = App(rules, hosts=LOOPBACK if is_loopback(host) else ())
    server = Server(app, host=host, port=port, limits=limits)
    prepare()
    with server:
        try:
            yield server
        finally:
            admission.close(seconds=limits.seconds)


def _methods(rule: Rule) -> str:
    return "/".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))


def _refused(error: exceptions.HTTPException) -> Response:
    kept = ("Allow", "Retry-After")
    return Response(
        json.dumps({"error": error.description}),
        error.code,
        [(k, v) for k, v in error.get_headers() if k in kept],
        mimetype="application/json",
    )


class Server:
    """A WSGI application behind a port, in threads of this process.

    `with Server(...)` serves until the block ends; requests that were admitted
    are answered first if the application's queue was closed before.

    Attributes:
      url: "http://127.0.0.1:8501".
    """

    def __init__(self, app: Any, *, host: str, port: int, limits: Limits):
        """Bind the port.

        Args:
          app: WSGI application.
          host: address to listen on.
          port: 0 takes a free one.
          limits: for all clients.

        Raises:
          OSError: the port cannot be had.
        """
        # It speaks of every request that waits.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        dispatcher = task.ThreadedTaskDispatcher()
        adjustments = Adjustments(
            listen=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            connection_limit=_CONNECTIONS,
            asyncore_use_poll=True,
            channel_timeout=limits.seconds,
            cleanup_interval=1,
            max_request_body_size=limits.body_bytes,
            max_request_header_size=_HEADER_BYTES,
            inbuf_overflow=_IN_MEMORY,
            outbuf_high_watermark=_UNSENT,
            ident="tf_metagan",
        )
        opened: dict[int, Any] = {}
        try:
            self._listener = _Listener(
                app,
                opened,
                dispatcher=dispatcher,
                adj=adjustments,
                sockinfo=adjustments.listen[0],
            )
        except OSError:
            wasyncore.close_all(opened)
            raise
        dispatcher.set_thread_count(limits.running + limits.waiting + _SPARE)
        self._loop = threading.Thread(
            target=self._listener.run, name="http", daemon=True
        )
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._listener.effective_port}"

    def __enter__(self) -> "Server":
        """Start to serve."""
        self._loop.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Send what is to be sent, then close all connections."""
        end = time.monotonic() + _FAREWELL
        while self._listener.unsent() and time.monotonic() < end:
            time.sleep(0.01)
        waker = self._listener.trigger
        waker.pull_trigger(self._listener.close_all)
        self._loop.join()
        threads = self._listener.task_dispatcher
        threads.shutdown(timeout=1)
        if not threads.threads:
            waker.close()  # a thread that is busy yet will write to it


class _JsonError:
    """An error of waitress in the form of ours."""

    def __init__(self, error: waitress.utilities.Error):
        self._error = error

    def to_response(self, ident: str) -> tuple[str, list[Any], bytes]:
        del ident
        sentence = f"{self._error.reason}: {self._error.body}"
        return (
            f"{self._error.code} {self._error.reason}",
            [("Content-Type", "application/json")],
            json.dumps({"error": sentence}).encode(),
        )


class _ErrorTask(task.ErrorTask):  # type: ignore[misc]
    def execute(self) -> None:
        self.request.error = _JsonError(self.request.error)
        super().execute()


class _Parser(parser.HTTPRequestParser):  # type: ignore[misc]
    """Reads a body that is too large without keeping it.

    A client that is cut off while it sends does not read why.
    """

    def __init__(self, adj: Adjustments):
        super().__init__(adj)
        self.began = time.time()
        self.expect_continue = False
        self._unread = 0

    def received(self, data: bytes) -> int:
        if self._unread:
            taken = min(len(data), self._unread)
            self._unread -= taken
            self.completed = not self._unread
            return taken
        try:
            taken = super().received(data)
        except ValueError:  # a Content-Length of thousands of digits
            self.error = waitress.utilities.BadRequest("Content-Length")
            self.completed = True
            return len(data)
        if isinstance(self.error, waitress.utilities.RequestEntityTooLarge):
            most = self.adj.max_request_body_size
            self.error.body = (
                f"the body has {self.content_length or 'too many'} bytes; "
                f"expected fewer than {most}"
            )
            if self.expect_continue:
                self.expect_continue = False  # the client waits for a word
            elif self.content_length <= _READ_AWAY * most:
                left = self.content_length - self.body_bytes_received
                self._unread = max(0, left)
                self.completed = not self._unread
        return int(taken)


class _Channel(channel.HTTPChannel):  # type: ignore[misc]
    error_task_class = _ErrorTask
    parser_class = _Parser


class _Listener(server.TcpWSGIServer):  # type: ignore[misc]
    channel_class = _Channel

    def maintenance(self, now: float) -> None:
        """Close connections that trickle in or do not fetch their answer."""
        super().maintenance(now)
        oldest = now - self.adj.channel_timeout
        for connection in list(self.active_channels.values()):
            request = connection.request
            if (request is not None and request.began < oldest) or (
                connection.total_outbufs_len
                and connection.last_activity < oldest
            ):
                connection.handle_close()

    def unsent(self) -> bool:
        """Return whether a connection has a request or an answer under way."""
        return any(
            connection.requests or connection.total_outbufs_len
            for connection in list(self.active_channels.values())
        )

    def close_all(self) -> None:
        """End the loop; what wakes it stays open: threads may write to it."""
        for connection in list(self.active_channels.values()):
            connection.handle_close()  # with its buffers
        self.trigger.del_channel()
        wasyncore.dispatcher.close(self)
