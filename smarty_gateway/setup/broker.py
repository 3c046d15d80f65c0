"""Finds a broker, and tries user and password on it."""

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed
from smarty_gateway.outputs.mqtt.connection import Connection, default_client_id

#: Where most people have theirs: on this machine, or in Home Assistant.
_GUESSES: Final = ("localhost", "homeassistant.local")
_PORT: Final = 1883
_GUESS_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 10.0
#: Bytes. A pipe takes as many before anybody reads it.
PASSWORD_MAX: Final = select.PIPE_BUF
#: MQTT 5, 3.2.2.2; paho translates the codes of 3.1.1.
_NOT_LET_IN: Final = (0x86, 0x87)


class BrokerSearch:
    """Looks for a broker in the usual places, while the user is busy with something else.

    Attributes:
        found: the url of one that answers; None while there is none.
    """

    def __init__(self) -> None:
        self.found: str | None = None
        threading.Thread(target=self._look, name="look for a broker", daemon=True).start()

    def _look(self) -> None:
        for host in _GUESSES:
            try:
                socket.create_connection((host, _PORT), _GUESS_SECONDS).close()
            except OSError:
                continue
            self.found = f"mqtt://{host}"
            return


def try_broker(config: MqttConfig, password: str | None) -> None:
    """Connect to a broker once.

    Args:
        config: names the broker and its user.
        password: of the user; None for the one in the password file, if there is one.

    Raises:
        ConnectionFailed: there is no connection; the text says why and what to do.
    """
    with _password_file(config, password) as path:
        client_id = f"{default_client_id(config)}-setup"
        connection = Connection(replace(config, password_file=path), None, lambda *_: None, client_id)
    try:
        until = time.monotonic() + _ANSWER_SECONDS
        while not connection.is_ready:
            if (left := until - time.monotonic()) <= 0:
                raise ConnectionFailed(f"{config.address} accepts connections, but does not speak MQTT")
            connection.wait(left)
    finally:
        connection.close(politely=True)


def lets_nobody_in(failed: ConnectionFailed) -> bool:
    """True if the broker refused user or password."""
    return failed.code in _NOT_LET_IN


@contextmanager
def _password_file(config: MqttConfig, password: str | None) -> Iterator[Path | None]:
    """Yield the file that a connection reads the password from: a pipe, so that no disk sees it."""
    if password is None:
        yield config.password_file
        return
    reader, writer = os.pipe()
    try:
        with open(writer, "w", encoding="utf-8") as pipe:  # noqa: PTH123 - no path
            pipe.write(password)
        yield Path(f"/dev/fd/{reader}")
    finally:
        os.close(reader)
