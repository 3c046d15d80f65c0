"""What a frame costs in the decoder of a shard, in time and memory: `python -m benchmarks.shard`.

Frames of many meters arrive in turn, as they do in a pool; times, registers and powers move from one to the
next. Compared in the same rounds are the decoder of a shard, a MeterStream for each meter, and one for all.
Times are processor time, and their ratios are what counts. Memory is what stays allocated after three frames.
"""

import argparse
import gc
import re
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from benchmarks.figures import Figure, print_figures
from smarty_gateway.protocol.checksum import arc
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.shard_decoder import PoolReading, ShardDecoder, title_of
from smarty_gateway.protocol.system_title import system_title_from_serial
from vectors.building_blocks import frame, luxembourg

ROUNDS: Final = 5
_MOVING: Final = re.compile(rb"(?<=[0-9])\(([0-9]{2,6}\.[1-9][0-9]{2})\*(?=k)")


def key_of(number: int) -> bytes:
    """Return the key of a meter."""
    return (number + 1).to_bytes(16, "big")


def frame_of(number: int, turn: int) -> bytes:
    """Return the frame that a meter sends in its turn."""
    serial = f"SAG10307{number:08d}"

    def move(match: re.Match[bytes]) -> bytes:
        value = int(match[1].replace(b".", b"")) + 7 * number + turn
        digits = f"{value:0{len(match[1]) - 1}d}"
        return f"({digits[:-3]}.{digits[-3:]}*".encode()

    text = luxembourg(turn % 60, name=serial).replace(
        b"3033313437", f"{number % 100000:05d}".encode().hex().encode()
    )
    body = _MOVING.sub(move, text[: text.rindex(b"!") + 1])
    telegram = body + f"{arc(body):04X}\r\n".encode()
    return frame(telegram, key=key_of(number), title=system_title_from_serial(serial), counter=turn)


Judging = Callable[[Iterable[bytes]], int]


def with_shard_decoder(keys: KeyRing) -> Judging:
    """Return what judges frames with the decoder of a shard, and counts the readings."""
    decoder = ShardDecoder(keys, {}, {})
    return lambda frames: sum(isinstance(decoder.judge(data), PoolReading) for data in frames)


def with_streams(keys: KeyRing, *, one_a_meter: bool) -> Judging:
    """Return what judges frames with one MeterStream for each meter, or one for all."""
    streams: dict[bytes | None, MeterStream] = {}

    def judge(frames: Iterable[bytes]) -> int:
        found = 0
        for data in frames:
            title = title_of(data) if one_a_meter else None
            stream = streams.get(title)
            if stream is None:
                stream = streams[title] = MeterStream(keys)
            stream.receive_data(data)
            found += sum(isinstance(event, MeterTelegram) for event in iter(stream.next_event, None))
        return found

    return judge


def measure(meters: int) -> list[Figure]:
    """Measure all ways."""
    keys = KeyRing({f"SAG10307{number:08d}": key_of(number) for number in range(meters)})
    turns = [[frame_of(number, turn) for number in range(meters)] for turn in range(1, ROUNDS + 4)]
    ways = {
        "decoder of a shard": partial(with_shard_decoder, keys),
        "a MeterStream for each meter": partial(with_streams, keys, one_a_meter=True),
        "a MeterStream for all": partial(with_streams, keys, one_a_meter=False),
    }
    figures = []
    for name, way in ways.items():
        gc.collect()
        tracemalloc.start()
        judge = way()
        for frames in turns[:3]:
            judge(frames)
        gc.collect()
        figures.append(Figure(f"{name}: kB a meter", tracemalloc.get_traced_memory()[0] / meters / 1000))
        tracemalloc.stop()
        del judge
    judges = {name: way() for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number, frames in enumerate(turns):
        for name, judge in judges.items():
            began = time.thread_time()
            found = judge(frames)
            took = time.thread_time() - began
            if found != meters:
                raise ValueError(f"{name}: {found} readings instead of {meters}")
            if number > 2:  # by then every number that moves has moved
                times[name].append(took / meters * 1e6)
    medians = {name: statistics.median(found) for name, found in times.items()}
    figures += [Figure(f"{name}: µs a frame", median) for name, median in medians.items()]
    return figures


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--meters", type=int, default=2000, help="2000 by default")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    print_figures([partial(measure, args.meters)], as_json=args.json)


if __name__ == "__main__":
    main()
