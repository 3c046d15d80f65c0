"""Spans of local time: where they begin and end, also where the clock changes."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.history.local_time import begin_of, end_of, local_date
from smarty_gateway.history.rows import By

LUXEMBOURG = ZoneInfo("Europe/Luxembourg")
ZONES = [LUXEMBOURG, ZoneInfo("Atlantic/Azores"), ZoneInfo("Europe/London"), ZoneInfo("UTC")]
FIRST, LAST = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2020, 2040))


def at(text: str, zone: ZoneInfo = LUXEMBOURG) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


@pytest.mark.parametrize(
    ("by", "begin", "end"),
    [
        (By.QUARTER, "2026-05-17T13:45", "2026-05-17T14:00"),
        (By.HOUR, "2026-05-17T13:00", "2026-05-17T14:00"),
        (By.DAY, "2026-05-17", "2026-05-18"),
        (By.MONTH, "2026-05-01", "2026-06-01"),
        (By.YEAR, "2026-01-01", "2027-01-01"),
    ],
)
def test_a_span_is_the_calendar_s_in_local_time(by: By, begin: str, end: str) -> None:
    time = at("2026-05-17T13:47:03")
    assert (begin_of(by, time, LUXEMBOURG), end_of(by, time, LUXEMBOURG)) == (at(begin), at(end))


@pytest.mark.parametrize(
    ("day", "quarters"), [("2026-03-29", 92), ("2026-07-01", 96), ("2026-10-25", 100), ("2026-12-31", 96)]
)
@pytest.mark.parametrize("zone", [LUXEMBOURG, ZoneInfo("Atlantic/Azores")], ids=str)
def test_a_day_has_92_96_or_100_quarters(day: str, quarters: int, zone: ZoneInfo) -> None:
    noon = at(f"{day}T12:00", zone)
    assert (end_of(By.DAY, noon, zone) - begin_of(By.DAY, noon, zone)) // 900 == quarters


def test_a_day_without_midnight_begins_at_the_change_of_time() -> None:
    azores = ZoneInfo("Atlantic/Azores")
    begin = begin_of(By.DAY, at("2026-03-29T12:00", azores), azores)
    assert datetime.fromtimestamp(begin, azores).isoformat() == "2026-03-29T01:00:00+00:00"


@given(time=st.integers(FIRST, LAST), by=st.sampled_from(list(By)), zone=st.sampled_from(ZONES))
def test_spans_follow_each_other_without_gap_or_overlap(time: int, by: By, zone: ZoneInfo) -> None:
    begin, end = begin_of(by, time, zone), end_of(by, time, zone)
    assert begin <= time < end
    assert begin % 900 == end % 900 == 0
    assert begin_of(by, end, zone) == end
    assert begin_of(by, end - 1, zone) == begin
    assert end_of(by, begin, zone) == end


@given(time=st.integers(FIRST, LAST), zone=st.sampled_from(ZONES))
def test_every_quarter_of_a_day_has_its_date(time: int, zone: ZoneInfo) -> None:
    day = begin_of(By.DAY, time, zone)
    quarters = range(day, end_of(By.DAY, time, zone), 900)
    assert {local_date(quarter, zone) for quarter in quarters} == {local_date(time, zone)}
