"""The table of identities: what is proven once holds on every source, and nobody gains by claiming more."""

import pytest

from smarty_gateway.protocol.counters import FrameCounters
from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.identities import (
    Admission,
    Identities,
    identities_of,
    names_in_header,
    names_of_title,
)
from smarty_gateway.protocol.key_ring import KeyRing, Verification
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import Event, Security
from tests.support.streams import drain, meter_key, reasons, rejections, sample_keys, telegrams
from vectors.building_blocks import (
    BARN_KEY,
    BARN_TITLE,
    HOUSE_TITLE,
    belgium,
    frame,
    hex_text,
    luxembourg,
    telegram,
)

SERIAL = "SAG1030700012345"
ANY = KeyRing({}, [meter_key()])


def streams(keys: KeyRing | None = None, count: int = 2) -> list[MeterStream]:
    """Return streams of one process."""
    table = Identities()
    return [MeterStream(keys or sample_keys(), table, source=str(number)) for number in range(count)]


def at(stream: MeterStream, data: bytes, now: float = 0.0) -> list[Event]:
    """Return the events of data that arrives at this time."""
    stream.receive_data(data, now)
    return drain(stream)


def test_a_frame_that_another_source_brought_within_ten_minutes_is_dropped_without_a_word() -> None:
    one, two = streams()
    copy = frame(luxembourg(1), counter=7)
    assert len(at(one, copy, 0.0)) == 1
    assert at(two, copy, 599.0) == []


def test_a_duplicate_is_counted_for_its_meter() -> None:
    table, seen = Identities(), list[bytes]()
    one = MeterStream(sample_keys(), table, source="one")
    two = MeterStream(
        sample_keys(), table, source="two", on_duplicate=lambda found: seen.append(found.system_title)
    )
    copy = frame(luxembourg(1), counter=7)
    at(one, copy)
    at(two, copy)
    assert seen == [HOUSE_TITLE]


def test_behind_ten_minutes_the_same_frame_is_a_replay_on_another_source() -> None:
    one, two = streams()
    copy = frame(luxembourg(1), counter=7)
    at(one, copy, 0.0)
    assert [event.reason for event in rejections(at(two, copy, 601.0))] == ["replay"]


def test_on_its_own_source_the_same_frame_is_a_replay_at_once() -> None:
    one, _ = streams()
    copy = frame(luxembourg(1), counter=7)
    at(one, copy, 0.0)
    assert reasons(at(one, copy, 1.0)) == ["replay"]


def test_an_older_frame_that_was_never_accepted_is_a_replay_on_every_source() -> None:
    one, two = streams()
    at(one, frame(luxembourg(1), counter=7))
    assert reasons(at(two, frame(luxembourg(1), counter=6))) == ["replay"]


def test_another_frame_with_the_same_counter_is_a_replay_and_no_duplicate() -> None:
    one, two = streams()
    at(one, frame(luxembourg(1), counter=7))
    assert reasons(at(two, frame(luxembourg(2), counter=7))) == ["replay"]


def test_a_frame_whose_telegram_was_refused_is_no_duplicate_elsewhere() -> None:
    one, two = streams()
    spoilt = frame(luxembourg(1).replace(b"1234.567", b"1234.568"), counter=7)
    assert reasons(at(one, spoilt)) == ["checksum"]
    assert reasons(at(two, spoilt)) == ["replay"]


def test_two_bridges_of_one_meter_give_every_reading_once_and_no_rejection() -> None:
    one, two = streams()
    events: list[Event] = []
    for number in range(50):
        data, now = frame(luxembourg(number), counter=number), 10.0 * number
        first, second = (one, two) if number % 3 else (two, one)
        if number % 5:
            events += at(first, data, now)
        events += at(second, data, now + 1.0)
    assert [event.frame_counter for event in telegrams(events)] == list(range(50))
    assert len(events) == 50


FORGERIES = {
    "42.0.0": f"0-0:42.0.0({hex_text(SERIAL)})",
    "42.0.0 as text": f"0-0:42.0.0({SERIAL})",
    "96.1.1": f"0-0:96.1.1({hex_text(SERIAL)})",
    "96.1.1 as text": f"0-0:96.1.1({SERIAL})",
    "96.1.0": f"0-0:96.1.0({hex_text(SERIAL)})",
    "96.1.0 as text": f"0-0:96.1.0({SERIAL.lower()})",
    "the title": f"0-0:96.1.1({HOUSE_TITLE.hex()})",
    "behind an empty one": f"0-0:42.0.0()\r\n0-0:42.0.0({hex_text(SERIAL)})",
}


def forgery(name: str) -> bytes:
    """Return plaintext that says it comes from the house."""
    if name == "header":
        return telegram(SERIAL, "1-0:1.8.0(999999.000*kWh)")
    return telegram("FLU5\\253769484_A", FORGERIES[name], "1-0:1.8.0(999999.000*kWh)")


@pytest.mark.parametrize("name", [*FORGERIES, "header"])
def test_plaintext_under_any_identity_of_a_meter_with_a_key_is_refused(name: str) -> None:
    one, _ = streams()
    assert reasons(at(one, forgery(name))) == ["plaintext"]


@pytest.mark.parametrize("name", [*FORGERIES, "header"])
def test_plaintext_under_any_identity_of_a_meter_that_verified_is_refused_on_every_source(name: str) -> None:
    one, two = streams(ANY)
    assert len(telegrams(at(two, forgery(name)))) == 1
    at(one, frame(luxembourg(1), counter=7))
    for stream in (one, two):
        (refused,) = rejections(at(stream, forgery(name)))
        assert (refused.reason, refused.system_title) == ("plaintext", HOUSE_TITLE)


def test_what_verified_in_an_earlier_run_still_counts() -> None:
    table = Identities(FrameCounters({(HOUSE_TITLE, "f"): 7}), {"equipment7": HOUSE_TITLE})
    stream = MeterStream(KeyRing(), table)
    own = telegram("FLU5\\253769484_A", "0-0:96.1.1(EQUIPMENT7)", "1-0:1.8.0(999999.000*kWh)")
    assert reasons([*at(stream, own), *at(stream, forgery("42.0.0"))]) == ["plaintext"] * 2


def test_another_equipment_id_inside_a_verified_frame_belongs_to_that_meter() -> None:
    one, two = streams(ANY)
    text = telegram("Lux5\\253000001_D", "0-0:96.1.1(E77)", "1-0:1.8.0(000001.000*kWh)")
    at(one, frame(text, counter=7))
    assert reasons(at(two, text)) == ["plaintext"]


def test_plaintext_of_another_meter_is_believed() -> None:
    one, _ = streams()
    assert len(telegrams(at(one, belgium(1)))) == 1


def test_who_claims_the_identity_of_another_meter_goes_by_its_title_and_gains_nothing() -> None:
    one, two = streams()
    at(one, frame(telegram("Lux5\\1", "0-0:96.1.1(E77)", "1-0:1.8.0(1*kWh)"), counter=7))
    liar = frame(telegram("Lux5\\1", "0-0:96.1.1(E77)", "0-0:96.1.0(E78)"), key=BARN_KEY, title=BARN_TITLE)
    (found,) = telegrams(at(two, liar))
    assert (found.meter_id, found.security) == (BARN_TITLE.hex().upper(), Security.AUTHENTICATED)
    assert one.identities.owner_of("e78") is None


def test_a_serial_number_belongs_to_the_title_it_is_computed_from_even_before_that_one_spoke() -> None:
    one, _ = streams()
    (found,) = telegrams(at(one, frame(luxembourg(1), key=BARN_KEY, title=BARN_TITLE)))
    assert found.meter_id == BARN_TITLE.hex().upper()


def test_a_meter_can_have_a_few_identities_and_no_more() -> None:
    table = Identities()
    for number in range(1000):
        assert table.claim("house", ["own", f"other{number}"], "/a")
    assert len(table.owners()) == 8


def test_what_is_known_about_identities_is_taken_up_again() -> None:
    table = Identities(owners={"a": HOUSE_TITLE, "b": "barn"})
    assert table.owners() == {"a": HOUSE_TITLE, "b": "barn"}
    table.forget("barn")
    assert table.owner_of("b") is None


def test_the_memory_of_accepted_frames_is_bounded_and_keeps_the_newest() -> None:
    table = Identities()
    for number in range(3000):
        table.admit(_bare(number), "f", "0", 0.1 * number, is_good=True)
    assert table.admit(_bare(2999), "f", "1", 301.0, is_good=True) is Admission.DUPLICATE
    assert table.admit(_bare(0), "f", "1", 301.0, is_good=True) is Admission.REPLAY


def _bare(counter: int) -> Frame:
    return Frame(0, 100, HOUSE_TITLE, 0x30, counter, b"x", counter.to_bytes(12, "big"))


def test_every_line_with_an_identity_counts() -> None:
    stream = MeterStream(KeyRing())
    text = telegram(
        "FLU5\\1", "0-0:96.1.1(E1)", "0-0:96.1.1(E2)", "0-0:96.1.0.255(E3)", f"0-0:42.0.0({hex_text('E-4')})"
    )
    (found,) = telegrams(at(stream, text))
    assert set(identities_of(found.decoded)) == {"e1", "e2", "e3", "e4"}
    assert names_in_header("Lux5 SAG1030700012345") == ("lux5sag1030700012345", "sag1030700012345")


def test_a_frame_that_another_thread_accepts_at_this_moment_is_a_duplicate() -> None:
    class Racing(Identities):
        def is_duplicate(self, frame: Frame, source: str, now: float | None) -> bool:
            """Miss it once, as if the other frame were still being decrypted."""
            if not self._looked:
                self._looked = True
                return False
            return super().is_duplicate(frame, source, now)

        _looked = False

    table, seen = Racing(), list[bytes]()
    copy = frame(luxembourg(1), counter=7)
    at(MeterStream(sample_keys(), table, source="one"), copy)
    table._looked = False
    assert (
        at(
            MeterStream(
                sample_keys(), table, source="two", on_duplicate=lambda found: seen.append(found.system_title)
            ),
            copy,
        )
        == []
    )
    assert seen == [HOUSE_TITLE]


def test_plaintext_of_a_meter_that_the_user_calls_encrypted_is_refused_on_every_source() -> None:
    stream = MeterStream(KeyRing(), Identities(encrypted_ids=["1sag-1100000001"]))
    assert reasons(at(stream, belgium(1))) == ["plaintext"]


def test_it_is_known_when_a_meter_was_last_accepted() -> None:
    one, _ = streams()
    assert one.identities.last_accepted_at(HOUSE_TITLE) is None
    at(one, frame(luxembourg(1), counter=7), 12.0)
    assert one.identities.last_accepted_at(HOUSE_TITLE) == 12.0


def test_frames_of_more_than_ten_minutes_ago_are_forgotten() -> None:
    table = Identities()
    for number in range(100):
        table.admit(_bare(number), "f", "0", 10.0 * number, is_good=True)
    assert not table.is_duplicate(_bare(38), "1", 990.0)
    assert table.is_duplicate(_bare(39), "1", 990.0)


def test_a_frame_is_found_where_it_begins_and_nowhere_between() -> None:
    table = Identities()
    odd = Frame(0, 100, HOUSE_TITLE, 0x30, 0, b"x", b"\x01" + bytes(11))
    table.admit(odd, "f", "0", 0.0, is_good=True)
    assert not table.is_duplicate(_bare(0), "1", 0.0)
    table.admit(_bare(0), "other key", "0", 0.0, is_good=True)
    assert table.is_duplicate(_bare(0), "1", 0.0)


def test_a_title_stands_for_itself_and_its_serial_number() -> None:
    assert names_of_title(HOUSE_TITLE) == {"5341476770003039", "sag1030700012345"}
    assert names_of_title(b"12345678") == {b"12345678".hex()}


def test_a_meter_with_nothing_but_a_header_says_so() -> None:
    one, _ = streams(ANY)
    bare = telegram("EST5\\253710000_A", "1-0:1.8.0(000001.000*kWh)")
    (plain, encrypted) = telegrams([*at(one, bare), *at(one, frame(bare))])
    assert (plain.is_header_only, encrypted.is_header_only) == (True, False)


CRC_ONLY = KeyRing({}, [meter_key(verification=Verification.CRC_ONLY)])


@pytest.mark.parametrize(
    ("line", "meter_id"),
    [
        (f"0-0:42.0.0({hex_text(SERIAL)})", SERIAL),
        (f"0-0:42.0.0({hex_text('SAG1030700012352')})", HOUSE_TITLE.hex().upper()),
        ("0-0:96.1.1(E77)", "E77"),
        ("0-0:96.1.1(E78)", HOUSE_TITLE.hex().upper()),
    ],
)
def test_without_a_tag_a_frame_lends_no_identity_of_another_meter(line: str, meter_id: str) -> None:
    table = Identities(FrameCounters({(BARN_TITLE, "f"): 1}), {"e78": BARN_TITLE})
    stream = MeterStream(CRC_ONLY, table)
    text = telegram("Lux5\\1", "1-3:0.2.8(42)", line)
    (found,) = telegrams(at(stream, frame(text, authentication_key=bytes(16))))
    assert (found.meter_id, found.security) == (meter_id, Security.UNAUTHENTICATED)


def test_what_the_configuration_gives_to_a_meter_on_one_source_no_other_source_can_claim() -> None:
    table = Identities(reserved={"E-77": {"one"}})
    own = telegram("Lux5\\1", "1-3:0.2.8(42)", "0-0:96.1.1(E77)")
    (found,) = telegrams(at(MeterStream(ANY, table, source="two"), frame(own, counter=1)))
    assert found.has_foreign_identity
    (found,) = telegrams(at(MeterStream(ANY, table, source="one"), frame(own, counter=2)))
    assert not found.has_foreign_identity
    assert table.speaks_for(HOUSE_TITLE, "e77", is_authenticated=True)
    assert table.speaks_for(HOUSE_TITLE, SERIAL.casefold(), is_authenticated=True)
    assert not table.speaks_for(HOUSE_TITLE, "other", is_authenticated=True)
