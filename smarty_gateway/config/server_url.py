"""The URL of a server that the gateway connects to, with a user name but never with a password."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from smarty_gateway.config.settings import SettingError


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """What such a URL says.

    Attributes:
        port: None where it names none.
    """

    scheme: str
    host: str
    port: int | None
    user: str | None


def parse_server_url(
    text: str, ports: Mapping[str, int], form: str, rest_is: str, password: str
) -> ServerUrl:
    """Return the parts of a URL.

    Args:
        text: what a user wrote.
        ports: the usual port of each scheme.
        form: how such a URL is written, for messages.
        rest_is: what is to be done with a path behind the host.
        password: where the password belongs.

    Raises:
        SettingError: it is no such URL, or contains a password; the message repeats nothing of it.
    """
    scheme, separator, rest = text.strip().partition("://")
    user, at, host_and_port = rest.rpartition("@")
    if ":" in user:
        raise SettingError(password)
    if not separator or (scheme := scheme.lower()) not in ports:
        raise SettingError(form)
    try:
        url = urlsplit(f"//{host_and_port}")
        host, port = url.hostname, url.port
        (host or "").encode("idna")
    except UnicodeError:
        raise SettingError(f"{form}; each part of a host name between dots has 1 to 63 letters") from None
    except ValueError:
        raise SettingError(f"{form}; a port is a number from 1 to 65535") from None
    user = unquote(user)
    if not host or not re.fullmatch(r"[\w.:%-]+", host) or port == 0 or (at and not user.strip()):
        raise SettingError(form)
    if url.path not in ("", "/") or url.query or url.fragment or not user.isprintable():
        raise SettingError(f"{form} and nothing more{rest_is}")
    return ServerUrl(scheme, host, port, user or None)
