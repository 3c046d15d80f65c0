"""A serial port that cannot be opened: what to do depends on where the gateway runs."""

import errno
import os
from typing import NoReturn

import pytest

from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.sources.address import LineSettings, parse_address
from smarty_gateway.sources.serial_port import SerialSource
from smarty_gateway.sources.source import SourceLost


@pytest.mark.parametrize(
    ("variables", "advice"),
    [
        ({}, "(sudo usermod -aG |only root may read it)"),
        ({"container": "oci"}, "start the container with --device "),
        ({"container": "oci", "SUPERVISOR_TOKEN": "token"}, "restart the app"),
    ],
)
def test_a_port_of_another_group_gets_the_advice_of_the_place(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], advice: str
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    port = PtyPort()
    try:
        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(SourceLost, match=f"no permission to read the port: .*{advice}"):
            SerialSource(parse_address(port.name), LineSettings()).open()
    finally:
        port.close()
