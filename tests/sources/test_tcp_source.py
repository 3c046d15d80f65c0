"""What a TCP peer sends arrives byte for byte, less what telnet says beside it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smarty_gateway.sources.address import Address, Kind, parse_address
from smarty_gateway.sources.source import SourceLost
from smarty_gateway.sources.tcp import TcpSource, TelnetFilter
from tests.support.commands import LIMIT
from vectors.building_blocks import belgium, frame, luxembourg

#: What ser2net says when a client comes: will suppress go ahead, do binary.
GREETING = b"\xff\xfb\x03\xff\xfd\x00"

#: A telegram's bytes, many of them FF and those that mean something behind it.
payloads = st.lists(
    st.binary(max_size=20)
    | st.sampled_from([b"\xff", b"\xff\xff", b"\xff\xfb\x01", b"\xff\xfa", b"\xff\xf0"])
).map(b"".join)
negotiations = st.tuples(st.sampled_from(b"\xfb\xfc\xfd\xfe"), st.integers(0, 0x31)).map(
    lambda parts: b"\xff" + bytes(parts)
)
commands = (
    negotiations
    | st.sampled_from([b"\xff\xf1", b"\xff\xf9", b"\xff\xf3"])
    | st.binary(max_size=8)
    .filter(lambda data: b"\xff" not in data)
    .map(lambda data: b"\xff\xfa" + data + b"\xff\xf0")
)


@st.composite
def chunked(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """Draw a stream, and the same stream in pieces as a network may deliver it."""
    stream = draw(streams)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(stream) - 1)), max_size=12)))
    return stream, [stream[a:b] for a, b in pairwise([0, *cuts, len(stream)]) if a < b]


@st.composite
def telnet(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw what a telnet server sends, and what of it is payload."""
    sent, payload = bytearray(draw(negotiations)), bytearray()
    for data, command in draw(st.lists(st.tuples(st.binary(max_size=20), commands), max_size=6)):
        payload += data
        sent += data.replace(b"\xff", b"\xff\xff") + command
    return bytes(sent), bytes(payload)


def strip(*pieces: bytes) -> bytes:
    telnet_filter = TelnetFilter()
    return b"".join(telnet_filter.strip(piece) for piece in pieces)


@given(chunked(payloads))
def test_any_chunking_of_any_stream_gives_the_same(stream: tuple[bytes, list[bytes]]) -> None:
    whole, pieces = stream
    assert strip(*pieces) == strip(whole)


@given(chunked(payloads.map(lambda data: GREETING + data)))
def test_any_chunking_of_a_telnet_stream_gives_the_same(stream: tuple[bytes, list[bytes]]) -> None:
    whole, pieces = stream
    assert strip(*pieces) == strip(whole)


@given(telnet())
def test_of_a_telnet_stream_the_payload_stays(stream: tuple[bytes, bytes]) -> None:
    sent, payload = stream
    assert strip(sent) == payload
    assert strip(*(sent[i : i + 1] for i in range(len(sent)))) == payload


@given(payloads.map(lambda data: b"/FLU5" + data))
@example(b"\xdb\x08\xff\xfb\x01\xff\xff")
def test_a_server_that_speaks_no_telnet_loses_no_byte(data: bytes) -> None:
    assert strip(data) == data
    assert strip(*(data[i : i + 1] for i in range(len(data)))) == data


def test_an_ff_at_the_very_beginning_is_kept_where_no_negotiation_follows() -> None:
    assert strip(b"\xff", b"\x00", b"/FLU5") == b"\xff\x00/FLU5"


def test_a_negotiation_in_the_midst_of_a_stream_makes_it_no_telnet() -> None:
    data = b"/FLU5" + GREETING + belgium(1)
    assert strip(data) == data


def test_a_doubled_ff_of_a_telnet_server_is_one() -> None:
    assert strip(GREETING, b"a\xff", b"\xffb") == b"a\xffb"


def test_what_a_subnegotiation_quotes_does_not_end_it() -> None:
    assert strip(GREETING + b"\xff\xfa\x2c\xff\xff\xf0\x01\xff\xf0" + b"/FLU5") == b"/FLU5"


def test_a_subnegotiation_that_never_ends_does_not_fill_the_memory() -> None:
    telnet_filter = TelnetFilter()
    telnet_filter.strip(GREETING + b"\xff\xfa")
    for _ in range(500):
        telnet_filter.strip(b"x" * 1000)
    assert len(telnet_filter._held) < 100_000


def test_a_telegram_behind_a_subnegotiation_that_never_ends_is_read_at_last() -> None:
    telnet_filter = TelnetFilter()
    telnet_filter.strip(GREETING + b"\xff\xfa")
    received = b"".join(telnet_filter.strip(belgium(second)) for second in range(300))
    assert belgium(299) in received


# The source, with a real socket


@contextmanager
def connected() -> Iterator[tuple[TcpSource, socket.socket]]:
    """Yield a source and its peer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = TcpSource(parse_address(f"tcp://127.0.0.1:{listener.getsockname()[1]}"))
        with closing(source):
            source.open()
            peer, _ = listener.accept()
            with peer:
                yield source, peer


def read(source: TcpSource, size: int) -> bytes:
    """Read until this many bytes have arrived."""
    data = b""
    while len(data) < size:
        data += source.read()
    return data


def test_a_frame_arrives_byte_for_byte() -> None:
    # Its counter holds what telnet calls a negotiation.
    sent = frame(luxembourg(1), counter=0xFFFB01FF)
    with connected() as (source, peer):
        peer.sendall(sent)
        assert read(source, len(sent)) == sent


def test_each_connection_begins_to_listen_for_telnet_anew() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = TcpSource(parse_address(f"tcp://127.0.0.1:{listener.getsockname()[1]}"))
        with closing(source):
            for sent, expected in ((GREETING + b"a\xff\xff", b"a\xff"), (b"a\xff\xff", b"a\xff\xff")):
                source.open()
                peer, _ = listener.accept()
                with peer:
                    peer.sendall(sent)
                    assert read(source, len(expected)) == expected
                source.close()


def test_what_arrived_before_the_peer_closed_is_read_first() -> None:
    with connected() as (source, peer):
        peer.sendall(belgium(1))
        peer.close()
        assert read(source, len(belgium(1))) == belgium(1)
        with pytest.raises(SourceLost, match="closed the connection"):
            source.read()


def test_a_peer_that_says_nothing_gives_nothing_and_is_not_lost() -> None:
    with connected() as (source, _):
        assert source.read() == b""


def test_reading_ends_when_it_is_interrupted() -> None:
    with connected() as (source, _):
        ended = threading.Event()

        def wait() -> None:
            try:
                while True:
                    source.read()
            except SourceLost:
                ended.set()

        thread = threading.Thread(target=wait)
        thread.start()
        source.interrupt()
        assert ended.wait(LIMIT)
        thread.join(LIMIT)


def test_closing_twice_does_no_harm_and_a_closed_source_is_lost() -> None:
    with connected() as (source, _):
        source.close()
        source.close()
        with pytest.raises(SourceLost):
            source.read()


def test_a_port_on_which_nobody_listens_is_lost_with_advice() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = parse_address(f"tcp://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(SourceLost, match="refuses connections"):
            TcpSource(address).open()


@pytest.mark.parametrize("host", ["192..168.1.20", "a" * 64 + ".example", ".example"])
def test_a_host_that_can_be_none_is_lost_and_ends_nothing(host: str) -> None:
    with pytest.raises(SourceLost):
        TcpSource(Address(Kind.TCP, f"tcp://{host}:2001", host, 2001)).open()
