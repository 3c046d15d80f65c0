"""Pictures show what the rows say, load nothing from elsewhere, and follow the reader's colours."""

import re
from dataclasses import replace
from itertools import pairwise
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from smarty_gateway.charts.picture import Picture, PictureError, to_png, to_svg
from smarty_gateway.charts.style import STYLE
from smarty_gateway.history.local_time import begin_of
from smarty_gateway.history.rows import By, Row
from smarty_gateway.languages.language import language_of
from tests.support.histories import ZONE, second_of

ENGLISH: Final = language_of("en")
NS: Final = "{http://www.w3.org/2000/svg}"


def quarters(day: str, next_day: str, *, energy: int = 900) -> Picture:
    first, last = second_of(day), second_of(next_day)
    rows = [
        Row(start, start + 900, energy, 100, 900, None, max(0.0, energy - 750), complete=True, covered=1.0)
        for start in range(first, last, 900)
    ]
    return Picture(f"house, {day}", rows, first, last, By.QUARTER, ZONE, level=3000)


def tooltips(svg: str) -> list[str]:
    return [area.findtext(f"{NS}title", "") for area in bars(svg, "spans")]


AUTUMN = quarters("2026-10-25", "2026-10-26")


def bars(svg: str, name: str) -> list[ET.Element]:
    """Return the bars of a series."""
    root = ET.fromstring(svg)  # noqa: S314 - our own
    groups = [group for group in root.iter(f"{NS}g") if group.get("class") == name]
    return [rect for group in groups for rect in group.iter(f"{NS}rect")]


def texts(svg: str) -> list[str]:
    root = ET.fromstring(svg)  # noqa: S314 - our own
    return [node.text for node in root.iter(f"{NS}text") if node.text]


@pytest.mark.parametrize(
    ("day", "next_day", "count"),
    [("2026-03-29", "2026-03-30", 92), ("2026-07-01", "2026-07-02", 96), ("2026-10-25", "2026-10-26", 100)],
)
def test_a_day_has_a_bar_for_each_quarter_hour(day: str, next_day: str, count: int) -> None:
    svg = to_svg(quarters(day, next_day))
    assert [len(bars(svg, name)) for name in ("import", "excess", "export")] == [count] * 3
    assert len({rect.get("x") for rect in bars(svg, "import")}) == count


def test_labels_keep_their_distance_where_clocks_are_set_forward() -> None:
    labels = [text for text in texts(to_svg(quarters("2026-03-29", "2026-03-30"))) if ":" in text]
    assert labels == ["00:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"]


def test_nothing_is_loaded_and_nothing_runs() -> None:
    svg = to_svg(AUTUMN)
    assert "<script" not in svg
    assert re.findall(r"(?:https?:)?//[^\s\"<]+", svg) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"@import|url\(|\bon\w+=|href=", svg)


def test_the_same_rows_give_the_same_picture() -> None:
    assert to_svg(AUTUMN) == to_svg(AUTUMN)


def test_colours_follow_dark_mode_and_each_rule_stays_inside_the_picture() -> None:
    style = ET.fromstring(to_svg(AUTUMN)).find(f".//{NS}style")  # noqa: S314 - our own
    assert style is not None
    assert style.text is not None
    assert "@media screen and (prefers-color-scheme:dark)" in style.text
    selectors = re.findall(r"(?:^|[{}])([^@{}]+)\{", style.text)
    assert selectors
    assert [selector for selector in selectors if not selector.startswith(".smarty-picture")] == []


def test_import_ends_at_the_level_where_excess_goes_on() -> None:
    """900 Wh in a quarter hour are 3.6 kW, of which 3 kW are below the level."""
    svg = to_svg(AUTUMN)
    excess, normal = (float(bars(svg, name)[0].get("height", "")) for name in ("excess", "import"))
    assert excess / normal == pytest.approx(3.6 / 3)


def test_a_gap_is_a_band_as_wide_as_it_was_long() -> None:
    rows = list(AUTUMN.rows)
    gap = Row(rows[40].start, rows[47].end, 7200, 0, 7200, None, None, complete=False, covered=0.0)
    svg = to_svg(replace(AUTUMN, rows=[*rows[:40], gap, *rows[48:]]))
    (band, _), bar = bars(svg, "unknown"), bars(svg, "import")[0]
    assert float(band.get("width", "")) == pytest.approx(8 * float(bar.get("width", "")) / 0.86)
    assert len(bars(svg, "import")) == 92


def test_a_gap_that_goes_on_behind_the_picture_ends_with_it() -> None:
    rows = list(AUTUMN.rows)
    gap = Row(rows[96].start, AUTUMN.last + 90_000, 7200, 0, 93_600, None, None, complete=False, covered=0.0)
    svg = to_svg(replace(AUTUMN, rows=[*rows[:96], gap]))
    (band, _), bar = bars(svg, "unknown"), bars(svg, "import")[0]
    assert float(band.get("width", "")) == pytest.approx(4 * float(bar.get("width", "")) / 0.86, rel=0.01)


def test_a_simulated_meter_is_marked_in_the_title() -> None:
    assert "house, 2026-10-25 (simulated)" in texts(to_svg(replace(AUTUMN, is_simulated=True)))


def test_the_words_and_numbers_are_those_of_the_language() -> None:
    svg = to_svg(replace(AUTUMN, level=2500), language_of("de"))
    assert {"Bezug", "über 2,5 kW", "Einspeisung"} <= set(texts(svg))
    assert "Bezug: 3,600\u00a0kW" in tooltips(svg)[0]


def test_a_year_stands_before_the_one_before() -> None:
    def year(number: int) -> list[Row]:
        begins = [second_of(f"{number}-{month:02}-01") for month in range(1, 13)] + [
            second_of(f"{number + 1}-01-01")
        ]
        return [
            Row(begin, end, 300_000, 0, end - begin, None, None, complete=True, covered=1.0)
            for begin, end in pairwise(begins)
        ]

    first = second_of("2026-01-01")
    picture = Picture(
        "house, 2026", year(2026), first, second_of("2027-01-01"), By.MONTH, ZONE,
        previous=year(2025), previous_first=second_of("2025-01-01"),
    )  # fmt: skip
    svg = to_svg(picture)
    assert len(bars(svg, "previous")) == len(bars(svg, "import")) == 12
    assert "2025" in texts(svg)
    assert [text for text in texts(svg) if text in ENGLISH.months()] == list(ENGLISH.months())
    assert svg.index('class="previous"') < svg.index('class="import"')


def test_the_day_before_is_drawn_at_the_same_local_times() -> None:
    """On 29 March 2026 there is no hour from 02:00; the day before has 96 quarter hours, this one 92."""
    today, before = quarters("2026-03-29", "2026-03-30"), quarters("2026-03-28", "2026-03-29", energy=400)
    svg = to_svg(
        replace(today, previous=before.rows, previous_first=before.first, previous_title="yesterday")
    )
    assert "yesterday" in texts(svg)
    assert tooltips(svg)[-1].splitlines()[0] == "23:45\u201300:00"
    last, behind = bars(svg, "import")[-1], bars(svg, "previous")[-1]
    middles = [float(bar.get("x", "")) + float(bar.get("width", "")) / 2 for bar in (last, behind)]
    assert middles[0] == pytest.approx(middles[1])
    assert "yesterday: 1.600\u00a0kW" in tooltips(svg)[-1]


def test_what_is_still_to_come_shows_the_day_before() -> None:
    today, before = quarters("2026-07-02", "2026-07-03"), quarters("2026-07-01", "2026-07-02", energy=400)
    running = replace(today, rows=today.rows[:40], previous=before.rows, previous_title="yesterday")
    found = tooltips(to_svg(replace(running, previous_first=before.first)))
    assert len(found) == 96
    assert found[40].splitlines() == ["10:00\u201310:15", "yesterday: 1.600\u00a0kW"]


def test_a_longer_month_ends_with_the_picture_of_a_shorter_one() -> None:
    def month(number: int, days: int) -> list[Row]:
        begins = [second_of(f"2026-{number:02}-{day:02}") for day in range(1, days + 1)]
        return [
            Row(begin, begin + 86_400, 300, 0, 86_400, None, None, complete=True, covered=1.0)
            for begin in begins
        ]

    first, last = second_of("2026-06-01"), second_of("2026-07-01")
    picture = Picture("house", month(6, 30), first, last, By.DAY, ZONE)
    longer = replace(picture, previous=month(5, 31), previous_first=second_of("2026-05-01"))
    assert len(bars(to_svg(longer), "previous")) == 30


def test_a_tooltip_has_the_time_and_the_values_of_its_span() -> None:
    assert tooltips(to_svg(quarters("2026-07-01", "2026-07-02")))[57].splitlines() == [
        "14:15\u201314:30", "import: 3.600\u00a0kW", "excess: 0.150\u00a0kWh", "export: 0.400\u00a0kW",
    ]  # fmt: skip


def test_times_in_the_hour_that_comes_twice_have_their_zone() -> None:
    assert [text.splitlines()[0] for text in tooltips(to_svg(AUTUMN))[7:17]] == [
        "01:45\u201302:00 CEST", "02:00 CEST\u201302:15 CEST", "02:15 CEST\u201302:30 CEST",
        "02:30 CEST\u201302:45 CEST", "02:45 CEST\u201302:00 CET", "02:00 CET\u201302:15 CET",
        "02:15 CET\u201302:30 CET", "02:30 CET\u201302:45 CET", "02:45 CET\u201303:00", "03:00\u201303:15",
    ]  # fmt: skip


def test_the_tooltip_of_a_gap_names_what_is_known() -> None:
    rows = list(AUTUMN.rows)
    gap = Row(rows[40].start, rows[47].end, 7200, None, 7200, None, None, complete=False, covered=0.0)
    found = tooltips(to_svg(replace(AUTUMN, rows=[*rows[:40], gap, *rows[48:]])))
    assert found[40].splitlines() == [
        "Sun 25 Oct 2026, 09:00 \u2013 Sun 25 Oct 2026, 11:00", "unknown", "import: 7.200\u00a0kWh",
    ]  # fmt: skip


def test_a_tooltip_of_a_longer_span_names_its_date_and_what_is_missing() -> None:
    row = Row(AUTUMN.first, AUTUMN.last, 12_345, None, 80_000, None, None, complete=False, covered=0.999)
    expected = {
        By.DAY: ["Sun 25 Oct 2026", "import: 12.35\u00a0kWh", "coverage: 99\u00a0%"],
        By.MONTH: ["October 2026", "import: 12.3\u00a0kWh", "coverage: 99\u00a0%"],
        By.YEAR: ["2026", "import: 12\u00a0kWh", "coverage: 99\u00a0%"],
    }
    for by, lines in expected.items():
        first = begin_of(by, row.start, ZONE)
        picture = Picture("house", [replace(row, start=first)], first, row.end, by, ZONE)
        assert tooltips(to_svg(picture))[0].splitlines() == lines


def test_tooltips_cover_all_of_the_time_without_a_hole() -> None:
    areas = bars(to_svg(AUTUMN), "spans")
    edges = [(float(area.get("x", "")), float(area.get("width", ""))) for area in areas]
    assert all(x + width == pytest.approx(after) for (x, width), (after, _) in pairwise(edges))


def test_a_page_styles_its_pictures_itself() -> None:
    """A Content-Security-Policy forbids styles in the page."""
    svg = to_svg(AUTUMN, with_style=False)
    assert "<style" not in svg
    assert " style=" not in svg
    for name in ("import", "export", "excess", "spans"):
        assert f".smarty-picture .{name}{{" in STYLE


def test_a_picture_has_a_name_and_a_description() -> None:
    root = ET.fromstring(to_svg(AUTUMN))  # noqa: S314 - our own
    assert root.get("role") == "img"
    assert root.findtext(f"{NS}title") == "house, 2026-10-25"
    assert (
        root.findtext(f"{NS}desc")
        == "Mean power of each quarter hour in kW: import above zero, export below."
    )


@pytest.mark.parametrize("name", ["a day", "a rather long name of something"])
def test_all_names_of_the_legend_are_inside_the_picture(name: str) -> None:
    gap = replace(AUTUMN.rows[0], import_=None)
    picture = replace(AUTUMN, rows=[gap, *AUTUMN.rows[1:]], previous=AUTUMN.rows)
    svg = to_svg(replace(picture, previous_first=AUTUMN.first, previous_title=name))
    root = ET.fromstring(svg)  # noqa: S314 - our own
    legends = next(node for node in root.iter(f"{NS}g") if node.get("class") == "legends")
    offset = float(re.findall(r"[\d.]+", legends.get("transform", ""))[1])
    found = [offset + float(text.get("y", "")) for text in legends.iter(f"{NS}text")]
    assert len(found) == 5
    assert max(found) < 360


def test_energies_are_kwh_and_quarter_hours_kw() -> None:
    assert "3 kW" in texts(to_svg(AUTUMN))
    assert any(text.endswith(" kWh") for text in texts(to_svg(replace(AUTUMN, by=By.HOUR, level=None))))


@pytest.mark.parametrize("by", list(By))
def test_a_stretch_without_any_row_is_an_empty_picture(by: By) -> None:
    svg = to_svg(replace(AUTUMN, rows=[], by=by, level=None))
    assert "house, 2026-10-25" in texts(svg)


def test_markup_in_a_name_is_text() -> None:
    svg = to_svg(replace(AUTUMN, title="<script>&amp;\x1b"))
    assert "<script" not in svg
    assert "<script>&amp;\\x1b" in texts(svg)


def test_a_picture_has_a_limit() -> None:
    with pytest.raises(PictureError, match="1200 bars do not fit"):
        to_svg(replace(AUTUMN, rows=[*AUTUMN.rows] * 12))


def test_a_png_is_1280_pixels_wide() -> None:
    png = to_png(to_svg(AUTUMN))
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20], "big") == 1280
