"""The names under which a browser may ask, against DNS rebinding.

A hostile site can have its own name lead to this machine. A browser then takes the page for a part of that
site, whose scripts may read it, but it still says in `Host` which name it asked for.
"""

import re
import socket
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

#: RFC 9110, 7.2, without user names and characters that no name has; 253 is the longest name (RFC 1035).
_HOST: Final = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}))(?::[0-9]{0,5})?"
)
#: Nobody can register names below these: mDNS (RFC 6762), home networks (RFC 8375), common routers.
_HOME_DOMAINS: Final = ("local", "lan", "home.arpa", "fritz.box")


class HostNames:
    """Knows under which names a browser may ask.

    Args:
        further: names beside those of this machine.
    """

    def __init__(self, further: Iterable[str]) -> None:
        full = socket.gethostname()
        bare = full.partition(".")[0]
        own = (full, bare, *(f"{bare}.{domain}" for domain in _HOME_DOMAINS))
        self._names = frozenset({"localhost", *map(_normal, own), *map(_normal, further)})

    def refusal(self, header: str | None) -> HTTPStatus | None:
        """Return why a request with this `Host` is not answered; None if it is.

        An IP address is no name: nobody can have it lead elsewhere.
        """
        match = _HOST.fullmatch(header or "")
        if match is None:
            return HTTPStatus.BAD_REQUEST
        try:
            if match["ipv6"] is not None:
                IPv6Address(match["ipv6"])
                return None
        except AddressValueError:
            return HTTPStatus.BAD_REQUEST
        name = _normal(match["name"])
        return None if name in self._names or _is_ipv4(name) else HTTPStatus.MISDIRECTED_REQUEST


def _normal(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
