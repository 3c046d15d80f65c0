"""How the views of the history write times, values and names in the reader's language."""

from datetime import date, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.rows import By
from smarty_gateway.history.sentences import Sentence, Value
from smarty_gateway.history.stretches import date_text
from smarty_gateway.languages.language import Language

_EXACT: Final = 3


class _Number:
    """A number that a form writes with the decimal separator of a language."""

    def __init__(self, value: float | Decimal, language: Language) -> None:
        self._value, self._language = value, language

    def __format__(self, spec: str) -> str:
        return format(self._value, spec).replace(".", self._language.decimal).replace("%", "\u00a0%")


def translated(text: str, language: Language) -> str:
    """Return a sentence of the history in a language; any other text as it is."""
    if not isinstance(text, Sentence):
        return text
    values = {name: _inside(value, language) for name, value in text.values.items()}
    return language.gettext(text.form).format(**values)


def _inside(value: Value, language: Language) -> str | _Number:
    if isinstance(value, tuple):
        return ", ".join(str(_inside(one, language)) for one in value)
    if isinstance(value, date):
        return language.day(value)
    if isinstance(value, Sentence):
        return translated(value, language)
    if isinstance(value, str):
        # The names and doubts of our own tariffs are in the catalogues; the empty message is their head.
        return language.gettext(value) if value else value
    return _Number(value, language)


def title_of(by: By, day: date, language: Language) -> str:
    """Return the title of a day, month or year."""
    if by is By.YEAR:
        return str(day.year)
    return language.month(day) if by is By.MONTH else language.day(day)


def address_of(by: By, day: date) -> str:
    """Return the address of a day, month or year, relative to that of the meter."""
    return f"{by}/{date_text(by, day)}"


def time_of(second: int, zone: ZoneInfo, language: Language) -> str:
    """Return a local time, with its offset in the hour that occurs twice."""
    local = datetime.fromtimestamp(second, zone)
    is_repeated = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
    return language.time(local) + (f" {local.isoformat()[-6:]}" if is_repeated else "")


def moment_of(second: int, zone: ZoneInfo, language: Language) -> str:
    """Return a local date and time."""
    day = datetime.fromtimestamp(second, zone).date()
    return f"{language.day(day)} {time_of(second, zone, language)}"


def thousandth(value: float | None, language: Language) -> str:
    """Return Wh as kWh, W as kW, litres as m³; nothing for what is not known."""
    return language.number(None if value is None else value / 1000, _EXACT)


def quantity(value: float | None, unit: str, language: Language) -> str:
    """Return the same with its unit."""
    return language.quantity(None if value is None else value / 1000, _EXACT, unit)


def percent(share: float, language: Language) -> str:
    """Return a share with one decimal; 100.0 stands for all of it only."""
    return language.quantity(int(share * 1000) / 10, 1, "%")


def device_name(column: str, language: Language) -> str:
    """Return what an M-Bus device counts, by its key in the JSON object, such as `gas_2`."""
    _ = language.gettext
    names = {
        "electricity_submeter": _("Submeter"),
        "gas": _("Gas"),
        "heat": _("Heat"),
        "warm_water": _("Warm water"),
        "water": _("Water"),
        "compressed_air": _("Compressed air"),
        "cold": _("Cold"),
        "hot_water": _("Hot water"),
        "cold_water": _("Cold water"),
    }
    medium, _underscore, number = column.rpartition("_")
    if number.isdecimal() and medium in names:
        return f"{names[medium]} {number}"
    return names.get(column, column)


def register_name(name: str, language: Language) -> str:
    """Return what a register or its growth is called, by its name in records, such as `import_t1`."""
    _ = language.gettext
    names = {
        "import": _("Import"),
        "export": _("Export"),
        "reactive_import": _("Reactive import"),
        "reactive_export": _("Reactive export"),
    }
    way, _underscore, tariff = name.rpartition("_t")
    if way == "import":
        return _("Import tariff {number}").format(number=tariff)
    if way == "export":
        return _("Export tariff {number}").format(number=tariff)
    return names.get(name, name)


def cost_name(name: str, language: Language) -> str:
    """Return what a column of costs is called, by its name in records."""
    _ = language.gettext
    names = {
        "cost": _("Total"),
        "cost_added": _("Total if excess is paid in addition"),
        "cost_instead": _("Total if excess is paid instead"),
        "cost_energy": _("Energy"),
        "cost_volume": _("Grid, by volume"),
        "cost_fixed": _("Fixed"),
        "cost_excess": _("Excess"),
        "cost_excess_added": _("Excess if paid in addition"),
        "cost_excess_instead": _("Excess if paid instead"),
        "cost_vat": _("VAT"),
        "cost_vat_added": _("VAT if excess is paid in addition"),
        "cost_vat_instead": _("VAT if excess is paid instead"),
    }
    return names.get(name, name.removeprefix("band_"))
