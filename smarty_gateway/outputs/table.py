"""A telegram as a human-readable table: sections, labels, values with their units, OBIS codes.

Values are never cut: descriptions become short labels where the terminal is too narrow for them, then the
code moves below its row, and a long text goes on in the next line. Text from the meter may contain control
characters that a terminal obeys, so it is shown escaped.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from smarty_gateway.outputs.labels import label_of
from smarty_gateway.protocol.meter_telegram import MeterTelegram, Security
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

#: Characters of a time with its offset. A longer value does not widen the table: it may get lines of its own.
_VALUE_WIDTH: Final = 25
#: A narrower terminal wraps the lines itself.
_NARROWEST: Final = 20
_INDENT: Final = "  "
_CODE_HEAD: Final = "OBIS code"
_SECTIONS: Final = tuple(dict.fromkeys(found.section for found in OBJECTS))
_SECTION_ORDER: Final = {section: place for place, section in enumerate(_SECTIONS)}
_METER: Final = _SECTIONS[0]


class _Row(NamedTuple):
    section: str
    description: str
    label: str
    value: str
    unit: str
    code: str


class PipeConsole(Console):
    """A console whose reader may go away: rich would end the program with 1."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, which the command line handles for every format."""
        raise BrokenPipeError


def table_of(telegram: MeterTelegram, width: int) -> Text:
    """Return one telegram as a table that fits into this many columns."""
    width = max(width, _NARROWEST)
    rows = [_Row(*map(printable, row)) for row in _rows(telegram)]
    codes = max(len(_CODE_HEAD), *(cell_len(row.code) for row in rows))
    room = width - len(_INDENT) - codes
    described, labelled = _widest(rows, "description"), _widest(rows, "label")
    lines = flow(_title(telegram), width)
    if labelled > room:
        lines += _stacked(rows, width)
    elif described > room:
        lines += _in_columns(rows, "label", labelled, width)
    else:
        lines += _in_columns(rows, "description", described, width)
    for line in lines:
        line.rstrip()
    return Text("\n").join([*lines, Text()])


def flow(pieces: Iterable[Text], width: int) -> list[Text]:
    """Return pieces in lines of at most this many columns, each of them whole if it is not longer."""
    lines: list[Text] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + 2 + piece.cell_len <= width:
            lines[-1].append("  ").append_text(piece)
        else:
            chunks = chop_cells(piece.plain, width)
            lines += [piece.copy()] if len(chunks) == 1 else [Text(chunk, piece.style) for chunk in chunks]
    return lines


def with_unit(value: str, unit: str, units: int) -> str:
    """Return a value with its unit right behind it, in a column whose units are up to `units` wide.

    A value without a unit, such as a time, takes the place of both.
    """
    return f"{value} {unit:<{units}}" if unit else value


def clock_time(iso: str) -> str:
    """Return an ISO 8601 time as people write it, with a blank between date and time."""
    return iso.replace("T", " ")


def _units(rows: Iterable[_Row]) -> int:
    return max(cell_len(row.unit) for row in rows)


def _widest(rows: Sequence[_Row], name: str) -> int:
    """Return the columns that description or label, value and unit need where no value is a long text."""
    units = _units(rows)
    return max(
        len(_INDENT) + cell_len(getattr(row, name)) + 1 + cell_len(with_unit(row.value, row.unit, units))
        for row in rows
        if cell_len(row.value) <= _VALUE_WIDTH
    )


def _in_columns(rows: Sequence[_Row], name: str, wide: int, width: int) -> Iterator[Text]:
    """Yield a line for each row; a long text is folded below its own."""
    units = _units(rows)
    yield Text.assemble((_apart("", "Value", wide), "bold"), _INDENT, (_CODE_HEAD, "bold dim"))
    for section, members in groupby(rows, key=lambda row: row.section):
        yield from _heading(section)
        for row in members:
            words, cell = _INDENT + getattr(row, name), with_unit(row.value, row.unit, units)
            fits = cell_len(words) + 1 + cell_len(cell) <= wide
            yield _line(_apart(words, cell if fits else "", wide), _INDENT + row.code)
            yield from () if fits else _folded(cell, width)


def _stacked(rows: Sequence[_Row], width: int) -> Iterator[Text]:
    """Yield two lines for each row: where all of it does not fit into one, the code goes below."""
    for section, members in groupby(rows, key=lambda row: row.section):
        yield from _heading(section)
        for row in members:
            words, cell = _INDENT + row.label, with_unit(row.value, row.unit, cell_len(row.unit))
            code = 2 * _INDENT + row.code
            if cell_len(words) + 1 + cell_len(cell) <= width:
                yield Text(_apart(words, cell, width))
                yield from [_line("", code)] if row.code else ()
            elif cell_len(code) + 1 + cell_len(cell) <= width:
                yield Text(words)
                yield _line("", code, cell.rjust(width - cell_len(code)))
            else:
                yield _line(words, f" {row.code}") if row.label else _line("", code)
                yield from _folded(cell, width)


def _heading(section: str) -> Iterator[Text]:
    yield Text()
    yield Text(section, "bold")


def _line(words: str, code: str, cell: str = "") -> Text:
    return Text.assemble(words, (code, "dim"), cell)


def _folded(text: str, width: int) -> Iterator[Text]:
    for chunk in chop_cells(text.rstrip(), width - 2 * len(_INDENT)):
        yield Text(2 * _INDENT + chunk)


def _apart(left: str, right: str, width: int) -> str:
    return left + " " * (width - cell_len(left) - cell_len(right)) + right


def _title(telegram: MeterTelegram) -> Iterator[Text]:
    yield Text(printable(telegram.meter_id), "bold")
    yield Text(clock_time(str(telegram.decoded.fields.get("timestamp", "without a time"))))
    yield Text(telegram.security.value, SECURITY_STYLE[telegram.security])
    if telegram.frame_counter is not None:
        yield Text(f"frame counter {telegram.frame_counter}", "dim")


def _rows(telegram: MeterTelegram) -> Iterator[_Row]:
    readings = telegram.decoded
    yield _named(_METER, "Header", readings.header)
    if telegram.system_title is not None:
        yield _named(_METER, "System title", telegram.system_title.hex().upper())
    yield from sorted(_field_rows(telegram), key=lambda row: _SECTION_ORDER[row.section])
    for name, device in readings.devices.items():
        section = f"{label_of(name)} (M-Bus channel {device['channel']})"
        for key, words in _DEVICE_ROWS:
            if key in device:
                unit = str(device.get("unit", "")) if key == MBusField.VALUE.value else ""
                code = readings.codes.get(f"{name}.{'value' if key == 'timestamp' else key}", "")
                value = clock_time(device[key]) if key == "timestamp" else str(device[key])
                yield _named(section, words, value, unit, code)
    for code, lines in readings.unknown.items():
        for line in lines:
            yield _named("Unknown", "", line, "", code)


def _named(section: str, words: str, value: str, unit: str = "", code: str = "") -> _Row:
    """Return a row whose description is as short as a label."""
    return _Row(section, words, words, value, unit, code)


def _field_rows(telegram: MeterTelegram) -> Iterator[_Row]:
    readings = telegram.decoded
    for name, value in readings.fields.items():
        found = BY_NAME[name]
        label = label_of(name)
        description = label if ", " in found.name else found.description
        unit = found.quantity.unit or ""
        code = readings.codes[name]
        if name == MONTH_END and isinstance(value, dict):
            yield _Row(found.section, description, label, clock_time(value["timestamp"]), "", code)
            for inner, unit_of_inner in MONTH_END_VALUES.items():
                yield _named(found.section, f"  {label_of(inner)}", str(value[inner]), unit_of_inner)
        elif isinstance(value, dict):
            yield _Row(found.section, description, label, str(value["value"]), unit, code)
            yield _named(found.section, "  at", clock_time(value["timestamp"]))
        elif isinstance(value, tuple):
            yield _Row(found.section, description, label, "" if value else "none", "", code)
            yield from (_list_row(found.section, item, unit) for item in value)
        elif found.quantity.form is Form.TIME:
            yield _Row(found.section, description, label, clock_time(str(value)), unit, code)
        else:
            yield _Row(found.section, description, label, str(value), unit, code)


def _list_row(section: str, item: Mapping[str, Any], unit: str) -> _Row:
    moment = item.get("timestamp") or item["end"]
    number = item["value"] if "value" in item else item["duration_s"]
    return _named(section, f"  {clock_time(moment)}", str(number), unit)
