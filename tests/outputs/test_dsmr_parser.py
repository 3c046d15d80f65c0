"""What dsmr_parser's readers, which Home Assistant uses, get from the outputs that pass telegrams on."""

import asyncio
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from dsmr_parser import telegram_specifications
from dsmr_parser.clients.protocol import create_dsmr_reader, create_tcp_dsmr_reader

from smarty_gateway.protocol.decoder import DecodedTelegram, decode
from smarty_gateway.protocol.telegram import parse_telegram
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml
from smarty_gateway.simulator.ports import TcpPort
from smarty_gateway.simulator.simulation import Simulation
from tests.protocol.test_agreement import agree, instant, our_names
from tests.support.brokers import free_port
from tests.support.commands import LIMIT
from tests.support.running import Running, wait_until

_TELEGRAMS = 3
_VERSIONS = {
    "5L": (MeterKind.LUXEMBOURG, telegram_specifications.LUXEMBOURG_SMARTY),
    "5B": (MeterKind.BELGIUM, telegram_specifications.BELGIUM_FLUVIUS),
}


async def read_with_dsmr_parser(address: str, version: str) -> list[dict[str, Any]]:
    """Read telegrams as a user of dsmr_parser does, from a TCP port or a serial port."""
    heard: asyncio.Queue[Any] = asyncio.Queue()
    if address.isdecimal():
        reader = create_tcp_dsmr_reader("127.0.0.1", int(address), version, heard.put_nowait)
    else:
        reader = create_dsmr_reader(address, version, heard.put_nowait)
    transport, protocol = await reader
    found = [await asyncio.wait_for(heard.get(), LIMIT) for _ in range(_TELEGRAMS)]
    transport.close()
    await asyncio.wait_for(protocol.wait_closed(), LIMIT)
    return [json.loads(telegram.to_json()) for telegram in found]


def decoded(meter: SimulatedMeter) -> DecodedTelegram:
    telegram = parse_telegram(meter.telegram(dt.datetime.now(dt.UTC)))
    assert telegram is not None
    return decode(telegram)


def differences(ours: dict[str, Any], theirs: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Compare a line of `run` with what dsmr_parser made of the same telegram."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in ours.items()}
    compared = {their: (values[name], theirs[their]) for their, name in names.items() if their in theirs}
    assert len(compared) > 20
    return {name: pair for name, pair in compared.items() if not agree(*pair)}


@pytest.mark.slow
@pytest.mark.parametrize("version", ["5L", "5B"])
@pytest.mark.parametrize("output", ["tcp", "pty"])
def test_dsmr_parser_reads_the_values_that_the_gateway_prints(
    output: str, version: str, tmp_path: Path
) -> None:
    kind, specification = _VERSIONS[version]
    meter, source = SimulatedMeter(kind, 1), TcpPort("127.0.0.1", 0)
    meter.period = 1.0
    if meter.key is not None:
        (tmp_path / "keys.yaml").touch(0o600)
        (tmp_path / "keys.yaml").write_text(keys_yaml([meter]), "ascii")
    address = str(free_port() if output == "tcp" else tmp_path / "served")
    served = f"listen: '127.0.0.1:{address}'" if output == "tcp" else f"link: {address}"
    (tmp_path / "gateway.yaml").write_text(
        f"meters: [{{name: house, source: '{source.name}'}}]\n"
        f"outputs:\n  stdout: {{format: json}}\n  {output}: [{{{served}}}]\n",
        "utf-8",
    )
    with Simulation([meter], [source]), Running("run", folder=tmp_path) as gateway:
        gateway.wait_for_readings(1)
        theirs = asyncio.run(read_with_dsmr_parser(address, version))
        times = [instant(each["P1_MESSAGE_TIMESTAMP"]["value"]) for each in theirs]

        def of_their_times() -> list[dict[str, Any]]:
            return [reading for reading in gateway.readings if instant(reading["timestamp"]) in times]

        wait_until(lambda: len(of_their_times()) == _TELEGRAMS, "the same telegrams on standard output")
    names = our_names(specification, decoded(meter))
    found = [differences(*pair, names) for pair in zip(of_their_times(), theirs, strict=True)]
    assert found == [{}] * _TELEGRAMS
