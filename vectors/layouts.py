"""Telegrams as meters of several countries and years write them, each line with the fields it decodes to.

Values and identities are invented; the layouts follow the specifications named in each note.
"""

from dataclasses import dataclass
from typing import Any, Final

from vectors.building_blocks import hex_text, telegram, time_line

Line = tuple[str, dict[str, Any]]


def row(line: str, **fields: Any) -> Line:  # noqa: ANN401 - a field may be of any JSON type
    """Pair a line with the fields it decodes to, if any."""
    return line, fields


@dataclass(frozen=True)
class Layout:
    """A telegram and the readings it decodes to."""

    name: str
    note: str
    header: str
    rows: tuple[Line, ...]
    identity: str | None
    has_crc: bool = True

    @property
    def text(self) -> bytes:
        """The telegram as the meter writes it."""
        text = telegram(self.header, *(line for line, _ in self.rows))
        return text if self.has_crc else text[: text.rindex(b"!") + 1] + b"\r\n"

    def expected(self, **frame_fields: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
        """Return the JSON object it decodes to, with `security` and the fields of a frame."""
        readings: dict[str, Any] = {}
        for _, fields in self.rows:
            for name, value in fields.items():
                if isinstance(value, dict) and isinstance(readings.get(name), dict):
                    readings[name] |= value
                else:
                    readings[name] = dict(value) if isinstance(value, dict) else value
        identity = self.identity or frame_fields.get("system_title") or self.header
        return {"meter": identity, "meter_id": identity, **frame_fields, "header": self.header, **readings}


def clock(second: int) -> Line:
    """Return the row of a time on a winter morning."""
    return row(time_line(second), timestamp=f"2026-01-30T10:2{second // 60}:{second % 60:02d}+01:00")


def name_line(name: str) -> Line:
    """Return the row of the logical device name of a Luxembourg meter."""
    return row(f"0-0:42.0.0({hex_text(name)})", logical_device_name=name)


_GAS_LU: Final = (
    row("0-1:24.1.0(003)", gas={"channel": 1, "device_type": 3}),
    row(f"0-1:96.1.0({hex_text('GFLO2133031470')})", gas={"id": "GFLO2133031470"}),
    row(
        "0-1:24.2.1(260130100000W)(00435.247*m3)",
        gas={"value": 435.247, "unit": "m³", "timestamp": "2026-01-30T10:00:00+01:00"},
    ),
    row("0-1:24.4.0(1)", gas={"valve_state": 1}),
)

LUXEMBOURG: Final = Layout(
    "luxembourg",
    "Luxmetering P1 1.1.3, three phases, gas on channel 1, nothing on channel 2",
    "Lux5\\253000001_D",
    (
        row("1-3:0.2.8(42)", p1_version="42"),
        clock(10),
        name_line("SAG1030700012345"),
        row("1-0:1.8.0(001234.567*kWh)", energy_import=1234.567),
        row("1-0:2.8.0(000890.123*kWh)", energy_export=890.123),
        row("1-0:3.8.0(000045.678*kvarh)", reactive_energy_import=45.678),
        row("1-0:4.8.0(000412.002*kvarh)", reactive_energy_export=412.002),
        row("1-0:1.7.0(01.312*kW)", power_import=1.312),
        row("1-0:2.7.0(00.000*kW)", power_export=0),
        row("1-0:3.7.0(00.000*kvar)", reactive_power_import=0),
        row("1-0:4.7.0(00.154*kvar)", reactive_power_export=0.154),
        row("0-0:17.0.0(027.6*kVA)", apparent_power_threshold=27.6),
        row("1-0:9.7.0(01.321*kVA)", apparent_power_import=1.321),
        row("1-0:10.7.0(00.000*kVA)", apparent_power_export=0),
        row("1-1:31.4.0(040*A)(-040*A)", current_threshold_import=40, current_threshold_export=-40),
        row("0-0:96.3.10(1)", breaker_state=1),
        row("0-1:96.3.10(0)", relay_1_state=0),
        row("0-2:96.3.10(0)", relay_2_state=0),
        row("0-0:96.7.21(00012)", power_failures=12),
        row("1-0:32.32.0(00003)", voltage_sags_l1=3),
        row("1-0:72.36.0(00000)", voltage_swells_l3=0),
        row("0-0:96.13.0()", message=""),
        row("0-0:96.13.2()", message_2=""),
        row("1-0:32.7.0(231.4*V)", voltage_l1=231.4),
        row("1-0:31.7.0(002*A)", current_l1=2),
        row("1-0:21.7.0(00.412*kW)", power_import_l1=0.412),
        row("1-0:62.7.0(00.000*kW)", power_export_l3=0),
        row("1-0:24.7.0(00.046*kvar)", reactive_power_export_l1=0.046),
        *_GAS_LU,
        row("0-2:24.1.0(007)"),
        row("0-2:96.1.0()"),
        row("0-2:24.2.1(632525252525S)(00000.000)"),
        row("0-2:24.4.0(1)"),
    ),
    "SAG1030700012345",
)

LUXEMBOURG_2018: Final = Layout(
    "luxembourg-2018",
    "older firmware: fewer lines, and values without a unit",
    "Lux5\\253000002_M",
    (
        row("1-3:0.2.8(42)", p1_version="42"),
        clock(11),
        name_line("SAG1030700012345"),
        row("1-0:1.8.0(000066.950*kWh)", energy_import=66.95),
        row("1-0:3.7.0(00.000)", reactive_power_import=0),
        row("1-0:4.7.0(00.007)", reactive_power_export=0.007),
        row("0-0:17.0.0(77.376)", apparent_power_threshold=77.376),
        row("0-0:96.7.21(00069)", power_failures=69),
        row("0-0:96.13.0()", message=""),
        row("1-0:31.7.0(006*A)", current_l1=6),
    ),
    "SAG1030700012345",
)

LUXEMBOURG_MINIMAL: Final = Layout(
    "luxembourg-minimal",
    "no object is required: a version alone is a telegram, and the system title identifies the meter",
    "Lux5\\253000001_D",
    (row("1-3:0.2.8(42)", p1_version="42"),),
    None,
)

LUXEMBOURG_SUMMER: Final = Layout(
    "luxembourg-summer",
    "the S of summer time, a message, and four M-Bus channels with gas on the last",
    "Lux5\\253000001_B",
    (
        row("1-3:0.2.8(42)", p1_version="42"),
        row("0-0:1.0.0(260706104157S)", timestamp="2026-07-06T10:41:57+02:00"),
        name_line("SAG1030700012345"),
        row("1-0:1.8.0(000025.653*kWh)", energy_import=25.653),
        row(
            f"0-0:96.13.0({hex_text('Maintenance on 3 August, 9 h')})", message="Maintenance on 3 August, 9 h"
        ),
        row("0-1:24.1.0(007)"),
        row("0-1:96.1.0()"),
        row("0-1:24.2.1(632525252525S)(00000.000)"),
        row("0-2:24.1.0(007)", water={"channel": 2, "device_type": 7}),
        row(f"0-2:96.1.0({hex_text('WDME0000000001')})", water={"id": "WDME0000000001"}),
        row(
            "0-2:24.2.1(260706100000S)(00012.500*m3)",
            water={"value": 12.5, "unit": "m³", "timestamp": "2026-07-06T10:00:00+02:00"},
        ),
        row("0-3:24.1.0(004)", heat={"channel": 3, "device_type": 4}),
        row(f"0-3:96.1.0({hex_text('HKAM0000000001')})", heat={"id": "HKAM0000000001"}),
        row(
            "0-3:24.2.1(260706100000S)(00240.860*GJ)",
            heat={"value": 240.86, "unit": "GJ", "timestamp": "2026-07-06T10:00:00+02:00"},
        ),
        row("0-4:24.1.0(003)", gas={"channel": 4, "device_type": 3}),
        row(f"0-4:96.1.0({hex_text('GELS0000000001')})", gas={"id": "GELS0000000001"}),
        row(
            "0-4:24.2.1(260706102900S)(00028.103*m3)",
            gas={"value": 28.103, "unit": "m³", "timestamp": "2026-07-06T10:29:00+02:00"},
        ),
    ),
    "SAG1030700012345",
)

_BELGIAN_ID: Final = row(f"0-0:96.1.1({hex_text('1SAG1100000001')})", equipment_id="1SAG1100000001")

BELGIUM_50213: Final = Layout(
    "belgium-50213",
    "e-MUCS 1.3, one phase, whole amperes, gas that is not temperature corrected; limits are off",
    "FLU5\\253000003_A",
    (
        row("0-0:96.1.4(50213)", p1_version="50213"),
        _BELGIAN_ID,
        clock(12),
        row("1-0:1.8.1(000031.250*kWh)", energy_import_tariff_1=31.25),
        row("1-0:1.8.2(000040.792*kWh)", energy_import_tariff_2=40.792),
        row("1-0:2.8.1(000061.957*kWh)", energy_export_tariff_1=61.957),
        row("1-0:2.8.2(000023.548*kWh)", energy_export_tariff_2=23.548),
        row("0-0:96.14.0(0001)", tariff=1),
        row("1-0:1.7.0(00.342*kW)", power_import=0.342),
        row("1-0:2.7.0(00.000*kW)", power_export=0),
        row("1-0:32.7.0(236.7*V)", voltage_l1=236.7),
        row("1-0:31.7.0(002*A)", current_l1=2),
        row("0-0:96.3.10(1)", breaker_state=1),
        row("0-0:17.0.0(999.9*kW)"),
        row("1-0:31.4.0(999*A)"),
        row("0-0:96.13.0()", message=""),
        row("0-1:24.1.0(003)", gas={"channel": 1, "device_type": 3}),
        row(f"0-1:96.1.1({hex_text('7FLO2119000001')})", gas={"id": "7FLO2119000001"}),
        row("0-1:24.4.0(1)", gas={"valve_state": 1}),
        row(
            "0-1:24.2.3(260130101502W)(00001.315*m3)",
            gas={"value": 1.315, "unit": "m³", "timestamp": "2026-01-30T10:15:02+01:00"},
        ),
    ),
    "1SAG1100000001",
)

BELGIUM_50217: Final = Layout(
    "belgium-50217",
    "e-MUCS 1.7.1, three phases, quarter-hour demand, peaks with an unset row, gas and water",
    "FLU5\\253000004_A",
    (
        row("0-0:96.1.4(50217)", p1_version="50217"),
        _BELGIAN_ID,
        clock(13),
        row("1-0:1.8.1(000531.250*kWh)", energy_import_tariff_1=531.25),
        row("0-0:96.14.0(0002)", tariff=2),
        row("1-0:1.4.0(00.351*kW)", demand_import=0.351),
        row(
            "1-0:1.6.0(260112183000W)(04.620*kW)",
            peak_demand_month={"value": 4.62, "timestamp": "2026-01-12T18:30:00+01:00"},
        ),
        row(
            "0-0:98.1.0(3)(1-0:1.6.0)(1-0:1.6.0)(251101000000W)(251018191500S)(05.007*kW)"
            "(251201000000W)(251124114500W)(06.130*kW)(632525252525W)(632525252525W)(00.000*kW)",
            peak_demand_history=[
                {
                    "period_end": "2025-11-01T00:00:00+01:00",
                    "timestamp": "2025-10-18T19:15:00+02:00",
                    "value": 5.007,
                },
                {
                    "period_end": "2025-12-01T00:00:00+01:00",
                    "timestamp": "2025-11-24T11:45:00+01:00",
                    "value": 6.13,
                },
            ],
        ),
        row("1-0:1.7.0(00.000*kW)", power_import=0),
        row("1-0:2.7.0(01.207*kW)", power_export=1.207),
        row("1-0:41.7.0(00.061*kW)", power_import_l2=0.061),
        row("1-0:52.7.0(230.7*V)", voltage_l2=230.7),
        row("1-0:51.7.0(000.49*A)", current_l2=0.49),
        row("0-0:17.0.0(005.0*kW)", power_threshold=5),
        row("1-0:31.4.0(025*A)", fuse_threshold=25),
        row("0-1:24.1.0(003)", gas={"channel": 1, "device_type": 3}),
        row(f"0-1:96.1.1({hex_text('7FLO2119000001')})", gas={"id": "7FLO2119000001"}),
        row(
            "0-1:24.2.3(260130101502W)(00112.384*m3)",
            gas={"value": 112.384, "unit": "m³", "timestamp": "2026-01-30T10:15:02+01:00"},
        ),
        row("0-2:24.1.0(007)", water={"channel": 2, "device_type": 7}),
        row(f"0-2:96.1.1({hex_text('8SAG1234567890')})", water={"id": "8SAG1234567890"}),
        row(
            "0-2:24.2.1(260130101502W)(00872.234*m3)",
            water={"value": 872.234, "unit": "m³", "timestamp": "2026-01-30T10:15:02+01:00"},
        ),
    ),
    "1SAG1100000001",
)

BELGIUM_50221: Final = Layout(
    "belgium-50221",
    "e-MUCS 2.1: EAN, grid voltage, four relays, water on 24.2.3, limits off in their new form",
    "FLU5\\253000005_A",
    (
        row("0-0:96.1.4(50221)", p1_version="50221"),
        row("1-0:94.32.1(400)", grid_voltage=400),
        _BELGIAN_ID,
        row(f"0-0:96.1.2({hex_text('541440000000000001')})", ean="541440000000000001"),
        clock(14),
        row("1-0:1.8.1(000000.034*kWh)", energy_import_tariff_1=0.034),
        row("0-0:98.1.0(0)(1-0:1.6.0)(1-0:1.6.0)()", peak_demand_history=[]),
        row("0-0:96.3.10(1)", breaker_state=1),
        row("0-0:17.0.0(99.999*kW)"),
        row("1-0:31.4.0(999.99*A)"),
        row("0-1:96.3.10(0)", relay_1_state=0),
        row("0-4:96.3.10(1)", relay_4_state=1),
        row("0-2:24.1.0(007)", water={"channel": 2, "device_type": 7}),
        row(f"0-2:96.1.1({hex_text('8SAG1234567890')})", water={"id": "8SAG1234567890"}),
        row(f"0-2:96.1.2({hex_text('541440000000000002')})", water={"ean": "541440000000000002"}),
        row(
            "0-2:24.2.3(260130101502W)(00872.234*m3)",
            water={"value": 872.234, "unit": "m³", "timestamp": "2026-01-30T10:15:02+01:00"},
        ),
    ),
    "1SAG1100000001",
)

_DUTCH_ID: Final = row(f"0-0:96.1.1({hex_text('E0044000000000001')})", equipment_id="E0044000000000001")

NETHERLANDS_42: Final = Layout(
    "netherlands-42",
    "DSMR 4.2, one phase: failure log with a clock that was never set, gas on channel 2",
    "KFM5KAIFA-METER",
    (
        row("1-3:0.2.8(42)", p1_version="42"),
        clock(15),
        _DUTCH_ID,
        row("1-0:1.8.1(003000.497*kWh)", energy_import_tariff_1=3000.497),
        row("0-0:96.14.0(0002)", tariff=2),
        row("0-0:96.7.9(00007)", long_power_failures=7),
        row("1-0:99.97.0(1)(0-0:96.7.19)(000101000001W)(2147483647*s)", power_failure_log=[]),
        row("0-0:96.13.1()", message_code=""),
        row("0-1:24.1.0(003)"),
        row("0-1:96.1.0(0000000000000000000000000000000000)"),
        row("0-2:24.1.0(003)", gas={"channel": 2, "device_type": 3}),
        row(f"0-2:96.1.0({hex_text('G0039001900000001')})", gas={"id": "G0039001900000001"}),
        row(
            "0-2:24.2.1(260130100000W)(02000.671*m3)",
            gas={"value": 2000.671, "unit": "m³", "timestamp": "2026-01-30T10:00:00+01:00"},
        ),
    ),
    "E0044000000000001",
)

NETHERLANDS_50: Final = Layout(
    "netherlands-50",
    "DSMR 5.0 with a failure log and a second gas meter",
    "ISK5\\2M550T-0001",
    (
        row("1-3:0.2.8(50)", p1_version="50"),
        clock(16),
        _DUTCH_ID,
        row("1-0:1.8.1(002130.115*kWh)", energy_import_tariff_1=2130.115),
        row(
            "1-0:99.97.0(1)(0-0:96.7.19)(250326095015W)(0000002014*s)",
            power_failure_log=[{"end": "2025-03-26T09:50:15+01:00", "duration_s": 2014}],
        ),
        row("0-1:24.1.0(003)", gas={"channel": 1, "device_type": 3}),
        row(f"0-1:96.1.0({hex_text('G0039001900000001')})", gas={"id": "G0039001900000001"}),
        row(
            "0-1:24.2.1(260130101500W)(00246.138*m3)",
            gas={"value": 246.138, "unit": "m³", "timestamp": "2026-01-30T10:15:00+01:00"},
        ),
        row("0-2:24.1.0(003)", gas_2={"channel": 2, "device_type": 3}),
        row(f"0-2:96.1.0({hex_text('G0039001900000002')})", gas_2={"id": "G0039001900000002"}),
    ),
    "E0044000000000001",
)

AUSTRIA: Final = Layout(
    "austria",
    "Sagemcom T210-D-r: whole Wh, W, varh and var, and no identity but the system title",
    "EST5\\253000006_A",
    (
        row("1-3:0.2.8(50)", p1_version="50"),
        clock(17),
        row("1-0:1.8.0(006545766*Wh)", energy_import=6545.766),
        row("1-0:1.7.0(000000286*W)", power_import=0.286),
        row("1-0:3.8.1(000000747*varh)", reactive_energy_import_tariff_1=0.747),
        row("1-0:4.7.0(000000166*var)", reactive_power_export=0.166),
    ),
    None,
)

SWEDEN: Final = Layout(
    "sweden",
    "H1 port: no version, no identity, units in mixed case, tenths of amperes",
    "LGF5E360",
    (
        clock(18),
        row("1-0:1.8.0(00002721.126*kWh)", energy_import=2721.126),
        row("1-0:3.8.0(00001384.336*kVArh)", reactive_energy_import=1384.336),
        row("1-0:3.7.0(0000.292*kVAr)", reactive_power_import=0.292),
        row("1-0:31.7.0(009.7*A)", current_l1=9.7),
    ),
    None,
)

SWITZERLAND: Final = Layout(
    "switzerland",
    "codes with medium 1-1, and unknown lines",
    "GRE5\\\\000007_A",
    (
        clock(19),
        row("1-1:1.8.1(001595.070*kWh)", energy_import_tariff_1=1595.07),
        row("1-1:1.7.0(01.622*kW)", power_import=1.622),
        row("0-0:98.1.0(12)", unknown={"0-0:98.1.0": ["(12)"]}),
        row("1-0:99.1.0(raw text)(as sent)", unknown={"1-0:99.1.0": ["(raw text)(as sent)"]}),
    ),
    None,
)

NETHERLANDS_22: Final = Layout(
    "netherlands-22",
    "DSMR 2.2: no CRC, no time, and the gas register over two lines, with a local time",
    "KMP5 ZABF000000000001",
    (
        row(f"0-0:96.1.1({hex_text('KMP0000000000001')})", equipment_id="KMP0000000000001"),
        row("1-0:1.8.1(00185.000*kWh)", energy_import_tariff_1=185),
        row("1-0:1.7.0(0000.98*kW)", power_import=0.98),
        row("0-0:17.0.0(999*A)"),
        row("0-0:96.3.10(1)", breaker_state=1),
        row("0-0:96.13.1()", message_code=""),
        row("0-1:24.1.0(3)", gas={"channel": 1, "device_type": 3}),
        row(f"0-1:96.1.0({hex_text('2801000000000001')})", gas={"id": "2801000000000001"}),
        row(
            "0-1:24.3.0(260130100000)(08)(60)(1)(0-1:24.2.1)(m3)\r\n(00124.477)",
            gas={"value": 124.477, "unit": "m³", "timestamp": "2026-01-30T10:00:00"},
        ),
        row("0-1:24.4.0(1)", gas={"valve_state": 1}),
    ),
    "KMP0000000000001",
    has_crc=False,
)

NETHERLANDS_30: Final = Layout(
    "netherlands-30",
    "DSMR 3.0: a message over three lines, and a gas meter that was never read",
    "ISk5\\2MT382-1000",
    (
        row(f"0-0:96.1.1({hex_text('K8EG004046395507')})", equipment_id="K8EG004046395507"),
        row("1-0:2.8.2(12345.678*kWh)", energy_export_tariff_2=12345.678),
        row("0-0:17.0.0(016*A)", current_threshold=16),
        row("0-0:96.13.0(4D61696E\r\n74656E61\r\n6E6365)", message="Maintenance"),
        row(f"0-1:96.1.0({hex_text('222ABCD123456789')})", gas={"channel": 1, "id": "222ABCD123456789"}),
        row("0-1:24.1.0(03)", gas={"device_type": 3}),
        row("0-1:24.3.0(000101000000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n(00000.000)"),
    ),
    "K8EG004046395507",
    has_crc=False,
)

HUNGARY: Final = Layout(
    "hungary",
    "four tariffs, quadrants, a power factor above 1, and codes of its own",
    "SAG5SAG-METER",
    (
        clock(20),
        row(f"0-0:42.0.0({hex_text('SAG0082000000001')})", logical_device_name="SAG0082000000001"),
        row(
            f"0-0:96.1.0({hex_text('890082000000001')})",
            serial_number="890082000000001",
        ),
        row("0-0:17.0.0(90.000*kW)", power_threshold=90),
        row("1-0:1.8.3(000000.001*kWh)", energy_import_tariff_3=0.001),
        row("1-0:7.8.0(000160.487*kvarh)", reactive_energy_q3=160.487),
        row("1-0:15.8.0(000800.817*kWh)", energy_combined=800.817),
        row("1-0:13.7.0(4.556)", power_factor=4.556),
        row("1-0:14.7.0(50.00*Hz)", frequency=50),
        row("1-0:31.4.0(200.00*A)", fuse_threshold=200),
        row("1-0:51.4.0(200.00*A)", fuse_threshold_l2=200),
        row("1-0:71.4.0(999.00*A)"),
        row(
            "0-0:98.1.0(260101000000W)(000050.750*kWh)(000010.250*kWh)(000040.500*kWh)(000142.250*kWh)"
            "(000111.125*kWh)(000031.125*kWh)(000000.030*kvarh)(000073.988*kvarh)(000000.205*kvarh)"
            "(000000.048*kvarh)(000039.199*kvarh)(000035.020*kvarh)(000193.000*kWh)(03.564*kW)(02.156*kW)"
            "(03.564*kW)(04.104*kW)(04.104*kW)(03.400*kW)",
            month_end={
                "timestamp": "2026-01-01T00:00:00+01:00",
                "energy_import": 50.75,
                "energy_import_tariff_1": 10.25,
                "energy_import_tariff_2": 40.5,
                "energy_export": 142.25,
                "energy_export_tariff_1": 111.125,
                "energy_export_tariff_2": 31.125,
                "reactive_energy_import": 0.03,
                "reactive_energy_export": 73.988,
                "reactive_energy_q1": 0.205,
                "reactive_energy_q2": 0.048,
                "reactive_energy_q3": 39.199,
                "reactive_energy_q4": 35.02,
                "energy_combined": 193,
                "peak_demand_import": 3.564,
                "peak_demand_import_tariff_1": 2.156,
                "peak_demand_import_tariff_2": 3.564,
                "peak_demand_export": 4.104,
                "peak_demand_export_tariff_1": 4.104,
                "peak_demand_export_tariff_2": 3.4,
            },
        ),
    ),
    "SAG0082000000001",
)

LITHUANIA: Final = Layout(
    "lithuania",
    "the data list of ESO: power factors by phase, frequency, rates of reactive energy, averages without a name",
    "LGZ5ELT",
    (
        clock(21),
        row("1-0:1.8.0(001234.567*kWh)", energy_import=1234.567),
        row("1-0:1.8.4(000000.250*kWh)", energy_import_tariff_4=0.25),
        row("1-0:3.8.1(000012.000*kvarh)", reactive_energy_import_tariff_1=12),
        row("1-0:4.8.2(000000.125*kvarh)", reactive_energy_export_tariff_2=0.125),
        row("1-0:13.7.0(0.987)", power_factor=0.987),
        row("1-0:33.7.0(0.990)", power_factor_l1=0.99),
        row("1-0:53.7.0(1.000)", power_factor_l2=1),
        row("1-0:73.7.0(0.950)", power_factor_l3=0.95),
        row("1-0:14.7.0(49.98*Hz)", frequency=49.98),
        row("1-0:1.4.0(01.234*kW)", demand_import=1.234),
        row("1-0:2.4.0(00.000*kW)", demand_export=0),
        row("1-0:3.4.0(00.010*kvar)", reactive_demand_import=0.01),
        row("1-0:10.4.0(00.024*kVA)", apparent_demand_export=0.024),
        row("1-0:1.5.0(01.250*kW)", demand_import_last=1.25),
        row("1-0:4.5.0(00.125*kvar)", reactive_demand_export_last=0.125),
        row("1-0:9.5.0(01.375*kVA)", apparent_demand_import_last=1.375),
        row("1-0:15.7.0(00.024*kW)", power_combined=0.024),
        row("1-0:0.2.0(02.21)", firmware_version="02.21"),
        row("1-0:0.2.8(1EA43311)", firmware_signature="1EA43311"),
        row("1-1:0.2.0(02.13)", firmware_module_version="02.13"),
        row("1-1:0.2.8(047C71F1)", firmware_module_signature="047C71F1"),
        row("1-0:12.7.0(230.1*V)", unknown={"1-0:12.7.0": ["(230.1*V)"]}),
        row("1-0:32.24.0(229.8*V)", unknown={"1-0:32.24.0": ["(229.8*V)"]}),
    ),
    None,
)

CROATIA: Final = Layout(
    "croatia",
    "Iskra AM550: no CRC, an identity that is not hex text, dates in codes of their own",
    "ISK9\\2M551T-200",
    (
        row("0-0:96.1.0(96815390)", serial_number="96815390"),
        row("1-0:0.9.1(222553)", unknown={"1-0:0.9.1": ["(222553)"]}),
        row("1-0:1.8.0(000317.695*kWh)", energy_import=317.695),
        row("1-0:52.7.0(00234.5*V)", voltage_l2=234.5),
    ),
    "96815390",
    has_crc=False,
)


def quirk(name: str, note: str, *rows: Line, header: str = "FLU5\\253000009_A") -> Layout:
    """Return a telegram around lines with a quirk."""
    return Layout(f"quirk-{name}", note, header, (row("0-0:96.1.4(50217)", p1_version="50217"), *rows), None)


_FAILURE: Final = {"end": "2025-03-26T09:50:15+01:00", "duration_s": 2014}

QUIRKS: Final = (
    quirk(
        "f-group-and-colons",
        "the F group is written out, or colons replace dots",
        row("1-0:31.7.0.255(001*A)", current_l1=1),
        row("1-0:51.7.0*255(002*A)", current_l2=2),
        row("1-0:72:32.0(00004)", voltage_sags_l3=4),
        row("0-1:24.1.0.255(003)", gas={"channel": 1, "device_type": 3}),
        row(f"0-1:96.1.0.255({hex_text('GAS1')})", gas={"id": "GAS1"}),
    ),
    quirk("log-empty", "an empty failure log", row("1-0:99.97.0()", power_failure_log=[])),
    quirk("log-zero", "a failure log with only a count", row("1-0:99.97.0(0)", power_failure_log=[])),
    quirk(
        "log-zero-code",
        "a failure log with a count and its code",
        row("1-0:99.97.0(0)(0-0:96.7.19)", power_failure_log=[]),
    ),
    quirk(
        "log-colons",
        "a failure log with colons and a short code",
        row("1-0:99:97.0(1)(0:96.7.19)(250326095015W)(0000002014*s)", power_failure_log=[_FAILURE]),
    ),
    quirk(
        "log-other-code",
        "a failure log with another medium",
        row("1-0:99.97.0(1)(1-0:96.7.19)(250326095015W)(0000002014*s)", power_failure_log=[_FAILURE]),
    ),
    quirk(
        "type-after-value",
        "the device type comes last",
        row(
            "0-1:24.2.1(260130100000W)(00435.247*m3)",
            gas={"channel": 1, "value": 435.247, "unit": "m³", "timestamp": "2026-01-30T10:00:00+01:00"},
        ),
        row(f"0-1:96.1.0({hex_text('GAS1')})", gas={"id": "GAS1"}),
        row("0-1:24.1.0(003)", gas={"device_type": 3}),
    ),
    quirk(
        "units",
        "units in any case, without a star, or missing",
        row("1-0:1.8.1(000001.500*KWH)", energy_import_tariff_1=1.5),
        row("1-0:1.8.2(000001.500*kwh)", energy_import_tariff_2=1.5),
        row("1-0:2.8.1(000123.456kWh)", energy_export_tariff_1=123.456),
        row("1-0:2.8.2(000001.500)", energy_export_tariff_2=1.5),
        row("1-0:3.8.0(000001.500*kVArh)", reactive_energy_import=1.5),
        row("1-0:3.7.0(00.292*Kvar)", reactive_power_import=0.292),
        row("1-0:31.7.0(005A)", current_l1=5),
    ),
    quirk(
        "slash-and-mark-in-text",
        "a slash and an exclamation mark inside a line",
        row("1-0:99.1.0(a/b!c)", unknown={"1-0:99.1.0": ["(a/b!c)"]}),
        row("!not the end", unknown={"": ["!not the end"]}),
        row("1-0:1.8.0(000001.500*kWh)", energy_import=1.5),
    ),
    quirk(
        "impossible-dates",
        "times that do not exist are left out",
        row("0-0:1.0.0(260230120000W)"),
        row("1-0:1.6.0(261301000000W)(04.620*kW)"),
        row("1-0:1.8.0(000001.500*kWh)", energy_import=1.5),
    ),
    quirk(
        "time-without-letter",
        "values behind a time with no letter or an odd one are kept, and the time has no offset",
        row("0-0:1.0.0(260130102122)", timestamp="2026-01-30T10:21:22"),
        row(
            "1-0:1.6.0(260112183000X)(04.620*kW)",
            peak_demand_month={"value": 4.62, "timestamp": "2026-01-12T18:30:00"},
        ),
        row("0-1:24.1.0(003)", gas={"channel": 1, "device_type": 3}),
        row(
            "0-1:24.2.1(260130100000)(00435.247*m3)",
            gas={"value": 435.247, "unit": "m³", "timestamp": "2026-01-30T10:00:00"},
        ),
    ),
    quirk(
        "unreadable-lines",
        "unreadable values are kept as sent, and the other lines are read",
        row("1-0:1.8.0(0000x1.500*kWh)", unknown={"1-0:1.8.0": ["(0000x1.500*kWh)"]}),
        row("1-0:2.8.0(000001.500*V)", unknown={"1-0:2.8.0": ["(000001.500*V)"]}),
        row("0-0:96.14.0", unknown={"0-0:96.14.0": [""]}),
        row("1-0:1.7.0(00.500*kW", unknown={"1-0:1.7.0": ["(00.500*kW"]}),
        row("free text", unknown={"": ["free text"]}),
        row("1-0:2.7.0(00.500*kW)", power_export=0.5),
    ),
    quirk(
        "repeated-codes",
        "of repeated codes the first counts",
        row("1-0:1.8.0(000001.500*kWh)", energy_import=1.5),
        row("1-0:1.8.0(000002.500*kWh)", unknown={"1-0:1.8.0": ["(000002.500*kWh)"]}),
        row("1-1:1.8.0(000003.500*kWh)", unknown={"1-1:1.8.0": ["(000003.500*kWh)"]}),
    ),
    quirk("header-control", "a control character in the header", header="FLU5\x01\x07253000009_A"),
    quirk("header-latin", "a byte beyond ASCII in the header", header="FLU5\xab769484_A"),
    quirk("header-no-digit", "a header without a baud rate", header="NWA-WARMTELINK"),
)

#: These are tested both encrypted and plain, because detection goes by the bytes.
LAYOUTS: Final = (
    LUXEMBOURG,
    LUXEMBOURG_2018,
    LUXEMBOURG_MINIMAL,
    LUXEMBOURG_SUMMER,
    BELGIUM_50213,
    BELGIUM_50217,
    BELGIUM_50221,
    NETHERLANDS_42,
    NETHERLANDS_50,
    AUSTRIA,
    SWEDEN,
    SWITZERLAND,
    HUNGARY,
    LITHUANIA,
)
#: These are never encrypted, and need no CRC.
PLAIN_LAYOUTS: Final = (NETHERLANDS_22, NETHERLANDS_30, CROATIA)
