"""`run` reads real terminals and real TCP, through what a cellar can produce, and loses nothing."""

import itertools
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from smarty_gateway.simulator.ports import PtyPort, TcpPort
from smarty_gateway.state.store import Store
from smarty_gateway.state.store_rows import Holder, StoredCounter
from tests.support.commands import LIMIT, SAMPLE, SAMPLE_KEYS, smarty_gateway
from tests.support.running import Running, is_read, plugged_in, wait_until
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a key file."""
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"keys:\n  SAG1030700012345: {HOUSE_KEY.hex()}\n", "utf-8")
    keys.chmod(0o600)
    return tmp_path


def test_a_second_source_is_refused_instead_of_the_first_forgotten(folder: Path) -> None:
    done = smarty_gateway("run", "--source", SAMPLE, "--source", SAMPLE, folder=folder)
    assert done.returncode != 0
    assert "--source is for a single meter: write several into gateway.yaml" in done.stderr.decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def encrypted(second: int) -> bytes:
    return frame(luxembourg(second), counter=1000 + second)


def configure(folder: Path, *meters: str, rest: str = "outputs: {stdout: {format: json}}") -> None:
    (folder / "gateway.yaml").write_text(
        "meters:\n" + "".join(f"  - {{{m}}}\n" for m in meters) + rest, "utf-8"
    )


def _greeted(port: TcpPort) -> bool:
    port.write(b"\x00")
    return bool(port._clients)


def open_descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_encrypted_and_plaintext_meters_are_read_at_once_and_nothing_is_lost_or_doubled(folder: Path) -> None:
    rng = random.Random(7)
    tcp_port = free_port()
    with ExitStack() as stack:
        house = PtyPort(folder / "house")
        barn = PtyPort(folder / "barn")
        cabin = TcpPort("127.0.0.1", tcp_port)
        for port in (house, barn, cabin):
            stack.callback(port.close)
        configure(
            folder,
            f"name: house, source: {folder}/house",
            f"name: barn, source: {folder}/barn",
            f"name: cabin, source: tcp://127.0.0.1:{tcp_port}",
        )
        running = stack.enter_context(Running("run", folder=folder))
        for name in ("house", "barn"):
            running.wait_for_log(f"{folder}/{name} is open")
        # A TCP client is welcomed when something is sent.
        wait_until(lambda: _greeted(cabin), "a client")
        for second in range(30):
            noise = bytes(rng.choices(b"\x00\x11\xfe\x80", k=20))
            house.write(noise + encrypted(second))
            barn.write(belgium(second))
            cabin.write(netherlands(second))
            running.wait_for_readings(3 * (second + 1))
        for name in ("house", "barn", "cabin"):
            stamps = [reading["timestamp"] for reading in running.of(name)]
            assert len(stamps) == len(set(stamps)) == 30
        assert {reading["security"] for reading in running.of("house")} == {"authenticated"}
        assert {reading["security"] for reading in running.of("barn")} == {"plaintext"}
        assert all("received" in reading for reading in running.readings)
        assert running.stop() == 0
        assert not running.says("rejected")


def test_an_adapter_that_is_pulled_out_is_read_again_under_its_old_name(folder: Path) -> None:
    link = folder / "by-id"
    with Running(
        "run", "--source", link, "--keys", "keys.yaml", "--format", "json", folder=folder
    ) as running:
        running.wait_for_log("is not there")
        for cycle in range(4):
            with plugged_in(link) as port:
                running.wait_for_port(port.name)
                port.write(encrypted(cycle)[:600])
                port.write(encrypted(cycle)[600:])
                running.wait_for_readings(cycle + 1)
            running.wait_for_log("pulled out", cycle + 1)
        assert running.says("is back") == 4
        assert running.says("is not there") == 1
        assert running.stop() == 0
        assert len(running.lines) == 4


@pytest.mark.slow
def test_neither_threads_nor_descriptors_grow_over_replugging(folder: Path) -> None:
    link = folder / "by-id"
    with Running(
        "run", "--source", link, "--keys", "keys.yaml", "--format", "json", folder=folder
    ) as running:
        before = (0, 0)
        for cycle in range(8):
            with plugged_in(link) as port:
                running.wait_for_port(port.name)
                port.write(encrypted(cycle))
                running.wait_for_readings(cycle + 1)
                counts = (open_descriptors(running.pid), threads_of(running.pid))
                assert before in ((0, 0), counts)
                before = counts


def further_arenas(pid: int) -> list[str]:
    """Return the mappings with which the GNU C library begins a further arena of a process.

    Each begins at a multiple of 64 MB; what is not in use of its 64 MB is reserved right behind. The
    address alone would not tell: the kernel may give any other mapping such a one.
    """
    arena = 64 << 20
    lines = Path(f"/proc/{pid}/maps").read_text("utf-8", "replace").splitlines()
    found = []
    for line, following in itertools.pairwise(lines):
        begin, end = (int(address, 16) for address in line.split()[0].split("-"))
        reserved = f"{end:x}-{begin + arena:x} ---p"
        if begin % arena == 0 and following.startswith(reserved):
            found.append(line)
    return found


@pytest.mark.slow
def test_its_threads_share_their_memory(folder: Path) -> None:
    with (
        plugged_in(folder / "house") as port,
        Running(
            "run", "--source", folder / "house", "--keys", "keys.yaml", "--format", "json", folder=folder
        ) as running,
    ):
        running.wait_for_port(port.name)
        port.write(encrypted(0))
        running.wait_for_readings(1)
        assert not further_arenas(running.pid)


def test_frame_counters_outlive_a_stop_and_a_replay_is_refused_until_it_is_accepted(folder: Path) -> None:
    port = PtyPort(folder / "port")
    arguments = ("run", "--source", folder / "port", "--keys", "keys.yaml", "--format", "json")
    try:
        with Running(*arguments, folder=folder) as running:
            running.wait_for_port(port.name)
            port.write(encrypted(50))
            running.wait_for_readings(1)
            assert running.stop() == 0
        with Running(*arguments, folder=folder) as running:
            running.wait_for_port(port.name)
            port.write(encrypted(49))
            running.wait_for_log("rejected replay")
            assert running.says("reset-counter") == 0  # old frames that are sent again are the likelier cause
            done = smarty_gateway(
                "reset-counter", "SAG1030700012345", "--state", folder / "state/smarty-gateway"
            )
            assert done.returncode == 0, done.stderr
            running.wait_for_log("reset as requested")
            port.write(encrypted(49))
            running.wait_for_readings(1)
            assert running.stop() == 0
    finally:
        port.close()


def test_by_the_name_of_a_meter_that_was_replaced_only_the_counter_of_the_new_one_is_reset(
    tmp_path: Path,
) -> None:
    old, new = (bytes.fromhex(f"53414767700030{last}") for last in ("39", "40"))
    with Store(tmp_path) as store:
        store.write([StoredCounter(title, "f", 7, "house", "/a") for title in (old, new)])
        store.write_owners({}, {"house": Holder(new.hex(), is_authenticated=True)})
    assert smarty_gateway("reset-counter", "house", "--state", tmp_path, folder=tmp_path).returncode == 0
    with Store(tmp_path) as store:
        assert {row.title: row.counter for row in store.all_counters()} == {old: 7, new: -1}


def test_a_counter_is_reset_even_while_its_meter_is_away(folder: Path) -> None:
    arguments = ("run", "--source", folder / "port", "--keys", "keys.yaml", "--format", "json")
    with plugged_in(folder / "port") as port, Running(*arguments, folder=folder) as running:
        running.wait_for_port(port.name)
        port.write(encrypted(50))
        running.wait_for_readings(1)
        assert running.stop() == 0
    with Running(*arguments, folder=folder) as running:
        running.wait_for_log("is not there")
        state = folder / "state/smarty-gateway"
        done = smarty_gateway("reset-counter", "SAG1030700012345", "--state", state, folder=folder)
        assert done.returncode == 0, done.stderr
        running.wait_for_log("reset as requested")
        assert running.stop() == 0
    with plugged_in(folder / "port") as port, Running(*arguments, folder=folder) as running:
        running.wait_for_port(port.name)
        port.write(encrypted(40))
        running.wait_for_readings(1)


def test_frame_counters_are_valid_after_a_kill(folder: Path) -> None:
    port = PtyPort(folder / "port")
    arguments = ("run", "--source", folder / "port", "--keys", "keys.yaml", "--format", "json")
    try:
        for second in range(5):
            with Running(*arguments, folder=folder) as running:
                running.wait_for_port(port.name)
                port.write(encrypted(second))
                running.wait_for_readings(1)
                running.stop(signal.SIGKILL)
        with closing(sqlite3.connect(folder / "state/smarty-gateway/gateway.sqlite3")) as state:
            assert state.execute("PRAGMA quick_check").fetchone() == ("ok",)
    finally:
        port.close()


def test_a_signal_at_any_moment_is_heard(folder: Path) -> None:
    """A handler that takes a lock hangs where the main thread holds it: one in a thousand signals."""
    port = PtyPort(folder / "port")
    try:
        with Running("run", "--source", port.name, "--keys", "keys.yaml", folder=folder) as running:
            running.wait_for_port(port.name)
            for _ in range(20_000):
                running.send(signal.SIGHUP)
            assert running.stop() == 0
    finally:
        port.close()


def test_a_key_that_is_added_while_the_gateway_runs_is_used(folder: Path) -> None:
    keys = folder / "keys.yaml"
    good = keys.read_text("utf-8")
    keys.write_text(f"keys:\n  SAG1030700099999: {BARN_KEY.hex()}\n", "utf-8")
    port = PtyPort(folder / "port")
    try:
        with Running("run", "--source", port.name, "--keys", "keys.yaml", folder=folder) as running:
            running.wait_for_port(port.name)
            port.write(encrypted(1))
            running.wait_for_log("rejected no-key")
            keys.write_text("keys:\n  SAG1030700012345: 1234\n", "utf-8")
            running.send(signal.SIGHUP)
            running.wait_for_log("keeping the keys loaded before")
            keys.write_text(good, "utf-8")
            running.wait_for_log("was read")
            port.write(encrypted(2))
            running.wait_for_readings(1)
            assert running.says("rejected no-key") == 1
    finally:
        port.close()


def test_a_key_file_that_comes_later_is_found(folder: Path) -> None:
    (folder / "keys.yaml").rename(folder / "later.yaml")
    port = PtyPort(folder / "port")
    try:
        with Running("run", "--source", port.name, "--format", "json", folder=folder) as running:
            running.wait_for_port(port.name)
            port.write(encrypted(1))
            running.wait_for_log("rejected no-key")
            (folder / "later.yaml").rename(folder / "keys.yaml")
            running.wait_for_log("keys.yaml was read")
            port.write(encrypted(2))
            running.wait_for_readings(1)
    finally:
        port.close()


def test_plaintext_of_a_meter_that_has_sent_frames_is_refused_and_reported(folder: Path) -> None:
    (folder / "keys.yaml").write_text(f"keys:\n  any: {HOUSE_KEY.hex()}\n", "utf-8")
    port = PtyPort(folder / "port")
    try:
        for start in (1, 10):  # the second time by what the state folder says of the first
            with Running("run", "--source", folder / "port", "--keys", "keys.yaml", folder=folder) as running:
                running.wait_for_port(port.name)
                if start == 1:
                    port.write(encrypted(start))
                    running.wait_for_readings(1)
                port.write(luxembourg(start + 1))
                running.wait_for_log("rejected plaintext")
                port.write(luxembourg(start + 2) + encrypted(start + 3))
                running.wait_for_readings(2 if start == 1 else 1)
                assert running.says("meter must send encrypted frames but now sends plaintext") == 1
                assert {reading["security"] for reading in running.readings} == {"authenticated"}
                assert running.stop() == 0
    finally:
        port.close()


def test_credentials_of_the_service_manager_are_found_and_may_be_readable(folder: Path) -> None:
    credentials = folder / "credentials"
    credentials.mkdir()
    shutil.move(folder / "keys.yaml", credentials / "keys.yaml")
    (credentials / "keys.yaml").chmod(0o444)
    (folder / "one.bin").write_bytes(encrypted(1))
    env = {"CREDENTIALS_DIRECTORY": str(credentials)}
    with Running("run", "--source", "one.bin", folder=folder, env=env) as running:
        assert running.wait() == 0
        assert len(running.lines) == 1


def test_the_credential_of_the_key_file_comes_before_the_file_itself(folder: Path) -> None:
    credentials = folder / "credentials"
    credentials.mkdir()
    shutil.move(folder / "keys.yaml", credentials / "my-keys.yaml")
    (folder / "one.bin").write_bytes(encrypted(1))
    configure(folder, "name: house, source: one.bin")
    with (folder / "gateway.yaml").open("a", encoding="utf-8") as file:
        file.write("\nkeys: for-root-alone/my-keys.yaml\n")
    env = {"CREDENTIALS_DIRECTORY": str(credentials)}
    with Running("run", folder=folder, env=env) as running:
        assert running.wait() == 0
        assert len(running.lines) == 1


def test_each_meter_of_a_shared_source_goes_out_under_its_name(folder: Path) -> None:
    (folder / "keys.yaml").write_text(
        f"keys:\n  SAG1030700012345: {HOUSE_KEY.hex()}\n  {BARN_TITLE.hex()}: {BARN_KEY.hex()}\n", "utf-8"
    )
    recording = folder / "both.bin"
    recording.write_bytes(
        encrypted(1)
        + frame(luxembourg(2, name="SAG1030700012352"), key=BARN_KEY, title=BARN_TITLE)
        + belgium(3)
    )
    configure(
        folder,
        "name: house, source: both.bin, id: SAG1030700012345",
        f"name: barn, source: both.bin, id: {BARN_TITLE.hex()}",
    )
    done = smarty_gateway("run", folder=folder)
    assert done.returncode == 0
    names = [line.split(b'"')[3] for line in done.stdout.splitlines()]
    assert names == [b"house", b"barn", b"1SAG1100000001"]
    assert b"unconfigured meter on this source" in done.stderr


def test_of_two_ports_that_send_the_same_meter_only_one_is_believed(folder: Path) -> None:
    ports = [PtyPort(folder / name) for name in ("one", "two")]
    configure(folder, *(f"source: '{port.name}'" for port in ports))
    try:
        with Running("run", folder=folder) as running:
            for port in ports:
                running.wait_for_port(port.name)
            ports[0].write(belgium(0))
            running.wait_for_readings(1)
            ports[1].write(belgium(0))
            running.wait_for_log("ignoring 1SAG1100000001 on this source")
            ports[0].write(belgium(1))
            running.wait_for_readings(2)
            assert [reading["timestamp"][17:19] for reading in running.readings] == ["00", "01"]
    finally:
        for port in ports:
            port.close()


def test_the_name_of_a_meter_on_a_shared_port_may_be_written_in_any_case(folder: Path) -> None:
    (folder / "one.bin").write_bytes(belgium(1))
    configure(folder, "name: barn, source: one.bin, id: 1sag1100000001")
    done = smarty_gateway("run", folder=folder)
    assert b'"meter":"barn"' in done.stdout, done.stderr


def test_a_port_that_is_in_use_is_said_once_and_read_when_it_is_free(folder: Path) -> None:
    port = PtyPort(folder / "port")
    try:
        with Running("run", "--source", port.name, "--keys", "keys.yaml", folder=folder) as first:
            first.wait_for_port(port.name)
            with Running(
                "run",
                "--source",
                port.name,
                "--keys",
                "keys.yaml",
                "--state",
                folder / "other",
                folder=folder,
            ) as second:
                second.wait_for_log("another program uses the port")
                first.stop()
                second.wait_for_port(port.name)
                port.write(encrypted(1))
                second.wait_for_readings(1)
                assert second.says("another program") == 1
                assert second.says("is back") == 1
    finally:
        port.close()


def test_two_gateways_do_not_share_a_state_folder(folder: Path) -> None:
    port = PtyPort(folder / "port")
    try:
        with Running("run", "--source", port.name, "--state", folder / "state", folder=folder) as running:
            running.wait_for_port(port.name)
            done = smarty_gateway("run", "--source", port.name, "--state", folder / "state", folder=folder)
            assert done.returncode == 78
            assert b"another smarty-gateway uses the state folder" in done.stderr
    finally:
        port.close()


class _Peer(threading.Thread):
    """A TCP server that does with each client what a test says."""

    def __init__(self, answer: "list[bytes]", *, stay: bool = True) -> None:
        super().__init__(daemon=True)
        self.answer = answer
        self._stay = stay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []
        self.port = int(self._listener.getsockname()[1])
        self.welcomed = 0

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.welcomed += 1
            self._clients.append(client)
            try:
                for data in self.answer:
                    client.sendall(data)
            except OSError:
                continue
            if not self._stay:
                client.close()

    def close(self) -> None:
        self._listener.close()
        for client in self._clients:
            client.close()


@pytest.fixture
def peers() -> Iterator[list[_Peer]]:
    """Return a list whose servers are closed at the end."""
    found: list[_Peer] = []
    yield found
    for peer in found:
        peer.close()


def test_telnet_commands_are_no_part_of_a_telegram(folder: Path, peers: list[_Peer]) -> None:
    peer = _Peer([b"\xff\xfb\x03\xff\xfd\x01", belgium(1)[:300], b"\xff\xf1" + belgium(1)[300:]])
    peers.append(peer)
    peer.start()
    with Running("run", "--source", f"tcp://127.0.0.1:{peer.port}", folder=folder) as running:
        running.wait_for_readings(1)


@pytest.mark.slow
def test_a_peer_that_accepts_and_closes_makes_no_hot_loop_and_one_line(
    folder: Path, peers: list[_Peer]
) -> None:
    peer = _Peer([], stay=False)
    peers.append(peer)
    peer.start()
    with Running("run", "--source", f"tcp://127.0.0.1:{peer.port}", folder=folder) as running:
        wait_until(lambda: peer.welcomed >= 4, "four attempts")
        assert running.says("closed the connection") == 1
        assert peer.welcomed < 8


def test_a_bridge_that_is_busy_says_so_and_closes_and_is_one_line(folder: Path, peers: list[_Peer]) -> None:
    peer = _Peer([b"Port already in use\r\n"], stay=False)
    peers.append(peer)
    peer.start()
    with Running("run", "--source", f"tcp://127.0.0.1:{peer.port}", folder=folder) as running:
        wait_until(lambda: peer.welcomed >= 4, "four attempts")
        assert running.says("closed the connection") == 1
        assert not running.says("is back")


def test_a_meter_is_back_soon_behind_a_flood_of_garbage(folder: Path, peers: list[_Peer]) -> None:
    peer = _Peer([random.Random(3).randbytes(1_000_000)] * 20)
    peers.append(peer)
    peer.start()
    with Running("run", "--source", f"tcp://127.0.0.1:{peer.port}", folder=folder) as running:
        running.wait_for_log("faster than any meter")
        peer.answer = [belgium(1)]
        running.wait_for_readings(1)
        running.wait_for_log("is back")


def test_a_bridge_that_closes_behind_each_telegram_loses_none(folder: Path, peers: list[_Peer]) -> None:
    peer = _Peer([belgium(1)], stay=False)
    peers.append(peer)
    peer.start()
    with Running("run", "--source", f"tcp://127.0.0.1:{peer.port}", folder=folder) as running:
        running.wait_for_readings(3)
        assert abs(peer.welcomed - len(running.lines)) <= 1


def test_a_peer_that_floods_garbage_does_not_hold_up_the_other_meters(
    folder: Path, peers: list[_Peer]
) -> None:
    garbage = random.Random(3).randbytes(1_000_000)
    peer = _Peer([garbage] * 1000)
    peers.append(peer)
    peer.start()
    port = PtyPort(folder / "port")
    configure(
        folder,
        f"name: flood, source: 'tcp://127.0.0.1:{peer.port}'",
        f"name: house, source: {folder}/port",
    )
    try:
        with Running("run", folder=folder) as running:
            running.wait_for_log(f"{port.name} is open")
            wait_until(lambda: peer.welcomed, "a client")
            for second in range(20):
                port.write(encrypted(second))
                running.wait_for_readings(second + 1, "house")
    finally:
        port.close()


@pytest.mark.slow
def test_a_port_with_another_speed_is_found_out_and_said(folder: Path) -> None:
    port = PtyPort(folder / "port")
    stop = threading.Event()

    def speak() -> None:
        second = 0
        while not stop.wait(0.5):
            second = (second + 1) % 600
            settings = termios.tcgetattr(port._master)
            fits = settings[4] == termios.B9600
            port.write(with_parity(belgium(second)) if fits else os.urandom(400))

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        with Running("run", "--source", port.name, folder=folder) as running:
            running.wait_for_log("trying 9600 7E1")
            running.wait_for_readings(1)
            running.wait_for_log("write `speed: 9600` and `framing: 7E1`")
    finally:
        stop.set()
        speaker.join(LIMIT)
        port.close()


@pytest.mark.skipif(
    shutil.which("ser2net") is None, reason="ser2net is not on this machine; .ci/run installs it"
)
def test_meters_behind_a_real_ser2net_are_read_over_tcp_and_rfc2217(folder: Path) -> None:
    plain, lent = free_port(), free_port()
    with ExitStack() as stack:
        house = PtyPort(folder / "house")
        barn = PtyPort(folder / "barn")
        for port in (house, barn):
            stack.callback(port.close)
        settings = folder / "ser2net.yaml"
        settings.write_text(
            f"connection: &a\n  accepter: tcp,127.0.0.1,{plain}\n"
            f"  connector: serialdev,{house.name},115200n81,local\n"
            f"connection: &b\n  accepter: telnet(rfc2217),tcp,127.0.0.1,{lent}\n"
            f"  connector: serialdev,{barn.name},115200n81,local\n",
            "utf-8",
        )
        server = subprocess.Popen([shutil.which("ser2net") or "ser2net", "-n", "-c", str(settings)])
        stack.callback(server.wait, LIMIT)
        stack.callback(server.kill)
        configure(
            folder,
            f"name: house, source: 'tcp://127.0.0.1:{plain}'",
            f"name: barn, source: 'rfc2217://127.0.0.1:{lent}'",
        )
        running = stack.enter_context(Running("run", folder=folder))
        wait_until(lambda: is_read(house.name, server.pid) and is_read(barn.name, server.pid), "open ports")

        # The client of RFC 2217 empties its buffer when all is agreed, which nobody can see from here.
        def has_begun() -> bool:
            barn.write(belgium(0))
            assert running.is_alive, running.log
            return bool(running.of("barn"))

        wait_until(has_begun, "a first telegram")
        for second in range(1, 10):
            house.write(encrypted(second))
            barn.write(belgium(second))
            running.wait_for_readings(second, "house")
            last = str(second)
            wait_until(lambda last=last: running.of("barn")[-1]["timestamp"][18] == last, "barn")  # type: ignore[misc]
        assert running.stop() == 0
        assert not running.says("rejected")


def test_a_recording_is_read_to_its_end_and_leaves_no_state(folder: Path) -> None:
    keys = folder / "sample.keys.yaml"
    keys.write_bytes(SAMPLE_KEYS.read_bytes())
    keys.chmod(0o600)
    with Running("run", "--source", SAMPLE, "--keys", keys, folder=folder) as running:
        assert running.wait() == 0
        assert len(running.lines) == 9
    assert not (folder / "state").exists()


def test_a_recording_changes_nothing_of_what_is_known_about_live_meters(folder: Path) -> None:
    port = PtyPort(folder / "port")
    configure(folder, f"name: house, source: {folder}/port")
    try:
        with Running("run", folder=folder) as running:
            running.wait_for_port(port.name)
            port.write(encrypted(500))
            running.wait_for_readings(1)
            assert running.stop() == 0
        with Store(folder / "state/smarty-gateway") as store:
            before = store.all_counters(), store.owners(), store.holders()
        (folder / "old.bin").write_bytes(encrypted(1) + encrypted(2))
        with Running(
            "run", "--source", "old.bin", "--keys", "keys.yaml", "--mqtt", "mqtt://127.0.0.1:9", folder=folder
        ) as running:
            running.wait_for_log("no broker answers")
            running.stop()
        with Store(folder / "state/smarty-gateway") as store:
            assert (store.all_counters(), store.owners(), store.holders()) == before
    finally:
        port.close()


def test_two_entries_may_spell_one_port_differently(folder: Path) -> None:
    (folder / "keys.yaml").unlink()
    port = PtyPort(folder / "port")
    (folder / "other").symlink_to(folder / "port")
    configure(
        folder,
        f"name: house, source: {folder}/port, id: 1SAG1100000001",
        f"name: barn, source: {folder}/other, id: E0044000000000001",
    )
    try:
        with Running("run", folder=folder) as running:
            running.wait_for_port(port.name)
            port.write(belgium(1) + netherlands(2))
            running.wait_for_readings(2)
            assert {reading["meter"] for reading in running.readings} == {"house", "barn"}
    finally:
        port.close()


def test_standard_input_is_a_source(folder: Path) -> None:
    done = smarty_gateway("run", "--source", "-", data=belgium(1), folder=folder)
    assert done.returncode == 0
    assert b'"1SAG1100000001"' in done.stdout


def test_a_rejection_of_one_meter_on_a_shared_recording_ends_with_1(folder: Path) -> None:
    (folder / "both.bin").write_bytes(frame(luxembourg(1), key=BARN_KEY, title=BARN_TITLE) + belgium(3))
    configure(
        folder,
        f"name: house, source: both.bin, id: {BARN_TITLE.hex()}",
        "name: barn, source: both.bin, id: 1SAG1100000001",
    )
    done = smarty_gateway("run", folder=folder)
    assert (done.returncode, done.stdout.count(b"\n")) == (1, 1), done.stderr


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (belgium(1), 0, b""),
        (belgium(1).replace(b"000531", b"000532") + belgium(2), 1, b"rejected checksum"),
        (encrypted(1)[:-1] + b"x", 1, b"no valid telegram found"),
        (b"", 1, b"no valid telegram found"),
    ],
)
def test_a_recording_that_is_not_all_good_ends_with_1(
    folder: Path, data: bytes, status: int, words: bytes
) -> None:
    done = smarty_gateway("run", "--source", "-", data=data, folder=folder)
    assert done.returncode == status, done.stderr
    assert words in done.stderr


def test_both_signals_end_it_cleanly(folder: Path) -> None:
    port = PtyPort(folder / "port")
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            with Running("run", "--source", port.name, folder=folder) as running:
                running.wait_for_port(port.name)
                assert running.stop(number) == 0
                assert not [line for line in running.log if not line.endswith((" is open", " is closed"))]
    finally:
        port.close()


def test_the_service_manager_is_told_of_ready_alive_and_stopping(folder: Path) -> None:
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(folder / "notify"))
    manager.settimeout(LIMIT)
    env = {"NOTIFY_SOCKET": str(folder / "notify"), "WATCHDOG_USEC": "400000"}
    with manager, Running("run", "--source", folder / "missing", folder=folder, env=env) as running:
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"WATCHDOG=1"
        assert running.stop() == 0
        received = {manager.recv(100)}
        while b"STOPPING=1" not in received:
            received.add(manager.recv(100))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("run",), 2, "nothing to run"),
        (("run", "--source", "missing.bin"), 2, "no such file"),
        (("run", "--source", "tcp://host"), 2, "the port is required"),
        (("run", "--source", "http://host:80"), 2, "starts with tcp://"),
        (("run", "--source", "-", "--mqtt", "localhost"), 2, "mqtt://"),
        (("run", "--mqtt", "mqtt://localhost"), 2, "--source"),
        (("run", "--source", "-", "--config", "gateway.yaml"), 2, "exclude each other"),
        (("run", "--config", "bad.yaml"), 78, "bad.yaml:1"),
        (("run", "--source", "-", "--keys", "open.yaml"), 78, "chmod 600"),
        (("run", "--source", "/dev/null", "--state", "keys.yaml"), 78, "state folder"),
        (("run", "--source", "-", "--keys", "ab" * 16), 78, "looks like a key and is not shown"),
        (("reset-counter", "nobody", "--state", "s"), 2, "there are no counters"),
    ],
)
def test_what_is_wrong_at_the_start_is_one_line(
    folder: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    (folder / "bad.yaml").write_text("metres: []\n", "utf-8")
    (folder / "open.yaml").write_text(f"keys:\n  any: {'5F' * 16}\n", "utf-8")
    (folder / "open.yaml").chmod(0o644)
    done = smarty_gateway(*arguments, folder=folder, data=b"")
    assert done.returncode == status, done.stderr
    assert words in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
