"""Who a telegram says it comes from."""

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from smarty_gateway.protocol.identities import fold
from smarty_gateway.protocol.meter_telegram import MeterTelegram, Security
from smarty_gateway.protocol.system_title import SYSTEM_TITLE_SIZE, serial_from_system_title
from smarty_gateway.safe_text import printable

_LONGEST_IN_LOG: Final = 64
_HEADER: Final = "header "
_ON: Final = " on "
_IDENTITY: Final = "id "
_TITLE: Final = re.compile(rf"[0-9a-f]{{{2 * SYSTEM_TITLE_SIZE}}}")


@dataclass(frozen=True, slots=True)
class Sender:
    """The meter behind a telegram, as far as it is known.

    Attributes:
        key: tells the meter from all others (see `key_of`).
        identities: that the telegram may use; none where the first one belongs to another meter.
        source: where it came from, in the words of the configuration.
        is_live: it came from a port; a recording is not held back.
    """

    key: str
    identities: tuple[str, ...]
    telegram: MeterTelegram
    source: str
    is_live: bool

    @property
    def is_authenticated(self) -> bool:
        """True if the tag of its frame verified."""
        return self.telegram.security is Security.AUTHENTICATED

    @property
    def shown(self) -> str:
        """Return its name for the log."""
        return printable(self.telegram.meter_id[:_LONGEST_IN_LOG])


def key_of(telegram: MeterTelegram, identities: tuple[str, ...], source: str) -> str:
    """Return the system title if it is proven, else an identity, else the header with its source."""
    title = telegram.system_title
    if title is not None and telegram.security is Security.AUTHENTICATED:
        return title.hex()
    # What is not proven never looks like a title.
    if title is not None and not identities:
        return f"{_IDENTITY}{title.hex()}"
    if identities:
        return f"{_IDENTITY}{identities[0]}"
    return f"{_HEADER}{fold(telegram.decoded.header)}{_ON}{source}"


def is_header(key: str) -> bool:
    """True if a meter is told from others by its header and its source alone."""
    return key.startswith(_HEADER)


def is_named_by(key: str, names: Container[str]) -> bool:
    """True if a meter has one of these names, in the form of `fold`: an identity, or its title."""
    return key.removeprefix(_IDENTITY) in names


def on_source(key: str, source: str) -> str:
    """Return the key of the same meter on another source; only a header is told apart by its source."""
    header, on, _ = key.partition(_ON)
    return f"{header}{on}{source}" if is_header(key) else key


def shown_key(key: str) -> str:
    """Return a key as people know the meter: by its serial number, or what it calls itself."""
    if is_header(key):
        return printable(key.removeprefix(_HEADER).partition(_ON)[0].upper())
    serial = serial_from_system_title(bytes.fromhex(key)) if _TITLE.fullmatch(key) else None
    return printable((serial or key.removeprefix(_IDENTITY)).upper())
