"""A telegram as a human-readable table: sections, aligned values, unit and OBIS code.

Text from the meter may contain control characters that a terminal obeys, so it is shown escaped.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Final, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from smarty_gateway.outputs.labels import label_of
from smarty_gateway.protocol.meter import MeterTelegram, Security
from smarty_gateway.protocol.obis import BY_NAME, MONTH_END, MONTH_END_VALUES, OBJECTS, Form, MBusField
from smarty_gateway.safe_text import printable

#: Colours for how the readings were verified.
SECURITY_STYLE: Final = {
    Security.AUTHENTICATED: "green",
    Security.UNAUTHENTICATED: "yellow",
    Security.PLAINTEXT: "cyan",
}
_DEVICE_ROWS: Final = (
    (MBusField.ID.value, "Equipment identifier"),
    (MBusField.EAN.value, "EAN"),
    (MBusField.DEVICE_TYPE.value, "Device type"),
    (MBusField.VALUE.value, "Register"),
    ("timestamp", "Read at"),
    (MBusField.VALVE_STATE.value, "Valve state"),
)


#: Characters of a time with its offset; longer values are folded.
_VALUE_WIDTH: Final = 25
#: Blanks that rich puts between two columns.
_GAP: Final = 2
_SECTIONS: Final = tuple(dict.fromkeys(found.section for found in OBJECTS))
_SECTION_ORDER: Final = {section: place for place, section in enumerate(_SECTIONS)}
_METER: Final = _SECTIONS[0]


class _Row(NamedTuple):
    section: str
    description: str
    value: str
    unit: str
    code: str


class PipeConsole(Console):
    """A console whose reader may go away: rich would end the program with 1."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, which the command line handles for every format."""
        raise BrokenPipeError


def table_of(telegram: MeterTelegram, width: int) -> RenderableType:
    """Return one telegram as a table of this many columns."""
    rows = [_Row(*map(printable, row)) for row in _rows(telegram)]
    # Decimal points are aligned: pad the digits behind them.
    behind = max((len(_fraction(row.value)) for row in rows if _is_number(row.value)), default=0)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    # On a narrow terminal descriptions are cut, never values.
    values = min(max(len(row.value) for row in rows) + behind, _VALUE_WIDTH)
    units = max(4, *(len(row.unit) for row in rows))
    codes = max(9, *(len(row.code) for row in rows))
    descriptions = max(2 + len(row.description) for row in rows)
    room = width - values - units - codes - 3 * _GAP
    table.add_column("", no_wrap=True, overflow="ellipsis", width=max(8, min(descriptions, room)))
    table.add_column("Value", justify="right", overflow="fold", width=values)
    table.add_column("Unit", no_wrap=True, width=units)
    table.add_column("OBIS code", style="dim", no_wrap=True, overflow="ellipsis", width=codes)
    for section, members in groupby(rows, key=lambda row: row.section):
        table.add_section()
        table.add_row(Text(section, style="bold"))
        for row in members:
            value = row.value
            if _is_number(value):
                value += " " * (behind - len(_fraction(value)))
            table.add_row(Text("  " + row.description), Text(value), Text(row.unit), Text(row.code))
    return Group(_title(telegram), table, Text(""))


def _title(telegram: MeterTelegram) -> Text:
    time = _time(str(telegram.decoded.fields.get("timestamp", "without a time")))
    title = Text.assemble(
        (printable(telegram.meter_id), "bold"),
        "  ",
        time,
        "  ",
        (telegram.security.value, SECURITY_STYLE[telegram.security]),
    )
    if telegram.frame_counter is not None:
        title.append(f"  frame counter {telegram.frame_counter}", "dim")
    return title


def _rows(telegram: MeterTelegram) -> Iterator[_Row]:
    readings = telegram.decoded
    yield _Row(_METER, "Header", readings.header, "", "")
    if telegram.system_title is not None:
        yield _Row(_METER, "System title", telegram.system_title.hex().upper(), "", "")
    yield from sorted(_field_rows(telegram), key=lambda row: _SECTION_ORDER[row.section])
    for name, device in readings.devices.items():
        section = f"{name.replace('_', ' ').capitalize()} (M-Bus channel {device['channel']})"
        for key, description in _DEVICE_ROWS:
            if key in device:
                unit = str(device.get("unit", "")) if key == MBusField.VALUE.value else ""
                code = readings.codes.get(f"{name}.{'value' if key == 'timestamp' else key}", "")
                value = _time(device[key]) if key == "timestamp" else str(device[key])
                yield _Row(section, description, value, unit, code)
    for code, lines in readings.unknown.items():
        for line in lines:
            yield _Row("Unknown", "", line, "", code)


def _field_rows(telegram: MeterTelegram) -> Iterator[_Row]:
    readings = telegram.decoded
    for name, value in readings.fields.items():
        found = BY_NAME[name]
        code = readings.codes[name]
        description = found.description
        if ", " in found.name:
            description = name.replace("_", " ").capitalize()
        unit = found.quantity.unit or ""
        if name == MONTH_END and isinstance(value, dict):
            yield _Row(found.section, description, _time(value["timestamp"]), "", code)
            for inner, unit_of_inner in MONTH_END_VALUES.items():
                yield _Row(found.section, f"  {label_of(inner)}", str(value[inner]), unit_of_inner, "")
        elif isinstance(value, dict):
            yield _Row(found.section, description, str(value["value"]), unit, code)
            yield _Row(found.section, "  at", _time(value["timestamp"]), "", "")
        elif isinstance(value, tuple):
            yield _Row(found.section, description, "none" if not value else "", "", code)
            yield from (_list_row(found.section, item, unit) for item in value)
        elif found.quantity.form is Form.TIME:
            yield _Row(found.section, description, _time(str(value)), unit, code)
        else:
            yield _Row(found.section, description, str(value), unit, code)


def _list_row(section: str, item: Mapping[str, Any], unit: str) -> _Row:
    moment = item.get("timestamp") or item["end"]
    number = item["value"] if "value" in item else item["duration_s"]
    return _Row(section, f"  {_time(moment)}", str(number), unit, "")


def _time(iso: str) -> str:
    return iso.replace("T", " ")


def _is_number(text: str) -> bool:
    whole, _, fraction = text.removeprefix("-").partition(".")
    return whole.isdigit() and (fraction.isdigit() or not fraction) and len(text) < 14


def _fraction(text: str) -> str:
    point = text.find(".")
    return text[point:] if point >= 0 else ""
