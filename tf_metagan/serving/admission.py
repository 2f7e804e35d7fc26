"""A bounded queue before what can only be done a few at a time."""

import contextlib
import threading
import time
from collections.abc import Iterator


class Busy(Exception):
    """There is no place; the text says why."""


class Admission:
    """Lets few in, a bounded number wait, and turns others away at once."""

    def __init__(self, *, running: int, waiting: int):
        """Set the numbers.

        Args:
          running: how many work at the same time, at least 1.
          waiting: how many may wait for them to finish.
        """
        self._places = running + waiting
        self._working = threading.Semaphore(running)
        self._change = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextlib.contextmanager
    def enter(self, deadline: float) -> Iterator[None]:
        """Wait for a turn and hold it.

        Args:
          deadline: of `time.monotonic`, when waiting ends.

        Raises:
          Busy: all places are taken, or the queue is closed.
          TimeoutError: the deadline came first.
        """
        with self._change:
            if self._closed:
                raise Busy("the server is stopping")
            if self._inside >= self._places:
                raise Busy(
                    f"{self._inside} requests are running or waiting, the "
                    "most that this server admits"
                )
            self._inside += 1
        try:
            wait = max(0.0, deadline - time.monotonic())
            if not self._working.acquire(timeout=wait):
                raise TimeoutError("the request waited too long for its turn")
            try:
                yield
            finally:
                self._working.release()
        finally:
            with self._change:
                self._inside -= 1
                self._change.notify_all()

    def close(self, *, seconds: float) -> None:
        """Turn everybody away and wait until those inside have left.

        Args:
          seconds: to wait at most.
        """
        with self._change:
            self._closed = True
            self._change.wait_for(lambda: not self._inside, seconds)
