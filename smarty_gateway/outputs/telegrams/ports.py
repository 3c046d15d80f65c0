"""What the outputs of telegrams share: ports at which programs read them, all served by one thread.

The telegrams are those that were accepted, byte for byte as the meter wrote them.
"""

import logging
import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

from smarty_gateway.config.values import Config
from smarty_gateway.outputs.attempts import Attempts, ConsumerAwayError
from smarty_gateway.outputs.chosen_meter import readings_of, readings_of_one
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.threaded import LOOK_EVERY, ThreadedOutput

_log = logging.getLogger(__name__)

#: Seconds between two turns of the loop, unless a telegram comes: programs that flood their port with bytes
#: or connections get fifty turns a second, and the rest of the gateway has the processor.
_TURN: Final = 0.02
#: Telegrams that are handed out in one turn, as of a recording.
_TELEGRAMS_A_TURN: Final = 50


class Poller:
    """Calls a function for each descriptor on which something happens."""

    def __init__(self) -> None:
        self._poll = select.poll()  # select() ends at descriptor 1023
        self._handlers: dict[int, Callable[[int], None]] = {}

    def watch(self, descriptor: int, events: int, handler: Callable[[int], None]) -> None:
        """Call `handler` with the events of a descriptor; POLLERR and POLLHUP are always among them."""
        self._poll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def ignore(self, descriptor: int) -> None:
        """Call nothing for a descriptor any more; it must be done before it is closed."""
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)

    def turn(self, seconds: float) -> None:
        """Wait until something happens or the time is over, and call the handlers."""
        ready = self._poll.poll(seconds * 1000)
        # A handler may close a descriptor whose number then belongs to another handler.
        for handler, events in [(self._handlers[number], events) for number, events in ready]:
            handler(events)


class TelegramPort(ABC):
    """One place at which programs read the telegrams of one meter.

    Args:
        config: of the gateway.
        meter: the name or id of an entry; None for the only one.
        place: the address or path, for messages.
        poller: calls this port when a program does something.

    Attributes:
        attempts: to open it and to keep it open.
        belongs: whether a reading belongs to the meter.
        poller: likewise.
    """

    def __init__(self, config: Config, meter: str | None, place: str, poller: Poller) -> None:
        if meter is None and len(config.meters) == 1:
            meter = config.meters[0].name or config.meters[0].id
        self.poller = poller
        self.belongs = readings_of_one() if meter is None else readings_of(config, meter)
        self._place = place
        self._served = f"telegrams of {meter or 'the meter'} are served at {place}"
        self.attempts = Attempts(self._served)
        self._was_open = False

    def look(self) -> None:
        """Open the port if that is due, and see to it."""
        now = time.monotonic()
        if self.attempts.seconds_left(now):
            return
        try:
            self.tend()
        except ConsumerAwayError as away:
            self.attempts.note_failure(f"{self._place}: {away}", now)
            return
        if not self._was_open and not self.attempts.is_away:
            _log.info("%s", self._served)
        self._was_open = True
        self.attempts.note_success()

    @abstractmethod
    def tend(self) -> None:
        """Open the port unless it is open, and do what is due about once a second.

        Raises:
            ConsumerAwayError: programs cannot use it now.
        """

    @abstractmethod
    def send(self, telegram: bytes) -> None:
        """Write a telegram, or drop it where nobody can take it; never wait."""

    @property
    @abstractmethod
    def unsent(self) -> int:
        """Bytes that programs have not taken yet."""

    @abstractmethod
    def close(self) -> None:
        """Close the port."""


class TelegramOutput(ThreadedOutput):
    """Serves all ports of one kind.

    Args:
        name: as in the configuration.
        poller: calls the ports.
        ports: of the configuration.
    """

    def __init__(self, name: str, poller: Poller, ports: Sequence[TelegramPort]) -> None:
        super().__init__(name, f"the {name} output")
        self._poller = poller
        self._ports = ports
        self._is_idle = True
        self._look_at = 0.0
        self._unsent = 0
        self._taken_at = 0.0  # when programs last took something

    @property
    def state(self) -> str:
        """Return in one word how it works: `ok`, `slow`, or `offline` while any of the ports is not open."""
        if self.failure is not None:
            return self.failure
        if any(port.attempts.is_away for port in self._ports):
            return "offline"
        return "slow" if self.arrivals.is_dropping else "ok"

    @property
    def is_busy(self) -> bool:
        """True while telegrams wait; not for clients that do not read."""
        return (bool(self.arrivals) or not self._is_idle) and not self.is_over

    def start(self) -> None:
        """Open the ports, so that they are there before the first telegram, and start the thread."""
        for port in self._ports:
            port.look()
        super().start()

    def work(self) -> None:
        """Serve until the end: when programs have taken all that was read, or nothing for a second."""
        self._poller.watch(self.wake.fileno(), select.POLLIN, lambda _: self.wake.drain())
        while not self._is_done(now := self.show_life()):
            if now >= self._look_at:
                self._look_at = now + LOOK_EVERY
                for port in self._ports:
                    port.look()
            self._poller.turn(0.0 if self.arrivals else min(LOOK_EVERY, max(0.0, self.stopping.by - now)))
            self._hand_out()
            if not self.arrivals:
                self.wake.wait(_TURN)

    def close(self) -> None:
        """Close all ports."""
        for port in self._ports:
            port.close()

    def _is_done(self, now: float) -> bool:
        if not self.stopping.is_requested:
            return False
        unsent = sum(port.unsent for port in self._ports)
        if self.arrivals or unsent != self._unsent:
            self._unsent, self._taken_at = unsent, now
        is_taken = not unsent or now - self._taken_at >= LOOK_EVERY
        return now >= self.stopping.by or (is_taken and not self.arrivals)

    def _hand_out(self) -> None:
        self._is_idle = False
        for _ in range(_TELEGRAMS_A_TURN):
            if (reading := self.take()) is None:
                break
            self._send(reading)
        self._is_idle = True

    def _send(self, reading: Reading) -> None:
        for port in self._ports:
            if port.belongs(reading):
                port.send(reading.telegram.raw)
