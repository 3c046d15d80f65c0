"""Each condition is produced on a real port, and `doctor` reports its code.

Ports are pseudo-terminals and TCP ports; recordings are in test_doctor_recordings. The table in
protocol.md names these tests.
"""

import fcntl
import json
import os
import pty
import random
import re
import select
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest

from smarty_gateway.doctor.kinds import Code
from tests.support.commands import ROOT, environment, smarty_gateway
from tests.support.doctor_runs import (
    BARN,
    HOUSE,
    LIMIT,
    NOBODYS_KEY,
    PERIOD,
    Keys,
    Run,
    house,
    port_sending,
    tcp_sending,
)
from tests.support.uart import at_other_speed, inverted, line, receive
from vectors.building_blocks import (
    BARN_KEY,
    BARN_TITLE,
    HOUSE_KEY,
    belgium,
    frame,
    luxembourg,
    netherlands,
    with_parity,
)


def test_a_port_that_sends_nothing_is_silent(tmp_path: Path) -> None:
    with port_sending(lambda *_: b"") as port:
        run = Run(port, "--seconds", "1", folder=tmp_path)
    assert run.codes == ["silent"]
    assert run.status == 1
    for word in ("cable", "data request", "Luxembourg", "Flanders", "mijn.fluvius.be"):
        assert word in run.first


def void(_: object) -> None:
    """Ignore a result."""


def test_a_bridge_that_sends_nothing_is_silent(tmp_path: Path) -> None:
    with tcp_sending(lambda _, stop: void(stop.wait(LIMIT))) as address:
        run = Run(address, "--seconds", "1", folder=tmp_path)
    assert run.codes == ["silent"]
    assert "bridge" in run.first


def test_an_inverted_plaintext_meter_on_a_port(tmp_path: Path) -> None:
    data = receive(inverted(line(belgium(1))))
    with port_sending(lambda *_: data) as port:
        run = Run(port, "--seconds", "2", folder=tmp_path)
    assert run.codes == ["inverted"]
    assert run.status == 1


def test_an_old_meter_is_found_at_its_speed(tmp_path: Path) -> None:
    text = with_parity(netherlands(1))
    garbage = receive(at_other_speed(line(text[:200]), 12), waits_for_fall=False)

    def send(_: int, speed: int) -> bytes:
        return text if speed == termios.B9600 else garbage

    with port_sending(send) as port:
        run = Run(port, "--seconds", LIMIT, folder=tmp_path)
    assert sorted(run.codes) == ["healthy", "line-settings"]
    assert run.status == 0
    assert run.report["line"] == "9600 7E1"


def test_a_port_that_another_program_uses(tmp_path: Path) -> None:
    with port_sending(lambda *_: b"") as port:
        descriptor = os.open(port, os.O_RDONLY | os.O_NOCTTY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            run = Run(port, folder=tmp_path)
        finally:
            os.close(descriptor)
    assert run.codes == ["busy"]
    assert run.status == 1
    assert "fuser" in run.first


def test_a_port_that_is_not_there(tmp_path: Path) -> None:
    run = Run("/dev/no-such-serial-adapter", folder=tmp_path)
    assert run.codes == ["missing"]
    assert run.status == 1


def test_a_bridge_that_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert Run(f"tcp://127.0.0.1:{port}", folder=tmp_path).codes == ["missing"]


#: Root may open everything as long as it has these two capabilities; who is not root has none to drop.
WITHOUT_CAPABILITIES = (
    "import ctypes, os, sys; prctl = ctypes.CDLL(None).prctl; "
    "prctl(24, 1, 0, 0, 0); prctl(24, 2, 0, 0, 0); "
    "os.execv(sys.executable, [sys.executable, '-m', 'smarty_gateway', *sys.argv[1:]])"
)


def test_a_port_without_permission() -> None:
    with port_sending(lambda *_: b"") as port:
        Path(port).chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_CAPABILITIES, "doctor", port, "--format", "json"],
            capture_output=True,
            check=False,
            cwd=ROOT,
            env=environment(),
            timeout=LIMIT,
        )
    assert [found["code"] for found in json.loads(done.stdout)["findings"]] == ["permission"]


def test_a_device_that_is_no_port(tmp_path: Path) -> None:
    assert Run("/dev/null", folder=tmp_path).codes == ["unfit"]


def test_a_bridge_that_closes_each_connection(tmp_path: Path) -> None:
    with tcp_sending(lambda *_: None) as address:
        run = Run(address, "--seconds", "1", folder=tmp_path)
    assert run.codes == ["lost"]
    assert run.status == 1


GARBAGE = random.Random(5).randbytes(600)


def test_a_lost_byte_on_a_live_port(tmp_path: Path, keys: Keys) -> None:
    def send(number: int, speed: int) -> bytes:
        data = house(number) if speed == termios.B115200 else GARBAGE
        return data[:500] + data[501:] if number % 3 == 1 else data

    with port_sending(send) as port:
        run = Run(port, "--seconds", "3", "--keys", keys(**{HOUSE: HOUSE_KEY}), folder=tmp_path)
    assert run.codes == ["healthy", "damaged"]
    assert "lost bytes" in run.findings[1]["text"]


def test_a_first_frame_that_is_cut_changes_no_settings(tmp_path: Path, keys: Keys) -> None:
    def send(number: int, speed: int) -> bytes:
        data = house(number) if speed == termios.B115200 else GARBAGE
        return data[:512] if number == 1 else data

    with port_sending(send) as port:
        run = Run(port, "--seconds", "3", "--keys", keys(**{HOUSE: HOUSE_KEY}), folder=tmp_path)
    assert run.codes == ["healthy", "truncated"]
    assert run.report["line"] == "115200 8N1"


def test_a_meter_at_the_last_settings_is_found_though_the_time_is_short(tmp_path: Path) -> None:
    with port_sending(lambda n, speed: belgium(n) if speed == termios.B2400 else GARBAGE) as port:
        run = Run(port, "--seconds", "1.6", folder=tmp_path)
    assert sorted(run.codes) == ["healthy", "line-settings"]
    assert run.report["line"] == "2400 8E1"
    assert any("does not try these settings by itself" in found["advice"] for found in run.findings)


def test_a_sound_luxembourg_meter_ends_early(tmp_path: Path, keys: Keys) -> None:
    key_file = keys(**{HOUSE: HOUSE_KEY})
    began = time.monotonic()
    with port_sending(lambda number, _: house(number)) as port:
        run = Run(port, "--seconds", "600", "--keys", key_file, folder=tmp_path)
    assert time.monotonic() - began < LIMIT
    assert run.codes == ["healthy"]
    assert run.status == 0
    for word in (HOUSE, "Luxembourg", "4.2", "every 10 s", "3 phases", "gas GFLO2133031470"):
        assert word in run.first


def test_a_port_of_an_edge_ends_early_without_a_key(tmp_path: Path) -> None:
    began = time.monotonic()
    with port_sending(lambda number, _: house(number)) as port:
        run = Run(port, "--seconds", 2 * LIMIT, "--config", edge_on(port, tmp_path), folder=tmp_path)
    assert time.monotonic() - began < LIMIT
    assert (run.codes, run.status) == (["forwarded"], 0)


def test_an_edge_without_a_key_is_told_of_settings_that_run_does_not_try(tmp_path: Path) -> None:
    with port_sending(lambda n, speed: house(n) if speed == termios.B19200 else GARBAGE) as port:
        run = Run(port, "--seconds", LIMIT, "--config", edge_on(port, tmp_path), folder=tmp_path)
    assert sorted(run.codes) == ["forwarded", "line-settings"]
    assert run.status == 1


def edge_on(port: str, folder: Path) -> Path:
    """Write the gateway.yaml of an edge that reads this port."""
    path = folder / "edge.yaml"
    text = f"meters: [{{source: {port}}}]\noutputs: {{forward: {{urls: mqtts://edge@a.example}}}}\n"
    path.write_text(text, "utf-8")
    return path


def test_a_sound_belgian_meter_on_tcp(tmp_path: Path) -> None:
    def serve(client: socket.socket, stop: threading.Event) -> None:
        number = 0
        while not stop.wait(PERIOD):
            number += 1
            client.sendall(belgium(number))

    with tcp_sending(serve) as address:
        run = Run(address, "--seconds", LIMIT, folder=tmp_path)
    assert run.codes == ["healthy"]
    assert run.status == 0
    for word in ("Belgium", "e-MUCS 1.7", "every 1 s", "1 phase"):
        assert word in run.first


def test_the_simulated_meter_is_sound(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "smarty_gateway", "simulate", "--speed", "20", "--write-keys", "sim.yaml"],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env=environment() | {"PYTHONPATH": str(ROOT)},
    ) as simulator:
        try:
            assert simulator.stdout is not None
            port = re.search(rb"/dev/pts/[0-9]+", simulator.stdout.readline())
            assert port is not None
            run = Run(port[0].decode(), "--seconds", LIMIT, "--keys", "sim.yaml", folder=tmp_path)
        finally:
            simulator.terminate()
    assert run.codes == ["healthy"]


def test_a_recording_on_standard_input(tmp_path: Path) -> None:
    assert Run("-", folder=tmp_path, data=belgium(1) + belgium(2)).codes == ["healthy"]


def test_the_text_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "recording.bin").write_bytes(house(1))
    done = smarty_gateway("doctor", "recording.bin", folder=tmp_path)
    text = " ".join(done.stdout.decode().split())
    assert "1. Encrypted frames come from a meter" in text
    assert "What to do: Compare the serial number" in text
    assert max(map(len, done.stdout.decode().splitlines())) <= 88


def test_no_such_file_is_wrong_usage(tmp_path: Path) -> None:
    done = smarty_gateway("doctor", "nothing.bin", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 1


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan", "inf"])
def test_an_impossible_time_is_wrong_usage(tmp_path: Path, seconds: str) -> None:
    assert smarty_gateway("doctor", "-", f"--seconds={seconds}", folder=tmp_path, data=b"").returncode == 2


def test_an_unusable_key_file_ends_with_78(tmp_path: Path, keys: Keys) -> None:
    path = keys(**{HOUSE: "1234"})
    assert smarty_gateway("doctor", "-", "--keys", path, folder=tmp_path, data=b"").returncode == 78


def test_neither_keys_nor_refused_plaintext_are_shown(tmp_path: Path, keys: Keys) -> None:
    entry = f"{{encryption_key: {HOUSE_KEY.hex()}, authentication_key: {NOBODYS_KEY.hex()}}}"
    path = keys(**{HOUSE: entry, BARN: BARN_KEY})
    data = house(1) + frame(luxembourg(1), key=HOUSE_KEY, title=BARN_TITLE, counter=1) + luxembourg(1)
    (tmp_path / "recording.bin").write_bytes(data)
    done = smarty_gateway("doctor", "recording.bin", "--keys", path, "-v", folder=tmp_path)
    said = (done.stdout + done.stderr).decode().lower()
    assert said.count("rejected ") == 3
    for hidden in (HOUSE_KEY.hex(), BARN_KEY.hex(), NOBODYS_KEY.hex(), "1234.567", "gflo", "253000001"):
        assert hidden not in said


def read_until(descriptor: int, wanted: bytes) -> bytes:
    """Read a terminal until the wanted bytes have come."""
    found = b""
    ends = time.monotonic() + LIMIT
    while wanted not in found:
        assert select.select([descriptor], [], [], max(0.0, ends - time.monotonic()))[0], found
        found += os.read(descriptor, 4096)
    return found


def test_a_terminal_shows_a_countdown_and_ctrl_c_ends_it_with_a_report(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    with (
        port_sending(lambda *_: b"") as port,
        subprocess.Popen(
            [sys.executable, "-m", "smarty_gateway", "doctor", port, "--seconds", "600"],
            stdout=subprocess.PIPE,
            stderr=slave,
            cwd=tmp_path,
            env=environment() | {"PYTHONPATH": str(ROOT)},
        ) as doctor,
    ):
        os.close(slave)
        assert b"listening to" in read_until(master, b" s left")
        doctor.send_signal(signal.SIGINT)
        out, _ = doctor.communicate(timeout=LIMIT)
    os.close(master)
    assert b"[silent]" in out
    assert doctor.returncode == 1


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_report_is_wrapped_at_the_width_of_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    (tmp_path / "recording.bin").write_bytes(house(1))
    lines = smarty_gateway("doctor", "recording.bin", folder=tmp_path).stdout.decode().splitlines()
    assert min(columns, 88) - 14 < max(map(len, lines)) <= min(columns, 88)


@pytest.mark.parametrize("columns", [24, 40, 60, 120])
def test_the_countdown_fits_into_one_line_and_keeps_its_numbers(tmp_path: Path, columns: int) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    with (
        port_sending(lambda *_: b"") as port,
        subprocess.Popen(
            [sys.executable, "-m", "smarty_gateway", "doctor", port, "--seconds", "600"],
            stdout=subprocess.DEVNULL,
            stderr=slave,
            cwd=tmp_path,
            env=environment() | {"PYTHONPATH": str(ROOT)},
        ) as doctor,
    ):
        os.close(slave)
        shown = read_until(master, b"0 telegrams").decode()
        doctor.send_signal(signal.SIGINT)
        doctor.wait(LIMIT)
    os.close(master)
    line = shown.partition("\x1b[K")[2]
    assert len(line) < columns
    assert "0 bytes, 0 telegrams" in line


def test_what_came_before_a_loss_is_shown_before_it(tmp_path: Path, keys: Keys) -> None:
    def send_and_close(client: socket.socket, _: threading.Event) -> None:
        client.sendall(house(1) + house(2)[:300])

    with tcp_sending(send_and_close) as address:
        run = Run(address, "--seconds", "1.5", "--keys", keys(**{HOUSE: HOUSE_KEY}), folder=tmp_path)
    said = [line for line in run.errors.splitlines() if "rejected" in line or "closed" in line]
    assert "rejected malformed" in said[0]
    assert "closed the connection" in said[1]


def test_the_tests_that_the_table_names_are_here() -> None:
    table = (ROOT / "tests/doctor/protocol.md").read_text("utf-8")
    named = set(re.findall(r"`(test_\w+)`", table))
    assert named
    files = [ROOT / f"tests/doctor/test_doctor_{name}.py" for name in ("command", "recordings")]
    there = set(re.findall(r"def (test_\w+)", "".join(file.read_text("utf-8") for file in files)))
    assert named <= there


def test_the_table_has_a_row_for_every_code() -> None:
    table = (ROOT / "tests/doctor/protocol.md").read_text("utf-8")
    assert set(re.findall(r"\| `([a-z0-9-]+)` \| `test_", table)) == set(Code)
