"""Few work, some wait, the rest is turned away."""

import threading
import time

import pytest

from tf_metagan.serving.admission import Admission, Busy


def soon(seconds=10.0):
    return time.monotonic() + seconds


def inside(admission, number):
    """Start threads that enter and wait for the event."""
    leave, entered = threading.Event(), []

    def stay():
        with admission.enter(soon()):
            entered.append(threading.current_thread())
            leave.wait(10)

    threads = [threading.Thread(target=stay) for _ in range(number)]
    for thread in threads:
        thread.start()
    end = soon()
    while admission._inside < number and time.monotonic() < end:
        time.sleep(0.001)
    return leave, threads, entered


def test_who_finds_no_place_is_told_at_once():
    admission = Admission(running=1, waiting=2)
    leave, threads, entered = inside(admission, 3)
    start = time.monotonic()
    with (
        pytest.raises(Busy, match=r"^3 requests are running or waiting"),
        admission.enter(soon()),
    ):
        pass
    assert time.monotonic() - start < 1
    assert len(entered) <= 1
    leave.set()
    for thread in threads:
        thread.join()
    assert len(entered) == 3
    with admission.enter(soon()):
        pass


def test_waiting_ends_with_the_deadline():
    admission = Admission(running=1, waiting=2)
    leave, threads, _ = inside(admission, 1)
    with (
        pytest.raises(TimeoutError, match="waited too long"),
        admission.enter(soon(0.05)),
    ):
        pass
    leave.set()
    threads[0].join()
    # The place that waited is free again.
    assert admission._inside == 0


def test_an_error_inside_gives_the_place_back():
    admission = Admission(running=1, waiting=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), admission.enter(soon()):
            raise ZeroDivisionError


def test_closing_waits_for_those_inside_and_admits_nobody():
    admission = Admission(running=2, waiting=0)
    leave, _, entered = inside(admission, 1)
    admission.close(seconds=0.01)  # they are still there
    with (
        pytest.raises(Busy, match="the server is stopping"),
        admission.enter(soon()),
    ):
        pass
    leave.set()
    admission.close(seconds=10)
    assert admission._inside == 0
    assert len(entered) == 1
