"""Reads a tariff: one that comes with this program, or a file of the user's own. docs/tariffs.md explains it.

The classes here are those of `history.tariffs` with what may be written for each field.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from smarty_gateway.config.settings import (
    DATE,
    Form,
    Section,
    SettingError,
    choice,
    list_of,
    number,
    parsed,
    section,
    setting,
)
from smarty_gateway.config.tariff_names import tariff_name
from smarty_gateway.config.yaml_file import UnusableFileError, YamlFile
from smarty_gateway.history.tariffs import (
    DAY,
    WEEK,
    CapacityPrice,
    EnergyPrice,
    ExcessPrice,
    Figure,
    FixedPrice,
    Level,
    Period,
    Reading,
    Source,
    Tariff,
    Vat,
    VolumePrice,
)

#: Entries of one list. A file that repeats others by `*` would be read for hours.
_MOST: Final = 100
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

T = TypeVar("T")


def load_tariff(path: Path) -> Tariff:
    """Read a tariff.

    Raises:
        UnusableFileError: it has a fault; the first one.
    """
    tariff, errors = read_tariff(path)
    if errors or tariff is None:
        raise errors[0]
    return tariff


def read_tariff(path: Path) -> tuple[Tariff | None, list[UnusableFileError]]:
    """Read a tariff and find all its faults, from its first line to its last."""
    file = YamlFile(path, "tariff")
    tariff: Tariff | None = None
    with file.collected():
        root = Section(file, file.compose(), TariffFile, "the file")
        _check_sources(file, root)
        _check_periods(file, root.values.get("periods", []))
        tariff = root.build()
    if tariff is not None:
        periods = sorted(tariff.periods, key=lambda period: period.valid_from)
        tariff = replace(tariff, file=tariff_name(path), periods=tuple(periods))
    return tariff, sorted(file.errors, key=lambda error: error.line or 0)


def _check_sources(file: YamlFile, root: Section[Any]) -> None:
    with_id = [one for one in root.values.get("sources", ()) if "id" in one.values]
    ids = [one.values["id"] for one in with_id]
    for one in with_id:
        if ids.count(one.values["id"]) > 1:
            file.note(one.nodes["id"], "two sources have this id; give each another one")
    for one in _sections(root):
        if "source" in one.values and one.values["source"] not in ids:
            file.note(one.nodes["source"], "no entry of `sources:` has this id")


def _sections(section: Section[Any]) -> Iterator[Section[Any]]:
    """Yield all sections inside one."""
    for value in section.values.values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Section):
                yield one
                yield from _sections(one)


def _check_periods(file: YamlFile, periods: list[Section[Period]]) -> None:
    lines: dict[date, int] = {}
    for period in periods:
        begin = period.values.get("valid_from")
        if begin in lines:
            file.note(
                period.nodes["valid_from"], f"the period of line {lines[begin]} begins on this day, too"
            )
        elif begin is not None:
            lines[begin] = period.line("valid_from")
        _check_week(file, period)


def _check_week(file: YamlFile, period: Section[Period]) -> None:
    """Find the quarter hours for which energy has no price."""
    entries = [entry.build() for entry in period.values.get("energy", ())]
    if not entries or None in entries:
        return
    missing = sorted(set(range(WEEK)) - {slot for entry in entries if entry for slot in entry.slots()})
    if missing:
        day, quarter = divmod(missing[0], DAY)
        at = f"{_WEEKDAYS[day]} {quarter // 4:02}:{quarter % 4 * 15:02}"
        file.note(period.nodes["energy"], f"there is no entry for {at}; together they need to cover the week")


# The forms


def _decimal(what: str, low: int, high: int) -> Form[Decimal]:
    """Return the form of an exact number."""

    def read(file: YamlFile, node: yaml.Node, name: str) -> Decimal:
        digits = node.value if isinstance(node, yaml.ScalarNode) else ""
        if not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", digits) or not low <= Decimal(digits) <= high:
            file.fail(node, f"{name} is {what} from {low} to {high}")
        return Decimal(digits)

    return Form(f"{what} from {low} to {high}", read)


def _time(text: str) -> int:
    match = re.fullmatch(r"([01]?[0-9]|2[0-4]):(00|15|30|45)", text)
    quarter = int(match[1]) * 4 + int(match[2]) // 15 if match else DAY + 1
    if quarter > DAY:
        raise SettingError(
            "a band begins and ends at a quarter of an hour, as 07:00 or 22:15; 24:00 is midnight"
        )
    return quarter


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", text):
        raise SettingError("a name has small letters, digits and _, as off_peak: it becomes that of a column")
    return text


def _currency(text: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", text):
        raise SettingError("a currency has three capital letters, such as EUR")
    return text


def _read_days(file: YamlFile, node: yaml.Node, name: str) -> tuple[int, ...]:
    if not isinstance(node, yaml.SequenceNode) or not 0 < len(node.value) <= len(_WEEKDAYS):
        file.fail(node, f"{name} is {_DAYS.description}, such as [mon, tue]")
    days = [_WEEKDAY.read(file, each, "a day") for each in node.value]
    return tuple(index for index, day in enumerate(_WEEKDAYS) if day in days)


def _entries(kind: type[T], one: str, example: str) -> Form[tuple[T, ...]]:
    return list_of(section(kind), one, example, most=_MOST)


_PRICE: Final = _decimal("a price", -1_000_000, 1_000_000)
_TIME: Final = parsed("a time of the day such as 07:00", _time)
_TEXT: Final = parsed("a text", str, may_be_hex=True)
_NAME: Final = parsed("a name such as off_peak", _name)
_WEEKDAY: Final = choice(_WEEKDAYS)
_DAYS: Final[Form[tuple[int, ...]]] = Form(f"a list of {', '.join(_WEEKDAYS)}", _read_days)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source(Source):
    """One entry of `sources`."""

    id: str = setting(_NAME, "to which the figures refer", example="bill_2026")
    title: str = setting(_TEXT, "what it is", example="my bill of March 2026")
    url: str | None = setting(_TEXT, "where it is", default=None)
    checked: date = setting(DATE, "the day on which the figures were compared with it", example="2026-11-21")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure(Figure):
    """What each figure may have."""

    source: str | None = setting(_NAME, "the id of its source", default=None)
    doubt: str | None = setting(_TEXT, "why it may be wrong; shown with all money", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _EnergyPrice(_Figure, EnergyPrice):
    """One entry of `energy`."""

    name: str = setting(_NAME, "names it in columns", example="day")
    price: Decimal | None = setting(
        _PRICE, "per kWh; without it only the kWh of its band are shown", default=None
    )
    begin: int = setting(_TIME, "the local time at which its band begins", key="from", default=0)
    end: int = setting(_TIME, "the local time at which it ends, also after midnight", key="to", default=DAY)
    days: tuple[int, ...] = setting(_DAYS, "the days of the week; all by default", default=tuple(range(7)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _VolumePrice(_Figure, VolumePrice):
    """`volume`."""

    price: Decimal = setting(_PRICE, "per kWh", example="0.0510")


@dataclass(frozen=True, slots=True, kw_only=True)
class _FixedPrice(_Figure, FixedPrice):
    """One entry of `fixed`."""

    name: str = setting(_NAME, "names it", example="meter")
    price: Decimal = setting(_PRICE, "per month", example="5.72")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level(_Figure, Level):
    """One entry of `levels`."""

    kilowatts: Decimal = setting(
        _decimal("a number of kW", 1, 1000), "the reference power", key="kw", example="7"
    )
    price: Decimal | None = setting(_PRICE, "per month", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ExcessPrice(_Figure, ExcessPrice):
    """`excess`."""

    price: Decimal = setting(_PRICE, "per kWh over the reference power", example="0.0765")
    reading: Reading | None = setting(
        choice(Reading),
        "is it added to the volume price, or paid instead of it? Without this line both are shown",
        default=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _CapacityPrice(_Figure, CapacityPrice):
    """`capacity`."""

    price: Decimal | None = setting(_PRICE, "per kW and year", default=None)
    minimum: Decimal = setting(
        _decimal("a number of kW", 0, 1000), "a month below it counts as this", default=Decimal(0)
    )
    months: int = setting(number(1, 12), "of how many months the mean is taken", default=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Vat(_Figure, Vat):
    """`vat`."""

    percent: Decimal = setting(_decimal("a percentage", 0, 100), "on everything", example="8")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Period(Period):
    """One entry of `periods`."""

    valid_from: date = setting(DATE, "the first day", example="2026-01-01")
    energy: tuple[EnergyPrice, ...] = setting(
        _entries(_EnergyPrice, "price", "{name: day, price: 0.25}"),
        "prices per kWh of the supplier, taxes; all that apply to a quarter hour are added",
        default=(),
    )
    volume: VolumePrice | None = setting(
        section(_VolumePrice), "what the grid costs for each kWh", default=None
    )
    excess: ExcessPrice | None = setting(
        section(_ExcessPrice), "what a kWh over the reference power costs", default=None
    )
    levels: tuple[Level, ...] = setting(
        _entries(_Level, "level", "{kw: 7, price: 12.84}"), "the reference powers there are", default=()
    )
    fixed: tuple[FixedPrice, ...] = setting(
        _entries(_FixedPrice, "price", "{name: meter, price: 5.72}"), "prices per month", default=()
    )
    capacity: CapacityPrice | None = setting(
        section(_CapacityPrice), "what the highest quarter hours of the months cost", default=None
    )
    vat: Vat | None = setting(section(_Vat), "the value added tax", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffFile(Tariff):
    """All of a tariff."""

    file: str = ""
    name: str = setting(_TEXT, "what it is and what it covers", example="my supplier and the grid")
    currency: str = setting(parsed("a currency such as EUR", _currency), "of all prices", default="EUR")
    periods: tuple[Period, ...] = setting(
        _entries(_Period, "period", "valid_from: 2026-01-01"),
        "what holds from a day on, until the next period begins",
        example="[{valid_from: 2026-01-01}]",
    )
    sources: tuple[Source, ...] = setting(
        _entries(_Source, "source", "{id: bill_2026, title: my bill of March 2026, checked: 2026-11-21}"),
        "where the figures come from",
        default=(),
    )
