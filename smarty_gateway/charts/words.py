"""The words in a picture, and how it writes numbers and dates; other languages pass their own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

_NO_BREAK: Final = "\u00a0"


def _number(value: float, decimals: int) -> str:
    return f"{value:z.{decimals}f}".replace("-", "\u2212")


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}"


def _month(day: date) -> str:
    return f"{day:%B %Y}"


@dataclass(frozen=True, slots=True)
class Words:
    """The words in a picture.

    Attributes:
        over: names the excess together with the reference power, which follows.
        unknown: names the time of which nothing is known, or not how the energy is spread over it.
        simulated: stands in the title of a meter that nobody has measured.
        coverage: names the share of a span of which the energy is known.
        item: one value of a tooltip, with {label} and {value}.
        shows_power: what bars of quarter hours are, for people who do not see them.
        shows_energy: likewise longer ones.
        shows_curve: likewise the power of the last hours.
        weekdays: from Monday.
        months: from January.
        number: writes a number with so many decimals.
        day: writes a date.
        month: writes the month of a date.
    """

    import_: str = "import"
    excess: str = "excess"
    export: str = "export"
    over: str = "over"
    unknown: str = "unknown"
    simulated: str = "simulated"
    net_power: str = "net power"
    lowest: str = "lowest"
    highest: str = "highest"
    coverage: str = "coverage"
    item: str = "{label}: {value}"
    shows_power: str = "Mean power of each quarter hour in kW: import above zero, export below."
    shows_energy: str = "Energy of each bar in kWh: import above zero, export below."
    shows_curve: str = "Net power in kW: import above zero, export below."
    weekdays: tuple[str, ...] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months: tuple[str, ...] = (
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    )  # fmt: skip
    number: Callable[[float, int], str] = _number
    day: Callable[[date], str] = _day
    month: Callable[[date], str] = _month

    def quantity(self, value: float, decimals: int, unit: str) -> str:
        """Return a number and its unit, which stay in one line."""
        return f"{self.number(value, decimals)}{_NO_BREAK}{unit}"

    def short(self, value: float) -> str:
        """Return a number without needless zeros."""
        decimals = len(f"{value:.6f}".rstrip("0").partition(".")[2])
        return self.number(value, decimals)


ENGLISH = Words()
