"""Parity bits are taken off telegrams, and off nothing else, however the stream is cut."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.sources.parity import ParityFilter
from tests.support.streams import chunks_of, drain, read, reasons, sample_keys, stripped, telegrams
from vectors.building_blocks import belgium, frame, luxembourg, netherlands, with_parity

TEXT = belgium(1)
GOOD = frame(luxembourg(1))
#: The beginning of a telegram, just long enough to prove itself.
PROOF = with_parity(TEXT)[:32]


def is_held(data: bytes) -> bool:
    parity = ParityFilter()
    parity.strip(data)
    return parity.is_holding


def test_telegrams_with_parity_bits_are_read_without_them() -> None:
    data = b"noise" + with_parity(belgium(1)) + with_parity(belgium(2))
    assert [found.raw for found in telegrams(read(stripped(data)))] == [belgium(1), belgium(2)]


def test_a_telegram_behind_thousands_of_slashes_is_found() -> None:
    data = b"/A" * 1000 + b"\xafA" * 2000 + with_parity(TEXT)
    assert [found.offset for found in telegrams(read(stripped(data)))] == [6000]


def test_a_telegram_that_began_before_the_first_byte_does_not_cost_the_next() -> None:
    data = with_parity(TEXT)[300:] + with_parity(TEXT)
    assert [found.raw for found in telegrams(read(stripped(data)))] == [TEXT]


def test_a_telegram_with_a_damaged_parity_bit_is_not_accepted() -> None:
    damaged = bytearray(with_parity(TEXT))
    damaged[100] ^= 0x80
    assert telegrams(read(stripped(bytes(damaged)))) == []


def test_a_damaged_telegram_does_not_cost_the_next() -> None:
    for at in (0, 1, 40, 500):
        damaged = bytearray(with_parity(TEXT))
        damaged[at] ^= 0x04
        assert telegrams(read(stripped(bytes(damaged) + with_parity(netherlands(1)))))


def test_nuls_between_the_characters_stay() -> None:
    text = TEXT.replace(b"1-0", b"1\x00-\x000")
    assert stripped(with_parity(text)) == text


def test_a_frame_right_behind_a_telegram_is_not_touched() -> None:
    data = with_parity(TEXT) + GOOD
    for size in (len(data), 1, 16, len(TEXT), len(TEXT) + 1):
        assert stripped(data, size) == TEXT + GOOD


def test_a_frame_with_slashes_and_parity_in_its_ciphertext_is_not_touched() -> None:
    for ciphertext in (PROOF[:-1] + b"\x01", b"\xaf" * 31 + b"\x01", b"\xaf\xdb\x08" * 40):
        data = GOOD[:40] + ciphertext + GOOD[40:]
        assert stripped(data) == data


def test_text_as_long_as_the_proof_is_stripped_and_one_byte_less_is_not() -> None:
    assert stripped(PROOF) == TEXT[:32]
    assert stripped(PROOF[:-1]) == PROOF[:-1]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 8000))
def test_no_frame_of_any_meter_is_touched(seed: int, counter: int) -> None:
    rng = random.Random(seed)
    title = rng.randbytes(8)
    data = frame(luxembourg(counter % 60), title=title, key=rng.randbytes(16), counter=counter)
    assert stripped(data) == data


def test_a_plain_telegram_passes_at_once_and_as_it_is() -> None:
    parity = ParityFilter()
    for data in (TEXT, netherlands(1), b"\xdb\x07", b"\x8d\n"):
        assert parity.strip(data) == data


def test_what_is_held_back_comes_out_as_it_was_once_nothing_follows() -> None:
    parity = ParityFilter()
    assert parity.strip(b"\x01" + PROOF[:10]) == b"\x01"
    assert parity.is_holding
    assert parity.strip(b"") == PROOF[:10]
    assert not parity.is_holding
    assert parity.strip(b"") == b""


#: Frames that end in what may be the beginning of a text with parity bits: a byte of it, two, and more.
ENDS_LIKE_TEXT = [
    next(
        data
        for data in (frame(TEXT, counter=n) for n in range(100_000))
        if data[-size] == 0xAF and is_held(data)
    )
    for size in (1, 2, 3)
]


@pytest.mark.parametrize("data", ENDS_LIKE_TEXT, ids=["1 byte", "2 bytes", "3 bytes"])
@pytest.mark.parametrize("follows", [b"", PROOF[:5]], ids=["nothing", "a text"])
def test_a_frame_that_ends_like_the_beginning_of_a_text_is_read_at_once(data: bytes, follows: bytes) -> None:
    stream, parity = MeterStream(sample_keys()), ParityFilter()
    stream.receive_data(parity.strip(data + follows), now=0.0)
    parity.complete_frame(stream)
    assert [(found.offset, found.size) for found in telegrams(drain(stream))] == [(0, len(data))]


def test_a_text_behind_a_frame_that_was_completed_is_read() -> None:
    stream, parity = MeterStream(sample_keys()), ParityFilter()
    text = with_parity(netherlands(1))
    offsets = []
    for data in (ENDS_LIKE_TEXT[0] + text[:5], text[5:]):
        stream.receive_data(parity.strip(data))
        parity.complete_frame(stream)
        offsets += [found.offset for found in telegrams(drain(stream))]
    assert offsets == [0, len(ENDS_LIKE_TEXT[0])]


def test_a_text_inside_a_false_frame_is_read_though_the_frame_could_end_in_its_beginning() -> None:
    stream, parity = MeterStream(sample_keys()), ParityFilter()
    text = with_parity(TEXT)
    false = GOOD[:10] + b"\x12" + b"\x30" + bytes(14)  # three bytes are missing
    events = []
    for data in (false + text[:5], text[5:], b""):
        stream.receive_data(parity.strip(data))
        parity.complete_frame(stream)
        events += drain(stream)
    assert [found.offset for found in telegrams(events)] == [len(false)]
    assert reasons(events) == []


@st.composite
def _streams(draw: st.DrawFn) -> bytes:
    rng = random.Random(draw(st.integers(0, 2**32)))
    parts = []
    for _ in range(draw(st.integers(1, 10))):
        text = with_parity(TEXT)
        cut = rng.randrange(60)
        parts.append(
            rng.choice([
                text, TEXT, GOOD, rng.randbytes(cut), text[:cut], text[-cut:], PROOF[: 20 + cut], b"\xdb",
                b"\xaf" * cut, b"\xaf\xdb\x08",
            ])
        )  # fmt: skip
    return b"".join(parts)


@settings(max_examples=300, deadline=None)
@given(_streams(), st.integers(1, 100))
def test_any_chunking_of_any_stream_gives_the_same_bytes(data: bytes, size: int) -> None:
    whole = stripped(data)
    assert len(whole) == len(data)
    assert stripped(data, size) == whole
    assert stripped(data, 1) == whole


@settings(max_examples=100, deadline=None)
@given(_streams())
def test_never_more_is_held_back_than_proves_a_telegram(data: bytes) -> None:
    parity, given_out = ParityFilter(), 0
    for size, chunk in enumerate(chunks_of(data, 1), 1):
        given_out += len(parity.strip(chunk))
        assert size - given_out <= 32
