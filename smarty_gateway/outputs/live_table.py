"""A table that updates in place: one block for each meter, with its values, rate and health.

Values, units and times are never cut, and a block is never wider or higher than its part of the window. Where
not everything fits, blocks lose their last lines and say how many values are not shown; where there are too
many meters, pages of them turn.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.text import Text

from smarty_gateway.logs import crash_of
from smarty_gateway.outputs.labels import label_of
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.outputs.table import SECURITY_STYLE, clock_time, flow, with_unit
from smarty_gateway.protocol.obis import BY_NAME
from smarty_gateway.safe_text import printable

#: Redrawn this often, which the eye takes for at once.
_REFRESH_SECONDS: Final = 0.25
#: Rates are of the last minute.
_RATE_SECONDS: Final = 60.0
#: How long a page of meters is shown.
_PAGE_SECONDS: Final = 5.0
#: What people look for first, in this order; `--format json` has the whole telegram.
_FIRST: Final = (
    "power_import", "power_export", "energy_import", "energy_export",
    *(f"energy_{way}_tariff_{number}" for way in ("import", "export") for number in range(1, 5)),
    "energy_combined", "tariff",
)  # fmt: skip
#: A column for each of these, a line for each phase.
_PHASE_COLUMNS: Final = (
    ("Import", "power_import"), ("Export", "power_export"), ("Voltage", "voltage"), ("Current", "current")
)  # fmt: skip
_PHASES: Final = ("l1", "l2", "l3")
#: Columns of a block: no table of phases fits into fewer, the eye gets lost in more, some in between is best.
_NARROWEST, _COMFORTABLE, _WIDEST = 38, 56, 60
_GAP: Final = 2
#: The lowest block: its title, power in both directions, and how many values are not shown.
_LOWEST: Final = 4
#: Of a block that is drawn to see how many lines it needs.
_NO_END: Final = sys.maxsize
#: Characters of a date and a time, without the offset.
_TIME_WIDTH: Final = 19


#: Label, value and unit.
_Row = tuple[str, str, str]


class _Line(NamedTuple):
    """A line of a block, and how many values are in it."""

    text: Text
    values: int


class _Block:
    """What is shown of one meter."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.health = Health()
        self._count = 0
        self._arrivals: deque[float] = deque(maxlen=1000)

    def take(self, reading: Reading) -> None:
        self.reading = reading
        self._count += 1
        self._arrivals.append(time.monotonic())

    def per_minute(self) -> float | None:
        """Return the rate of the telegrams of the last minute; None before there are two."""
        now = time.monotonic()
        recent = [at for at in list(self._arrivals) if at >= now - _RATE_SECONDS]
        return (len(recent) - 1) * 60 / (recent[-1] - recent[0]) if len(recent) > 1 else None

    def draw(self, width: int, height: int, rule: str) -> list[Text]:
        """Return the lines of the block, at most `height` of them."""
        title, lines = self._title(width, rule), _lines(self.reading, width)
        status = flow(self._status(), width)
        if 1 + len(lines) + len(status) <= height:
            return [title, *(line.text for line in lines), *status]
        shown = lines[: max(0, height - 2)]
        while shown and not shown[-1].values:
            shown.pop()
        hidden = _count(sum(line.values for line in lines[len(shown) :]), "more value")
        status = flow([Text(hidden, "bold"), *self._troubles(), *self._freshness()], width)
        return [title, *(line.text for line in shown), status[0]][:height]

    def _title(self, width: int, rule: str) -> Text:
        name, meter_id = printable(self.reading.meter), printable(self.reading.telegram.meter_id)
        title = Text.assemble(
            rule * 2, " ", (set_cell_size(name, min(cell_len(name), width - 4)), "bold"), " "
        )
        rest = width - title.cell_len
        if meter_id != name and cell_len(meter_id) + 5 <= rest:
            title.append(f"{rule * (rest - cell_len(meter_id) - 4)} {meter_id} {rule * 2}", "dim")
        else:
            title.append(rule * rest, "dim")
        return title

    def _status(self) -> Iterator[Text]:
        yield from self._freshness()
        if (rate := self.per_minute()) is not None:
            yield Text(f"{_count(round(rate), 'telegram')}/min", "dim")
        # The gateway reports the health once a second, which may be after the first telegrams.
        yield Text(_count(max(self._count, self.health.telegrams), "telegram"), "dim")
        yield from self._troubles()

    def _freshness(self) -> Iterator[Text]:
        security = self.reading.telegram.security
        yield Text(security.value, SECURITY_STYLE[security])
        age = (datetime.now(UTC) - self.reading.received).total_seconds()
        yield Text(f"the last {max(0.0, age):.0f} s ago", "dim")

    def _troubles(self) -> Iterator[Text]:
        if rejected := sum(self.health.rejected.values()):
            yield Text(f"{rejected} rejected", "red")
        if self.health.reconnects:
            yield Text(_count(self.health.reconnects, "reconnect"), "yellow")
        if self.health.noise_bytes:
            yield Text(f"{_count(self.health.noise_bytes, 'byte')} of noise", "dim")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _lines(reading: Reading, width: int) -> list[_Line]:
    """Return what is shown of a telegram, the most important first."""
    decoded = reading.telegram.decoded
    rows, times = list(_rows(decoded.fields, decoded.devices)), list(_times(decoded.fields, decoded.devices))
    phases = list(_phase_lines(decoded.fields, width))
    if not phases:
        rows += _phase_rows(decoded.fields)
    units = max((cell_len(unit) for _, _, unit in rows), default=0)
    return [
        *(line for row in rows for line in _row_lines(row, units, width)),
        *phases,
        *(line for row in times for line in _row_lines(row, units, width)),
    ]


def _rows(fields: Mapping[str, Any], devices: Mapping[str, Any]) -> Iterator[_Row]:
    for name in _FIRST:
        if name in fields:
            yield _field_row(name, fields[name])
    for name, device in devices.items():
        if "value" in device:
            yield label_of(name), printable(device["value"]), printable(device.get("unit", ""))
    if "demand_import" in fields:
        yield _field_row("demand_import", fields["demand_import"])
    if "peak_demand_month" in fields:
        yield _field_row("peak_demand_month", fields["peak_demand_month"]["value"])


def _times(fields: Mapping[str, Any], devices: Mapping[str, Any]) -> Iterator[_Row]:
    if "peak_demand_month" in fields:
        yield "Peak demand at", _moment(fields["peak_demand_month"]["timestamp"]), ""
    for name, device in devices.items():
        if "value" in device and "timestamp" in device:
            yield f"{label_of(name)} read at", _moment(device["timestamp"]), ""
    if "timestamp" in fields:
        yield label_of("timestamp"), _moment(fields["timestamp"]), ""


def _phase_lines(fields: Mapping[str, Any], width: int) -> Iterator[_Line]:
    """Yield a table of the phases; nothing if it is too wide."""
    columns = [
        [head, *(_phase_value(fields, f"{name}_{phase}") for phase in _PHASES)]
        for head, name in _PHASE_COLUMNS
        if any(f"{name}_{phase}" in fields for phase in _PHASES)
    ]
    widths = [max(map(len, column)) for column in columns]
    if not columns or 2 + sum(widths) + len(widths) > width:
        return
    apart = min(3, (width - 2 - sum(widths)) // len(widths))
    for phase, *cells in zip(("", "L1", "L2", "L3"), *columns, strict=True):
        if not phase or any(cells):
            padded = (cell.rjust(apart + wide) for cell, wide in zip(cells, widths, strict=True))
            style = "" if phase else "dim"
            yield _Line(Text(f"{phase:2}{''.join(padded)}", style), sum(map(bool, cells)) if phase else 0)


def _phase_rows(fields: Mapping[str, Any]) -> Iterator[_Row]:
    for _, name in _PHASE_COLUMNS:
        for phase in _PHASES:
            if (full := f"{name}_{phase}") in fields:
                yield _field_row(full, fields[full])


def _field_row(name: str, value: object) -> _Row:
    return label_of(name), printable(value), BY_NAME[name].quantity.unit or ""


def _phase_value(fields: Mapping[str, Any], name: str) -> str:
    return f"{fields[name]} {BY_NAME[name].quantity.unit}" if name in fields else ""


def _row_lines(row: _Row, units: int, width: int) -> Iterator[_Line]:
    """Yield a row as one line, or as more where the label leaves too little room for the value."""
    label, value, unit = row
    cell = with_unit(value, unit, units)
    space = width - cell_len(label) - cell_len(cell)
    if space > 0:
        yield _Line(Text(f"{label}{' ' * space}{cell}"), 1)
        return
    yield _Line(Text(label), 0)
    *chunks, last = flow([Text(cell)], width)
    yield from (_Line(chunk, 0) for chunk in chunks)
    yield _Line(Text(" " * (width - last.cell_len)).append_text(last), 1)


def _moment(iso: str) -> str:
    return clock_time(iso[:_TIME_WIDTH])


class LiveTable:
    """Shows the newest reading of each meter on a terminal.

    Args:
        console: on that terminal.
        note: is always the last line.
    """

    def __init__(self, console: Console, note: str | None = None) -> None:
        self._console = console
        self._note = [] if note is None else [Text(note, "bold")]
        self._rule = "-" if console.options.ascii_only else "─"
        self._blocks: dict[str, _Block] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live table", daemon=True)
        self.name = "stdout"
        self.beat = None  # a terminal that was stopped with Ctrl-S is not a fault
        self.is_over = False
        self.failure: str | None = None

    @property
    def state(self) -> str:
        """Its state in one word."""
        return self.failure or "ok"

    def forget(self, meter: str) -> None:
        """Remove the block of a meter that is gone."""
        self._blocks.pop(meter, None)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def publish(self, reading: Reading) -> None:
        """Take a reading."""
        self._blocks.setdefault(reading.meter, _Block(reading)).take(reading)

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:  # noqa: ARG002 - a table of meters
        """Take the health of the meters."""
        for name, block in list(self._blocks.items()):
            block.health = health.get(name, block.health)

    def stop(self, seconds: float) -> None:
        """Leave the last state on the screen."""
        self._stopping.set()
        self._thread.join(seconds)

    @property
    def is_busy(self) -> bool:
        """False: only the newest readings are shown."""
        return False

    def _run(self) -> None:
        if crash := crash_of(self._show):
            self.failure = f"the live table failed: {crash}"

    def _show(self) -> None:
        try:
            with Live(console=self._console, auto_refresh=False, vertical_overflow="crop") as live:
                while not self._stopping.wait(_REFRESH_SECONDS):
                    live.update(self._draw(), refresh=True)
                live.update(self._draw(), refresh=True)
        except BrokenPipeError:
            self.is_over = True

    def _draw(self) -> Text:
        blocks = list(self._blocks.values())
        joined = Text("\n", no_wrap=True, overflow="ignore").join
        if not blocks:
            return joined([Text("waiting for the first telegram", "dim"), *self._note])
        width, height = self._console.size
        height -= 1 + len(self._note)  # one for the cursor, and for the prompt after the end
        shown, footer = _page(blocks, width, height)
        lines = self._columns(shown, width, height - len(footer))
        return joined([*lines, *footer, *self._note])

    def _columns(self, blocks: Sequence[_Block], width: int, height: int) -> list[Text]:
        """Return the blocks in columns: whole if that is possible, else cut."""
        most = min(len(blocks), _side_by_side_at(_NARROWEST, width))
        least = min(most, _side_by_side_at(_COMFORTABLE, width))
        for number in range(least, most + 1):
            wide = min((width - _GAP * (number - 1)) // number, _WIDEST)
            columns: list[list[_Block]] = [[] for _ in range(number)]
            needs: list[list[int]] = [[] for _ in range(number)]
            for block in blocks:
                shortest = min(range(number), key=lambda n: sum(needs[n]))
                columns[shortest].append(block)
                needs[shortest].append(len(block.draw(wide, _NO_END, self._rule)))
            if max(map(sum, needs)) <= height:
                break
        drawn = [
            [
                line
                for block, share in zip(column, _shares(need, height), strict=True)
                for line in block.draw(wide, share, self._rule)
            ]
            for column, need in zip(columns, needs, strict=True)
        ]
        return list(_side_by_side(drawn, wide))


def _side_by_side_at(wide: int, width: int) -> int:
    """Return how many blocks of this width fit side by side; at least one."""
    return max(1, (width + _GAP) // (wide + _GAP))


def _page(blocks: Sequence[_Block], width: int, height: int) -> tuple[Sequence[_Block], list[Text]]:
    """Return the blocks to show now, and a line that names them if they are not all."""
    columns = _side_by_side_at(_NARROWEST, width)
    if len(blocks) <= columns * max(1, height // _LOWEST):
        return blocks, []
    size = columns * max(1, (height - 1) // _LOWEST)
    first = int(time.monotonic() / _PAGE_SECONDS) % -(-len(blocks) // size) * size
    shown = blocks[first : first + size]
    words = f"meters {first + 1} to {first + len(shown)} of {len(blocks)}, more follow"
    return shown, [Text(words, "bold")]


def _shares(needs: Sequence[int], height: int) -> list[int]:
    """Share the lines of a window; who needs less than an equal share leaves the rest to the others."""
    shares = [0] * len(needs)
    order = sorted(range(len(needs)), key=needs.__getitem__)
    for place, n in enumerate(order):
        shares[n] = min(needs[n], height // (len(needs) - place))
        height -= shares[n]
    return shares


def _side_by_side(columns: Sequence[Sequence[Text]], wide: int) -> Iterator[Text]:
    for cells in zip_longest(*columns):
        line = Text()
        for place, cell in enumerate(cells):
            if cell is not None:
                line.append(" " * (place * (wide + _GAP) - line.cell_len)).append_text(cell)
        yield line
