"""The port: what is plugged in, what each port hears, and which one the meter is on."""

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from smarty_gateway.config.source import parse_source
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.setup.listening import Listener
from smarty_gateway.setup.ports import ports_to_try
from smarty_gateway.setup.terminal import RejectedError, Terminal
from smarty_gateway.sources.address import Address, AddressError, Kind, parse_address
from smarty_gateway.sources.ports import lasting_name

_AGAIN = "again"


class PortChoice:
    """Listens to ports and asks for one.

    Args:
        terminal: to ask at.
        keys: that are known.
        dev: the folder of the ports, /dev.
        seconds: how long to listen to a silent port.
        news: is set when a listener heard something.
        stack: closes the listeners that are kept.
    """

    def __init__(  # noqa: PLR0913 - what the command decides
        self,
        terminal: Terminal,
        keys: KeyRing,
        *,
        dev: Path,
        seconds: float,
        news: threading.Event,
        stack: ExitStack,
    ) -> None:
        self._terminal = terminal
        self._keys = keys
        self._dev = dev
        self._seconds = seconds
        self._news = news
        self._stack = stack

    def choose(self, given: str | None) -> Listener:
        """Return what listens to the port of the meter.

        Args:
            given: what the option says.

        Raises:
            AddressError: that is no port.
            RejectedError: no meter is heard on it.
        """
        if given is not None:
            (listener,) = self.listen([self.address_of(given)])
            if not self._is_accepted(listener):
                raise RejectedError(
                    f"no meter is heard on {listener.address}; look closer with: "
                    f"smarty-gateway doctor {listener.address}"
                )
            return listener
        while True:
            chosen = self._choose_once()
            if chosen is not None and self._is_accepted(chosen):
                return chosen

    def listen(self, addresses: Sequence[Address]) -> list[Listener]:
        """Listen to sources, all at once, until it is known what comes from each; print it."""
        say = self._terminal.say
        count = "1 port" if len(addresses) == 1 else f"{len(addresses)} ports"
        say(f"Listening to {count} for about {self._seconds:.0f} s.")
        listeners = []
        for address in addresses:
            listener = Listener(address, self._keys, self._news)
            self._stack.callback(listener.close)
            listeners.append(listener)
        while not all(listener.is_settled(self._seconds) for listener in listeners):
            self._terminal.dot()
            self._news.clear()
            self._news.wait(1)
        say()
        for number, listener in enumerate(listeners, 1):
            name = listener.address.text.removeprefix(f"{self._dev}/").removeprefix("serial/by-id/")
            say(f"  {number}  {name.removeprefix('serial/by-path/')}\n     {listener.heard()}")
        return listeners

    def address_of(self, text: str) -> Address:
        """Return the address of a port, under the name that lasts longest.

        Raises:
            AddressError: it is not one.
        """
        address = parse_source(text)
        if not address.is_live:
            raise AddressError(f"{text} is a recording; setup needs the port of a meter, or tcp://host:port")
        if (
            address.kind is not Kind.SERIAL
            or (lasting := lasting_name(address.path, self._dev)) == address.path
        ):
            return address
        self._terminal.say(f"{address} is {lasting}, a name that lasts.")
        return parse_address(str(lasting))

    def _choose_once(self) -> Listener | None:
        """Return the port that the user wants; None to look again."""
        ports = ports_to_try(self._dev)
        if not ports:
            return self._wait_for_one()
        listeners = self.listen([parse_address(str(port)) for port in ports])
        best = next((str(n) for n, one in enumerate(listeners, 1) if one.is_recognised), "")
        self._terminal.say("Type a number, the address of a bridge (tcp://HOST:PORT), or `again`.")

        def parse(answer: str) -> Address | None:
            if answer in ("", _AGAIN):
                return None
            if answer.isascii() and answer.isdigit():
                if not 1 <= int(answer[:9]) <= len(listeners):
                    raise AddressError(f"there are the numbers from 1 to {len(listeners)}")
                return listeners[int(answer) - 1].address
            return self.address_of(answer)

        address = self._terminal.ask_for("Which port", "--port", parse, None, best)
        kept = None
        for listener in listeners:
            if listener.address == address:
                kept = listener
            else:
                listener.close()
        return kept if address is None or kept else self.listen([address])[0]

    def _wait_for_one(self) -> Listener | None:
        self._terminal.say(
            "No serial port is here. Plug the P1 cable into a USB port of this computer; it is noticed by "
            "itself. If the meter is on the network, type the address of its bridge: tcp://HOST:PORT"
        )
        seen: list[Path] = []

        def is_plugged_in() -> bool:
            # Twice the same: udev names a port and opens it to its group a moment after it is there.
            nonlocal seen
            before, seen = seen, ports_to_try(self._dev)
            return bool(seen) and seen == before

        text = self._terminal.ask("Waiting for a cable, or a bridge", "--port", wake=is_plugged_in)
        self._terminal.say()
        if not text:
            return None
        try:
            return self.listen([self.address_of(text)])[0]
        except AddressError as error:
            self._terminal.complain(error)
            return None

    def _is_accepted(self, listener: Listener) -> bool:
        """True if a meter is heard, or the user wants the port all the same."""
        if listener.is_recognised:
            return True
        finding = listener.finding()
        self._terminal.say(f"{finding.text}\n{finding.advice}")
        if self._terminal.confirm("Use this port all the same?", default=False):
            return True
        listener.close()
        return False
