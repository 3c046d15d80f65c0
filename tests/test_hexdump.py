"""A hex dump of any of the usual forms gives the bytes it shows; raw bytes pass untouched."""

import shutil
import subprocess
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.hexdump import InputDecoder
from vectors.building_blocks import belgium, frame, luxembourg


def decoded(text: bytes, size: int | None = None) -> bytes:
    decoder = InputDecoder()
    step = size or max(1, len(text))
    out = b"".join(decoder.feed(text[at : at + step]) for at in range(0, len(text), step))
    return out + decoder.finish()


def plain(data: bytes) -> bytes:
    return data.hex().encode()


def in_lines(data: bytes) -> bytes:
    return b"".join(data[at : at + 20].hex(" ").encode() + b"\r\n" for at in range(0, len(data), 20))


def in_eights(data: bytes) -> bytes:
    return data.hex(" ", -4).upper().encode() + b"\n"


def c_array(data: bytes) -> bytes:
    return b", ".join(f"0x{byte:02X}".encode() for byte in data) + b",\n"


def c_array_without_zeros(data: bytes) -> bytes:
    return b", ".join(f"0x{byte:x}".encode() for byte in data)


def with_colons(data: bytes) -> bytes:
    return data.hex(":").encode()


def with_dashes(data: bytes) -> bytes:
    return data.hex("-").upper().encode()


def printable(data: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)


def xxd(data: bytes) -> bytes:
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        lines.append(f"{at:08x}: {row.hex(' ', -2):39}  {printable(row)}\n")
    return "".join(lines).encode()


def canonical(data: bytes) -> bytes:
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        halves = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}"
        lines.append(f"{at:08x}  {halves:49} |{printable(row)}|\n")
    return "".join([*lines, f"{len(data):08x}\n"]).encode()


def words(data: bytes) -> bytes:
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        row += b"\0" * (len(row) % 2)
        pairs = " ".join(row[i : i + 2][::-1].hex() for i in range(0, len(row), 2))
        lines.append(f"{at:07x} {pairs}\n")
    return "".join([*lines, f"{len(data):07x}\n"]).encode()


def od(data: bytes) -> bytes:
    lines = [f"{at:06x} {data[at : at + 16].hex(' ')}\n" for at in range(0, len(data), 16)]
    return "".join([*lines, f"{len(data):06x}\n"]).encode()


PLAIN_FORMS = [plain, in_lines, in_eights, c_array, c_array_without_zeros, with_colons, with_dashes]
FORMS = [*PLAIN_FORMS, xxd, canonical, words, od]
CAPTURE = frame(luxembourg(1)) + belgium(1)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_bytes_it_shows(form: Callable[[bytes], bytes]) -> None:
    assert decoded(form(CAPTURE)) == CAPTURE
    assert decoded(form(CAPTURE[:-1])) == CAPTURE[:-1]


@given(data=st.binary(min_size=1, max_size=900), form=st.sampled_from(FORMS), size=st.integers(1, 700))
def test_any_bytes_in_any_form_and_any_chunking_come_back(
    data: bytes, form: Callable[[bytes], bytes], size: int
) -> None:
    assert decoded(form(data), size) == data


@given(data=st.binary(max_size=1500), size=st.integers(1, 700))
def test_no_bytes_raise_anything_and_chunking_changes_nothing(data: bytes, size: int) -> None:
    assert decoded(data, size) == decoded(data)


@given(data=st.binary(max_size=600), size=st.integers(1, 700), start=st.sampled_from([b"\xdb\x08", b"/FLU5"]))
def test_raw_bytes_pass_untouched(data: bytes, size: int, start: bytes) -> None:
    assert decoded(start + data, size) == start + data
    assert decoded(b"\r\n" + start + data, size) == b"\r\n" + start + data


@given(text=st.text("0123456789abcdefABCDEF xX,:-\n\r*|.>", max_size=1200), size=st.integers(1, 700))
def test_no_text_like_a_dump_raises_anything_and_chunking_changes_nothing(text: str, size: int) -> None:
    assert decoded(text.encode(), size) == decoded(text.encode())


def test_a_raw_stream_passes_with_its_first_byte() -> None:
    for first in (b"\xdb", b"/"):
        decoder = InputDecoder()
        assert decoder.feed(first) == first
        assert decoder.is_hex is False


def test_blank_input_is_raw() -> None:
    assert decoded(b"\r\n  \r\n") == b"\r\n  \r\n"
    assert decoded(b"\n" * 2000) == b"\n" * 2000


def test_a_star_stands_for_the_lines_that_repeat() -> None:
    data = b"A" * 160 + b"B" * 16
    dump = canonical(data).splitlines(keepends=True)
    assert decoded(b"".join([dump[0], b"*\n", *dump[10:]])) == data
    dump = words(data).splitlines(keepends=True)
    assert decoded(b"".join([dump[0], b"*\n", *dump[10:]])) == data
    dump = words(data[:160]).splitlines(keepends=True)
    assert decoded(b"".join([dump[0], b"*\n", dump[-1]])) == data[:160]


def test_a_star_cannot_be_made_to_fill_the_memory() -> None:
    dump = canonical(b"A" * 16).splitlines(keepends=True)[0]
    assert len(decoded(dump + b"*\nffffffff0000  " + b"41 " * 16 + b" |A|\n")) == 32


def test_text_columns_may_hold_anything() -> None:
    data = b"ab  cd |ef| 0x12: 00000010: 12 34*"
    for form in (xxd, canonical):
        assert decoded(form(data)) == data


def test_groups_of_eight_digits_are_data_and_no_offsets() -> None:
    assert decoded(b"DB085341 47677001 BD548202") == bytes.fromhex("DB08534147677001BD548202")


def test_lines_beyond_the_beginning_that_are_no_hex_are_skipped_and_counted() -> None:
    decoder = InputDecoder()
    dump = canonical(CAPTURE).splitlines(keepends=True)
    text = b"".join([*dump[:20], b"-- next page --\n", *dump[20:]])
    assert decoder.feed(text) + decoder.finish() == CAPTURE
    assert decoder.unreadable_lines == 1
    decoder = InputDecoder()
    assert decoder.feed(in_lines(CAPTURE) + b"the end\n") + decoder.finish() == CAPTURE
    assert decoder.unreadable_lines == 1


@pytest.mark.parametrize("form", PLAIN_FORMS)
def test_one_endless_line_needs_little_memory(form: Callable[[bytes], bytes]) -> None:
    text = form(CAPTURE).replace(b"\r\n", b" ").replace(b"\n", b" ")
    separator = b"" if form is plain else b", " if b"0x" in text else b":" if form is with_colons else b" "

    def peak(count: int) -> int:
        decoder = InputDecoder()
        tracemalloc.start()
        try:
            size = sum(len(decoder.feed(text + separator)) for _ in range(count))
            assert abs(size - count * len(CAPTURE)) < 16384
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(400) < 1.2 * peak(100) + 100_000


TOOLS = [
    ["xxd"], ["xxd", "-p"], ["xxd", "-u", "-c", "24"], ["xxd", "-g", "1"], ["hexdump", "-C"], ["hexdump"],
    ["hexdump", "-x"], ["od", "-A", "x", "-t", "x1"], ["od", "-A", "x", "-t", "x1z"],
]  # fmt: skip


@pytest.mark.parametrize("command", TOOLS, ids=" ".join)
def test_what_the_real_tools_print_is_read(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on this machine; its form is tested above by hand")
    for data in (CAPTURE, CAPTURE[:-1], b"\0" * 100 + CAPTURE + b"\0" * 99):
        printed = subprocess.run(command, input=data, capture_output=True, check=True).stdout
        assert decoded(printed) == data
