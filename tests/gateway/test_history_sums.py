"""The sums of the running day, month and year are those of the file, from any restart on."""

from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.gateway.history_keeper import sums_in
from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.local_time import begin_of, end_of
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By
from smarty_gateway.history.sample import QUARTER, REGISTERS, Sample
from smarty_gateway.state import sqlite_file
from smarty_gateway.state.history_file import HistoryFile, open_history
from smarty_gateway.state.history_reader import HistoryReader
from smarty_gateway.state.history_schema import FILE_NAME

ZONE = ZoneInfo("Europe/Luxembourg")
REFERENCE = ReferencePower(((None, 7000), (date(2026, 10, 25), 3000), (date(2027, 1, 1), 12000)))
#: Shortly before a day of 25 hours, the end of a month, and the end of a year.
BEGINNINGS = tuple(
    int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())
    for text in ("2026-10-24T22:00:00", "2026-11-30T22:00:00", "2026-12-31T21:00:00", "2027-03-27T23:00:00")
)


@st.composite
def histories(draw: st.DrawFn) -> list[Boundary]:
    """Draw boundaries with gaps of up to two days and new series."""
    end, imported, exported, series = draw(st.sampled_from(BEGINNINGS)), 10_000, 5_000, 1
    found = []
    for _ in range(draw(st.integers(1, 40))):
        registers: list[int | None] = [None] * len(REGISTERS)
        registers[REGISTERS.index("energy_import")] = imported
        registers[REGISTERS.index("energy_export")] = exported
        found.append(Boundary(end, "A", series, tuple(registers)))
        end += QUARTER * draw(st.sampled_from((1, 1, 1, 1, 1, 1, 2, 7, 96, 200)))
        imported += draw(st.integers(0, 4000))
        exported += draw(st.integers(0, 4000))
        series += draw(st.sampled_from((0,) * 9 + (1,)))
    return found


@given(histories(), st.data())
def test_running_sums_are_what_the_file_says_whenever_the_gateway_was_started(
    boundaries: list[Boundary], data: st.DataObject
) -> None:
    stored = data.draw(st.integers(0, len(boundaries)), "stored before the start")
    newest = boundaries[-1]
    with TemporaryDirectory() as name, closing(HistoryFile(Path(name))) as file:
        file.write({"house": boundaries[:stored]})
        sums = sums_in(file, "house", ZONE, REFERENCE)
        for boundary in boundaries[stored:]:
            sums.add(boundary)
        file.write({"house": boundaries[stored:]})
        connection = open_history(Path(name))
        assert connection is not None
        with closing(connection):
            reader = HistoryReader(connection, ZONE)
            _assert_same(sums.at(Sample("A", newest.end, newest.registers), newest.series), reader, newest)


def test_a_disk_that_is_full_at_the_start_costs_no_sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registers = [(100 * n, *(None,) * (len(REGISTERS) - 1)) for n in range(3)]
    rows = [Boundary(BEGINNINGS[1] + QUARTER * n, "A", 1, known) for n, known in enumerate(registers)]
    with closing(HistoryFile(tmp_path)) as file:
        file.write({"house": rows})
    monkeypatch.setattr(sqlite_file, "_LEAST_SPACE", 10**18)
    (tmp_path / f"{FILE_NAME}-wal").mkdir()  # SQLite cannot make its log, as on a full disk
    with closing(HistoryFile(tmp_path)) as file:
        assert not file.is_kept
        totals = sums_in(file, "house", ZONE, REFERENCE).at(Sample("A", rows[-1].end, registers[-1]), 1)
    assert totals.import_day == 200


def _assert_same(found: object, reader: HistoryReader, newest: Boundary) -> None:
    now = newest.end
    spans = {by: (begin_of(by, now, ZONE), end_of(by, now, ZONE)) for by in (By.DAY, By.MONTH, By.YEAR)}
    quarters = {
        by: reader.rows("house", By.QUARTER, begin, now, now, REFERENCE) for by, (begin, _) in spans.items()
    }
    excess = tuple(sum(row.excess or 0 for row in quarters[by]) for by in spans)
    day = quarters[By.DAY]
    peaks = [peak for peak in reader.peaks("house", *spans[By.MONTH]) if peak.start < now]
    assert found == (
        *excess,
        sum(row.import_ or 0 for row in day),
        sum(row.export or 0 for row in day),
        sum(row.complete for row in day) * QUARTER / (now - spans[By.DAY][0])
        if now > spans[By.DAY][0]
        else 1,
        peaks[0] if peaks else None,
    )
