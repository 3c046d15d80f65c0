"""The ports of simulated meters deliver to every reader, and never wait for one."""

import os
import select
import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from smarty_gateway.simulator.ports import PortError, PtyPort, TcpPort

#: Generous: it only ends a test that would never end.
LIMIT = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.005)


def receive(client: socket.socket, port: TcpPort, data: bytes, size: int) -> bytes:
    """Send until the client has this many bytes."""
    got = b""

    def enough() -> bool:
        nonlocal got
        port.write(data)
        if select.select([client], [], [], 0.05)[0]:
            got += client.recv(65536)
        return len(got) >= size

    wait_until(enough)
    return got


def test_a_tcp_port_sends_to_every_client() -> None:
    with (
        closing(TcpPort("127.0.0.1", 0)) as port,
        socket.create_connection(("127.0.0.1", port.port)) as first,
        socket.create_connection(("127.0.0.1", port.port)) as second,
    ):
        assert receive(first, port, b"telegram", 8).startswith(b"telegram")
        assert receive(second, port, b"telegram", 8).startswith(b"telegram")


def test_a_tcp_client_that_has_gone_or_does_not_read_does_not_delay_the_others() -> None:
    with closing(TcpPort("127.0.0.1", 0)) as port:
        socket.create_connection(("127.0.0.1", port.port)).close()
        with socket.create_connection(("127.0.0.1", port.port)):
            for _ in range(3_000):
                port.write(b"x" * 10_000)  # 30 MB: far more than a system holds for one who sleeps
            with socket.create_connection(("127.0.0.1", port.port)) as awake:
                assert receive(awake, port, b"telegram", 8).startswith(b"telegram")

            def only_the_sleeper_is_left() -> bool:
                port.write(b"x")
                return len(port._clients) == 1

            wait_until(only_the_sleeper_is_left)


def test_a_client_that_only_listens_may_say_so() -> None:
    with (
        closing(TcpPort("127.0.0.1", 0)) as port,
        socket.create_connection(("127.0.0.1", port.port)) as client,
    ):
        client.shutdown(socket.SHUT_WR)
        assert len(receive(client, port, b"telegram", 80)) >= 80


def test_a_port_in_use_is_one_clear_error() -> None:
    with (
        closing(TcpPort("127.0.0.1", 0)) as port,
        pytest.raises(PortError, match=rf"tcp://127.0.0.1:{port.port}: .*in use"),
    ):
        TcpPort("127.0.0.1", port.port)


def read_now(descriptor: int, size: int) -> bytes:
    got = b""
    end = time.monotonic() + LIMIT
    while len(got) < size and time.monotonic() < end:
        if select.select([descriptor], [], [], 0.05)[0]:
            got += os.read(descriptor, 65536)
    return got


def test_a_pseudo_terminal_carries_every_byte_unchanged() -> None:
    data = bytes(range(256)) * 4
    with closing(PtyPort()) as port:
        reader = os.open(port.name, os.O_RDWR | os.O_NOCTTY)
        try:
            port.write(data)
            assert read_now(reader, len(data)) == data
        finally:
            os.close(reader)


def test_nothing_piles_up_while_no_reader_has_the_terminal_open() -> None:
    with closing(PtyPort()) as port:
        for _ in range(1_000):
            port.write(b"old" * 500)
        for _ in range(2):  # the second time there was a reader who left some unread
            reader = os.open(port.name, os.O_RDWR | os.O_NOCTTY)
            try:
                port.write(b"new")
                assert read_now(reader, 3) == b"new"
                port.write(b"left unread")
            finally:
                os.close(reader)
            port.write(b"old")


def test_a_reader_that_sleeps_does_not_block_the_terminal() -> None:
    with closing(PtyPort()) as port:
        reader = os.open(port.name, os.O_RDWR | os.O_NOCTTY)
        try:
            for _ in range(1_000):
                port.write(b"x" * 1_500)
        finally:
            os.close(reader)


def test_a_link_leads_to_the_terminal_and_is_gone_at_the_end(tmp_path: Path) -> None:
    link = tmp_path / "meter"
    with closing(PtyPort(link)) as port:
        assert port.name == str(link)
        assert link.resolve().is_char_device()
    assert not link.is_symlink()


def test_a_link_that_an_earlier_run_left_behind_is_replaced(tmp_path: Path) -> None:
    for number, left in enumerate((gone_terminal(), next_terminal())):
        link = tmp_path / f"meter{number}"
        link.symlink_to(left)
        with closing(PtyPort(link)):
            assert link.resolve().is_char_device()
        assert not link.is_symlink()


def gone_terminal() -> str:
    return "/dev/pts/999999"


def next_terminal() -> str:
    """Return the name that the next terminal will have: the lowest number is given out again."""
    with closing(PtyPort()) as port:
        return port.name


def test_the_link_of_a_port_in_use_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    link = tmp_path / "meter"
    with closing(PtyPort(link)) as port:
        before = link.readlink()
        with pytest.raises(PortError, match="in use"):
            PtyPort(link)
        assert link.readlink() == before
        assert port.name == str(link)


def test_a_port_removes_no_link_that_another_port_has_taken_over(tmp_path: Path) -> None:
    link = tmp_path / "meter"
    with closing(PtyPort(link)) as first:
        link.unlink()
        with closing(PtyPort(link)):
            first.close()
            assert link.resolve().is_char_device()


def test_a_link_replaces_no_file(tmp_path: Path) -> None:
    link = tmp_path / "meter"
    link.write_text("mine")
    with pytest.raises(PortError, match="File exists"):
        PtyPort(link)
    assert link.read_text() == "mine"
