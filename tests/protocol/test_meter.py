"""Only what has verified comes out; everything else is refused for the first check that fails."""

from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.protocol.counters import FrameCounters
from smarty_gateway.protocol.key_ring import KeyRing, Verification
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import Security
from tests.support.streams import OTHER_KEY, drain, meter_key, read, reasons, rejections, telegrams
from vectors.building_blocks import (
    BARN_KEY,
    HOUSE_KEY,
    HOUSE_TITLE,
    belgium,
    frame,
    hex_text,
    luxembourg,
    luxembourg_of_2018,
    netherlands,
    telegram,
)

TEXT = luxembourg_of_2018(1, name="SAG1030700012345")
CRC_ONLY = KeyRing({HOUSE_TITLE: [meter_key(verification=Verification.CRC_ONLY)]})
ANY = KeyRing({}, [meter_key()])


def ring(*keys: bytes) -> KeyRing:
    return KeyRing({HOUSE_TITLE: [meter_key(key) for key in keys]})


def test_a_verified_frame_gives_its_readings_and_says_that_it_is_authenticated() -> None:
    (found,) = telegrams(read(frame(luxembourg(1), counter=77)))
    record = found.as_object()
    assert record["security"] == "authenticated"
    assert record["frame_counter"] == 77
    assert record["system_title"] == "5341476770003039"
    assert record["meter"] == record["meter_id"] == "SAG1030700012345"
    assert record["energy_import"] == 1234.567
    assert found.raw == luxembourg(1)


def test_the_object_begins_with_what_identifies_it() -> None:
    (found,) = telegrams(read(frame(luxembourg(1))))
    assert list(found.as_object("house"))[:7] == [
        "meter", "meter_id", "system_title", "timestamp", "security", "frame_counter", "header",
    ]  # fmt: skip
    assert found.as_object("house")["meter"] == "house"


def test_a_plaintext_telegram_passes_and_says_that_it_was_never_encrypted() -> None:
    (found,) = telegrams(read(belgium(1)))
    record = found.as_object()
    assert record["security"] == "plaintext"
    assert record["meter_id"] == "1SAG1100000001"
    assert "system_title" not in record
    assert "frame_counter" not in record


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, len(TEXT) + 29), bits=st.integers(1, 255))
def test_no_changed_frame_is_accepted(position: int, bits: int) -> None:
    changed = bytearray(frame(TEXT))
    changed[position] ^= bits
    assert telegrams(read(bytes(changed), ANY)) == []


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_frame_with_bytes_lost_or_doubled_is_accepted(data: st.DataObject) -> None:
    good = frame(TEXT)
    start = data.draw(st.integers(0, len(good) - 1))
    end = data.draw(st.integers(start + 1, len(good)))
    assert telegrams(read(good[:start] + good[end:], ANY)) == []
    assert {found.raw for found in telegrams(read(good[:end] + good[start:] + b"x", ANY))} <= {TEXT}


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=600))
def test_no_bytes_at_all_raise_anything(data: bytes) -> None:
    read(data, ANY)
    read(b"\xdb\x08" + HOUSE_TITLE + data, ANY)
    read(b"/" + data + b"\r\n!\r\n", ANY)
    read(frame(data or b"x"), ANY)
    read(frame(data or b"x"), CRC_ONLY)


def test_each_security_byte_but_one_is_refused() -> None:
    for security in range(256):
        changed = bytearray(frame(TEXT))
        changed[13] = security
        expected = [] if security == 0x30 else ["security"]
        assert reasons(read(bytes(changed))) == expected


def test_a_frame_of_an_unknown_meter_asks_for_its_key_and_names_it() -> None:
    (refused,) = rejections(read(frame(TEXT), KeyRing()))
    assert refused.reason == "no-key"
    assert "5341476770003039" in refused.message
    assert "SAG1030700012345" in refused.message


def test_a_key_for_any_meter_serves_those_without_an_entry_only() -> None:
    assert len(telegrams(read(frame(TEXT), ANY))) == 1
    own = KeyRing({HOUSE_TITLE: [meter_key(OTHER_KEY)]}, [meter_key()])
    assert reasons(read(frame(TEXT), own)) == ["authentication"]


def test_of_several_keys_each_is_tried() -> None:
    data = frame(TEXT, counter=900, key=OTHER_KEY) + frame(TEXT, counter=1)
    assert [t.frame_counter for t in telegrams(read(data, ring(HOUSE_KEY, OTHER_KEY)))] == [900, 1]


def test_an_old_key_retires_with_the_first_frame_under_the_new_one() -> None:
    old, new = frame(TEXT, counter=900), frame(TEXT, counter=0, key=OTHER_KEY)
    late = frame(TEXT, counter=901)
    keys = ring(OTHER_KEY, HOUSE_KEY)
    assert [t.frame_counter for t in telegrams(read(old + late + new, keys))] == [900, 901, 0]
    events = read(old + new + late, keys)
    assert [t.frame_counter for t in telegrams(events)] == [900, 0]
    assert reasons(events) == ["authentication"]


def test_keys_that_are_replaced_count_from_the_next_frame_on() -> None:
    stream, keys = MeterStream(KeyRing()), ring(HOUSE_KEY)
    stream.receive_data(frame(TEXT, counter=1))
    assert reasons(drain(stream)) == ["no-key"]
    stream.keys = keys
    assert stream.keys is keys
    stream.receive_data(frame(TEXT, counter=1))
    assert len(telegrams(drain(stream))) == 1


def test_a_key_stays_retired_when_the_counters_are_taken_up_again() -> None:
    counters, keys = FrameCounters(), ring(OTHER_KEY, HOUSE_KEY)
    read(frame(TEXT, counter=0, key=OTHER_KEY), keys, counters=counters)
    assert reasons(read(frame(TEXT, counter=901), keys, counters=counters)) == ["authentication"]


def test_a_key_stays_retired_when_the_counter_begins_anew_and_no_gap_is_counted() -> None:
    counters, keys = FrameCounters(), ring(OTHER_KEY, HOUSE_KEY)
    read(frame(TEXT, counter=900, key=OTHER_KEY), keys, counters=counters)
    counters.reset(b"another!")
    assert reasons(read(frame(TEXT, counter=50, key=OTHER_KEY), keys, counters=counters)) == ["replay"]
    counters.reset(HOUSE_TITLE)
    assert reasons(read(frame(TEXT, counter=901), keys, counters=counters)) == ["authentication"]
    assert len(telegrams(read(frame(TEXT, counter=50, key=OTHER_KEY), keys, counters=counters))) == 1
    assert counters.gaps == 0


def test_of_a_new_key_that_stands_behind_the_old_one_it_is_said_that_it_must_stand_first() -> None:
    data = frame(TEXT, counter=900) + frame(TEXT, counter=1, key=OTHER_KEY)
    (refused,) = rejections(read(data, ring(HOUSE_KEY, OTHER_KEY)))
    assert refused.hint == "wrong-encryption-key"
    assert "put it first" in str(refused)


def hints(data: bytes, keys: KeyRing) -> list[str | None]:
    return [refused.hint for refused in rejections(read(data, keys))]


def test_the_hint_of_a_failed_tag_tells_a_wrong_encryption_key() -> None:
    assert hints(frame(TEXT), ring(OTHER_KEY)) == ["wrong-encryption-key"]


def test_the_hint_of_a_failed_tag_tells_a_wrong_authentication_key() -> None:
    assert hints(frame(TEXT, authentication_key=OTHER_KEY), ring(HOUSE_KEY)) == ["wrong-authentication-key"]


def test_the_hint_of_a_failed_tag_tells_damage_by_the_text_that_is_still_readable() -> None:
    damaged = bytearray(frame(TEXT))
    damaged[100] ^= 0x55
    assert hints(bytes(damaged), ring(HOUSE_KEY)) == ["corrupt"]


def test_the_hint_of_a_failed_tag_tells_damage_once_the_key_has_proven_right() -> None:
    unreadable = bytearray(frame(TEXT, counter=2))
    unreadable[17] ^= 0x01  # another frame counter gives another keystream
    assert hints(bytes(unreadable), ring(HOUSE_KEY)) == ["wrong-encryption-key"]
    assert hints(frame(TEXT, counter=1) + bytes(unreadable), ring(HOUSE_KEY)) == ["corrupt"]


def test_a_key_that_opened_frames_before_leads_to_the_change_of_the_key() -> None:
    data = frame(TEXT, counter=1) + frame(TEXT, counter=2, key=OTHER_KEY)
    (refused,) = rejections(read(data, ring(HOUSE_KEY)))
    assert "if every frame fails, the operator has changed the key" in str(refused)


def test_nothing_of_a_refused_plaintext_is_in_the_rejection() -> None:
    damaged = bytearray(frame(TEXT))
    damaged[100] ^= 0x55
    for data in (bytes(damaged), frame(TEXT, authentication_key=OTHER_KEY), frame(b"secret text")):
        for refused in rejections(read(data, ring(HOUSE_KEY))):
            assert "66.95" not in repr(refused)
            assert "Lux5" not in repr(refused)
            assert "secret" not in repr(refused)


def test_a_frame_counter_that_does_not_rise_is_a_replay() -> None:
    data = b"".join(frame(TEXT, counter=counter) for counter in (5, 5, 4, 6, 2, 7))
    events = read(data)
    assert [t.frame_counter for t in telegrams(events)] == [5, 6, 7]
    assert reasons(events) == ["replay"] * 3


def test_the_frame_counter_may_be_anything_at_first_and_is_kept_per_meter() -> None:
    high = frame(TEXT, counter=0xFFFFFFFF)
    other = frame(TEXT, key=BARN_KEY, title=bytes.fromhex("5341476770003040"), counter=0)
    assert len(telegrams(read(high + other))) == 2


def test_a_new_key_starts_its_frame_counter_anew() -> None:
    data = frame(TEXT, counter=9000) + frame(TEXT, key=OTHER_KEY, counter=0)
    assert len(telegrams(read(data, ring(OTHER_KEY, HOUSE_KEY)))) == 2


def test_the_replay_rule_goes_on_from_counters_that_were_kept() -> None:
    counters = FrameCounters()
    assert len(telegrams(read(frame(TEXT, counter=5), counters=counters))) == 1
    assert reasons(read(frame(TEXT, counter=5), counters=counters)) == ["replay"]
    assert list(counters.last.values()) == [5]


def test_frames_that_were_missed_are_counted() -> None:
    counters = FrameCounters()
    read(b"".join(frame(TEXT, counter=counter) for counter in (10, 11, 15, 3)), counters=counters)
    assert counters.gaps == 3


def test_a_frame_that_does_not_verify_does_not_move_the_counter() -> None:
    forged = bytearray(frame(TEXT, counter=500))
    forged[-1] ^= 1
    events = read(bytes(forged) + frame(TEXT, counter=7))
    assert [t.frame_counter for t in telegrams(events)] == [7]


def test_a_verified_frame_moves_the_counter_even_if_what_it_holds_is_refused() -> None:
    wrong_crc = TEXT.replace(b"66.950", b"66.951")
    data = frame(wrong_crc, counter=8) + frame(TEXT, counter=8)
    assert reasons(read(data)) == ["checksum", "replay"]


def test_the_same_nonce_with_another_text_is_a_replay() -> None:
    assert reasons(read(frame(TEXT, counter=8) + frame(luxembourg(9), counter=8))) == ["replay"]


def test_an_authentic_frame_without_a_telegram_is_malformed() -> None:
    for text in (b"x", b"no telegram", b"/Lux5\r\n1-0:1.8.0(1*kWh)\r\n", bytes(range(100))):
        assert reasons(read(frame(text))) == ["malformed"]


def test_an_authentic_telegram_needs_a_right_crc() -> None:
    end = TEXT.rindex(b"!")
    assert reasons(read(frame(TEXT[: end + 1] + b"0000\r\n"))) == ["checksum"]
    assert reasons(read(frame(TEXT[: end + 1] + b"\r\n"))) == ["checksum"]


def test_a_plaintext_telegram_of_a_newer_kind_needs_a_right_crc() -> None:
    for mark in ("1-3:0.2.8(42)", "0-0:96.1.4(50217)", "0-0:1.0.0(260130102001W)"):
        text = telegram("FLU5\\253000003_A", "1-0:1.8.0(000001.000*kWh)", mark)
        end = text.rindex(b"!")
        assert len(telegrams(read(text))) == 1
        assert reasons(read(text[: end + 1] + b"\r\n")) == ["checksum"]
        assert reasons(read(text[: end + 1] + b"0000\r\n")) == ["checksum"]


def test_an_old_plaintext_telegram_passes_without_a_crc() -> None:
    text = b"/ISk5\\2MT382-1003\r\n\r\n1-0:1.8.1(16719.940*kWh)\r\n!\r\n"
    (found,) = telegrams(read(text))
    assert found.decoded.fields == {"energy_import_tariff_1": 16719.94}


def test_a_telegram_without_a_crc_and_with_damaged_bytes_is_refused() -> None:
    text = b"/ISk5\\2MT382-1003\r\n\r\n1-0:1.8.1(16719.940*kWh)\r\n1-0:1.8.2(1\xff71*kWh)\r\n!\r\n"
    assert reasons(read(text)) == ["checksum"]


def test_plaintext_is_refused_from_a_meter_that_has_a_key_of_its_own() -> None:
    assert reasons(read(TEXT, ring(HOUSE_KEY))) == ["plaintext"]
    assert len(telegrams(read(TEXT, ANY))) == 1
    assert len(telegrams(read(TEXT, KeyRing()))) == 1


def test_plaintext_is_refused_where_the_user_says_that_the_meter_is_encrypted() -> None:
    assert reasons(read(belgium(1), must_be_encrypted=True)) == ["plaintext"]


def test_on_a_shared_port_a_plaintext_meter_may_stand_beside_one_that_must_be_encrypted() -> None:
    stream = MeterStream(KeyRing(), must_be_encrypted=True, plaintext_ids={"1sag1100000001"})
    stream.receive_data(belgium(1) + netherlands(2))
    events = drain(stream)
    assert [event.meter_id for event in telegrams(events)] == ["1SAG1100000001"]
    assert reasons(events) == ["plaintext"]


def test_a_damaged_plaintext_telegram_is_a_checksum_matter_before_it_is_a_plaintext_matter() -> None:
    assert reasons(read(TEXT.replace(b"66.950", b"66.951"), ring(HOUSE_KEY))) == ["checksum"]


def test_crc_only_reads_a_frame_whose_tag_does_not_verify_and_says_so() -> None:
    data = frame(TEXT, authentication_key=OTHER_KEY)
    (found,) = telegrams(read(data, CRC_ONLY))
    assert found.security is Security.UNAUTHENTICATED
    assert found.as_object()["security"] == "unauthenticated"


def test_crc_only_takes_nothing_without_a_right_crc() -> None:
    end = TEXT.rindex(b"!")
    assert reasons(read(frame(TEXT[: end + 1] + b"\r\n"), CRC_ONLY)) == ["checksum"]
    damaged = bytearray(frame(TEXT))
    damaged[100] ^= 0x55
    assert reasons(read(bytes(damaged), CRC_ONLY)) == ["checksum"]


def test_a_crc_only_frame_with_a_damaged_length_swallows_no_telegram_behind_it() -> None:
    damaged = bytearray(frame(TEXT, key=HOUSE_KEY))
    damaged[11] ^= 0x04  # a kilobyte more
    data = bytes(damaged) + belgium(1) + bytes(1200)
    for chunks in ([data], [data[at : at + 1] for at in range(len(data))]):
        events = read(chunks, CRC_ONLY)
        assert [found.meter_id for found in telegrams(events)] == ["1SAG1100000001"]


def test_crc_only_refuses_a_replay_and_moves_the_counter_only_with_a_right_crc() -> None:
    damaged = bytearray(frame(TEXT, counter=50))
    damaged[100] ^= 0x55
    damaged_replay = bytearray(frame(TEXT, counter=2))
    damaged_replay[100] ^= 0x55
    data = bytes(damaged) + frame(TEXT, counter=3) + frame(TEXT, counter=3) + bytes(damaged_replay)
    events = read(data, CRC_ONLY)
    assert [t.frame_counter for t in telegrams(events)] == [3]
    assert reasons(events) == ["checksum", "replay", "replay"]


def test_the_identity_of_a_meter_falls_back_to_title_and_header() -> None:
    nameless = telegram("EST5\\253000005_A", "1-3:0.2.8(50)", "1-0:1.8.0(006545766*Wh)")
    assert telegrams(read(frame(nameless)))[0].meter_id == HOUSE_TITLE.hex().upper()
    assert telegrams(read(nameless))[0].meter_id == "EST5\\253000005_A"


def test_an_unset_clock_drops_only_the_time() -> None:
    text = telegram("XMX5LGBBFFB231216240", "1-3:0.2.8(40)", "0-0:1.0.0(000101010000W)", "1-0:1.8.1(1.5*kWh)")
    record = telegrams(read(text))[0].as_object()
    assert "timestamp" not in record
    assert record["energy_import_tariff_1"] == 1.5


def test_what_no_table_knows_is_in_the_object_as_it_was_sent() -> None:
    text = telegram("FLU5\\253000003_A", "0-0:96.1.4(50217)", "1-0:99.1.0(raw text)(as sent)")
    assert telegrams(read(text))[0].as_object()["unknown"] == {"1-0:99.1.0": ("(raw text)(as sent)",)}


def test_a_rejection_is_one_line_with_reason_offset_and_hint() -> None:
    (refused,) = rejections(read(frame(TEXT), ring(OTHER_KEY)))
    assert str(refused).startswith("rejected authentication offset=0 meter 5341476770003039 ")
    assert str(refused).endswith(" hint=wrong-encryption-key")
    (refused,) = rejections(read(frame(TEXT), KeyRing()))
    assert str(refused).startswith("rejected no-key offset=0 ")
    assert "hint=" not in str(refused)


def test_what_happens_while_a_frame_waits_to_be_reported_does_not_change_its_hint() -> None:
    unreadable = bytearray(frame(TEXT, counter=2))
    unreadable[17] ^= 0x01
    data = bytes(unreadable) + frame(TEXT, counter=3)
    assert hints(data, ring(HOUSE_KEY)) == ["wrong-encryption-key"]


def test_no_spelling_of_the_codes_that_make_a_crc_due_gets_around_it() -> None:
    text = belgium(1)[:-6] + b"\r\n"
    assert reasons(read(text)) == ["checksum"]
    for odd in (b"0-0:1.0.\x000", b"0-0:1.0.\r0", b"0-0:1.0.0*255", b"0-0:1.0:0", b"0-0:1.0.0.255"):
        changed = text.replace(b"0-0:96.1.4(50217)\r\n", b"").replace(b"0-0:1.0.0", odd)
        assert reasons(read(changed)) == ["checksum"]


def test_no_second_name_hides_that_a_meter_must_be_encrypted() -> None:
    for first in ("0-0:42.0.0()", "0-0:42.0.0(4F54484552)"):
        name = f"0-0:42.0.0({hex_text(' SAG1030700012345')})"
        text = telegram("Lux5\\253000001_D", "1-3:0.2.8(42)", first, name)
        assert reasons(read(text, ring(HOUSE_KEY))) == ["plaintext"]


def test_a_replay_under_any_of_several_keys_is_one_under_crc_only_too() -> None:
    keys = [meter_key(key, verification=Verification.CRC_ONLY) for key in (OTHER_KEY, HOUSE_KEY)]
    damaged = frame(TEXT.replace(b"66.950", b"66.951"), counter=3)
    assert reasons(read(frame(TEXT, counter=5) + damaged, KeyRing({HOUSE_TITLE: keys}))) == ["replay"]


def test_a_line_with_other_bytes_than_hex_digits_behind_its_exclamation_mark_ends_no_telegram() -> None:
    end = TEXT.rindex(b"!") + 1
    for text in (TEXT[:end] + b"\xc6EAA\r\n", TEXT[:end] + b"\xb1\r\n", TEXT[:end] + b"1234\x8d\n"):
        assert reasons(read(frame(text))) == ["malformed"]
        assert read(text) == []


def test_a_line_end_before_the_slash_is_skipped_whatever_verifies_the_frame() -> None:
    data = frame(b"\r\n" + TEXT)
    for keys in (ring(HOUSE_KEY), CRC_ONLY):
        assert [found.raw for found in telegrams(read(data, keys))] == [TEXT]
