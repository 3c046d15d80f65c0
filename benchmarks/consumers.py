"""What reads a gateway's outputs in a measurement, and what knows what must come out of them.

The truth is computed anew, from the plaintext of the simulated meter: it was never encrypted, sent or read.
"""

import contextlib
import json
import re
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Final

from benchmarks.brokers import Key, key_of
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.protocol.decoder import decode
from smarty_gateway.protocol.telegram import parse_telegram
from smarty_gateway.simulator.household import BEGINNING
from smarty_gateway.simulator.meters import SimulatedMeter, seconds_since_2020

_KEPT: Final = 4096
#: What `run` knows of a telegram beside its text.
_ADDED: Final = {"meter", "meter_id", "system_title", "security", "frame_counter", "received"}
_STAMP: Final = re.compile(rb"0-0:1\.0\.0\((\d{12})([SW])\)")
_MOST_KEPT: Final = 20


def moment_of(second: int) -> datetime:
    """Return the moment of a second since 2020."""
    return BEGINNING + timedelta(seconds=second)


class Truth:
    """What the meters of a load send.

    Attributes:
        names: the configured name of each meter, by its meter_id.
    """

    def __init__(self, meters: Sequence[SimulatedMeter]) -> None:
        self.names = {meter.meter_id: f"meter-{n}" for n, meter in enumerate(meters)}
        self._meters = {meter.meter_id: SimulatedMeter(meter.kind, meter.number) for meter in meters}
        self._lock = threading.Lock()
        self._computed = lru_cache(_KEPT)(self._compute)

    def telegram(self, key: Key) -> bytes:
        """Return the plaintext."""
        with self._lock:
            return self._computed(key)[0]

    def record(self, key: Key) -> dict[str, Any]:
        """Return the values of the JSON object, without what `run` adds."""
        with self._lock:
            return self._computed(key)[1]

    def _compute(self, key: Key) -> tuple[bytes, dict[str, Any]]:
        text = self._meters[key.meter].telegram(moment_of(key.second))
        telegram = parse_telegram(text)
        if telegram is None:
            raise RuntimeError(f"the simulator made no telegram for {key}")
        decoded = decode(telegram)
        values: dict[str, Any] = {"header": decoded.header, **decoded.fields, **decoded.devices}
        if decoded.unknown:
            values["unknown"] = decoded.unknown
        return text, json.loads(to_json_bytes(values))


class Ledger:
    """Which telegrams a consumer got, in order, and what was wrong with them.

    Attributes:
        seconds: of each meter, by its meter_id, in order of arrival.
        wrong: the first readings that are not what the meter sent.
        wrong_count: how many those were.
    """

    def __init__(self, name: str, truth: Truth) -> None:
        self.name = name
        self.truth = truth
        self.seconds: defaultdict[str, list[int]] = defaultdict(list)
        self.wrong: list[str] = []
        self.wrong_count = 0

    def note_wrong(self, what: str) -> None:
        """Record a reading that no meter sent."""
        self.wrong_count += 1
        if len(self.wrong) < _MOST_KEPT:
            self.wrong.append(f"{self.name}: {what}"[:600])

    def note(self, key: Key) -> None:
        """Record that a telegram arrived."""
        self.seconds[key.meter].append(key.second)

    def add(self, other: "Ledger") -> None:
        """Add what another one has recorded."""
        for meter, seconds in other.seconds.items():
            self.seconds[meter] += seconds
        self.wrong += other.wrong
        self.wrong_count += other.wrong_count

    def take_json(self, payload: bytes) -> Key | None:
        """Take a JSON object; return which telegram it was."""
        try:
            record = json.loads(payload)
            key = key_of(payload)
        except (ValueError, KeyError, TypeError) as error:
            self.note_wrong(f"{error!r} in {payload!r}")
            return None
        values = {name: value for name, value in record.items() if name not in _ADDED}
        if key.meter not in self.truth.names or record["meter"] != self.truth.names[key.meter]:
            self.note_wrong(f"an unknown meter: {payload!r}")
        elif values != (truth := self.truth.record(key)):
            found = {n: (values.get(n), truth.get(n)) for n in values.keys() | truth.keys()}
            self.note_wrong(f"{key} has (found, sent) {[p for p in found.items() if p[1][0] != p[1][1]]}")
        else:
            self.note(key)
        return key

    def take_public(self, payload: bytes) -> None:
        """Take the JSON object of the page, which leaves out identities and adds the running quarter hour."""
        record = json.loads(payload)
        meter = next(meter_id for meter_id, name in self.truth.names.items() if name == record["meter"])
        key = Key(meter, seconds_since_2020(datetime.fromisoformat(record["timestamp"])))
        truth = self.truth.record(key)
        if odd := {name: value for name, value in record.items() if not _fits(value, truth.get(name, value))}:
            self.note_wrong(f"{key} has {odd}")
        else:
            self.note(key)

    def take_telegram(self, meter: str, text: bytes) -> None:
        """Take a plaintext telegram, which must be what the meter wrote, byte for byte."""
        stamp = _STAMP.search(text)
        if stamp is None:
            self.note_wrong(f"no time in {text!r}")
            return
        zone = timezone(timedelta(hours=2 if stamp[2] == b"S" else 1))
        moment = datetime.strptime(stamp[1].decode(), "%y%m%d%H%M%S").replace(tzinfo=zone)
        key = Key(meter, seconds_since_2020(moment))
        if text == self.truth.telegram(key):
            self.note(key)
        else:
            self.note_wrong(f"{key} is {text!r}")

    def count(self) -> int:
        """Return how many telegrams arrived, with repeats."""
        return sum(len(seconds) for seconds in list(self.seconds.values()))

    def missing(self, sent: Iterable[Key]) -> list[Key]:
        """Return what was sent and has not arrived."""
        found = {meter: set(seconds) for meter, seconds in list(self.seconds.items())}
        return [key for key in sent if key.second not in found.get(key.meter, ())]

    def skipped(self, sent: Iterable[Key]) -> list[Key]:
        """Return what was sent after the first that arrived of its meter, and has not arrived."""
        first = {meter: min(seconds) for meter, seconds in list(self.seconds.items())}
        return [key for key in self.missing(sent) if key.second > first.get(key.meter, 0)]

    def out_of_order(self) -> int:
        """Count telegrams that came behind a newer one of their meter, where they are not repeats."""
        count = 0
        for seconds in self.seconds.values():
            newest, seen = 0, set[int]()
            for second in seconds:
                count += second < newest and second not in seen
                newest = max(newest, second)
                seen.add(second)
        return count


def _fits(value: object, truth: object) -> bool:
    """True if a value is the true one; of an object, what both have must be."""
    if isinstance(value, dict) and isinstance(truth, dict):
        return all(_fits(part, truth.get(name, part)) for name, part in value.items())
    return value == truth


class TelegramSplitter:
    """Cuts a stream into telegrams.

    Attributes:
        skipped: bytes that belong to no whole telegram.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self.skipped = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes, and return the telegrams that are whole now."""
        self._data += data
        found = []
        while (mark := self._data.find(b"!")) >= 0 and (end := self._data.find(b"\n", mark)) >= 0:
            start = max(0, self._data.rfind(b"/", 0, mark))
            self.skipped += start
            found.append(bytes(self._data[start : end + 1]))
            del self._data[: end + 1]
        return found


class TcpReader:
    """A client of a TCP port that reads all that comes, from the next telegram on.

    Args:
        take: called with each telegram.

    Attributes:
        is_dropped: the gateway has closed the connection.
    """

    def __init__(self, port: int, take: Callable[[bytes], None]) -> None:
        self.splitter = TelegramSplitter()
        self.is_dropped = False
        self._take = take
        self._socket = socket.create_connection(("127.0.0.1", port), 10)
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._socket.recv(65536):
                for telegram in self.splitter.feed(data):
                    self._take(telegram)
        self.is_dropped = True

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


def unix_time(key: Key) -> int:
    """Return the time of a telegram in seconds since 1970."""
    return int(moment_of(key.second).astimezone(UTC).timestamp())
