"""What the MQTT output loses, writes and delays, as a process of its own: `python -m benchmarks.mqtt`.

Each measurement stands against its target; `--only` chooses some of them by the beginning of a name.

kills         `durability: each`, some 20 telegrams a second, kill -9 at random moments. A telegram is
              accepted by the store when it is in the state file: that is read after each kill, and all of
              it must arrive. It has no trace of what was acknowledged and deleted before, so more is
              asked: of each meter and each life of the gateway all must arrive up to the last that did.
              What is missing behind it was not stored yet, and how old that was is told.
kills-outages the same with a broker that is killed and stopped meanwhile.
kills-default the same with the default durability and the broker there.
kills-batch   the default durability with a broker that is mostly away: what is lost, and how old it was.
disk          write_bytes of a day, from some minutes in real time, one save of the counters, and a stop.
backlog       10,000 telegrams while the broker is away. The second time with `durability: each`.
latency       from the last byte of a frame on a pseudo-terminal to the subscriber's callback.
slow-answers  all that the broker says comes 5 s late, for some minutes: standard output, memory, disk.
              Twenty telegrams are in flight at once, so at more than 4 a second the disk is used.

The folders are made in TMPDIR, which must be on a disk: in memory nothing is written. With --json the
figures come as one JSON object.
"""

import argparse
import contextlib
import random
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.brokers import (
    GatewayProcess,
    Key,
    Load,
    Mosquitto,
    Outages,
    SlowAnswers,
    key_of,
    keys_of,
    temporary_folder,
    undelivered,
)
from benchmarks.figures import LIMIT, Figure, print_figures, wait_until
from smarty_gateway.simulator.meters import MIXED, MeterKind, SimulatedMeter
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.simulator.simulation import Simulation
from smarty_gateway.state.store import Store
from smarty_gateway.state.store_rows import StoredCounter
from tests.support.brokers import Subscriber

_RATE: Final = 20.0
_BACKLOG: Final = 10_000
_BACKLOG_RATE: Final = 400.0
_FRAMES: Final = 300
#: Between two frames, so that everybody is asleep when the next one comes, as in a house.
_PACE: Final = 0.05
_SAVES: Final = 1000
_SAVES_A_DAY: Final = 96
_WARM_UP: Final = 30.0
_ANSWERS_AFTER: Final = 5.0


class Rig:
    """A broker, a subscriber, meters, and the configuration of a gateway that is between them."""

    def __init__(self, folder: Path, rate: float, mqtt: dict[str, object]) -> None:
        self.folder = folder
        self._stack = contextlib.ExitStack()
        self.broker = Mosquitto(folder)
        self._stack.callback(self.broker.end, signal.SIGKILL)
        self.subscriber = self._stack.enter_context(Subscriber(self.broker, "smarty/+/telegram"))
        self.broker.remember_sessions()
        self.load = Load(rate)
        self._stack.callback(self.load.close)
        self.port = self.broker.port
        self._mqtt = mqtt

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def gateway(self) -> GatewayProcess:
        """Start a gateway for all meters of the load."""
        sources = {f"meter-{n}": port.name for n, port in enumerate(self.load.ports)}
        options = {"url": f"mqtt://127.0.0.1:{self.port}", "telegrams": True, **self._mqtt}
        return GatewayProcess(self.folder, sources, self.load.meters, options)

    def wait_for(self, keys: set[Key], limit: float = LIMIT) -> None:
        """Wait until all these have arrived, or the time is over."""
        deadline, missing, seen = time.monotonic() + limit, set(keys), 0
        while missing and time.monotonic() < deadline:
            new = self.subscriber.messages[seen:]
            seen += len(new)
            missing.difference_update(key_of(message.payload) for message in new)
            time.sleep(0.02)


def kills(
    name: str, number: int, durability: str, span: tuple[float, float], outages: Callable[..., Outages] | None
) -> list[Figure]:
    """Kill the gateway this many times, each after a random time."""
    begin, rng = time.monotonic(), random.Random(name)  # noqa: S311 - repeatable, no secret
    stored: set[Key] = set()
    ends: list[float] = []
    with temporary_folder() as folder, Rig(folder, _RATE, {"durability": durability}) as rig:
        weather = outages(rig.broker, rig.subscriber, rng) if outages is not None else None
        for life in range(number):
            rig.load.begin_life(life)
            with rig.gateway() as gateway:
                until = time.monotonic() + rng.uniform(*span)
                while time.monotonic() < until:
                    time.sleep(min(0.01, max(0.0, until - time.monotonic())))
                    if weather is not None:
                        weather.look()
                ends.append(time.monotonic())
                gateway.end(signal.SIGKILL)
            rig.load.begin_life(None)
            stored.update(undelivered(gateway.state))
        if not rig.broker.is_running:
            rig.broker.start()
        with rig.gateway() as gateway:
            rig.wait_for(stored, 60)
            time.sleep(3)
            gateway.end(signal.SIGTERM)
        left = len(undelivered(gateway.state))
        arrived, sent = keys_of(rig.subscriber), list(rig.load.sent)
    repeats = len(arrived) - len(set(arrived))
    faults = number + (weather.count if weather is not None else 0)
    took = f"{number} kills, {faults - number} outages, {time.monotonic() - begin:.0f} s"
    return [
        Figure(f"{name}: sent ({took})", len(sent)),
        Figure(f"{name}: arrived", len(set(arrived))),
        Figure(f"{name}: seen in the state file behind a kill", len(stored)),
        Figure(f"{name}: lost of these", len(stored - set(arrived)), most=0),
        Figure(f"{name}: left in the state file at the end", left, most=0),
        Figure(f"{name}: out of order at the first arrival", out_of_order(arrived), most=0),
        Figure(f"{name}: repeats for each kill and outage", repeats / faults, most=1),
        *losses(name, rig, set(arrived), ends),
    ]


def losses(name: str, rig: Rig, arrived: set[Key], ends: list[float]) -> list[Figure]:
    """Return what was sent to a gateway and did not arrive: gaps, and what a kill cut off."""
    runs: dict[tuple[str, int], list[tuple[Key, float]]] = defaultdict(list)
    for key, life, at in rig.load.sent:
        runs[key.meter, life].append((key, at))
    gaps, cut_off = 0, 0
    oldest: dict[int, float] = {}
    for (_, life), run in runs.items():
        last = max((n for n, (key, _) in enumerate(run) if key in arrived), default=-1)
        gaps += sum(key not in arrived for key, _ in run[: max(last, 0)])
        for _, at in run[last + 1 :]:
            cut_off += at < ends[life]
            oldest[life] = max(oldest.get(life, 0.0), ends[life] - at)
    ages = [oldest.get(life, 0.0) for life in range(len(ends))]
    return [
        Figure(f"{name}: gaps before the last arrived of a meter and a life", gaps, most=0),
        Figure(f"{name}: cut off by the kill, for each kill", cut_off / len(ends)),
        Figure(f"{name}: age of the oldest cut off, s, median", statistics.median(ages)),
        Figure(f"{name}: age of the oldest cut off, s, at most", max(ages), most=10),
    ]


def out_of_order(arrived: list[Key]) -> int:
    """Count the telegrams that arrived behind a newer one of the same meter; repeats do not count."""
    newest: dict[str, int] = {}
    seen: set[Key] = set()
    found = 0
    for key in arrived:
        if key not in seen:
            seen.add(key)
            found += key.second < newest.get(key.meter, 0)
            newest[key.meter] = max(key.second, newest.get(key.meter, 0))
    return found


def disk(minutes: float) -> list[Figure]:
    """Count what a house writes in a day."""
    meters = [SimulatedMeter(MeterKind.LUXEMBOURG, 1), SimulatedMeter(MeterKind.BELGIUM, 2)]
    with temporary_folder() as folder, contextlib.ExitStack() as stack:
        broker = Mosquitto(folder)
        stack.callback(broker.end)
        ports = [stack.enter_context(contextlib.closing(PtyPort())) for _ in meters]
        sources = {f"meter-{n}": port.name for n, port in enumerate(ports)}
        options = {"url": f"mqtt://127.0.0.1:{broker.port}", "telegrams": True, "home_assistant": True}
        with Simulation(meters, ports), GatewayProcess(folder, sources, meters, options) as gateway:
            time.sleep(_WARM_UP)
            at_start = gateway.written()
            time.sleep(minutes * 60)
            running = gateway.written() - at_start
            telegrams = len(gateway.lines)
            at_stop = gateway.end(signal.SIGTERM) - running - at_start
    save = bytes_of_a_save(meters)
    day = (at_start + running / minutes * 1440 + save * _SAVES_A_DAY + at_stop) / 1e6
    name = "disk"
    return [
        Figure(f"{name}: kB in the first {_WARM_UP:.0f} s", at_start / 1e3),
        Figure(f"{name}: kB in {minutes:g} minutes ({telegrams} telegrams in all)", running / 1e3),
        Figure(f"{name}: kB of one save of the counters, mean of {_SAVES}", save / 1e3),
        Figure(f"{name}: kB at a clean stop", at_stop / 1e3),
        Figure(f"{name}: MB a day, extrapolated, with one start and stop", day, most=20),
    ]


def bytes_of_a_save(meters: list[SimulatedMeter]) -> float:
    """Count what one save of the counters writes, with its share of what SQLite tidies up later."""

    def written() -> int:
        return int(Path("/proc/self/io").read_text("ascii").split("\nwrite_bytes: ")[1].split()[0])

    titles = [meter.title for meter in meters if meter.title is not None]
    with temporary_folder() as folder, Store(folder) as store:
        before = written()
        for number in range(_SAVES):
            store.write([StoredCounter(title, "0" * 16, number, "house", "tcp://house") for title in titles])
        return (written() - before) / _SAVES


def backlog(durability: str) -> list[Figure]:
    """Store telegrams while the broker is away."""
    name = f"backlog, {durability}"
    options: dict[str, object] = {"durability": durability}
    with temporary_folder() as folder, Rig(folder, _BACKLOG_RATE, options) as rig, rig.gateway() as gateway:
        rig.load.limit(200)
        rig.load.begin_life(0)
        wait_until(lambda: rig.load.is_done, "the meters")
        rig.wait_for({sent.key for sent in rig.load.sent})
        before, memory, first = len(rig.load.sent), gateway.megabytes(), len(rig.subscriber.messages)
        rig.broker.end()
        begin, most = time.monotonic(), memory
        rig.load.limit(_BACKLOG)
        while not rig.load.is_done or time.monotonic() < begin + 30:
            time.sleep(0.2)
            most = max(most, gateway.megabytes())
        outage = time.monotonic() - begin
        rig.broker.start()
        back = time.monotonic()
        rig.wait_for({sent.key for sent in rig.load.sent})
        arrivals = [message.time for message in rig.subscriber.messages[first:]]
        took = arrivals[-1] - arrivals[0]
        after = gateway.megabytes()
        arrived = keys_of(rig.subscriber)
        missing = {sent.key for sent in rig.load.sent} - set(arrived)
        written = gateway.end(signal.SIGTERM) / 1e6
        left = len(undelivered(gateway.state))
    return [
        Figure(f"{name}: sent in an outage of {outage:.0f} s", len(rig.load.sent) - before),
        Figure(f"{name}: lost", len(missing), most=0),
        Figure(f"{name}: repeats", len(arrived) - len(set(arrived))),
        Figure(f"{name}: out of order", out_of_order(arrived), most=0),
        Figure(f"{name}: left in the state file at the end", left, most=0),
        Figure(f"{name}: s from the broker's return to the first", arrivals[0] - back),
        Figure(f"{name}: a second", len(arrivals) / took, least=500),
        Figure(f"{name}: memory before, MB (VmRSS)", memory),
        Figure(f"{name}: memory at most in the outage, MB (VmRSS)", most),
        Figure(f"{name}: memory afterwards, MB (VmRSS)", after),
        Figure(f"{name}: written to disk in all, MB", written),
    ]


def seconds_from_now() -> Iterator[datetime]:
    """Yield one moment after the other, so that the frame counter rises."""
    now = datetime.now(UTC)
    return (now + timedelta(seconds=number) for number in count())


def latency(kind: MeterKind, topic: str) -> list[Figure]:
    """Send frames on a pseudo-terminal, one at a time, and wait for each."""
    meter, moments, times = SimulatedMeter(kind, 1), seconds_from_now(), []
    meter.period = 1.0
    with temporary_folder() as folder, contextlib.ExitStack() as stack:
        broker = Mosquitto(folder)
        stack.callback(broker.end)
        subscriber = stack.enter_context(Subscriber(broker, f"smarty/house/{topic}"))
        port = stack.enter_context(contextlib.closing(PtyPort()))
        options = {
            "url": f"mqtt://127.0.0.1:{broker.port}",
            "interval": 0,
            "telegrams": topic == "telegram",
            "home_assistant": True,
        }
        stack.enter_context(GatewayProcess(folder, {"house": port.name}, [meter], options))

        def is_heard() -> bool:
            port.write(meter.frame(next(moments)))
            time.sleep(_PACE)
            return len(subscriber.messages) > 3

        wait_until(is_heard, "a telegram")
        time.sleep(1)
        for _ in range(_FRAMES):
            frame, before = meter.frame(next(moments)), len(subscriber.messages)
            port.write(frame[:-1])
            time.sleep(_PACE)
            begin = time.monotonic()
            port.write(frame[-1:])
            wait_until(lambda before=before: len(subscriber.messages) > before, "the callback")  # type: ignore[misc]
            times.append((subscriber.messages[before].time - begin) * 1000)
    name = f"latency, {kind.value}, {topic}: ms"
    return [
        Figure(f"{name}, median of {_FRAMES}", statistics.median(times), most=20),
        Figure(f"{name}, 99th percentile", statistics.quantiles(times, n=100)[98]),
    ]


def slow_answers(minutes: float, rate: float) -> list[Figure]:
    """Hold up what the broker says."""
    name = f"slow answers, {rate:g} a second"
    with temporary_folder() as folder, Rig(folder, rate, {}) as rig, contextlib.ExitStack() as stack:
        slow = SlowAnswers(rig.broker.port, _ANSWERS_AFTER)
        stack.callback(slow.close)
        rig.port = slow.port
        gateway = stack.enter_context(rig.gateway())
        rig.load.begin_life(0)
        time.sleep(_WARM_UP)
        written, begin, memory = gateway.written(), time.monotonic(), []
        while time.monotonic() < begin + minutes * 60:
            memory.append(gateway.megabytes())
            time.sleep(1)
        end = time.monotonic()
        written = gateway.written() - written
        gateway.end(signal.SIGKILL)
        printed = {key_of(line): at for line, at in zip(gateway.lines, gateway.times, strict=True)}
        arrived, stored = set(keys_of(rig.subscriber)), set(undelivered(gateway.state))
        sent = [s for s in rig.load.sent if begin < s.at < end - 1]
    delays = [(printed[s.key] - s.at) * 1000 for s in sent if s.key in printed]
    delays = delays or [0.0]
    third = len(memory) // 3
    growth = statistics.fmean(memory[-third:]) - statistics.fmean(memory[:third])
    return [
        Figure(f"{name}: sent in {minutes:g} minutes", len(sent)),
        Figure(f"{name}: not printed", len(sent) - len(delays), most=0),
        Figure(f"{name}: from sending to the printed line, ms, median", statistics.median(delays)),
        Figure(f"{name}: from sending to the printed line, ms, at most", max(delays), most=1000),
        Figure(f"{name}: neither arrived nor stored (those of the last 20 s left out)",
               sum(s.key not in arrived | stored and s.at < end - 20 for s in sent), most=0),
        Figure(f"{name}: memory at the end, MB (VmRSS)", memory[-1]),
        Figure(f"{name}: memory grew from the first third to the last, MB", growth, most=0.5),
        Figure(f"{name}: kB written to disk", written / 1e3),
        Figure(f"{name}: in the state file behind a kill at the end", len(stored)),
    ]  # fmt: skip


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="of the gateway (default 200)")
    parser.add_argument(
        "--minutes", type=float, default=5.0, metavar="N", help="of disk and slow-answers (default 5)"
    )
    parser.add_argument("--only", action="append", metavar="NAME", help="may be given several times")
    args = parser.parse_args()
    number, minutes = args.kills, args.minutes
    few, fewest = max(1, number // 5), max(1, number // 10)
    steps: dict[str, Callable[[], list[Figure]]] = {
        "kills": lambda: kills("kills, each", number, "each", (0.3, 3.0), None),
        "kills-outages": lambda: kills(
            "kills and outages, each", few, "each", (1.0, 6.0),
            lambda broker, listener, rng: Outages(broker, listener, rng, (0.5, 4), (0.2, 4)),
        ),
        "kills-default": lambda: kills("kills, default", few, "batch", (0.3, 3.0), None),
        "kills-batch": lambda: kills(
            "kills and outages, default", fewest, "batch", (2.0, 26.0),
            lambda broker, listener, rng: Outages(broker, listener, rng, (1, 5), (5, 40)),
        ),
        "disk": lambda: disk(minutes),
        "backlog": lambda: backlog("batch") + backlog("each"),
        "latency": lambda: [
            figure for kind in MIXED for topic in ("state", "telegram") for figure in latency(kind, topic)
        ],
        "slow-answers": lambda: slow_answers(minutes / 2, 2.0) + slow_answers(minutes / 2, _RATE),
    }  # fmt: skip
    if unknown := set(args.only or ()) - set(steps):
        parser.error(f"--only {' '.join(unknown)}: there are {', '.join(steps)}")
    print_figures([steps[name] for name in args.only or steps], as_json=args.json)


if __name__ == "__main__":
    main()
