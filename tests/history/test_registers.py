"""Samples from telegrams."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

import smarty_gateway
from smarty_gateway.history.registers import sample_of
from smarty_gateway.history.sample import MeterPeak, Sample, export_of, import_of
from vectors.building_blocks import crc16

ZONE = ZoneInfo("Europe/Luxembourg")
NOW = datetime(2026, 10, 25, 12, 0, tzinfo=UTC)


def read(*lines: str, received: datetime = NOW) -> Sample | None:
    text = "/FLU5\\253769484_A\r\n\r\n" + "".join(f"{line}\r\n" for line in lines) + "!"
    body = text.encode()
    (telegram,) = smarty_gateway.read([body + f"{crc16(body):04X}\r\n".encode("ascii")])
    return sample_of(telegram, received, ZONE)


def sample(*lines: str, received: datetime = NOW) -> Sample:
    found = read(*lines, received=received)
    assert found is not None
    return found


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def test_registers_are_whole_watt_hours() -> None:
    found = sample("1-0:1.8.0(000006.695*kWh)", "1-0:2.8.0(12*kWh)", "1-0:3.8.0(00000.007*kvarh)")
    assert (import_of(found.registers), export_of(found.registers)) == (6695, 12000)
    assert found.registers[-2:] == (7, None)


def test_registers_that_few_meters_send_are_kept_by_name() -> None:
    found = sample("1-0:1.8.0(1.5*kWh)", "1-0:5.8.0(2.5*kvarh)")
    assert found.others == {"reactive_energy_q1": 2500}


def test_a_telegram_without_active_energy_says_nothing_to_the_history() -> None:
    assert read("1-0:1.7.0(00.100*kW)", "1-0:3.8.0(00000.007*kvarh)") is None


@pytest.mark.parametrize(
    ("letter", "time"), [("S", "2026-10-25T02:15:00+02:00"), ("W", "2026-10-25T02:15:00+01:00")]
)
def test_the_letter_of_the_time_tells_the_repeated_hour(letter: str, time: str) -> None:
    assert sample(f"0-0:1.0.0(261025021500{letter})", "1-0:1.8.0(1*kWh)").time == at(time)


@pytest.mark.parametrize("time", ["2026-10-25T02:15:00+02:00", "2026-10-25T02:15:00+01:00"])
def test_without_the_letter_the_repeated_hour_is_the_one_nearer_to_the_arrival(time: str) -> None:
    received = datetime.fromisoformat(time) + timedelta(seconds=20)
    found = sample("0-0:1.0.0(261025021500)", "1-0:1.8.0(1*kWh)", received=received)
    assert found.time == at(time)


def test_a_meter_without_a_clock_is_dated_by_its_arrival() -> None:
    assert sample("1-0:1.8.0(1*kWh)").time == at("2026-10-25T12:00:00+00:00")


def test_power_is_net_and_import_alone() -> None:
    found = sample("1-0:1.8.0(1*kWh)", "1-0:1.7.0(00.100*kW)", "1-0:2.7.0(00.350*kW)", "1-0:1.4.0(00.070*kW)")
    assert (found.power_import, found.net_power, found.demand) == (100, -250, 70)
    assert sample("1-0:1.8.0(1*kWh)").net_power is None


def test_devices_come_with_id_column_unit_and_date() -> None:
    (device,) = sample(
        "1-0:1.8.0(1*kWh)",
        "0-1:24.1.0(003)",
        "0-1:96.1.1(37464C4F32313233303036333736)",
        "0-1:24.2.3(261025110000W)(00435.247*m3)",
    ).devices
    assert (device.device, device.column, device.unit, device.value) == (
        "7FLO2123006376", "gas", "m³", 435247,
    )  # fmt: skip
    assert device.dated == at("2026-10-25T11:00:00+01:00")


def test_a_peak_at_the_first_instant_of_a_month_belongs_to_the_month_before() -> None:
    found = sample(
        "1-0:1.8.0(1*kWh)",
        "1-0:1.6.0(261001000000S)(02.589*kW)",
        "0-0:98.1.0(1)(1-0:1.6.0)(1-0:1.6.0)(260901000000S)(260815191500S)(04.329*kW)",
    )
    assert found.peaks == (
        MeterPeak(202608, 4329, at("2026-08-15T19:15:00+02:00")),
        MeterPeak(202609, 2589, at("2026-10-01T00:00:00+02:00")),
    )
