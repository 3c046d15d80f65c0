"""The addresses of a receiver. Names are looked up aside: a name server may take half a minute to answer."""

import socket
import threading
from typing import Any, Final, NamedTuple

#: Seconds. A receiver may get another address (DHCP) without a sign.
_LOOK_UP_EVERY: Final = 300.0
_LOOK_UP_SOON: Final = 15.0


class UdpAddress(NamedTuple):
    """What a socket can be connected to."""

    family: int
    address: Any


class UdpAddresses:
    """The addresses of one host, the best first.

    Attributes:
        found: those of the last look-up that succeeded.
        fault: why the last look-up failed; None if it did not.
    """

    def __init__(self, host: str, port: int) -> None:
        self.found: tuple[UdpAddress, ...] = ()
        self.fault: str | None = None
        self._host = host
        self._port = port
        self._thread: threading.Thread | None = None
        self._next = 0.0
        self._look_up(socket.AI_NUMERICHOST)
        self._is_name = not self.found
        if self._is_name:
            self.fault = "the name server does not answer"

    def refresh(self, now: float, *, soon: bool) -> None:
        """Look the name up again if that is due; `soon` while the receiver cannot be reached."""
        if self._is_name and now >= self._next - (_LOOK_UP_EVERY - _LOOK_UP_SOON if soon else 0):
            if self._thread is not None and self._thread.is_alive():
                return
            self._next = now + _LOOK_UP_EVERY
            self._thread = threading.Thread(target=self._look_up, name=f"look up {self._host}", daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for the end of a look-up."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _look_up(self, flags: int = 0) -> None:
        try:
            answers = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM, flags=flags)
        except (OSError, UnicodeError) as error:  # the latter for what can be no name
            self.fault = (isinstance(error, OSError) and error.strerror) or "this is no name of a host"
            return
        self.found = tuple(UdpAddress(family, address) for family, _, _, _, address in answers)
        self.fault = None
