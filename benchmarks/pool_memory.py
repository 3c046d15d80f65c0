"""What a worker of a pool remembers of its meters, in memory: `python -m benchmarks.pool_memory`.

It holds all 64 shards, with a key for each meter. Each meter sends three frames, after which every number
that moves has moved. The memory is that of this process; what makes the frames keeps nothing.
"""

import argparse
import time
from collections import defaultdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure, print_figures
from benchmarks.shard import key_of
from smarty_gateway.pool import worker as _the_modules_of_a_worker  # noqa: F401 - so that they count
from smarty_gateway.pool.database.rows import TakenShard
from smarty_gateway.pool.held_shard import HeldShard, Judged
from smarty_gateway.pool.inbox import Delivery, Subscription
from smarty_gateway.pool.shard_keys import Keys
from smarty_gateway.protocol.checksum import arc
from smarty_gateway.protocol.dummy_keys import SIMULATED_SERIAL
from smarty_gateway.protocol.forwarded import Forwarded, pack
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.shards import SHARDS, shard_of
from smarty_gateway.protocol.system_title import system_title_from_serial
from smarty_gateway.simulator.household import BEGINNING
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from vectors.building_blocks import frame

TURNS: Final = 3
_ARRIVED: Final = 1_790_000_000_000
#: One meter writes the text for all, because a simulated one takes longer to make than a frame.
_WRITER: Final = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
_DIGITS: Final = f"{_WRITER.number:08d}".encode().hex().encode()


def _resident() -> float:
    """Return the megabytes of this process."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) / 1000


def _name(number: int) -> str:
    return f"{SIMULATED_SERIAL}{number:08d}"


def _hold_all(meters: int) -> dict[int, HeldShard]:
    keys: dict[int, dict[str, bytes]] = defaultdict(dict)
    for number in range(meters):
        keys[shard_of(system_title_from_serial(_name(number)))][_name(number)] = key_of(number)
    return {
        shard: HeldShard(
            Subscription(shard, None),
            TakenShard(shard, 1, was_released=True, counters={}),
            Keys(KeyRing(keys[shard]), {}, frozenset()),
            "smarty.raw",
        )
        for shard in range(SHARDS)
    }


def _body(number: int, text: bytes, turn: int) -> bytes:
    text = text[: text.rindex(b"!") + 1].replace(_DIGITS, f"{number:08d}".encode().hex().encode())
    text += f"{arc(text):04X}\r\n".encode()
    title = system_title_from_serial(_name(number))
    return pack([Forwarded(_ARRIVED, frame(text, key=key_of(number), title=title, counter=turn + 1))])


def measure(meters: int) -> list[Figure]:
    """Measure with this many meters."""
    before = _resident()
    held = _hold_all(meters)
    with_keys = _resident()
    spent = 0.0
    for turn in range(TURNS):
        texts = [_WRITER.telegram(BEGINNING + timedelta(seconds=10 * turn + at)) for at in range(7)]
        for number in range(meters):
            title = system_title_from_serial(_name(number))
            shard = held[shard_of(title)]
            topic = f"smarty.raw.{shard.shard}.{title.hex().upper()}"
            delivery = Delivery(shard.subscription, 1, topic, _body(number, texts[number % 7], turn))
            began = time.thread_time()
            (judged,) = shard.judge(delivery)
            if turn == TURNS - 1:
                spent += time.thread_time() - began
            if not isinstance(judged, Judged):
                raise TypeError(str(judged))
    after = _resident()
    return [
        Figure("a worker without meters [MB]", before),
        Figure("keys [kB a meter]", (with_keys - before) / meters * 1000),
        Figure("all that is remembered [kB a meter]", (after - before) / meters * 1000),
        Figure(f"a worker with {meters} meters [MB]", after),
        Figure("decoding, and making the row [us a frame]", spent / meters * 1e6),
    ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meters", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    print_figures([partial(measure, args.meters)], as_json=args.json)


if __name__ == "__main__":
    main()
