"""What reads a gateway's outputs in a measurement, and what knows what must come out of them.

The truth is computed anew, from the plaintext of the simulated meter: it was never encrypted, sent or read.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from benchmarks.brokers import Key, key_of
from benchmarks.figures import wait_until
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


class StubServer:
    """A web server that answers as told, well or badly.

    Args:
        take: called with the path and the body of each request that is answered well.

    Attributes:
        status: of the answer.
        seconds: until it answers.
        is_rubbish: it answers with bytes that are no answer.
        requests: how many came.
        ended: it no longer listens.
    """

    def __init__(self, take: Callable[[str, bytes], None], good: int, content: bytes) -> None:
        self.good, self.content = good, content
        self.take = take
        self.requests = 0
        self.port = 0
        self.behave()
        self.ended = threading.Event()
        self.open()

    def behave(self) -> None:
        """Answer well from now on."""
        self.status, self.seconds, self.is_rubbish = self.good, 0.0, False

    def open(self) -> None:
        """Listen, on the same port as before."""
        self.ended.clear()
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop listening, and let go of those that wait for an answer."""
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer()

            def do_POST(self) -> None:
                self._answer()

            def _answer(self) -> None:
                stub.requests += 1
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if stub.ended.wait(stub.seconds):
                    self.close_connection = True
                    return
                if stub.is_rubbish:
                    self.wfile.write(os.urandom(3000))
                    self.close_connection = True
                    return
                if stub.status == stub.good:
                    stub.take(self.path, body)
                self.send_response(stub.status)
                self.send_header("Content-Length", str(len(stub.content)))
                self.end_headers()
                self.wfile.write(stub.content)

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle()

        return Handler


class InfluxServer:
    """A real InfluxDB 1 on a port of its own; Debian's package `influxdb` has it."""

    def __init__(self, folder: Path, port: int, rpc_port: int) -> None:
        self.port = port
        self._file, self._log = folder / "influxdb.conf", folder / "influxdb.log"
        self._file.write_text(
            f"""reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
[monitor]
store-enabled = false
[logging]
level = "warn"
""",
            "utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            command = [shutil.which("influxd") or "influxd", "-config", str(self._file)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, "InfluxDB")

    def send(self, number: signal.Signals) -> None:
        """Send a signal; SIGSTOP freezes it."""
        if self._process is not None:
            self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == http.client.NO_CONTENT
        except OSError:
            return False
        finally:
            connection.close()

    def query(self, text: str) -> list[dict[str, Any]]:
        """Ask, and return the series of the answer; times are seconds since 1970."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        query = urllib.parse.urlencode({"db": "smarty", "epoch": "s", "q": text})
        method = "GET" if text.startswith("SELECT") else "POST"
        connection.request(method, f"/query?{query}")
        with connection.getresponse() as answer:
            found: list[dict[str, Any]] = json.loads(answer.read())["results"][0].get("series", [])
        connection.close()
        return found


def unix_time(key: Key) -> int:
    """Return the time of a telegram in seconds since 1970."""
    return int(moment_of(key.second).astimezone(UTC).timestamp())
