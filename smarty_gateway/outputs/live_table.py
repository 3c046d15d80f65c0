"""A table that updates in place: one block for each meter, with its values, rate and health."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from smarty_gateway.logs import crash_of
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.outputs.table import SECURITY_STYLE
from smarty_gateway.protocol.obis import BY_NAME
from smarty_gateway.safe_text import printable

#: Redrawn this often, which the eye takes for at once.
_REFRESH_SECONDS: Final = 0.25
#: Rates are of the last minute.
_RATE_SECONDS: Final = 60.0
#: What people look for first, in this order; `--format json` has the whole telegram.
_SHOWN: Final = (
    "power_import", "power_export", "energy_import", "energy_export", "energy_import_tariff_1",
    "energy_import_tariff_2", "energy_export_tariff_1", "energy_export_tariff_2", "tariff",
    "power_import_l1", "power_import_l2", "power_import_l3", "voltage_l1", "voltage_l2", "voltage_l3",
    "current_l1", "current_l2", "current_l3", "demand_import",
)  # fmt: skip
_BLOCK_WIDTH: Final = 56


class _Block:
    """What is shown of one meter."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.health = Health()
        self._arrivals: deque[float] = deque(maxlen=1000)

    def take(self, reading: Reading) -> None:
        self.reading = reading
        self._arrivals.append(time.monotonic())

    def per_minute(self) -> float | None:
        """Return the rate of the telegrams of the last minute; None before there are two."""
        now = time.monotonic()
        recent = [at for at in self._arrivals if at >= now - _RATE_SECONDS]
        return (len(recent) - 1) * 60 / (recent[-1] - recent[0]) if len(recent) > 1 else None

    def draw(self) -> RenderableType:
        telegram = self.reading.telegram
        table = Table(box=None, show_header=False, pad_edge=False, expand=True)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(justify="right", no_wrap=True, min_width=12)
        table.add_column(no_wrap=True, width=5)
        for words, value, unit in _rows(telegram.decoded.fields, telegram.decoded.devices):
            table.add_row(words, value, unit)
        status = Text.assemble((telegram.security.value, SECURITY_STYLE[telegram.security]))
        age = (datetime.now(UTC) - self.reading.received).total_seconds()
        rate = self.per_minute()
        often = "" if rate is None else f"{rate:.0f} telegrams/min, "
        status.append(f"  {often}the last {age:.0f} s ago", "dim")
        return Panel(
            Group(table, Text(""), status, self._health()),
            title=Text(printable(self.reading.meter), style="bold"),
            subtitle=Text(printable(telegram.meter_id), style="dim"),
            width=_BLOCK_WIDTH,
        )

    def _health(self) -> Text:
        rejected = sum(self.health.rejected.values())
        line = Text(f"{self.health.telegrams} telegrams", "dim")
        line.append(f", {rejected} rejected", "red" if rejected else "dim")
        line.append(f", {self.health.noise_bytes} bytes noise", "dim")
        if self.health.reconnects:
            line.append(f", {self.health.reconnects} reconnects", "yellow")
        return line


def _rows(fields: Mapping[str, Any], devices: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    if "timestamp" in fields:
        yield "Time of the meter", str(fields["timestamp"])[11:19], ""
    for name in _SHOWN:
        if name in fields:
            found = BY_NAME[name]
            yield found.description, _number(fields[name]), found.quantity.unit or ""
    for name, device in devices.items():
        if "value" in device:
            words = printable(name.replace("_", " ").capitalize())
            yield words, _number(device["value"]), printable(device.get("unit", ""))


def _number(value: object) -> str:
    return f"{value:,.3f}".replace(",", "\u202f") if isinstance(value, float) else printable(value)


class LiveTable:
    """Shows the newest reading of each meter on a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
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

    def _draw(self) -> RenderableType:
        if not self._blocks:
            return Text("waiting for the first telegram …", "dim")
        return Columns([block.draw() for block in list(self._blocks.values())])
