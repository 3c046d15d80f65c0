"""The curve of power shows each peak, leaves gaps open, and stays small."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.charts.power import PowerPicture, power_svg
from tests.charts.test_picture import ENGLISH, NS, bars, texts, tooltips
from tests.support.histories import ZONE, second_of

LAST = second_of("2026-11-21T15:04")
STEP = 10

Point = tuple[int, float | None]


def curve(points: list[Point], hours: int = 24, level: int | None = None) -> PowerPicture:
    return PowerPicture("The last hours", points, LAST - hours * 3600, LAST, ZONE, level)


def drawn(picture: PowerPicture) -> str:
    return power_svg(picture, ENGLISH)


def steady(hours: int, power: float = 400) -> list[Point]:
    return [(time, power) for time in range(LAST - hours * 3600, LAST, STEP)]


def heights(svg: str, name: str) -> list[list[float]]:
    """Return the places from the top of each area of a series."""
    root = ET.fromstring(svg)  # noqa: S314 - our own
    (group,) = (node for node in root.iter(f"{NS}g") if node.get("class") == name)
    areas = [area for path in group for area in path.get("d", "").split("Z") if area]
    return [[float(number) for number in re.findall(r"[\d.]+", area)[1:-1:2]] for area in areas]


def test_a_peak_of_ten_seconds_is_as_high_as_it_was() -> None:
    points = steady(24)
    points[4000] = (points[4000][0], 8000)
    (line,) = heights(drawn(curve(points)), "import")
    (flat,) = heights(drawn(curve([*steady(24)[:-1], (LAST, 8000)])), "import")
    assert min(line) == min(flat)


def test_import_and_export_are_areas_of_their_own_that_meet_at_zero() -> None:
    points = [(time, power if power is None else power - 1000 * (place % 2)) for place, (time, power) in
              enumerate(steady(1))]  # fmt: skip
    svg = drawn(curve(points))
    above, below = heights(svg, "import"), heights(svg, "export")
    zero = max(max(line) for line in above)
    assert zero == min(min(line) for line in below)
    assert {line[-1] for line in [*above[:-1], *below[:-1]]} == {zero}


def test_a_gap_stays_open() -> None:
    points = steady(24)
    points[1000] = (points[1000][0], None)
    assert len(heights(drawn(curve(points)), "import")) == 2


def test_a_step_is_drawn_as_one() -> None:
    """The caller sends the begin and the end of each quarter hour, as far as only these are known."""
    first = LAST - LAST % 900 - 3600
    svg = drawn(curve([(first, 500), (first + 899, 500), (first + 900, 2000), (first + 1799, 2000)]))
    (line,) = heights(svg, "import")
    assert len(set(line)) == 2
    assert [text.splitlines()[1:] for text in tooltips(svg)] == [
        ["net power: 0.500\u00a0kW"], ["net power: 2.000\u00a0kW"],
    ]  # fmt: skip


def test_a_tooltip_has_the_extremes_of_a_quarter_hour() -> None:
    points = steady(24)
    points[-30] = (points[-30][0], 8000)
    found = tooltips(drawn(curve(points)))
    assert found[-1].splitlines() == ["15:00\u201315:15", "net power: 0.400\u00a0kW"]
    assert found[-2].splitlines()[0] == "14:45\u201315:00"
    assert found[-2].splitlines()[1:] == ["highest: 8.000\u00a0kW", "lowest: 0.400\u00a0kW"]


def test_a_curve_is_small_and_has_no_style_of_its_own_in_a_page() -> None:
    points: list[Point] = [(time, place * 7919 % 12_000 - 6000) for place, (time, _) in enumerate(steady(48))]
    svg = drawn(curve(points, 48, level=3000))
    assert len(svg.encode()) < 64_000
    assert "style=" not in svg
    assert "<style" not in svg


def test_the_level_is_a_line() -> None:
    svg = drawn(curve(steady(24), level=3000))
    assert "3 kW" in texts(svg)
    assert 'class="level"' in svg


def test_hours_are_local_and_midnight_names_the_day() -> None:
    found = [text for text in texts(drawn(curve(steady(24)))) if ":" in text or "21" in text]
    assert found == ["18:00", "21:00", "Sat 21", "03:00", "06:00", "09:00", "12:00"]


def test_a_simulated_curve_says_so() -> None:
    assert "The last hours (simulated)" in texts(drawn(replace(curve([]), is_simulated=True)))


@given(st.lists(st.tuples(st.integers(-100, 7300), st.none() | st.floats(-50_000, 50_000)), max_size=40))
def test_any_points_make_a_picture(points: list[tuple[int, float | None]]) -> None:
    shown = [(LAST - 7200 + time, power) for time, power in sorted(points, key=lambda point: point[0])]
    svg = drawn(curve(shown, 2))
    assert "nan" not in svg
    assert len(bars(svg, "spans")) <= 13
