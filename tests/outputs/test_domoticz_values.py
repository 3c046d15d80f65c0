"""What Domoticz gets of a reading, and when: without a server, with time as an argument."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.config.consumers import DomoticzConfig, DomoticzDevice
from smarty_gateway.config.source import parse_source
from smarty_gateway.config.values import Config, MeterConfig, Outputs
from smarty_gateway.outputs.domoticz.values import Device, devices_of
from smarty_gateway.outputs.output import Reading
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from tests.support.mqtt_runs import reading_of
from vectors.building_blocks import belgium, luxembourg, netherlands, telegram

HOUR = 3600
REGISTERS = {
    "1-0:1.8.1": "(000531.250*kWh)",
    "1-0:1.8.2": "(000640.792*kWh)",
    "1-0:2.8.1": "(000061.957*kWh)",
    "1-0:2.8.2": "(000023.548*kWh)",
    "1-0:1.7.0": "(00.351*kW)",
    "1-0:2.7.0": "(01.207*kW)",
}
TOTALS = {"1-0:1.8.0": "(001234.567*kWh)", "1-0:2.8.0": "(000890.123*kWh)"}


def devices(interval: float = 10) -> tuple[Device, Device]:
    """Return the devices for electricity and gas of the meter `house`."""
    domoticz = DomoticzConfig((DomoticzDevice("house", 12, 13),), interval=interval)
    meters = tuple(MeterConfig((parse_source(f"/dev/{name}"),), name) for name in ("house", "barn"))
    electricity, gas = devices_of(Config(meters, outputs=Outputs(domoticz=domoticz)))
    return electricity, gas


def of_lines(*lines: str) -> Reading:
    return reading_of(telegram("FLU5\\253000003_A", "0-0:96.1.1(3153)", *lines))


def of_registers(*codes: str) -> Reading:
    """Return the reading of a telegram with these registers."""
    return of_lines(*(code + (REGISTERS | TOTALS)[code] for code in codes))


def of_gas(litres: int, at: str = "260130100000W", unit: str = "*m3", number: str = "31") -> Reading:
    return of_lines(
        "0-1:24.1.0(003)", f"0-1:96.1.1({number})", f"0-1:24.2.3({at})({litres / 1000:09.3f}{unit})"
    )


# Electricity


def test_the_two_tariffs_of_a_belgian_meter_are_usage_1_and_2_as_in_domoticz_own_meter() -> None:
    electricity, _ = devices()
    assert electricity.due(reading_of(belgium(0)), 0) == "531250;640792;61957;23548;0;1207"


def test_the_totals_of_a_luxembourg_meter_are_usage_1_and_return_1() -> None:
    electricity, _ = devices()
    assert electricity.due(reading_of(luxembourg(0)), 0) == "1234567;0;890123;0;1312;0"


def test_where_a_meter_sends_totals_too_its_tariffs_are_sent() -> None:
    electricity, _ = devices()
    assert electricity.due(of_registers(*REGISTERS, *TOTALS), 0) == "531250;640792;61957;23548;351;1207"


def test_a_meter_with_more_than_two_tariffs_sends_the_total() -> None:
    electricity, _ = devices()
    lines = [code + value for code, value in (REGISTERS | TOTALS).items()]
    more = of_lines(*lines, "1-0:1.8.3(000001.000*kWh)")
    assert electricity.due(more, 0) == "1234567;0;61957;23548;351;1207"


@pytest.mark.parametrize("missing", REGISTERS)
def test_without_one_of_its_values_a_device_gets_nothing_and_one_line_says_so(
    missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    electricity, _ = devices()
    partial = of_registers(*(code for code in REGISTERS if code != missing))
    assert [electricity.due(partial, second) for second in range(0, 60, 10)] == [None] * 6
    (line,) = caplog.messages
    assert re.fullmatch(
        "house: the Domoticz device 12 gets no values: the telegrams have no (energy|power)_(im|ex)port", line
    )
    assert electricity.due(of_registers(*REGISTERS), 60) is not None
    assert caplog.messages[1:] == ["house: the Domoticz device 12 gets values now"]


@given(st.lists(st.sets(st.sampled_from([*REGISTERS, *TOTALS])), max_size=6))
def test_whatever_telegrams_lack_a_counter_never_falls(telegrams: Sequence[set[str]]) -> None:
    electricity, _ = devices(interval=0)
    sent = [
        [int(number) for number in svalue.split(";")]
        for second, codes in enumerate(telegrams)
        if (svalue := electricity.due(of_registers(*sorted(codes)), second)) is not None
    ]
    assert all(values[:4] == sent[0][:4] for values in sent)
    assert all(values[0] + values[1] in (531250 + 640792, 1234567) for values in sent)


def test_registers_of_another_kind_count_an_hour_after_the_last_of_the_former_kind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    electricity, _ = devices()
    tariffs, totals = of_registers(*REGISTERS), of_registers("1-0:1.7.0", "1-0:2.7.0", *TOTALS)
    assert electricity.due(tariffs, 0) is not None
    assert electricity.due(totals, HOUR - 1) is None
    assert "other registers" in caplog.text
    assert electricity.due(totals, HOUR) == "1234567;0;890123;0;351;1207"


# Gas


def test_gas_is_sent_in_litres_when_it_changes_and_else_every_five_minutes() -> None:
    _, gas = devices()
    sent = []
    for second in range(900):
        reading = of_gas(112_384 if second < 400 else 112_999)
        if (svalue := gas.due(reading, second)) is not None:
            gas.note_sent(second)
            sent.append((second, svalue))
    assert sent == [(0, "112384"), (300, "112384"), (400, "112999"), (700, "112999")]


def test_gas_of_a_later_time_is_sent_though_nothing_was_burnt() -> None:
    _, gas = devices()
    assert gas.due(of_gas(1000), 0) == "1000"
    gas.note_sent(0)
    assert gas.due(of_gas(1000), 60) is None
    assert gas.due(of_gas(1000, "260130100500W"), 61) == "1000"


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (of_gas(1000, unit="*kWh"), "the gas in another unit than m³"),
        (of_gas(0, at="632525252525S"), "no gas value"),
        (of_registers(*REGISTERS), "no gas value"),
    ],
    ids=["in kWh", "never read", "no gas meter"],
)
def test_gas_that_domoticz_would_take_for_something_else_is_not_sent(
    reading: Reading, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, gas = devices()
    assert [gas.due(reading, second) for second in range(3)] == [None] * 3
    assert caplog.messages == [f"house: the Domoticz device 13 gets no values: the telegrams have {why}"]


def test_another_gas_meter_counts_an_hour_after_the_last_value_of_the_former() -> None:
    _, gas = devices()
    assert gas.due(of_gas(500_000, number="31"), 0) == "500000"
    assert gas.due(of_gas(7, number="32"), HOUR - 1) is None
    assert gas.due(of_gas(7, number="32"), HOUR) == "7"


# When


def test_a_device_gets_one_value_an_interval_and_every_one_of_a_meter_that_sends_so_often() -> None:
    def sent(times: Sequence[float]) -> Iterator[float]:
        electricity, _ = devices()
        for now in times:
            if electricity.due(reading_of(belgium(0)), now) is not None:
                electricity.note_sent(now)
                yield now

    assert list(sent(range(35))) == [0, 10, 20, 30]
    irregular = [10 * number + (0.4 if number % 2 else -0.4) for number in range(8)]
    assert list(sent(irregular)) == irregular


def test_what_could_not_be_sent_is_due_again_with_the_next_reading() -> None:
    electricity, gas = devices()
    for second in range(3):
        assert electricity.due(reading_of(belgium(0)), second) is not None
        assert gas.due(reading_of(belgium(0)), second) is not None


def test_the_readings_of_other_meters_are_not_sent() -> None:
    for device in devices():
        assert device.due(reading_of(belgium(0), "barn"), 0) is None
        assert device.due(replace(reading_of(belgium(0)), is_configured=False), 0) is None


@pytest.mark.parametrize("kind", MeterKind)
def test_over_a_day_each_value_is_that_of_the_meter(kind: MeterKind) -> None:
    electricity, gas = devices()
    meter, begin = SimulatedMeter(kind, 1), datetime(2026, 1, 30, tzinfo=UTC)
    counted: dict[str, list[int]] = {"electricity": [], "gas": []}
    for minute in range(0, 1440, 10):
        reading = reading_of(meter.telegram(begin + timedelta(minutes=minute)))
        fields: Mapping[str, Any] = reading.telegram.decoded.fields
        svalue = electricity.due(reading, minute * 60)
        assert svalue is not None
        *registers, usage, returned = map(int, svalue.split(";"))
        electricity.note_sent(minute * 60)
        for direction, sent in (("import", registers[:2]), ("export", registers[2:])):
            tariffs = [fields.get(f"energy_{direction}_tariff_{number}", 0) for number in (1, 2)]
            assert sent == (
                [round(value * 1000) for value in tariffs]
                if f"energy_{direction}_tariff_1" in fields
                else [round(fields[f"energy_{direction}"] * 1000), 0]
            )
        assert [usage, returned] == [round(fields[f"power_{way}port"] * 1000) for way in ("im", "ex")]
        counted["electricity"].append(sum(registers[:2]))
        if (litres := gas.due(reading, minute * 60)) is not None:
            gas.note_sent(minute * 60)
            assert int(litres) == round(reading.telegram.decoded.devices["gas"]["value"] * 1000)
            counted["gas"].append(int(litres))
    for values in counted.values():
        assert values == sorted(values)
        assert values[-1] > values[0]
    assert len(counted["gas"]) == 144


def test_a_dutch_meter_that_never_exported_returns_0() -> None:
    electricity, _ = devices()
    svalue = electricity.due(reading_of(netherlands(0)), 0)
    assert svalue is not None
    assert svalue.startswith("2130115;245467;0;0;")
