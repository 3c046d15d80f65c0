"""Pictures show what the rows say, load nothing from elsewhere, and follow the reader's colours."""

import re
from dataclasses import replace
from itertools import pairwise
from typing import Final
from xml.etree import ElementTree as ET

import pytest

from smarty_gateway.charts.picture import Picture, PictureError, to_png, to_svg
from smarty_gateway.charts.words import Words
from smarty_gateway.history.rows import By, Row
from tests.support.histories import ZONE, second_of

NS: Final = "{http://www.w3.org/2000/svg}"


def quarters(day: str, next_day: str, *, energy: int = 900) -> Picture:
    first, last = second_of(day), second_of(next_day)
    rows = [
        Row(start, start + 900, energy, 100, 900, None, max(0.0, energy - 750), complete=True, covered=1.0)
        for start in range(first, last, 900)
    ]
    return Picture(f"house, {day}", rows, first, last, By.QUARTER, ZONE, level=3000)


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
    assert "@media (prefers-color-scheme:dark)" in style.text
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


def test_words_of_another_language_replace_the_english_ones() -> None:
    french = Words(import_="prélevé", over="au-delà de", export="injecté")
    assert {"prélevé", "au-delà de 3 kW", "injecté"} <= set(texts(to_svg(AUTUMN, french)))


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
    assert [text for text in texts(svg) if text in Words().months] == list(Words().months)
    assert svg.index('class="previous"') < svg.index('class="import"')


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
