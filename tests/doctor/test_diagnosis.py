"""Doctor concludes the right causes from bytes and times alone, without a port."""

import random

import pytest

from smarty_gateway.doctor.diagnosis import Diagnosis
from smarty_gateway.doctor.healthy_meter import country_of, missing_from, phases_of
from smarty_gateway.doctor.kinds import Code
from smarty_gateway.doctor.line_search import LINES_TO_TRY
from smarty_gateway.doctor.signal_faults import Kind, Signal, examine, parity_of
from smarty_gateway.protocol.decoder import DecodedTelegram, decode
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret
from smarty_gateway.protocol.telegram import parse_telegram
from smarty_gateway.sources.address import DSMR2_LINE, DSMR4_LINE
from smarty_gateway.sources.source import Cause, SourceLost
from tests.support.uart import at_other_speed, inverted, line, receive
from vectors.building_blocks import (
    HOUSE_KEY,
    HOUSE_TITLE,
    belgium,
    frame,
    luxembourg,
    luxembourg_of_2018,
    netherlands,
    with_parity,
)

KEYS = KeyRing({HOUSE_TITLE: [MeterKey(Secret(HOUSE_KEY))]})


def new_diagnosis(*, is_live: bool = False, is_serial: bool = False) -> Diagnosis:
    return Diagnosis("a port", KEYS, is_live=is_live, is_serial=is_serial)


def house(number: int) -> bytes:
    return frame(luxembourg(number * 10), counter=number)


def codes(diagnosis: Diagnosis) -> list[Code]:
    return [finding.code for finding in diagnosis.findings()]


def kind_of(signal: Signal | None) -> Kind | None:
    return None if signal is None else signal.kind


def readings_of(text: bytes) -> DecodedTelegram:
    telegram = parse_telegram(text)
    assert telegram is not None
    return decode(telegram)


# Polarity


@pytest.mark.parametrize("waits_for_fall", [True, False])
@pytest.mark.parametrize("text", [luxembourg(1), belgium(1), netherlands(1)])
def test_the_inverted_text_of_a_telegram_is_recognised(text: bytes, waits_for_fall: bool) -> None:  # noqa: FBT001
    data = receive(inverted(line(text)), waits_for_fall=waits_for_fall)
    assert kind_of(examine(data)) is Kind.INVERTED


@pytest.mark.parametrize("waits_for_fall", [True, False])
def test_an_inverted_encrypted_frame_is_recognised(waits_for_fall: bool) -> None:  # noqa: FBT001
    data = receive(inverted(line(house(1))), waits_for_fall=waits_for_fall)
    assert kind_of(examine(data)) is Kind.INVERTED


def test_a_receiver_that_waits_settles_on_the_inverted_stop_bit() -> None:
    text = luxembourg(1)
    data = receive(inverted(line(text)))
    assert data[100:-1] == bytes(~(byte << 1) & 0xFF for byte in text)[101:]


@pytest.mark.parametrize("pause", [0, 1, 2])
@pytest.mark.parametrize("maker", ["SAG", "LGZ", "ISK", "KFM", "ITR", "ELS", "KAM", "EST"])
def test_the_inverted_beginning_of_a_frame_is_recognised_for_every_maker(maker: str, pause: int) -> None:
    start = b"\xdb\x08" + maker.encode() + HOUSE_TITLE[3:]
    assert kind_of(examine(receive(inverted(line(start, pause=pause))))) is Kind.INVERTED


def test_a_stream_of_complements_is_recognised() -> None:
    assert kind_of(examine(bytes(byte ^ 0xFF for byte in house(1)))) is Kind.INVERTED


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_not_classified(seed: int) -> None:
    assert examine(random.Random(seed).randbytes(20000)) is None


def test_good_telegrams_and_frames_are_not_classified() -> None:
    assert examine(luxembourg(1) * 5) is None
    assert examine(house(1) * 5) is None


# Line settings


@pytest.mark.parametrize("speed", [300, 2400, 9600])
def test_a_sender_that_is_much_slower_is_recognised(speed: int) -> None:
    text = with_parity(netherlands(1))[:200]
    data = receive(at_other_speed(line(text), 115200 / speed), waits_for_fall=False)
    assert kind_of(examine(data)) is Kind.LINE_SETTINGS


def test_parity_bits_are_recognised_also_in_damaged_text() -> None:
    text = bytearray(with_parity(netherlands(1)))
    for at in range(0, len(text), 100):
        text[at] ^= 0x04
    found = parity_of(bytes(text))
    assert found is not None
    assert found.framing == "7E1"


def test_odd_parity_is_told_from_even() -> None:
    found = parity_of(bytes(byte ^ 0x80 for byte in with_parity(netherlands(1))))
    assert found is not None
    assert found.framing == "7O1"


def test_garbage_on_a_serial_port_makes_it_try_other_settings() -> None:
    diagnosis = new_diagnosis(is_live=True, is_serial=True)
    diagnosis.begin_listening(0.0)
    diagnosis.receive(random.Random(1).randbytes(600), 5.0)
    assert diagnosis.next_line(5.1) is None
    assert diagnosis.next_line(6.0) == DSMR2_LINE


def test_all_settings_are_tried_and_then_the_usual_ones_again() -> None:
    diagnosis = new_diagnosis(is_live=True, is_serial=True)
    tried = [DSMR4_LINE]
    for number in range(len(LINES_TO_TRY)):
        diagnosis.begin_listening(number * 10.0)
        diagnosis.receive(random.Random(number).randbytes(600), number * 10.0 + 5)
        found = diagnosis.next_line(number * 10.0 + 6)
        assert found is not None
        tried.append(found)
    assert tried == [*LINES_TO_TRY, DSMR4_LINE]


def test_what_ends_with_a_change_of_settings_is_shown() -> None:
    diagnosis = new_diagnosis(is_live=True, is_serial=True)
    diagnosis.begin_listening(0.0)
    unfinished = b"\xdb\x08" + bytes(range(0xA0, 0xA8)) + b"\x82\x01\x00\x30"
    assert list(diagnosis.receive(unfinished + random.Random(1).randbytes(100), 5.0)) == []
    assert diagnosis.next_line(6.0) is not None
    assert [str(event).split()[1] for event in diagnosis.take_new_events()] == ["malformed"]
    assert list(diagnosis.take_new_events()) == []


def test_the_rest_of_a_telegram_that_began_before_changes_no_settings() -> None:
    diagnosis = new_diagnosis(is_live=True, is_serial=True)
    diagnosis.begin_listening(0.0)
    diagnosis.receive(house(1)[300:], 0.05)
    assert diagnosis.next_line(5.0) is None


@pytest.mark.parametrize(
    "harmed", [house(1)[:512], house(1)[:700] + house(1)[701:], b"\x80" * 99 + belgium(1)[:40]]
)
def test_the_beginning_of_a_telegram_shows_that_the_settings_are_right(harmed: bytes) -> None:
    diagnosis = new_diagnosis(is_live=True, is_serial=True)
    diagnosis.begin_listening(0.0)
    diagnosis.receive(harmed, 5.0)
    assert diagnosis.next_line(6.0) is None
    diagnosis.receive(b"", 8.0)
    assert diagnosis.next_line(8.0) is None


def test_settings_that_gave_a_telegram_are_kept() -> None:
    diagnosis = new_diagnosis(is_live=True, is_serial=True)
    diagnosis.begin_listening(0.0)
    diagnosis.receive(house(1), 5.0)
    diagnosis.receive(random.Random(1).randbytes(600), 15.0)
    assert diagnosis.next_line(16.0) is None


def test_an_inverted_signal_is_no_reason_to_change_the_speed() -> None:
    diagnosis = new_diagnosis(is_live=True, is_serial=True)
    diagnosis.begin_listening(0.0)
    diagnosis.receive(receive(inverted(line(luxembourg(1)))), 5.0)
    assert diagnosis.next_line(6.0) is None


# Damage


def test_a_lost_byte_is_told_from_a_bit_error() -> None:
    diagnosis = new_diagnosis()
    damaged = bytearray(house(2))
    damaged[700] ^= 1
    short = house(4)[:900] + house(4)[901:]
    diagnosis.receive(house(1) + damaged + house(3) + short + house(5))
    diagnosis.finish()
    text = next(found.text for found in diagnosis.findings() if found.code is Code.DAMAGED)
    assert "1 with bit errors" in text
    assert "1 with lost bytes" in text


@pytest.mark.parametrize("at", range(2, 13))
def test_a_damaged_header_counts_as_one_damaged_telegram(at: int) -> None:
    damaged = bytearray(house(2))
    damaged[at] ^= 0x10
    diagnosis = new_diagnosis()
    diagnosis.receive(house(1) + damaged + house(3))
    diagnosis.finish()
    assert codes(diagnosis) == [Code.HEALTHY, Code.DAMAGED]
    assert diagnosis.findings()[1].text.startswith("1 telegram arrived damaged: 1 with bit errors")


def test_a_recording_that_begins_and_ends_within_a_telegram_is_not_called_damaged() -> None:
    diagnosis = new_diagnosis()
    diagnosis.receive(house(1)[500:] + house(2) + house(3) + house(4)[:500])
    diagnosis.finish()
    assert codes(diagnosis) == [Code.HEALTHY]


def test_listening_that_ends_within_a_telegram_is_not_called_damaged() -> None:
    diagnosis = new_diagnosis(is_live=True)
    diagnosis.begin_listening(0.0)
    diagnosis.receive(house(1), 1.0)
    diagnosis.receive(house(2)[:500], 11.0)
    diagnosis.finish(11.5, at_end=False)
    assert codes(diagnosis) == [Code.HEALTHY]


def test_the_events_do_not_depend_on_chunks() -> None:
    data = house(1) + house(2)[:700] + house(3) + belgium(1) + house(3)
    whole = new_diagnosis()
    whole.receive(data)
    whole.finish()
    single = new_diagnosis()
    for at in range(len(data)):
        single.receive(data[at : at + 1])
    single.finish()
    assert whole.findings() == single.findings()


# Order, ends, and the port


def test_the_larger_number_comes_first() -> None:
    diagnosis = new_diagnosis()
    wrong = [frame(luxembourg(n), counter=n, key=bytes(16), title=bytes(8)) for n in range(5)]
    diagnosis.receive(b"".join([house(1), *wrong]))
    diagnosis.finish()
    assert codes(diagnosis) == [Code.OTHER_METER, Code.HEALTHY]


def test_all_is_clear_with_two_telegrams() -> None:
    diagnosis = new_diagnosis()
    diagnosis.receive(house(1))
    assert not diagnosis.is_clear
    diagnosis.receive(house(2))
    assert diagnosis.is_clear


def test_nothing_is_clear_where_something_was_refused() -> None:
    diagnosis = new_diagnosis()
    diagnosis.receive(house(1) + house(2) + house(2))
    assert not diagnosis.is_clear


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (Cause.AWAY, Code.MISSING),
        (Cause.BUSY, Code.BUSY),
        (Cause.PERMISSION, Code.PERMISSION),
        (Cause.UNFIT, Code.UNFIT),
    ],
)
def test_each_cause_of_a_port_that_does_not_open_has_a_code(cause: Cause, code: Code) -> None:
    diagnosis = new_diagnosis(is_live=True, is_serial=True)
    diagnosis.note_lost(SourceLost("a message", cause), while_listening=False)
    assert codes(diagnosis) == [code]


# A sound meter


def test_the_country_is_told_from_the_telegram() -> None:
    countries = [country_of(readings_of(text)) for text in (luxembourg(1), belgium(1), netherlands(1))]
    assert countries == ["Luxembourg", "Belgium", "the Netherlands"]


def test_the_phases_are_counted() -> None:
    assert [phases_of(readings_of(text)) for text in (luxembourg(1), belgium(1))] == [3, 1]


def test_what_an_old_meter_does_not_send_is_named() -> None:
    assert missing_from(readings_of(luxembourg_of_2018(1))) == ["voltage", "power_per_phase", "gas"]


def test_a_period_is_not_taken_over_a_telegram_that_is_missing() -> None:
    diagnosis = new_diagnosis()
    damaged = bytearray(house(2))
    damaged[700] ^= 1
    diagnosis.receive(house(1) + damaged + house(3))
    diagnosis.finish()
    assert diagnosis.summary()["meters"][0]["period_seconds"] is None
