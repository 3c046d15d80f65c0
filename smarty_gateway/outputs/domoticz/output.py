"""The output `domoticz`: sends values to the devices of a Domoticz server over its JSON API.

Each device has pauses of its own after a refusal, so that a wrong idx does not hinder the others. Where no
answer comes at all, or the login is refused, the whole output pauses.
"""

import base64
import json
import time
from functools import partial
from typing import Final
from urllib.parse import urlencode

from smarty_gateway.config.consumers import DomoticzConfig
from smarty_gateway.config.password_file import PasswordFileError, read_password
from smarty_gateway.config.values import Config
from smarty_gateway.outputs.attempts import Attempts, ConsumerAwayError
from smarty_gateway.outputs.background import Task
from smarty_gateway.outputs.domoticz.values import Device, devices_of
from smarty_gateway.outputs.http_client import Answer, HttpClient
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.queued import QueuedOutput
from smarty_gateway.outputs.threaded import LOOK_EVERY

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_SECURITY: Final = "in Domoticz under Setup, Settings, Security"


class DomoticzOutput(QueuedOutput):
    """Sends the newest values of each meter; Domoticz dates them by their arrival."""

    def __init__(self, config: Config, domoticz: DomoticzConfig) -> None:
        super().__init__("domoticz", "the Domoticz output")
        # Not that all works: a device may still refuse its values.
        self._attempts = Attempts("the Domoticz output is connected again")
        self._config = domoticz
        self._client = HttpClient(
            "Domoticz", domoticz.host, domoticz.port, tls=domoticz.tls, ca_file=domoticz.ca_file
        )
        self._headers: dict[str, str] | None = None
        self._asking: Task[Answer] | None = None
        self._devices = [
            (device, Attempts(f"{self.label}: the device {device.idx} takes values again"))
            for device in devices_of(config)
        ]

    @property
    def state(self) -> str:
        """Return in one word how it works; `failing` while a device does not take values."""
        state = super().state
        is_failing = any(attempts.is_away for _, attempts in self._devices)
        return "failing" if state == "ok" and is_failing else state

    def write(self, reading: Reading) -> None:
        """Send what is due of the newest reading of each meter."""
        newest = {reading.meter: reading} | {later.meter: later for later in self.arrivals.take_newest()}
        self.note_room()
        try:
            for meter in list(newest):
                self._send(newest[meter])
                del newest[meter]
        except ConsumerAwayError:
            for each in reversed(newest.values()):  # in front of what arrives meanwhile
                self.arrivals.put_back(each)
            raise

    def _send(self, reading: Reading) -> None:
        for device, attempts in self._devices:
            now = self.show_life()
            if now < self.stopping.by and not attempts.seconds_left(now):
                self._update(device, attempts, reading, now)

    def close(self) -> None:
        """Close the connection, behind a request that still waits for its answer."""
        if self._asking is None:
            self._client.close()
        else:
            self._asking.then(self._client.close)

    def _update(self, device: Device, attempts: Attempts, reading: Reading, now: float) -> None:
        svalue = device.due(reading, now)
        if svalue is None:
            return
        answer = self._answer_to(device.idx, svalue)
        if answer is None:
            return
        if answer.status == _UNAUTHORIZED:
            self._headers = None  # the password may be another one now
            raise ConsumerAwayError(_unauthorized(self._config))
        if (why := _refusal(answer, device.idx, self._config)) is not None:
            attempts.note_failure(f"{self.label}: {why}", time.monotonic())
            return
        attempts.note_success()
        device.note_sent(now)

    def _answer_to(self, idx: int, svalue: str) -> Answer | None:
        """Send a value, and return the answer; None at the end."""
        parameters = {"type": "command", "param": "udevice", "idx": idx, "nvalue": 0, "svalue": svalue}
        path = f"/json.htm?{urlencode(parameters, safe=';')}"
        if self._headers is None:
            self._headers = _login_of(self._config)
        request = partial(self._client.request, "GET", path, headers=self._headers)
        self._asking = Task("Domoticz request", request, self.wake.wake)
        while not self._asking.is_done:
            left = self.stopping.by - self.show_life()
            if left <= 0:
                return None
            self.wake.wait(min(left, LOOK_EVERY))
        asked, self._asking = self._asking, None
        return asked.result()


def _login_of(config: DomoticzConfig) -> dict[str, str]:
    """Return the header with user and password."""
    if config.user is None or config.password_file is None:
        return {}
    try:
        password = read_password(config.password_file)
    except PasswordFileError as error:
        raise ConsumerAwayError(str(error)) from None
    login = base64.b64encode(config.user.encode() + b":" + password)
    return {"Authorization": f"Basic {login.decode()}"}


def _unauthorized(config: DomoticzConfig) -> str:
    """Return why Domoticz answers 401, and what to do; since 2023.1 it does so more often."""
    if config.user is None:
        return (
            f"Domoticz at {config.address} wants a user: add `user:` and `password_file:` below `domoticz:` "
            f"in gateway.yaml, or this machine to the Trusted Networks {_SECURITY}"
        )
    wrong = f"Domoticz refuses the login as {config.user!r}: correct `user:` or {config.password_file}"
    if config.tls:
        return wrong
    return (
        f"{wrong}; if they are right, tick `Allow Basic-Auth authentication over plain HTTP` under API "
        f"Protection ({_SECURITY}), which Trusted Networks do not replace"
    )


def _refusal(answer: Answer, idx: int, config: DomoticzConfig) -> str | None:
    """Return why a device did not take its value, and what to do; None if it did."""
    if answer.status == _FORBIDDEN:
        user = "this machine" if config.user is None else f"the user {config.user!r}"
        return (
            f"Domoticz does not let {user} write to the device {idx}: under Setup, Users, give it the rights "
            "`User`, and this device too where `Set Devices` lists some"
        )
    if answer.status != _OK:
        return (
            f"Domoticz answers {answer.words} to the value of the device {idx}: read its log under Setup, "
            "Log, or check the url in gateway.yaml"
        )
    try:
        content = json.loads(answer.body)
    except (ValueError, RecursionError):
        content = None
    status = content.get("status") if isinstance(content, dict) else None
    if status == "OK":
        return None
    if status == "ERR":
        return (
            f"Domoticz has no device with the idx {idx}, or its hardware is disabled: find the idx under "
            "Setup, Devices, and write it below `devices:` in gateway.yaml"
        )
    return (
        f"{config.address} does not answer as Domoticz does to the value of the device {idx}: check the url "
        "in gateway.yaml"
    )
