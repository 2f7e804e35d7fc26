"""HTTP by hand, so that tests send what no client library would."""

import http.client
import json
import socket
import urllib.parse
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """Status, headers, and the JSON of the body."""

    status: int
    headers: Any
    content: Any


def ask(url, method, path, body=None, *, headers=None, seconds=60):
    """Send a request on a connection of its own."""
    connection = http.client.HTTPConnection(*address(url), timeout=seconds)
    try:
        connection.request(method, path, body, headers or {})
        return _read(connection.getresponse())
    finally:
        connection.close()


def predict(url, content, *, path="/v1/models/toy:predict", seconds=60):
    """Send JSON."""
    return ask(url, "POST", path, json.dumps(content), seconds=seconds)


def address(url):
    """Return (host, port)."""
    place = urllib.parse.urlsplit(url)
    return place.hostname, place.port


def connect(url, *, seconds=30):
    """Open a socket."""
    return socket.create_connection(address(url), timeout=seconds)


def send(url, raw):
    """Send bytes and no more; return the Reply, or None if there is none."""
    with connect(url) as opened:
        try:
            opened.sendall(raw)
            opened.shutdown(socket.SHUT_WR)
            return reply(opened)
        except (ConnectionError, http.client.BadStatusLine):
            return None


def reply(opened):
    """Read a Reply from a socket."""
    response = http.client.HTTPResponse(opened)
    response.begin()
    return _read(response)


def _read(response):
    body = response.read()
    if not body:
        return Reply(response.status, response.headers, None)
    assert response.headers["Content-Type"] == "application/json"
    return Reply(response.status, response.headers, json.loads(body))
