"""kill -9 costs the history at most what became known in the last seconds, and makes nothing wrong."""

import random
import signal
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from smarty_gateway.history.registers import sample_of
from smarty_gateway.history.sample import QUARTER, export_of, import_of
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.state.history_schema import FILE_NAME
from tests.support.running import Running, plugged_in, wait_until
from tests.support.streams import read, telegrams

_KILLS: Final = 100
#: Seconds of the meters' clock between two telegrams.
_PERIOD: Final = 10
#: Seconds after a boundary in which it becomes known and is written.
_WRITTEN_WITHIN: Final = 75
_BEGIN: Final = int(datetime(2026, 10, 24, 20, 0, tzinfo=UTC).timestamp())
_METERS: Final = {"lux": MeterKind.LUXEMBOURG, "bel": MeterKind.BELGIUM}
_STORED: Final = """
SELECT name, coalesce(energy_import, energy_import_tariff_1 + energy_import_tariff_2),
    coalesce(energy_export, energy_export_tariff_1 + energy_export_tariff_2)
FROM quarters JOIN meters ON number = meter WHERE end = ? ORDER BY name"""
#: The meters' clocks run so fast here that the seconds before writing would be hours of theirs.
_IN_A_HURRY: Final = """
from smarty_gateway.config import clock_sync
clock_sync.is_synchronised = lambda: False
from smarty_gateway.gateway import history_keeper
history_keeper._WRITE_AFTER = 0.01
"""


class Days:
    """Two meters whose clocks go on while the gateway comes and goes.

    Attributes:
        now: the time of their clocks.
        downs: from when to when the gateway was down, by these clocks.
    """

    def __init__(self, folder: Path, ports: Sequence[PtyPort], chance: random.Random) -> None:
        self.now = _BEGIN
        self.downs: list[tuple[int, int]] = []
        self.meters = [SimulatedMeter(kind, number) for number, kind in enumerate(_METERS.values(), 1)]
        self._folder = folder
        self._ports = ports
        self._chance = chance
        (folder / "sitecustomize.py").write_text(_IN_A_HURRY, "utf-8")
        (folder / "keys.yaml").write_text(keys_yaml(self.meters), "utf-8")
        (folder / "keys.yaml").chmod(0o600)
        entries = "".join(f"- {{name: {name}, source: {folder / name}}}\n" for name in _METERS)
        (folder / "gateway.yaml").write_text(
            f"keys: keys.yaml\nstate: state\nmeters:\n{entries}outputs: {{stdout: {{format: json}}}}\n",
            "utf-8",
        )

    def send(self) -> None:
        """Send a telegram of each meter."""
        at = datetime.fromtimestamp(self.now, UTC)
        begin = datetime.fromtimestamp(_BEGIN, UTC)
        for meter, port in zip(self.meters, self._ports, strict=True):
            port.write(meter.frame(at, begin=begin))

    def run_until_killed(self) -> None:
        """Run a gateway for up to two quarter hours of the meters' clocks, and kill it at any moment."""
        with Running("run", folder=self._folder, env={"PYTHONPATH": str(self._folder)}) as gateway:
            for name in _METERS:
                gateway.wait_for_port(str(self._folder / name))
            begin = self.now
            for count in range(1, self._chance.randint(2, 2 * QUARTER // _PERIOD)):
                self.send()
                gateway.wait_for_readings(2 * count)
                if self.now % QUARTER // _PERIOD == _WRITTEN_WITHIN // _PERIOD:
                    boundary = self.now - self.now % QUARTER
                    if boundary > begin:
                        self._wait_for(boundary)
                self.now += _PERIOD
            self.send()
            time.sleep(self._chance.random() / 50)  # a moment of the gateway's own
            gateway.send(signal.SIGKILL)
            gateway.wait()
        killed = self.now
        self.now += _PERIOD * self._chance.choice((1, 3, 6, 20, 100, 300))
        self.downs.append((killed, self.now))

    def _wait_for(self, boundary: int) -> None:
        wait_until(lambda: len(self.stored(boundary)) == len(_METERS), "a transaction")

    def stored(self, end: int) -> list[tuple[str, int, int]]:
        """Return name, import and export of each meter at a boundary."""
        path = self._folder / "state" / FILE_NAME
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute(_STORED, (end // QUARTER,)).fetchall()

    def exact(self, end: int) -> list[tuple[str, int | None, int | None]]:
        """Return what the meters themselves showed at a boundary."""
        at = datetime.fromtimestamp(end, UTC)
        found = []
        for name, meter in zip(_METERS, self.meters, strict=True):
            (telegram,) = telegrams(read(meter.telegram(at)))
            sample = sample_of(telegram, at, None)  # type: ignore[arg-type] # its time has an offset
            assert sample is not None
            found.append((name, import_of(sample.registers), export_of(sample.registers)))
        return sorted(found)

    def was_down(self, boundary: int) -> bool:
        """True if the gateway was down at a boundary or in the seconds after it."""
        return any(begin <= boundary + _WRITTEN_WITHIN and boundary <= end for begin, end in self.downs)


@pytest.mark.slow
def test_a_crash_at_any_moment_costs_no_quarter_hour_but_those_at_whose_ends_the_gateway_was_down(
    tmp_path: Path,
) -> None:
    chance = random.Random(15)
    with plugged_in(tmp_path / "lux") as lux, plugged_in(tmp_path / "bel") as bel:
        days = Days(tmp_path, (lux, bel), chance)
        for _ in range(_KILLS):
            days.run_until_killed()
    boundaries = range(_BEGIN + QUARTER, days.now - QUARTER, QUARTER)
    assert sum(not days.was_down(boundary) for boundary in boundaries) > _KILLS / 3
    for boundary in boundaries:
        stored, exact = days.stored(boundary), days.exact(boundary)
        assert set(stored) <= set(exact)
        assert stored == exact or days.was_down(boundary)
