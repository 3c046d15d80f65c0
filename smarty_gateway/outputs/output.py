"""What an output gets, and what every output can do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.protocol.meter import MeterTelegram


@dataclass(frozen=True)
class Reading:
    """A telegram on its way to the outputs.

    Attributes:
        meter: the name under which it goes out.
        received: by the gateway's clock, in UTC; it dates a telegram that has no time of its own.
        is_live: it comes from a port; a recording can wait for a slow output, a port cannot.
    """

    meter: str
    telegram: MeterTelegram
    received: datetime
    is_live: bool = True

    @cached_property
    def record(self) -> dict[str, Any]:
        """The JSON object of the contract, with the time of its arrival."""
        record = self.telegram.as_object(self.meter)
        return record | {"received": self.received.astimezone(UTC).isoformat(timespec="milliseconds")}

    @cached_property
    def json(self) -> bytes:
        """The same as text."""
        return to_json_bytes(self.record)


@dataclass(slots=True)
class Health:
    """How a meter fares, since the gateway started.

    Attributes:
        is_downgraded: it once sent authenticated frames and sends plaintext now.
    """

    telegrams: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    noise_bytes: int = 0
    counter_gaps: int = 0
    reconnects: int = 0
    last_telegram: datetime | None = None
    is_downgraded: bool = False

    def as_object(self) -> dict[str, Any]:
        """Give the JSON object of the contract."""
        last = None if self.last_telegram is None else self.last_telegram.isoformat(timespec="milliseconds")
        found = {
            "telegrams": self.telegrams,
            "rejected": dict(self.rejected),
            "noise_bytes": self.noise_bytes,
            "counter_gaps": self.counter_gaps,
            "reconnects": self.reconnects,
            "last_telegram": last,
        }
        return found | ({"downgraded": True} if self.is_downgraded else {})


class Output(Protocol):
    """Takes readings, each in a thread of its own, so that none holds up the readers or another."""

    def publish(self, reading: Reading) -> None:
        """Take a reading; called by the threads of all readers. Waits only for what is not live."""

    def report(self, health: Mapping[str, Health]) -> None:
        """Take note how the meters fare; called about once a second, whether or not it changed."""

    def start(self) -> None:
        """Begin."""

    def stop(self, seconds: float) -> None:
        """Hand on what is still here, and end within so many seconds."""

    @property
    def is_busy(self) -> bool:
        """Tell whether it still hands on what it was given; the end of a recording waits for that."""

    @property
    def beat(self) -> float | None:
        """Tell when its thread last showed a sign of life; None where it may wait for ever."""

    @property
    def is_over(self) -> bool:
        """Tell whether nobody listens any more, as behind a closed pipe; the gateway then ends."""

    @property
    def failure(self) -> str | None:
        """Say why this output can never work again; the gateway then ends with an error."""
