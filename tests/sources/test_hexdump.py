"""A hex dump of any of the usual forms gives the bytes it shows; raw bytes pass untouched."""

import shutil
import subprocess
import time
import tracemalloc
from collections.abc import Callable
from itertools import cycle, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.sources.hexdump import InputDecoder
from vectors.building_blocks import belgium, frame, luxembourg

Form = Callable[[bytes], bytes]
#: The sizes of the chunks, from the first one again when they are used up.
CHUNKS = st.lists(st.integers(1, 700), min_size=1, max_size=8)


def everything(text: bytes, sizes: list[int] | None = None) -> tuple[bytes, bool | None, int]:
    """Return the bytes that come out, whether they were taken for hex, and how many lines were skipped."""
    decoder = InputDecoder()
    out = []
    at = 0
    for size in cycle(sizes or [max(1, len(text))]):
        out.append(decoder.feed(text[at : at + size]))
        at += size
        if at >= len(text):
            break
    out.append(decoder.finish())
    return b"".join(out), decoder.is_hex, decoder.unreadable_lines


def decoded(text: bytes) -> bytes:
    return everything(text)[0]


def rows_of(data: bytes, size: int = 16) -> list[tuple[int, bytes]]:
    return [(at, data[at : at + size]) for at in range(0, len(data), size)]


def printable(data: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)


def plain(data: bytes) -> bytes:
    return data.hex().encode()


def in_lines(data: bytes) -> bytes:
    return b"".join(row.hex(" ").encode() + b"\r\n" for _, row in rows_of(data, 20))


def in_lines_of_half_bytes(data: bytes) -> bytes:
    return b"\n".join(data.hex().encode()[at : at + 61] for at in range(0, 2 * len(data), 61))


def with_tabs(data: bytes) -> bytes:
    return data.hex("\t", 2).encode()


def in_eights(data: bytes) -> bytes:
    return data.hex(" ", -4).upper().encode() + b"\n"


def c_array(data: bytes) -> bytes:
    return b", ".join(f"0x{byte:02X}".encode() for byte in data) + b",\n"


def c_array_without_zeros(data: bytes) -> bytes:
    return b", ".join(f"0x{byte:x}".encode() for byte in data)


def c_array_in_capitals(data: bytes) -> bytes:
    return c_array(data).replace(b"x", b"X")


def with_colons(data: bytes) -> bytes:
    return data.hex(":").encode()


def with_dashes(data: bytes) -> bytes:
    return data.hex("-").upper().encode()


def xxd(data: bytes, start: int = 0) -> bytes:
    lines = [f"{start + at:08x}: {row.hex(' ', -2):39}  {printable(row)}\n" for at, row in rows_of(data)]
    return "".join(lines).encode()


def old_xxd_in_capitals(data: bytes) -> bytes:
    lines = [f"{at:07x}: {row.hex(' ').upper():74}  {printable(row)}\r\n" for at, row in rows_of(data, 25)]
    return "".join(lines).encode()


def canonical(data: bytes, start: int = 0) -> bytes:
    lines = []
    for at, row in rows_of(data):
        halves = f"{row[:8].hex(' ')}  {row[8:].hex(' ')}"
        lines.append(f"{start + at:08x}  {halves:49} |{printable(row)}|\n")
    return "".join([*lines, f"{start + len(data):08x}\n"]).encode()


def words(data: bytes, start: int = 0, blanks: str = " ") -> bytes:
    lines = []
    for at, row in rows_of(data):
        padded = row + b"\0" * (len(row) % 2)
        pairs = blanks.join(padded[i : i + 2][::-1].hex() for i in range(0, len(padded), 2))
        lines.append(f"{start + at:07x}{blanks}{pairs:39}\n")
    return "".join([*lines, f"{start + len(data):07x}\n"]).encode()


def words_apart(data: bytes) -> bytes:
    return words(data, blanks="    ")


def od(data: bytes, start: int = 0) -> bytes:
    lines = [f"{start + at:06x} {row.hex(' ')}\n" for at, row in rows_of(data)]
    return "".join([*lines, f"{start + len(data):06x}\n"]).encode()


def od_with_text(data: bytes) -> bytes:
    lines = [f"{at:06x} {row.hex(' '):47}  >{printable(row)}<\n" for at, row in rows_of(data)]
    return "".join([*lines, f"{len(data):06x}\n"]).encode()


def squeezed(form: Form, data: bytes) -> bytes:
    """Write `*` for whole lines that repeat the line above, as hexdump does."""
    lines = form(data).splitlines(keepends=True)
    kept = lines[:1]
    for number, (above, line) in enumerate(pairwise(lines), start=2):
        if above.split(b" ", 1)[1:] != line.split(b" ", 1)[1:] or 16 * number > len(data):
            kept.append(line)
        elif kept[-1] != b"*\n":
            kept.append(b"*\n")
    return b"".join(kept)


PLAIN_FORMS: list[Form] = [
    plain, in_lines, in_lines_of_half_bytes, in_eights, c_array, c_array_without_zeros,
    c_array_in_capitals, with_tabs, with_colons, with_dashes,
]  # fmt: skip
OFFSET_FORMS: list[Callable[[bytes, int], bytes]] = [xxd, canonical, words, od]
FORMS: list[Form] = [
    *PLAIN_FORMS, xxd, old_xxd_in_capitals, canonical, words, words_apart, od, od_with_text,
]  # fmt: skip
CAPTURE = frame(luxembourg(1)) + belgium(1)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_gives_the_bytes_it_shows(form: Form) -> None:
    assert everything(form(CAPTURE)) == (CAPTURE, True, 0)
    assert everything(form(CAPTURE[:-1])) == (CAPTURE[:-1], True, 0)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_may_come_byte_by_byte(form: Form) -> None:
    assert everything(form(CAPTURE), [1]) == (CAPTURE, True, 0)


@pytest.mark.parametrize("form", FORMS)
@given(data=st.binary(min_size=1, max_size=900), sizes=CHUNKS)
def test_any_bytes_in_any_form_and_any_chunking_come_back(data: bytes, form: Form, sizes: list[int]) -> None:
    assert everything(form(data), sizes) == (data, True, 0)


@given(
    data=st.binary(min_size=1, max_size=400),
    form=st.sampled_from(OFFSET_FORMS),
    start=st.integers(1, 0xFFF000),
)
def test_a_dump_may_begin_at_any_offset(data: bytes, form: Callable[[bytes, int], bytes], start: int) -> None:
    assert everything(form(data, start)) == (data, True, 0)


@given(
    blocks=st.lists(
        st.tuples(st.binary(min_size=16, max_size=16), st.integers(1, 5)), min_size=1, max_size=6
    ),
    tail=st.binary(max_size=15),
    form=st.sampled_from([canonical, words, od]),
    sizes=CHUNKS,
)
def test_a_star_stands_for_the_lines_that_repeat(
    blocks: list[tuple[bytes, int]], tail: bytes, form: Form, sizes: list[int]
) -> None:
    data = b"".join(block * count for block, count in blocks) + tail
    assert everything(squeezed(form, data), sizes) == (data, True, 0)


@given(data=st.binary(max_size=1500), sizes=CHUNKS)
def test_any_bytes_come_out_the_same_in_any_chunking(data: bytes, sizes: list[int]) -> None:
    assert everything(data, sizes) == everything(data)
    out, is_hex, _ = everything(data)
    assert is_hex or out == data


@given(
    begin=st.sampled_from([b"", *(form(bytes(range(160))) for form in FORMS)]),
    text=st.text("089afAF xX,:-\n\r\t*|>.", max_size=1500),
    times=st.integers(1, 9),
    sizes=CHUNKS,
)
def test_any_text_like_a_dump_comes_out_the_same_in_any_chunking(
    begin: bytes, text: str, times: int, sizes: list[int]
) -> None:
    data = begin + text.encode() * times
    assert everything(data, sizes) == everything(data)


@given(data=st.binary(max_size=600), sizes=CHUNKS, start=st.sampled_from([b"\xdb\x08", b"/FLU5", b"0-0:1."]))
def test_raw_bytes_pass_untouched(data: bytes, sizes: list[int], start: bytes) -> None:
    for raw in (start + data, b"\r\n" + start + data, b"F1\r\n\r\n" + start + data):
        assert everything(raw, sizes) == (raw, False, 0)


@pytest.mark.parametrize("begin", [b"", b"\r\n", b" ", b"7A\r\n"])
@pytest.mark.parametrize("first", [b"\xdb", b"/"])
def test_a_raw_stream_passes_with_the_first_byte_that_no_dump_has(begin: bytes, first: bytes) -> None:
    decoder = InputDecoder()
    assert decoder.feed(begin) == b""
    assert decoder.is_hex is None
    assert decoder.feed(first) == begin + first
    assert decoder.is_hex is False
    assert decoder.feed(b"00") == b"00"


def test_blank_input_is_raw() -> None:
    for blank in (b"", b"\r\n  \r\n", b"\n" * 2000):
        assert everything(blank) == everything(blank, [1]) == (blank, False, 0)


def test_a_dump_is_known_by_its_first_512_bytes() -> None:
    decoder = InputDecoder()
    assert decoder.feed(b"db 08 53 41\n" * 42 + b"db 08 5") == b""
    assert decoder.is_hex is None
    assert decoder.feed(b"3") == b"\xdb\x08SA" * 42
    assert decoder.is_hex is True
    assert everything(b"db" * 255 + b"/") == (b"db" * 255 + b"/", False, 0)


def test_a_slash_in_a_text_column_speaks_for_no_telegram() -> None:
    for form in (xxd, canonical, od_with_text):
        assert everything(form(b"/FLU5\\253663629_D"), [1]) == (b"/FLU5\\253663629_D", True, 0)


@given(text=st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), max_size=40))
def test_text_columns_may_hold_anything_printable(text: str) -> None:
    column = text.encode()
    assert decoded(b"00000000: db08 5341  " + column + b"\n00000004: 4767  " + column) == b"\xdb\x08SAGg"
    assert decoded(b"00000000  db 08  53 |" + column + b"|\n00000003  41 |" + column + b"\n") == b"\xdb\x08SA"


def test_lines_may_break_in_any_way() -> None:
    for form in (in_lines, xxd, canonical):
        lines = form(CAPTURE).splitlines()
        for line_break in (b"\r", b"\r\n", b"\n\n", b" \n"):
            assert everything(line_break.join([b"", *lines])) == (CAPTURE, True, 0)


def test_text_columns_may_look_like_the_rest_of_a_dump() -> None:
    data = b"ab  cd |ef| 0x12: 00000010: 12 34*  |>00<|"
    for form in (xxd, canonical, od_with_text):
        assert decoded(form(data)) == data


@pytest.mark.parametrize(
    "text",
    [
        b"DB085341 47677001 BD548202",
        b"00000000 47677001 BD548202\n7A300005 00000000\n",
        b"DB085341 4767 7001 BD54\n8202 7A30 0005\n",
        b"DB0853 41 47 67 70\n01 BD 54 82 02\n",
        b"DB0853 41 47 67 70\n01BD54 82 02\n",
        b"DB0853 41 47 67 70",
        b"DB0853 41\n000000 47",
        b"00000000 47",
        b"00000000 4767",
    ],
)
def test_a_first_group_of_another_length_is_data_and_no_offset(text: bytes) -> None:
    assert decoded(text) == bytes.fromhex(text.decode())


@pytest.mark.parametrize(
    "line",
    [
        b"000000 db 08 53 41", b"00000000  db 08 53 41", b"00000000: db08 5341", b"0000000 08db 4153",
        b"0f0000  db 08 53 41", b"db085340: db085341", b"1234567 db 08 53 41 ",
    ],
)  # fmt: skip
def test_a_dump_may_be_one_line_without_a_text_column(line: bytes) -> None:
    assert decoded(line) == b"\xdb\x08SA"


def test_lines_that_someone_cut_out_of_a_dump_take_no_other_with_them() -> None:
    for form in (xxd, canonical, words, od_with_text):
        lines = form(CAPTURE).splitlines(keepends=True)
        assert decoded(b"".join([lines[0], *lines[5:]])) == CAPTURE[:16] + CAPTURE[80:]


def test_lines_beyond_the_beginning_that_are_no_hex_are_skipped_and_counted() -> None:
    for form in (canonical, xxd, words, od, in_lines):
        lines = form(CAPTURE).splitlines(keepends=True)
        text = b"".join([*lines[:20], b"-- next page --\n", *lines[20:], b"the end"])
        assert everything(text) == everything(text, [1]) == (CAPTURE, True, 2)


def test_half_a_byte_at_the_end_is_left_out() -> None:
    assert everything(b"DB08534") == (b"\xdb\x08S", True, 0)


def test_half_a_byte_in_front_of_a_skipped_line_does_not_shift_what_follows() -> None:
    lines = in_lines(CAPTURE)
    assert decoded(lines + b"5\r\nconnection lost\r\n" + lines) == CAPTURE * 2


def test_a_fault_in_an_endless_line_costs_a_block_and_not_the_line() -> None:
    text = plain(CAPTURE) * 4
    out, _, skipped = everything(text[:5000] + b"?" + text[5000:])
    assert skipped == 1
    assert len(CAPTURE) * 4 - 1100 < len(out) < len(CAPTURE) * 4


def test_what_all_stars_stand_for_is_bounded_and_what_is_left_out_is_told() -> None:
    size = 8 << 20
    lines = [f"{at * (size + 16):010x}  {'41 ' * 16} |{'A' * 16}|\n" for at in range(6)]
    out, _, skipped = everything("*\n".join(lines).encode(), [64])
    assert len(out) == 2 * size + 6 * 16
    assert skipped == 3
    assert everything(canonical(b"A" * 16)[:-9] + b"*\nffffffffffff  41 |A|\n") == (b"A" * 17, True, 1)


def test_a_star_where_no_whole_lines_are_missing_is_told() -> None:
    rows = [canonical(b"A" * 16)[:-9], canonical(b"B" * 16, 0x45)]
    assert everything(b"*\n".join(rows)) == (b"A" * 16 + b"B" * 16, True, 1)


IN_ONE_LINE = {form.__name__: b" ".join(form(CAPTURE).split()) for form in PLAIN_FORMS}
#: What is repeated without end, behind a beginning of some form.
ENDLESS = {
    **{name: (b"", line) for name, line in IN_ONE_LINE.items()},
    "0x without separators": (b"", b"0xDB0x08"),
    "a text column": (b"00000000: db08  text", b"~"),
    "blanks": (in_lines(CAPTURE), b" "),
    "line breaks": (in_lines(CAPTURE), b"\n"),
    "stars": (canonical(CAPTURE), b"*\n"),
    "lines": (b"", canonical(CAPTURE)),
    "a line that xxd has almost written": (xxd(CAPTURE), b"00000000: " + b"05 " * 640 + b"\x01\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_whatever_has_no_end_needs_little_memory(name: str) -> None:
    beginning, repeated = ENDLESS[name]
    chunk = repeated * max(1, 4096 // len(repeated))
    decoder = InputDecoder()
    decoder.feed(beginning)
    tracemalloc.start()
    try:
        peaks = []
        for _ in range(4):
            for _ in range(25):
                decoder.feed(chunk)
            peaks.append(tracemalloc.get_traced_memory()[1])
        assert peaks[-1] < 1.05 * peaks[0] + len(chunk)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", sorted(set(ENDLESS) - {"line breaks", "stars"}))
def test_four_megabytes_at_once_take_seconds_at_most(name: str) -> None:
    beginning, repeated = ENDLESS[name]
    started = time.process_time()
    everything(beginning + repeated * (4_000_000 // len(repeated)))
    assert time.process_time() - started < 4


@pytest.mark.parametrize("form", PLAIN_FORMS)
def test_one_endless_line_of_hex_comes_out_while_it_comes_in(form: Form) -> None:
    text = IN_ONE_LINE[form.__name__]
    separator = b"" if form is plain else b", " if b"0x" in text else b" "
    decoder = InputDecoder()
    out = b""
    for count in range(1, 30):
        out += decoder.feed(text + separator)
        assert 0 <= len(CAPTURE) * count - len(out) <= 1100
    assert out + decoder.finish() == CAPTURE * 29


TOOLS = [
    ["xxd"], ["xxd", "-p"], ["xxd", "-u", "-c", "24"], ["xxd", "-g", "1"], ["xxd", "-c", "256", "-g", "1"],
    ["xxd", "-a"], ["xxd", "-c", "7", "-g", "3"], ["xxd", "-g", "0"], ["hexdump", "-C"], ["hexdump"],
    ["hexdump", "-x"], ["od", "-A", "x", "-t", "x1"], ["od", "-A", "x", "-t", "x1z"], ["od", "-A", "x", "-x"],
    ["od", "-A", "n", "-t", "x1", "-v"],
]  # fmt: skip


@pytest.mark.parametrize("command", TOOLS, ids=" ".join)
def test_what_the_real_tools_print_is_read(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on this machine; its form is tested above by hand")
    for data in (CAPTURE, CAPTURE[:-1], CAPTURE[:5], CAPTURE + b"\0" * 99 + CAPTURE + b"\xff" * 160):
        printed = subprocess.run(command, input=data, capture_output=True, check=True).stdout
        assert everything(printed) == everything(printed, [1]) == (data, True, 0)
