"""How a user names a source: `/dev/ttyUSB0`, `tcp://host:port`, `rfc2217://host:port`, a file, `-`.

A path that is a character device is a port, any other a recording. A path that does not exist may be a port
that is plugged in later; with a suffix, such as `monday.bin`, it is a recording whose name was mistyped.
"""

import errno
import re
import stat
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import looks_like_key
from smarty_gateway.sources.ports import lacks_folder, ports_instead


class Kind(Enum):
    """What a source is."""

    SERIAL = "serial port"
    TCP = "TCP"
    RFC2217 = "RFC 2217"
    FILE = "file"
    STDIN = "standard input"


class AddressError(GatewayError):
    """No source can be reached under this name; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class LineSettings:
    """Speed and framing of a serial line; DSMR 4 and newer speak 115200 8N1, older meters 9600 7E1."""

    speed: int = 115200
    framing: str = "8N1"

    def __str__(self) -> str:
        return f"{self.speed} {self.framing}"


DSMR4_LINE: Final = LineSettings()
DSMR2_LINE: Final = LineSettings(9600, "7E1")
FRAMINGS: Final = ("8N1", "7E1", "8E1", "7N1", "8O1", "7O1", "8N2", "7E2")
SPEEDS: Final = (300, 1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400)


@dataclass(frozen=True, slots=True)
class Address:
    """One source, as it was named.

    Attributes:
        text: as the user wrote it, a path made absolute; it names the source in messages and in the
            store.
    """

    kind: Kind
    text: str
    host: str = ""
    port: int = 0
    path: Path = Path()

    @property
    def is_live(self) -> bool:
        """True if the source has no end, and may be lost and come back."""
        return self.kind in (Kind.SERIAL, Kind.TCP, Kind.RFC2217)

    @property
    def identity(self) -> tuple[str, object]:
        """Return what the address stands for: two names of one port are equal."""
        if self.kind in (Kind.TCP, Kind.RFC2217):
            return "network", (self.host.lower(), self.port)
        return "path", str(self.path.resolve()) if self.kind is not Kind.STDIN else "-"

    def __str__(self) -> str:
        return self.text


def parse_address(text: str, folder: Path | None = None) -> Address:
    """Return the address that a user wrote.

    Args:
        text: a path, a URL, or `-` for standard input.
        folder: where a relative path counts from; the working folder by default.

    Raises:
        AddressError: it is not a valid source.
    """
    text = text.strip()
    if text == "-":
        return Address(Kind.STDIN, "-")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if scheme is not None:
        return _parse_url(text, scheme[1].lower())
    if not text:
        raise AddressError("a source is missing: a port such as /dev/ttyUSB0, tcp://host:port, a file or -")
    try:
        path = (folder or Path()).absolute() / Path(text).expanduser()
        mode = path.stat().st_mode
    except (RuntimeError, ValueError):  # an unknown user's home, a NUL
        raise AddressError(
            f"{text!r} is not a valid path; name a port such as /dev/ttyUSB0, or a file"
        ) from None
    except OSError as error:
        return _address_of_missing(text, path, error)
    if stat.S_ISDIR(mode):
        raise AddressError(f"{text} is a folder; name a port or a recording in it")
    return Address(Kind.SERIAL if stat.S_ISCHR(mode) else Kind.FILE, str(path), path=path)


def _address_of_missing(text: str, path: Path, error: OSError) -> Address:
    """Return the address of a port that is not there, or that may not be looked at: opening it says so."""
    if error.errno == errno.ELOOP:
        raise AddressError("this path is a loop of symbolic links") from None
    if not isinstance(error, PermissionError):
        if lacks_folder(text):
            advice = f"a port is named with its folder, as in /dev/ttyUSB0; {ports_instead(text)}"
            raise AddressError(f"{text}: {advice}") from None
        if (path.suffix and not path.is_relative_to("/dev")) or looks_like_key(text):
            raise AddressError(f"{text}: no such file") from None
    return Address(Kind.SERIAL, str(path), path=path)


def _parse_url(text: str, scheme: str) -> Address:
    kinds = {"tcp": Kind.TCP, "socket": Kind.TCP, "rfc2217": Kind.RFC2217}
    form = f"{scheme if scheme in kinds else 'tcp'}://HOST:PORT"
    if "@" in text:  # what stands before it may be a password, and is not repeated
        raise AddressError(f"write it as {form}; a source has no user and no password")
    if scheme not in kinds:
        raise AddressError(f"{text}: a source starts with tcp:// or rfc2217://, or is a port, a file or -")
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
        (host or "").encode("idna")
    except ValueError:
        raise AddressError(f"{text}: write it as {form}, with a port from 1 to 65535") from None
    if not host or not port or url.path.strip("/") or url.query or url.fragment:
        raise AddressError(
            f"{text}: write it as {form}; the port is required, and differs from device to device"
        )
    shown = f"[{host}]" if ":" in host else host
    return Address(
        kinds[scheme], f"{kinds[scheme].value.lower().replace(' ', '')}://{shown}:{port}", host, port
    )
