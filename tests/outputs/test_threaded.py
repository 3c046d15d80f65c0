"""The thread of an output: it ends in time, a crash is a failure and not the end of everything else."""

import threading
import time

import pytest

from smarty_gateway.outputs.threaded import ThreadedOutput
from tests.support.queued_runs import LONG, numbered


class Scripted(ThreadedOutput):
    """Waits until it shall stop, then does what a test wants."""

    state = "ok"
    is_busy = False

    def __init__(self, error: Exception | None = None, close_error: Exception | None = None) -> None:
        super().__init__("scripted", "the scripted output")
        self._error, self._close_error = error, close_error
        self.is_closed = False
        self.works = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    def work(self) -> None:
        """Fail, or wait for the stop."""
        self.works.set()
        if self._error is not None:
            raise self._error
        while not self.stopping.is_requested:
            self.wake.wait(LONG)
        assert self.may_end.wait(LONG)

    def close(self) -> None:
        """Fail, or remember that it was called."""
        self.is_closed = True
        if self._close_error is not None:
            raise self._close_error


def test_a_stop_wakes_the_thread_and_closes_what_it_holds() -> None:
    output = Scripted()
    output.start()
    output.stop(LONG)
    assert output.stopping.by > time.monotonic()  # long before its time was over
    assert output.is_closed
    assert (output.failure, output.is_over) == (None, False)


def test_a_crash_at_work_is_a_failure_and_everything_is_closed_all_the_same() -> None:
    output = Scripted(ValueError("at work"), ValueError("at the end"))
    output.start()
    output._thread.join(LONG)
    assert output.failure == "the scripted output failed: ValueError('at work')"
    assert output.is_closed
    assert output.is_over


def test_a_crash_at_the_end_is_a_failure() -> None:
    output = Scripted(close_error=ValueError("at the end"))
    output.start()
    output.stop(LONG)
    assert output.failure == "the scripted output failed: ValueError('at the end')"


def test_what_is_published_after_the_end_does_no_harm() -> None:
    output = Scripted()
    output.start()
    output.stop(LONG)
    output.publish(numbered(1))
    output.publish(numbered(2, live=False))
    output.stop(0)


def test_a_thread_that_does_not_end_in_time_is_named_and_left(caplog: pytest.LogCaptureFixture) -> None:
    output = Scripted()
    output.may_end.clear()
    output.start()
    output.works.wait(LONG)
    output.stop(0.01)
    assert caplog.messages == ["the scripted output did not end in time"]
    output.may_end.set()
    output._thread.join(LONG)
