"""The live table shows whole values, units and times, in a window of any size, for every kind of meter."""

import io
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from rich.cells import cell_len
from rich.console import Console

from smarty_gateway.outputs import live_table
from smarty_gateway.outputs.labels import label_of
from smarty_gateway.outputs.live_table import LiveTable
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from tests.support.commands import LIMIT
from tests.support.every_meter import EVERY_KIND, measured, times
from tests.support.streams import read, telegrams
from vectors.building_blocks import telegram as text_of

NOON = datetime(2026, 6, 21, 11, 0, tzinfo=UTC)
WIDTHS = (*range(40, 161, 9), 77, 78, 80, 100, 117, 118, 120, 160)
HEIGHTS = (6, 24, 70)
#: What people look for, as a second opinion on the table of the live view.
LOOKED_FOR = re.compile(
    r"(power|energy)_(import|export)|energy_(import|export)_tariff_\d|energy_combined|demand_import"
    r"|peak_demand_month|(power_import|power_export|voltage|current)_l\d|.*(gas|water|heat|cold|electricity_).*"
)
WITH_UNIT = re.compile(r"(?<!\S)\S+ (?:kWh|kW|V|A|m³|GJ|MJ)(?!\S)")
TIME = re.compile(r"\d+-\d+-\S* \S*:\S*")


def drawn(
    meters: Mapping[str, MeterTelegram],
    width: int,
    height: int,
    health: Mapping[str, Health] | None = None,
    note: str | None = None,
) -> list[str]:
    """Return the lines that the live table leaves in a window."""
    file = io.StringIO()
    table = LiveTable(Console(file=file, width=width, height=height, color_system=None), note)
    for name, telegram in meters.items():
        table.publish(Reading(name, telegram, datetime.now(UTC)))
    table.report(health or {}, GatewayHealth(counters_kept=True, outputs={}))
    table.start()
    table.stop(LIMIT)
    assert table.failure is None
    return file.getvalue().splitlines()


def simulated(*kinds: MeterKind) -> dict[str, MeterTelegram]:
    """Return a telegram of each of some simulated meters, by their names."""
    return {
        f"meter {number} in {kind}": telegrams(read(SimulatedMeter(kind, number).telegram(NOON)))[0]
        for number, kind in enumerate(kinds, 1)
    }


DEMO = simulated(MeterKind.LUXEMBOURG, MeterKind.LUXEMBOURG, MeterKind.BELGIUM)


def is_whole(value: str, lines: Iterable[str]) -> bool:
    return any(re.search(rf"(?<!\S){re.escape(value)}(?!\S)", line) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("kind", EVERY_KIND)
def test_no_value_unit_or_time_is_cut_at_any_size(kind: str) -> None:
    telegram = EVERY_KIND[kind]
    values = measured(telegram)
    wanted = {value for name, value in values.items() if LOOKED_FOR.fullmatch(name)}
    for width in WIDTHS:
        for height in HEIGHTS:
            lines = drawn({"house": telegram}, width, height)
            assert len(lines) < height
            assert max(map(cell_len, lines)) <= width
            shown = {value for line in lines for value in WITH_UNIT.findall(line)}
            assert shown <= set(values.values())
            assert {time for line in lines for time in TIME.findall(line)} <= times(telegram)
            if height == HEIGHTS[-1]:
                assert wanted <= shown
                assert not any("more value" in line for line in lines)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_unit_stands_behind_its_value_and_a_label_before_it(kind: str) -> None:
    telegram = EVERY_KIND[kind]
    for width in WIDTHS:
        lines = drawn({"house": telegram}, width, HEIGHTS[-1])
        for name, value in measured(telegram).items():
            if LOOKED_FOR.fullmatch(name) and not re.search(r"_l\d$", name):
                assert any(re.fullmatch(rf"{label_of(name)} +{re.escape(value)} *", line) for line in lines)


def test_values_are_shown_as_the_meter_wrote_them() -> None:
    text = text_of("FLU5", "1-0:1.7.0(00.047*kW)", "1-0:1.8.1(009945.327*kWh)", "1-0:32.7.0(230.8*V)")
    lines = drawn({"house": telegrams(read(text))[0]}, 40, 24)
    assert all(is_whole(value, lines) for value in ("0.047 kW", "9945.327 kWh", "230.8 V"))


def test_a_house_that_feeds_in_shows_import_and_export_of_each_phase() -> None:
    (telegram,) = simulated(MeterKind.LUXEMBOURG).values()
    record = telegram.as_object()
    lines = drawn({"house": telegram}, 40, 24)
    for phase in ("L1", "L2", "L3"):
        (line,) = (line for line in lines if line.startswith(phase))
        for name in ("power_import", "power_export"):
            assert is_whole(f"{record[f'{name}_{phase.lower()}']} kW", [line])
    assert record["power_export_l1"] > 0


def test_phases_that_are_too_wide_for_a_table_get_a_line_for_each_value() -> None:
    power, volts = "123456789.123", "123456789.12345"
    text = text_of("FLU5", f"1-0:21.7.0({power}*kW)", f"1-0:22.7.0({power}*kW)", f"1-0:32.7.0({volts}*V)")
    lines = drawn({"house": telegrams(read(text))[0]}, 40, 24)
    assert is_whole(f"{power} kW", [line for line in lines if line.startswith("Power export L1")])
    assert is_whole(f"{volts} V", [line for line in lines if line.startswith("Voltage L1")])


def test_a_label_that_leaves_no_room_for_its_value_stands_above_it() -> None:
    text = text_of("FLU5", "1-0:2.8.1(123456789.12345*kWh)")
    lines = drawn({"house": telegrams(read(text))[0]}, 40, 24)
    place = lines.index("Energy export tariff 1")
    assert lines[place + 1].strip() == "123456789.12345 kWh"


@pytest.mark.parametrize("width", WIDTHS)
def test_with_70_rows_every_meter_of_the_demo_is_shown_in_full(width: int) -> None:
    lines = drawn(DEMO, width, 70)
    for name, telegram in DEMO.items():
        assert any(name in line for line in lines)
        values = measured(telegram)
        assert all(is_whole(value, lines) for field, value in values.items() if LOOKED_FOR.fullmatch(field))
    assert not any("more value" in line for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_in_24_rows_each_meter_of_the_demo_appears_and_what_is_missing_is_counted(width: int) -> None:
    lines = drawn(DEMO, width, 24)
    assert len(lines) < 24
    for name, telegram in DEMO.items():
        assert any(name in line for line in lines)
        assert is_whole(measured(telegram)["power_import"], lines)
    is_cut = not all(any("Meter time" in part for part in lines) for _ in DEMO)
    assert any("more value" in line for line in lines) or not is_cut


def test_hidden_values_are_counted() -> None:
    (telegram,) = simulated(MeterKind.BELGIUM).values()
    whole = drawn({"house": telegram}, 60, 70)
    for height in range(5, len(whole) + 1):
        lines = drawn({"house": telegram}, 60, height)
        (hidden,) = (int(found[1]) for line in lines if (found := re.match(r"(\d+) more values?\b", line)))
        missing = [
            line for line in whole if line not in lines and not line.startswith(("──", "plaintext", "1 "))
        ]
        phases = [line for line in missing if re.match(r"L\d", line)]
        heads = [line for line in missing if line.split()[0] == "Import"]
        assert hidden == len(missing) - len(heads) + 3 * len(phases)


def test_more_meters_than_fit_are_shown_on_pages_that_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    meters = simulated(*[MeterKind.LUXEMBOURG] * 30)
    seen: set[str] = set()
    for now in range(0, 60, 5):
        monkeypatch.setattr(live_table, "time", SimpleNamespace(monotonic=lambda: now))  # noqa: B023 - used at once
        lines = drawn(meters, 80, 24)
        assert len(lines) < 24
        assert re.fullmatch(r"meters \d+ to \d+ of 30, more follow", lines[-1])
        seen |= {name for name in meters if any(f" {name} " in line for line in lines)}
    assert seen == set(meters)


def test_one_telegram_is_not_called_telegrams_nor_none() -> None:
    (telegram,) = simulated(MeterKind.BELGIUM).values()
    shown = "\n".join(drawn({"house": telegram}, 60, 50, {"house": Health(telegrams=0)}))
    assert re.search(r"\b1 telegram\b(?!s)", shown)
    assert "0 telegrams" not in shown


def test_what_goes_wrong_is_shown_with_the_meter() -> None:
    (telegram,) = simulated(MeterKind.BELGIUM).values()
    health = Health(telegrams=7, rejected={"checksum": 2}, noise_bytes=1, reconnects=3)
    for height in (10, 50):
        shown = "\n".join(drawn({"house": telegram}, 100, height, {"house": health}))
        assert "2 rejected" in shown
    assert all(words in shown for words in ("7 telegrams", "1 byte of noise", "3 reconnects"))


def test_a_name_from_anywhere_cannot_take_over_the_terminal() -> None:
    name = "\x1b]0;owned\x07" + "x" * 200
    (telegram,) = simulated(MeterKind.BELGIUM).values()
    lines = drawn({name: telegram}, 40, 24)
    assert "\x1b" not in "".join(lines)
    assert max(map(len, lines)) <= 40


@pytest.mark.parametrize(("width", "height"), [(1, 3), (4, 2), (10, 3), (37, 24), (160, 2)])
def test_a_window_that_is_too_small_is_no_reason_to_fail(width: int, height: int) -> None:
    assert len(drawn(DEMO, width, height)) <= height


def test_before_the_first_telegram_it_says_what_it_waits_for() -> None:
    assert drawn({}, 80, 24) == ["waiting for the first telegram"]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("meters", [{}, DEMO], ids=["before the first telegram", "with meters"])
def test_a_note_is_the_last_line_in_a_window_of_any_size(
    meters: Mapping[str, MeterTelegram], width: int
) -> None:
    note = "the page is at http://127.0.0.1:8300/"
    lines = drawn(meters, width, 24, note=note)
    assert lines[-1].rstrip() == note
    assert len(lines) < 24


def test_a_meter_that_is_forgotten_disappears() -> None:
    file = io.StringIO()
    table = LiveTable(Console(file=file, width=80, height=24, color_system=None))
    for name, telegram in DEMO.items():
        table.publish(Reading(name, telegram, datetime.now(UTC) - timedelta(seconds=5)))
    gone, *rest = DEMO
    table.forget(gone)
    table.start()
    table.stop(LIMIT)
    assert gone not in file.getvalue()
    assert all(name in file.getvalue() for name in rest)


class CountingFile(io.StringIO):
    """A terminal that knows when it was written to often enough."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self._left = writes
        self.is_enough = threading.Event()

    def write(self, text: str) -> int:
        """Count."""
        self._left -= 1
        if not self._left:
            self.is_enough.set()
        return len(text)


def test_readings_that_arrive_while_it_is_drawn_do_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_table, "_REFRESH_SECONDS", 0)
    (telegram,) = simulated(MeterKind.BELGIUM).values()
    readings = [Reading(f"meter {number}", telegram, datetime.now(UTC)) for number in range(5)]
    file, interval = CountingFile(30), sys.getswitchinterval()
    table = LiveTable(Console(file=file, width=80, height=70, force_terminal=True))
    for reading in readings * 1000:
        table.publish(reading)
    sys.setswitchinterval(1e-5)
    try:
        table.start()
        while not file.is_enough.is_set() and table.failure is None:
            table.publish(readings[0])
            table.publish(readings[-1])
    finally:
        sys.setswitchinterval(interval)
        table.stop(LIMIT)
    assert table.failure is None
