"""What `doctor` says of recordings: each fault is made with invented meters, and its code is asserted.

The table in docs/doctor.md names these tests.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.doctor_runs import BARN, HOUSE, NOBODYS_KEY, Run, hdlc, house, key_file, mbus, turned
from tests.uart import at_other_speed, inverted, line, receive
from vectors.building_blocks import (
    BARN_KEY,
    BARN_TITLE,
    HOUSE_KEY,
    HOUSE_TITLE,
    belgium,
    frame,
    luxembourg,
    luxembourg_of_2018,
    netherlands,
    with_parity,
)

Keys = Callable[..., Path]


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Write a key file with these entries."""
    return lambda **entries: key_file(tmp_path, **entries)


Diagnose = Callable[..., Run]


@pytest.fixture
def diagnose(tmp_path: Path) -> Diagnose:
    """Let doctor read a recording of these bytes."""

    def run(*data: bytes, key_file: Path | None = None) -> Run:
        (tmp_path / "recording.bin").write_bytes(b"".join(data))
        options = ["--keys", key_file] if key_file else []
        return Run("recording.bin", *options, folder=tmp_path)

    return run


def test_an_empty_recording_is_silent(diagnose: Diagnose) -> None:
    run = diagnose(b"")
    assert run.codes == ["silent"]
    assert "empty" in run.first


@pytest.mark.parametrize("waits_for_fall", [True, False])
def test_an_inverted_encrypted_meter(diagnose: Diagnose, waits_for_fall: bool) -> None:  # noqa: FBT001
    data = receive(inverted(line(house(1)) + line(house(2))), waits_for_fall=waits_for_fall)
    assert diagnose(data).codes == ["inverted"]


def test_a_recording_made_at_a_wrong_speed(diagnose: Diagnose) -> None:
    text = with_parity(netherlands(1))
    run = diagnose(receive(at_other_speed(line(text), 12), waits_for_fall=False))
    assert run.codes == ["line-settings"]
    assert "9600 7E1" in run.first


def test_a_recording_made_with_a_wrong_parity(diagnose: Diagnose) -> None:
    run = diagnose(with_parity(netherlands(1)).replace(with_parity(b"!"), b"\x3f"))
    assert run.codes[0] == "line-settings"
    assert "7E1" in run.first


def test_parity_that_the_gateway_copes_with_is_mentioned(diagnose: Diagnose) -> None:
    run = diagnose(with_parity(netherlands(1) + netherlands(11)))
    assert run.codes == ["healthy", "line-settings"]


def test_bytes_that_are_nothing_known(diagnose: Diagnose) -> None:
    run = diagnose(random.Random(3).randbytes(3000))
    assert run.codes == ["garbage"]
    assert run.status == 1


def test_encrypted_frames_and_no_key(diagnose: Diagnose) -> None:
    run = diagnose(house(1), house(2))
    assert run.codes == ["no-key"]
    assert run.status == 1
    assert HOUSE_TITLE.hex().upper() in run.first
    assert HOUSE in run.first
    for dso in ("Creos", "Diekirch", "Dudelange", "Electris", "Ettelbruck", "Sudgaz", "Sudstroum"):
        assert dso in run.first


def test_a_wrong_encryption_key(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), house(2), key_file=keys(**{HOUSE: NOBODYS_KEY}))
    assert run.codes == ["wrong-encryption-key"]
    assert run.status == 1


def test_a_wrong_authentication_key(diagnose: Diagnose, keys: Keys) -> None:
    entry = f"{{encryption_key: {HOUSE_KEY.hex()}, authentication_key: {NOBODYS_KEY.hex()}}}"
    run = diagnose(house(1), house(2), key_file=keys(**{HOUSE: entry}))
    assert run.codes == ["wrong-authentication-key"]
    assert run.status == 1


def test_keys_of_other_meters_only(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), house(2), key_file=keys(**{BARN: BARN_KEY}))
    assert run.codes == ["other-meter"]
    assert HOUSE in run.first
    assert BARN in run.first


def test_the_right_key_under_the_name_of_another_meter(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), house(2), key_file=keys(**{BARN: HOUSE_KEY}))
    assert run.codes == ["other-meter"]
    assert f"from {BARN} to {HOUSE}" in run.first


def test_two_keys_that_were_exchanged(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), house(2), key_file=keys(**{HOUSE: BARN_KEY, BARN: HOUSE_KEY}))
    assert run.codes == ["other-meter"]
    assert f"stands under {BARN}" in run.first


def test_a_damaged_frame_under_crc_only_is_no_wrong_key(diagnose: Diagnose, keys: Keys) -> None:
    entry = f"{{encryption_key: {HOUSE_KEY.hex()}, verification: crc-only}}"
    run = diagnose(house(1), turned(house(2), 500), house(3), key_file=keys(**{HOUSE: entry}))
    assert run.codes == ["healthy", "damaged", "unauthenticated"]


def test_readings_that_count_without_their_tag(diagnose: Diagnose, keys: Keys) -> None:
    entry = f"{{encryption_key: {HOUSE_KEY.hex()}, verification: crc-only}}"
    frames = [house(number, authentication_key=NOBODYS_KEY) for number in (1, 2)]
    run = diagnose(*frames, key_file=keys(**{HOUSE: entry}))
    assert run.codes == ["healthy", "unauthenticated"]


def test_frames_with_another_security_byte(diagnose: Diagnose, keys: Keys) -> None:
    frames = [house(number, security=0x20) for number in (1, 2)]
    assert diagnose(*frames, key_file=keys(**{HOUSE: HOUSE_KEY})).codes == ["other-security"]


def test_frames_with_bit_errors(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), turned(house(2), 500), house(3), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["healthy", "damaged"]
    assert "bits that turned over" in run.findings[1]["text"]
    assert "cable" in run.findings[1]["advice"]


def test_frames_with_a_lost_byte(diagnose: Diagnose, keys: Keys) -> None:
    short = house(2)[:500] + house(2)[501:]
    run = diagnose(house(1), short, house(3), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["healthy", "damaged"]
    assert "bytes that were lost" in run.findings[1]["text"]


def test_damaged_plaintext_telegrams(diagnose: Diagnose) -> None:
    run = diagnose(*[turned(belgium(number), 300) for number in range(3)], belgium(4))
    assert run.codes == ["damaged", "healthy"]
    assert run.findings[0]["text"].startswith("3 telegrams")


def test_frames_that_are_all_cut_to_one_size(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(*[house(number)[:1024] for number in range(4)], key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["truncated"]
    assert run.status == 1
    assert "4 telegrams" in run.first
    assert "1,024 bytes" in run.first


def test_a_frame_that_is_cut_among_whole_ones(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), house(2)[:700], house(3), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["healthy", "truncated"]


def test_a_plaintext_telegram_that_is_cut(diagnose: Diagnose) -> None:
    assert diagnose(belgium(1), belgium(2)[:400], belgium(3)).codes == ["healthy", "truncated"]


def test_a_replay(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), house(2), house(1), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["healthy", "replay"]
    assert "reset-counter" in run.findings[1]["advice"]


def test_an_encrypted_meter_that_sends_plaintext(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(luxembourg(1), luxembourg(11), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["plaintext"]
    assert run.status == 1


def test_a_meter_that_changes_to_plaintext(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), house(2), luxembourg(31), key_file=keys(any=HOUSE_KEY))
    assert run.codes == ["plaintext", "healthy"]
    assert run.status == 0


def test_dlms_in_hdlc_is_named(diagnose: Diagnose) -> None:
    run = diagnose(*[hdlc(b"\x41\x08\x83\x13\x13\xe6\xe7\x00" + house(n)[:300]) for n in range(3)])
    assert run.codes == ["not-p1"]
    assert "HDLC" in run.first
    assert run.status == 1


def test_dlms_in_mbus_is_named(diagnose: Diagnose) -> None:
    content = b"\x53\xff\x00\x01\x67" + house(1, security=0x20)[:240]
    run = diagnose(mbus(content), mbus(content))
    assert run.codes == ["not-p1"]
    assert "M-Bus" in run.first


def test_sml_is_named(diagnose: Diagnose) -> None:
    run = diagnose(b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01\x76\x05" + bytes(range(100)))
    assert run.codes == ["not-p1"]
    assert "SML" in run.first


def test_text_that_is_no_telegram(diagnose: Diagnose) -> None:
    run = diagnose(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body>Hello</body></html>\r\n")
    assert run.codes == ["not-p1"]


def test_what_the_operator_has_not_enabled_is_said(diagnose: Diagnose, keys: Keys) -> None:
    frames = [
        frame(luxembourg_of_2018(second), title=BARN_TITLE, key=BARN_KEY, counter=second)
        for second in (1, 11)
    ]
    run = diagnose(*frames, key_file=keys(**{BARN: BARN_KEY}))
    assert run.codes == ["healthy"]
    assert "does not send: voltage, power per phase, gas" in run.first
