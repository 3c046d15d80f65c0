"""`capture` as users start it: on a real pseudo-terminal, over TCP, on recordings; ended in every way."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smarty_gateway.sources.capture_format import CaptureReader, CaptureWriter, Chunk
from tests.capture.test_redaction import encrypted_stream, everything_in, plain_stream
from tests.sources.test_capture_format import BEGAN
from tests.support.commands import SAMPLE, SAMPLE_KEYS, environment, smarty_gateway
from tests.support.streams import sample_keys
from vectors.building_blocks import HOUSE_KEY, HOUSE_TITLE, belgium, frame, luxembourg

LIMIT = 60.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, however long it takes within reason."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.02)


def chunks_in(path: Path) -> list[Chunk]:
    reader = CaptureReader()
    chunks = reader.feed(path.read_bytes()) + reader.finish()
    assert reader.unreadable_lines == 0
    return chunks


def bytes_in(path: Path) -> bytes:
    return b"".join(data for _, data in chunks_in(path)) if path.exists() else b""


@contextlib.contextmanager
def started(*arguments: object, stderr: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    """Start `capture`, and see to it that it ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "smarty_gateway", "capture", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def port() -> Iterator[tuple[int, str]]:
    """Return the meter's end of a serial line, and the name of ours."""
    meter, ours = os.openpty()
    tty.setraw(ours, termios.TCSANOW)
    try:
        yield meter, os.ttyname(ours)
    finally:
        os.close(meter)
        os.close(ours)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT)
        yield server


def address_of(server: socket.socket) -> str:
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


# Live sources


def test_a_serial_port_is_recorded_until_ctrl_c(port: tuple[int, str], tmp_path: Path) -> None:
    meter, name = port
    target = tmp_path / "a.capture"
    data = frame(luxembourg(1), counter=1)
    with started(name, target, "--keys", SAMPLE_KEYS) as process:
        # What came before the port was open is thrown away, so it is asked whether it is.
        until(lambda: os.write(meter, b"\r\n") > 0 and bytes_in(target) != b"", "the port is open")
        os.write(meter, data)
        until(lambda: bytes_in(target).endswith(data), "the bytes are in the file")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert target.stat().st_mode & 0o777 == 0o600
    size = len(bytes_in(target))
    assert re.search(rf"recorded \d+ s, {size} bytes, 1 telegrams, 0 rejected, to {target}", said.decode())
    assert f"source {name}, began ".encode() in target.read_bytes()


def test_tcp_is_recorded_and_a_lost_source_waited_for(listener: socket.socket, tmp_path: Path) -> None:
    target = tmp_path / "a.capture"
    first, second = belgium(1), belgium(2)
    with started(address_of(listener), target, "--telegrams", 2) as process:
        peer, _ = listener.accept()
        peer.sendall(first)
        until(lambda: bytes_in(target) == first, "the first telegram is in the file")
        peer.close()
        peer, _ = listener.accept()
        with peer:
            peer.sendall(second)
            _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert bytes_in(target) == first + second
    assert said.decode().count("trying again") == 1
    assert "is back" in said.decode()
    assert b"\n# lost at " in target.read_bytes()


def test_sigterm_ends_a_capture_as_ctrl_c_does(listener: socket.socket, tmp_path: Path) -> None:
    target = tmp_path / "a.capture"
    with started(address_of(listener), target) as process:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(b"abc")
            until(lambda: bytes_in(target) == b"abc", "the bytes are in the file")
            process.terminate()
            process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert bytes_in(target) == b"abc"


@pytest.mark.parametrize("options", [[], ["--redact"]])
def test_kill_9_leaves_a_readable_file(listener: socket.socket, tmp_path: Path, options: list[str]) -> None:
    target = tmp_path / "a.capture"
    data = [frame(luxembourg(second), counter=second) for second in (1, 2, 3)]
    whole = len(data[0]) + len(data[1])
    with started(address_of(listener), target, "--keys", SAMPLE_KEYS, *options) as process:
        peer, _ = listener.accept()
        with peer:
            for one in data:
                before = len(bytes_in(target))
                peer.sendall(one)
                until(lambda before=before: len(bytes_in(target)) > before, "the frame is in the file")  # type: ignore[misc]
            process.kill()
            process.wait(LIMIT)
    assert len(bytes_in(target)) >= whole
    keys = tmp_path / "a.keys.yaml" if options else SAMPLE_KEYS
    done = smarty_gateway("decode", target, "--keys", keys)
    assert done.stdout.count(b'"energy_import"') >= 2
    assert b"skipped" not in done.stderr
    assert b"rejected" not in done.stderr


def test_nothing_came(listener: socket.socket, tmp_path: Path) -> None:
    target = tmp_path / "a.capture"
    done = smarty_gateway("capture", address_of(listener), target, "--seconds", 0.5)
    assert done.returncode == 1
    assert b"nothing came" in done.stderr
    assert not target.exists()


def test_a_port_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    done = smarty_gateway("capture", tmp_path / "ttyUSB9", tmp_path / "a.capture", "--seconds", 3)
    assert done.returncode == 1
    assert done.stderr.count(b"trying again") == 1


def test_progress_is_shown_on_a_terminal(listener: socket.socket, tmp_path: Path) -> None:
    terminal, theirs = os.openpty()
    target = tmp_path / "a.capture"
    shown = b""
    try:
        with started(address_of(listener), target, stderr=theirs) as process:
            peer, _ = listener.accept()
            with peer:
                peer.sendall(belgium(1))
                end = time.monotonic() + LIMIT
                while b"1 telegrams, 0 rejected, Ctrl-C ends" not in shown:
                    assert time.monotonic() < end
                    shown += os.read(terminal, 4096)
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=LIMIT)
    finally:
        os.close(terminal)
        os.close(theirs)
    assert b"\r" in shown


# Recordings and limits


def test_a_recording_is_captured_to_its_end(tmp_path: Path) -> None:
    target = tmp_path / "a.capture"
    done = smarty_gateway("capture", SAMPLE, target, "--keys", SAMPLE_KEYS)
    assert done.returncode == 0
    assert bytes_in(target) == SAMPLE.read_bytes()
    direct = smarty_gateway("decode", SAMPLE, "--keys", SAMPLE_KEYS)
    again = smarty_gateway("decode", target, "--keys", SAMPLE_KEYS)
    assert again.stdout == direct.stdout
    assert again.stderr == direct.stderr


def test_frames_are_counted_without_a_key(tmp_path: Path) -> None:
    data = b"".join(frame(luxembourg(second), counter=second) for second in range(1, 6))
    target = tmp_path / "a.capture"
    done = smarty_gateway("capture", "-", target, "--telegrams", 3, data=data, folder=tmp_path)
    assert done.returncode == 0
    assert b"0 telegrams, 3 frames without a key" in done.stderr
    assert bytes_in(target) == data[: len(data) // 5 * 3]


def test_the_key_file_that_the_configuration_names_is_used(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(f"keys: {SAMPLE_KEYS}\nmeters: [{{source: a}}]\n", "utf-8")
    data = frame(luxembourg(1))
    done = smarty_gateway("capture", "-", "a.capture", data=data, folder=tmp_path)
    assert b"1 telegrams, 0 rejected" in done.stderr
    (tmp_path / "gateway.yaml").rename(tmp_path / "mine.yaml")
    done = smarty_gateway("capture", "-", "b.capture", "--config", "mine.yaml", data=data, folder=tmp_path)
    assert b"1 telegrams, 0 rejected" in done.stderr


def test_bytes_limit_is_exact(tmp_path: Path) -> None:
    target = tmp_path / "a.capture"
    assert smarty_gateway("capture", "-", target, "--bytes", 100, data=bytes(999)).returncode == 0
    assert bytes_in(target) == bytes(100)


def test_telegrams_limit_ends_behind_the_last_one(tmp_path: Path) -> None:
    target = tmp_path / "a.capture"
    first, second, third = belgium(1), belgium(2), belgium(3)
    done = smarty_gateway("capture", "-", target, "--telegrams", 2, data=first + second + third)
    assert done.returncode == 0
    assert bytes_in(target) == first + second


def old_capture(path: Path, data: bytes) -> list[Chunk]:
    """Write a capture of 500 bytes a chunk, one a second."""
    chunks = [(float(at // 500), data[at : at + 500]) for at in range(0, len(data), 500)]
    with path.open("wb") as file:
        writer = CaptureWriter(file.write, "/dev/ttyUSB0", BEGAN)
        for seconds, part in chunks:
            writer.chunk(seconds, part)
    return chunks


def test_a_capture_of_a_capture_keeps_its_times(tmp_path: Path) -> None:
    source, target = tmp_path / "old.capture", tmp_path / "new.capture"
    chunks = old_capture(source, SAMPLE.read_bytes())
    assert smarty_gateway("capture", source, target).returncode == 0
    assert chunks_in(target) == chunks
    assert b"began 2026-11-21T07:30:00.000+00:00\n" in target.read_bytes()
    part = tmp_path / "part.capture"
    assert smarty_gateway("capture", source, part, "--seconds", 2).returncode == 0
    assert chunks_in(part) == chunks[:3]


# What cannot be


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "a.capture"
    target.write_text("mine")
    done = smarty_gateway("capture", SAMPLE, target)
    assert done.returncode == 2
    assert done.stderr.decode() == (
        f"smarty-gateway: {target} exists; name another file, or remove it first\n"
    )
    assert target.read_text() == "mine"
    keys = tmp_path / "b.keys.yaml"
    keys.write_text("mine")
    assert smarty_gateway("capture", SAMPLE, tmp_path / "b.capture", "--redact").returncode == 2
    assert keys.read_text() == "mine"
    assert not (tmp_path / "b.capture").exists()


@pytest.mark.parametrize("source", ["no-such.bin", "tcp://nowhere", "mqtt://host:1", "/dev/null"])
def test_a_source_that_cannot_be_there(source: str, tmp_path: Path) -> None:
    done = smarty_gateway("capture", source, tmp_path / "a.capture", "--seconds", 60)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "a.capture").exists()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    done = smarty_gateway("capture", SAMPLE, ".", folder=tmp_path)
    assert done.returncode == 2
    assert b"is a folder" in done.stderr


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    done = smarty_gateway("capture", SAMPLE, tmp_path / "no folder" / "a.capture")
    assert done.returncode == 2
    assert b"cannot be written" in done.stderr


@pytest.mark.parametrize(
    "option", [("--seconds", "0"), ("--bytes", "-1"), ("--telegrams", "x"), ("--seconds", "nan")]
)
def test_a_limit_is_a_positive_number(option: tuple[str, str], tmp_path: Path) -> None:
    done = smarty_gateway("capture", SAMPLE, tmp_path / "a.capture", *option)
    assert done.returncode == 2
    assert not (tmp_path / "a.capture").exists()


# Redacted


@pytest.mark.parametrize("stream", [encrypted_stream(), plain_stream()])
def test_a_redacted_file_shows_nothing_and_decodes_as_before(stream: bytes, tmp_path: Path) -> None:
    source, target = tmp_path / "SAG1030700012345.capture", tmp_path / "new.capture"
    chunks = old_capture(source, stream)
    done = smarty_gateway("capture", source, target, "--keys", SAMPLE_KEYS, "--redact")
    assert done.returncode == 0
    assert b"redacted; none of the originals is left" in done.stderr
    assert [(seconds, len(data)) for seconds, data in chunks_in(target)] == [
        (seconds, len(data)) for seconds, data in chunks
    ]
    text = target.read_bytes()
    shown = everything_in(bytes_in(target), sample_keys()) + text
    for original in (
        b"SAG1030700012345",
        b"00012345",
        b"1SAG1100000001",
        b"2026-11-21",
        b"001234.568",
        b"000531.250",
    ):
        assert original not in shown
        assert original.hex().encode() not in shown.lower()
    for original in (HOUSE_TITLE, HOUSE_KEY):
        assert original.hex().encode() not in shown.lower()
    keys = tmp_path / "new.keys.yaml"
    options = []
    if keys.exists():
        assert keys.stat().st_mode & 0o777 == 0o600
        assert keys.read_text().startswith("# Dummy keys")
        assert HOUSE_KEY.hex() not in keys.read_text().lower()
        options = ["--keys", keys]
    assert keys.exists() == (stream == encrypted_stream())
    before = smarty_gateway("decode", source, "--keys", SAMPLE_KEYS)
    after = smarty_gateway("decode", target, *options, folder=tmp_path)
    assert after.returncode == before.returncode
    assert after.stdout.count(b"\n") == before.stdout.count(b"\n")
    rejected = re.compile(rb"rejected ([a-z-]+ offset=\d+)")
    assert rejected.findall(after.stderr) == rejected.findall(before.stderr)


def test_no_original_is_on_the_disk_at_any_time(listener: socket.socket, tmp_path: Path) -> None:
    """What is redacted live is redacted before it is written: watched while a frame comes in pieces."""
    target = tmp_path / "a.capture"
    data = belgium(1)
    with started(address_of(listener), target, "--redact") as process:
        peer, _ = listener.accept()
        with peer:
            peer.sendall(data[:400])
            peer.sendall(data[400:])
            until(lambda: len(bytes_in(target)) == len(data), "the telegram is in the file")
            assert b"1SAG1100000001".hex().upper().encode() not in bytes_in(target)
            peer.sendall(data[:500])  # never complete
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    text = bytes_in(target)
    assert b"1SAG1100000001".hex().upper().encode() not in text
    assert b"000531.250" not in text
