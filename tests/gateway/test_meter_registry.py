"""Under which name a telegram goes out: a source can spoil its own readings and nobody else's."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from smarty_gateway.config.values import MeterConfig
from smarty_gateway.gateway.meter_registry import MeterRegistry
from smarty_gateway.gateway.name_claims import holder_warnings
from smarty_gateway.protocol.identities import Identities, Owner
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.sources.address import Address, Kind
from smarty_gateway.state.store_rows import Holder, UnnamedMeter
from tests.support.streams import meter_key
from vectors.building_blocks import HOUSE_TITLE, belgium, frame, hex_text, luxembourg, telegram

ANY = KeyRing({}, [meter_key()])
B_TITLE = bytes.fromhex("5341476770003040")
#: Serial number of the second encrypted meter.
B_SERIAL = "SAG1030700012352"


def source(text: str) -> Address:
    return Address(Kind.SERIAL, text, path=Path(text))


class Place:
    """A registry with its core, and what it says."""

    def __init__(
        self,
        *entries: MeterConfig,
        holders: dict[str, Holder] | None = None,
        unnamed: Sequence[UnnamedMeter] = (),
        owners: Mapping[str, Owner] | None = None,
    ) -> None:
        self.said: list[str] = []
        self.object_ids: set[str] = set()
        self.identities = Identities(
            owners=owners,
            reserved={e.id: {source.text for source in e.sources} for e in entries if e.id is not None},
        )
        self.registry = MeterRegistry(
            entries, self.identities, self.said.append, holders=holders, unnamed=unnamed
        )
        self._counter = 0

    def hear(self, data: bytes, where: str, now: float, *, is_live: bool = True) -> str | None:
        """Return the name under which a telegram goes out."""
        stream = MeterStream(ANY, self.identities, source=where)
        stream.receive_data(data, now)
        event = stream.next_event()
        assert isinstance(event, MeterTelegram), event
        found = self.registry.place(event, where, now, is_live=is_live)
        if found is not None:
            self.object_ids.add(found.object_id)
        return None if found is None else found.name

    def frame(self, where: str, now: float, title: bytes = HOUSE_TITLE, name: str = "") -> str | None:
        """Return the name under which the next frame of an encrypted meter goes out."""
        self._counter += 1
        serial = name or {HOUSE_TITLE: "SAG1030700012345", B_TITLE: B_SERIAL}[title]
        return self.hear(frame(luxembourg(1, name=serial), title=title, counter=self._counter), where, now)

    def says(self, words: str) -> int:
        """Count the lines with these words."""
        return sum(words in line for line in self.said)


def entry(name: str | None, *sources: str, meter_id: str | None = None, unnamed: int = 50) -> MeterConfig:
    return MeterConfig(tuple(map(source, sources)), name, meter_id, unnamed=unnamed)


def meter(identity: str) -> bytes:
    return telegram("FLU5\\1", f"0-0:96.1.1({identity})", "1-0:1.8.0(000001.000*kWh)")


def test_the_first_meter_on_the_source_of_a_named_entry_has_the_name() -> None:
    place = Place(entry("house", "/a"))
    assert place.hear(belgium(1), "/a", 0) == "house"
    assert place.said == []


def test_the_identity_of_a_configured_meter_is_dropped_and_counted_on_another_source() -> None:
    place = Place(entry("house", "/a"), entry("barn", "/b"))
    place.hear(meter("A1"), "/a", 0)
    for now in range(1, 5):
        assert place.hear(meter("A1"), "/b", now) is None
    assert place.hear(meter("A1"), "/b", 10_000) is None
    assert place.registry.health()["house"].elsewhere == 5
    assert place.says("ignoring A1 on this source") == 1


@pytest.mark.parametrize("line", ["0-0:96.1.0(A1)", "0-0:96.1.1(A-1)", "0-0:96.1.1(a1)"])
def test_it_is_dropped_however_it_is_written(line: str) -> None:
    place = Place(entry("house", "/a"), entry(None, "/b"))
    place.hear(meter("A1"), "/a", 0)
    assert place.hear(telegram("FLU5\\1", line), "/b", 1) is None


def test_it_stays_with_the_source_over_a_restart_and_when_the_other_one_speaks_first() -> None:
    before = Place(entry("house", "/a"))
    before.hear(meter("A1"), "/a", 0)
    place = Place(entry("house", "/a"), entry(None, "/b"), holders=before.registry.holders())
    assert place.hear(meter("A1"), "/b", 0) is None
    assert place.hear(meter("A1"), "/a", 1) == "house"


def test_an_authenticated_meter_counts_under_its_name_on_any_source() -> None:
    place = Place(entry("house", "/a"), entry("barn", "/b"))
    assert place.frame("/a", 0) == "house"
    assert place.frame("/b", 1) == "house"


def test_one_meter_over_two_bridges_is_read_once_and_the_other_takes_over() -> None:
    place = Place(entry("barn", "/a", "/b"))
    heard = [place.hear(belgium(now), where, now) for now in range(20) for where in ("/a", "/b")]
    assert heard == ["barn", None] * 20
    assert [place.hear(belgium(40), "/b", now) for now in (40, 50)] == [None, "barn"]
    assert place.hear(belgium(51), "/a", 51) is None
    health = place.registry.health()["barn"]
    assert (health.telegrams, health.duplicates, health.elsewhere) == (21, 22, 0)


def test_a_meter_without_an_entry_moves_when_its_source_has_been_silent() -> None:
    place = Place(entry(None, "/a"), entry(None, "/b"))
    assert place.hear(meter("X"), "/a", 0) == "X"
    assert place.hear(meter("X"), "/b", 29) is None
    assert place.hear(meter("X"), "/b", 30) == "X"
    assert place.hear(meter("X"), "/a", 31) is None


def test_an_authenticated_meter_without_an_entry_moves_at_once() -> None:
    place = Place(entry(None, "/a"), entry(None, "/b"))
    assert place.frame("/a", 0) == place.frame("/b", 1) == "SAG1030700012345"


# A second meter on the source of a named one


def test_an_authenticated_meter_takes_the_name_from_a_plaintext_one_at_once() -> None:
    place = Place(entry("house", "/a"))
    place.hear(meter("LIAR"), "/a", 0)
    assert place.frame("/a", 1) == "house"
    assert place.says("house is now meter SAG1030700012345") == 1
    assert place.hear(meter("LIAR"), "/a", 2) is None


def test_a_new_meter_takes_the_name_when_the_old_one_was_silent_for_two_minutes() -> None:
    place = Place(entry("house", "/a"))
    place.hear(meter("OLD"), "/a", 0)
    heard = [place.hear(meter("NEW"), "/a", 10 + now) for now in range(0, 131, 10)]
    assert heard == [None] * 12 + ["house"] * 2
    assert place.says("house is now meter NEW (was OLD)") == 1
    assert place.hear(meter("OLD"), "/a", 150) is None


def test_a_meter_that_speaks_beside_the_named_one_goes_out_under_its_own_id() -> None:
    place = Place(entry("house", "/a"))
    heard = []
    for now in range(0, 200, 10):
        assert place.hear(meter("ONE"), "/a", now) == "house"
        heard.append(place.hear(meter("TWO"), "/a", now + 1))
    assert heard == [None] * 12 + ["TWO"] * 8
    assert place.says("brings two meters, house and TWO: give each an entry with its `id`") == 1
    assert place.registry.holders()["house"].second == "id two"


def test_in_the_home_assistant_app_two_meters_on_a_source_lead_to_its_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUPERVISOR_TOKEN", "a token")
    place = Place(entry("house", "/a"))
    for now in range(0, 200, 10):
        place.hear(meter("ONE"), "/a", now)
        place.hear(meter("TWO"), "/a", now + 1)
    (words,) = holder_warnings([entry("house", "/a")], place.registry.holders())
    assert "give each an entry with its `id` in the app's Configuration tab" in words
    assert "smarty-gateway" not in words


def test_a_meter_that_was_heard_beside_the_named_one_never_takes_its_name() -> None:
    place = Place(entry("house", "/a"))
    place.hear(meter("TWO"), "/a", 0)
    place = Place(entry("house", "/a"), holders={"house": Holder("id one", is_authenticated=False)})
    place.hear(meter("TWO"), "/a", 0)
    place.hear(meter("ONE"), "/a", 60)
    heard = [place.hear(meter("TWO"), "/a", now) for now in (119, 120, 100_000)]
    assert heard == [None, "TWO", "TWO"]


def test_a_slow_meter_is_waited_for_three_of_its_periods() -> None:
    place = Place(entry("house", "/a"))
    for now in range(0, 1000, 100):
        place.hear(meter("SLOW"), "/a", now)
    assert place.hear(meter("NEW"), "/a", 901) is None
    assert place.hear(meter("NEW"), "/a", 1200) is None
    assert place.hear(meter("NEW"), "/a", 1201) == "house"


def test_the_name_of_an_authenticated_meter_is_taken_over_by_such_a_one_only() -> None:
    place = Place(entry("house", "/a"))
    place.frame("/a", 0)
    heard = [place.hear(meter("LIAR"), "/a", now) for now in (10, 130, 100_000)]
    assert heard == [None, "LIAR", "LIAR"]
    assert [place.frame("/a", now, B_TITLE) for now in (200_000, 200_121)] == [None, "house"]


def test_that_holds_over_a_restart() -> None:
    held = {"house": Holder(HOUSE_TITLE.hex(), is_authenticated=True)}
    place = Place(entry("house", "/a"), holders=held)
    assert [place.hear(meter("LIAR"), "/a", now) for now in (0, 121)] == [None, "LIAR"]


def test_a_meter_that_sent_beside_the_named_one_never_takes_its_name_after_a_restart() -> None:
    held = {"house": Holder("id one", is_authenticated=False, second="id two")}
    place = Place(entry("house", "/a"), holders=held)
    assert [place.hear(meter("TWO"), "/a", now) for now in (0, 121, 1000)] == ["TWO"] * 3
    assert place.hear(meter("ONE"), "/a", 1001) == "house"


def test_a_meter_under_its_own_id_is_not_held_back_when_the_name_changes_hands() -> None:
    place = Place(entry("house", "/a"))
    for now in range(0, 130, 10):
        place.hear(meter("ONE"), "/a", now)
        place.hear(meter("TWO"), "/a", now)
    heard = [place.hear(meter(name), "/a", 200 + now) for now in range(0, 131, 10) for name in ("NEW", "TWO")]
    assert heard[-4:] == ["house", "TWO"] * 2
    assert heard[1::2] == ["TWO"] * 14
    assert place.registry.holders()["house"].second == "id two"


def test_no_meter_under_its_own_id_is_held_back_after_a_restart() -> None:
    place = Place(entry("house", "/a"))
    names = ("ONE", "TWO", "THREE", "FOUR")
    for now in range(0, 130, 10):
        for name in names:
            place.hear(meter(name), "/a", now)
    registry = place.registry
    place = Place(entry("house", "/a"), holders=registry.holders(), unnamed=registry.unnamed())
    assert [place.hear(meter(name), "/a", 0) for name in names] == ["house", *names[1:]]
    assert [place.hear(meter(name), "/a", 1000) for name in names[1:]] == list(names[1:])


def test_plaintext_in_the_name_of_a_new_meter_does_not_keep_it_from_the_name() -> None:
    place = Place(entry("house", "/a"))
    for now in range(0, 200, 10):
        place.frame("/a", now)
        place.hear(meter(B_SERIAL), "/a", now)
    assert place.registry.holders()["house"].second is not None
    assert [place.frame("/a", now, B_TITLE) for now in (200, 321)] == [None, "house"]


def test_a_meter_that_the_id_of_its_entry_names_no_more_loses_the_name_at_once() -> None:
    place = Place(entry("house", "/a"))
    place.hear(meter("X"), "/a", 0)
    holders, owners = place.registry.holders(), place.identities.owners()
    place = Place(entry("house", "/a", meter_id="Y"), holders=holders, owners=owners)
    assert place.hear(meter("X"), "/a", 0) == "X"
    assert place.hear(meter("Y"), "/a", 1) == "house"


def test_an_encrypted_meter_that_the_id_of_its_entry_names_no_more_loses_the_name_at_once() -> None:
    held = {"house": Holder(HOUSE_TITLE.hex(), is_authenticated=True)}
    place = Place(entry("house", "/a", meter_id=B_SERIAL), holders=held)
    assert place.frame("/a", 0) == "SAG1030700012345"
    assert place.frame("/a", 1, B_TITLE) == "house"


@pytest.mark.parametrize("meter_id", ["SAG1030700012345", HOUSE_TITLE.hex(), "E42"])
def test_an_entry_that_names_its_holder_by_an_id_from_now_on_keeps_it(meter_id: str) -> None:
    held = {"house": Holder(HOUSE_TITLE.hex(), is_authenticated=True)}
    place = Place(entry("house", "/a", meter_id=meter_id), holders=held, owners={"e42": HOUSE_TITLE})
    assert place.frame("/a", 0) == "house"
    assert place.said == []


def test_two_entries_with_one_id_do_not_take_turns_in_the_log() -> None:
    serial = "SAG1030700012345"
    place = Place(entry("house", "/a", meter_id=serial), entry("barn", "/b", meter_id=serial))
    heard = [place.frame(where, now, name="E42") for now, where in enumerate(["/a", "/b"] * 10)]
    assert heard == ["house", "barn"] * 10
    assert not place.says("is now meter")


def test_a_damaged_key_in_the_state_file_keeps_no_meter_from_its_own_id() -> None:
    damaged = UnnamedMeter("00" * 8, B_SERIAL, "/a", is_authenticated=True, heard=0.0)
    place = Place(entry(None, "/a"), unnamed=[damaged])
    assert place.hear(meter(B_SERIAL), "/a", 0) is None
    assert place.frame("/a", 1, B_TITLE) == B_SERIAL


def test_a_damaged_name_in_the_state_file_stops_no_takeover() -> None:
    held = {"house": Holder("z" * 16, is_authenticated=False, second="y" * 16)}
    place = Place(entry("house", "/a"), holders=held)
    assert [place.hear(meter("NEW"), "/a", now) for now in (0, 121)] == [None, "house"]
    assert holder_warnings([entry("house", "/a")], held)


class NameModel:
    """Who has the name of an entry without `id`, in the plainest words that say it."""

    def __init__(self) -> None:
        self.holder = ""
        self.own: set[str] = set()
        self.restart()

    def restart(self) -> None:
        """Forget what is not stored."""
        self.heard: list[tuple[str, float]] = []  # since the start, or since the holder has the name
        self.accepted: list[float] = []  # of the holder, since the start

    def hear(self, name: str, now: float) -> str | None:
        """Return the name under which the next telegram of a meter goes out."""
        self.heard.append((name, now))
        encrypts, holder_encrypts = name.startswith("SAG"), self.holder.startswith("SAG")
        if not self.holder or (encrypts and not holder_encrypts):
            return self.take(name, now)
        if name == self.holder:
            self.accepted.append(now)
            return "house"
        if name in self.own:
            return name
        first = next(at for heard, at in self.heard if heard == name)
        intervals = [later - at for at, later in zip(self.accepted, self.accepted[1:], strict=False)]
        if now - first < max(120, 3 * statistics.median(intervals[-10:] or [0])):
            return None
        was_silent = all(at < first for heard, at in self.heard if heard == self.holder)
        if was_silent and (encrypts or not holder_encrypts):
            return self.take(name, now)
        self.own.add(name)
        return name

    def take(self, name: str, now: float) -> str:
        """Make a meter the holder."""
        self.holder = name
        self.own.discard(name)
        self.heard = []
        self.accepted.append(now)
        return "house"


@pytest.mark.parametrize("seed", range(40))
def test_the_name_goes_where_the_plainest_rule_lets_it_go(seed: int) -> None:
    chance = random.Random(seed)
    place, model, now = Place(entry("house", "/a")), NameModel(), 0.0
    names = ["ONE", "TWO", "THREE", "SAG1030700012345", B_SERIAL]
    titles = dict(zip(names[3:], (HOUSE_TITLE, B_TITLE), strict=True))
    sending = names[:1]
    for _ in range(300):
        if chance.random() < 0.05:
            sending = chance.sample(names[: chance.choice([3, 5])], chance.choice([1, 1, 2, 3]))
        if chance.random() < 0.02:
            before = place
            place = Place(
                entry("house", "/a"),
                holders=before.registry.holders(),
                unnamed=before.registry.unnamed(),
                owners=before.identities.owners(),
            )
            place._counter = before._counter
            model.restart()
        now += chance.choice([1, 1, 10, 10, 10, 59, 60, 61, 200])
        name = chance.choice(sending)
        got = place.frame("/a", now, titles[name]) if name in titles else place.hear(meter(name), "/a", now)
        assert got == model.hear(name, now), (now, name)


def test_a_replacement_goes_on_waiting_after_a_restart() -> None:
    place = Place(entry("house", "/a"))
    place.hear(meter("OLD"), "/a", 0)
    assert place.hear(meter("NEW"), "/a", 60) is None
    after = Place(entry("house", "/a"), holders=place.registry.holders())
    assert [after.hear(meter("NEW"), "/a", now) for now in (0, 119, 120)] == [None, None, "house"]
    assert after.says("house is now meter NEW (was OLD)") == 1


def test_the_old_frames_of_a_meter_that_was_replaced_are_not_those_of_the_new_one() -> None:
    place = Place(entry("house", "/a"))
    place.frame("/a", 0)
    assert [place.frame("/a", now, B_TITLE) for now in (10, 130)] == [None, "house"]
    assert place.registry.place_of_title(HOUSE_TITLE) == ("", "")
    assert place.registry.place_of_title(B_TITLE) == ("house", "/a")


def test_fifty_invented_meters_keep_no_authenticated_one_from_the_name() -> None:
    place = Place(entry("house", "/a", unnamed=0))
    place.frame("/a", 0)
    for number in range(100):
        place.hear(meter(f"M{number}"), "/a", 1)
    assert [place.frame("/a", now, B_TITLE) for now in (2, 122)] == [None, "house"]


def test_another_id_in_the_configuration_gives_the_name_to_another_meter_at_once() -> None:
    before = Place(entry("house", "/a", meter_id="OLD"))
    before.hear(meter("OLD"), "/a", 0)
    place = Place(entry("house", "/a", meter_id="NEW"), holders=before.registry.holders())
    assert place.hear(meter("NEW"), "/a", 0) == "house"
    assert place.says("house is now meter NEW (was OLD)") == 1
    assert place.object_ids == {"NEW"}
    assert place.hear(meter("OLD"), "/a", 1) == "OLD"


def test_a_meter_with_an_id_keeps_its_name_whichever_of_its_identities_it_sends() -> None:
    place = Place(entry("house", "/a", meter_id="A2"))
    both = telegram("FLU5\\1", "0-0:96.1.1(A1)", "0-0:96.1.0(A2)")
    assert [place.hear(data, "/a", 0) for data in (both, meter("A2"), meter("A1"), both)] == ["house"] * 4
    assert not place.said


def test_in_a_recording_nobody_is_held_back() -> None:
    place = Place(entry("house", "/a.bin"))
    place.hear(meter("ONE"), "/a.bin", 0, is_live=False)
    assert place.hear(meter("TWO"), "/a.bin", 0, is_live=False) == "TWO"


def test_an_id_leads_to_its_entry_in_every_way_of_writing_it() -> None:
    for written in ("SAG1030700012345", "sag1030700012345", HOUSE_TITLE.hex(), HOUSE_TITLE.hex().upper()):
        place = Place(entry("house", "/a", meter_id=written), entry("barn", "/a", meter_id="A1"))
        assert place.frame("/a", 0) == "house"
        assert place.hear(meter("A1"), "/a", 1) == "barn"
        assert place.hear(meter("A2"), "/a", 2) == "A2"


# Bounds


def test_a_source_brings_no_more_unnamed_meters_than_its_entry_allows() -> None:
    place = Place(entry("house", "/a", meter_id="H"), entry(None, "/b", unnamed=3))
    heard = [place.hear(meter(f"M{number}"), "/b", number) for number in range(1000)]
    assert heard == ["M0", "M1", "M2"] + [None] * 997
    assert place.hear(meter("H"), "/a", 1000) == "house"
    assert len(place.registry.health()) == 4
    place.registry.tick(4000)
    assert place.says("997 telegrams of too many unconfigured meters") == 1
    assert len(place.said) < 10


def test_authenticated_meters_are_not_counted_among_them() -> None:
    place = Place(entry(None, "/a", unnamed=0))
    assert place.frame("/a", 0) == "SAG1030700012345"
    assert place.hear(meter("X"), "/a", 1) is None


def test_five_unnamed_meters_are_named_in_the_log_and_the_rest_is_counted_hourly() -> None:
    place = Place(entry("house", "/a", meter_id="H"))
    for number in range(20):
        place.hear(meter(f"M{number}"), "/a", number)
    assert place.says("unconfigured meter") == 5
    place.registry.tick(4000)
    assert place.says("15 more unconfigured meters in the last hour") == 1


def test_an_unnamed_meter_that_is_silent_for_a_day_makes_room() -> None:
    place = Place(entry(None, "/a", unnamed=1))
    place.hear(meter("X"), "/a", 0)
    assert place.hear(meter("Y"), "/a", 1) is None
    assert place.registry.tick(86_399) == []
    assert place.registry.tick(86_400) == ["X"]
    assert place.hear(meter("Y"), "/a", 86_401) == "Y"


def test_unnamed_meters_go_on_after_a_restart_and_are_forgotten_after_a_day_of_silence() -> None:
    place = Place(entry(None, "/a", unnamed=1))
    place.hear(meter("X"), "/a", 0)
    (row,) = place.registry.unnamed()
    after = Place(entry(None, "/a", unnamed=1), unnamed=[replace(row, heard=-80_000.0)])
    assert after.hear(meter("Y"), "/a", 1) is None
    assert after.registry.tick(6_399) == []
    assert after.registry.tick(6_400) == ["X"]
    assert after.hear(meter("Y"), "/a", 6_401) == "Y"


def test_an_unnamed_meter_stays_with_its_source_in_the_first_moments_after_a_restart() -> None:
    place = Place(entry(None, "/a"), entry("guest", "/b"))
    place.hear(meter("X"), "/a", 0)
    after = Place(entry(None, "/a"), entry("guest", "/b"), unnamed=place.registry.unnamed())
    assert after.hear(meter("X"), "/b", 29) is None
    assert after.hear(meter("X"), "/a", 29) == "X"
    assert after.registry.tick(30) == []


@pytest.mark.parametrize(
    "entries",
    [[entry(None, "/b")], [entry(None, "/a", unnamed=0)], [entry("X", "/a")]],
    ids=["its source is gone", "none is allowed", "an entry has its name"],
)
def test_an_unnamed_meter_that_would_have_no_place_now_does_not_go_on(entries: list[MeterConfig]) -> None:
    place = Place(entry(None, "/a"))
    place.hear(meter("X"), "/a", 0)
    assert Place(*entries, unnamed=place.registry.unnamed()).registry.unnamed() == []


def test_an_unnamed_meter_that_gets_a_name_in_a_later_run_is_forgotten_under_its_own() -> None:
    place = Place(entry(None, "/a"))
    assert place.frame("/a", 0) == "SAG1030700012345"
    after = Place(entry("meter", "/a"), unnamed=place.registry.unnamed())
    assert after.frame("/a", 1) == "meter"
    assert after.registry.tick(2) == ["SAG1030700012345"]
    assert after.registry.unnamed() == []


def test_held_back_meters_are_bounded_too() -> None:
    place = Place(entry("house", "/a", unnamed=2))
    for now in range(500):
        place.hear(meter("ONE"), "/a", now)
        place.hear(meter(f"M{now}"), "/a", now)
    assert len(place.registry.health()) <= 3
    assert len(place.said) <= 21


def test_control_characters_of_a_meter_reach_no_log_line() -> None:
    place = Place(entry("house", "/a", meter_id="H"))
    place.hear(meter("M\x1b[2J\x9b"), "/a", 0)
    assert place.said
    assert all(line.isprintable() for line in place.said)


# Names


def test_a_meter_whose_name_would_be_that_of_another_is_refused() -> None:
    place = Place(entry("my house", "/a"), entry(None, "/b"))
    place.hear(meter("A1"), "/a", 0)
    for number, identity in enumerate(("my_house", "MY HOUSE", "my/house", "status", "Health")):
        assert place.hear(meter(identity), "/b", number) is None
    assert place.says("another meter has its name") == 5


def test_of_two_meters_with_one_discovery_id_the_configured_one_wins() -> None:
    place = Place(entry("house", "/a"), entry(None, "/b"))
    assert place.hear(meter("A\xe91"), "/b", 0) == "A\xe91"
    assert place.hear(meter("A_1"), "/a", 2) == "house"
    assert place.hear(meter("A\xe91"), "/b", 3) is None
    assert place.registry.tick(4) == ["A\xe91"]


def test_an_unnamed_meter_never_takes_the_discovery_id_of_another() -> None:
    place = Place(entry(None, "/a"), entry(None, "/b"))
    bare = telegram("KFM5KAIFA-METER", "1-0:1.8.0(000001.000*kWh)")
    assert place.hear(bare, "/a", 0) == "KFM5KAIFA-METER"
    for now, identity in enumerate(("KFM5KAIFAMETER", "KFM5KAIFA-METER"), 1):
        assert place.hear(meter(identity), "/b", now) == "KFM5KAIFAMETER" or now == 2
    assert place.hear(bare, "/a", 3) == "KFM5KAIFA-METER"
    assert place.registry.tick(4) == []


def test_meters_with_nothing_but_a_header_are_told_apart_by_their_sources() -> None:
    place = Place(entry("house", "/a"), entry("barn", "/b"), entry(None, "/c"))
    bare = telegram("EST5\\253710000_A", "1-0:1.8.0(000001.000*kWh)")
    assert [place.hear(bare, where, 0) for where in ("/a", "/b")] == ["house", "barn"]
    assert place.hear(bare, "/c", 0) == "EST5\\253710000_A"
    assert place.object_ids == {"smarty_house", "smarty_barn", "EST5_253710000_A"}
    assert [place.says(f"{name} sends no serial number") for name in ("house", "barn")] == [1, 1]


def test_what_the_state_file_shows_about_names_is_said_before_the_start() -> None:
    bare = telegram("EST5\\253710000_A", "1-0:1.8.0(000001.000*kWh)")
    entries = (entry("house", "/a"), entry("barn", "/b"), entry("shed", "/c"))
    place = Place(*entries)
    place.hear(bare, "/a", 0)
    for now in range(0, 200, 10):
        place.hear(meter("ONE"), "/b", now)
        place.hear(meter("TWO"), "/b", now + 1)
    place.hear(meter("THREE"), "/c", 0)
    found = holder_warnings(entries, place.registry.holders())
    assert len(found) == 2
    assert "house sends no serial number" in found[0]
    assert "/b brings two meters, barn and TWO" in found[1]
    assert "smarty-gateway forget barn" in found[1]


def test_a_meter_with_nothing_but_a_header_keeps_its_name_on_a_port_with_another_name() -> None:
    bare = telegram("EST5\\253710000_A", "1-0:1.8.0(000001.000*kWh)")
    place = Place(entry("house", "/dev/ttyUSB0"))
    place.hear(bare, "/dev/ttyUSB0", 0)
    after = Place(entry("house", "/dev/by-id/x"), holders=place.registry.holders())
    assert after.hear(bare, "/dev/by-id/x", 0) == "house"
    assert not after.said


def test_of_two_unnamed_meters_with_one_header_the_second_is_told_to_get_a_name() -> None:
    bare = telegram("EST5\\253710000_A", "1-0:1.8.0(000001.000*kWh)")
    place = Place(entry(None, "/a"), entry(None, "/b"))
    assert [place.hear(bare, where, 0) for where in ("/a", "/b")] == ["EST5\\253710000_A", None]
    assert place.says("/b: meter EST5\\253710000_A is ignored") == 1
    assert place.says("give its source a `name`") == 1


@pytest.mark.parametrize("identity", ["smarty", "SMARTY_status", "smarty-health"])
def test_no_meter_has_the_discovery_id_of_the_gateway_itself(identity: str) -> None:
    place = Place(entry("house", "/a"), entry(None, "/b"))
    assert place.hear(meter(identity), "/b", 0) == (None if identity != "smarty-health" else identity)
    assert place.hear(meter(identity), "/a", 1) == ("house" if identity != "smarty-health" else None)
    assert not {"smarty", "smarty_status"} & {found.casefold() for found in place.object_ids}


def test_a_rejection_of_a_meter_counts_for_the_source_that_brought_it() -> None:
    place = Place(entry("house", "/a"), entry("barn", "/b"))
    place.frame("/a", 0)
    assert place.registry.name_for_rejection(HOUSE_TITLE, "/a") == ("house", True)
    assert place.registry.name_for_rejection(HOUSE_TITLE, "/b") == ("barn", False)


def test_plaintext_of_an_encrypted_meter_is_a_downgrade_on_its_own_source_only() -> None:
    place = Place(entry("house", "/a"), entry("barn", "/b"))
    place.frame("/a", 0)
    place.registry.note_plaintext(HOUSE_TITLE, "/b", 1)
    assert not place.registry.health()["house"].is_downgraded
    place.registry.note_plaintext(HOUSE_TITLE, "/a", 2)
    assert place.registry.health()["house"].is_downgraded
    place.frame("/a", 301)
    assert place.registry.health()["house"].is_downgraded
    place.frame("/a", 302)
    assert not place.registry.health()["house"].is_downgraded


def test_plaintext_and_frames_that_alternate_are_said_once_an_hour() -> None:
    place = Place(entry("house", "/a"))
    place.frame("/a", 0)
    for now in range(0, 3600, 10):
        place.registry.note_plaintext(HOUSE_TITLE, "/a", now)
        place.frame("/a", now + 1)
    assert len(place.said) == 1


# What a tenant with a key of their own may try


def claiming(*lines: str) -> bytes:
    return telegram("Lux5\\1", "1-3:0.2.8(42)", *lines, "1-0:1.8.0(999999.000*kWh)")


HOUSE_SERIAL = "SAG1030700012345"


@pytest.mark.parametrize(
    "lines",
    [
        (f"0-0:42.0.0({hex_text(B_SERIAL)})", f"0-0:96.1.1({hex_text(HOUSE_SERIAL)})"),
        ("0-0:42.0.0(ZZ)", f"0-0:96.1.1({hex_text(HOUSE_SERIAL)})"),
        (f"0-0:42.0.0({hex_text(HOUSE_SERIAL)})",),
        (f"0-0:42.0.0({hex_text(B_SERIAL)})", "0-0:96.1.0(A1)"),
        ("0-0:96.1.1(A1)",),
    ],
)
@pytest.mark.parametrize("is_first", [False, True])
def test_a_frame_of_one_meter_never_goes_out_as_another(lines: tuple[str, ...], *, is_first: bool) -> None:
    place = Place(
        entry("house", "/a", meter_id=HOUSE_SERIAL), entry("shed", "/c", meter_id="A1"), entry("barn", "/b")
    )
    if not is_first:
        place.frame("/a", 0)
        place.hear(meter("A1"), "/c", 0)
    liar = frame(claiming(*lines), title=B_TITLE, counter=10)
    assert place.hear(liar, "/b", 1) == "barn"
    assert place.frame("/a", 2) == "house"
    assert place.hear(meter("A1"), "/c", 3) == "shed"


def test_on_a_shared_source_a_frame_goes_by_its_title_and_not_by_what_is_inside() -> None:
    place = Place(entry("house", "/a", meter_id=HOUSE_SERIAL), entry("barn", "/a", meter_id=B_TITLE.hex()))
    liar = frame(
        claiming("0-0:42.0.0(ZZ)", f"0-0:96.1.1({hex_text(HOUSE_SERIAL)})"), title=B_TITLE, counter=10
    )
    assert place.hear(liar, "/a", 1) == "barn"
    assert place.frame("/a", 2) == "house"


def test_an_id_inside_the_frames_of_an_encrypted_meter_leads_to_its_entry_on_its_own_source() -> None:
    place = Place(entry("house", "/a", meter_id="E77"))
    own = frame(claiming("0-0:96.1.1(E77)"), counter=10)
    assert place.hear(own, "/a", 1) == "house"


def test_plaintext_that_names_a_meter_of_another_source_beside_its_own_is_dropped() -> None:
    place = Place(entry("house", "/a", meter_id="A1"), entry("barn", "/b", meter_id="B1"))
    both = telegram("FLU5\\1", "0-0:96.1.1(A1)", "0-0:96.1.0(B1)")
    assert place.hear(both, "/b", 0) is None
    assert place.registry.health()["house"].elsewhere == 1


def test_a_named_source_takes_no_meter_away_from_another_that_sends_it() -> None:
    place = Place(entry("barn", "/b"), entry(None, "/a"))
    assert place.hear(meter("X"), "/a", 0) == "X"
    assert place.hear(meter("X"), "/b", 1) is None
    assert place.hear(meter("X"), "/a", 2) == "X"


def test_a_meter_with_nothing_but_a_header_may_have_two_bridges() -> None:
    place = Place(entry("house", "/a", "/b"))
    bare = telegram("EST5\\253710000_A", "1-0:1.8.0(000001.000*kWh)")
    heard = [place.hear(bare, where, now) for now in (0, 10) for where in ("/a", "/b")]
    assert heard == ["house", None, "house", None]


def test_where_no_unnamed_meter_is_allowed_a_replaced_one_still_takes_its_name() -> None:
    place = Place(entry("house", "/a", unnamed=0))
    place.hear(meter("OLD"), "/a", 0)
    assert [place.hear(meter("NEW"), "/a", now) for now in (10, 130)] == [None, "house"]


def test_the_log_of_one_source_leaves_room_for_that_of_others() -> None:
    place = Place(entry("house", "/a", meter_id="H"), entry(None, "/b"), entry(None, "/c"))
    for number in range(200):
        place.hear(meter(f"H{number}"), "/b", number)
        place.hear(telegram("FLU5\\1", "0-0:96.1.1(H)", f"0-0:96.1.0(X{number})"), "/c", number)
    assert place.says("/b: more than 50 meters") == 1
    assert place.says("/c: ignoring H on this source") == 1
    assert len(place.said) < 30


def test_long_identities_take_no_more_memory_than_short_ones() -> None:
    place = Place(entry(None, "/a", unnamed=3))
    heard = [place.hear(meter(f"{number:04}" + "x" * 9000), "/a", number) for number in range(10)]
    assert sum(name is not None for name in heard) == 3
    assert all(len(name) <= 96 for name in place.registry.health())
    assert all(len(found) <= 96 for found in place.object_ids)


def test_a_title_that_plaintext_calls_itself_by_takes_no_name_of_the_meter_with_that_title() -> None:
    place = Place(entry("house", "/a"), entry("guest", "/b"))
    assert place.hear(meter(HOUSE_TITLE.hex()), "/b", 0) == "guest"
    assert place.frame("/a", 1) == "house"
    after = Place(entry("house", "/a"), entry("guest", "/b"), holders=place.registry.holders())
    assert after.frame("/a", 1) == "house"


def test_an_encrypted_meter_without_an_entry_takes_its_own_name_from_a_pretender() -> None:
    place = Place(entry(None, "/a"), entry(None, "/b"))
    assert place.hear(meter("SAG1030700012345"), "/b", 0) == "SAG1030700012345"
    assert place.frame("/a", 1) == "SAG1030700012345"
    assert place.registry.tick(2) == []
    assert place.registry.health()["SAG1030700012345"].telegrams == 1


def test_a_meter_with_two_identities_of_its_own_keeps_one_discovery_id() -> None:
    place = Place(entry("guest", "/b"))
    place.hear(telegram("FLU5\\1", "0-0:96.1.1(A1)", "0-0:96.1.0(A2)"), "/b", 0)
    for now in range(1, 20):
        assert place.hear(meter(f"A{1 + now % 2}"), "/b", now) == "guest"
    assert len(place.object_ids) == 1


def test_nobody_is_identified_by_what_a_meter_with_nothing_but_a_header_goes_by() -> None:
    place = Place(entry("barn", "/a"), entry("guest", "/b"), entry(None, "/c"))
    assert place.hear(meter("smarty_barn"), "/c", 0) is None
    assert place.hear(meter("SMARTY_BARN"), "/b", 1) == "guest"
    assert place.object_ids == {"smarty_guest"}
    place.hear(telegram("EST5\\253710000_A", "1-0:1.8.0(000001.000*kWh)"), "/a", 2)
    assert place.object_ids == {"smarty_guest", "smarty_barn"}


def test_a_meter_is_connected_while_one_of_its_sources_is_open() -> None:
    place = Place(entry("house", "/a", "/b"), entry("barn", "/c"), entry(None, "/d"))
    place.hear(meter("A1"), "/d", 0)

    def connected(*sources: str) -> set[str]:
        return {name for name, found in place.registry.health(set(sources)).items() if found.is_connected}

    assert connected("/b", "/x") == {"house"}
    assert connected("/c", "/d") == {"barn", "A1"}
    assert connected() == set()
