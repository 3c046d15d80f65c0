"""Whatever is named as a file of keys, settings or a password, no command waits for it for long."""

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from smarty_gateway.config.small_file import UnreadableFileError, read_small_file
from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed
from smarty_gateway.outputs.mqtt.connection import Connection
from tests.support.commands import SAMPLE, SAMPLE_KEYS, environment, smarty_gateway


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    return path


def test_a_pipe_is_read_to_its_end(pipe: Path) -> None:
    writer = threading.Thread(target=pipe.write_bytes, args=(b"x" * 500_000,))
    writer.start()
    assert read_small_file(pipe) == b"x" * 500_000
    writer.join()


def test_keys_may_come_from_another_command() -> None:
    done = subprocess.run(
        f"smarty-gateway decode --keys <(cat '{SAMPLE_KEYS}') '{SAMPLE}'",
        shell=True, executable="/bin/bash", capture_output=True, check=True, env=environment(),
    )  # fmt: skip
    assert done.stdout.count(b"\n") == 9


def test_a_pipe_that_does_not_end_is_refused(pipe: Path) -> None:
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, b"keys:")
    with pytest.raises(UnreadableFileError, match=r"has not ended within 0\.2 s"):
        read_small_file(pipe, 0.2)
    os.close(writer)


def test_a_pipe_that_floods_is_refused(pipe: Path) -> None:
    with subprocess.Popen(["/bin/sh", "-c", f"exec cat /dev/zero >'{pipe}'"]) as writer:
        with pytest.raises(UnreadableFileError, match="too large"):
            read_small_file(pipe)
        writer.kill()


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--keys", "--config"])
def test_a_command_ends_where_nobody_writes_to_the_pipe(pipe: Path, option: str) -> None:
    done = smarty_gateway("check", option, pipe, folder=pipe.parent)
    assert done.returncode == 78
    assert b"has not ended within 5 s" in done.stderr


@pytest.mark.parametrize(
    ("name", "words"),
    [("/dev/zero", "a device"), (".", "a directory"), ("socket", "a device"), ("disk", "too large")],
)
def test_anything_but_a_small_file_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    listener = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    listener.bind("socket")
    with (tmp_path / "disk").open("wb") as disk:
        disk.truncate(1 << 40)
        os.fchmod(disk.fileno(), 0o600)
    for option in ("--keys", "--config"):
        done = smarty_gateway("check", option, name, folder=tmp_path)
        assert done.returncode == 78
        assert words in done.stderr.decode()
        assert done.stderr.count(b"\n") == 1
    listener.close()


def test_a_password_is_read_from_a_small_file_only() -> None:
    config = MqttConfig("localhost", user="me", password_file=Path("/dev/zero"))
    with pytest.raises(ConnectionFailed, match="password file /dev/zero cannot be read: it is a device"):
        Connection(config, None, lambda *_: None, "id")
