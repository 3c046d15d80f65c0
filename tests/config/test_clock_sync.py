"""Whether the machine's clock is synchronised, as the kernel says."""

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from smarty_gateway.config import clock_sync
from smarty_gateway.config.clock_sync import is_synchronised


class Library:
    """A C library whose kernel says what a test wants."""

    def __init__(self, state: int, status: int) -> None:
        self._state = state
        self._status = status

    def adjtimex(self, found: Any) -> int:  # noqa: ANN401 - a pointer of ctypes
        """Fill the structure in."""
        assert found._obj.modes == 0, "it must not set the clock"
        found._obj.status = self._status
        return self._state


@pytest.mark.parametrize(
    ("state", "status", "is_right"),
    [
        (0, 0x2001, True),  # STA_PLL and STA_NANO
        (0, 0x41, False),  # STA_UNSYNC
        (5, 0x40, False),  # TIME_ERROR
        (1, 0x11, True),  # a leap second comes
    ],
)
def test_the_clock_is_right_if_the_kernel_says_so(
    monkeypatch: pytest.MonkeyPatch, state: int, status: int, *, is_right: bool
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library(state, status))
    assert is_synchronised() is is_right


@pytest.mark.parametrize("is_set", [True, False])
def test_where_the_kernel_may_not_be_asked_the_mark_of_timesyncd_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_set: bool
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library(-1, 0))
    monkeypatch.setattr(clock_sync, "_TIMESYNCD", tmp_path / "synchronized")
    if is_set:
        (tmp_path / "synchronized").touch()
    assert is_synchronised() is is_set


def test_a_c_library_without_the_question_has_no_clock_that_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not is_synchronised()


def test_another_system_has_none_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not is_synchronised()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_the_kernel_of_this_machine_answers() -> None:
    assert is_synchronised() in {True, False}
