"""The output `udp`: a datagram for each telegram, for Loxone and others that wait for one.

Nobody acknowledges a datagram, so nothing is kept and nothing sent again. The sockets are connected: only so
the system says that nobody listens at the receiver.
"""

import errno
import ipaddress
import logging
import socket
import time
from collections.abc import Callable
from typing import Final

from smarty_gateway.config.consumers import UdpConfig
from smarty_gateway.config.values import Config
from smarty_gateway.fault_log import Condition
from smarty_gateway.outputs.attempts import Attempts
from smarty_gateway.outputs.chosen_meter import readings_of
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.plain_values import plain, value_at
from smarty_gateway.outputs.queued import QueuedOutput
from smarty_gateway.outputs.udp.address import UdpAddress, UdpAddresses

_log = logging.getLogger(__name__)

#: Seconds for which a start waits for the name server, so that a short recording loses nothing.
_FIRST_LOOK_UP: Final = 2.0
#: Seconds without a refusal after which somebody listens again; routers limit their messages to one a second.
_NOT_REFUSED: Final = 60.0
#: What Ethernet carries in one packet: 1500 bytes less the headers of IPv4 and UDP.
_UNFRAGMENTED: Final = 1472


class UdpOutput(QueuedOutput):
    """Sends each reading to the receivers that want it."""

    def __init__(self, config: Config) -> None:
        super().__init__("udp", "the udp output")
        self._receivers = [_Receiver(config, receiver) for receiver in config.outputs.udp]

    @property
    def state(self) -> str:
        """Return in one word how it works; `offline` if one receiver or more cannot be reached."""
        state = super().state
        is_away = any(receiver.is_away for receiver in self._receivers)
        return "offline" if state == "ok" and is_away else state

    def work(self) -> None:
        """Send readings until the end."""
        started = time.monotonic()
        for receiver in self._receivers:
            receiver.addresses.refresh(started, soon=False)
        for receiver in self._receivers:
            receiver.addresses.wait(max(0.0, started + _FIRST_LOOK_UP - time.monotonic()))
        super().work()

    def write(self, reading: Reading) -> None:
        """Send a reading; a receiver that cannot be reached hinders no other."""
        for receiver in self._receivers:
            receiver.send(reading, time.monotonic())

    def close(self) -> None:
        """Close the sockets."""
        for receiver in self._receivers:
            receiver.disconnect()


class _Receiver:
    """One receiver.

    Attributes:
        addresses: of its host.
    """

    def __init__(self, config: Config, receiver: UdpConfig) -> None:
        self.addresses = UdpAddresses(receiver.host, receiver.port)
        self._shown = receiver.address
        self._is_wanted = readings_of(config, receiver.meter)
        self._datagram = _datagram_of(receiver)
        self._attempts = Attempts(f"the udp output reaches {self._shown} again")
        self._refusals = Condition(_log.warning, cleared=_log.info)
        self._refused_at = 0.0
        self._refused = 0  # of the datagrams before this one, those in a row that were refused
        self._too_large = Condition(_log.warning)
        self._is_fragmented = False
        self._turn = 0
        self._socket: socket.socket | None = None
        self._connected_to: UdpAddress | None = None

    @property
    def is_away(self) -> bool:
        """True if datagrams cannot be sent, or nobody listens."""
        return self._attempts.is_away or self._refusals.is_on

    def send(self, reading: Reading, now: float) -> None:
        """Send a reading, if it is wanted here; drop it while the receiver cannot be reached."""
        if not self._is_wanted(reading):
            return
        self.addresses.refresh(now, soon=self.is_away)
        if self._attempts.seconds_left(now):
            self._attempts.note_dropped()
            return
        datagram = self._datagram(reading)
        if not datagram:
            return
        try:
            self._send(datagram, now)
        except OSError as error:
            self.disconnect()
            if error.errno == errno.EMSGSIZE:
                self._note_too_large(len(datagram))
            else:
                self._turn += 1  # another address of the receiver may have a route
                self._attempts.note_dropped()
                why = f"the udp output cannot send to {self._shown}: {error.strerror or error}"
                self._attempts.note_failure(why, now)
        else:
            self._attempts.note_success()

    def disconnect(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _send(self, datagram: bytes, now: float) -> None:
        addresses = self.addresses.found
        if not addresses:
            raise OSError(f"its name cannot be resolved: {self.addresses.fault}")
        if self._connected_to not in addresses:
            self.disconnect()
        for _ in addresses:
            if self._is_sent(datagram, addresses, now):
                break
        else:
            self._note_refusal(now)
        if now - self._refused_at > _NOT_REFUSED:
            self._refusals.end(f"the udp output is no longer refused by {self._shown}")

    def _is_sent(self, datagram: bytes, addresses: tuple[UdpAddress, ...], now: float) -> bool:
        """Send to the address whose turn it is; True unless that is this machine and nobody listens."""
        try:
            connected = self._connection(addresses)
            connected.send(datagram)
        except OSError as error:
            # Of an earlier datagram, whose answer came after its call had returned, and this one was not
            # sent; or the address of this machine has changed.
            self.disconnect()
            if isinstance(error, ConnectionRefusedError):
                self._note_late_refusal(now, len(addresses))
            connected = self._connection(addresses)
            connected.send(datagram)
        else:
            self._refused = 0
        self._note_size(len(datagram))
        if _error_of(connected) != errno.ECONNREFUSED:
            return True
        self.disconnect()
        self._turn += 1
        return False

    def _note_late_refusal(self, now: float, addresses: int) -> None:
        self._turn += 1
        self._refused += 1
        if self._refused >= addresses:
            self._note_refusal(now)

    def _connection(self, addresses: tuple[UdpAddress, ...]) -> socket.socket:
        if self._socket is None:
            target = addresses[self._turn % len(addresses)]
            self._socket = socket.socket(target.family, socket.SOCK_DGRAM)
            self._socket.settimeout(0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            # Answers are not read; the least that the system keeps of them is enough.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
            self._socket.connect(target.address)
            self._connected_to = target
        return self._socket

    def _note_refusal(self, now: float) -> None:
        self._refused_at = now
        self._refusals.begin(
            f"nobody listens on the udp port of {self._shown}; each telegram is sent all the same: start the "
            "receiver, or correct `address` in gateway.yaml"
        )

    def _note_too_large(self, size: int) -> None:
        self._too_large.begin(
            f"a reading of {size} bytes for {self._shown} does not fit into a datagram and was dropped, as "
            "all others of this size will be; choose single values with `fields`"
        )

    def _note_size(self, size: int) -> None:
        if size <= _UNFRAGMENTED or self._is_fragmented or self._connected_to is None:
            return
        host = str(self._connected_to.address[0]).partition("%")[0]
        if not ipaddress.ip_address(host).is_loopback:
            self._is_fragmented = True
            _log.info(
                "datagrams of %d bytes to %s may travel in fragments, which some receivers do not put "
                "together; single values (`fields`) take less",
                size,
                self._shown,
            )


def _error_of(connected: socket.socket) -> int:
    """Return the error that waits at a socket, and clear it; 0 if there is none."""
    return connected.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _datagram_of(receiver: UdpConfig) -> Callable[[Reading], bytes]:
    """Return what makes the datagrams of a receiver; an empty one is not sent."""
    if not receiver.fields:
        return (lambda reading: reading.telegram.raw) if receiver.format == "telegram" else _json
    # Where several meters may come, each datagram begins with the meter's name.
    head = ("meter",) if receiver.meter is None and "meter" not in receiver.fields else ()

    def lines(reading: Reading) -> bytes:
        record = reading.record
        if all(value_at(record, name) is None for name in receiver.fields):
            return b""
        values = [(name, value_at(record, name)) for name in (*head, *receiver.fields)]
        return "".join(f"{name}={plain(value)}\n" for name, value in values if value is not None).encode()

    return lines


def _json(reading: Reading) -> bytes:
    return reading.json
