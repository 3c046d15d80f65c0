"""Simulated meters send what genuine ones send, and every fault gets the answer that is due to it."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfoNotFoundError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.config.key_file import load_key_ring
from smarty_gateway.protocol.counters import FrameCounters
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram
from smarty_gateway.protocol.rejection import Hint, Reason
from smarty_gateway.protocol.telegram import Checksum, parse_telegram
from smarty_gateway.simulator import telegrams as simulated_telegrams
from smarty_gateway.simulator.faults import Fault, FaultError, FaultyLine, parse_fault
from smarty_gateway.simulator.household import Household
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml, seconds_since_2020
from smarty_gateway.simulator.simulation import Simulation
from tests.support.streams import drain, read, reasons, rejections, telegrams
from vectors.building_blocks import crc16
from vectors.building_blocks import frame as second_opinion

#: Generous: it only ends a test that would never end.
LIMIT = 60.0
NOON = datetime(2026, 6, 21, 11, 0, tzinfo=UTC)
LUXEMBOURG = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
BELGIUM = SimulatedMeter(MeterKind.BELGIUM, 2)
NETHERLANDS = SimulatedMeter(MeterKind.NETHERLANDS, 3)
METERS = [LUXEMBOURG, BELGIUM, NETHERLANDS]
#: Up to 2064; a telegram writes two digits of the year, and from 70 on they mean that no time is set.
TIMES = st.integers(0, 1_400_000_000).map(
    lambda second: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
)


def key_ring(*meters: SimulatedMeter) -> KeyRing:
    return KeyRing(
        {m.title: [MeterKey(Secret(m.key))] for m in meters if m.title is not None and m.key is not None}
    )


def counter_at(at: datetime) -> int:
    """Return the frame counter of the meter in Luxembourg, which sends every 10 s."""
    return int((at - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds()) // 10


def read_one(meter: SimulatedMeter, at: datetime) -> MeterTelegram:
    (event,) = read(meter.frame(at), key_ring(meter))
    assert isinstance(event, MeterTelegram)
    return event


def registers(meter: SimulatedMeter, at: datetime) -> dict[str, Any]:
    """Return everything in a telegram that only counts up."""
    record = read_one(meter, at).as_object()
    found = {name: value for name, value in record.items() if "energy_" in name}
    return found | {medium: record[medium]["value"] for medium in ("gas", "water") if medium in record}


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.005)


# What is sent


def test_a_luxembourg_meter_sends_encrypted_frames_that_verify() -> None:
    record = read_one(LUXEMBOURG, NOON).as_object()
    assert record["security"] == "authenticated"
    assert record["meter_id"] == LUXEMBOURG.meter_id == "SAG1030700000001"
    assert record["timestamp"] == "2026-06-21T13:00:00+02:00"
    assert record["gas"]["timestamp"] == "2026-06-21T13:00:00+02:00"
    assert "unknown" not in record


def test_a_belgian_meter_sends_plaintext_with_gas_and_water() -> None:
    record = read_one(BELGIUM, NOON).as_object()
    assert record["security"] == "plaintext"
    assert record["meter_id"] == BELGIUM.meter_id
    assert record["gas"]["unit"] == record["water"]["unit"] == "m³"
    assert "unknown" not in record


def test_a_dutch_meter_sends_plaintext_with_two_tariffs_gas_and_water() -> None:
    record = read_one(NETHERLANDS, NOON).as_object()
    assert record["security"] == "plaintext"
    assert record["meter_id"] == NETHERLANDS.meter_id == "E0043000000000003"
    assert record["gas"]["unit"] == record["water"]["unit"] == "m³"
    assert record["tariff"] == 2  # the high one, at noon of a day in summer
    assert record["energy_import_tariff_1"] != record["energy_import_tariff_2"]
    assert "unknown" not in record


@pytest.mark.parametrize("kind", list(MeterKind))
def test_a_gas_meter_can_be_replaced_behind_the_same_meter(kind: MeterKind) -> None:
    before, after = (read_one(SimulatedMeter(kind, 1, gas_number=gas), NOON).as_object() for gas in (None, 2))
    assert before["meter_id"] == after["meter_id"]
    assert before["gas"]["id"] != after["gas"]["id"]


def test_a_frame_is_what_another_implementation_makes_of_the_same_telegram() -> None:
    assert LUXEMBOURG.key is not None
    assert LUXEMBOURG.title is not None
    assert LUXEMBOURG.frame(NOON) == second_opinion(
        LUXEMBOURG.telegram(NOON), key=LUXEMBOURG.key, title=LUXEMBOURG.title, counter=counter_at(NOON)
    )


@pytest.mark.parametrize("meter", METERS, ids=lambda meter: meter.kind)
def test_a_telegram_ends_in_its_crc(meter: SimulatedMeter) -> None:
    text = meter.telegram(NOON)
    body, _, digits = text.rpartition(b"!")
    assert crc16(body + b"!") == int(digits, 16)
    telegram = parse_telegram(text)
    assert telegram is not None
    assert telegram.checksum is Checksum.RIGHT


@pytest.mark.parametrize("meter", METERS, ids=lambda meter: meter.kind)
def test_the_same_moment_gives_the_same_bytes_in_every_run(meter: SimulatedMeter) -> None:
    assert SimulatedMeter(meter.kind, meter.number).frame(NOON) == meter.frame(NOON)


def test_two_meters_have_different_identities_keys_and_households() -> None:
    other = SimulatedMeter(MeterKind.LUXEMBOURG, 2)
    assert other.meter_id != LUXEMBOURG.meter_id
    assert other.title != LUXEMBOURG.title
    assert other.key != LUXEMBOURG.key
    assert registers(other, NOON) != registers(LUXEMBOURG, NOON)


def test_a_machine_without_time_zones_says_winter_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_zone(name: str) -> None:
        raise ZoneInfoNotFoundError(name)

    monkeypatch.setattr(simulated_telegrams, "ZoneInfo", no_zone)
    simulated_telegrams._zone.cache_clear()
    simulated_telegrams._stamp.cache_clear()
    try:
        assert b"0-0:1.0.0(260621120000W)" in LUXEMBOURG.telegram(NOON)
    finally:
        simulated_telegrams._zone.cache_clear()
        simulated_telegrams._stamp.cache_clear()


def test_a_meter_without_a_possible_number_is_refused() -> None:
    for number in (0, 100_000_000):
        with pytest.raises(ValueError, match="number"):
            SimulatedMeter(MeterKind.BELGIUM, number)
        with pytest.raises(ValueError, match="number"):
            SimulatedMeter(MeterKind.BELGIUM, 1, gas_number=number)


# How values move


@pytest.mark.parametrize("meter", METERS, ids=lambda meter: meter.kind)
@settings(max_examples=150, deadline=None)
@given(at=TIMES, later=st.one_of(st.integers(0, 120), st.integers(0, 100_000_000)))
def test_registers_never_fall(meter: SimulatedMeter, at: datetime, later: int) -> None:
    before = registers(meter, at)
    after = registers(meter, at + timedelta(seconds=later))
    assert before.keys() == after.keys()
    assert len(before) >= 4
    for name, value in before.items():
        assert after[name] >= value, name


def test_registers_do_not_fall_when_the_clocks_go_back() -> None:
    change = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    for meter in METERS:
        readings = [registers(meter, change + timedelta(minutes=minute)) for minute in range(0, 91, 15)]
        for name in readings[0]:
            values = [reading[name] for reading in readings]
            assert values == sorted(values), name


@settings(max_examples=100, deadline=None)
@given(at=TIMES, apart=st.integers(1, 100_000))
def test_the_frame_counter_rises_by_one_a_telegram(at: datetime, apart: int) -> None:
    first, last = (
        read_one(LUXEMBOURG, at + timedelta(seconds=after * LUXEMBOURG.period)).frame_counter
        for after in (0, apart)
    )
    assert first is not None
    assert last == first + apart


def test_a_register_rises_by_what_the_power_says() -> None:
    start = int((NOON - datetime(2020, 1, 1, tzinfo=UTC)).total_seconds())
    for number in range(1, 6):
        household = Household(str(number))
        flows = [household.flow(second) for second in range(start, start + 7_201)]
        for name, sign in (("energy_import", 1), ("energy_export", -1)):
            joules = sum(max(0, sign * flow.power) for flow in flows[:-1])
            risen = getattr(flows[-1], name) - getattr(flows[0], name)
            assert abs(risen - joules / 3600) < 10, name  # watts and watt-hours are rounded


def test_the_two_tariffs_together_count_all_the_energy() -> None:
    household = Household("tariffs")
    first, last = household.flow(0), household.flow(86_400 * 3 + 40_000)
    both = sum(last.energy_import_tariffs) - sum(first.energy_import_tariffs)
    assert abs(both - (last.energy_import - first.energy_import)) <= 2


def test_the_sun_feeds_in_at_noon_and_never_at_night() -> None:
    for number in range(1, 20):
        meter = SimulatedMeter(MeterKind.LUXEMBOURG, number)
        for hour in (0, 1, 2, 3, 22, 23):
            record = read_one(meter, NOON.replace(hour=hour)).as_object()
            assert record["power_import"] > record["power_export"] == 0
    fed_in = [
        read_one(SimulatedMeter(MeterKind.LUXEMBOURG, n), NOON).as_object()["power_export"]
        for n in range(1, 20)
    ]
    assert sum(power > 0 for power in fed_in) > 10


def test_values_stay_within_what_a_house_can_have() -> None:
    for meter in METERS:
        for minute in range(0, 1440, 7):
            record = read_one(meter, NOON + timedelta(minutes=minute)).as_object()
            assert 0 <= record["power_import"] < 25
            assert 0 <= record["power_export"] < 10
            for phase in ("l1", "l2", "l3"):
                assert 207 < record[f"voltage_{phase}"] < 253
                assert 0 <= record[f"current_{phase}"] < 80


def test_the_peak_of_a_month_is_never_in_the_future() -> None:
    for day in (1, 2, 30):
        for hour in range(0, 24, 3):
            at = datetime(2026, 6, day, hour, 10, tzinfo=UTC)
            record = read_one(BELGIUM, at).as_object()
            month, history = record["peak_demand_month"], record["peak_demand_history"]
            assert all(datetime.fromisoformat(peak["timestamp"]) <= at for peak in (month, *history))
            assert [row["period_end"] for row in history] == [
                "2026-05-01T00:00:00+02:00",
                "2026-06-01T00:00:00+02:00",
            ]


# Keys


def test_the_dummy_keys_make_a_file_that_the_gateway_reads(tmp_path: Path) -> None:
    meters = [SimulatedMeter(MeterKind.LUXEMBOURG, number) for number in range(1, 30)]
    path = tmp_path / "keys.yaml"
    path.write_text(keys_yaml([*meters, BELGIUM]), "utf-8")
    ring = load_key_ring(path)
    found = telegrams(read(b"".join(meter.frame(NOON) for meter in meters), ring))
    assert [telegram.meter_id for telegram in found] == [meter.meter_id for meter in meters]


def test_the_key_file_says_that_its_keys_are_dummies() -> None:
    assert "dummy" in keys_yaml([LUXEMBOURG]).lower().splitlines()[0]


# Faults


def sent_by(
    meter: SimulatedMeter, rates: Mapping[Fault, float], count: int = 60, seed: int = 1
) -> Iterator[tuple[datetime, Fault | None, bytes]]:
    """Send over a faulty line."""
    line = FaultyLine(rates, random.Random(seed))
    for n in range(count):
        at = NOON + timedelta(seconds=n * meter.period)
        fault = line.next_fault()
        yield at, fault, line.send(meter.frame(at, under_wrong_key=fault is Fault.WRONG_KEY), fault)


def heard_live(meter: SimulatedMeter, sent: Iterable[tuple[datetime, Fault | None, bytes]]) -> list[Event]:
    """Read what was sent as a gateway does, with the clock that tells silences."""
    stream = MeterStream(key_ring(meter))
    events = []
    for at, _, data in sent:
        stream.receive_data(data, at.timestamp())
        events += drain(stream)
    stream.receive_silence()
    return events + drain(stream)


def good_counters(sent: Iterable[tuple[datetime, Fault | None, bytes]], *spoilt: Fault) -> list[int]:
    return [counter_at(at) for at, fault, _ in sent if fault not in spoilt]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("meter", METERS, ids=lambda meter: meter.kind)
def test_noise_is_counted_as_noise_and_no_telegram_is_lost(meter: SimulatedMeter, seed: int) -> None:
    sent = list(sent_by(meter, {Fault.NOISE: 0.5}, seed=seed))
    noise = sum(len(data) - len(meter.frame(at)) for at, _, data in sent)
    stream = MeterStream(key_ring(meter))
    stream.receive_data(b"".join(data for _, _, data in sent))
    stream.receive_silence()
    events = drain(stream)
    assert [found.raw for found in telegrams(events)] == [meter.telegram(at) for at, _, _ in sent]
    assert not rejections(events)
    assert stream.noise_bytes == noise > 0
    assert all(b"\xdb\x08" in data[:44] for _, fault, data in sent if fault)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("meter", METERS, ids=lambda meter: meter.kind)
def test_a_cut_frame_costs_no_other_frame(meter: SimulatedMeter, seed: int) -> None:
    sent = list(sent_by(meter, {Fault.CUT: 0.3}, seed=seed))
    whole = [meter.telegram(at) for at, fault, _ in sent if fault is None]
    for events in (heard_live(meter, sent), read(b"".join(data for _, _, data in sent), key_ring(meter))):
        assert [found.raw for found in telegrams(events)] == whole
        assert set(reasons(events)) <= {"malformed", "authentication", "checksum"}


def test_a_cut_frame_is_reported_when_the_line_falls_silent_after_it() -> None:
    sent = list(sent_by(LUXEMBOURG, {Fault.CUT: 0.3}))
    cut = sum(fault is Fault.CUT for _, fault, _ in sent)
    events = heard_live(LUXEMBOURG, sent)
    assert cut > 5
    assert len(rejections(events)) >= cut - 2  # of a frame cut in its first bytes hardly anything is left


def test_a_frame_sent_again_is_refused_as_a_replay() -> None:
    sent = list(sent_by(LUXEMBOURG, {Fault.REPLAY: 0.3}))
    events = heard_live(LUXEMBOURG, sent)
    assert reasons(events) == ["replay"] * sum(fault is Fault.REPLAY for _, fault, _ in sent)
    assert [found.frame_counter for found in telegrams(events)] == good_counters(sent)


def test_the_very_first_frame_can_be_replayed_as_well() -> None:
    events = heard_live(LUXEMBOURG, sent_by(LUXEMBOURG, {Fault.REPLAY: 1.0}, count=1))
    assert len(telegrams(events)) == 1
    assert reasons(events) == ["replay"]


def test_a_frame_under_another_key_fails_its_authentication() -> None:
    sent = list(sent_by(LUXEMBOURG, {Fault.WRONG_KEY: 0.3}))
    events = heard_live(LUXEMBOURG, sent)
    assert set(reasons(events)) == {Reason.AUTHENTICATION.value}
    assert all(rejection.hint is not None for rejection in rejections(events))
    assert [found.frame_counter for found in telegrams(events)] == good_counters(sent, Fault.WRONG_KEY)


def test_a_meter_that_always_uses_another_key_gets_the_hint_that_the_key_is_wrong() -> None:
    events = heard_live(LUXEMBOURG, sent_by(LUXEMBOURG, {Fault.WRONG_KEY: 1.0}))
    assert len(events) == 60
    assert {rejection.hint for rejection in rejections(events)} == {Hint.WRONG_ENCRYPTION_KEY}


def test_a_wrong_key_means_nothing_to_a_meter_that_does_not_encrypt() -> None:
    events = heard_live(BELGIUM, sent_by(BELGIUM, {Fault.WRONG_KEY: 1.0}))
    assert len(telegrams(events)) == len(events) == 60


def test_a_silence_lasts_three_periods_and_the_frames_after_it_are_read() -> None:
    sent = list(sent_by(LUXEMBOURG, {Fault.SILENCE: 0.1}))
    runs = "".join("." if data else "s" for _, _, data in sent).rstrip("s").split(".")
    assert {len(run) % 3 for run in runs} == {0}
    assert any(runs)
    counters = FrameCounters()
    events = read((data for _, _, data in sent), key_ring(LUXEMBOURG), counters)
    assert [found.frame_counter for found in telegrams(events)] == good_counters(sent, Fault.SILENCE)
    assert not rejections(events)
    assert counters.gaps > 0


def test_a_rate_of_zero_spoils_nothing_and_the_rate_is_roughly_kept() -> None:
    assert all(fault is None for _, fault, _ in sent_by(LUXEMBOURG, dict.fromkeys(Fault, 0.0)))
    struck = [fault for _, fault, _ in sent_by(LUXEMBOURG, {Fault.NOISE: 0.2}, count=500) if fault]
    assert 60 < len(struck) < 140


@pytest.mark.parametrize("text", ["", "snow", "cut=", "cut=x", "cut=-0.1", "cut=1.1", "cut=nan"])
def test_a_fault_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(FaultError):
        parse_fault(text)


def test_a_fault_is_written_with_its_rate_or_without() -> None:
    assert parse_fault("wrong-key=0.25") == (Fault.WRONG_KEY, 0.25)
    assert parse_fault("cut") == (Fault.CUT, 0.1)


# The runner


class Memory:
    """A port that keeps what was sent."""

    name = "memory"
    is_read = True

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.sent.append(data)

    def close(self) -> None:
        """Record the data."""
        self.closed = True


def test_a_simulation_lets_every_meter_send_and_all_of_it_is_read() -> None:
    ports = [Memory() for _ in METERS]
    with Simulation(METERS, ports, speed=500):
        wait_until(lambda: all(len(port.sent) >= 20 for port in ports))
    assert all(port.closed for port in ports)
    for meter, port in zip(METERS, ports, strict=True):
        events = read(b"".join(port.sent), key_ring(meter))
        assert len(telegrams(events)) == len(events) == len(port.sent)


def test_a_simulation_starts_at_the_real_time_and_keeps_the_period() -> None:
    port = Memory()
    before = datetime.now(UTC).replace(microsecond=0)
    with Simulation([LUXEMBOURG], [port], speed=200):
        wait_until(lambda: len(port.sent) >= 5)
    events = telegrams(read(b"".join(port.sent), key_ring(LUXEMBOURG)))
    stamps = [datetime.fromisoformat(event.as_object()["timestamp"]) for event in events]
    assert before <= stamps[0] <= before + timedelta(seconds=LIMIT)
    assert all((after - at).total_seconds() % 10 == 0 for at, after in pairwise(stamps))


@pytest.mark.parametrize("period", [1.5, 10.0, 60.0])
def test_a_simulation_counts_its_frames_one_by_one_from_the_seconds_of_the_real_clock(period: float) -> None:
    meter, port = SimulatedMeter(MeterKind.LUXEMBOURG, 1), Memory()
    meter.period = period
    before = seconds_since_2020(datetime.now(UTC))
    with Simulation([BELGIUM, meter], [Memory(), port], speed=10 * period):
        wait_until(lambda: len(port.sent) >= 4)
    counted = [event.frame_counter for event in telegrams(read(b"".join(port.sent), key_ring(meter)))]
    assert counted[0] is not None
    assert before <= counted[0] <= before + LIMIT
    assert counted == list(range(counted[0], counted[0] + len(port.sent)))


def test_a_simulation_that_cannot_keep_up_leaves_telegrams_out_and_goes_on() -> None:
    port = Memory()
    with Simulation([BELGIUM], [port], speed=10_000_000) as simulation:
        wait_until(lambda: len(port.sent) >= 50)
    assert simulation.skipped > 0
    assert not rejections(read(b"".join(port.sent)))


def test_a_simulation_passes_faults_on() -> None:
    port = Memory()
    with Simulation([LUXEMBOURG], [port], speed=500, faults={Fault.WRONG_KEY: 1.0}):
        wait_until(lambda: len(port.sent) >= 3)
    assert set(reasons(read(b"".join(port.sent), key_ring(LUXEMBOURG)))) == {"authentication"}


def test_a_simulation_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        Simulation([BELGIUM], [Memory()], speed=0)
    with pytest.raises(ValueError, match="one port"):
        Simulation([BELGIUM], [])
