"""An edge cuts every frame and telegram out of its stream that a gateway with the keys would accept."""

import random
import tracemalloc
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smarty_gateway.protocol.byte_stream import SILENCE
from smarty_gateway.protocol.checksum import arc
from smarty_gateway.protocol.frame import MAX_LENGTH
from smarty_gateway.protocol.frame_cutter import OVERLAPPING, CutFrame, CutTelegram, FrameCutter
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from tests.protocol.test_floods import ALL_FLOODS, GOOD
from tests.support.looked_at import bytes_looked_at
from tests.support.spoiled_streams import FALSE_HEADER, SHORT, false_header, spoiled_streams
from tests.support.streams import chunks_of, drain, sample_keys
from vectors.building_blocks import HOUSE_TITLE, belgium, frame, length_field, luxembourg, netherlands
from vectors.generate import sample_recording

WITHOUT_CRC = b"/ISk5\\2MT382-1\r\n\r\n1-0:1.8.1(00001.001*kWh)\r\n!\r\n"
Cut = CutFrame | CutTelegram


def cut(data: bytes | Iterable[bytes]) -> list[Cut]:
    """Cut a whole recording, in one chunk or in those given."""
    cutter, found = FrameCutter(), []
    for chunk in [data] if isinstance(data, bytes) else data:
        cutter.receive_data(chunk)
        found += drain(cutter)
    cutter.receive_data(b"")
    return found + drain(cutter)


def offsets(data: bytes) -> list[int]:
    return [found.offset for found in cut(data)]


def test_frames_and_telegrams_come_out_as_they_came_and_in_order() -> None:
    data = sample_recording()
    found = cut(data)
    assert [each.offset for each in found] == [871, 2172, 3067, 3574, 4875, 5756, 6483, 6950, 8251]
    assert all(data[each.offset :].startswith(each.data) for each in found)
    assert isinstance(found[0], CutFrame)
    assert found[0].system_title == HOUSE_TITLE
    meter_ids = {each.meter_id for each in found if isinstance(each, CutTelegram)}
    assert meter_ids == {"1SAG1100000001", "E0044000000000001"}


def test_a_telegram_without_an_identity_is_that_of_its_header() -> None:
    assert cut(WITHOUT_CRC) == [CutTelegram(0, WITHOUT_CRC, "ISk5\\2MT382-1")]


def test_each_legal_length_is_cut_and_no_other() -> None:
    for form, length in ((0, 18), (0, 0x7F), (0x81, 200), (0x82, 18), (0x82, MAX_LENGTH)):
        data = FALSE_HEADER[:10] + length_field(length, form) + b"\x30" + bytes(length - 1)
        assert cut(b"x" + data + b"x") == [CutFrame(1, data, HOUSE_TITLE)]
    for form, length in ((0, 17), (0x82, 17), (0x82, MAX_LENGTH + 1)):
        data = FALSE_HEADER[:10] + length_field(length, form) + b"\x30" + bytes(length - 1)
        assert cut(data) == []


def test_a_frame_that_is_not_authenticated_and_encrypted_is_not_cut() -> None:
    assert cut(frame(SHORT, security=0x20)) == []


def test_a_frame_comes_out_with_its_last_byte_whatever_surrounds_it() -> None:
    good = frame(SHORT)
    cutter = FrameCutter()
    cutter.receive_data(FALSE_HEADER + b"\xdb\x08" + good[:-1])
    assert drain(cutter) == []
    cutter.receive_data(good[-1:])
    assert [found.data for found in drain(cutter)] == [good]


def test_a_header_in_the_last_bytes_of_a_frame_does_not_delay_it() -> None:
    good = frame(SHORT)[:-4] + b"\xdb\x08\n!"
    cutter = FrameCutter()
    cutter.receive_data(good)
    assert [found.data for found in drain(cutter)] == [good]


def test_a_false_frame_hides_neither_what_lies_in_it_nor_what_overlaps_it() -> None:
    good, text = frame(SHORT), belgium(1)
    around = FALSE_HEADER[:10] + length_field(len(good + text) + 40) + b"\x30"
    data = around + good + text + b"x" * 20 + good
    assert [found.data for found in cut(data)][:2] == [good, text]
    assert cut(data)[-1].data == good


def test_a_frame_inside_more_false_frames_than_are_followed_is_cut() -> None:
    headers = b"".join(FALSE_HEADER[:10] + length_field(3000 - 20 * number) + b"\x30" for number in range(40))
    good = frame(luxembourg(1))
    found = cut(headers + good + bytes(3000))
    assert good in [each.data for each in found]
    assert len(found) == OVERLAPPING


def test_a_silence_ends_what_is_open() -> None:
    good = frame(SHORT)
    cutter = FrameCutter()
    cutter.receive_data(good[:40], now=0.0)
    cutter.receive_data(good[40:], now=SILENCE)
    assert drain(cutter) == []
    cutter.receive_data(good, now=2 * SILENCE)
    assert [found.offset for found in drain(cutter)] == [len(good)]


def test_the_last_line_needs_no_line_end_once_the_stream_is_silent() -> None:
    text = belgium(1)
    cutter = FrameCutter()
    cutter.receive_data(text[:-1], now=0.0)
    assert drain(cutter) == []
    cutter.receive_data(b"", now=SILENCE)
    assert [found.data for found in drain(cutter)] == [text[:-1]]


def test_a_telegram_with_a_wrong_crc_or_without_one_that_is_due_is_not_cut() -> None:
    wrong = belgium(1).replace(b"000531.250", b"000531.251")
    missing = belgium(1)[:-6] + b"\r\n"
    binary = WITHOUT_CRC.replace(b"00001", b"0000\x01")
    for text in (wrong, missing, binary, b"/abc\n!\n", b"\n!12AB\r\n"):
        assert cut(b"x" + text) == []


def test_of_slashes_from_which_the_crc_is_right_the_last_ones_count() -> None:
    """What an attacker puts before a telegram so that the CRC of both together is right hides nothing."""
    text = belgium(1)
    slash = next(b for b in (b"/ab%c%c" % (x, y) for x in range(256) for y in range(256)) if arc(b) == 0)
    data = slash * 20 + text
    found = cut(data)
    assert [each.offset for each in found] == [5 * number for number in range(13, 21)]
    assert found[-1].data == text


def test_a_telegram_longer_than_the_bound_is_not_cut() -> None:
    lines = "".join(f"1-0:99.{number}.0({'7' * 1000})\r\n" for number in range(16))
    filler = "8" * (MAX_LENGTH - len("/FLU5\r\n" + lines + "1-0:99.99.0()\r\n!ABCD\r\n"))
    for more, expected in (("", 1), ("8", 0)):
        body = f"/FLU5\r\n{lines}1-0:99.99.0({filler}{more})\r\n!".encode()
        assert len(cut(body + f"{arc(body):04X}\r\n".encode())) == expected


def test_noise_is_counted_and_waits_for_nothing() -> None:
    cutter = FrameCutter()
    cutter.receive_data(b"noise" + GOOD)
    drain(cutter)
    assert (cutter.noise_bytes, cutter.is_waiting) == (5, False)
    cutter.receive_data(b"noise")
    drain(cutter)
    assert (cutter.noise_bytes, cutter.is_waiting) == (5, True)
    cutter.receive_silence()
    assert (cutter.noise_bytes, cutter.is_waiting) == (10, False)
    cutter.receive_data(bytes(100_000))
    drain(cutter)
    assert cutter.noise_bytes > 100_000 - 2 * MAX_LENGTH


# Nothing that a gateway with the keys accepts is missing


def pieces_of(data: bytes, cuts: Sequence[int], silences: Sequence[bool]) -> list[tuple[bytes, float]]:
    """Cut data into pieces, with a silence before some of them."""
    pieces, start, turn, now = [], 0, 0, 0.0
    while start < len(data):
        size = cuts[turn % len(cuts)]
        now += SILENCE if silences[turn % len(silences)] else 0.1
        pieces.append((data[start : start + size], now))
        start, turn = start + size, turn + 1
    return pieces


def missing_from_the_cutter(pieces: Sequence[tuple[bytes, float]]) -> list[tuple[int, int]]:
    """Return what a stream with the keys accepts and the cutter does not give."""
    stream, cutter = MeterStream(sample_keys()), FrameCutter()
    accepted, given = [], []
    for data, now in pieces:
        stream.receive_data(data, now)
        cutter.receive_data(data, now)
        accepted += drain(stream)
        given += drain(cutter)
    stream.receive_silence()
    cutter.receive_silence()
    accepted, given = accepted + drain(stream), given + drain(cutter)
    assert len({(each.offset, len(each.data), type(each)) for each in given}) == len(given)
    ends = [each.offset + len(each.data) for each in given]
    assert ends == sorted(ends)
    of_stream = {(each.offset, each.size) for each in accepted if isinstance(each, MeterTelegram)}
    return sorted(of_stream - {(each.offset, len(each.data)) for each in given})


CUTS = st.lists(st.integers(1, 400), min_size=1, max_size=8)
SILENCES = st.lists(st.sampled_from([False, False, False, True]), min_size=1, max_size=30)
STREAMS = spoiled_streams(WITHOUT_CRC, netherlands(1), b"/\n" + SHORT)


@settings(max_examples=30)
@given(data=STREAMS, cuts=CUTS, silences=SILENCES)
def test_what_a_stream_with_the_keys_accepts_is_cut(
    data: bytes, cuts: list[int], silences: list[bool]
) -> None:
    assert missing_from_the_cutter(pieces_of(data, cuts, silences)) == []


@settings(max_examples=50)
@given(parts=st.lists(st.sampled_from([*b"/\n!\xdb\x0812A ", 0x30, 0x82, 0]), max_size=80).map(bytes))
@example(b"\n!\n!/\n!0000\n")
def test_what_a_stream_accepts_of_noise_that_resembles_frames_and_telegrams_is_cut(parts: bytes) -> None:
    for data in (parts, parts + SHORT, SHORT[:40] + parts + SHORT, parts + WITHOUT_CRC):
        assert missing_from_the_cutter([(data, 0.0)]) == []


@settings(max_examples=20)
@given(data=STREAMS, cuts=CUTS)
def test_any_chunking_of_any_stream_is_cut_in_the_same_way(data: bytes, cuts: list[int]) -> None:
    whole = cut(data)
    assert cut([piece for piece, _ in pieces_of(data, cuts, [False])]) == whole
    assert cut(chunks_of(data, 1)) == whole


@pytest.mark.parametrize("count", [1, 7, 8, 9, 30])
def test_a_frame_or_telegram_is_cut_wherever_false_headers_stand_around_it(count: int) -> None:
    rng = random.Random(count)
    for good in (frame(luxembourg(1)), belgium(1), WITHOUT_CRC):
        for _ in range(10):
            before = b"".join(false_header(rng, 4000) for _ in range(count))
            behind = b"".join(false_header(rng, 4000) for _ in range(count))
            assert len(before) in offsets(before + good + behind + bytes(5000))


# Floods

#: Those that cost the cutter most, and one of each kind; the others are measured in slow runs.
QUICK = ("noise", "headers packed as tightly as can be", "telegrams that are all false")
EACH_FLOOD = [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in ALL_FLOODS]


@pytest.mark.parametrize("name", EACH_FLOOD)
def test_each_byte_of_a_flood_is_looked_at_a_bounded_number_of_times(name: str) -> None:
    flood = ALL_FLOODS[name]
    once, more = (
        bytes_looked_at(FrameCutter(), chunks_of(flood * count, 1024)) / len(flood * count)
        for count in (1, 3)
    )
    assert more < 200
    assert more < 1.5 * once


@pytest.mark.parametrize("name", ALL_FLOODS)
def test_of_a_flood_no_more_is_given_than_the_bound_and_a_good_frame_behind_it_is_cut(name: str) -> None:
    found = cut(chunks_of(ALL_FLOODS[name] + GOOD + bytes(MAX_LENGTH), 1024))
    given = sum(len(each.data) for each in found)
    assert given <= 2 * OVERLAPPING * len(ALL_FLOODS[name] + GOOD)
    assert GOOD in [each.data for each in found]


@pytest.mark.parametrize("name", EACH_FLOOD)
def test_the_memory_does_not_grow_with_the_flood(name: str) -> None:
    cutter = FrameCutter()
    tracemalloc.start()
    try:
        for chunk in chunks_of(ALL_FLOODS[name], 4096):
            cutter.receive_data(chunk)
            drain(cutter)
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
    finally:
        tracemalloc.stop()
