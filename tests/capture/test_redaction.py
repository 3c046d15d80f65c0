"""No identity, key or reading of the original is left in a redacted stream, and its faults are all there."""

import random
import re
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.capture.pseudonyms import Dummies
from smarty_gateway.capture.redact_stream import Redactor
from smarty_gateway.capture.redact_telegram import redact_telegram
from smarty_gateway.config.key_file import load_key_ring
from smarty_gateway.doctor.signal_faults import examine
from smarty_gateway.protocol.key_ring import KeyRing, Verification
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram
from smarty_gateway.protocol.rejection import Hint, Reason, Rejection
from smarty_gateway.protocol.telegram import Checksum, parse_telegram
from tests.support.doctor_runs import hdlc, mbus
from tests.support.streams import (
    OTHER_KEY,
    meter_key,
    read,
    reasons,
    rejections,
    sample_keys,
    stripped,
    telegrams,
)
from tests.support.uart import inverted, line, receive
from vectors.building_blocks import (
    BARN_KEY,
    BARN_TITLE,
    HOUSE_KEY,
    HOUSE_TITLE,
    belgium,
    frame,
    hex_text,
    luxembourg,
    luxembourg_of_2018,
    netherlands,
    telegram,
    with_parity,
)

BEGAN = datetime(2026, 1, 30, 9, 20, tzinfo=UTC)
STRANGER = bytes.fromhex("5341476770012345")
#: What begins no frame and no telegram.
QUIET = random.Random(7).randbytes(400).replace(b"\xdb", b"\x11").replace(b"/", b"\x12")

#: Every identifier and message in the streams below, as text.
NAMES = (
    "SAG1030700012345", "SAG1030700012352", "SAG1030700012352", "GFLO2133031470", "1SAG1100000001",
    "7FLO2119000001", "8SAG1234567890", "E0044000000000001", "G0039001900000001", "541448820000012345",
    "Maintenance on 3 February", "Call 621 123 456 at once", "Familie Schmit, Tel 621",
)  # fmt: skip
#: What of them must not be there even alone.
PARTS = (
    "00012345",
    "00012352",
    "2133031470",
    "1100000001",
    "Maintenance",
    "February",
    "621 123",
    "253000001",
    "mili",
    "hmit",
    "Jane",
    "e Doe",
)
VALUES = (
    "001234.568", "001234.571", "000890.123", "000045.678", "000412.002", "00435.247", "007425.001",
    "000531.250", "000640.792", "000061.957", "000023.548", "00112.384", "00872.234", "002130.115",
    "000245.467", "00246.138", "004711.815", "1-0:1.7.0(01.312", "1-0:2.7.0(01.207", "1-0:21.7.0(00.412",
    "1-0:1.6.0(260112183000W)(04.620",
)  # fmt: skip
TIMES = (
    "260130102", "260130100000W", "260112183000W", "251201000000W", "251118191500W", "251224114500W",
    "260130101502W", "250326095015W", "860130102133W", "040130102133W",
)  # fmt: skip
KEYS = (HOUSE_KEY, BARN_KEY, OTHER_KEY)
TITLES = (HOUSE_TITLE, BARN_TITLE, STRANGER)


def mixed_up(text: bytes, before: bytes, after: bytes) -> bytes:
    assert before in text
    return text.replace(before, after, 1)


def message_of_luxembourg() -> bytes:
    """Write a telegram with a message, an EAN, and unknown codes."""
    return telegram(
        "Lux5\\253000001_D",
        "1-3:0.2.8(42)",
        "0-0:1.0.0(260130102133W)",
        f"0-0:42.0.0({hex_text('SAG1030700012345')})",
        "1-0:1.8.0(001234.571*kWh)",
        f"0-0:96.13.0({hex_text('Call 621 123 456 at once')})",
        "1-0:99.1.0(004711.815*kWh)(Jane Doe)",
        f"0-2:96.1.2({hex_text('541448820000012345')})",
        "without a code 4711",
    )


def lines_that_do_not_end() -> bytes:
    """Write one with lines that have no bracket at their end, and with damaged years; its CRC is right."""
    message = "Familie Schmit, Tel 621"
    return telegram(
        "KMP5 KA6U001234567890",
        "0-0:1.0.0(860130102133W)",
        "0-1:24.3.0(040130102133W)(00)",
        f"0-0:96.13.0({message}) ",
        f"0-0:96.13.1({hex_text(message)}) ",
        f"0-0:96.13.2({message}",
        f"0-0:96.13.3({hex_text(message)})\x00 junk of Familie Schmit",
        f"0-0:96.13.4(({message}",
        f"0-1:96.1.0({hex_text('GFLO2133031470')} ",
        "1-0:1.8.0(001234.571*kWh) ",
    )


def encrypted_stream() -> bytes:
    """Write all that can happen to Luxembourg frames, in an order that has one reason each."""
    house = [frame(luxembourg(second, 1234.567 + second / 1000), counter=second) for second in range(1, 9)]
    damaged = bytearray(house[3])
    damaged[100] ^= 0x10
    wrong_crc = mixed_up(luxembourg(6), b"01.312", b"01.313")
    return b"".join([
        house[0],
        QUIET[:50],
        frame(message_of_luxembourg(), counter=2),
        house[1],  # replay
        bytes(damaged),  # authentication, corrupt
        house[4],
        house[5][:200],  # cut short: noise, because a good frame follows
        frame(luxembourg_of_2018(5), key=BARN_KEY, title=BARN_TITLE, counter=70),
        frame(luxembourg(6), key=OTHER_KEY, counter=6),  # authentication
        frame(luxembourg(6), title=STRANGER, counter=6),  # no-key
        frame(wrong_crc, counter=7),  # checksum
        frame(b"no telegram, but of SAG1030700012345", counter=8),  # malformed
        frame(luxembourg(9), counter=9, security=0x20),  # security
        b"\xdb\x09\x01" + QUIET[60:90],  # malformed
        luxembourg(10),  # plaintext, of a meter that has a key
        house[0],  # replay
        QUIET[100:300],
        frame(luxembourg(11), counter=11),
        b"\xdb\x08" + HOUSE_TITLE + b"\x82\x02",  # malformed: cut short
    ])  # fmt: skip


def plain_stream() -> bytes:
    """Write Belgian and Dutch telegrams, whole and damaged, and one with parity bits."""
    old = telegram(
        "KMP5 KA6U001234567890",
        f"0-0:96.1.1({hex_text('1SAG1100000001')})",
        "1-0:1.8.1(00531.250*kWh)",
        "0-1:24.3.0(260130100000)(08)(60)(1)(0-1:24.2.1)(m3)",
        "(00435.247)",
        f"0-0:96.13.0({hex_text('Maintenance')}",
        f"{hex_text(' on 3 February')})",
    )
    return b"".join([
        belgium(1)[300:],  # began in the middle
        belgium(2),
        QUIET[:30],
        mixed_up(belgium(3), b"236.7", b"236.8"),  # checksum
        belgium(4)[:400],
        belgium(5),
        netherlands(6),
        mixed_up(netherlands(7), b"1-0:21.7.0(00", b"1-0:21.7.0(\xb0\xdb"),  # checksum
        netherlands(8)[:-6] + b"\r\n",  # checksum: there is none
        belgium(9).replace(b"\r\n", b"\n"),
        with_parity(old),
        lines_that_do_not_end(),
        belgium(11),
    ])  # fmt: skip


def fault_of(noise: bytes) -> str:
    signal = examine(noise)
    return "" if signal is None else signal.kind.value


def redacted(
    data: bytes, keys: KeyRing, folder: Path, size: int = 997
) -> tuple[list[tuple[float, bytes]], KeyRing, Redactor]:
    """Redact a stream, and return its chunks and the dummy keys."""
    redactor = Redactor(keys, BEGAN, fault_of)
    chunks = []
    for start in range(0, len(data), size):
        chunks += redactor.feed(float(start), data[start : start + size])
    chunks += redactor.finish()
    ring = KeyRing()
    if redactor.key_file:
        path = folder / "dummy.keys.yaml"
        path.write_text(redactor.key_file)
        path.chmod(0o600)
        ring = load_key_ring(path)
    return chunks, ring, redactor


def joined(chunks: Iterable[tuple[float, bytes]]) -> bytes:
    return b"".join(data for _, data in chunks)


def forms(text: str) -> list[bytes]:
    """Write a text in all ways in which it may be in a stream, or in a file that holds it as hex."""
    digits = text.encode().hex()
    return [text.encode(), digits.encode(), digits.upper().encode(), with_parity(text.encode())]


def everything_in(data: bytes, keys: KeyRing) -> bytes:
    """Return a stream, its hex, the telegrams in its frames, and the text that is written in hex."""
    inside = b"\n".join(event.raw for event in telegrams(read(data, keys)))
    written = re.findall(rb"(?:[0-9A-Fa-f]{2}){4,}", data + b"\n" + inside)
    return b"\n".join([data, data.hex().encode(), inside, *(bytes.fromhex(w.decode()) for w in written)])


def assert_nothing_is_left(data: bytes, dummy_keys: KeyRing, folder: Path, *texts: str) -> None:
    """Look for texts, keys and system titles in a redacted stream, decrypted or not, and in its key file."""
    key_file = (folder / "dummy.keys.yaml").read_bytes() if dummy_keys else b""
    shown = everything_in(data, dummy_keys) + key_file
    for text in texts:
        for form in forms(text):
            assert form not in shown, text
    for secret in (*KEYS, *TITLES):
        for form in (secret, secret.hex().encode(), secret.hex().upper().encode()):
            assert form not in shown, secret.hex()


def names_of(event: MeterTelegram) -> list[str]:
    """Return the names of all fields, also within devices and lists."""
    found = sorted(event.as_object())
    for name, device in event.decoded.devices.items():
        found += [f"{name}.{field}" for field in sorted(device)]
    return [*found, *sorted(event.decoded.unknown)]


def outline(events: Iterable[Event]) -> list[tuple[object, ...]]:
    """Return what redaction keeps of the events."""
    return [
        (event.offset, event.size, event.security, event.frame_counter, tuple(names_of(event)))
        if isinstance(event, MeterTelegram)
        # Of another security byte, the counter may be bytes of something else.
        else (
            event.offset,
            event.size,
            event.reason,
            None if event.reason is Reason.SECURITY else event.frame_counter,
        )
        for event in events
    ]


@pytest.mark.parametrize("stream", [encrypted_stream(), plain_stream(), encrypted_stream() + plain_stream()])
@pytest.mark.parametrize("with_keys", [True, False])
def test_no_original_is_left_and_all_faults_are(stream: bytes, with_keys: bool, tmp_path: Path) -> None:  # noqa: FBT001
    keys = sample_keys() if with_keys else KeyRing()
    before = read(stripped(stream), keys)
    chunks, dummy_keys, _ = redacted(stream, keys, tmp_path)
    data = joined(chunks)
    assert len(data) == len(stream)
    assert outline(read(data, dummy_keys)) == outline(before)
    assert_nothing_is_left(data, dummy_keys, tmp_path, *NAMES, *PARTS, *VALUES, *TIMES)


def test_the_streams_hold_what_the_test_looks_for() -> None:
    shown = everything_in(stripped(encrypted_stream() + plain_stream()), sample_keys())
    for text in (*NAMES, *VALUES, *TIMES):
        assert any(form in shown for form in forms(text)), text
    assert set(reasons(read(encrypted_stream()))) == {
        "malformed", "security", "no-key", "authentication", "replay", "checksum", "plaintext",
    }  # fmt: skip
    assert "checksum" in reasons(read(plain_stream()))
    assert len(telegrams(read(stripped(plain_stream())))) == 7


def test_chunks_keep_their_sizes_and_times(tmp_path: Path) -> None:
    stream = encrypted_stream()
    chunks, _, _ = redacted(stream, sample_keys(), tmp_path, size=333)
    assert [seconds for seconds, _ in chunks] == [float(at) for at in range(0, len(stream), 333)]
    assert all(len(data) == 333 for _, data in chunks[:-1])


def test_the_same_original_gets_the_same_dummy(tmp_path: Path) -> None:
    stream = b"".join(frame(luxembourg(second), counter=second) for second in range(1, 6)) + belgium(1)
    chunks, dummy_keys, _ = redacted(stream, sample_keys(), tmp_path)
    found = telegrams(read(joined(chunks), dummy_keys))
    assert len({event.meter_id for event in found[:5]}) == 1
    assert len({event.system_title for event in found[:5]}) == 1
    assert len({event.decoded.header for event in found[:5]}) == 1
    assert found[0].meter_id != found[5].meter_id


def test_registers_and_times_move_together(tmp_path: Path) -> None:
    stream = b"".join(frame(luxembourg(second, 1000 + second), counter=second) for second in range(1, 50, 7))
    before = telegrams(read(stream))
    chunks, dummy_keys, redactor = redacted(stream, sample_keys(), tmp_path)
    after = telegrams(read(joined(chunks), dummy_keys))
    shift = redactor.began - BEGAN
    assert shift.days % 7 == 0
    assert shift < timedelta(days=-300)
    for was, now in zip(before, after, strict=True):
        moment = datetime.fromisoformat(str(was.decoded.fields["timestamp"])) + shift
        assert now.decoded.fields["timestamp"] == moment.isoformat()
    steps = [float(str(event.decoded.fields["energy_import"])) for event in after]
    widths = [later - earlier for earlier, later in pairwise(steps)]
    assert max(widths) - min(widths) < 0.01
    assert 7 * 0.39 < min(widths) < 7 * 0.81


def test_no_reading_that_tells_how_people_live_is_what_it_was(tmp_path: Path) -> None:
    stream = frame(luxembourg(1), counter=1) + belgium(1) + netherlands(1)
    chunks, dummy_keys, _ = redacted(stream, sample_keys(), tmp_path)
    for was, now in zip(telegrams(read(stream)), telegrams(read(joined(chunks), dummy_keys)), strict=True):
        for name, value in was.decoded.fields.items():
            is_personal = name.startswith(
                ("energy", "power_import", "power_export", "peak", "long_", "reactive")
            )
            if is_personal and value not in (0, 0.0):
                assert now.decoded.fields[name] != value, name
        for name, device in was.decoded.devices.items():
            assert now.decoded.devices[name]["id"] != device["id"]
            assert now.decoded.devices[name]["value"] != device["value"]
            assert now.decoded.devices[name]["timestamp"] != device["timestamp"]


def test_a_serial_number_and_its_system_title_stay_the_same_meter(tmp_path: Path) -> None:
    stream = frame(luxembourg(1, name="SAG1030700012345"), counter=1)
    chunks, dummy_keys, _ = redacted(stream, sample_keys(), tmp_path)
    (event,) = telegrams(read(joined(chunks), dummy_keys))
    assert dummy_keys.has_entry_for(event.meter_id)


def test_crc_only_and_keys_for_any_meter_go_on_to_hold(tmp_path: Path) -> None:
    ring = KeyRing(
        {HOUSE_TITLE: [meter_key(OTHER_KEY), meter_key()]},
        [meter_key(BARN_KEY, verification=Verification.CRC_ONLY)],
    )
    stream = b"".join([
        frame(luxembourg(1), counter=5),
        frame(luxembourg(2), key=OTHER_KEY, counter=1),
        frame(luxembourg(3), counter=5),
        frame(luxembourg_of_2018(1), key=BARN_KEY, title=BARN_TITLE, authentication_key=bytes(16)),
        luxembourg_of_2018(2),
        frame(luxembourg(3), title=STRANGER),
    ])  # fmt: skip
    chunks, dummy_keys, _ = redacted(stream, ring, tmp_path)
    assert outline(read(joined(chunks), dummy_keys)) == outline(read(stream, ring))


def test_no_key_file_is_needed_where_no_frame_was_opened(tmp_path: Path) -> None:
    _, _, redactor = redacted(plain_stream(), sample_keys(), tmp_path)
    assert redactor.key_file == ""


def test_what_was_changed_is_counted(tmp_path: Path) -> None:
    _, _, redactor = redacted(encrypted_stream(), sample_keys(), tmp_path)
    changes = redactor.changes
    assert changes["frames"] == 9
    assert changes["frames that do not verify"] == 3
    assert changes["messages"] == 1
    assert min(changes["identifiers"], changes["readings"], changes["times"], changes["noise bytes"]) > 0


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_a_crc_of_fewer_digits_is_right_again(digits: int) -> None:
    for power in range(100_000):
        old = "1-0:1.8.0(1.250*kWh)", "1-0:2.7.0(01.230*kW)", "1-0:21.7.0(00.111*kW)", "1-0:32.7.0(230.1*V)"
        text = telegram("ISK5\\2", f"1-0:1.7.0({power // 1000:02d}.{power % 1000:03d}*kW)", *old)
        if text[-6:-2].startswith(b"0" * (4 - digits)):
            break
    text = text[:-6] + text[-6 + 4 - digits :]
    dummies = Dummies(BEGAN, random.Random(1))
    after = parse_telegram(redact_telegram(text, dummies))
    assert after is not None
    assert len(after.raw) == len(text)
    assert after.checksum is Checksum.RIGHT


def test_nuls_and_lost_carriage_returns_stay(tmp_path: Path) -> None:
    with_nuls = belgium(1).replace(b"(", b"(\x00")
    stream = with_nuls + belgium(2).replace(b"\r\n", b"\n")
    chunks, _, _ = redacted(stream, KeyRing(), tmp_path)
    data = joined(chunks)
    assert [at for at, byte in enumerate(data) if not byte] == [at for at, b in enumerate(stream) if not b]
    assert outline(read(data, KeyRing())) == outline(read(stream, KeyRing()))
    assert len(telegrams(read(data, KeyRing()))) == 2


def test_unset_times_and_empty_identifiers_stay() -> None:
    dummies = Dummies(BEGAN, random.Random(2))
    for text in (
        "632525252525S",
        "700101010000W",
        "000101000001W",
        "000000000000W",
        "FFFFFFFFFFFFW",
        "ffffffffffff",
    ):
        assert dummies.time(text) == text
    for text in ("", "0000000000", hex_text("0000")):
        assert dummies.identifier(text) == text
    assert dummies.register("1-0:2.8.0", "000000.000") == "000000.000"


@pytest.mark.parametrize(
    "text", ["860130102133W", "040130102133S", "000101102133W", "700102030405", "260230102133W"]
)
def test_a_time_that_only_damage_made_unset_is_not_kept(text: str) -> None:
    assert Dummies(BEGAN, random.Random(3)).time(text) == "632525252525" + text[12:]


def test_a_header_line_that_swallowed_the_next_keeps_nothing_of_it() -> None:
    text = belgium(1).replace(b"\r\n\r\n0-0:96.1.4(50217)", b"0-0:96.13.0(Familie Schmit)", 1)
    after = redact_telegram(text, Dummies(BEGAN, random.Random(4)))
    assert len(after) == len(text)
    assert b"Familie" not in after
    assert b"chmit" not in after


# What the dummies cannot show


def damaged_frames() -> bytes:
    frames = [bytearray(frame(luxembourg(second), counter=second)) for second in (1, 2, 3)]
    for data in frames:
        data[100] ^= 0x10
    return b"".join(map(bytes, frames))


HOUSE_ONLY = KeyRing({HOUSE_TITLE: [meter_key()]})
FRAME = frame(luxembourg(1))


@pytest.mark.parametrize(
    ("stream", "keys", "notes"),
    [
        (
            damaged_frames(),
            sample_keys(),
            [f"rejected authentication offset={at * len(FRAME)} hint=corrupt" for at in range(3)],
        ),
        (
            QUIET[:50] + frame(luxembourg(1), authentication_key=OTHER_KEY),
            sample_keys(),
            ["rejected authentication offset=50 hint=wrong-authentication-key"],
        ),
        (
            frame(luxembourg(1), key=OTHER_KEY),
            sample_keys(),
            ["rejected authentication offset=0 hint=wrong-encryption-key"],
        ),
        (
            frame(luxembourg(1), key=BARN_KEY),  # the keys of two entries were exchanged
            sample_keys(),
            ["rejected authentication offset=0 hint=wrong-encryption-key finding=other-meter"],
        ),
        (frame(luxembourg(1), title=STRANGER), HOUSE_ONLY, ["rejected no-key offset=0 finding=other-meter"]),
        (FRAME, KeyRing(), ["rejected no-key offset=0"]),
        (
            frame(luxembourg(1), key=BARN_KEY),
            KeyRing({HOUSE_TITLE: [meter_key(verification=Verification.CRC_ONLY)]}),
            ["rejected checksum offset=0"],
        ),
        (receive(inverted(line(FRAME + FRAME)), waits_for_fall=True), HOUSE_ONLY, ["finding=inverted"]),
        (hdlc(b"\x41\x08\x83\x13" + FRAME[:300]) * 3, HOUSE_ONLY, ["finding=not-p1"]),
        (mbus(b"\x53\xff\x00\x01\x67" + FRAME[:150]) * 2, HOUSE_ONLY, ["finding=not-p1"]),
        (with_parity(belgium(1)[20:-20]), KeyRing(), ["finding=line-settings"]),
        (QUIET, KeyRing(), []),
        (FRAME + hdlc(QUIET[:300]), sample_keys(), []),  # doctor does not report that either
    ],
)
def test_why_the_original_failed_is_noted(
    stream: bytes, keys: KeyRing, notes: list[str], tmp_path: Path
) -> None:
    _, _, redactor = redacted(stream, keys, tmp_path)
    assert redactor.take_notes() == [f"original: {note}" for note in notes]
    assert redactor.take_notes() == []


def test_a_wrong_authentication_key_looks_as_the_documentation_says(tmp_path: Path) -> None:
    """Damaged after a frame that verified, else as if the encryption key were wrong."""
    failed = frame(luxembourg(2), counter=2, authentication_key=OTHER_KEY)
    for stream, hint in ((FRAME + failed, Hint.CORRUPT), (failed, Hint.WRONG_ENCRYPTION_KEY)):
        chunks, dummy_keys, _ = redacted(stream, sample_keys(), tmp_path)
        (rejection,) = rejections(read(joined(chunks), dummy_keys))
        assert rejection.hint is hint


def test_a_note_is_there_as_soon_as_the_frame_is_redacted() -> None:
    redactor = Redactor(HOUSE_ONLY, BEGAN)
    given = noted = 0
    for at in range(0, 3 * len(FRAME), 200):
        given += sum(len(data) for _, data in redactor.feed(0.0, damaged_frames()[at : at + 200]))
        noted += len(redactor.take_notes())
        assert noted >= given // len(FRAME)
    assert noted == 3


def test_notes_say_nothing_of_the_original(tmp_path: Path) -> None:
    stream = encrypted_stream() + damaged_frames() + plain_stream()
    _, _, redactor = redacted(stream, sample_keys(), tmp_path)
    notes = redactor.take_notes()
    assert len(notes) == redactor.changes["frames that do not verify"] == 5
    for note in notes:
        assert re.fullmatch(
            r"original: rejected (authentication|no-key) offset=\d+( hint=[a-z-]+)?( finding=other-meter)?",
            note,
        )


PIECES = st.sampled_from([
    frame(luxembourg(1), counter=1), frame(luxembourg(2), counter=2), frame(luxembourg(3), key=OTHER_KEY),
    frame(b"nothing", counter=3), belgium(4), netherlands(5), luxembourg(6), QUIET[:40],
    b"\xdb\x08" + HOUSE_TITLE + b"\x82\x00\x40\x30",
])  # fmt: skip


@settings(derandomize=True, deadline=None)
@given(st.lists(st.tuples(PIECES, st.integers(0, 700), st.integers(0, 90)), max_size=6), st.integers(1, 2000))
def test_any_damage_stays_as_it_was_and_no_identity_or_key_is_left(
    cuts: list[tuple[bytes, int, int]], size: int
) -> None:
    """Bytes are lost anywhere, and what comes out has the same events at the same places."""
    stream = b"".join(piece[:at] + piece[at + lost :] for piece, at, lost in cuts)
    with tempfile.TemporaryDirectory() as folder:
        chunks, dummy_keys, _ = redacted(stream, sample_keys(), Path(folder), size)
        data = joined(chunks)
        assert_nothing_is_left(data, dummy_keys, Path(folder), *NAMES, *VALUES)
    assert len(data) == len(stream)
    before, after = read(stream), read(data, dummy_keys)
    assert [(e.offset, e.size) for e in after] == [(e.offset, e.size) for e in before]
    assert reasons(after) == reasons(before)


@pytest.mark.parametrize("at", range(1, 11))
@pytest.mark.parametrize(
    "title", [HOUSE_TITLE, b"SAG\x67\x81\x02\x01\x83", b"\x82\x00\x05\x82\x00\x06\x82\x00"]
)
def test_a_header_stays_faulty_by_the_title_of_the_next_one_which_is_gone(
    at: int, title: bytes, tmp_path: Path
) -> None:
    stream = (b"\xdb\x08" + QUIET)[:at] + b"\xdb\x08" + title + b"\x82\x00\x40\x30" + QUIET
    for _ in range(20):
        chunks, dummy_keys, _ = redacted(stream, sample_keys(), tmp_path)
        assert outline(read(joined(chunks), dummy_keys)) == outline(read(stream))
        assert title not in joined(chunks)


def test_a_rejection_says_nothing_of_the_original(tmp_path: Path) -> None:
    chunks, dummy_keys, _ = redacted(encrypted_stream(), sample_keys(), tmp_path)
    words = " ".join(str(event) for event in rejections(read(joined(chunks), dummy_keys)))
    assert "00012345" not in words
    assert HOUSE_TITLE.hex().upper() not in words
    assert isinstance(read(encrypted_stream())[-1], Rejection)
