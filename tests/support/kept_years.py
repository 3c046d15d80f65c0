"""Two simulated meters with gaps over both changes of time and a new year, one of them replaced."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from smarty_gateway.simulator.year import boundaries
from tests.support.histories import ZONE, second_of, write_history

FIRST: Final = second_of("2020-09-10T11:00")
#: Within the last month.
NOW: Final = second_of("2021-04-05T12:07:30")
REPLACED: Final = second_of("2020-12-03T14:15")
TARIFF: Final = """\
name: invented
currency: EUR
sources:
  - {id: bill, title: the bill, checked: 2021-01-02}
periods:
  - valid_from: 2020-01-01
    volume: {price: 0.05, source: bill}
    excess: {price: 0.08, source: bill, doubt: nobody knows}
    levels: [{kw: 3, price: 7, source: bill}, {kw: 7, price: 12, source: bill}]
    vat: {percent: 8, source: bill}
"""
CONFIG: Final = """\
timezone: Europe/Luxembourg
meters:
  - {name: house, source: /dev/ttyS0, reference_power: 3, tariff: ./tariff.yaml}
  - {name: barn, source: /dev/ttyS1}
"""


def write_kept_years(folder: Path) -> None:
    """Write a configuration, and the histories of `house` and `barn` into its folder `state`."""
    (folder / "gateway.yaml").write_text(CONFIG, "utf-8")
    (folder / "tariff.yaml").write_text(TARIFF, "utf-8")
    for name, kind in (("house", MeterKind.LUXEMBOURG), ("barn", MeterKind.BELGIUM)):
        write_history(folder / "state", name, _boundaries(kind))


def _boundaries(kind: MeterKind) -> Iterator[Boundary]:
    span = range(FIRST, NOW)
    for boundary in boundaries(SimulatedMeter(kind, 1), 0, ZONE, span, has_gaps=True):
        is_new = kind is MeterKind.LUXEMBOURG and boundary.end > REPLACED
        yield replace(boundary, meter_id="SAG2", series=2) if is_new else boundary
