"""Reads the quarter hours that a grid operator offers as CSV: Fluvius', Leneda's, others by their headings.

Fluvius (Flanders) is verified against published files of its customers: `Van (datum);Van (tijdstip);Tot
(datum);…;Register;Volume;Eenheid;Validatiestatus`, with a row for each register (`Afname Dag`, `Injectie
Nacht` …), decimal commas and local time. Its French headings are assumed to be the translation.

Of Leneda (Luxembourg) the API is verified: OBIS codes 1-1:1.29.0 and 1-1:2.29.0, `startedAt` in UTC, `value`
as mean power in kW. Its CSV is assumed to have the same names, as columns or as a column of codes.

Nothing is guessed silently: a file with an unknown unit, or with two columns for the same energy, is refused.
"""

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from itertools import chain, islice, pairwise
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from smarty_gateway.history.sample import QUARTER
from smarty_gateway.history.written_values import Numbers, Stamp, moments_of, parse_stamp, seconds_at
from smarty_gateway.protocol.errors import GatewayError

_LONGEST_LINE: Final = 10_000
#: Titles may stand above the headings.
_LINES_WITH_HEADINGS: Final = 30
_SHOWN: Final = 12


class OperatorFileError(GatewayError):
    """The file is not understood; the text says which option would help."""


class Flow(StrEnum):
    """Which way energy flows, seen from the customer."""

    IMPORT = "import"
    EXPORT = "export"


class Unit(StrEnum):
    """What a value is written in. Power is the mean of its quarter hour."""

    KILOWATT_HOURS = "kWh"
    WATT_HOURS = "Wh"
    MEGAWATT_HOURS = "MWh"
    KILOWATTS = "kW"
    WATTS = "W"

    @property
    def watt_hours(self) -> Decimal:
        """One unit throughout a quarter hour, in Wh."""
        return _WATT_HOURS[self]


_WATT_HOURS: Final = {
    Unit.KILOWATT_HOURS: Decimal(1000),
    Unit.WATT_HOURS: Decimal(1),
    Unit.MEGAWATT_HOURS: Decimal(1_000_000),
    Unit.KILOWATTS: Decimal(250),
    Unit.WATTS: Decimal("0.25"),
}
_POWERS: Final = (Unit.KILOWATTS, Unit.WATTS)
_UNIT_OF: Final = {unit.casefold(): unit for unit in Unit}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user says about a file.

    Attributes:
        zone: of times without an offset where the file is not known to have another one.
        columns: the headings of the values, or their numbers from 1.
        unit: of the values.
        is_zone_certain: the user has named the zone.
        is_end: the times are the ends of the quarter hours.
    """

    zone: tzinfo
    columns: Sequence[str] = ()
    unit: Unit | None = None
    is_zone_certain: bool = False
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class OperatorQuarters:
    """The quarter hours of a file.

    Attributes:
        quarters: energies in Wh by the second at which each begins.
        estimated: the beginnings of those that the operator has not measured; they are not in `quarters`.
        unclear: likewise, of those that stand there with different values, or once in the hour that autumn
            repeats.
        unreadable: the number of rows without a quarter hour or a number that can be read.
    """

    quarters: Mapping[int, Mapping[Flow, Decimal]]
    estimated: frozenset[int] = frozenset()
    unclear: frozenset[int] = frozenset()
    unreadable: int = 0


def read_operator_csv(lines: Iterable[str], options: Options) -> OperatorQuarters:
    """Read the quarter hours of a file.

    Raises:
        OperatorFileError: it is not understood.
    """
    checked = _bounded(lines)
    first = list(islice(checked, _LINES_WITH_HEADINGS))
    layout, skipped = _find_layout(first, options)
    table = csv.reader(chain(first[skipped:], checked), delimiter=layout.delimiter)
    reading = _Reading(layout, options)
    try:
        for row in table:
            if any(cell.strip() for cell in row):
                reading.add(row)
    except csv.Error as error:
        raise OperatorFileError(f"line {skipped + table.line_num} is not CSV: {error}") from None
    return reading.finish()


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if len(line) > _LONGEST_LINE:
            raise OperatorFileError(
                f"line {number} is longer than {_LONGEST_LINE} characters: this is no CSV"
            )
        yield line


# Headings


class _Role(StrEnum):
    START = "start"
    START_DATE = "start date"
    START_TIME = "start time"
    END = "end"
    END_DATE = "end date"
    END_TIME = "end time"
    METER = "meter"
    REGISTER = "register"
    VALUE = "value"
    UNIT = "unit"
    STATUS = "status"


#: In the form of `_folded`.
_HEADINGS: Final = {
    heading: role
    for role, headings in {
        _Role.START: "start, startedat, started at, start time utc, begin, from, von, van, de, timestamp, "
        "datetime, date time, date heure, date et heure, datum tijd, datum zeit, datum uhrzeit, "
        "horodatage, zeitstempel",
        _Role.START_DATE: "van datum, de date, du date, von datum, from date, start date, date de debut, "
        "begindatum, date, datum",
        _Role.START_TIME: "van tijdstip, van tijd, de heure, du heure, von uhrzeit, from time, start time, "
        "heure de debut, begintijd, time, tijd, tijdstip, heure, zeit, uhrzeit",
        _Role.END: "end, endedat, ended at, to, until, tot, bis",
        _Role.END_DATE: "tot datum, a date, au date, jusqu au date, jusqu a date, bis datum, to date, "
        "end date, date de fin, einddatum",
        _Role.END_TIME: "tot tijdstip, tot tijd, a heure, au heure, jusqu au heure, jusqu a heure, "
        "bis uhrzeit, to time, end time, heure de fin, eindtijd",
        _Role.METER: "ean code, ean, code ean, meteringpointcode, metering point, pod",
        _Role.REGISTER: "register, registratie, registre, obis, obiscode, obis code, code obis",
        _Role.VALUE: "volume, value, waarde, valeur, wert, quantity, quantite, energy",
        _Role.UNIT: "eenheid, unit, unite, einheit",
        _Role.STATUS: "validatiestatus, statut de validation, etat de validation, statut, status, type",
    }.items()
    for heading in headings.split(", ")
}
#: Leneda's load curves. 1-65: are shares of an energy community, which no meter counts.
_OBIS: Final = re.compile(r"(?:1-[01]:)?([12])\.29\.0(?:[.*]255)?")
_FLOWS: Final = {
    Flow.IMPORT: (
        "afname", "prelevement", "consommation", "consumption", "import", "verbruik", "verbrauch", "bezug",
    ),
    Flow.EXPORT: ("injectie", "injection", "export", "einspeisung", "production", "produktion"),
}  # fmt: skip
_REACTIVE: Final = ("reacti", "reaktiv", "capaciti", "inducti", "kva")
_ESTIMATED: Final = ("geschat", "estim", "geschatzt", "ersatz")
_HEADING_UNIT: Final = re.compile(r"(?<![a-z])(mwh|kwh|wh|kw|w)(?![a-z])", re.IGNORECASE)


@lru_cache(maxsize=256)
def _folded(text: str) -> str:
    """Return a heading without accents, capitals and punctuation."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return " ".join(re.findall(r"\w+", plain.casefold().replace("_", " ")))


@lru_cache(maxsize=256)
def _flow_of(text: str) -> Flow | None:
    """Return the direction that a register or a heading names; None for another quantity."""
    if match := _OBIS.search(text):
        return None if "1-65:" in text else (Flow.IMPORT, Flow.EXPORT)[int(match[1]) - 1]
    words = _folded(text).split()
    if any(word.startswith(_REACTIVE) for word in words):
        return None
    found = [flow for flow, starts in _FLOWS.items() if any(word.startswith(starts) for word in words)]
    return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of values; without a direction where another column has it."""

    number: int
    flow: Flow | None
    unit: Unit | None


@dataclass(frozen=True, slots=True)
class _Layout:
    delimiter: str
    roles: Mapping[_Role, int]
    values: Sequence[_Column]
    is_leneda: bool = False

    @property
    def is_fluvius(self) -> bool:
        return not self.is_leneda and {_Role.REGISTER, _Role.START_DATE} <= self.roles.keys()

    def cell(self, row: Sequence[str], role: _Role) -> str:
        """Return a cell; "" if the file has no such column, or this row does not."""
        column = self.roles.get(role, len(row))
        return row[column].strip() if column < len(row) else ""


def _find_layout(lines: Sequence[str], options: Options) -> tuple[_Layout, int]:
    """Return the layout and how many lines stand above the values."""
    found = [
        (len(roles), -number, delimiter, headings, roles)
        for delimiter in (";", ",", "\t")
        for number, line in enumerate(lines)
        if (roles := _roles_of(headings := _split(line, delimiter))).keys() & _STAMPS and len(headings) > 1
    ]
    if not found:
        return _without_headings(lines, options), 0
    _, number, delimiter, headings, roles = max(found)
    values = _values_of(headings, roles, options)
    is_leneda = any(_OBIS.search(heading) for heading in headings) or "startedat" in map(_folded, headings)
    return _Layout(delimiter, roles, values, is_leneda=is_leneda), 1 - number


_STAMPS: Final = frozenset({_Role.START, _Role.START_DATE, _Role.END, _Role.END_DATE})


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _roles_of(headings: Sequence[str]) -> dict[_Role, int]:
    roles: dict[_Role, int] = {}
    for column, heading in enumerate(headings):
        role = _HEADINGS.get(_folded(_HEADING_UNIT.sub("", heading)))
        if role is not None:
            roles.setdefault(role, column)
    return roles


def _values_of(headings: Sequence[str], roles: Mapping[_Role, int], options: Options) -> list[_Column]:
    if options.columns:
        return [_named_value(name, headings) for name in options.columns]
    if _Role.REGISTER in roles and _Role.VALUE in roles:
        column = roles[_Role.VALUE]
        return [_Column(column, None, _unit_in(headings[column]))]
    values = [
        _Column(column, flow, _unit_in(heading))
        for column, heading in enumerate(headings)
        if column not in roles.values() and (flow := _flow_of(heading)) is not None
    ]
    exact = [value for value in values if _folded(headings[value.number]) == value.flow]
    if values := exact or values:
        _require_one_each(values, headings)
        return values
    if _Role.VALUE in roles:
        column = roles[_Role.VALUE]
        return [_Column(column, Flow.IMPORT, _unit_in(headings[column]))]
    raise OperatorFileError(
        f"no column of this file is known to hold energies: {_listed(headings)}; name one with --column"
    )


def _require_one_each(values: Sequence[_Column], headings: Sequence[str]) -> None:
    for flow in Flow:
        same = [headings[value.number] for value in values if value.flow is flow]
        if len(same) > 1:
            raise OperatorFileError(
                f"several columns hold {flow.value}: {_listed(same)}; name those to add up with --column"
            )


def _named_value(name: str, headings: Sequence[str]) -> _Column:
    """Return the column that an option names, by its heading or its number."""
    folded = [_folded(heading) for heading in headings]
    if _folded(name) in folded:
        column = folded.index(_folded(name))
    elif name.isascii() and name.isdigit() and 1 <= int(name[:4]) <= len(headings):
        column = int(name[:4]) - 1
    else:
        raise OperatorFileError(f"no column {name!r} in this file; it has {_listed(headings)}")
    return _Column(column, _flow_of(headings[column]) or Flow.IMPORT, _unit_in(headings[column]))


def _without_headings(lines: Sequence[str], options: Options) -> _Layout:
    """Return the layout of a file that begins with values: the time in front, the column by its number."""
    for delimiter in (";", "\t", ","):
        row = _split(lines[0], delimiter) if lines else []
        numbers = [str(number + 1) for number in range(len(row))]
        stamp = parse_stamp(row[0]) if len(row) > 1 else None
        if stamp is None:
            continue
        if not options.columns:
            raise OperatorFileError(
                "this file has no headings: name the column of the energies with --column 2 (its number)"
            )
        roles = {_Role.START: 0} if stamp.has_time else {_Role.START_DATE: 0, _Role.START_TIME: 1}
        return _Layout(delimiter, roles, [_named_value(name, numbers) for name in options.columns])
    raise OperatorFileError(
        "this is not understood as an operator's CSV: there is no line with headings such as "
        "`Van (datum);Van (tijdstip);…` or `startedAt,value`; export quarter hours as CSV, and name the "
        "column with --column and the unit with --unit if they have other headings"
    )


def _unit_in(heading: str) -> Unit | None:
    found = _HEADING_UNIT.findall(heading)
    return _UNIT_OF[found[-1].casefold()] if found else None


def _listed(headings: Sequence[str]) -> str:
    shown = ", ".join(repr(heading.strip()[:40]) for heading in headings[:_SHOWN])
    return shown if len(headings) <= _SHOWN else f"{shown} …"


# Values


class _Value(NamedTuple):
    """What a row says about one register."""

    text: str
    unit: Unit
    is_estimated: bool


_Key = tuple[Flow, str, str]  # and the meter, and the register


class _Reading:
    """Collects the rows of a file. Only its end tells which comma is decimal, and which way its times run."""

    def __init__(self, layout: _Layout, options: Options) -> None:
        self._layout = layout
        self._options = options
        self._zone = options.zone
        if not options.is_zone_certain and (layout.is_fluvius or layout.is_leneda):
            self._zone = ZoneInfo("Europe/Brussels") if layout.is_fluvius else UTC
        self._is_end = options.is_end or not layout.roles.keys() & {_Role.START, _Role.START_DATE}
        self._entries: dict[tuple[_Key, Stamp], list[_Value]] = defaultdict(list)
        self._unreadable = 0
        self._first: datetime | None = None
        self._last: datetime | None = None

    def add(self, row: Sequence[str]) -> None:
        """Take a row of values."""
        stamp = self._stamp_of(row)
        if stamp is None:
            self._unreadable += 1
            return
        self._first = self._first or stamp.local
        self._last = stamp.local
        register = self._layout.cell(row, _Role.REGISTER)
        meter = self._layout.cell(row, _Role.METER)
        is_estimated = _folded(self._layout.cell(row, _Role.STATUS)).startswith(_ESTIMATED)
        for value in self._layout.values:
            flow = value.flow or _flow_of(register)
            text = row[value.number].strip() if value.number < len(row) else ""
            if flow is None or not text:  # another quantity, or a register that did not run
                continue
            unit = self._unit_of(value, row)
            if unit is None:
                continue
            key = (flow, meter, register or str(value.number))
            self._entries[key, stamp].append(_Value(text, unit, is_estimated))

    def _stamp_of(self, row: Sequence[str]) -> Stamp | None:
        whole, day, time = (
            (_Role.END, _Role.END_DATE, _Role.END_TIME)
            if not self._layout.roles.keys() & {_Role.START, _Role.START_DATE}
            else (_Role.START, _Role.START_DATE, _Role.START_TIME)
        )
        cell = self._layout.cell
        if whole in self._layout.roles and (stamp := parse_stamp(cell(row, whole))) is not None:
            return stamp if stamp.has_time else None
        text = cell(row, day)
        if time in self._layout.roles:
            text = f"{text} {cell(row, time)}"
        stamp = parse_stamp(text)
        return stamp if stamp is not None and stamp.has_time else None

    def _unit_of(self, value: _Column, row: Sequence[str]) -> Unit | None:
        """Return the unit of a value; None if it is no energy.

        Raises:
            OperatorFileError: nothing says the unit.
        """
        if self._options.unit is not None:
            return self._options.unit
        if _Role.UNIT in self._layout.roles:
            unit = _UNIT_OF.get(self._layout.cell(row, _Role.UNIT).casefold())
            # Fluvius adds rows of power for large customers beside those of energy.
            return None if self._layout.is_fluvius and unit in _POWERS else unit
        if (unit := value.unit or (Unit.KILOWATTS if self._layout.is_leneda else None)) is None:
            raise OperatorFileError(
                "nothing in this file says its unit: add --unit kWh, or --unit kW where it is mean power"
            )
        return unit

    def finish(self) -> OperatorQuarters:
        """Return the quarter hours.

        Raises:
            OperatorFileError: there are none.
        """
        numbers = Numbers(value.text for entry in self._entries.values() for value in entry)
        energies: dict[int, dict[_Key, Decimal]] = defaultdict(dict)
        estimated: set[int] = set()
        unclear: set[int] = set()
        for (key, stamp), entry in self._entries.items():
            moments = self._moments_of(stamp)
            if len(moments) == 1:
                parts = [entry]
            elif len(moments) == len(entry):  # the hour that autumn repeats, in the order of the file
                parts = [[value] for value in (reversed(entry) if self._runs_backwards else entry)]
            else:
                self._unreadable += 0 if moments else len(entry)
                unclear.update(moments)
                continue
            for start, values in zip(moments, parts, strict=True):
                read = {_in_watt_hours(value, numbers) for value in values if not value.is_estimated}
                if not read:
                    estimated.add(start)
                elif None in read:
                    self._unreadable += 1
                elif len(read) > 1:
                    unclear.add(start)
                else:
                    energies[start][key] = next(value for value in read if value is not None)
        return self._result(energies, estimated, unclear)

    @property
    def _runs_backwards(self) -> bool:
        return self._first is not None and self._last is not None and self._first > self._last

    def _moments_of(self, stamp: Stamp) -> list[int]:
        """Return the beginnings of the quarter hours that a time may stand for.

        Raises:
            OperatorFileError: it stands within one.
        """
        if stamp.offset is None:
            seconds = list(moments_of(stamp.local, self._zone))
        else:
            seconds = [seconds_at(stamp.local.replace(tzinfo=UTC) - stamp.offset)]
        if any(second % QUARTER for second in seconds):
            raise OperatorFileError(
                f"{stamp.local} is no quarter hour: only files with a value every 15 minutes can be compared"
            )
        return [second - QUARTER if self._is_end else second for second in seconds]

    def _result(
        self, energies: Mapping[int, Mapping[_Key, Decimal]], estimated: set[int], unclear: set[int]
    ) -> OperatorQuarters:
        known = sorted({*energies, *estimated, *unclear})
        if not known:
            raise OperatorFileError(
                f"no quarter hour with a value is in this file ({self._unreadable} rows cannot be read); "
                "name the column with --column"
            )
        step = min((after - before for before, after in pairwise(known)), default=QUARTER)
        if step != QUARTER:
            raise OperatorFileError(
                f"the values of this file are {step // 60} minutes apart: export quarter hours instead"
            )
        quarters = {
            start: _summed(by_key)
            for start, by_key in sorted(energies.items())
            if start not in estimated and start not in unclear
        }
        return OperatorQuarters(
            quarters, frozenset(estimated), frozenset(unclear - estimated), self._unreadable
        )


def _in_watt_hours(value: _Value, numbers: Numbers) -> Decimal | None:
    number = numbers.read(value.text)
    return None if number is None else number * value.unit.watt_hours


def _summed(by_key: Mapping[_Key, Decimal]) -> dict[Flow, Decimal]:
    sums: dict[Flow, Decimal] = {}
    meters: dict[tuple[Flow, str], str] = {}
    for (flow, meter, register), energy in by_key.items():
        if meters.setdefault((flow, register), meter) != meter:
            raise OperatorFileError(
                "this file holds several meters: leave the rows of one of them, and compare each on its own"
            )
        sums[flow] = sums.get(flow, Decimal(0)) + energy
    return sums
