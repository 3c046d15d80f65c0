"""The view Now: what flows, what the quarter hour becomes, and what is not known."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smarty_gateway.history.running_quarter import RunningQuarter, Totals
from smarty_gateway.pages.now_page import live_part, now_page, overview_page
from smarty_gateway.pages.recent_power import hours_table, points_of
from smarty_gateway.pages.snapshots import Availability, PowerCurve
from smarty_gateway.protocol.meter_telegram import Security
from smarty_gateway.simulator.meters import MeterKind
from tests.support.documents import Element, document
from tests.support.every_meter import EVERY_KIND
from tests.support.histories import boundaries, second_of, write_history
from tests.support.views import (
    NOW,
    curve_of,
    gateway_now,
    meter_now,
    quarter_of,
    reading_of,
    shown,
    view_of,
)

#: At noon in June the simulated sun feeds in.
SUNNY = second_of("2026-06-21T13:30")


def _live(language: str = "en", **values: Any) -> Element:  # noqa: ANN401 - what a test changes
    meter = meter_now(**({"reading": reading_of(quarter=quarter_of())} | values))
    with view_of(gateway_now(meter), language=language) as view:
        return document(live_part(view, shown(view)))


def _facts(part: Element) -> dict[str, str]:
    return {found.one("dt").text: found.one("dd").text for found in part.one("dl", class_="facts").all("div")}


def test_the_power_from_the_grid_is_large_and_its_direction_in_words() -> None:
    power = _live().one("section", id="power")
    assert re.fullmatch(r"\d\.\d{3} \xa0kW", power.one("p", class_="big").text)
    assert power.one("p", class_="direction").text == "drawn from the grid"


def test_the_power_to_the_grid_has_no_sign_and_its_direction_in_words() -> None:
    power = _live(reading=reading_of(at=SUNNY)).one("section", id="power")
    assert re.fullmatch(r"\d\.\d{3} \xa0kW", power.one("p", class_="big").text)
    assert power.one("p", class_="direction").text == "fed into the grid"


@pytest.mark.parametrize("name", sorted(EVERY_KIND))
def test_every_kind_of_meter_has_a_view(name: str) -> None:
    reading = replace(reading_of(), telegram=EVERY_KIND[name])
    part = _live(reading=reading)
    assert part.one("section", id="power").text
    for table in part.all("table"):
        widths = {len(row.children) - row.children.count("\n") for row in table.all("tr")}
        assert len(widths) == 1


@pytest.mark.parametrize("language", ["en", "fr", "de"])
def test_no_value_is_apart_from_its_unit(language: str) -> None:
    part = _live(language, reading=reading_of(MeterKind.BELGIUM, quarter=quarter_of()))
    assert not re.search(r"\d (kWh?|kvarh?|kVA|V|A|m³)\b", part.text)
    assert re.search(r"\d\xa0kWh", part.text)


def test_a_forecast_above_the_limit_is_a_warning_in_words() -> None:
    part = _live(reading=reading_of(quarter=quarter_of(energy=620.0, power=5_400)))
    assert "will exceed the reference power of 3\xa0kW" in part.one("div", id="warnings").text
    assert part.one("section", class_="exceeds").all("path", class_="meter-over")


def test_a_forecast_below_the_limit_is_no_warning() -> None:
    part = _live()
    assert part.one("div", id="warnings").text == ""
    assert "stays within the reference power of 3\xa0kW" in part.one("section", id="quarter").text


def test_the_limit_of_a_flemish_meter_is_called_the_peak_of_the_month() -> None:
    quarter = quarter_of(reference=None, limit=5_012.0)
    text = _live(reading=reading_of(quarter=quarter)).one("section", id="quarter").text
    assert "limit of 5.01\xa0kW, the peak of the month" in text


def test_the_gauge_is_there_in_words() -> None:
    gauge = _live().one("section", id="quarter").one("svg")
    assert gauge.attributes["aria-label"] == "Forecast 2.06\xa0kW, limit 3\xa0kW"


def test_the_quarter_hour_says_what_is_still_allowed() -> None:
    facts = _facts(_live().one("section", id="quarter"))
    # 3 kW for 900 s less 310 Wh, spread over the other 523 s.
    assert facts["Allowed until 19:00"] == "3.03\xa0kW"
    assert facts["So far"] == "0.310\xa0kWh"


@pytest.mark.parametrize("quarter", [quarter_of(energy=None), quarter_of(power=None)])
def test_without_a_forecast_there_is_no_gauge(quarter: RunningQuarter) -> None:
    assert _live(reading=reading_of(quarter=quarter)).all("section", id="quarter") == []


def test_a_meter_without_a_limit_has_a_gauge_without_one() -> None:
    quarter = quarter_of(reference=None, limit=None)
    part = _live(reading=reading_of(quarter=quarter)).one("section", id="quarter")
    assert part.all("path", class_="meter-limit") == []
    assert part.one("svg").attributes["aria-label"] == "Forecast 2.06\xa0kW"


def test_the_sums_of_day_month_and_year_are_there_with_the_peak_and_its_time() -> None:
    facts = _facts(_live().one("section", id="sums"))
    assert facts == {
        "Import today": "9.412\xa0kWh",
        "Export today": "3.208\xa0kWh",
        "Excess today": "0.250\xa0kWh",
        "Excess this month": "2.750\xa0kWh",
        "Excess this year": "41.000\xa0kWh",
        "Peak this month (Tue 17 Nov 2026, 18:30)": "5.012\xa0kW",
    }


def test_sums_that_lack_time_say_so() -> None:
    totals = Totals(None, None, None, 9_412, None, 0.83, None)
    part = _live(reading=reading_of(quarter=quarter_of(totals=totals)))
    assert "83 % of the quarter hours are known" in part.one("section", id="sums").text


def test_missing_parts_of_phases_are_left_out() -> None:
    dutch = _live(reading=reading_of(MeterKind.NETHERLANDS)).one("section", id="phases")
    assert [head.text for head in dutch.one("thead").all("th")] == ["Phase", "Power", "Voltage", "Current"]
    old = next(found for found in EVERY_KIND.values() if not any(name.endswith("_l1") for name in found))
    assert _live(reading=replace(reading_of(), telegram=old)).all("section", id="phases") == []


def test_m_bus_devices_have_a_value_and_the_time_of_their_reading() -> None:
    rows = _live(reading=reading_of(MeterKind.BELGIUM)).one("section", id="devices").one("tbody").all("tr")
    cells = [[cell.text for cell in row.all() if cell.tag in {"th", "td"}] for row in rows]
    assert [cell[0] for cell in cells] == ["Gas (gas-0001)", "Water (water-0001)"]
    assert all(re.fullmatch(r"\d+\.\d{3}\xa0m³ 18:\d\d", " ".join(cell[1:])) for cell in cells)


@pytest.mark.parametrize("security", list(Security))
def test_it_says_in_words_how_far_a_reading_is_proven(security: Security) -> None:
    reading = reading_of()
    changed = replace(reading, telegram=replace(reading.telegram, security=security))
    text = _live(reading=changed).one("section", id="power").text
    words = {
        Security.AUTHENTICATED: "and verified",
        Security.UNAUTHENTICATED: "but not verified",
        Security.PLAINTEXT: "Not encrypted",
    }
    assert words[security] in text


def test_a_reading_has_its_time_and_its_age() -> None:
    text = _live(reading=reading_of(at=NOW - 12)).one("section", id="power").text
    assert "Reading of 18:51:08, 12 s ago" in text


def test_a_silent_meter_is_never_shown_as_the_present() -> None:
    part = _live(reading=reading_of(at=NOW - 4_000), availability=Availability.SILENT)
    power = part.one("section", id="power")
    assert "is silent: nothing has arrived since 17:44:40" in part.one("div", id="warnings").text
    assert power.one("h2").text == "Last known power"
    assert power.one("p", class_="direction").text.startswith("was ")
    assert power.fits("section", {"class_": "is-old"})
    assert part.all("section", id="quarter") == []


@pytest.mark.parametrize(("hours", "is_shown"), [(18, True), (19, False)])
def test_the_sums_of_a_meter_that_is_silent_since_yesterday_are_not_those_of_today(
    hours: int, *, is_shown: bool
) -> None:
    """`NOW` is 18:51."""
    at = NOW - hours * 3600
    part = _live(reading=reading_of(at=at, quarter=quarter_of(at)), availability=Availability.SILENT)
    assert bool(part.all("section", id="sums")) == is_shown


def test_a_meter_that_was_never_heard_has_no_value() -> None:
    part = _live(reading=None, availability=Availability.SILENT)
    assert "Nothing has arrived from this meter since the gateway started" in part.text
    assert part.all("section") == []


def test_a_meter_that_may_still_send_is_no_warning() -> None:
    part = _live(reading=None)
    assert "The first telegram has not arrived yet" in part.text
    assert part.all("p", class_="warning") == []


def test_a_meter_whose_frames_are_only_forwarded_has_no_value_and_says_who_can_read_it() -> None:
    part = _live(reading=None, availability=Availability.ONLINE)
    assert "Only the pool can read them" in part.text
    assert part.all("section") + part.all("p", class_="warning") == []


def test_a_meter_that_is_only_in_the_history_says_so(tmp_path: Path) -> None:
    write_history(tmp_path, "barn", boundaries(NOW - NOW % 900 - 9_000, 10))
    with view_of(gateway_now(meter_now("house")), folder=tmp_path) as view:
        part = document(live_part(view, shown(view, "barn")))
    assert "does not read this meter now. Its history ends at 18:45" in part.text


def test_rejections_lead_to_the_view_that_explains_them() -> None:
    assert "The view Meters says why" in _live(troubles=("authentication",)).one("div", id="warnings").text


def _now(curve: PowerCurve, folder: Path | None = None, hours: int = 24) -> Element:
    with view_of(gateway_now(meter_now("house", reading_of())), folder=folder) as view:
        return document(now_page(view, shown(view), curve, hours))


def _hours(page: Element) -> list[list[str]]:
    rows = page.one("section", id="recent").one("tbody").all("tr")
    return [[cell.text for cell in row.all() if cell.tag in {"th", "td"}] for row in rows]


def test_the_hours_of_the_picture_stand_in_a_table_the_newest_first() -> None:
    rows = _hours(_now(curve_of([1_000] * 360 + [-2_000, 4_000] * 180)))
    assert rows[0][0] == "Sat\N{NO-BREAK SPACE}18:00"
    assert rows[0][2:] == ["\N{MINUS SIGN}2.000", "4.000"]
    assert rows[-1] == ["Sat\N{NO-BREAK SPACE}16:00", *["1.000"] * 3]


def test_before_the_memory_begins_the_history_fills_in(tmp_path: Path) -> None:
    """Quarter hours of 100 Wh are 400 W."""
    write_history(tmp_path, "house", boundaries(NOW - NOW % 900 - 96 * 900, 96, energy=100, export=25))
    rows = _hours(_now(curve_of([1_000] * 360), tmp_path))
    assert rows[-1][1:] == ["0.300"] * 3
    assert len(rows) >= 24


def _points(folder: Path, curve: PowerCurve) -> list[tuple[int, float | None]]:
    with view_of(gateway_now(meter_now("house", reading_of())), folder=folder) as view:
        return points_of(view, shown(view), curve, 24)


def test_the_mean_of_an_hour_counts_each_power_for_its_time(tmp_path: Path) -> None:
    """Half an hour of the history, 2 kW, and half an hour of the memory, 1 kW."""
    hour = second_of("2026-11-21T17:00")
    write_history(tmp_path, "house", boundaries(hour, 2, energy=500))
    curve = PowerCurve(hour + 1800, 10, [1_000] * 180)
    assert _hours(_now(curve, tmp_path)) == [["Sat\N{NO-BREAK SPACE}17:00", "1.500", "1.000", "2.000"]]


def test_a_gap_between_history_and_memory_is_not_drawn_over(tmp_path: Path) -> None:
    """The gateway was off; its first quarter hour after the start is not over."""
    off = second_of("2026-11-21T14:00")
    write_history(tmp_path, "house", boundaries(off - 3600, 4))
    points = _points(tmp_path, curve_of([1_000] * 30))
    assert points[7:9] == [(off - 1, 400.0), (off, None)]
    assert points[9] == (NOW - 300, 1_000)


def test_the_oldest_quarter_hour_of_the_picture_is_there_from_its_left_edge(tmp_path: Path) -> None:
    write_history(tmp_path, "house", boundaries(NOW - NOW % 900 - 100 * 900, 100))
    assert _points(tmp_path, curve_of())[0] == (NOW - 24 * 3600, 400.0)


def test_the_history_of_a_meter_that_only_exports_is_in_the_picture(tmp_path: Path) -> None:
    begin = NOW - NOW % 900 - 900
    roof = [replace(one, registers=(None, *one.registers[1:])) for one in boundaries(begin, 1, export=100)]
    write_history(tmp_path, "house", roof)
    assert _points(tmp_path, curve_of())[0] == (begin, -400.0)


def test_the_hour_that_comes_twice_has_two_names() -> None:
    first = second_of("2026-10-25T02:00")
    with view_of(gateway_now()) as view:
        rows = hours_table(view, [(first, 1), (first + 3600, 2), (first + 7200, None)]).rows
    assert [row.cells[0] for row in rows] == [
        "Sun\N{NO-BREAK SPACE}02:00 +01:00",
        "Sun\N{NO-BREAK SPACE}02:00 +02:00",
    ]


def test_without_memory_and_history_there_is_no_picture() -> None:
    section = _now(curve_of()).one("section", id="recent")
    assert section.all("figure") == []
    assert "Nothing is known of these hours yet." in section.text


def test_the_choice_of_hours_says_which_one_is_shown() -> None:
    section = _now(curve_of([100] * 400), hours=48).one("section", id="recent")
    assert section.one("a", **{"aria-current": "true"}).text == "48 h"


def test_all_meters_stand_side_by_side_and_are_not_added_up() -> None:
    meters = [meter_now(name, reading_of(name=name, quarter=quarter_of())) for name in ("house", "barn")]
    with view_of(gateway_now(*meters)) as view:
        page = document(overview_page(view))
    assert [card.one("h2").text for card in page.all("section", class_="card")] == ["house", "barn"]
    assert len(page.all("p", class_="big")) == 2


def test_without_any_meter_the_first_page_says_so() -> None:
    with view_of(gateway_now()) as view:
        assert "No meter has been heard yet." in overview_page(view)


def test_other_values_are_folded_and_in_words() -> None:
    section = _live().one("section", id="telegram")
    assert "open" not in section.one("details").attributes
    rows = {row.one("th").text: row.one("td").text for row in section.one("tbody").all("tr")}
    assert rows["Breaker"] == "connected"
    assert rows["Apparent power limit"] == "27.6\xa0kVA"
    assert re.fullmatch(r"[\d\u202f]+\.\d{3}\xa0kWh", rows["Energy import"])


def test_the_currents_of_all_phases_have_the_same_decimals() -> None:
    phases = _live(reading=reading_of(MeterKind.BELGIUM)).one("section", id="phases")
    currents = [row.all("td")[-1].text for row in phases.one("tbody").all("tr")]
    assert len({len(current.partition(".")[2]) for current in currents}) == 1
