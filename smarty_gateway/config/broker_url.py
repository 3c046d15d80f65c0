"""The URL of an MQTT broker."""

from typing import Any, Final

from smarty_gateway.config.server_url import parse_server_url

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_FORM: Final = "write the url as mqtt://HOST or mqtts://USER@HOST:PORT (mqtts is with TLS)"
_CREDENTIALS_ADVICE: Final = (
    "a password is never part of the url; write it into a file of its own and name that as password_file "
    "(--mqtt-password-file on the command line)"
)


def parse_broker_url(text: str, advice: str = _CREDENTIALS_ADVICE) -> dict[str, Any]:
    """Return the fields of `MqttConfig` that a URL stands for.

    Args:
        text: the url.
        advice: on a password in it.

    Raises:
        SettingError: it is not one, or contains a password; the message repeats nothing of it.
    """
    url = parse_server_url(text, _PORTS, _FORM, "; the topic has a line of its own", advice)
    return {
        "host": url.host,
        "port": url.port or _PORTS[url.scheme],
        "tls": url.scheme == "mqtts",
        "user": url.user,
    }
