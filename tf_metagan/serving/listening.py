"""Where a server of this machine listens, and until when. No HTTP here."""

import contextlib
import ipaddress
import signal
import threading
import types
from collections.abc import Iterator


def address(listen: str) -> tuple[str, int]:
    """Read "HOST:PORT" as a numeric address and a port.

    Args:
      listen: as "127.0.0.1:8501", "[::1]:8501" or "localhost:8501".

    Raises:
      ValueError: it is something else.

    >>> address("localhost:8501"), address("[::1]:0")
    (('127.0.0.1', 8501), ('::1', 0))
    """
    host, _, port = listen.rpartition(":")
    host = {"localhost": "127.0.0.1"}.get(host, host.strip("[]"))
    try:
        ipaddress.ip_address(host)
        if not 0 <= int(port) < 2**16:
            raise ValueError(f"{port} is no port")
    except ValueError as error:
        raise ValueError(
            f"--listen={listen}: {error}; expected an address and a port, as "
            "127.0.0.1:8501 or [::1]:8501"
        ) from error
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address."""
    return ipaddress.ip_address(host).is_loopback


@contextlib.contextmanager
def until_signal() -> Iterator[threading.Event]:
    """Yield what SIGINT and SIGTERM set."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: types.FrameType | None) -> None:
        del number, frame
        stop.set()

    before = {
        number: signal.signal(number, ask_to_stop)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
