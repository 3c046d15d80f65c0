"""The broker that Home Assistant's Supervisor names to its apps: asked for before each attempt to connect.

So a broker is found that was installed last, moved, or has a new password, and nothing has to be configured.
One that works is not affected while Supervisor is away, as during its updates.

The request is `GET /services/mqtt` (developers.home-assistant.io/docs/api/supervisor/endpoints, "Service").
The `protocol` in the answer is at most 3.1.1, which every broker knows, so it is not looked at. Where `ssl`
is true, the certificate is checked as that of any broker: the login is for all topics, and a password must
not go to whatever has taken the broker's address. The Mosquitto app announces its port without TLS, in the
internal network of the apps.
"""

import ipaddress
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, TypeVar

from smarty_gateway.config.listen_address import parse_host
from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.attempts import ConsumerAwayError
from smarty_gateway.outputs.http_client import Answer, HttpClient
from smarty_gateway.outputs.mqtt.broker_errors import MOSQUITTO_APP, ConnectionFailed

_log = logging.getLogger(__name__)

#: The same for all apps.
ADDRESS: Final = ("supervisor", 80)
#: It answers from its memory.
_SECONDS: Final = 4.0
_SUPERVISOR: Final = "Home Assistant's Supervisor"
#: What the endpoint answers, with status 400, while no app provides a broker.
_NO_SERVICE: Final = "Service not enabled"
#: Bytes of a user name or password (MQTT 3.1.1, 1.5.3).
_TEXT_MAX: Final = 65_535

Data = Mapping[str, Any]
Value = TypeVar("Value")


def with_named_broker(config: MqttConfig) -> MqttConfig:
    """Return a configuration with the broker that Supervisor names now, and the login there.

    Raises:
        ConnectionFailed: there is none, or Supervisor does not say; the text never holds what it answered.
    """
    answer = _ask(os.environ.get("SUPERVISOR_TOKEN", ""))
    content = _content(answer)
    if answer.status == HTTPStatus.OK and content.get("data"):
        return _with_broker(config, content["data"])
    if content.get("message") == _NO_SERVICE or (answer.status == HTTPStatus.OK and "data" in content):
        raise ConnectionFailed(
            f"Home Assistant has no MQTT broker yet: install the app {MOSQUITTO_APP}; nothing else is needed"
        )
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise ConnectionFailed(
            f"{_SUPERVISOR} does not say to this app where the broker is (status {answer.status}): restart "
            "the app"
        )
    raise ConnectionFailed(
        f"{_SUPERVISOR} cannot say now where the broker is (status {answer.status}): if it does not start, "
        "read its log in Settings > System > Logs"
    )


def _ask(token: str) -> Answer:
    if not token.isascii() or not token.isprintable():  # `http.client` would repeat it in an error
        raise ConnectionFailed(f"the SUPERVISOR_TOKEN is not one of {_SUPERVISOR}: restart the app")
    client = HttpClient("Supervisor", *ADDRESS, timeout=_SECONDS)
    try:
        return client.request("GET", "/services/mqtt", headers={"Authorization": f"Bearer {token}"})
    except ConsumerAwayError as error:
        _log.debug("%s", error)
        raise ConnectionFailed(
            f"{_SUPERVISOR}, which names the broker, does not answer: if it stays away, restart the machine"
        ) from None
    finally:
        client.close()


def _content(answer: Answer) -> Data:
    """Return the object in an answer; an empty one for anything else."""
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):  # also for bytes that are no text, and for a number without end
        return {}
    return content if isinstance(content, dict) else {}


def _with_broker(config: MqttConfig, data: object) -> MqttConfig:
    data = data if isinstance(data, dict) else {}
    user = _checked(data, "username", _user)
    return replace(
        config,
        host=_checked(data, "host", _host),
        port=_checked(data, "port", _port),
        tls=_checked(data, "ssl", _flag),
        user=user,
        password=_checked(data, "password", _text) if user else None,
    )


def _checked(data: Data, name: str, check: Callable[[object], Value]) -> Value:
    try:
        return check(data.get(name))
    except (SettingError, ValueError):
        raise ConnectionFailed(
            f"{_SUPERVISOR} names a broker whose {name} cannot be used: restart the app that is the broker, "
            f"usually {MOSQUITTO_APP}"
        ) from None


def _host(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 - as for every other value that cannot be used
    try:
        return ipaddress.IPv6Address(value).compressed.partition("%")[0]
    except ValueError:
        return parse_host(value)  # it knows IPv4, too


def _port(value: object) -> int:
    if type(value) is not int or not 0 < value < 65_536:
        raise ValueError
    return value


def _flag(value: object) -> bool:
    if value not in (None, False, True):
        raise ValueError
    return bool(value)


def _user(value: object) -> str | None:
    user = _text(value)
    if user is not None and not user.isprintable():
        raise ValueError
    return user


def _text(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or "\0" in value or len(value.encode()) > _TEXT_MAX:
        raise ValueError
    return value or None
