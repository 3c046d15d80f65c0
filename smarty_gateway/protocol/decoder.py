"""The shared decoder: one pass over the lines of a telegram, one table, every country.

Every line ends up in a field, in an M-Bus device or in `unknown`; the only things left out are
those that say that there is no value (unset times, limits that are off, M-Bus channels without a
device). A line that cannot be read costs nothing but itself.

It works in two steps. `read_line` reads one line, and what it returns does not depend on the lines
around it. `assemble` puts lines together: of lines with the same code the first one counts, the lines of
an M-Bus channel become a device, and a line without a code may continue the one before it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn

from smarty_gateway.protocol.obis import (
    BY_CODE,
    HOURLY_REGISTER,
    MBUS_FIELDS,
    MEDIA,
    MONTH_END,
    MONTH_END_VALUES,
    SCALES,
    THRESHOLD_BY_UNIT,
    THRESHOLD_CODE,
    UNIT_OF_MEDIUM,
    Form,
    MBusField,
    ObisObject,
)
from smarty_gateway.protocol.telegram import ParsedTelegram
from smarty_gateway.protocol.values import (
    UnreadableError,
    read_count,
    read_hex_text,
    read_number,
    read_threshold,
    read_time,
    unit_on_the_wire,
)

#: A field of the JSON object. Rows of lists and M-Bus devices are objects of their own.
Value = str | int | float | Mapping[str, Any] | tuple[Mapping[str, Any], ...]

_NUMBER_LINE: Final = re.compile(r"([0-9:.-]+)(\(([0-9]{1,9}(?:\.[0-9]{1,5})?)\*([A-Za-z]+)\))")
_CODE: Final = re.compile(r"[0-9]+-[0-9]+:[0-9]+[.:][0-9]+[.:*0-9]*")
_MBUS_CODE: Final = re.compile(r"0-([1-9][0-9]?):([0-9.]+)")
#: The fields that name a meter, the best first.
IDENTITIES: Final = ("logical_device_name", "equipment_id", "serial_number")


@dataclass(slots=True)
class Line:
    """What one line says, whatever stands around it. Lines are shared between telegrams: read them only.

    Attributes:
        code: as sent, "" where the line has none.
        rest: of the line, as sent.
        key: the table's code, by which repetitions are found; "" where the table has none.
        name: of the one field it gives, "" for all other lines.
        value: of that field; or several fields by name; or what an M-Bus line says.
        channel: of an M-Bus device.
        what: the line says about that device.
    """

    code: str
    rest: str
    key: str = ""
    name: str = ""
    value: Any = None
    channel: int | None = None
    what: MBusField | None = None

    @property
    def is_readable(self) -> bool:
        """True unless the line can only be handed on as it was sent."""
        return self.value is not None


class ReadOnlyDict(dict[str, Any]):
    """A dict that nobody can write into, because the telegrams of a meter share what did not change.

    Unlike a MappingProxyType, JSON libraries take it as it is, and it can be copied and pickled.
    """

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("readings cannot be changed; change a copy: dict(...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class DecodedTelegram(NamedTuple):
    """What one telegram says.

    A NamedTuple, because a frozen dataclass takes three times as long to make.

    Attributes:
        header: the first line, without its slash.
        fields: by name, in the units of the table, in the order of the telegram.
        codes: the OBIS code behind each field, as it was sent; those of devices as "gas.value".
        devices: M-Bus devices by medium; the lowest channel first.
        unknown: code as sent, then the rest of each such line; code "" for a line that has none.
        identity: what names the meter, None if the telegram does not say.
    """

    header: str
    fields: Mapping[str, Value]
    codes: Mapping[str, str]
    devices: Mapping[str, ReadOnlyDict]
    unknown: Mapping[str, tuple[str, ...]]
    identity: str | None


def decode(telegram: ParsedTelegram) -> DecodedTelegram:
    """Read every line of a telegram. Never raises: what cannot be read is in `unknown`."""
    header, lines = telegram.split()
    return assemble(header, [read_line(line) for line in lines])


def assemble(header: str, lines: Sequence[Line]) -> DecodedTelegram:
    """Put together what the lines of a telegram say."""
    decoded = _assemble(header, lines)
    if "" in decoded.unknown:
        joined = _with_continuations(lines)
        if len(joined) != len(lines):
            return _assemble(header, joined)
    return decoded


def _assemble(header: str, lines: Sequence[Line]) -> DecodedTelegram:
    fields: dict[str, Value] = {}
    codes: dict[str, str] = {}
    unknown: dict[str, list[str]] = {}
    channels: dict[int, _Channel] = {}
    # Codes that gave no field under a name of their own; a line that repeats one of them is unknown.
    spent: set[str] = set()
    for line in lines:
        name = line.name
        # Nearly all lines give one field, so this comes first.
        if name and name not in fields and not (spent and line.key in spent):
            fields[name] = line.value
            codes[name] = line.code
            continue
        code, key, value = line.code, line.key, line.value
        if name or key in spent:
            unknown.setdefault(code, []).append(line.rest)
        elif isinstance(value, dict) and value.keys().isdisjoint(fields):
            # Rare forms: several fields, none, or values that are objects.
            fields |= value
            codes |= dict.fromkeys(value, code)
            spent.add(key)
        elif line.channel is not None and channels.setdefault(line.channel, _Channel()).add(line):
            spent.add(key)
        else:
            if key:
                spent.add(key)
            unknown.setdefault(code, []).append(line.rest)
    identity = next((str(fields[name]) for name in IDENTITIES if fields.get(name)), None)
    devices = _devices(channels, codes)
    return DecodedTelegram(
        header=header,
        fields=ReadOnlyDict(fields),
        codes=ReadOnlyDict(codes),
        devices=ReadOnlyDict(devices),
        unknown=ReadOnlyDict({code: tuple(rests) for code, rests in unknown.items()}),
        identity=identity,
    )


def _with_continuations(lines: Sequence[Line]) -> list[Line]:
    """Join lines without a code to the one before where only both together can be read.

    DSMR 3.0 writes the gas register over two lines, and its example a message over three.
    """
    joined: list[Line] = []
    start = 0
    while start < len(lines):
        end = start + 1
        while end < len(lines) and not lines[end].code:
            end += 1
        pieces = lines[start:end]
        if len(pieces) > 1 and not pieces[0].is_readable:
            whole = read_line("".join([piece.code + piece.rest for piece in pieces]))
            if whole.is_readable:
                pieces = [whole]
        joined += pieces
        start = end
    return joined


def read_line(line: str) -> Line:
    """Read one line, whatever stands around it."""
    simple = _NUMBER_LINE.fullmatch(line)
    if simple is not None:
        # What most lines are: a number in the very unit of the table. The long way below would give
        # the same.
        code, sent, digits, unit = simple.groups()
        usual = BY_CODE.get(code)
        if usual is not None and usual.quantity.form is Form.NUMBER and usual.quantity.unit == unit:
            return Line(
                usual.code, sent, usual.code, usual.name, float(digits) if "." in digits else int(digits)
            )
    code, bracket, rest = line.partition("(")
    if not _CODE.fullmatch(code):
        return Line("", line)
    found = find_object(code)
    try:
        return _read_object(found, code, bracket + rest)
    except UnreadableError:
        return Line(code, bracket + rest, _key_of(found, code))


def _key_of(found: ObisObject | None, code: str) -> str:
    """Return the key of a code that could not be read, "" for a code that is not in the table."""
    if found is not None:
        return found.code
    usual = usual_code(code)
    match = _MBUS_CODE.fullmatch(usual)
    return usual if match is not None and match.group(2) in MBUS_FIELDS else ""


def _read_object(found: ObisObject | None, code: str, sent: str) -> Line:
    if sent[-1:] != ")":
        raise UnreadableError(sent)
    groups = sent[1:-1].split(")(")
    if found is None:
        return _read_mbus_line(code, sent, groups)
    if code == found.code:
        code = found.code  # the table's string serves a thousand meters
    pairs = _READERS[found.quantity.form](found, groups)
    if len(pairs) == 1 and found.code != THRESHOLD_CODE and not isinstance(pairs[0][1], dict | tuple):
        return Line(code, sent, found.code, *pairs[0])
    return Line(code, sent, found.code, value=dict(pairs))


def find_object(code: str) -> ObisObject | None:
    """Find a code in the table, also as other meters write it."""
    return (
        BY_CODE.get(code)
        or BY_CODE.get(usual := usual_code(code))
        or (BY_CODE.get("1-0:" + usual[4:]) if usual.startswith("1-1:") else None)
    )


def usual_code(code: str) -> str:
    """Return a code as specifications write it: without the F group, with dots behind the medium."""
    medium, _, value = code.partition(":")
    value = value.replace(":", ".").replace("*", ".")
    return f"{medium}:{value.removesuffix('.255')}"


_Read = list[tuple[str, Value]]


def _only(groups: list[str]) -> str:
    if len(groups) != 1:
        raise UnreadableError(str(groups))
    return groups[0]


def _read_number(found: ObisObject, groups: list[str]) -> _Read:
    return [(found.name, read_number(_only(groups), found.quantity.unit))]


def _read_count(found: ObisObject, groups: list[str]) -> _Read:
    return [(found.name, read_count(_only(groups)))]


def _read_text(found: ObisObject, groups: list[str]) -> _Read:
    return [(found.name, _only(groups))]


def _read_hex_text(found: ObisObject, groups: list[str]) -> _Read:
    return [(found.name, read_hex_text(_only(groups)))]


def _read_time(found: ObisObject, groups: list[str]) -> _Read:
    time = read_time(_only(groups))
    return [] if time is None else [(found.name, time)]


def _read_threshold(found: ObisObject, groups: list[str]) -> _Read:
    text = _only(groups)
    if found.code == THRESHOLD_CODE:
        by_unit = THRESHOLD_BY_UNIT.get(unit_on_the_wire(text))
        if by_unit is None:
            raise UnreadableError(text)
        found = by_unit
    limit = read_threshold(text, found.quantity.unit)
    return [] if limit is None else [(found.name, limit)]


def _read_threshold_pair(found: ObisObject, groups: list[str]) -> _Read:
    names = found.name.split(", ")
    if len(groups) != len(names):
        raise UnreadableError(str(groups))
    limits = [read_threshold(text, found.quantity.unit) for text in groups]
    return [(name, limit) for name, limit in zip(names, limits, strict=True) if limit is not None]


def _read_peak(found: ObisObject, groups: list[str]) -> _Read:
    if len(groups) != 2:
        raise UnreadableError(str(groups))
    time, value = read_time(groups[0]), read_number(groups[1], found.quantity.unit)
    return [] if time is None else [(found.name, ReadOnlyDict(value=value, timestamp=time))]


def _rows(groups: list[str], head: int, width: int) -> list[list[str]]:
    """Cut the values behind the first `head` ones into rows; a list may also be wholly empty.

    The first value counts the rows, but meters are known to be wrong about it, so the rows
    themselves decide. A single empty value in the place of rows means that there are none.
    """
    if groups == [""]:
        return []
    body = groups[head:]
    if not body and read_count(groups[0]) == 0:
        return []
    if body == [""]:
        return []
    if not body or len(body) % width or not all(":" in code for code in groups[1:head]):
        raise UnreadableError(str(groups))
    return [body[start : start + width] for start in range(0, len(body), width)]


def _read_peak_history(found: ObisObject, groups: list[str]) -> _Read:
    if len(groups) == 1 + len(MONTH_END_VALUES):
        return _read_month_end(*groups)
    history: list[ReadOnlyDict] = []
    for period_end, moment, demand in _rows(groups, head=3, width=3):
        end, time, value = read_time(period_end), read_time(moment), read_number(demand, found.quantity.unit)
        if end is not None and time is not None:
            history.append(ReadOnlyDict(period_end=end, timestamp=time, value=value))
    return [(found.name, tuple(history))]


def _read_month_end(moment: str, *texts: str) -> _Read:
    time = read_time(moment)
    values = {
        name: read_number(text, unit)
        for (name, unit), text in zip(MONTH_END_VALUES.items(), texts, strict=True)
    }
    return [] if time is None else [(MONTH_END, ReadOnlyDict(values, timestamp=time))]


def _read_failure_log(found: ObisObject, groups: list[str]) -> _Read:
    log: list[ReadOnlyDict] = []
    for end_of_failure, duration in _rows(groups, head=2, width=2):
        end, seconds = read_time(end_of_failure), read_number(duration, found.quantity.unit)
        if end is not None:
            log.append(ReadOnlyDict(end=end, duration_s=seconds))
    return [(found.name, tuple(log))]


_READERS: Final[Mapping[Form, Callable[[ObisObject, list[str]], _Read]]] = {
    Form.NUMBER: _read_number,
    Form.COUNT: _read_count,
    Form.TEXT: _read_text,
    Form.HEX_TEXT: _read_hex_text,
    Form.TIME: _read_time,
    Form.THRESHOLD: _read_threshold,
    Form.THRESHOLD_PAIR: _read_threshold_pair,
    Form.PEAK: _read_peak,
    Form.PEAK_HISTORY: _read_peak_history,
    Form.FAILURE_LOG: _read_failure_log,
}


# M-Bus: the devices on the channels of the electricity meter


@dataclass(frozen=True, slots=True)
class MBusRegister:
    """The register of a device; without a unit where the line had none."""

    value: int | float
    unit: str | None
    timestamp: str


#: Stands where a register was sent that was never read.
_NEVER_READ: Final = object()
_SAID_NOTHING: Final = ("", _NEVER_READ)


@dataclass(frozen=True, slots=True)
class _Channel:
    """What the lines of one channel said, and under which codes."""

    values: dict[MBusField, Any] = field(default_factory=dict)
    codes: dict[MBusField, str] = field(default_factory=dict)

    def add(self, line: Line) -> bool:
        """Store what a line says; False if a line with another code gave a value for it before."""
        if line.what is None or self.values.get(line.what, _NEVER_READ) not in _SAID_NOTHING:
            return False
        self.values[line.what] = line.value
        self.codes[line.what] = line.code
        return True


_ORDER_OF_FIELDS: Final = tuple(MBusField)


def _read_mbus_line(code: str, sent: str, groups: list[str]) -> Line:
    match = _MBUS_CODE.fullmatch(usual_code(code))
    what = MBUS_FIELDS.get(match.group(2)) if match is not None else None
    if match is None or what is None:
        raise UnreadableError(code)
    value: object
    if what in (MBusField.DEVICE_TYPE, MBusField.VALVE_STATE):
        value = read_count(_only(groups))
    elif match.group(2) == HOURLY_REGISTER:
        value = _read_hourly_value(groups)
    elif what is MBusField.VALUE:
        value = _read_mbus_value(groups)
    else:
        value = read_hex_text(_only(groups))
    return Line(code, sent, usual_code(code), value=value, channel=int(match.group(1)), what=what)


def _read_mbus_value(groups: list[str]) -> object:
    if len(groups) != 2:
        raise UnreadableError(str(groups))
    return _register(read_time(groups[0]), groups[1], unit_on_the_wire(groups[1]))


def _read_hourly_value(groups: list[str]) -> object:
    """Read the register of DSMR 3.0 (P1, 5.10): time, status, period, count, code, unit, value."""
    if len(groups) != 7:
        raise UnreadableError(str(groups))
    return _register(read_time(groups[0]), groups[6], unit_on_the_wire(f"0*{groups[5]}"))


def _register(time: str | None, text: str, unit: str | None) -> object:
    if unit is not None and unit not in UNIT_OF_MEDIUM.values():
        raise UnreadableError(text)
    value = read_number(text.rstrip("*"), unit)
    return _NEVER_READ if time is None else MBusRegister(value, unit, time)


def _devices(channels: Mapping[int, _Channel], codes: dict[str, str]) -> dict[str, ReadOnlyDict]:
    """Return the connected devices by medium, the lowest channel first, and add their codes to `codes`."""
    devices: dict[str, ReadOnlyDict] = {}
    for number in sorted(channels):
        values = channels[number].values
        register = values.get(MBusField.VALUE)
        if not values.get(MBusField.ID, "").strip("0") and not isinstance(register, MBusRegister):
            continue
        device_type = values.get(MBusField.DEVICE_TYPE)
        medium = "device_unknown" if device_type is None else MEDIA.get(device_type, f"device_{device_type}")
        device: dict[str, Any] = {"channel": number}
        for what in _ORDER_OF_FIELDS:
            if what not in values:
                continue
            if what is not MBusField.VALUE:
                device[what.value] = values[what]
            elif isinstance(register, MBusRegister):
                device["value"] = register.value
                unit = register.unit or UNIT_OF_MEDIUM.get(medium)
                if unit is not None:
                    device["unit"] = unit
                device["timestamp"] = register.timestamp
        name, count = medium, 1
        while name in devices:
            count += 1
            name = f"{medium}_{count}"
        devices[name] = ReadOnlyDict(device)
        for what, code in channels[number].codes.items():
            codes[f"{name}.{what}"] = code
    return devices


assert set(UNIT_OF_MEDIUM.values()) <= set(SCALES)  # noqa: S101 - the two tables must agree
