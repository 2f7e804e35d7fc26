"""The HTTP server under good and bad clients; it knows no model."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug import Response
from werkzeug.routing import Rule

from tests.serving import asking
from tf_metagan.serving import http_server, listening
from tf_metagan.serving.http_server import App, Limits, Server

BODY = 10_000
SECONDS = 1.0
LARGE = 2**24  # bytes, more than the kernel takes at once
LIMITS = Limits(body_bytes=BODY, seconds=SECONDS, running=1, waiting=2)
HEAD = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"


def echo(request):
    return Response(
        f'{{"bytes": {len(request.get_data())}}}', mimetype="application/json"
    )


def fail(request):
    raise ZeroDivisionError("a defect")


def large(request):
    text = '"' + "x" * LARGE + '"'
    return Response(text, mimetype="application/json")


def started(*, host="127.0.0.1", port=0, hosts=()):
    """Return a server with small limits."""
    rules = [
        Rule("/echo", endpoint=echo, methods=["POST"]),
        Rule("/fail", endpoint=fail, methods=["GET"]),
        Rule("/large", endpoint=large, methods=["GET"]),
    ]
    app = App(rules, hosts=hosts)
    return Server(app, host=host, port=port, limits=LIMITS)


@pytest.fixture(scope="module")
def server():
    with started(hosts=http_server.LOOPBACK) as made:
        yield made


@pytest.fixture(scope="module")
def url(server):
    return server.url


@pytest.fixture(autouse=True)
def _alive(url):
    """After every test the server answers, and quickly."""
    yield
    start = time.monotonic()
    assert asking.ask(url, "POST", "/echo", "abc").content == {"bytes": 3}
    assert time.monotonic() - start < 5


def refused(found, status, sentence):
    assert found.status == status
    assert found.content.keys() == {"error"}
    assert sentence in found.content["error"]


# -------------------------------------------------------------------- routes


def test_unknown_paths_name_the_known_ones(url):
    found = asking.ask(url, "GET", "/v2/models")
    refused(found, 404, "there is no /v2/models; expected one of POST /echo")


def test_wrong_methods_name_the_right_ones(url):
    found = asking.ask(url, "GET", "/echo")
    refused(found, 405, "/echo is not for GET; expected")
    assert "POST" in found.headers["Allow"]


def test_a_defect_is_an_error_and_no_end(url, caplog):
    found = asking.ask(url, "GET", "/fail")
    refused(found, 500, "Internal Server Error")
    assert "a defect" not in found.content["error"]
    assert "ZeroDivisionError" in caplog.text


def test_only_names_of_this_machine_lead_here(url):
    found = asking.ask(url, "POST", "/echo", headers={"Host": "example.org"})
    refused(found, 400, "addressed as example.org; expected one of 127.0.0.1")
    for host in ("localhost:1234", "127.0.0.1", "[::1]:8501"):
        found = asking.ask(url, "POST", "/echo", headers={"Host": host})
        assert found.status == 200
    assert asking.send(url, b"POST /echo HTTP/1.0\r\n\r\n").status == 200
    with started(host="::1") as server:
        assert server.url.startswith("http://[::1]:")
        headers = {"Host": "example.org"}
        found = asking.ask(server.url, "POST", "/echo", headers=headers)
        assert found.status == 200


def test_loopback_is_told_from_other_addresses():
    assert listening.is_loopback("127.0.0.1")
    assert listening.is_loopback("::1")
    assert not listening.is_loopback("0.0.0.0")


# -------------------------------------------------------------- large bodies


def test_largest_body_is_read(url):
    found = asking.ask(url, "POST", "/echo", b"x" * (BODY - 1))
    assert found.content == {"bytes": BODY - 1}


@pytest.mark.parametrize("times", [1, 5])
def test_larger_body_is_sent_whole_and_refused(url, times):
    found = asking.ask(url, "POST", "/echo", b"x" * BODY * times)
    refused(found, 413, f"has {BODY * times} bytes; expected fewer than {BODY}")


def test_client_that_still_sends_is_not_cut_off(url):
    raw = HEAD + b"Content-Length: 20000\r\n\r\n"
    with asking.connect(url) as opened:
        for part in (raw, b"x" * 10000, b"x" * 10000):
            opened.sendall(part)
            time.sleep(0.2)  # else a close in between would go unnoticed
        refused(asking.reply(opened), 413, "has 20000 bytes")


def test_enormous_body_is_refused_before_it_comes(url):
    raw = HEAD + b"Content-Length: 1000000000000\r\n\r\n"
    with asking.connect(url) as opened:
        opened.sendall(raw)
        refused(asking.reply(opened), 413, "has 1000000000000 bytes")


def test_client_that_waits_for_a_word_is_not_made_to_send(url):
    raw = HEAD + b"Content-Length: 20000\r\nExpect: 100-continue\r\n\r\n"
    with asking.connect(url) as opened:
        opened.sendall(raw)
        refused(asking.reply(opened), 413, "has 20000 bytes")
    raw = raw.replace(b"20000", b"3")
    with asking.connect(url) as opened:
        opened.sendall(raw)
        assert opened.recv(100).startswith(b"HTTP/1.1 100 Continue")
        opened.sendall(b"abc")
        assert asking.reply(opened).content == {"bytes": 3}


def test_chunks_are_counted(url):
    raw = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"400\r\n" + b"x" * 1024 + b"\r\n"
    found = asking.send(url, raw + 2 * chunk + b"0\r\n\r\n")
    assert found.content == {"bytes": 2048}
    with asking.connect(url) as opened:
        opened.sendall(raw + 10 * chunk)
        refused(asking.reply(opened), 413, "the body has too many bytes")


# ----------------------------------------------------------------- bad bytes

BAD = {
    "no request": (b"hello\r\n\r\n", 400),
    "length": (HEAD + b"Content-Length: many\r\n\r\n", 400),
    "digits": (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "encoding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
    "headers": (HEAD + b"X: " + b"y" * 20000 + b"\r\n\r\n", 431),
    "header": (HEAD + b"no colon\r\n\r\n", 400),
}


@pytest.mark.parametrize(("raw", "status"), BAD.values(), ids=list(BAD))
def test_what_is_no_http_has_a_json_error(url, raw, status):
    with asking.connect(url) as opened:
        opened.sendall(raw)
        found = asking.reply(opened)
    assert found.status == status
    assert found.content.keys() == {"error"}


_PARTS = st.sampled_from(
    [
        b"POST ",
        b"GET ",
        b"/echo",
        b"/%00%ff",
        b"http://[",
        b" HTTP/1.1",
        b" HTTP/9",
        b"\r\n",
        b"\r\n\r\n",
        b"Host: localhost",
        b"Host: [",
        b"Content-Length: 3",
        b"Content-Length: -1",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"Connection: keep-alive",
        b"abc",
    ]
)
_RAW = st.lists(_PARTS | st.binary(max_size=20), max_size=12).map(b"".join)


@settings(max_examples=150)
@given(start=st.sampled_from([b"", HEAD]), rest=_RAW)
def test_no_bytes_are_the_end_of_it(url, start, rest):
    found = asking.send(url, start + rest)
    if found is not None and found.status >= 400:
        # A status 100 to 399 comes from requests that happen to be good.
        assert found.content is None or found.content.keys() == {"error"}
    assert asking.ask(url, "POST", "/echo", "abcd").content == {"bytes": 4}


# -------------------------------------------------------------- slow clients


def test_clients_that_trickle_are_cut_off_and_hold_nobody_up(url):
    raw = HEAD + b"Content-Length: 1000\r\n\r\n"
    slow = [asking.connect(url) for _ in range(50)]
    for opened in slow:
        opened.sendall(raw)
    start = time.monotonic()
    assert asking.ask(url, "POST", "/echo", "abc").status == 200
    assert time.monotonic() - start < SECONDS
    gone = 0
    while time.monotonic() - start < 20 and gone < 50:
        time.sleep(0.3)
        gone = sum(not _takes(opened) for opened in slow)
    assert gone == 50
    for opened in slow:
        opened.close()


def _takes(opened):
    """Send one more byte of a body; return whether somebody listens."""
    try:
        opened.sendall(b"x")
        return True
    except OSError:
        return False


def test_client_that_leaves_its_answer_is_cut_off(url, server):
    with asking.connect(url) as opened:
        opened.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        mine = opened.getsockname()
        end = time.monotonic() + 20
        while mine not in addresses(server) and time.monotonic() < end:
            time.sleep(0.01)
        assert mine in addresses(server)
        while mine in addresses(server) and time.monotonic() < end:
            time.sleep(0.1)
        assert mine not in addresses(server)


def addresses(server):
    """Return the clients of open connections."""
    return [x.addr for x in list(server._listener.active_channels.values())]


def test_client_that_goes_away_is_nobodys_concern(url):
    for raw in (HEAD, HEAD + b"Content-Length: 9\r\n\r\nabc", b"\x16\x03\x01"):
        asking.connect(url).close()
        with asking.connect(url) as opened:
            opened.sendall(raw)


def test_many_clients_at_once_are_all_answered(url):
    found = []

    def client(number):
        body = "x" * number
        found.append((number, asking.ask(url, "POST", "/echo", body).content))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(n for n, _ in found) == list(range(64))
    assert all(content == {"bytes": n} for n, content in found)


# ----------------------------------------------------------------- the end


def test_answers_under_way_are_sent_before_the_end():
    with started() as server:
        opened = asking.connect(server.url)
        opened.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        lengths = []
        thread = threading.Thread(
            target=lambda: lengths.append(len(asking.reply(opened).content))
        )
        thread.start()
        while not server._listener.unsent():
            time.sleep(0.001)
    thread.join()
    opened.close()
    assert lengths == [LARGE]
    with pytest.raises(ConnectionError):
        asking.ask(server.url, "POST", "/echo")


def test_the_end_may_come_while_an_answer_wakes_the_loop():
    with started() as server:
        waker = server._listener.trigger
        pull = waker._physical_pull

        def pull_late():
            pull()  # as a thread with an answer does at the same moment
            server._loop.join(5)
            pull()

        waker._physical_pull = pull_late
    assert not server._loop.is_alive()
    assert waker._closed


def test_port_in_use_is_an_error(url):
    port = asking.address(url)[1]
    with pytest.raises(OSError, match="in use"):
        started(port=port)
