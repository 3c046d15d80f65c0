"""Ports, recordings and key files for the tests of `doctor`, and its runs."""

import contextlib
import json
import os
import select
import socket
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.commands import smarty_gateway
from vectors.building_blocks import (
    AUTHENTICATION_KEY,
    HOUSE_KEY,
    frame,
    luxembourg,
)

#: Seconds; ends only a test that hangs.
LIMIT: Final = 60.0
#: Seconds between the telegrams of these tests; those of real meters are 1 or 10 s apart.
PERIOD: Final = 0.5
HOUSE: Final = "SAG1030700012345"
BARN: Final = "SAG1030700012352"
NOBODYS_KEY: Final = bytes(range(0xC0, 0xD0))

#: Writes a key file with the entries given as keyword arguments.
Keys = Callable[..., Path]


def house(
    number: int, key: bytes = HOUSE_KEY, authentication_key: bytes = AUTHENTICATION_KEY, security: int = 0x30
) -> bytes:
    return frame(
        luxembourg(number * 10),
        counter=number,
        key=key,
        authentication_key=authentication_key,
        security=security,
    )


def with_bit_error(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]


def hdlc(content: bytes) -> bytes:
    """Wrap content as DLMS over HDLC does: flag, format 3 with a length, FCS (CRC-16/X.25), flag."""
    body = (0xA000 | len(content) + 4).to_bytes(2, "big") + content
    crc = 0xFFFF
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return b"\x7e" + body + (crc ^ 0xFFFF).to_bytes(2, "little") + b"\x7e"


def mbus(content: bytes) -> bytes:
    size = bytes([len(content)])
    return b"\x68" + size + size + b"\x68" + content + bytes([sum(content) & 0xFF]) + b"\x16"


def capture_of(*chunks: bytes) -> str:
    """Write a capture of chunks that came every 10 s."""
    lines = [f"{number * 10}.000000 {chunk.hex()}\n" for number, chunk in enumerate(chunks)]
    return "".join(
        ["# smarty-gateway capture 1, source /dev/ttyUSB0, began 2026-11-21T07:30:00+00:00\n", *lines]
    )


def key_file(folder: Path, **entries: bytes | str) -> Path:
    """Write a key file with these entries."""
    path = folder / "some-keys.yaml"
    lines = [f"  {name}: {key if isinstance(key, str) else key.hex()}\n" for name, key in entries.items()]
    path.write_text("keys:\n" + "".join(lines), "utf-8")
    path.chmod(0o600)
    return path


class Run:
    """One run of doctor, and its report."""

    def __init__(self, *arguments: object, folder: Path, data: bytes | None = None) -> None:
        done = smarty_gateway("doctor", *arguments, "--format", "json", data=data, folder=folder)
        self.status = done.returncode
        self.errors = done.stderr.decode()
        assert done.stdout, self.errors
        self.report: dict[str, Any] = json.loads(done.stdout)
        self.findings: list[dict[str, Any]] = self.report["findings"]
        self.codes = [finding["code"] for finding in self.findings]
        self.first = self.findings[0]["text"] + " " + self.findings[0]["advice"]


@contextlib.contextmanager
def port_sending(telegrams: Callable[[int, int], bytes]) -> Iterator[str]:
    """Yield a pseudo-terminal on which a meter sends while it is open.

    Args:
        telegrams: returns the bytes of a telegram from its number and the port's speed.
    """
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    os.close(slave)
    stop = threading.Event()

    def send() -> None:
        poll = select.poll()
        poll.register(master, select.POLLOUT)
        number = 0
        while not stop.wait(PERIOD):
            if any(events & select.POLLHUP for _, events in poll.poll(0)):
                continue
            number += 1
            data = telegrams(number, termios.tcgetattr(master)[5])
            if data:
                os.write(master, data)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield name
    finally:
        stop.set()
        thread.join(LIMIT)
        os.close(master)


@contextlib.contextmanager
def tcp_sending(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """Yield a TCP port that serves its clients one after the other."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)

        def accept() -> None:
            while not stop.is_set():
                with contextlib.suppress(OSError):
                    client, _ = server.accept()
                    with client:
                        serve(client, stop)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join(LIMIT)
