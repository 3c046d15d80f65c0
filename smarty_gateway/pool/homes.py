"""Which worker is at home in which shard, and which shard a worker releases next. Nothing here does I/O.

The workers agree because all compute it from the same sorted names; while they disagree for a moment, because
one has come or gone, nothing is wrong: a shard is read by whichever worker has it.
"""

from collections.abc import Collection, Sequence

from smarty_gateway.protocol.shards import SHARDS


def home_of(shard: int, workers: Sequence[str]) -> str | None:
    """Return the worker that is at home in a shard; None if there is no worker.

    Args:
        shard: its number.
        workers: the names of the live workers, sorted.
    """
    return workers[shard % len(workers)] if workers else None


def home_shards(worker: str, workers: Sequence[str]) -> tuple[int, ...]:
    """Return the shards in which a worker is at home; empty while it is not one of the live workers."""
    return tuple(shard for shard in range(SHARDS) if home_of(shard, workers) == worker)


def next_release(worker: str, held: Collection[int], workers: Sequence[str]) -> int | None:
    """Return the shard that a worker releases next; None if all that it holds are its own.

    It releases only what has another live worker as its home, so two workers never hand a shard back and
    forth. A worker that is not one of the live ones cannot know who is, and keeps what it holds.
    """
    if worker not in workers:
        return None
    return min((shard for shard in held if home_of(shard, workers) != worker), default=None)
