"""The present of the gateway as the page shows it: a picture of one moment, which no thread changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from smarty_gateway.outputs.output import Health, Reading


class Availability(StrEnum):
    """Whether a meter is heard (docs/reference.md, "HTTP")."""

    STARTING = "starting"  #: not heard yet, and not overdue
    ONLINE = "online"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class PowerCurve:
    """The net power of the last 48 hours at most.

    Attributes:
        first: UTC seconds at which the first mean begins.
        step: seconds of each mean.
        watts: import less export; None where nothing is known.
    """

    first: int
    step: int
    watts: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class MeterNow:
    """A meter that the gateway reads.

    Attributes:
        name: under which it is asked for (see `public_names`); safe in a URL.
        own_name: in readings and in the history; never shown.
        is_expected: an entry of the configuration says that it is read from a port.
        reading: the newest; None before the first.
        troubles: the reasons for which something of it was rejected in the last minutes.
    """

    name: str
    own_name: str
    is_expected: bool
    availability: Availability
    reading: Reading | None = None
    health: Health = field(default_factory=Health)
    troubles: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class GatewayNow:
    """The gateway and its meters.

    Attributes:
        started: when it started, in UTC.
        is_alive: its threads live; the supervisor has looked a moment ago.
        counters_kept: frame counters outlive the process.
        history_kept: what becomes known of quarter hours does, too, or none is kept.
        outputs: the state of each output, in one word.
        meters: those of the configuration first.
    """

    version: str
    started: datetime
    is_alive: bool
    counters_kept: bool
    history_kept: bool
    outputs: Mapping[str, str]
    meters: Sequence[MeterNow]

    def meter(self, name: str) -> MeterNow | None:
        """Return the meter that is shown under a name."""
        return next((meter for meter in self.meters if meter.name == name), None)
