"""What the writer of captures writes is what their reader reads, whole or cut short."""

import contextlib
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.sources.address import parse_address
from smarty_gateway.sources.capture_format import CaptureReader, CaptureWriter, Chunk
from smarty_gateway.sources.hexdump import InputDecoder
from smarty_gateway.sources.opening import source_for
from smarty_gateway.sources.recording import RecordingSource
from smarty_gateway.sources.source import SourceEnded
from tests.support.commands import ROOT

BEGAN = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
CHUNKS = st.lists(
    st.tuples(st.integers(0, 10**9).map(lambda ms: ms / 1000), st.binary(min_size=1, max_size=80))
)


def written(chunks: list[Chunk], source: str = "/dev/ttyUSB0") -> bytes:
    lines: list[bytes] = []
    writer = CaptureWriter(lines.append, source, BEGAN)
    for seconds, data in chunks:
        writer.chunk(seconds, data)
    return b"".join(lines)


def read(text: bytes, size: int = 1 << 20) -> tuple[list[Chunk], CaptureReader]:
    reader = CaptureReader()
    chunks = []
    for start in range(0, len(text), size):
        chunks += reader.feed(text[start : start + size])
    return chunks + reader.finish(), reader


def decoded(text: bytes, size: int = 1 << 20) -> tuple[bytes, InputDecoder]:
    decoder = InputDecoder()
    data = b"".join(decoder.feed(text[start : start + size]) for start in range(0, len(text), size))
    return data + decoder.finish(), decoder


def test_a_capture_looks_as_the_documentation_says() -> None:
    text = written([(0.0, b"\xdb\x08"), (10.25, b"/")])
    assert text == (
        b"# smarty-gateway capture 1, source /dev/ttyUSB0, began 2026-11-21T07:30:00.000+00:00\n"
        b"0.000000 db08\n"
        b"10.250000 2f\n"
    )


def test_the_example_of_the_documentation_is_one() -> None:
    page = (ROOT / "docs/capture-format.md").read_text("utf-8")
    example = page.split("```text\n", 1)[1].split("```", 1)[0]
    chunks, reader = read(example.encode())
    assert len(chunks) == 3
    assert reader.unreadable_lines == 0
    assert reader.began == BEGAN


@given(CHUNKS, st.integers(1, 200))
def test_what_was_written_is_read(chunks: list[Chunk], size: int) -> None:
    found, reader = read(written(chunks), size)
    assert found == chunks
    assert reader.unreadable_lines == 0
    assert (reader.source, reader.began) == ("/dev/ttyUSB0", BEGAN)


@given(CHUNKS, st.integers(0, 400), st.integers(1, 100))
def test_a_capture_that_was_cut_gives_all_whole_bytes_before(
    chunks: list[Chunk], cut: int, size: int
) -> None:
    text = written(chunks)
    text = text[: max(len(text) - cut, 90)]
    found, reader = read(text, size)
    whole = b"".join(data for _, data in chunks)
    data = b"".join(data for _, data in found)
    assert whole.startswith(data)
    assert reader.unreadable_lines == 0
    assert len(data) >= len(whole) - cut  # a digit is half a byte, and a line has other parts as well


@given(st.binary(max_size=300), st.integers(1, 40))
def test_nothing_makes_the_reader_raise(noise: bytes, size: int) -> None:
    read(written([]) + noise, size)
    decoded(b"# smarty-gateway capture " + noise, size)


def test_other_lines_are_skipped_and_counted() -> None:
    text = written([(1.0, b"ab")]) + b"what is this\n1.5 abc\n-1 00\n\n# a comment\n2 0A0b\r\n"
    chunks, reader = read(text)
    assert chunks == [(1.0, b"ab"), (2.0, b"\x0a\x0b")]
    assert reader.unreadable_lines == 3


def test_an_endless_line_takes_no_more_memory_than_a_long_one() -> None:
    reader = CaptureReader()
    reader.feed(written([]) + b"1.0 ")
    for _ in range(100):
        assert not reader.feed(b"0" * 65536)
        assert len(reader._held) <= 1 << 19
    assert reader.feed(b"00\n2.0 ff\n") == [(2.0, b"\xff")]
    assert reader.unreadable_lines == 1


@pytest.mark.parametrize(("begin", "skipped"), [(b"# ", 0), (b"1.0 ", 1), (b" " * 300_000, 1)])
def test_a_line_that_is_too_long_is_counted_alike_however_it_comes(begin: bytes, skipped: int) -> None:
    text = written([]) + begin.ljust(300_000, b"0") + b"1.0 00\n2.0 ff\n"
    for size in (len(text), 65536, 1000):
        chunks, reader = read(text, size)
        assert chunks == [(2.0, b"\xff")]
        assert reader.unreadable_lines == skipped


def test_a_large_chunk_is_written_as_several_lines() -> None:
    data = bytes(200_000)
    chunks, reader = read(written([(1.0, data)]))
    assert b"".join(part for _, part in chunks) == data
    assert reader.unreadable_lines == 0


def test_a_source_of_several_lines_stays_one() -> None:
    chunks, reader = read(written([(1.0, b"x")], "a\nb, began never"))
    assert chunks == [(1.0, b"x")]
    assert (reader.source, reader.began) == ("a b, began never", BEGAN)


@given(CHUNKS, st.integers(1, 60))
def test_the_input_decoder_knows_a_capture(chunks: list[Chunk], size: int) -> None:
    data, decoder = decoded(written(chunks), size)
    assert data == b"".join(part for _, part in chunks)
    assert decoder.capture is not None
    assert decoder.is_hex is False


@pytest.mark.parametrize("text", [b"#", b"# smarty", b"# smarty-gateway captain", b"#!/bin/sh\n"])
def test_what_only_begins_like_a_capture_is_raw(text: bytes) -> None:
    for size in (1, 100):
        data, decoder = decoded(text, size)
        assert data == text
        assert decoder.capture is None
        assert decoder.is_hex is False


# The replay


def source_of(folder: Path, text: bytes, *, recorded_pace: bool) -> RecordingSource:
    path = folder / "a.capture"
    path.write_bytes(text)
    source = source_for(parse_address(str(path)), recorded_pace=recorded_pace)
    assert isinstance(source, RecordingSource)
    source.open()
    return source


def replayed(source: RecordingSource) -> list[tuple[float, float | None, bytes]]:
    """Return all chunks with the seconds after which they came, and their times in the capture."""
    began = time.monotonic()
    found = []
    with contextlib.suppress(SourceEnded):
        while True:
            if data := source.read():
                found.append((time.monotonic() - began, source.arrived, data))
    source.close()
    return found


def test_a_replay_at_full_speed_waits_for_nothing(tmp_path: Path) -> None:
    text = written([(5.0, b"a"), (3600.0, b"b"), (99999.0, b"c")])
    found = replayed(source_of(tmp_path, text, recorded_pace=False))
    assert [(arrived, data) for _, arrived, data in found] == [(5.0, b"a"), (3600.0, b"b"), (99999.0, b"c")]
    assert found[-1][0] < 60


def test_a_replay_at_the_recorded_pace_keeps_the_pauses(tmp_path: Path) -> None:
    text = written([(100.0, b"a"), (100.2, b"b"), (100.2, b"c"), (101.5, b"d")])
    found = replayed(source_of(tmp_path, text, recorded_pace=True))
    assert b"".join(data for _, _, data in found) == b"abcd"
    assert found[1][0] > 0.19  # since before the first, so a slow machine cannot make it less
    assert found[-1][0] > 1.49


def test_captures_that_were_joined_are_replayed_one_after_the_other(tmp_path: Path) -> None:
    text = written([(500.0, b"a"), (500.1, b"b")]) + written([(0.0, b"c"), (0.1, b"d")])
    found = replayed(source_of(tmp_path, text, recorded_pace=True))
    assert b"".join(data for _, _, data in found) == b"abcd"
    assert found[-1][0] < 60


def test_a_pause_can_be_interrupted_and_gives_nothing_meanwhile(tmp_path: Path) -> None:
    source = source_of(tmp_path, written([(0.0, b"a"), (86400.0, b"b")]), recorded_pace=True)
    while source.read() != b"a":
        pass
    began = time.monotonic()
    assert source.read() == b""  # within a second or so, not after a day
    assert time.monotonic() - began < 60
    waiting = threading.Thread(target=source.read)
    waiting.start()
    source.interrupt()
    waiting.join(60)
    assert not waiting.is_alive()
    source.close()


def test_raw_bytes_have_no_pace(tmp_path: Path) -> None:
    found = replayed(source_of(tmp_path, b"/ISK5\\2\r\n", recorded_pace=True))
    assert [(arrived, data) for _, arrived, data in found] == [(None, b"/ISK5\\2\r\n")]
