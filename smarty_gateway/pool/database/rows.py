"""What the parts of a worker hand to each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

#: The fingerprint of rows of plaintext meters, which have no key.
PLAINTEXT = "plaintext"


@dataclass(frozen=True, slots=True)
class Row:
    """A reading on its way to the database.

    Attributes:
        title: the system title; of a plaintext meter its meter_id in UTF-8.
        fingerprint: of the key; `plaintext` where there is none.
        counter: the frame counter; of a plaintext meter the arrival in milliseconds since 1970.
        meter: the meter_id.
        measured: the meter's own time, where it sends one.
        received: when it arrived at the edge.
        reading: the JSON object.
        may_be_newest: False for one that is kept but must not count as the newest of its meter, such as a
            plaintext reading from the future.
    """

    title: bytes
    fingerprint: str
    counter: int
    shard: int
    meter: str
    measured: datetime | None
    received: datetime
    security: str
    reading: bytes
    may_be_newest: bool = True


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a row.

    Attributes:
        is_new: it was not there before. A row that was is a repeat, which has no further effect.
        is_newest: its counter is the highest of its title and key, so its `state` may go out.
    """

    is_new: bool
    is_newest: bool


@dataclass(frozen=True, slots=True)
class TakenShard:
    """What the database knows of a shard when a worker takes it.

    Attributes:
        epoch: rises with each worker that takes it.
        was_released: the worker before has released it, so it publishes nothing of it any more.
        counters: the highest counter of each system title and key fingerprint.
    """

    shard: int
    epoch: int
    was_released: bool
    counters: Mapping[tuple[bytes, str], int]


@dataclass(frozen=True, slots=True)
class Renewal:
    """What the database answers to a worker's beat.

    Attributes:
        still_held: those of its shards that no other worker has taken since.
        workers: the names of the live workers, sorted.
        owns_name: False while another process beats under this worker's name: for a few seconds its own
            former process that was killed, for longer another worker with the same name.
    """

    still_held: frozenset[int]
    workers: tuple[str, ...]
    owns_name: bool
