"""What a worker knows of itself, for health and metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker at one moment.

    Attributes:
        worker: its name.
        workers: all that live, by name.
        node: that it is connected to; None while it has no connection.
        database_works: what it last tried there succeeded.
        home: the shards that are its own while all these workers live.
        held: the shards that it writes.
        unread: the shards that nobody here reads, because of their key file or their queue.
        key_faults: the shards whose key file has a fault; one that is held goes on with the keys of before.
        waiting: messages that it has received and not yet written.
        lag: seconds from the arrival of a frame at its edge to its row, for the newest frame written.
        frames: that came, since the start; each is a row, a repeat or a refusal.
        rows: that were new in the database.
        unverified: of these, the ones that only a CRC has verified (`verification: crc-only`).
        repeats: frames that were delivered again, and had their row.
        refused: frames by the reason of their refusal.
        takes: of shards.
        releases: of shards, for whatever reason.
        rebalances: releases for the worker at which the shard is at home.
    """

    worker: str
    workers: tuple[str, ...] = ()
    node: str | None = None
    database_works: bool = False
    home: frozenset[int] = frozenset()
    held: frozenset[int] = frozenset()
    unread: frozenset[int] = frozenset()
    key_faults: frozenset[int] = frozenset()
    waiting: int = 0
    lag: float = 0.0
    frames: int = 0
    rows: int = 0
    unverified: int = 0
    repeats: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    takes: int = 0
    releases: int = 0
    rebalances: int = 0
