"""What the page costs, and how fast it is: `python -m benchmarks.page`.

Two gateways read the same kind of meter, one with the page and the history, one with neither. They are
started in turn, so that a busy machine slows both alike.

start   from the start of the process to READY=1, and to the first answer of the page: the fastest of several,
        as other programs only make it longer.
memory  PSS after some telegrams, before any page was asked for; then after each page once, then after a
        thousand pages.
pages   the processor time of the gateway for a page, over the history of a year, and the time from the
        request to the last byte of the answer, which other programs lengthen.
stalled the time of a new client's first page beside clients that have sent half a request.
live    from the last byte of a frame on a pseudo-terminal until its value is served. A browser asks once a
        second, so it may take a second longer until somebody sees it.

With --json the figures are printed as one JSON object.
"""

import argparse
import contextlib
import http.client
import json
import socket
import statistics
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from benchmarks.figures import LIMIT, Figure, print_figures, wait_until
from benchmarks.gateway import RunningGateway, seconds_from_now, send_until_received, temporary_folder
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.simulator.year import boundaries
from smarty_gateway.state.history_file import HistoryFile

_STARTS: Final = 7
_VIEWS: Final = 1000
_ASKED: Final = 21
_STALLED: Final = 200
_FRAMES: Final = 200
_DAYS: Final = 365
_AT_ONCE: Final = 3000
_ZONE: Final = ZoneInfo("Europe/Luxembourg")
_PACE: Final = 0.05
#: What a person looks at, and how many ms it may take.
_PAGES: Final = ("now", "now, 48 hours", "live part of now", "day", "month", "year", "bill", "meters")
_MOST: Final = 50


class House:
    """A meter on a pseudo-terminal, and a gateway that reads it.

    Args:
        has_page: it has the page, too, and the history.
    """

    def __init__(self, folder: Path, stack: contextlib.ExitStack, *, has_page: bool) -> None:
        self.meter = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
        self.meter.period = 1.0
        self.moments = seconds_from_now()
        self.port = stack.enter_context(contextlib.closing(PtyPort()))
        self.http_port = _free_port()
        page = [f"  http: {{listen: '127.0.0.1:{self.http_port}'}}"] if has_page else ["history: false"]
        manager = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        manager.bind(str(folder / "notify"))
        manager.settimeout(LIMIT)
        begin = time.perf_counter()
        sources = {"house": self.port.name}
        notify = str(folder / "notify")
        gateway = RunningGateway(folder, sources, [self.meter], notify, page)
        self.gateway = stack.enter_context(gateway)
        while b"READY=1" not in manager.recv(4096):
            pass
        self.seconds_to_ready = time.perf_counter() - begin
        if has_page:
            wait_until(lambda: _answers(self.http_port), "the page")
        self.seconds_to_page = time.perf_counter() - begin
        for _ in range(3):
            send_until_received(self.gateway, self.port, self.meter, self.moments)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=LIMIT)
        stack.callback(self.connection.close)

    def get(self, path: str) -> bytes:
        """Return an answer, which must be a good one."""
        self.connection.request("GET", path)
        with self.connection.getresponse() as answer:
            content = answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"{path}: {answer.status} {content[:200]!r}")
        return content


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.client.OK
    except ConnectionError:
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def house(*, has_page: bool, days: int = 0) -> Iterator[House]:
    """Run a house, with the history of some days."""
    with temporary_folder() as folder, contextlib.ExitStack() as stack:
        if days:
            _write_history(folder / "state", days)
        yield House(folder, stack, has_page=has_page)


def _write_history(folder: Path, days: int) -> None:
    end = int(time.time()) // QUARTER * QUARTER - QUARTER
    span = range(end - days * 86_400, end)
    found = boundaries(SimulatedMeter(MeterKind.LUXEMBOURG, 1), 1, _ZONE, span)
    with contextlib.closing(HistoryFile(folder)) as file:
        while chunk := list(islice(found, _AT_ONCE)):
            file.write({"house": chunk})


def costs() -> list[Figure]:
    """Start both kinds of gateway in turn."""
    ready: dict[bool, list[float]] = {True: [], False: []}
    memory: dict[bool, list[float]] = {True: [], False: []}
    first_answers = []
    for _ in range(_STARTS):
        for has_page in (False, True):
            with house(has_page=has_page) as found:
                ready[has_page].append(1000 * found.seconds_to_ready)
                memory[has_page].append(found.gateway.proportional_megabytes())
                if has_page:
                    first_answers.append(1000 * found.seconds_to_page)
    started = {has_page: min(times) for has_page, times in ready.items()}
    used = {has_page: statistics.median(sizes) for has_page, sizes in memory.items()}
    return [
        Figure("start without page and history: ms until ready", started[False]),
        Figure("start with page and history: ms until ready", started[True]),
        Figure("start with page and history: times as long", started[True] / started[False]),
        Figure("start with page and history: ms until the first answer", min(first_answers)),
        Figure("memory without page and history, MB (PSS)", used[False]),
        Figure("memory with page and history, MB (PSS), nobody has looked yet", used[True]),
        Figure("memory with page and history: MB more", used[True] - used[False]),
    ]


def pages() -> list[Figure]:
    """Ask for each page, over the history of a year."""
    figures = []
    with house(has_page=True, days=_DAYS) as found:
        paths = _paths()
        before = found.gateway.proportional_megabytes()
        begin = time.perf_counter()
        found.get(paths["now"])
        first = 1000 * (time.perf_counter() - begin)
        for path in paths.values():
            found.get(path)
        after_each = found.gateway.proportional_megabytes()
        for name, path in paths.items():
            times, busy = [], found.gateway.processor_seconds()
            for _ in range(_ASKED):
                begin = time.perf_counter()
                content = found.get(path)
                times.append(1000 * (time.perf_counter() - begin))
            busy = 1000 * (found.gateway.processor_seconds() - busy) / _ASKED
            most = _MOST if name in _PAGES else None
            figures += [
                Figure(f"{name}: ms of processor ({len(content) / 1000:.0f} kB)", busy, most),
                Figure(f"{name}: ms, median", statistics.median(times)),
            ]
        asked = len(paths) * (_ASKED + 1)
        for number in range(max(0, _VIEWS - asked)):
            found.get(list(paths.values())[number % len(paths)])
        at_end = found.gateway.proportional_megabytes()
    return [
        Figure("the first page of all, which loads templates and pictures: ms", first),
        *figures,
        Figure("memory with the history of a year, MB (PSS), nobody has looked yet", before),
        Figure("memory after each page was asked for once, MB", after_each),
        Figure(f"memory after {max(asked, _VIEWS)} pages, MB", at_end),
    ]


def _paths() -> dict[str, str]:
    now = datetime.now(_ZONE)
    yesterday, year_ago = now - timedelta(days=1), now - timedelta(days=_DAYS - 1)
    span = f"from={year_ago:%Y-%m-%d}&to={now:%Y-%m-%d}"
    meter, api = "/meters/house", "/api/v1/meters/house"
    return {
        "now": f"{meter}/",
        "now, 48 hours": f"{meter}/?hours=48",
        "live part of now": f"{meter}/live",
        "day": f"{meter}/day/{yesterday:%Y-%m-%d}",
        "month": f"{meter}/month/{now:%Y-%m}",
        "year": f"{meter}/year/{now:%Y}",
        "bill": f"{meter}/bill",
        "meters": "/health",
        "API, now": f"{api}/now",
        "API, a day by quarter hour": f"{api}/history?from={yesterday:%Y-%m-%d}&to={now:%Y-%m-%d}&by=quarter",
        "API, a year by day": f"{api}/history?{span}&by=day",
        "API, a year by day as CSV": f"{api}/history?{span}&by=day&format=csv",
        "metrics": "/metrics",
    }


def stalled() -> list[Figure]:
    """Ask as a new client, beside many that never finish their request."""
    times = []
    with house(has_page=True) as found, contextlib.ExitStack() as stack:
        found.get(_paths()["now"])
        for _ in range(_STALLED):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", found.http_port), LIMIT))
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        for _ in range(_ASKED):
            found.connection.close()  # the next request makes a connection of its own
            begin = time.perf_counter()
            found.get(_paths()["now"])
            times.append(1000 * (time.perf_counter() - begin))
    name = f"a new client beside {_STALLED} stalled ones: ms"
    return [
        Figure(f"{name}, median", statistics.median(times)),
        Figure(f"{name}, worst", max(times), 1000),
    ]


def live() -> list[Figure]:
    """Send frames, one at a time, and ask until each is served."""
    times = []
    with house(has_page=True) as found:
        for _ in range(_FRAMES):
            frame = found.meter.frame(next(found.moments))
            before = _received(found)
            found.port.write(frame[:-1])
            time.sleep(_PACE)
            begin = time.perf_counter()
            found.port.write(frame[-1:])
            wait_until(lambda before=before: _received(found) != before, "the value")  # type: ignore[misc]
            times.append(1000 * (time.perf_counter() - begin))
    return [
        Figure("last byte to served value: ms, median", statistics.median(times)),
        Figure("last byte to served value: ms, worst; a browser adds a second", max(times), 500),
    ]


def _received(found: House) -> str:
    return str(json.loads(found.get("/api/v1/meters/house/now"))["received"])


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    print_figures([costs, pages, stalled, live], as_json=args.json)


if __name__ == "__main__":
    main()
