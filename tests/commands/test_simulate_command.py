"""`simulate` as users type it: what it prints, where it sends, how it ends."""

import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from smarty_gateway.config.key_file import load_key_ring
from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.rows import HistoryMeter, RegisterReading
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import Event
from smarty_gateway.state.history_file import open_history
from smarty_gateway.state.history_reader import HistoryReader
from tests.support.commands import LIMIT, environment, smarty_gateway
from tests.support.histories import write_history
from tests.support.streams import drain, reasons, telegrams

Running = subprocess.Popen[bytes]
ZONE = ZoneInfo("Europe/Luxembourg")


@contextmanager
def simulating(folder: Path, *arguments: object, lines: int = 1) -> Iterator[tuple[Running, list[list[str]]]]:
    """Run the command, and wait until it has told of its meters."""
    process = subprocess.Popen(
        [sys.executable, "-m", "smarty_gateway", "simulate", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment(),
    )
    try:
        assert process.stdout is not None
        yield process, [process.stdout.readline().decode().split() for _ in range(lines)]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=LIMIT)


def listen(descriptor: int, keys: KeyRing, enough: int) -> list[Event]:
    """Read from a meter until there are this many events."""
    stream = MeterStream(keys)
    events: list[Event] = []
    end = time.monotonic() + LIMIT
    while len(events) < enough and time.monotonic() < end:
        if select.select([descriptor], [], [], 0.05)[0]:
            stream.receive_data(os.read(descriptor, 65536))
            events += drain(stream)
    return events


def connect(source: str) -> socket.socket:
    host, port = source.removeprefix("tcp://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=LIMIT)


def wrong(folder: Path, *arguments: object) -> str:
    """Run it with wrong arguments, and give the one line that says what is wrong."""
    done = smarty_gateway("simulate", "--seconds", 0, *arguments, folder=folder)
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("smarty-gateway: ")
    return line


def test_a_luxembourg_meter_on_a_pseudo_terminal_is_read_with_the_keys_it_wrote(tmp_path: Path) -> None:
    with simulating(tmp_path, "--write-keys", "keys.yaml", "--speed", 100) as (_, [(meter, kind, source)]):
        assert kind == "luxembourg"
        assert source.startswith("/dev/")
        reader = os.open(source, os.O_RDWR | os.O_NOCTTY)
        try:
            events = listen(reader, load_key_ring(tmp_path / "keys.yaml"), 3)
        finally:
            os.close(reader)
    assert [telegram.meter_id for telegram in telegrams(events)][:3] == [meter] * 3


def test_mixed_meters_send_on_one_tcp_port_each(tmp_path: Path) -> None:
    arguments = ("--kind", "mixed", "--meters", 4, "--tcp", 0, "--write-keys", "keys.yaml", "--speed", 100)
    with simulating(tmp_path, *arguments, lines=4) as (_, lines):
        assert [kind for _, kind, _ in lines] == ["luxembourg", "belgium"] * 2
        keys = load_key_ring(tmp_path / "keys.yaml")
        for meter, _, source in lines:
            with connect(source) as client:
                assert {found.meter_id for found in telegrams(listen(client.fileno(), keys, 2))} == {meter}


def test_two_is_the_number_of_mixed_meters_and_one_of_others(tmp_path: Path) -> None:
    for kind, count in (("mixed", 2), ("belgium", 1), ("luxembourg", 1)):
        done = smarty_gateway("simulate", "--kind", kind, "--seconds", 0, folder=tmp_path)
        assert done.returncode == 0
        assert len(done.stdout.splitlines()) == count


def test_another_number_is_another_meter_with_another_key(tmp_path: Path) -> None:
    found = set()
    for number in (1, 7):
        arguments = ("--number", number, "--meters", 2, "--seconds", 0, "--write-keys", f"{number}.yaml")
        done = smarty_gateway("simulate", *arguments, folder=tmp_path)
        found |= {line.split()[0] for line in done.stdout.decode().splitlines()}
        assert f"SAG10307{number + 1:08d}" in (tmp_path / f"{number}.yaml").read_text()
    assert found == {f"SAG10307{number:08d}" for number in (1, 2, 7, 8)}


def test_a_dutch_meter_with_another_gas_meter_can_be_chosen(tmp_path: Path) -> None:
    arguments = ("--kind", "netherlands", "--gas-number", 9, "--tcp", 0, "--speed", 100)
    with simulating(tmp_path, *arguments) as (_, [(meter, kind, source)]), connect(source) as client:
        record = telegrams(listen(client.fileno(), KeyRing(), 1))[0].as_object()
    assert (kind, record["meter_id"]) == ("netherlands", meter)
    assert record["gas"]["id"] == "G0039000000000009"
    assert record["water"]["id"].endswith("1")


def test_the_link_of_a_running_simulation_is_refused_in_one_line_and_stays(tmp_path: Path) -> None:
    with simulating(tmp_path, "--link", "meter") as (first, [(_, _, source)]):
        assert "in use" in wrong(tmp_path, "--link", "meter")
        assert (tmp_path / source).resolve().is_char_device()
        assert first.poll() is None


def test_meter_n_is_on_port_plus_n(tmp_path: Path) -> None:
    for _ in range(20):  # somebody else may have the second port
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = min(probe.getsockname()[1], 65_534)
        arguments = ("--tcp", f"localhost:{port}", "--meters", 2, "--seconds", 0)
        done = smarty_gateway("simulate", *arguments, folder=tmp_path)
        if done.returncode == 0:
            break
    sources = [line.split()[-1] for line in done.stdout.decode().splitlines()]
    assert sources == [f"tcp://localhost:{port}", f"tcp://localhost:{port + 1}"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well_and_its_links_are_gone(tmp_path: Path, number: signal.Signals) -> None:
    with simulating(tmp_path, "--meters", 2, "--link", "meter", lines=2) as (process, lines):
        assert [source for _, _, source in lines] == ["meter0", "meter1"]
        assert (tmp_path / "meter1").resolve().is_char_device()
        process.send_signal(number)
        assert process.wait(LIMIT) == 0
        assert process.stderr is not None
        assert not process.stderr.read()
    assert not list(tmp_path.iterdir())


def test_it_ends_by_itself_after_the_seconds_it_was_given(tmp_path: Path) -> None:
    begin = time.monotonic()
    done = smarty_gateway("simulate", "--seconds", 0.5, folder=tmp_path)
    assert done.returncode == 0
    assert time.monotonic() - begin >= 0.5


def test_faults_go_out_as_they_were_asked_for(tmp_path: Path) -> None:
    arguments = ("--tcp", 0, "--write-keys", "keys.yaml", "--speed", 100, "--fault", "replay=1")
    with simulating(tmp_path, *arguments) as (_, [(_, _, source)]), connect(source) as client:
        events = listen(client.fileno(), load_key_ring(tmp_path / "keys.yaml"), 6)
    assert set(reasons(events)) == {"replay"}
    assert telegrams(events)


def test_the_period_is_one_of_the_meters_clock(tmp_path: Path) -> None:
    arguments = ("--kind", "belgium", "--tcp", 0, "--speed", 3000, "--period", 60)
    with simulating(tmp_path, *arguments) as (_, [(_, _, source)]), connect(source) as client:
        found = telegrams(listen(client.fileno(), KeyRing(), 3))
    assert {telegram.as_object()["timestamp"][17:19] for telegram in found} == {
        found[0].as_object()["timestamp"][17:19]
    }
    assert len({telegram.as_object()["timestamp"] for telegram in found}) == len(found)


def test_the_key_file_is_readable_by_its_owner_only_and_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    for meters in (1, 2):
        arguments = ("--seconds", 0, "--meters", meters, "--write-keys", path)
        assert smarty_gateway("simulate", *arguments, folder=tmp_path).returncode == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().count("SAG") == meters
        path.chmod(0o644)
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text("keys: {}\n")
    assert "not written by simulate" in wrong(tmp_path, "--write-keys", path)
    assert path.read_text() == "keys: {}\n"
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    wrong(tmp_path, "--write-keys", link)
    wrong(tmp_path, "--write-keys", tmp_path)


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"tcp://127.0.0.1:{port}: Address already in use" in wrong(tmp_path, "--tcp", port)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kind", "dutch"), "luxembourg, belgium, netherlands and mixed"),
        (("--number", "0"), "--number 0: a whole number from 1"),
        (("--number", "100000000"), "--number"),
        (("--number", "99999999", "--meters", "2"), "--meters"),
        (("--gas-number", "x"), "--gas-number"),
        (("--meters", "0"), "whole number from 1"),
        (("--meters", "many"), "whole number from 1"),
        (("--tcp", "localhost"), "the port of --tcp"),
        (("--tcp", "70000"), "65535"),
        (("--tcp", "65535", "--meters", "2"), "65536"),
        (("--tcp", "0", "--link", "x"), "--link"),
        (("--link", "nowhere/x"), "cannot make the link"),
        (("--speed", "0"), "--speed"),
        (("--speed", "nan"), "--speed"),
        (("--period", "0.5"), "--period"),
        (("--fault", "snow"), "noise, cut, replay, wrong-key, silence"),
        (("--fault", "cut=2"), "from 0 to 1"),
        (("--seed", "x"), "--seed"),
        (("--kind", "belgium", "--write-keys", "x"), "no keys to write"),
        (("--write-keys", "nowhere/x"), "cannot write"),
        (("--days", "7"), "add --into STATE"),
        (("--until", "2026-01-01"), "add --into STATE"),
        (("--gaps",), "add --into STATE"),
    ],
)
def test_wrong_arguments_are_one_clear_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in wrong(tmp_path, *arguments)
    assert not list(tmp_path.iterdir())


def simulate_into(folder: Path, *arguments: object) -> list[str]:
    """Write a history into the folder `state`, and return what is printed."""
    done = smarty_gateway("simulate", "--into", "state", *arguments, folder=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout.decode().splitlines()


def stored(folder: Path) -> tuple[list[HistoryMeter], dict[str, list[RegisterReading]]]:
    """Return the meters of the history in `state`, and the registers at the beginning of their days."""
    connection = open_history(folder / "state")
    assert connection is not None
    with closing(connection):
        reader = HistoryReader(connection, ZONE)
        meters = reader.meters()
        return meters, {meter.name: reader.registers(meter.name, None, None) for meter in meters}


def test_a_history_goes_into_a_state_folder_and_is_marked_as_simulated(tmp_path: Path) -> None:
    (line,) = simulate_into(tmp_path, "--days", 7, "--until", "2020-02-01")
    assert line.split()[:4] == ["simulated-house", "luxembourg", "673", "quarter"]
    (meter,), _ = stored(tmp_path)
    assert meter.is_simulated
    assert meter.meter_id == "SAG1030700000001"
    begin, end = (datetime.fromtimestamp(time, ZONE) for time in (meter.first, meter.last))
    assert (begin, end) == (datetime(2020, 1, 25, tzinfo=ZONE), datetime(2020, 2, 1, tzinfo=ZONE))


def test_a_history_without_an_end_ends_now(tmp_path: Path) -> None:
    before = int(time.time())
    simulate_into(tmp_path, "--days", 1)
    (meter,), _ = stored(tmp_path)
    assert before - 900 < meter.last <= time.time()


def test_histories_of_several_meters_are_those_of_the_meters_alone(tmp_path: Path) -> None:
    span = ("--days", 3, "--until", "2020-02-01")
    simulate_into(tmp_path, "--kind", "mixed", *span)
    meters, together = stored(tmp_path)
    assert [meter.name for meter in meters] == ["simulated-house", "simulated-house-2"]
    simulate_into(tmp_path, "--kind", "belgium", "--number", 2, *span)
    assert stored(tmp_path)[1] == together
    assert {"import_t1", "export_t2"} <= together["simulated-house-2"][0].values.keys()
    assert together["simulated-house-2"][-1].devices.keys() == {"gas", "water"}


def test_a_second_history_takes_the_place_of_the_first(tmp_path: Path) -> None:
    simulate_into(tmp_path, "--days", 9, "--until", "2020-02-01")
    simulate_into(tmp_path, "--days", 2, "--until", "2020-02-01", "--seed", 5)
    (meter,), readings = stored(tmp_path)
    assert meter.last - meter.first == 2 * 86_400
    assert len(readings["simulated-house"]) <= 3


def test_a_measured_history_of_that_name_is_left_alone(tmp_path: Path) -> None:
    measured = Boundary(1_700_000_100, "1SAG1", 1, (7, *[None] * 11))
    write_history(tmp_path / "state", "simulated-house", [measured])
    assert "measured history of simulated-house" in wrong_history(tmp_path, "--days", 1)
    (meter,), _ = stored(tmp_path)
    assert (meter.meter_id, meter.is_simulated) == ("1SAG1", False)


def wrong_history(folder: Path, *arguments: object) -> str:
    """Run it with wrong arguments, and return the one line that says what is wrong."""
    done = smarty_gateway("simulate", "--into", "state", *arguments, folder=folder)
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.decode().splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tcp", "0"), "sends nothing; leave out --tcp"),
        (("--pty", "--speed", "60"), "leave out --pty, --speed"),
        (("--link", "x"), "leave out --link"),
        (("--write-keys", "x"), "leave out --write-keys"),
        (("--fault", "cut"), "leave out --fault"),
        (("--replay", "x"), "leave out --replay"),
        (("--kind", "netherlands"), "histories of luxembourg, belgium and mixed"),
        (("--days", "0"), "--days 0: a whole number from 1"),
        (("--until", "tomorrow"), "--until tomorrow: a date such as"),
        (("--until", "2999-01-01"), "lies in the future"),
        (("--until", "0001-01-01"), "simulated meters begin on 2020-01-01"),
        (("--until", "2020-06-01"), "less than 365 days before 2020-06-01"),
    ],
)
def test_a_wrong_history_is_one_clear_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in wrong_history(tmp_path, *arguments)
    assert not list(tmp_path.iterdir())
