"""The history as CSV and JSON: the same names and the same order in both.

What is not known is empty in CSV and null in JSON; a tariff or device that a meter does not have is left out
of its JSON objects. Times have the local offset, energies are kWh with three decimals, powers kW.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.costs import PricedRow
from smarty_gateway.history.levels import PricedLevel
from smarty_gateway.history.rows import DeviceEnergy, Peak, RegisterReading, Row
from smarty_gateway.history.sample import QUARTER, TARIFFS
from smarty_gateway.outputs.csv_lines import csv_line, csv_text
from smarty_gateway.outputs.json_lines import to_json

Record = dict[str, Any]

_EXACT: Final = 3
_CENTS: Final = 2
_COST: Final = "cost"
_MONEY: Final = (_COST, "band_", "currency", "tariff")
#: Numbers that need not have three decimals.
_PLAIN: Final = ("covered", "level")
_TARIFFS: Final = tuple(f"{way}_t{tariff}" for way in ("import", "export") for tariff in TARIFFS)
#: One quarter hour of a year is 0.00003 of it.
_SHARE: Final = 4
#: A share that is not whole is never rounded to 1.
_NEARLY_ALL: Final = 0.9999
#: The columns of a row of `show` that are there for every meter.
COLUMNS: Final = (
    "meter", "start", "end", "import", "export", "mean_power", "max_power", "excess", "complete", "covered",
)  # fmt: skip


def record_of(meter: str, row: Row, zone: ZoneInfo) -> Record:
    """Return a span as it is printed."""
    values = (
        meter,
        local_time(row.start, zone),
        local_time(row.end, zone),
        thousandth(row.import_),
        thousandth(row.export),
        thousandth(mean_power(row)),
        thousandth(row.max_power),
        thousandth(row.excess),
        int(row.complete),
        share(row.covered),
    )
    tariffs = {name: thousandth(energy) for name, energy in row.tariffs.items()}
    return dict(zip(COLUMNS, values, strict=True)) | tariffs | _of_devices(row.devices)


def priced_record(meter: str, priced: PricedRow, zone: ZoneInfo) -> Record:
    """Return a span with its costs as it is printed."""
    costs = {name: float(amount) for name, amount in priced.costs.items()}
    tariff = {"currency": priced.tariff.currency, "tariff": priced.tariff.file}
    return record_of(meter, priced.row, zone) | costs | tariff


def peak_record(meter: str, peak: Peak, zone: ZoneInfo) -> Record:
    """Return a high quarter hour as it is printed."""
    return {
        "meter": meter,
        "month": month_name(peak.month),
        "start": local_time(peak.start, zone),
        "end": local_time(peak.start + QUARTER, zone),
        "power": thousandth(peak.power),
        "of_meter": int(peak.is_of_meter),
    }


def register_record(meter: str, reading: RegisterReading, zone: ZoneInfo) -> Record:
    """Return the registers at one time as they are printed."""
    head = {"meter": meter, "time": local_time(reading.at, zone), "meter_id": reading.meter_id}
    registers = {name: thousandth(value) for name, value in reading.values.items()}
    return head | registers | _of_devices(reading.devices)


def level_record(meter: str, priced: PricedLevel, _: ZoneInfo) -> Record:
    """Return a level of a tariff as it is printed; it has no time."""
    level = priced.cost
    head = {
        "meter": meter,
        "level": level.kilowatts,
        "excess": thousandth(level.excess),
        "covered": share(level.covered),
    }
    costs = {f"{_COST}_{reading}": round(cost, _CENTS) for reading, cost in level.costs.items()}
    tariff = {"currency": priced.tariff.currency, "tariff": priced.tariff.file}
    return head | costs | {"cheapest": int(level.is_cheapest)} | tariff


def local_time(second: int, zone: ZoneInfo) -> str:
    """Return a time as ISO 8601 with its offset."""
    return datetime.fromtimestamp(second, zone).isoformat()


def mean_power(row: Row) -> float | None:
    """Return the mean power in W of what was imported."""
    if row.import_ is None or row.known_seconds <= 0:
        return None
    return row.import_ * 3600 / row.known_seconds


def thousandth(value: float | None) -> float | None:
    """Return Wh as kWh, W as kW, litres as m³."""
    return None if value is None else round(value / 1000, _EXACT)


def share(covered: float | None) -> float | None:
    """Return a share of time; 1 stands for all of it only."""
    return covered if covered is None or covered >= 1 else min(round(covered, _SHARE), _NEARLY_ALL)


def month_name(month: int) -> str:
    """Return a month such as 202610 as 2026-10."""
    return f"{month // 100:04}-{month % 100:02}"


def _of_devices(devices: Mapping[str, DeviceEnergy]) -> Record:
    record: Record = {}
    for column, energy in devices.items():
        record[column] = thousandth(energy.amount)
        record[f"{column}_unit"] = energy.unit
    return record


def to_lines(form: str, records: list[Record]) -> Iterator[str]:
    """Yield the lines of a format, `csv` or `json`; nothing without a record."""
    if form == "json":
        yield from map(to_json, records)
    elif records:
        yield from csv_lines(columns_of(records), records)


def csv_lines(names: Sequence[str], records: Iterable[Record]) -> Iterator[str]:
    """Yield the head and one line for each record."""
    yield csv_line(map(csv_text, names))
    for record in records:
        yield csv_line(_cell(name, record.get(name)) for name in names)


def columns_of(records: Iterable[Record]) -> list[str]:
    """Return the names of all records: those of every meter, tariffs, devices with their units, money."""
    names = {name: None for record in records for name in record}

    def place(name: str) -> tuple[bool, bool, int, str]:
        device = name.removesuffix("_unit")
        is_device = f"{device}_unit" in names
        is_money = name.startswith(_MONEY)
        return (
            is_money,
            is_device,
            _TARIFFS.index(name) if name in _TARIFFS else -1,
            device if is_device else "",
        )

    return sorted(names, key=place)


def _cell(name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return csv_text(value)
    if not isinstance(value, float):
        return str(value)
    if name in _PLAIN:
        return f"{value:g}"
    return f"{value:.{_CENTS if name.startswith(_COST) else _EXACT}f}"
