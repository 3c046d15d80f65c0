"""The first reading of each meter is a line, with its power and where it goes."""

from dataclasses import replace
from pathlib import Path

import pytest

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.gateway.first_readings import FirstReadings
from smarty_gateway.outputs.output import Reading
from tests.support.brokers import Broker
from tests.support.commands import SAMPLE, smarty_gateway
from tests.support.mqtt_runs import configure, house, reading_of
from vectors.building_blocks import belgium, telegram

MINUTE = 60.0


def with_power(name: str, *lines: str) -> Reading:
    """Return a reading of a meter with these lines for its power."""
    return reading_of(telegram("FLU5\\253769484_A", "0-0:96.1.1(3153414731313030303030303031)", *lines), name)


@pytest.mark.parametrize(
    ("lines", "power"),
    [
        (("1-0:1.7.0(01.312*kW)", "1-0:2.7.0(00.000*kW)"), ": 1.312 kW import"),
        (("1-0:1.7.0(00.000*kW)", "1-0:2.7.0(00.500*kW)"), ": 0.500 kW export"),
        (("1-0:1.7.0(00.200*kW)", "1-0:2.7.0(00.500*kW)"), ": 0.300 kW export"),
        (("1-0:1.7.0(01.312*kW)",), ": 1.312 kW import"),
        (("1-0:2.7.0(01.312*kW)",), ": 1.312 kW export"),
        (("1-0:1.7.0(00.000*kW)", "1-0:2.7.0(00.000*kW)"), ": 0.000 kW import"),
        (("1-0:1.8.0(000001.000*kWh)",), ""),
    ],
    ids=str,
)
def test_a_line_has_the_net_power(lines: tuple[str, ...], power: str) -> None:
    logged: list[str] = []
    FirstReadings(None, logged.append, 0.0).note(with_power("house", *lines))
    assert logged == [f"house: first reading of 1SAG1100000001 (plaintext){power}"]


@pytest.mark.parametrize(
    ("interval", "often"), [(10.0, "every 10 s"), (2.5, "every 2.5 s"), (0.0, "every telegram")]
)
def test_a_line_says_how_often_readings_go_where(interval: float, often: str) -> None:
    logged: list[str] = []
    mqtt = MqttConfig("localhost", topic="p1", interval=interval)
    FirstReadings(mqtt, logged.append, 0.0).note(reading_of(belgium(1), "our house"))
    assert logged[0].endswith(f"; {often} to p1/our_house/state")


def test_a_meter_that_goes_out_under_its_own_id_is_named_once() -> None:
    logged: list[str] = []
    FirstReadings(None, logged.append, 0.0).note(reading_of(belgium(1), "1SAG1100000001"))
    assert logged[0].startswith("1SAG1100000001: first reading (plaintext)")


def test_of_a_thousand_meters_the_first_are_named_and_the_others_counted_once_a_minute() -> None:
    logged: list[str] = []
    first = FirstReadings(None, logged.append, 0.0)
    for number in range(1000):
        first.note(reading_of(belgium(1), f"meter{number}"))
        first.tick(number / 100)
    assert len(logged) == 10
    first.tick(MINUTE)
    first.tick(2 * MINUTE)
    assert logged[10:] == ["first readings of 990 more meters"]


def test_meters_that_a_source_invents_leave_the_lines_of_configured_ones() -> None:
    logged: list[str] = []
    first = FirstReadings(None, logged.append, 0.0)
    for number in range(1000):
        first.note(replace(reading_of(belgium(1), f"invented{number}"), is_configured=False))
    first.note(reading_of(belgium(1), "house"))
    assert len(logged) == 11
    assert logged[-1].startswith("house: first reading")


def test_a_running_gateway_says_it_once_for_its_meter(tmp_path: Path) -> None:
    with Broker(tmp_path) as broker:
        configure(tmp_path, broker)
        with house(tmp_path) as home:
            home.send(5)
            assert home.running.stop() == 0
    line = "house: first reading of 1SAG1100000001 (plaintext): 1.207 kW export"
    assert home.running.says(f"{line}; every telegram to smarty/house/state") == 1
    assert home.running.says("first reading") == 1


def test_a_recording_is_no_sign_of_life() -> None:
    done = smarty_gateway("run", "--source", SAMPLE)
    assert b"first reading" not in done.stderr
    assert b"1SAG1100000001" in done.stdout
