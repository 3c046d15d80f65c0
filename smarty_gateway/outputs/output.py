"""What an output gets, and what every output can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

from smarty_gateway.history.running_quarter import RunningQuarter
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.protocol.meter_telegram import MeterTelegram


@dataclass(frozen=True)
class Reading:
    """A telegram on its way to the outputs.

    Attributes:
        meter: the name under which it is published.
        received: by the gateway's clock, in UTC; it dates a telegram without a time of its own.
        is_live: it comes from a port; a recording can wait for a slow output, a port cannot.
        is_configured: an entry of the configuration names its meter.
        object_id: what identifies its meter in discovery.
        is_first: it is the first of its meter in this run.
        source: where it was read, by the text of its address.
        quarter: the running quarter hour; None where the meter has no history.
    """

    meter: str
    telegram: MeterTelegram
    received: datetime
    is_live: bool = True
    is_configured: bool = True
    object_id: str = ""
    is_first: bool = False
    source: str = ""
    quarter: RunningQuarter | None = None

    @property
    def record(self) -> dict[str, Any]:
        """The JSON object, as in docs/reference.md, with the time of its arrival."""
        record = self.telegram.as_object(self.meter)
        return record | {"received": self.received.astimezone(UTC).isoformat(timespec="milliseconds")}

    @cached_property
    def json(self) -> bytes:
        """The JSON object as text; made once for all outputs."""
        return to_json_bytes(self.record)


@dataclass(frozen=True)
class PoolReading(Reading):
    """A reading that a worker of a pool has decoded.

    Attributes:
        shard: of its meter.
        epoch: under which the worker held the shard when it took the frame.
        is_newest: the database knows no newer one of its meter and key.
    """

    shard: int = 0
    epoch: int = 0
    is_newest: bool = False

    def as_written(self, *, is_newest: bool) -> "PoolReading":
        """Return the reading as the database knows it, with the text that was made for its row."""
        written = replace(self, is_newest=is_newest)
        vars(written)["json"] = self.json  # where `cached_property` keeps it
        return written


@dataclass(slots=True)
class Health:
    """The health of a meter since the gateway started.

    Attributes:
        duplicates: frames that another source delivered a moment before.
        elsewhere: telegrams with this meter's identity on a source that is not its own.
        is_downgraded: it must send encrypted frames and sends plaintext now.
        is_connected: a source on which it may be read is open now.
    """

    telegrams: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    noise_bytes: int = 0
    counter_gaps: int = 0
    duplicates: int = 0
    elsewhere: int = 0
    reconnects: int = 0
    last_telegram: datetime | None = None
    is_downgraded: bool = False
    is_connected: bool = False

    def copy(self) -> "Health":
        """Return a copy."""
        return replace(self, rejected=self.rejected.copy())

    def as_object(self) -> dict[str, Any]:
        """Return the JSON object of `METER/health`."""
        last = None if self.last_telegram is None else self.last_telegram.isoformat(timespec="milliseconds")
        return {
            "telegrams": self.telegrams,
            "rejected": dict(self.rejected),
            "noise_bytes": self.noise_bytes,
            "counter_gaps": self.counter_gaps,
            "duplicates": self.duplicates,
            "elsewhere": self.elsewhere,
            "reconnects": self.reconnects,
            "downgraded": self.is_downgraded,
            "last_telegram": last,
        }


@dataclass(frozen=True, slots=True)
class GatewayHealth:
    """The health of the gateway itself.

    Attributes:
        counters_kept: frame counters outlive the process, so that a restart allows no replays.
        outputs: the state of each output, in one word.
        history_kept: quarter hours are written to the disk, or no history is kept.
        unheard: the health of sources that have brought no meter yet, by the text of their address.
    """

    counters_kept: bool
    outputs: Mapping[str, str]
    history_kept: bool = True
    unheard: Mapping[str, Health] = field(default_factory=dict)


class Output(Protocol):
    """Takes readings, in a thread of its own, so that it delays neither the readers nor another output.

    Attributes:
        name: as in the configuration.
    """

    name: str

    @property
    def state(self) -> str:
        """Its state in one word: `ok`, or what is wrong."""

    def forget(self, meter: str) -> None:
        """Remove a meter that the configuration does not name and that is gone."""

    def publish(self, reading: Reading) -> None:
        """Take a reading; called by the threads of all readers. Waits only for what is not live."""

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Take the health of meters and gateway; called about once a second."""

    def start(self) -> None:
        """Start its thread."""

    def stop(self, seconds: float) -> None:
        """Deliver what waits, and end within this many seconds."""

    @property
    def is_busy(self) -> bool:
        """True while it still delivers; the end of a recording waits for that."""

    @property
    def beat(self) -> float | None:
        """When its thread last showed that it lives; None where it may wait for ever."""

    @property
    def is_over(self) -> bool:
        """True if nobody reads it any more, as behind a closed pipe; the gateway then ends."""

    @property
    def failure(self) -> str | None:
        """Why this output can never work again; the gateway then ends with an error."""
