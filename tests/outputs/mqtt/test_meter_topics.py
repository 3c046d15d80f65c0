"""What a meter has to say to the broker at which moment, without waiting."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from smarty_gateway.config.values import HomeAssistantConfig
from smarty_gateway.outputs.mqtt.home_assistant import Discovery
from smarty_gateway.outputs.mqtt.meter_topics import MeterTopics
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from tests.support.mqtt_runs import CONFIG, GAS_CONFIG, second_of, with_quarter
from vectors.building_blocks import belgium, netherlands


def reading(second: int = 0, make: Callable[[int], bytes] = belgium) -> Reading:
    stream = MeterStream(KeyRing())
    stream.receive_data(make(second))
    event = stream.next_event()
    assert isinstance(event, MeterTelegram)
    return Reading("house", event, datetime(2026, 1, 30, 9, tzinfo=UTC))


def topics(interval: float = 10, *, home_assistant: bool = False, values: bool = False) -> MeterTopics:
    root = Topics("smarty")
    discovery = Discovery(HomeAssistantConfig(), root, 120) if home_assistant else None
    return MeterTopics("house", root, interval, discovery, values=values)


def due(meter: MeterTopics, now: float, topic: str) -> list[bytes]:
    return [payload for name, payload in meter.due(now) if name == f"smarty/house/{topic}"]


def test_a_meter_is_offline_until_it_speaks_in_this_run() -> None:
    meter = topics()
    assert due(meter, 0, "availability") == [b"offline"]
    assert due(meter, 1, "availability") == []
    meter.take(reading(), 2)
    assert due(meter, 2, "availability") == [b"online"]


def test_a_meter_that_speaks_every_second_is_offline_after_30_s_of_silence() -> None:
    meter = topics()
    for second in range(5):
        meter.take(reading(), second)
    assert due(meter, 4, "availability") == [b"online"]
    assert due(meter, 33.9, "availability") == []
    assert due(meter, 34, "availability") == [b"offline"]
    meter.take(reading(), 35)
    assert due(meter, 35, "availability") == [b"online"]


def test_a_slow_meter_is_offline_after_three_of_its_periods() -> None:
    meter = topics()
    for second in range(0, 100, 20):
        meter.take(reading(), second)
    assert due(meter, 80, "availability") == [b"online"]
    assert due(meter, 139.9, "availability") == []
    assert due(meter, 140, "availability") == [b"offline"]


def test_one_missed_telegram_does_not_make_a_slow_meter() -> None:
    meter = topics()
    for second in (0, 10, 20, 45, 55):
        meter.take(reading(), second)
    assert due(meter, 55, "availability") == [b"online"]
    assert due(meter, 55 + 33, "availability") == [b"offline"]


def test_two_telegrams_close_together_do_not_make_a_slow_meter_fast() -> None:
    meter = topics()
    for second in (0, 20, 40, 41, 61, 81):
        meter.take(reading(), second)
    assert due(meter, 81, "availability") == [b"online"]
    assert due(meter, 81 + 59, "availability") == []
    assert due(meter, 81 + 60, "availability") == [b"offline"]


def test_a_very_slow_meter_is_offline_after_an_hour() -> None:
    meter = topics()
    for second in (0, 3500, 7000):
        meter.take(reading(), second)
    assert due(meter, 7000, "availability") == [b"online"]
    assert due(meter, 7000 + 3599, "availability") == []
    assert due(meter, 7000 + 3600, "availability") == [b"offline"]


def test_states_keep_the_interval_and_are_the_newest() -> None:
    meter = topics(interval=10)
    sent = []
    for second in range(31):
        meter.take(reading(second), second)
        sent += [(second, second_of(payload)) for payload in due(meter, second, "state")]
    assert sent == [(0, 0), (10, 10), (20, 20), (30, 30)]


def states(meter: MeterTopics, arrivals: list[float]) -> list[tuple[float, float]]:
    """Add states, and return when each that is sent arrived and was sent; the output asks on time."""
    sent, newest = [], 0.0
    for number, arrival in enumerate(arrivals):
        while (at := meter.state_due_at) is not None and at < arrival:
            sent += [(newest, at) for _ in due(meter, at, "state")]
        meter.take(reading(number % 60), arrival)
        newest = arrival
        sent += [(newest, arrival) for _ in due(meter, arrival, "state")]
    return sent


@pytest.mark.parametrize("period", [9.95, 9.999, 10.0, 10.001, 10.05])
def test_a_meter_that_speaks_once_an_interval_is_heard_at_once_and_loses_nothing(period: float) -> None:
    rng = random.Random(1)
    arrivals = [number * period + rng.uniform(-0.2, 0.2) for number in range(600)]
    sent = states(topics(interval=10), arrivals)
    assert len(sent) == len(arrivals)
    delays = sorted(at - arrival for arrival, at in sent)
    assert delays[-1] < 1.5
    assert sum(delay > 0 for delay in delays) <= len(delays) / 10


@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_a_faster_meter_keeps_the_interval_and_its_states_are_fresh(jitter: float) -> None:
    rng = random.Random(1)
    sent = states(topics(interval=10), [n + rng.uniform(-jitter, jitter) for n in range(1000)])
    assert 99 <= len(sent) <= 102
    assert max(at - arrival for arrival, at in sent) < 1.5
    assert min(b - a for (_, a), (_, b) in pairwise(sent)) > 8.0


def test_one_late_telegram_delays_no_other_and_a_pause_makes_no_burst() -> None:
    assert states(topics(interval=10), [0, 10, 23, 30, 40]) == [(at, at) for at in (0, 10, 23, 30, 40)]
    sent = states(topics(interval=10), [0.0, *(100.0 + number for number in range(40))])
    assert [at for _, at in sent] == [0, 100, 110, 120, 130]


def test_a_state_that_came_too_early_has_a_time_at_which_it_goes_out() -> None:
    meter = topics(interval=10)
    meter.take(reading(0), 0)
    assert due(meter, 0, "state")
    assert meter.state_due_at is None
    meter.take(reading(1), 4)
    assert meter.state_due_at == 10
    assert due(meter, 9.9, "state") == []
    assert [second_of(payload) for payload in due(meter, 10, "state")] == [1]


def test_at_the_end_the_newest_goes_out_once() -> None:
    meter = topics(interval=10)
    meter.report(Health())
    meter.take(reading(0), 0)
    assert due(meter, 0, "state")
    assert list(meter.unsure(0))
    meter.take(reading(1), 1)
    meter.report(Health(telegrams=2))
    assert not due(meter, 1, "state")
    meter.finish()
    assert [second_of(payload) for payload in due(meter, 2, "state")] == [1]
    ((_, health),) = meter.unsure(2)
    assert json.loads(health)["telegrams"] == 2
    assert (list(meter.due(3)), list(meter.unsure(3))) == ([], [])


def test_a_meter_of_which_nothing_is_reported_has_no_health() -> None:
    assert list(topics().unsure(0)) == []


def test_two_meters_that_take_turns_under_one_name_are_not_mute() -> None:
    meter = topics(interval=0)
    sent = []
    for second in range(100):
        meter.take(reading(second % 60, (belgium, netherlands)[second % 2]), second)
        meter.hold(second)  # as each is another one
        sent += due(meter, second, "state")
    assert len(sent) > 90


def test_an_interval_of_0_lets_every_telegram_through() -> None:
    meter = topics(interval=0)
    sent = []
    for second in range(5):
        meter.take(reading(second), second / 10)
        sent += [second_of(payload) for payload in due(meter, second / 10, "state")]
    assert sent == list(range(5))


def test_nothing_is_sent_twice_without_a_reason() -> None:
    meter = topics(home_assistant=True)
    meter.take(reading(), 0)
    assert list(meter.due(0))
    assert list(meter.due(100))[1:] == []  # the one is its silence


def test_everything_retained_is_sent_again_on_a_new_connection() -> None:
    meter = topics(home_assistant=True, values=True)
    meter.take(reading(), 0)
    before = [*meter.due(0), *meter.unsure(0)]
    meter.reset()
    assert [*meter.due(0.1), *meter.unsure(0.1)] == before


def test_states_come_before_announcements_and_both_again_when_home_assistant_starts() -> None:
    meter = topics(home_assistant=True)
    meter.take(reading(), 0)
    list(meter.due(0))
    meter.announce_again()
    names = [name for name, _ in meter.due(1)]
    assert names.index("smarty/house/state") < names.index("smarty/house/mbus/7FLO2119000001")
    assert names.index("smarty/house/mbus/7FLO2119000001") < names.index(CONFIG) < names.index(GAS_CONFIG)


def test_quarter_hours_go_out_with_the_states_and_are_held_back_with_them() -> None:
    meter = topics(interval=10)
    for second in range(25):
        meter.take(with_quarter(reading(second), {"start": "…", "import": second}), second)
        sent = list(meter.due(second))
        states = [json.loads(payload) for name, payload in sent if name.endswith("/state")]
        quarters = [json.loads(payload)["import"] for name, payload in sent if name.endswith("/quarter")]
        assert quarters == [second] * len(states)
    meter.hold(30)
    meter.take(with_quarter(reading(40), {"start": "…", "import": 40}), 30)
    assert due(meter, 30.5, "quarter") == []
    assert len(due(meter, 31, "quarter")) == 1


def test_an_mbus_reading_is_sent_when_it_changes() -> None:
    meter = topics(interval=0)
    meter.take(reading(0), 0)
    assert len(due(meter, 0, "mbus/7FLO2119000001")) == 1
    meter.take(reading(1), 1)
    assert due(meter, 1, "mbus/7FLO2119000001") == []


def test_health_is_sent_every_minute_and_at_once_when_something_is_wrong() -> None:
    meter = topics()
    health = Health()
    meter.report(health)
    assert len(list(meter.unsure(0))) == 1
    health.telegrams = 1
    assert len(list(meter.unsure(5))) == 1
    health.telegrams = 50
    assert list(meter.unsure(30)) == []
    assert len(list(meter.unsure(65))) == 1
    health.rejected["checksum"] = 1
    ((topic, payload),) = meter.unsure(66)
    assert topic == "smarty/house/health"
    assert json.loads(payload)["rejected"] == {"checksum": 1}


def test_a_state_that_a_new_connection_asks_for_does_not_wait_for_a_telegram_that_comes_meanwhile() -> None:
    meter = topics(interval=10)
    meter.take(reading(0), 0)
    assert len(due(meter, 0, "state")) == 1
    meter.reset()
    meter.take(reading(1), 3)
    assert len(due(meter, 3, "state")) == 1


def test_what_is_sent_again_in_time_expires_and_the_rest_stays() -> None:
    meter = topics(interval=60, values=True)
    for second in range(0, 3000, 1000):
        meter.take(reading(), second)
    assert meter.expiry_of("smarty/house/state") == 3000  # as long as the meter counts as there
    assert meter.expiry_of("smarty/house/quarter") == 3000
    assert meter.expiry_of("smarty/house/power_import") == 3000
    assert meter.expiry_of("smarty/house/health") == 180
    for topic in ("smarty/house/availability", "smarty/house/mbus/7FLO2119000001", CONFIG):
        assert meter.expiry_of(topic) is None
    assert topics(interval=0).expiry_of("smarty/house/state") == 120
    assert topics(interval=60).expiry_of("smarty/house/state") == 240
