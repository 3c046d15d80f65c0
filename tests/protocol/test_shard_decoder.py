"""What edges have forwarded is judged as in a gateway, with the rules of a pool."""

import random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.protocol.frame_cutter import FrameCutter
from smarty_gateway.protocol.identities import names_of_title
from smarty_gateway.protocol.key_ring import KeyRing, Verification
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram, Security
from smarty_gateway.protocol.rejection import Rejection
from smarty_gateway.protocol.replay_window import WINDOW
from smarty_gateway.protocol.shard_decoder import PoolReading, ShardDecoder, title_of
from smarty_gateway.protocol.shards import shard_of
from tests.support.spoiled_streams import SHORT, spoiled_streams
from tests.support.streams import OTHER_KEY, drain, meter_key, read, sample_keys
from vectors.building_blocks import (
    BARN_TITLE,
    HOUSE_TITLE,
    belgium,
    frame,
    hex_text,
    luxembourg,
    telegram,
)

HOUSE: Final = "SAG1030700012345"
#: The meter_id of the Belgian telegrams.
BELGIUM: Final = "1SAG1100000001"
OLD, NEW = meter_key(), meter_key(OTHER_KEY)


def decoder(
    keys: KeyRing | None = None,
    highest: dict[tuple[bytes, str], int] | None = None,
    plaintext: dict[str, str] | None = None,
    encrypted_ids: frozenset[str] = frozenset(),
) -> ShardDecoder:
    return ShardDecoder(
        sample_keys() if keys is None else keys,
        highest or {},
        {BELGIUM: "edge"} if plaintext is None else plaintext,
        encrypted_ids,
    )


def reading(found: PoolReading | Rejection) -> PoolReading:
    assert isinstance(found, PoolReading), found
    return found


def reason(found: PoolReading | Rejection) -> str:
    assert isinstance(found, Rejection), found
    return found.reason.value


def test_a_frame_becomes_a_reading_with_the_key_of_its_row() -> None:
    found = reading(decoder().judge(frame(luxembourg(7), counter=4711)))
    assert (found.title, found.fingerprint, found.counter) == (HOUSE_TITLE, OLD.fingerprint, 4711)
    assert dict(found.telegram) == dict(*read(frame(luxembourg(7), counter=4711)))


def test_a_listed_meter_is_believed_in_plaintext_from_its_edge() -> None:
    found = reading(decoder().judge(belgium(1), "edge"))
    assert (found.title, found.fingerprint, found.counter) == (b"1SAG1100000001", None, None)
    assert found.telegram.security is Security.PLAINTEXT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xdb\x08",
        b"x" + frame(SHORT),
        frame(SHORT) + b"x",
        frame(SHORT)[:-1],
        frame(SHORT) * 2,
        b"\r\n" + belgium(1),
        belgium(1) + b"x",
        belgium(1) * 2,
        belgium(1)[:-8],
        b"\xdb\x08" + HOUSE_TITLE + b"\x11\x30" + bytes(16),
    ],
)
def test_anything_but_exactly_one_frame_or_telegram_is_malformed(data: bytes) -> None:
    assert reason(decoder().judge(data, "edge")) == "malformed"


def _damaged(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (frame(SHORT, security=0x20), "security"),
        (frame(SHORT, title=b"UNKNOWN!"), "no-key"),
        (_damaged(frame(SHORT)), "authentication"),
        (frame(b"no telegram"), "malformed"),
        (frame(SHORT.replace(b"42", b"43")), "checksum"),
        (belgium(1).replace(b"000531", b"000532"), "checksum"),
        (belgium(1)[:-6] + b"\r\n", "checksum"),
    ],
)
def test_what_a_gateway_refuses_is_refused_for_the_same_reason(data: bytes, expected: str) -> None:
    assert reason(decoder().judge(data, "edge")) == expected


def test_a_frame_without_a_key_names_the_file_that_the_key_belongs_in() -> None:
    found = decoder().judge(frame(SHORT, title=b"UNKNOWN!"))
    assert f"add it to shard-{shard_of(b'UNKNOWN!'):02d}.yaml" in str(found)


def test_frames_in_any_order_are_accepted_once() -> None:
    pool = decoder(highest={(HOUSE_TITLE, OLD.fingerprint): 5000})
    frames = {counter: frame(SHORT, counter=counter) for counter in (5001, 4990, 5003, 3980, 5002)}
    for data in frames.values():
        reading(pool.judge(data))
    for data in frames.values():
        assert reason(pool.judge(data)) == "replay"


@pytest.mark.parametrize(
    ("counter", "why"), [(5000, "5000 was accepted before"), (3976, "3976 is 1024 or more behind 5000")]
)
def test_a_replay_says_whether_it_was_seen_or_is_too_old(counter: int, why: str) -> None:
    pool = decoder(highest={(HOUSE_TITLE, OLD.fingerprint): 5000})
    found = pool.judge(frame(SHORT, counter=counter))
    assert reason(found) == "replay"
    assert why in str(found)


def test_a_frame_that_comes_again_within_the_window_is_told_from_other_refusals() -> None:
    pool = decoder()
    reading(pool.judge(frame(SHORT, counter=2 * WINDOW)))

    def is_repeat(data: bytes) -> bool:
        found = pool.judge(data)
        assert isinstance(found, Rejection)
        return pool.was_accepted(found)

    assert is_repeat(frame(SHORT, counter=2 * WINDOW))
    assert not is_repeat(frame(SHORT, counter=WINDOW))
    assert not is_repeat(_damaged(frame(SHORT, counter=2 * WINDOW)))


def test_under_crc_only_a_replay_is_one_even_if_no_telegram_comes_out() -> None:
    keys = KeyRing({HOUSE_TITLE: [meter_key(verification=Verification.CRC_ONLY)]})
    pool = decoder(keys)
    assert reading(pool.judge(frame(SHORT, counter=7))).telegram.security is Security.UNAUTHENTICATED
    assert reason(pool.judge(frame(b"x" * 40, counter=7))) == "replay"
    assert reason(pool.judge(frame(b"x" * 40, counter=8))) == "checksum"


# Keys


def test_with_the_first_frame_under_a_newer_key_the_older_one_retires() -> None:
    pool = decoder(KeyRing({HOUSE_TITLE: [NEW, OLD]}))
    assert reading(pool.judge(frame(SHORT, counter=100))).fingerprint == OLD.fingerprint
    assert reading(pool.judge(frame(SHORT, key=OTHER_KEY, counter=0))).fingerprint == NEW.fingerprint
    assert reason(pool.judge(frame(SHORT, counter=101))) == "authentication"


def test_a_key_that_has_retired_stays_so_when_another_worker_takes_the_shard() -> None:
    pool = decoder(KeyRing({HOUSE_TITLE: [NEW, OLD]}), {(HOUSE_TITLE, NEW.fingerprint): 0})
    assert reason(pool.judge(frame(SHORT, counter=101))) == "authentication"


def test_keys_that_are_replaced_count_from_the_next_frame_on() -> None:
    pool = decoder(KeyRing({}))
    assert reason(pool.judge(frame(SHORT, counter=1))) == "no-key"
    pool.replace_keys(sample_keys())
    reading(pool.judge(frame(SHORT, counter=1)))
    assert reason(pool.judge(frame(SHORT, counter=1))) == "replay"


# Who is who


def _with_identity(*lines: str) -> bytes:
    return telegram("Lux5\\253000001_D", "1-3:0.2.8(42)", *lines)


@pytest.mark.parametrize("verification", list(Verification))
@pytest.mark.parametrize(
    ("name", "meter_id"),
    [
        (HOUSE, HOUSE),
        ("SAG1030700012352", HOUSE_TITLE.hex().upper()),
        ("1SAG1100000001", HOUSE_TITLE.hex().upper()),
        ("anything", HOUSE_TITLE.hex().upper()),
        ("sag1030700012345", HOUSE_TITLE.hex().upper()),
        ("SAG 1030700012345", HOUSE_TITLE.hex().upper()),
        (f"{HOUSE}{' ' * 80}SAG1030700012352", HOUSE_TITLE.hex().upper()),
    ],
)
def test_a_frame_names_its_meter_by_nothing_but_its_title(
    name: str, meter_id: str, verification: Verification
) -> None:
    pool = decoder(KeyRing({HOUSE_TITLE: [meter_key(verification=verification)]}))
    for counter in (1, 2):
        data = frame(_with_identity(f"0-0:42.0.0({hex_text(name)})"), counter=counter)
        assert reading(pool.judge(data)).telegram.meter_id == meter_id


def test_a_meter_that_sends_no_identity_is_named_by_its_title() -> None:
    assert reading(decoder().judge(frame(SHORT))).telegram.meter_id == HOUSE_TITLE.hex().upper()


@pytest.mark.parametrize("user", [None, "", "another"])
def test_plaintext_is_refused_from_any_other_edge(user: str | None) -> None:
    assert reason(decoder().judge(belgium(1), user)) == "plaintext"


def test_plaintext_of_a_meter_that_is_not_listed_is_refused_even_if_it_carries_a_listed_identity() -> None:
    data = _with_identity("0-0:42.0.0(4142)", f"0-0:96.1.1({hex_text('1SAG1100000001')})")
    assert reason(decoder().judge(data, "edge")) == "plaintext"
    assert reason(decoder(plaintext={}).judge(belgium(1), "edge")) == "plaintext"


@pytest.mark.parametrize(
    "name", [f"{BELGIUM} ", BELGIUM.lower(), f"{BELGIUM}{'-' * 8000}", f"1-SAG{BELGIUM[4:]}"]
)
def test_a_listed_meter_is_believed_in_plaintext_under_its_very_meter_id_only(name: str) -> None:
    assert reason(decoder().judge(_with_identity(f"0-0:96.1.1({name})"), "edge")) == "plaintext"
    reading(decoder().judge(_with_identity(f"0-0:96.1.1({BELGIUM})"), "edge"))


def test_a_listed_meter_that_gets_a_key_in_another_shard_is_not_believed_any_more() -> None:
    pool = decoder(KeyRing({}))
    reading(pool.judge(belgium(1), "edge"))
    pool.replace_keys(KeyRing({}), frozenset({BELGIUM.lower()}))
    assert reason(pool.judge(belgium(1), "edge")) == "plaintext"


def test_an_identity_that_is_longer_than_any_is_not_that_of_a_listed_meter() -> None:
    """The database has no room for it: a shard could never be written again."""
    data = _with_identity(f"0-0:96.1.1(1SAG1100000001{'-' * 9000})")
    assert reason(decoder().judge(data, "edge")) == "plaintext"


def test_nobody_may_send_what_is_listed_for_nobody() -> None:
    assert reason(decoder(plaintext={}).judge(belgium(1), None)) == "plaintext"


@pytest.mark.parametrize(
    "line",
    [
        f"0-0:96.1.0({hex_text(HOUSE)})",
        f"0-0:96.1.0({hex_text('sag 1030-7000 12345')})",
        f"0-0:96.1.0({hex_text(HOUSE_TITLE.hex())})",
        f"0-0:96.1.0({HOUSE})",
    ],
)
def test_plaintext_with_an_identity_of_a_meter_with_a_key_is_refused(line: str) -> None:
    data = _with_identity(f"0-0:96.1.1({hex_text('1SAG1100000001')})", line)
    for pool in (
        decoder(),
        decoder(KeyRing({}), encrypted_ids=names_of_title(HOUSE_TITLE)),
        decoder(KeyRing({}), {(HOUSE_TITLE, OLD.fingerprint): 1}),
    ):
        assert reason(pool.judge(data, "edge")) == "plaintext"
    reading(decoder(KeyRing({})).judge(data, "edge"))


def test_plaintext_with_such_an_identity_in_its_header_is_refused() -> None:
    data = telegram(f"Lux5{HOUSE}", "1-3:0.2.8(42)", f"0-0:96.1.1({hex_text('1SAG1100000001')})")
    assert reason(decoder().judge(data, "edge")) == "plaintext"


def test_nothing_of_refused_plaintext_is_in_its_rejection() -> None:
    assert "1SAG" not in repr(decoder().judge(belgium(1), "another"))


def test_the_title_is_read_from_the_first_bytes_of_a_frame() -> None:
    assert title_of(frame(SHORT, title=BARN_TITLE)) == BARN_TITLE
    for data in (b"", belgium(1), frame(SHORT)[:9], b"x" + frame(SHORT)):
        assert title_of(data) is None


# The whole way: what a gateway with the keys reads, a pool reads too


@settings(max_examples=10)
@given(data=spoiled_streams(), order=st.randoms(use_true_random=False))
def test_what_a_gateway_reads_comes_through_an_edge_and_a_pool_in_any_order(
    data: bytes, order: random.Random
) -> None:
    stream, cutter = MeterStream(sample_keys()), FrameCutter()
    stream.receive_data(data)
    stream.receive_silence()
    cutter.receive_data(data)
    cutter.receive_silence()
    events = drain(stream)
    expected = [event.raw for event in events if isinstance(event, MeterTelegram) and event.system_title]
    forwarded = [each.data for each in drain(cutter)] * 2
    order.shuffle(forwarded)
    pool = decoder()
    found = [each.telegram.raw for each in map(pool.judge, forwarded) if isinstance(each, PoolReading)]
    assert sorted(found) == sorted(expected)
