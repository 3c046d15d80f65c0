"""A new version takes over the state of the versions before, and leaves that of a newer one alone.

The folder `layouts` holds state files as the last version with each layout wrote them for two simulated
meters and a broker that went away, as text, with fewer waiting telegrams.
"""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.simulator.household import BEGINNING
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml
from smarty_gateway.state.history_file import HistoryFile
from smarty_gateway.state.history_schema import VERSION as HISTORY_VERSION
from smarty_gateway.state.state_file import VERSION
from tests.support.brokers import Broker, Subscriber, retained
from tests.support.commands import LIMIT, SAMPLE, SAMPLE_KEYS, smarty_gateway
from tests.support.running import Running, plugged_in

LAYOUTS: Final = sorted((Path(__file__).parent / "layouts").glob("*.sql"))
TELEGRAM: Final = "smarty/house/telegram"


def write_state(folder: Path, layout: Path) -> Path:
    """Write the state file of an older version, and return its path."""
    folder.mkdir(parents=True)
    path = folder / "gateway.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(layout.read_text("utf-8"))
    return path


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_there_is_a_state_of_each_layout_before_the_present_one() -> None:
    assert [int(path.stem) for path in LAYOUTS] == list(range(1, VERSION))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda path: f"layout {path.stem}")
@pytest.mark.slow
def test_counters_waiting_telegrams_and_retained_topics_outlive_an_upgrade(
    tmp_path: Path, layout: Path, broker: Broker
) -> None:
    state = write_state(tmp_path / "state/smarty-gateway", layout)
    ((last,),) = rows(state, "SELECT counter FROM counters")
    waiting = rows(state, "SELECT topic, payload FROM undelivered ORDER BY id")
    # Which meters have no entry in gateway.yaml is known since layout 3.
    kept_below = "smarty/house/" if int(layout.stem) < 3 else "smarty/"
    published = rows(state, "SELECT topic FROM published")
    kept = {topic for (topic,) in published if str(topic).startswith(kept_below)}
    meter = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
    assert isinstance(last, int)
    # The frames since then are counted, so the first has the counter that was the last one.
    begin = BEGINNING + timedelta(seconds=last)
    (tmp_path / "keys.yaml").write_text(keys_yaml([meter]), "ascii")
    (tmp_path / "keys.yaml").chmod(0o600)
    (tmp_path / "gateway.yaml").write_text(
        f"keys: keys.yaml\nmeters:\n  - {{name: house, source: {tmp_path}/port}}\n"
        "  - source: tcp://127.0.0.1:2002\noutputs:\n"
        f"  mqtt: {{url: '{broker.url}', telegrams: true, home_assistant: true}}\n",
        "utf-8",
    )
    with Subscriber(broker) as listener, plugged_in(tmp_path / "port") as port:
        with Running("run", folder=tmp_path) as gateway:
            gateway.wait_for_port(port.name)
            port.write(meter.frame(begin, begin=begin))
            gateway.wait_for_log("rejected replay")
            port.write(meter.frame(begin + timedelta(seconds=10), begin=begin))
            listener.wait_for(TELEGRAM, lambda m: m.json["frame_counter"] == last + 1)
            assert gateway.stop() == 0
        for name in {name for name, _ in waiting}:
            of_meter = [payload for topic, payload in waiting if topic == name]
            assert [m.payload for m in listener.of(str(name))][: len(of_meter)] == of_meter
        assert len([m for m in listener.messages if m.topic.endswith("/telegram")]) == len(waiting) + 1
        assert {m.topic for m in listener.messages if not m.payload} & kept == set()
    # What is emptied of the announcements because of the upgrade is made again.
    assert "homeassistant/device/smarty_SAG1030700000001/config" in retained(broker)
    assert rows(state, "SELECT counter, meter FROM counters") == [(last + 1, "house")]
    assert kept <= {topic for (topic,) in rows(state, "SELECT topic FROM published")}


#: Opens a state file and is killed before a statement; the next attempt, with the same file, before the next.
_KILLED: Final = """
import os, shutil, signal, sqlite3, sys
from pathlib import Path
from smarty_gateway.state.store import Store
folder, before = Path(sys.argv[1]), Path(sys.argv[2])

class Killed(sqlite3.Connection):
    left = 0
    def execute(self, *statement):
        Killed.left -= 1
        if Killed.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*statement)

def open_and_die(after):
    Killed.left = after
    connect = sqlite3.connect
    sqlite3.connect = lambda *given, **named: connect(*given, **named, factory=Killed)
    Store(folder).close()
    os._exit(0)

for statements in range(1000):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(before, folder)
    child = os.fork() or open_and_die(statements)
    _, status = os.waitpid(child, 0)
    connection = sqlite3.connect(folder / before.name)
    print(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    Store(folder).close()
    connection = sqlite3.connect(folder / before.name)
    for table in ("counters", "undelivered", "published"):
        print(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    connection.close()
    if not status:
        break
"""


@pytest.mark.parametrize(
    "layout",
    [pytest.param(path, marks=[pytest.mark.slow] * (path != LAYOUTS[-1]), id=path.stem) for path in LAYOUTS],
)
def test_an_upgrade_that_is_killed_at_any_statement_has_happened_or_not(tmp_path: Path, layout: Path) -> None:
    before = write_state(tmp_path / "before", layout)
    tables = ("counters", "undelivered", "published")
    whole = [rows(before, f"SELECT count(*) FROM {table}")[0][0] for table in tables]  # noqa: S608 - ours
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, tmp_path / "state", before],
        capture_output=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [int(word) for word in done.stdout.split()]
    seen = [found[place] for place in range(0, len(found), 4)]
    assert set(seen) == {int(layout.stem), VERSION}
    assert seen == sorted(seen)
    assert all(found[place + 1 : place + 4] == whole for place in range(0, len(found), 4))


# Of a newer version


def newer(path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={version + 1}")


@pytest.fixture(scope="module")
def of_a_newer_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a configuration, a recording, and a state that a newer version wrote."""
    folder = tmp_path_factory.mktemp("newer")
    write_state(folder / "state", LAYOUTS[-1])
    HistoryFile(folder / "state").close()
    newer(folder / "state/gateway.sqlite3", VERSION)
    newer(folder / "state/history.sqlite3", HISTORY_VERSION)
    (folder / "gateway.yaml").write_text(
        "state: state\nmeters: [{name: simulated-house, source: 'tcp://127.0.0.1:9'}]\noutputs:\n"
        "  mqtt: {url: 'mqtt://127.0.0.1:9'}\n",
        "ascii",
    )
    (folder / "day.csv").write_text("timestamp;value\n", "ascii")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lock"}


OPENING: Final = (
    "run",
    "reset-counter house",
    "forget simulated-house",
    "forget --history simulated-house",
    "history",
    "history peaks",
    "history levels",
    "history registers",
    "history export all.csv",
    "history export all.sqlite",
    "history compare day.csv",
    f"history import {SAMPLE} --keys {SAMPLE_KEYS} --meter simulated-house",
    "report --last month --output month.html",
    "simulate --days 2 --into state",
)


@pytest.mark.parametrize("command", OPENING, ids=lambda command: command.partition(" /")[0])
def test_a_state_of_a_newer_version_is_refused_in_one_line_and_left_as_it_is(
    of_a_newer_version: Path, command: str
) -> None:
    before = contents(of_a_newer_version / "state")
    done = smarty_gateway(*command.split(), folder=of_a_newer_version)
    (line,) = done.stderr.decode().splitlines()
    assert "was written by a newer smarty-gateway (layout " in line
    assert "; install that one again, or name another folder with --state" in line
    assert (done.returncode, done.stdout) == (ExitStatus.UNUSABLE_FILE, b"")
    assert contents(of_a_newer_version / "state") == before
