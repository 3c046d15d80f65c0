"""Frames and telegrams are found in any stream, cut in any way, and nothing else is."""

import random
from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.protocol.meter import MeterStream
from tests.support.spoiled_streams import FALSE_HEADER, SHORT, false_header, spoiled, spoiled_streams
from tests.support.streams import chunks_of, drain, read, reasons, rejections, sample_keys, telegrams
from vectors.building_blocks import (
    HOUSE_TITLE,
    belgium,
    frame,
    length_field,
    luxembourg,
    luxembourg_of_2018,
    netherlands,
    telegram,
)
from vectors.generate import sample_recording


def offsets(data: bytes) -> list[int]:
    return offsets_of([data])


def offsets_of(chunks: Iterable[bytes]) -> list[int]:
    return [found.offset for found in telegrams(read(chunks))]


def test_a_frame_is_found_with_each_legal_form_of_the_length() -> None:
    for form in (0, 0x81, 0x82):
        assert len(telegrams(read(frame(SHORT, form=form)))) == 1


def test_a_frame_as_long_as_the_bound_is_found_and_one_byte_more_is_malformed() -> None:
    lines = [f"1-0:99.{number}.0({'7' * 1000})" for number in range(20)]
    text = telegram("Lux5\\253000001_D", "1-3:0.2.8(42)", *lines)
    body_end = text.rindex(b"1-0:99.15.0")
    filler = 16384 - 17 - (body_end + len("1-0:99.99.0()\r\n!ABCD\r\n"))
    exact = telegram("Lux5\\253000001_D", "1-3:0.2.8(42)", *lines[:15], f"1-0:99.99.0({'8' * filler})")
    assert len(exact) == 16384 - 17
    assert len(telegrams(read(frame(exact)))) == 1
    longer = exact.replace(b"88888", b"888888", 1)
    assert reasons(read(frame(longer))) == ["malformed"]


def test_a_frame_behind_noise_of_any_length_is_found() -> None:
    noise = random.Random(7).randbytes(2000)
    for length in (1, 2, 13, 14, 100, 2000):
        assert offsets(noise[:length] + frame(SHORT)) == [length]


def test_a_silence_brings_out_the_good_frames_inside_the_claimed_length_of_afalse_header() -> None:
    stream = MeterStream(sample_keys())
    good = [frame(SHORT, counter=counter) for counter in (1, 2, 3)]
    stream.receive_data(b"noise" + FALSE_HEADER + b"".join(good), now=0.0)
    stream.receive_data(b"", now=2.0)
    assert [event.offset for event in drain(stream)] == [19, 19 + len(good[0]), 19 + 2 * len(good[0])]


def test_good_frames_inside_a_false_one_come_out_as_soon_as_it_is_complete() -> None:
    stream = MeterStream(sample_keys())
    good = frame(SHORT)
    false = FALSE_HEADER[:10] + length_field(len(good) + 1) + b"\x30"
    stream.receive_data(false + good[:-1])
    assert drain(stream) == []
    stream.receive_data(good[-1:])
    assert [event.offset for event in drain(stream)] == [len(false)]


def test_no_bytes_and_no_time_end_the_input() -> None:
    stream = MeterStream(sample_keys())
    good = frame(SHORT)
    stream.receive_data(FALSE_HEADER + good)
    assert drain(stream) == []
    stream.receive_data(b"")
    assert [event.offset for event in drain(stream)] == [len(FALSE_HEADER)]


def test_a_false_header_that_overlaps_an_accepted_frame_is_not_reported() -> None:
    data = FALSE_HEADER + b"".join(frame(SHORT, counter=counter) for counter in range(1, 400))
    events = read(data)
    assert len(telegrams(events)) == 399
    assert rejections(events) == []


def test_only_what_a_good_frame_did_not_prove_false_is_cut_short_by_the_end() -> None:
    good, cut = frame(SHORT, counter=1), frame(luxembourg(2), counter=2)[:700]
    events = read(FALSE_HEADER + good + cut)
    assert [event.offset for event in events] == [len(FALSE_HEADER), len(FALSE_HEADER + good)]
    assert reasons(events) == ["malformed"]


def test_a_frame_that_lost_a_byte_costs_only_itself() -> None:
    first, second = frame(luxembourg(1), counter=1), frame(luxembourg(2), counter=2)
    assert offsets(first[:600] + first[601:] + second) == [len(first) - 1]


def test_a_frame_cut_short_by_the_next_is_not_reported() -> None:
    first, second = frame(luxembourg(1), counter=1), frame(luxembourg(2), counter=2)
    events = read(first[:700] + second)
    assert [event.offset for event in events] == [700]


def test_overlapping_damaged_frames_are_reported_once() -> None:
    damaged = bytearray(frame(luxembourg(1), counter=1))
    inner = bytearray(frame(SHORT, counter=2))
    inner[-1] ^= 1
    damaged[100 : 100 + len(inner)] = inner
    events = read(bytes(damaged))
    assert [(event.offset, reason) for event, reason in zip(events, reasons(events), strict=True)] == [
        (0, "authentication")
    ]


def test_a_good_frame_inside_a_damaged_one_is_found() -> None:
    damaged = bytearray(frame(luxembourg(1), counter=1))
    inner = frame(SHORT, counter=2)
    damaged[100 : 100 + len(inner)] = inner
    events = read(bytes(damaged))
    assert [event.offset for event in events] == [100]
    assert rejections(events) == []


def test_a_good_frame_inside_a_damaged_one_is_found_though_another_frame_is_due_behind() -> None:
    damaged = bytearray(frame(luxembourg(1), counter=1))
    inner = frame(SHORT, counter=2)
    damaged[100 : 100 + len(inner)] = inner
    data = bytes(damaged) + frame(SHORT, counter=3, security=0x20)
    for size in (len(data), 700, 100, 1):
        assert [event.offset for event in read(chunks_of(data, size))] == [100]


def test_a_telegram_between_false_frames_is_found_however_the_stream_is_cut() -> None:
    def header(length: int) -> bytes:
        return FALSE_HEADER[:10] + length_field(length) + b"\x30"

    text = belgium(1)
    # The first false frame ends inside the telegram, the second begins before it and ends behind it.
    data = b"0" + header(100) + b"x" * 20 + header(len(text) + 60) + b"y" * 10 + text + b"z" * 80
    for size in (len(data), 700, 100, 1):
        assert [event.offset for event in read(chunks_of(data, size))] == [data.index(text)]


def test_of_false_frames_and_texts_that_overlap_the_same_ones_are_reported_however_the_stream_is_cut() -> (
    None
):
    def text(inside: bytes) -> bytes:
        return b"/ISk5\\2MT382-1\r\n\r\n1-0:1.8.1(0" + inside + b"1.001*kWh)\r\n!\r\n"

    # A false frame reaches from the first text into the third, another one lies in the second.
    second = text(frame(SHORT)[:-1] + b"x")
    start = text(b"").index(b"1.001")
    length = len(text(FALSE_HEADER)) + len(second) + 15 - start - 13
    first = text(FALSE_HEADER[:10] + length_field(length) + b"\x30")
    data = first + second + SHORT.replace(b"42", b"43")
    for size in (len(data), 700, 100, 1):
        events = read(chunks_of(data, size))
        assert [event.offset for event in events] == [0, data.rindex(b"\xdb\x08"), len(first + second)]


def test_behind_a_frame_around_a_good_telegram_nothing_is_due() -> None:
    damaged = bytearray(frame(luxembourg(1), counter=1))
    damaged[100 : 100 + len(SHORT)] = SHORT
    text = bytearray(belgium(1))
    text[2] = 0x96  # no header line, which counts only where a frame is due
    data = bytes(damaged + text)
    for size in (len(data), 700, 100, 1):
        assert [event.offset for event in read(chunks_of(data, size))] == [100]


def test_a_mark_inside_ciphertext_changes_nothing() -> None:
    data, counter = b"", 0
    while True:  # some counter gives a ciphertext with the mark in it
        counter += 1
        data = frame(luxembourg_of_2018(1), counter=counter)
        if b"\xdb\x08" in data[2:]:
            break
    assert offsets(data) == [0]


def test_noise_between_frames_is_counted_and_never_reported() -> None:
    noise = [b"\xdb", b"\xdb\x08", b"\xff" * 50, b"/", b"/abc!12", b"\n!\n", FALSE_HEADER[:9]]
    for part in noise:
        stream = MeterStream(sample_keys())
        stream.receive_data(frame(SHORT, counter=1) + b"x" + part + b"x" + frame(SHORT, counter=2))
        stream.receive_silence()
        events = drain(stream)
        assert (len(telegrams(events)), rejections(events)) == (2, [])
        assert stream.noise_bytes == len(part) + 2


def test_a_faulty_header_is_reported_where_a_frame_is_due_and_nowhere_else() -> None:
    good = frame(SHORT)
    faulty = [b"\xdb\x07", b"\xdb\x08" + HOUSE_TITLE + b"\x83", b"\xdb\x08" + HOUSE_TITLE + b"\x11\x30"]
    for header in faulty:
        assert [r.offset for r in rejections(read(header + b"\x00" * 20))] == [0]
        assert [r.offset for r in rejections(read(good + header + b"\x00" * 20))] == [len(good)]
        assert rejections(read(b"x" + header + b"\x00" * 20)) == []


def test_a_silence_makes_a_frame_due_again_and_ends_what_was_open() -> None:
    stream = MeterStream(sample_keys())
    good = frame(SHORT)
    stream.receive_data(good[:40], now=0.0)
    assert drain(stream) == []
    stream.receive_data(b"", now=1.9)
    assert drain(stream) == []
    stream.receive_data(b"", now=2.1)
    assert reasons(drain(stream)) == ["malformed"]
    stream.receive_data(b"\xdb\x07" + good, now=10.0)
    assert [event.offset for event in drain(stream)] == [40, 42]


def test_a_stream_waits_for_a_silence_only_while_something_is_open() -> None:
    stream = MeterStream(sample_keys())
    for data, is_waiting in (
        (frame(SHORT), False),
        (belgium(1), False),
        (frame(SHORT, counter=9)[:40], True),
    ):
        stream.receive_data(data)
        drain(stream)
        assert stream.is_waiting == is_waiting
    stream.receive_silence()
    assert reasons(drain(stream)) == ["malformed"]
    assert not stream.is_waiting


def test_bytes_without_a_pause_are_joined_whatever_the_clock_says() -> None:
    stream = MeterStream(sample_keys())
    good = frame(SHORT)
    for second, byte in enumerate(good):
        stream.receive_data(bytes([byte]), now=second * 1.9)
    assert len(telegrams(drain(stream))) == 1


def test_a_truncated_frame_is_malformed_where_one_is_due() -> None:
    good = frame(SHORT)
    for cut in range(1, len(good)):
        events = read(good[:cut])
        assert (reasons(events), events[0].offset) == (["malformed"], 0)
        assert reasons(read(frame(SHORT) + good[:cut])) == ["malformed"]
        assert reasons(read(b"noise" + good[:cut])) == []


def test_a_telegram_is_found_behind_noise_that_holds_slashes() -> None:
    assert offsets(b"a/b/c /xyz" + belgium(1)) == [10]


def test_a_telegram_is_found_behind_thousands_of_slashes() -> None:
    text = belgium(1)
    for written in (text, text.replace(b"\r\n", b"\n"), text.replace(b"1-0", b"1\x00-0")):
        assert offsets(b"/A" * 3000 + written) == [6000]


def test_a_telegram_cut_short_by_the_next_does_not_cost_the_next() -> None:
    assert offsets(belgium(1)[:300] + belgium(2)) == [300]


def test_a_telegram_without_crc_is_found_right_behind_a_frame_with_a_slash_inside_a_telegram_cut_short() -> (
    None
):
    old = b"/ISk5\\2MT382-1\r\n\r\n1-0:1.8.1(00001.001*kWh)\r\n!\r\n"
    counter = next(
        n for n in range(99999) if b"/9o7" in (good := frame(SHORT, counter=n)) and b"\n" not in good
    )
    data = SHORT[:47] + frame(SHORT, counter=counter) + old
    assert offsets(data) == [47, len(data) - len(old)]


def test_a_telegram_with_latin_1_and_control_characters_is_proven_by_its_crc() -> None:
    text = telegram("Lux5\\m\xe9t\xe9r\x01\x1b", "1-3:0.2.8(42)", "0-0:96.13.0(\xe4\xf6\xfc\x07)")
    for before in (b"", b"noise", b"\xdb\x08/abc"):
        for size in (len(before + text), 1):
            assert offsets_of(chunks_of(before + text, size)) == [len(before)]


def test_a_slash_in_a_frame_of_an_unknown_meter_does_not_make_its_report_wait_for_an_end_line() -> None:
    strangers = [frame(luxembourg(1), title=b"UNKNOWN!", counter=counter) for counter in range(40)]
    stream = MeterStream(sample_keys())
    stream.receive_data(b"".join(strangers))
    assert len(drain(stream)) >= 39


def test_of_thousands_of_false_frames_inside_each_other_the_outermost_is_reported() -> None:
    headers = (FALSE_HEADER[:10] + length_field(16000 - 20 * number) + b"\x30" for number in range(200))
    data = b"".join(headers) + bytes(20000)
    assert [
        (event.offset, reason) for event, reason in zip(read(data), reasons(read(data)), strict=True)
    ] == [(0, "authentication")]


def test_a_damaged_telegram_is_reported_with_the_offset_of_its_header() -> None:
    damaged = belgium(1).replace(b"000531.250", b"000531.251")
    for before in (b"", b"a/b/c /xyz\r\n", b"\xff\xff"):
        events = read(before + damaged + belgium(2))
        assert [(r.reason.value, r.offset) for r in rejections(events)] == [("checksum", len(before))]
        assert len(telegrams(events)) == 1


def test_a_damaged_telegram_without_a_header_line_is_reported_if_its_meter_sends_a_crc() -> None:
    damaged = belgium(1).replace(b"/FLU5", b"/FLU5(")
    without_crc = damaged[: damaged.rindex(b"!") + 1] + b"\r\n"
    of_an_old_meter = b"/ISk5(\\2MT382-1\r\n\r\n1-0:1.8.1(00001.001*kWh)\r\n!\r\n"
    for text, expected in ((damaged, ["checksum"]), (without_crc, ["checksum"]), (of_an_old_meter, [])):
        assert reasons(read(b"noise" + text)) == expected


def test_a_telegram_around_a_frame_that_was_reported_is_not_reported_too() -> None:
    events = read(belgium(1)[:300] + frame(SHORT)[:60] + belgium(1)[300:])
    assert [(r.reason.value, r.offset) for r in rejections(events)] == [("authentication", 300)]


def test_the_last_telegram_needs_no_line_end_once_the_stream_is_silent() -> None:
    assert offsets(belgium(1).rstrip(b"\r\n")) == [0]


def test_a_telegram_whose_line_ends_were_changed_by_copying_is_proven_by_its_crc() -> None:
    assert offsets(belgium(1).replace(b"\r\n", b"\n")) == [0]


def test_a_telegram_longer_than_the_bound_is_none() -> None:
    lines = [f"1-0:99.{number}.0({'7' * 1000})" for number in range(17)]
    assert read(telegram("FLU5\\253000003_A", *lines)) == []
    assert len(telegrams(read(telegram("FLU5\\253000003_A", *lines[:16])))) == 1


def test_noise_between_slash_and_end_line_is_no_telegram() -> None:
    for noise in (b"x/abc \x00\x01\r\n!12AB\r\n", b"x/\n!\n", b"/abc\n!\n", b"x/abc\r\n\r\n!\r\n"):
        assert read(noise) == []


def test_a_frame_behind_more_noise_than_is_searched_at_once_is_found() -> None:
    assert offsets(b"\xff" * 200_000 + frame(SHORT)) == [200_000]


def test_whole_bytewise_and_chunked_feeding_of_the_sample_give_the_same_events() -> None:
    data = sample_recording()
    whole = read(data)
    assert len(telegrams(whole)) == 9
    for size in (1, 2, 3, 7, 64, 1000):
        assert read(chunks_of(data, size)) == whole


@settings(max_examples=150, deadline=None)
@given(data=spoiled_streams(), cuts=st.lists(st.integers(1, 400), min_size=1, max_size=8))
def test_any_chunking_of_any_stream_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    whole = read(data)
    pieces, start, turn = [], 0, 0
    while start < len(data):
        pieces.append(data[start : start + cuts[turn % len(cuts)]])
        start += cuts[turn % len(cuts)]
        turn += 1
    assert read(pieces) == whole
    assert read(chunks_of(data, 1)) == whole


@settings(max_examples=150, deadline=None)
@given(data=spoiled_streams())
def test_events_come_in_order_and_never_share_a_byte(data: bytes) -> None:
    events = read(data)
    assert all(first.offset + first.size <= second.offset for first, second in pairwise(events))
    stream = MeterStream(sample_keys())
    stream.receive_data(data)
    stream.receive_silence()
    drain(stream)
    assert 0 <= stream.noise_bytes <= len(data)


def test_every_intact_frame_of_a_spoiled_stream_comes_out_once() -> None:
    rng = random.Random(200)
    parts: list[bytes] = []
    expected: list[int] = []
    size = 0

    def add(part: bytes) -> None:
        nonlocal size
        parts.append(part)
        size += len(part)

    for counter in range(1, 201):
        text = luxembourg(counter % 60) if rng.random() < 0.5 else luxembourg_of_2018(counter % 60)
        good = frame(text, counter=counter)
        spoil = rng.choice(["noise", "header", "cut", "tail", "flip", "telegram", "nothing"])
        if spoil == "noise":
            add(rng.randbytes(rng.randrange(1, 300)))
        elif spoil == "header":
            add(false_header(rng))
        elif spoil == "cut":
            add(good[: rng.randrange(1, len(good))])
        elif spoil == "tail":
            add(good[rng.randrange(1, len(good)) :])
        elif spoil == "flip":
            add(spoiled(good, rng))
        elif spoil == "telegram":
            add(netherlands(1)[: rng.randrange(1, 500)])
        expected.append(size)
        add(good)
    for size_of_chunk in (size, 1, 100):
        found = telegrams(read(chunks_of(b"".join(parts), size_of_chunk)))
        assert [telegram.offset for telegram in found] == expected


def test_a_frame_is_completed_with_bytes_that_are_held_back_if_it_verifies_with_them() -> None:
    before = b"noise" + belgium(0)
    data = before + frame(SHORT)
    stream = MeterStream(sample_keys())
    stream.receive_data(data[:-3])
    assert stream.complete_frame(data[-3:] + b"more") == 3
    assert [found.offset for found in telegrams(drain(stream))] == [len(b"noise"), len(before)]


def test_a_frame_that_does_not_verify_takes_nothing_and_is_judged_when_its_bytes_come() -> None:
    data = bytearray(frame(SHORT))
    data[-1] ^= 1
    stream = MeterStream(sample_keys())
    stream.receive_data(bytes(data[:-3]))
    assert stream.complete_frame(bytes(data[-3:])) == 0
    assert drain(stream) == []
    stream.receive_data(bytes(data[-3:]))
    assert reasons(drain(stream)) == ["authentication"]


def test_a_header_that_is_not_complete_takes_nothing() -> None:
    data = frame(SHORT)
    stream = MeterStream(sample_keys())
    stream.receive_data(data[:5])
    assert stream.complete_frame(data[5:]) == 0
    stream.receive_data(data[5:])
    assert len(telegrams(drain(stream))) == 1
