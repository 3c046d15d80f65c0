"""The URL of an MQTT broker."""

import re
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from smarty_gateway.config.settings import SettingError

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_FORM: Final = "write the url as mqtt://HOST or mqtts://USER@HOST:PORT (mqtts is with TLS)"
_CREDENTIALS_ADVICE: Final = (
    "a password is never part of the url; write it into a file of its own and name that as password_file "
    "(--mqtt-password-file on the command line)"
)


def parse_broker_url(text: str) -> dict[str, Any]:
    """Return the fields of `MqttConfig` that a URL stands for.

    Raises:
        SettingError: it is not one, or contains a password; the message repeats nothing of it.
    """
    scheme, separator, rest = text.strip().partition("://")
    user, at, host_and_port = rest.rpartition("@")
    if ":" in user:
        raise SettingError(_CREDENTIALS_ADVICE)
    if not separator or (scheme := scheme.lower()) not in _PORTS:
        raise SettingError(_FORM)
    try:
        url = urlsplit(f"//{host_and_port}")
        host, port = url.hostname, url.port
        (host or "").encode("idna")
    except UnicodeError:
        raise SettingError(f"{_FORM}; each part of a host name between dots has 1 to 63 letters") from None
    except ValueError:
        raise SettingError(f"{_FORM}; a port is a number from 1 to 65535") from None
    user = unquote(user)
    if not host or not re.fullmatch(r"[\w.:%-]+", host) or port == 0 or (at and not user.strip()):
        raise SettingError(_FORM)
    if url.path not in ("", "/") or url.query or url.fragment or not user.isprintable():
        raise SettingError(f"{_FORM} and nothing more; the topic has a line of its own")
    return {"host": host, "port": port or _PORTS[scheme], "tls": scheme == "mqtts", "user": user or None}
