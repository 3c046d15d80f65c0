"""Each fault is recorded from invented meters, and `doctor` reports its code.

The table in protocol.md names these tests.
"""

import random
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.doctor_runs import (
    BARN,
    HOUSE,
    NOBODYS_KEY,
    Keys,
    Run,
    capture_of,
    hdlc,
    house,
    mbus,
    with_bit_error,
)
from tests.support.uart import at_other_speed, inverted, line, receive
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

Diagnose = Callable[..., Run]
EDGE = """meters: [{source: recording.bin}]
outputs: {forward: {urls: "mqtts://edge@a.example", password_file: edge.password}}
"""


@pytest.fixture
def diagnose(tmp_path: Path) -> Diagnose:
    """Run doctor on a recording of these bytes."""

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
    assert f"their key is under {BARN}" in run.first


def test_a_damaged_frame_under_crc_only_is_no_wrong_key(diagnose: Diagnose, keys: Keys) -> None:
    entry = f"{{encryption_key: {HOUSE_KEY.hex()}, verification: crc-only}}"
    run = diagnose(house(1), with_bit_error(house(2), 500), house(3), key_file=keys(**{HOUSE: entry}))
    assert run.codes == ["healthy", "damaged", "unauthenticated"]


def test_readings_that_count_without_their_tag(diagnose: Diagnose, keys: Keys) -> None:
    entry = f"{{encryption_key: {HOUSE_KEY.hex()}, verification: crc-only}}"
    frames = [house(number, authentication_key=NOBODYS_KEY) for number in (1, 2)]
    run = diagnose(*frames, key_file=keys(**{HOUSE: entry}))
    assert run.codes == ["unauthenticated"]
    assert run.status == 1
    assert "not verified" in run.first
    assert "Ask your grid operator (DSO) for the authentication key" in run.first


def test_an_authentication_key_that_should_be_the_public_one(diagnose: Diagnose, keys: Keys) -> None:
    other = f"authentication_key: {NOBODYS_KEY.hex()}, verification: crc-only"
    run = diagnose(
        house(1), house(2), key_file=keys(**{HOUSE: f"{{encryption_key: {HOUSE_KEY.hex()}, {other}}}"})
    )
    assert run.codes == ["unauthenticated"]
    assert run.status == 1
    assert "remove the lines authentication_key and verification" in run.first


def test_crc_only_where_it_is_not_needed(diagnose: Diagnose, keys: Keys) -> None:
    entry = f"{{encryption_key: {HOUSE_KEY.hex()}, verification: crc-only}}"
    run = diagnose(house(1), house(2), key_file=keys(**{HOUSE: entry}))
    assert run.codes == ["healthy", "unauthenticated"]
    assert run.status == 0
    assert "not needed" in run.findings[1]["text"]


def test_frames_with_another_security_byte(diagnose: Diagnose, keys: Keys) -> None:
    frames = [house(number, security=0x20) for number in (1, 2)]
    assert diagnose(*frames, key_file=keys(**{HOUSE: HOUSE_KEY})).codes == ["other-security"]


def test_frames_with_bit_errors(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), with_bit_error(house(2), 500), house(3), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["healthy", "damaged"]
    assert "bit errors" in run.findings[1]["text"]
    assert "cable" in run.findings[1]["advice"]


#: In the system title, the security byte, the frame counter, the ciphertext and the tag.
@pytest.mark.parametrize("at", [5, 13, 15, 500, -3])
@pytest.mark.parametrize("damaged", [0, 1, 2])
def test_one_damaged_frame_beside_sound_ones(diagnose: Diagnose, keys: Keys, at: int, damaged: int) -> None:
    frames = [house(number) for number in (1, 2, 3)]
    frames[damaged] = with_bit_error(frames[damaged], at % len(frames[damaged]))
    for entry in (HOUSE, "any"):
        run = diagnose(*frames, key_file=keys(**{entry: HOUSE_KEY}))
        assert run.codes == ["healthy", "damaged"]
        assert "1 with bit errors" in run.findings[1]["text"]


@pytest.mark.parametrize("at", [5, 15, -3])
def test_one_damaged_frame_beside_a_single_sound_one(diagnose: Diagnose, keys: Keys, at: int) -> None:
    damaged = with_bit_error(house(1), at % len(house(1)))
    for frames in ((damaged, house(2)), (house(0), damaged)):
        run = diagnose(*frames, key_file=keys(**{HOUSE: HOUSE_KEY}))
        assert sorted(run.codes) == ["damaged", "healthy"]


def test_a_second_meter_is_not_taken_for_damage(diagnose: Diagnose, keys: Keys) -> None:
    barn = frame(luxembourg(1), key=BARN_KEY, title=BARN_TITLE, counter=1)
    run = diagnose(house(1), barn, house(2), house(3), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["healthy", "other-meter"]
    assert BARN in run.findings[1]["text"]


@pytest.mark.parametrize("first_counter", [0, 4])
@pytest.mark.parametrize("verification", ["required", "crc-only"])
def test_a_meter_that_gets_a_new_key(
    diagnose: Diagnose, keys: Keys, verification: str, first_counter: int
) -> None:
    entry = f"{{encryption_key: {HOUSE_KEY.hex()}, verification: {verification}}}"
    old = [house(number) for number in (1, 2, 3)]
    new = [house(first_counter + number, NOBODYS_KEY) for number in range(10)]
    run = diagnose(*old, *new, key_file=keys(**{HOUSE: entry}))
    assert run.codes[:2] == ["wrong-encryption-key", "healthy"]
    assert "damaged" not in run.codes
    assert "got a new key" in run.first
    assert "last 10" in run.first


def test_frames_from_before_a_change_of_key(diagnose: Diagnose, keys: Keys) -> None:
    old = [house(number, NOBODYS_KEY) for number in (100, 101, 102)]
    new = [house(number) for number in range(5)]
    run = diagnose(*old, *new, key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["healthy", "wrong-encryption-key"]
    assert "before the meter got this key" in run.findings[1]["text"]


def test_a_key_in_use_that_is_not_the_first_of_its_entry(diagnose: Diagnose, keys: Keys) -> None:
    two = keys(**{HOUSE: f"[{NOBODYS_KEY.hex()}, {HOUSE_KEY.hex()}]"})
    run = diagnose(house(1), house(2), key_file=two)
    assert run.codes == ["healthy", "key-order"]
    assert run.status == 0
    assert "number 2" in run.findings[1]["text"]
    assert "newest key first" in run.findings[1]["advice"]


def test_a_new_key_after_the_old_one(diagnose: Diagnose, keys: Keys) -> None:
    two = keys(**{HOUSE: f"[{HOUSE_KEY.hex()}, {NOBODYS_KEY.hex()}]"})
    run = diagnose(house(1), *[house(number, NOBODYS_KEY) for number in range(4)], key_file=two)
    assert run.codes == ["key-order", "healthy"]
    assert "4 frames are rejected" in run.first


def test_two_keys_in_the_right_order_are_all_right(diagnose: Diagnose, keys: Keys) -> None:
    two = keys(**{HOUSE: f"[{HOUSE_KEY.hex()}, {NOBODYS_KEY.hex()}]"})
    assert diagnose(house(1, NOBODYS_KEY), house(0), house(1), key_file=two).codes == ["healthy"]
    assert diagnose(house(1), house(2), key_file=two).codes == ["healthy"]


def test_frames_with_a_lost_byte(diagnose: Diagnose, keys: Keys) -> None:
    short = house(2)[:500] + house(2)[501:]
    run = diagnose(house(1), short, house(3), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["healthy", "damaged"]
    assert "lost bytes" in run.findings[1]["text"]


def test_damaged_plaintext_telegrams(diagnose: Diagnose) -> None:
    run = diagnose(*[with_bit_error(belgium(number), 300) for number in range(3)], belgium(4))
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


def test_a_recording_that_ends_within_its_first_telegram(diagnose: Diagnose) -> None:
    run = diagnose(belgium(1)[:400])
    assert run.codes == ["too-short"]
    assert run.status == 1


def test_a_meter_that_writes_a_wrong_crc(diagnose: Diagnose, keys: Keys) -> None:
    wrong = frame(luxembourg(11).replace(b"01.312", b"01.313"), counter=2)
    run = diagnose(house(1), wrong, house(3), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["healthy", "checksum"]


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
    assert run.status == 1


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


@pytest.mark.parametrize("wrap", [hdlc, mbus])
def test_a_sound_frame_in_another_protocol_is_named(
    diagnose: Diagnose, wrap: Callable[[bytes], bytes]
) -> None:
    short = frame(b"/" + bytes(160), counter=7)
    run = diagnose(*[wrap(b"\x53\xff\x00\x01\x67" + short) for _ in range(3)])
    assert run.codes == ["not-p1", "no-key"]
    assert run.status == 1


def test_a_capture_whose_lines_were_wrapped(diagnose: Diagnose, keys: Keys) -> None:
    wrapped = "\n".join(textwrap.wrap(capture_of(house(1), house(2)), 75)) + "\n"
    run = diagnose(wrapped.encode(), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes[0] == "unreadable-lines"
    assert "silent" not in run.codes
    assert re.match("[0-9]+ lines of this recording", run.first)
    assert "file itself" in run.first


def test_a_capture_that_was_quoted(diagnose: Diagnose) -> None:
    quoted = "".join(f"> {line}\n" for line in capture_of(house(1), house(2)).splitlines())
    run = diagnose(quoted.encode())
    assert run.codes == ["unreadable-lines"]
    assert "This is a capture" in run.first


def test_one_damaged_line_of_a_capture(diagnose: Diagnose, keys: Keys) -> None:
    lines = capture_of(*map(house, (1, 2, 3))).splitlines(keepends=True)
    lines[2] = lines[2][:-4] + "?\n"
    run = diagnose("".join(lines).encode(), key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert run.codes == ["healthy", "unreadable-lines"]
    assert run.findings[1]["text"].startswith("1 line of this recording cannot be read and was skipped")


# The files


def test_a_key_file_that_others_can_read_is_a_fault(diagnose: Diagnose, keys: Keys) -> None:
    path = keys(**{HOUSE: NOBODYS_KEY})
    path.chmod(0o644)
    run = diagnose(house(1, NOBODYS_KEY), house(2, NOBODYS_KEY), key_file=path)
    assert run.codes == ["healthy", "key-file-mode"]
    assert [finding["is_fault"] for finding in run.findings] == [False, True]
    assert "Nothing is wrong" not in run.first
    assert run.findings[1]["advice"] == f"Type: chmod 600 {path}"
    assert "warning" not in run.errors
    assert run.status == 1


def test_a_key_file_of_published_dummies_may_be_read_by_others(diagnose: Diagnose, keys: Keys) -> None:
    path = keys(**{HOUSE: HOUSE_KEY, BARN: BARN_KEY})
    path.chmod(0o644)
    run = diagnose(house(1), house(2), key_file=path)
    assert (run.codes, run.status) == (["healthy"], 0)


@pytest.mark.parametrize("entry", [HOUSE, "any"])
def test_the_dummy_key_of_the_example_is_called_a_dummy(diagnose: Diagnose, keys: Keys, entry: str) -> None:
    run = diagnose(house(1, NOBODYS_KEY), house(2, NOBODYS_KEY), key_file=keys(**{entry: HOUSE_KEY}))
    assert (run.codes, run.status) == (["dummy-key"], 1)
    assert f"the entry {entry}" in run.first


@pytest.mark.parametrize("typo", ["SAG1030700012346", "SAG1030700012354", "SAG1030700011245"])
@pytest.mark.parametrize("has_dummy", [True, False])
def test_an_entry_with_a_typo_in_its_serial_number_is_named(
    diagnose: Diagnose,
    keys: Keys,
    typo: str,
    has_dummy: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    entries = {typo: NOBODYS_KEY, **({"any": HOUSE_KEY} if has_dummy else {})}
    run = diagnose(house(1, NOBODYS_KEY), house(2, NOBODYS_KEY), key_file=keys(**entries))
    assert (run.codes, run.status) == (["other-meter"], 1)
    assert "typo" in run.first
    assert f"from {typo} to {HOUSE}" in run.first
    assert "swapped" not in run.first


def test_swapped_keys_of_two_meters_with_similar_serial_numbers_are_no_typo(
    diagnose: Diagnose, keys: Keys
) -> None:
    entries = {HOUSE: BARN_KEY, "SAG1030700012346": NOBODYS_KEY}
    run = diagnose(house(1, NOBODYS_KEY), house(2, NOBODYS_KEY), key_file=keys(**entries))
    assert run.codes == ["other-meter"]
    assert "swapped" in run.first
    assert "typo" not in run.first


def test_a_typo_in_serial_number_and_key_is_named(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), house(2), key_file=keys(SAG1030700012346=NOBODYS_KEY))
    assert run.codes == ["other-meter"]
    assert "SAG1030700012346, which is nearly the same" in run.first
    assert run.errors.count("but keys.yaml has an entry SAG1030700012346: if that is a typo") == 2


def test_the_serial_number_of_a_quite_different_meter_is_not_called_a_typo(
    diagnose: Diagnose, keys: Keys
) -> None:
    run = diagnose(house(1), house(2), key_file=keys(SAG1030700099999=NOBODYS_KEY))
    assert run.codes == ["other-meter"]
    assert "nearly" not in run.first


def test_a_wrong_key_leads_to_the_change_of_the_key_by_the_operator(diagnose: Diagnose, keys: Keys) -> None:
    run = diagnose(house(1), house(2), key_file=keys(**{HOUSE: NOBODYS_KEY}))
    assert "the operator has probably changed the key" in run.first


def test_the_key_file_that_the_configuration_names(tmp_path: Path, diagnose: Diagnose, keys: Keys) -> None:
    (tmp_path / "secret").mkdir()
    keys(**{HOUSE: HOUSE_KEY}).rename(tmp_path / "secret/k.yaml")
    text = "keys: secret/k.yaml\nmeters: [{source: /dev/ttyUSB0}]\n"
    (tmp_path / "gateway.yaml").write_text(text, "utf-8")
    assert diagnose(house(1), house(2)).codes == ["healthy"]
    (tmp_path / "gateway.yaml").rename(tmp_path / "mine.yaml")
    assert diagnose(house(1), house(2)).codes == ["no-key"]
    assert Run("recording.bin", "--config", "mine.yaml", folder=tmp_path).codes == ["healthy"]


def test_plaintext_of_a_meter_configured_as_encrypted(tmp_path: Path, diagnose: Diagnose) -> None:
    text = "meters: [{source: recording.bin, encrypted: true}]\n"
    (tmp_path / "gateway.yaml").write_text(text, "utf-8")
    run = diagnose(belgium(1), belgium(2))
    assert run.codes == ["plaintext"]
    assert run.status == 1


def test_a_faulty_configuration(tmp_path: Path, diagnose: Diagnose, keys: Keys) -> None:
    keys(**{HOUSE: HOUSE_KEY}).rename(tmp_path / "keys.yaml")
    (tmp_path / "gateway.yaml").write_text("meter: []\n", "utf-8")
    run = diagnose(house(1), house(2))
    assert run.codes == ["healthy", "configuration"]
    assert run.status == 1
    assert "Nothing is wrong" not in run.first
    assert "gateway.yaml:1" in run.findings[1]["text"]
    assert "smarty-gateway check" in run.findings[1]["advice"]
    assert Run("recording.bin", "--config", "missing.yaml", folder=tmp_path).codes == [
        "healthy",
        "configuration",
    ]


@pytest.fixture
def edge(tmp_path: Path) -> None:
    """Write the gateway.yaml of an edge."""
    (tmp_path / "gateway.yaml").write_text(EDGE, "utf-8")


@pytest.mark.usefixtures("edge")
def test_frames_without_a_key_are_no_fault_of_an_edge(diagnose: Diagnose) -> None:
    run = diagnose(house(1), house(2))
    assert (run.codes, run.status) == (["forwarded"], 0)
    assert f"The pool must have the key of {HOUSE}" in run.first
    assert run.errors == "an encrypted frame, which `run` forwards to the pool, 1301 bytes\n" * 2
    for word in ("DSO", "keys.yaml"):
        assert word not in run.first


@pytest.mark.usefixtures("edge")
def test_an_edge_without_keys_has_the_other_faults(diagnose: Diagnose) -> None:
    cut = [house(number)[:1024] for number in range(1, 4)]
    cases = {
        "damaged": [house(1), house(2)[:400] + house(2)[401:], house(3)],
        "other-security": [house(1), house(2, security=0x20), house(3, security=0x20)],
        "not-p1": [hdlc(b"\x53\xff\x00\x01\x67" + frame(b"/" + bytes(160), counter=7))] * 3,
        "garbage": [random.Random(3).randbytes(3000)],
        "truncated": cut,
        "silent": [],
    }
    found = {code: diagnose(*data) for code, data in cases.items()}
    assert [code for code, run in found.items() if code not in run.codes or run.status != 1] == []


@pytest.mark.usefixtures("edge")
def test_the_keys_of_an_edge_are_used(diagnose: Diagnose, keys: Keys) -> None:
    stranger = frame(luxembourg(1), title=b"SAGgp\x00\x99\x99", key=BARN_KEY, counter=1)
    run = diagnose(house(1), house(2), stranger, key_file=keys(**{HOUSE: HOUSE_KEY}))
    assert (run.codes, run.status) == (["healthy", "forwarded"], 0)
    assert diagnose(house(1), house(2), key_file=keys(**{HOUSE: NOBODYS_KEY})).codes == [
        "wrong-encryption-key"
    ]
    assert diagnose(house(1), house(2), key_file=keys(SAG1030700012354=NOBODYS_KEY)).codes == ["other-meter"]
    assert diagnose(house(1), house(2), key_file=keys(**{BARN: HOUSE_KEY})).codes == ["other-meter"]


def test_sml_is_named(diagnose: Diagnose) -> None:
    run = diagnose(b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01\x76\x05" + bytes(range(100)))
    assert run.codes == ["not-p1"]
    assert "SML" in run.first


def test_text_that_is_no_telegram(diagnose: Diagnose) -> None:
    run = diagnose(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body>Hello</body></html>\r\n")
    assert run.codes == ["not-p1"]


def test_values_that_the_operator_has_not_enabled_are_named(diagnose: Diagnose, keys: Keys) -> None:
    frames = [
        frame(luxembourg_of_2018(second), title=BARN_TITLE, key=BARN_KEY, counter=second)
        for second in (1, 11)
    ]
    run = diagnose(*frames, key_file=keys(**{BARN: BARN_KEY}))
    assert run.codes == ["healthy"]
    assert "does not send: voltage, power per phase, gas" in run.first
