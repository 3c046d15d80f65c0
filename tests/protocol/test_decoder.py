"""Every line of a telegram ends up in a field, a device or `unknown`, exact and in our units."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.protocol.decoder import DecodedTelegram, decode
from smarty_gateway.protocol.telegram import parse_telegram
from vectors.building_blocks import belgium, hex_text, luxembourg, netherlands, telegram


def decoded(*lines: str) -> DecodedTelegram:
    found = parse_telegram(telegram("FLU5\\253000003_A", *lines))
    assert found is not None
    return decode(found)


def fields(*lines: str) -> dict[str, Any]:
    return dict(decoded(*lines).fields)


def test_numbers_come_out_exact_in_the_units_of_the_table() -> None:
    assert fields("1-0:1.8.0(000006.695*kWh)") == {"energy_import": 6.695}
    assert fields("1-0:1.8.0(006545766*Wh)") == {"energy_import": 6545.766}
    assert fields("1-0:1.8.0(000000001*Wh)") == {"energy_import": 0.001}
    assert fields("1-0:1.7.0(000000286*W)") == {"power_import": 0.286}
    assert fields("1-0:3.8.0(000000747*varh)") == {"reactive_energy_import": 0.747}
    assert fields("1-0:4.7.0(000000166*var)") == {"reactive_power_export": 0.166}


@given(watt_hours=st.integers(0, 999_999_999))
def test_no_dust_is_left_when_units_are_changed(watt_hours: int) -> None:
    value = fields(f"1-0:1.8.0({watt_hours:09d}*Wh)")["energy_import"]
    digits = f"{watt_hours // 1000}.{watt_hours % 1000:03d}".rstrip("0").rstrip(".")
    assert json.dumps(value).removesuffix(".0") == digits


def test_units_are_read_in_any_case_and_without_a_star() -> None:
    for text in ("1.5*kWh", "1.5*KWH", "1.5*kwh", "1.5kWh", "1.5"):
        assert fields(f"1-0:1.8.0({text})") == {"energy_import": 1.5}
    assert fields("1-0:3.8.0(1.5*kVArh)") == {"reactive_energy_import": 1.5}


def test_a_value_of_another_unit_is_not_believed() -> None:
    for text in ("1.5*V", "1.5*kVA", "1.5*m3", "1.5*xyz"):
        assert decoded(f"1-0:1.8.0({text})").unknown == {"1-0:1.8.0": (f"({text})",)}


def test_what_is_no_number_goes_to_unknown_as_it_was_sent() -> None:
    for text in ("", "abc", "1e5*kWh", "1_0", "nan", "inf", "1.2.3", "0x10", "1.*kWh", "٣"):
        line = f"1-0:1.8.0({text})".encode().decode("latin-1")
        raw = f"/FLU5\r\n\r\n{line}\r\n!\r\n".encode("latin-1")
        found = parse_telegram(raw)
        assert found is not None
        readings = decode(found)
        assert readings.fields == {}
        assert readings.unknown == {"1-0:1.8.0": (line[9:],)}


def test_a_number_too_long_to_be_exact_goes_to_unknown() -> None:
    assert "1-0:1.8.0" in decoded("1-0:1.8.0(1234567890123.4567*kWh)").unknown


@pytest.mark.parametrize(
    "text",
    ["123456789012345", "12345678901234.5", "-12345678901234.5", "000012345678901234.5", "0.12345678901234"],
)
def test_the_longest_number_is_read(text: str) -> None:
    assert fields(f"1-0:1.8.0({text}*kWh)") == {"energy_import": float(text)}


@pytest.mark.parametrize("text", ["1234567890123456", "123456789012345.6", "-123456789012345.6"])
def test_a_number_of_one_digit_more_goes_to_unknown(text: str) -> None:
    assert decoded(f"1-0:1.8.0({text}*kWh)").unknown == {"1-0:1.8.0": (f"({text}*kWh)",)}


def test_a_count_has_15_digits_at_most() -> None:
    assert fields("0-0:96.7.21(123456789012345)") == {"power_failures": 123456789012345}
    assert decoded("0-0:96.7.21(1234567890123456)").unknown == {"0-0:96.7.21": ("(1234567890123456)",)}


def test_a_minus_zero_is_a_zero() -> None:
    assert str(fields("1-0:1.7.0(-0.000*kW)")["power_import"]) == "0.0"


def test_summer_and_winter_decide_on_the_offset() -> None:
    assert fields("0-0:1.0.0(260730102122S)") == {"timestamp": "2026-07-30T10:21:22+02:00"}
    assert fields("0-0:1.0.0(260130102122W)") == {"timestamp": "2026-01-30T10:21:22+01:00"}
    assert fields("0-0:1.0.0(260730102122s)") == {"timestamp": "2026-07-30T10:21:22+02:00"}
    assert fields("0-0:1.0.0(261025023000S)") == {"timestamp": "2026-10-25T02:30:00+02:00"}
    assert fields("0-0:1.0.0(261025023000W)") == {"timestamp": "2026-10-25T02:30:00+01:00"}


@pytest.mark.parametrize(
    "text",
    ["632525252525S", "700101010000W", "000101000001W", "041231235959W", "990101000000W", "260230120000W",
     "260001120000W", "260100120000W", "261301120000W", "260101240000W", "260101006000W", "260101000060W",
     "270229120000W"],
)  # fmt: skip
def test_an_unset_time_is_left_out(text: str) -> None:
    readings = decoded(f"0-0:1.0.0({text})", "1-0:1.8.0(1*kWh)")
    assert readings.fields == {"energy_import": 1}
    assert readings.unknown == {}


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("050101000000W", "2005-01-01T00:00:00"), ("691231235959W", "2069-12-31T23:59:59"),
        ("260101225858W", "2026-01-01T22:58:58"), ("261231235959W", "2026-12-31T23:59:59"),
        ("260131120000W", "2026-01-31T12:00:00"), ("260331120000W", "2026-03-31T12:00:00"),
        ("260430120000W", "2026-04-30T12:00:00"), ("260531120000W", "2026-05-31T12:00:00"),
        ("260630120000W", "2026-06-30T12:00:00"), ("260731120000W", "2026-07-31T12:00:00"),
        ("260831120000W", "2026-08-31T12:00:00"), ("260930120000W", "2026-09-30T12:00:00"),
        ("261031120000W", "2026-10-31T12:00:00"), ("261130120000W", "2026-11-30T12:00:00"),
        ("260228120000W", "2026-02-28T12:00:00"),
    ],
)  # fmt: skip
def test_the_first_and_the_last_of_each_part_of_a_time_exist(text: str, time: str) -> None:
    assert fields(f"0-0:1.0.0({text})") == {"timestamp": f"{time}+01:00"}


@pytest.mark.parametrize(
    "text",
    ["260132120000W", "260229120000W", "260332120000W", "260431120000W", "260532120000W", "260631120000W",
     "260732120000W", "260832120000W", "260931120000W", "261032120000W", "261131120000W", "261232120000W",
     "260101240000W", "260101236000W", "260101235960W", "041231235959W", "700101000000W"],
)  # fmt: skip
def test_beyond_the_last_of_each_part_of_a_time_there_is_none(text: str) -> None:
    assert fields(f"0-0:1.0.0({text})") == {}


def test_the_29th_of_february_exists_in_leap_years() -> None:
    assert fields("0-0:1.0.0(280229120000W)") == {"timestamp": "2028-02-29T12:00:00+01:00"}


@pytest.mark.parametrize("letter", ["", "X", "d"])
def test_a_time_without_summer_or_winter_has_no_offset(letter: str) -> None:
    assert fields(f"0-0:1.0.0(260130102122{letter})") == {"timestamp": "2026-01-30T10:21:22"}


@pytest.mark.parametrize("letter", ["", "X", "d"])
def test_a_value_behind_a_time_without_summer_or_winter_is_kept(letter: str) -> None:
    time = f"260130100000{letter}"
    found = decoded(
        *channel(1, 3, "G", f"24.2.1({time})(00435.247*m3)"),
        f"1-0:1.6.0({time})(04.620*kW)",
        f"0-0:98.1.0(1)(1-0:1.6.0)(1-0:1.6.0)({time})({time})(05.007*kW)",
        f"1-0:99.97.0(1)(0-0:96.7.19)({time})(0000002014*s)",
    )
    local = "2026-01-30T10:00:00"
    assert (found.devices["gas"]["value"], found.devices["gas"]["timestamp"]) == (435.247, local)
    assert found.fields == {
        "peak_demand_month": {"value": 4.62, "timestamp": local},
        "peak_demand_history": ({"period_end": local, "timestamp": local, "value": 5.007},),
        "power_failure_log": ({"end": local, "duration_s": 2014},),
    }
    assert found.unknown == {}


@pytest.mark.parametrize("text", ["26013010212W", "260130102122SW", "260130102122?", "2601301021221", ""])
def test_what_has_not_the_form_of_a_time_goes_to_unknown(text: str) -> None:
    assert decoded(f"0-0:1.0.0({text})").unknown == {"0-0:1.0.0": (f"({text})",)}


@pytest.mark.parametrize("text", ["000101000000", "632525252525X"])
def test_an_unset_time_without_a_letter_is_left_out(text: str) -> None:
    assert decoded(f"0-0:1.0.0({text})", f"0-1:24.2.1({text})(00000.000)") == decoded()


def test_hex_text_is_decoded_only_if_it_is_printable_ascii_of_even_length() -> None:
    assert fields("0-0:96.1.1(3153414731)") == {"equipment_id": "1SAG1"}
    assert fields("0-0:96.1.1(3132202020)") == {"equipment_id": "12"}
    for text in ("315341473", "00FF", "7F20", "xxx", "31 32", "ADC3100000158491", "É"):
        raw = f"/FLU5\r\n\r\n0-0:96.1.1({text})\r\n!\r\n".encode("latin-1")
        found = parse_telegram(raw)
        assert found is not None
        assert decode(found).fields == {"equipment_id": text}


def test_an_empty_message_is_an_empty_text() -> None:
    assert fields("0-0:96.13.0()") == {"message": ""}


@pytest.mark.parametrize("text", ["999*A", "999.9*A", "999.99*A", "99.999*A", "0999.00*A", "999.90*A"])
def test_a_limit_that_is_off_is_left_out_whatever_its_zeros(text: str) -> None:
    for code in ("0-0:17.0.0", "1-0:31.4.0"):
        readings = decoded(f"{code}({text})")
        assert (readings.fields, readings.unknown) == ({}, {})


def test_the_unit_decides_on_the_name_of_a_limit() -> None:
    assert fields("0-0:17.0.0(003.5*kW)") == {"power_threshold": 3.5}
    assert fields("0-0:17.0.0(027.6*kVA)") == {"apparent_power_threshold": 27.6}
    assert fields("0-0:17.0.0(016*A)") == {"current_threshold": 16}
    assert fields("0-0:17.0.0(77.376)") == {"apparent_power_threshold": 77.376}
    assert decoded("0-0:17.0.0(3*V)").unknown == {"0-0:17.0.0": ("(3*V)",)}


def test_the_two_current_limits_of_luxembourg_have_a_name_each() -> None:
    both = {"current_threshold_import": 100, "current_threshold_export": -63}
    assert fields("1-1:31.4.0(100*A)(-063*A)") == both
    assert fields("1-1:34.4.0(100*A)(-063*A)") == both
    assert fields("1-1:31.4.0(999*A)(-063*A)") == {"current_threshold_export": -63}
    assert decoded("1-1:31.4.0(100*A)").unknown == {"1-1:31.4.0": ("(100*A)",)}


def test_each_phase_of_hungary_has_a_fuse_limit_of_its_own() -> None:
    assert fields("1-0:31.4.0(200.00*A)", "1-0:51.4.0(063.00*A)", "1-0:71.4.0(999.00*A)") == {
        "fuse_threshold": 200, "fuse_threshold_l2": 63,
    }  # fmt: skip


MONTH_END_LINE = (
    "0-0:98.1.0({})(000001.001*kWh)(000001.002*kWh)(000001.003*kWh)(000001.004*kWh)(000001.005*kWh)"
    "(000001.006*kWh)(000001.007*kvarh)(000001.008*kvarh)(000001.009*kvarh)(000001.010*kvarh)"
    "(000001.011*kvarh)(000001.012*kvarh)(000001.013*kWh)(01.014*kW)(01.015*kW)(01.016*kW)(01.017*kW)"
    "(01.018*kW)({})"
)


def test_the_monthly_values_of_hungary_are_one_object() -> None:
    assert fields(MONTH_END_LINE.format("260201000000W", "01.019*kW")) == {
        "month_end": {
            "timestamp": "2026-02-01T00:00:00+01:00",
            "energy_import": 1.001, "energy_import_tariff_1": 1.002, "energy_import_tariff_2": 1.003,
            "energy_export": 1.004, "energy_export_tariff_1": 1.005, "energy_export_tariff_2": 1.006,
            "reactive_energy_import": 1.007, "reactive_energy_export": 1.008,
            "reactive_energy_q1": 1.009, "reactive_energy_q2": 1.01,
            "reactive_energy_q3": 1.011, "reactive_energy_q4": 1.012,
            "energy_combined": 1.013,
            "peak_demand_import": 1.014, "peak_demand_import_tariff_1": 1.015,
            "peak_demand_import_tariff_2": 1.016, "peak_demand_export": 1.017,
            "peak_demand_export_tariff_1": 1.018, "peak_demand_export_tariff_2": 1.019,
        }
    }  # fmt: skip


def test_monthly_values_of_a_month_that_has_not_been_are_left_out() -> None:
    assert decoded(MONTH_END_LINE.format("632525252525W", "00.000*kW")) == decoded()


def test_monthly_values_in_another_order_go_to_unknown() -> None:
    line = MONTH_END_LINE.format("260201000000W", "000001.019*kWh")
    assert decoded(line).unknown == {"0-0:98.1.0": (line[10:],)}


def test_codes_that_object_lists_have_are_read() -> None:
    assert fields(
        "1-0:1.5.0(01.001*kW)", "1-0:2.5.0(01.002*kW)",
        "1-0:3.4.0(01.003*kvar)", "1-0:4.4.0(01.004*kvar)", "1-0:9.4.0(01.005*kVA)", "1-0:10.4.0(01.006*kVA)",
        "1-0:3.5.0(01.007*kvar)", "1-0:4.5.0(01.008*kvar)", "1-0:9.5.0(01.009*kVA)", "1-0:10.5.0(01.010*kVA)",
        "1-0:15.7.0(01.011*kW)",
        "1-0:0.2.0(02.21)", "1-0:0.2.8(1EA43311)", "1-1:0.2.0(02.13)", "1-1:0.2.8(047C71F1)",
    ) == {
        "demand_import_last": 1.001, "demand_export_last": 1.002,
        "reactive_demand_import": 1.003, "reactive_demand_export": 1.004,
        "apparent_demand_import": 1.005, "apparent_demand_export": 1.006,
        "reactive_demand_import_last": 1.007, "reactive_demand_export_last": 1.008,
        "apparent_demand_import_last": 1.009, "apparent_demand_export_last": 1.01,
        "power_combined": 1.011,
        "firmware_version": "02.21", "firmware_signature": "1EA43311",
        "firmware_module_version": "02.13", "firmware_module_signature": "047C71F1",
    }  # fmt: skip


def test_the_serial_number_is_a_value_and_an_identity() -> None:
    found = decoded(f"0-0:96.1.0({hex_text('890082000000001')})")
    assert (found.fields, found.identity) == ({"serial_number": "890082000000001"}, "890082000000001")
    assert found.unknown == {}


def test_states_and_counts_are_whole_numbers() -> None:
    assert fields("0-0:96.14.0(0002)", "0-0:96.3.10(1)", "0-2:96.3.10(0)", "0-0:96.7.21(00069)") == {
        "tariff": 2, "breaker_state": 1, "relay_2_state": 0, "power_failures": 69,
    }  # fmt: skip
    assert decoded("0-0:96.14.0(x)").unknown == {"0-0:96.14.0": ("(x)",)}


def test_a_peak_has_its_time_and_is_left_out_without_one() -> None:
    assert fields("1-0:1.6.0(260112183000W)(04.620*kW)") == {
        "peak_demand_month": {"value": 4.62, "timestamp": "2026-01-12T18:30:00+01:00"}
    }
    assert decoded("1-0:1.6.0(632525252525W)(00.000*kW)") == decoded()
    assert decoded("1-0:1.6.0(04.620*kW)").unknown == {"1-0:1.6.0": ("(04.620*kW)",)}


def test_rows_of_the_peak_history_without_a_time_are_left_out() -> None:
    line = "0-0:98.1.0(2)(1-0:1.6.0)(1-0:1.6.0)(251201000000W)(251118191500W)(05.007*kW)"
    row = {
        "period_end": "2025-12-01T00:00:00+01:00",
        "timestamp": "2025-11-18T19:15:00+01:00",
        "value": 5.007,
    }
    assert fields(line + "(260101000000W)(632525252525W)(00.000*kW)") == {"peak_demand_history": (row,)}
    assert fields("0-0:98.1.0(0)(1-0:1.6.0)(1-0:1.6.0)()") == {"peak_demand_history": ()}


def test_a_history_of_another_shape_goes_to_unknown() -> None:
    for text in ("(12)", "(230701000000S)(000040.777*kWh)(1*kWh)(2*kWh)", "(1)(1-0:1.6.0)(1-0:1.6.0)(1*kW)"):
        assert decoded(f"0-0:98.1.0{text}").unknown == {"0-0:98.1.0": (text,)}


def test_the_failure_log_is_read_in_its_forms() -> None:
    line = "1-0:99.97.0(2)(0-0:96.7.19)(190326095015W)(0000002014*s)(000101000001W)(2147483647*s)"
    assert fields(line) == {"power_failure_log": ({"end": "2019-03-26T09:50:15+01:00", "duration_s": 2014},)}
    for text in ("()", "(0)", "(0)(0-0:96.7.19)", "(0)(0-0:96.7.19)()"):
        assert fields(f"1-0:99.97.0{text}") == {"power_failure_log": ()}
    assert "1-0:99.97.0" in decoded("1-0:99.97.0(3)(0-0:96.7.19)").unknown


def test_codes_with_medium_1_or_an_f_group_count_as_the_usual_ones() -> None:
    assert fields("1-1:1.8.1(001595.070*kWh)") == {"energy_import_tariff_1": 1595.07}
    assert fields("1-0:31.7.0.255(001*A)") == {"current_l1": 1}
    assert fields("1-1:31.7.0*255(001*A)") == {"current_l1": 1}
    assert fields("0-0:52.32.0(00003)") == {"voltage_sags_l2": 3}


def test_of_a_repeated_code_the_first_counts_and_the_rest_is_kept() -> None:
    readings = decoded("1-0:1.8.0(1*kWh)", "1-0:1.8.0(2*kWh)", "1-1:1.8.0(3*kWh)", "1-0:1.8.0(4*kWh)")
    assert readings.fields == {"energy_import": 1}
    assert readings.unknown == {"1-0:1.8.0": ("(2*kWh)", "(4*kWh)"), "1-1:1.8.0": ("(3*kWh)",)}
    readings = decoded("1-3:0.2.8(42)", "0-0:96.1.4(50217)")
    assert readings.fields == {"p1_version": "42"}
    assert readings.unknown == {"0-0:96.1.4": ("(50217)",)}
    readings = decoded("0-0:17.0.0(10.0*kW)", "0-0:17.0.0(20*A)")
    assert (readings.fields, readings.unknown) == ({"power_threshold": 10}, {"0-0:17.0.0": ("(20*A)",)})
    assert decoded("0-0:96.1.0*255(3132)").identity == "12"
    assert fields("1-0:1.8.0(00000000000000001.5*kWh)") == {"energy_import": 1.5}
    assert fields("0-0:96.13.0(41\t42)") == {"message": "41\t42"}
    readings = decoded("0-0:17.0.0(999*A)", "0-0:17.0.0(5*A)")
    assert (readings.fields, readings.unknown) == ({}, {"0-0:17.0.0": ("(5*A)",)})


def test_unknown_codes_and_lines_without_one_are_kept_as_sent() -> None:
    lines = [
        "1-0:99.1.0(raw text)(as sent)",
        "no code at all",
        "(00124.477)",
        "1-0:98.2.0",
        "1-0:1.8.0(1*kWh",
    ]
    assert decoded(*lines).unknown == {
        "1-0:99.1.0": ("(raw text)(as sent)",),
        "": ("no code at all", "(00124.477)"),
        "1-0:98.2.0": ("",),
        "1-0:1.8.0": ("(1*kWh",),
    }


def test_a_line_with_more_values_than_its_code_has_goes_to_unknown() -> None:
    assert decoded("1-0:1.8.0(1*kWh)(2*kWh)").unknown == {"1-0:1.8.0": ("(1*kWh)(2*kWh)",)}


def test_the_code_of_each_field_is_known_as_it_was_sent() -> None:
    readings = decoded("1-1:1.8.1(1*kWh)", "0-2:24.1.0(003)", "0-2:96.1.0(3132)")
    assert readings.codes == {
        "energy_import_tariff_1": "1-1:1.8.1", "gas.device_type": "0-2:24.1.0", "gas.id": "0-2:96.1.0",
    }  # fmt: skip


# M-Bus


def channel(number: int, device_type: int | None, identity: str | None, *rest: str) -> list[str]:
    lines = [] if device_type is None else [f"0-{number}:24.1.0({device_type:03d})"]
    lines += [] if identity is None else [f"0-{number}:96.1.0({hex_text(identity)})"]
    return lines + [f"0-{number}:{line}" for line in rest]


GAS = "24.2.1(260130100000W)(00435.247*m3)"


def test_a_device_has_its_channel_type_identity_and_register() -> None:
    assert decoded(*channel(1, 3, "GFLO1", GAS, "24.4.0(1)")).devices == {
        "gas": {
            "channel": 1, "device_type": 3, "id": "GFLO1", "value": 435.247, "unit": "m³",
            "timestamp": "2026-01-30T10:00:00+01:00", "valve_state": 1,
        }
    }  # fmt: skip


def test_the_type_decides_on_the_medium_whatever_the_code_and_the_channel() -> None:
    water = "24.2.3(260130100000W)(00872.234*m3)"
    heat = "24.2.1(260130100000W)(240.860*GJ)"
    power = "24.2.1(260130100000W)(123456*Wh)"
    found = decoded(*channel(1, 7, "W", water), *channel(3, 4, "H", heat), *channel(2, 2, "E", power)).devices
    assert {name: (d["channel"], d["value"], d["unit"]) for name, d in found.items()} == {
        "water": (1, 872.234, "m³"), "electricity_submeter": (2, 123.456, "kWh"), "heat": (3, 240.86, "GJ"),
    }  # fmt: skip


def test_two_devices_of_one_medium_are_numbered_by_channel() -> None:
    found = decoded(*channel(4, 3, "B", GAS), *channel(2, 3, "A", GAS)).devices
    assert {name: device["channel"] for name, device in found.items()} == {"gas": 2, "gas_2": 4}


def test_a_device_type_may_come_last_or_be_one_of_no_name() -> None:
    assert list(decoded(f"0-1:{GAS}", "0-1:96.1.0(3132)", "0-1:24.1.0(003)").devices) == ["gas"]
    assert list(decoded(*channel(1, 99, "X", GAS)).devices) == ["device_99"]
    assert list(decoded(*channel(1, None, "X", GAS)).devices) == ["device_unknown"]


def test_a_channel_without_identity_and_without_a_dated_value_is_not_connected() -> None:
    unset = "24.2.1(632525252525S)(00000.000)"
    for identity in ("", "0", "00000000000000000"):
        found = decoded(
            "0-2:24.1.0(007)", f"0-2:96.1.0({hex_text(identity)})", f"0-2:{unset}", "0-2:24.4.0(1)"
        )
        assert (found.devices, found.unknown) == ({}, {})
    assert decoded("0-1:24.1.0(003)", "0-1:96.1.0(00000000000000)").devices == {}
    assert decoded("0-1:24.1.0(003)", "0-1:96.1.0()", "0-1:24.2.1(700101010000W)(00000000)").devices == {}


def test_an_undated_register_is_left_out_and_the_device_stays() -> None:
    found = decoded(*channel(1, 3, "GFLO1", "24.2.1(632525252525S)(00000.000)")).devices
    assert found == {"gas": {"channel": 1, "device_type": 3, "id": "GFLO1"}}


def test_a_dated_register_makes_a_device_without_an_identity() -> None:
    found = decoded("0-1:24.1.0(003)", "0-1:96.1.0()", f"0-1:{GAS}").devices
    assert found["gas"]["value"] == 435.247
    assert found["gas"]["id"] == ""


def test_a_register_is_read_behind_a_time_with_a_small_letter() -> None:
    gas = decoded(*channel(1, 3, "G", "24.2.1(260730100000s)(00435.247*m3)")).devices["gas"]
    assert (gas["value"], gas["timestamp"]) == (435.247, "2026-07-30T10:00:00+02:00")


def test_a_register_without_a_unit_has_that_of_its_medium() -> None:
    assert decoded(*channel(1, 3, "G", "24.2.1(260130100000W)(00435.247)")).devices["gas"]["unit"] == "m³"
    assert decoded(*channel(1, 4, "H", "24.2.1(260130100000W)(00435.247)")).devices["heat"]["unit"] == "GJ"
    assert "unit" not in decoded(*channel(1, 99, "H", "24.2.1(260130100000W)(5)")).devices["device_99"]


def test_lines_of_a_channel_that_cannot_be_read_or_repeat_go_to_unknown() -> None:
    found = decoded(
        *channel(1, 3, "G", GAS, "24.2.3(260130100000W)(00001.000*m3)", "24.9.9(1)", "24.4.0(x)"),
        "0-1:96.1.1(3132)",
    )
    assert found.devices["gas"]["value"] == 435.247
    assert found.unknown == {
        "0-1:24.2.3": ("(260130100000W)(00001.000*m3)",),
        "0-1:24.9.9": ("(1)",),
        "0-1:24.4.0": ("(x)",),
        "0-1:96.1.1": ("(3132)",),
    }
    for text in ("(00435.247*m3)", "(260130100000W)(5*V)", "(260130100000W)(5*xyz)", "(260130100000W)(x)"):
        assert decoded(f"0-1:24.2.1{text}").unknown == {"0-1:24.2.1": (text,)}


def test_an_empty_line_of_a_channel_does_not_block_another_code_that_says_more() -> None:
    found = decoded(
        "0-1:24.1.0(003)", "0-1:96.1.0()", "0-1:96.1.1(414243)",
        "0-1:24.2.1(632525252525S)(00000.000)", "0-1:24.2.3(260130100000W)(5.0*m3)",
    )  # fmt: skip
    assert (found.devices["gas"]["id"], found.devices["gas"]["value"]) == ("ABC", 5)
    assert found.unknown == {}


def test_of_a_repeated_code_of_a_channel_the_first_counts_even_if_it_cannot_be_read() -> None:
    found = decoded("0-1:24.1.0(003)", "0-1:24.2.1(garbage)", f"0-1:{GAS}")
    assert found.devices == {}
    assert found.unknown == {"0-1:24.2.1": ("(garbage)", GAS[6:])}


def test_relays_are_no_mbus_devices_and_leave_the_breaker_alone() -> None:
    readings = decoded("0-0:96.3.10(1)", "0-1:96.3.10(0)", "0-4:96.3.10(2)")
    assert readings.fields == {"breaker_state": 1, "relay_1_state": 0, "relay_4_state": 2}
    assert readings.devices == {}


# Whole telegrams


def test_the_telegrams_of_three_countries_are_read_to_the_last_line() -> None:
    for text in (luxembourg(1), belgium(1), netherlands(1)):
        found = parse_telegram(text)
        assert found is not None
        assert decode(found).unknown == {}


def test_the_identity_is_the_first_of_three_codes_as_text() -> None:
    device = f"0-0:42.0.0({hex_text('DEVICE')})"
    equipment = f"0-0:96.1.1({hex_text('EQUIP')})"
    other = f"0-0:96.1.0({hex_text('OTHER')})"
    assert decoded(other, equipment, device).identity == "DEVICE"
    assert decoded(other, equipment).identity == "EQUIP"
    assert decoded(other).identity == "OTHER"
    assert decoded("0-0:42.0.0()", equipment).identity == "EQUIP"
    assert decoded().identity is None


def test_more_lines_than_are_remembered_are_read_all_the_same() -> None:
    for number in range(10_000):
        assert fields(f"1-0:1.8.0({number:06d}.500*kWh)") == {"energy_import": number + 0.5}


def test_readings_cannot_be_written_into() -> None:
    lines = [
        "0-0:98.1.0(1)(1-0:1.6.0)(1-0:1.6.0)(251201000000W)(251118191500W)(05.007*kW)",
        "1-0:1.6.0(260112183000W)(04.620*kW)",
        "1-0:99.97.0(1)(0-0:96.7.19)(190326095015W)(0000002014*s)",
        "1-0:99.1.0(x)",
        *channel(1, 3, "G", GAS),
    ]
    found: Any = decoded(*lines)
    history, log = found.fields["peak_demand_history"], found.fields["power_failure_log"]
    for readings in (
        found.fields, found.codes, found.devices, found.unknown, found.devices["gas"],
        found.fields["peak_demand_month"], history[0], log[0],
    ):  # fmt: skip
        for method, *arguments in (
            ("update", {"a": 1}), ("setdefault", "a", 1), ("__setitem__", "a", 1), ("__delitem__", "a"),
            ("__ior__", {"a": 1}), ("pop", "a"), ("popitem",), ("clear",),
        ):  # fmt: skip
            with pytest.raises(TypeError, match="cannot be changed"):
                getattr(readings, method)(*arguments)
    assert [type(rows) for rows in (history, log, *found.unknown.values())] == [tuple] * 3


def test_a_copy_of_readings_can_be_written_into() -> None:
    device = decoded(*channel(1, 3, "G", GAS)).devices["gas"]
    for copied in (dict(device), device.copy(), copy.deepcopy(device), copy.copy(device)):
        assert copied == device
        copied["value"] = 0
    assert device["value"] == 435.247


def test_the_register_of_dsmr_3_stands_on_two_lines_and_has_a_local_time() -> None:
    lines = ["0-1:24.1.0(03)", "0-1:24.3.0(120517020000)(08)(60)(1)(0-1:24.2.1)(m3)", "(00124.477)"]
    assert decoded(*lines).devices == {
        "gas": {
            "channel": 1,
            "device_type": 3,
            "value": 124.477,
            "unit": "m³",
            "timestamp": "2012-05-17T02:00:00",
        }
    }
    assert decoded(*lines[:2]).unknown == {"0-1:24.3.0": (lines[1][10:],)}
    assert decoded(*lines, "stray").unknown == {"0-1:24.3.0": (lines[1][10:],), "": (lines[2], "stray")}


@given(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60), max_size=12))
def test_any_lines_are_all_accounted_for_and_nothing_is_raised(lines: list[str]) -> None:
    text = "/FLU5\r\n\r\n" + "".join(f"{line}\r\n" for line in lines) + "!\r\n"
    found = parse_telegram(text.encode("latin-1"))
    assert found is not None
    readings = decode(found)
    kept = sum(len(rest) for rest in readings.unknown.values())
    assert kept <= len(lines)
    assert (
        kept == len(found.split()[1]) or readings.fields or readings.devices or any("(" in li for li in lines)
    )


_PIECES = st.sampled_from(
    ["1-0:1.8.0", "0-0:1.0.0", "0-1:24.2.1", "0-0:98.1.0", "1-0:99.97.0", "0-0:17.0.0", "1-1:31.4.0",
     "(", ")", "*kWh", "*m3", "260130102122W", "632525252525S", "1", "00000.000", "-", ".", "1-0:1.6.0",
     "0-0:96.7.19", "999"]
)  # fmt: skip


@given(st.lists(st.lists(_PIECES, max_size=12).map("".join), max_size=10))
def test_lines_of_torn_objects_raise_nothing(lines: list[str]) -> None:
    found = parse_telegram(("/FLU5\r\n\r\n" + "".join(f"{line}\r\n" for line in lines) + "!\r\n").encode())
    assert found is not None
    decode(found)
