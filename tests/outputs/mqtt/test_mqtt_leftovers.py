"""What a gateway has published and publishes no more is emptied, and nothing else is."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.outputs.mqtt.home_assistant import Discovery
from smarty_gateway.outputs.mqtt.meters import Meters
from smarty_gateway.outputs.mqtt.send_queue import Message, Rank, SendQueue
from smarty_gateway.outputs.output import Reading
from smarty_gateway.state.store import Store
from tests.support.brokers import Broker, Subscriber, retained
from tests.support.mqtt_runs import mqtt_output, reading_of
from tests.support.running import wait_until
from vectors.building_blocks import belgium, hex_text, luxembourg, telegram

#: A configuration, and what each of its meters sends.
Setup = tuple[str, dict[str, bytes]]

HOUSE = {"house": belgium(1)}
ALL_ON = "interval: 0, values: true, home_assistant: true"
#: A gateway is set up in the first way and then in the second.
CHANGES: dict[str, tuple[Setup, Setup]] = {
    "no Home Assistant": ((ALL_ON, HOUSE), ("interval: 0, values: true", HOUSE)),
    "another prefix": ((ALL_ON, HOUSE), ("interval: 0, values: true, home_assistant: {prefix: ha}", HOUSE)),
    "another topic": ((ALL_ON, HOUSE), (f"{ALL_ON}, topic: home/p1", HOUSE)),
    "another style": ((ALL_ON, HOUSE), ("interval: 0, home_assistant: {style: entity}", HOUSE)),
    "no single values": ((ALL_ON, HOUSE), ("interval: 0, home_assistant: true", HOUSE)),
    "another name": ((ALL_ON, HOUSE), (ALL_ON, {"barn": belgium(1)})),
    "a meter less": ((ALL_ON, {**HOUSE, "barn": luxembourg(1)}), (ALL_ON, HOUSE)),
    "another meter and gas meter": ((ALL_ON, HOUSE), (ALL_ON, {"house": luxembourg(1)})),
    "all at once": ((ALL_ON, HOUSE), ("interval: 0, topic: p1, home_assistant: {prefix: ha, style: entity}",
                                      {"barn": luxembourg(1)})),
}  # fmt: skip


def run(folder: Path, url: str, setup: Setup) -> None:
    """Run a gateway until everything is sent."""
    more, readings = setup
    with mqtt_output(folder, url, *readings, more=more) as output:
        for name, data in readings.items():
            output.publish(reading_of(data, name))
        wait_until(lambda: not output.is_busy, "an idle output")


def topics_of(broker: Broker) -> set[str]:
    return set(retained(broker))


@pytest.fixture
def wanted(tmp_path: Path, each_broker: None) -> Callable[[Setup], set[str]]:  # noqa: ARG001 - which broker
    """Return what a gateway publishes that was never set up in another way."""

    def find(setup: Setup) -> set[str]:
        folder = tmp_path / "fresh"
        folder.mkdir()
        with Broker(folder) as broker:
            run(folder, broker.url, setup)
            return topics_of(broker)

    return find


@pytest.mark.slow
@pytest.mark.parametrize(
    "is_away",
    [
        pytest.param(False, id="the broker is there"),
        pytest.param(True, id="while the broker is away", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_the_broker_holds_what_it_would_hold_without_a_past(
    broker: Broker, tmp_path: Path, wanted: Callable[[Setup], set[str]], change: str, *, is_away: bool
) -> None:
    before, after = CHANGES[change]
    run(tmp_path, broker.url, before)
    if is_away:
        broker.stop()
        with mqtt_output(tmp_path, broker.url, *after[1], more=after[0]):
            pass
        broker.start()
    run(tmp_path, broker.url, after)
    assert topics_of(broker) == wanted(after)
    with closing(sqlite3.connect(tmp_path / "state/gateway.sqlite3")) as connection:
        known = {topic for (topic,) in connection.execute("SELECT topic FROM published")}
    assert topics_of(broker) <= known
    # The gateway's own health is not reported here, and an empty message is no retained one.
    assert known - topics_of(broker) <= {t for t in known if t.endswith("/health") or "/message" in t}


@pytest.mark.slow
def test_home_assistant_off_and_on_again_brings_the_same_back(broker: Broker, tmp_path: Path) -> None:
    run(tmp_path, broker.url, (ALL_ON, HOUSE))
    before = retained(broker, "homeassistant/#")
    run(tmp_path, broker.url, ("interval: 0", HOUSE))
    assert retained(broker, "homeassistant/#") == {}
    run(tmp_path, broker.url, (ALL_ON, HOUSE))
    assert retained(broker, "homeassistant/#") == before


@pytest.mark.slow
def test_nothing_of_another_gateway_is_emptied(broker: Broker, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    other = (f"{ALL_ON}, topic: other", {"house": luxembourg(1)})
    run(tmp_path / "two", broker.url, other)
    held = retained(broker)
    for setup in ((ALL_ON, HOUSE), (f"{ALL_ON}, topic: mine", {"barn": belgium(1)})):
        run(tmp_path / "one", broker.url, setup)
    assert held.items() <= retained(broker).items()


def test_a_meter_with_another_name_keeps_its_device(broker: Broker, tmp_path: Path) -> None:
    config = "homeassistant/device/smarty_1SAG1100000001/config"
    with Subscriber(broker, "homeassistant/#") as listener:
        run(tmp_path, broker.url, (ALL_ON, HOUSE))
        run(tmp_path, broker.url, (ALL_ON, {"barn": belgium(2)}))
        assert all(m.payload for m in listener.messages), "Home Assistant would remove the device"
        assert listener.wait_for(config)[-1].json["stat_t"] == "smarty/barn/state"


def test_a_former_name_goes_from_the_device_of_the_gateway(broker: Broker, tmp_path: Path) -> None:
    config = "homeassistant/device/smarty_smarty/config"
    run(tmp_path, broker.url, (ALL_ON, HOUSE))
    with Subscriber(broker, "#") as listener:
        run(tmp_path, broker.url, (ALL_ON, {"barn": belgium(2)}))
        listener.wait_for_payload("smarty/house/health", b"")
    whole = [m.json["cmps"] for m in listener.of(config) if not m.is_retained]
    assert whole[0]["house_meter"] == {"p": "binary_sensor"}
    assert whole[0]["barn_meter"]["stat_t"] == "smarty/barn/availability"
    topics = [message.topic for message in listener.messages if not message.is_retained]
    assert topics.index(config) < topics.index("smarty/house/health")


def test_a_meter_that_gets_a_name_keeps_its_device_and_leaves_its_old_topics(
    broker: Broker, tmp_path: Path
) -> None:
    serial = "1SAG1100000001"
    with Subscriber(broker) as listener:
        run(tmp_path, broker.url, (ALL_ON, {serial: belgium(1)}))
        with mqtt_output(tmp_path, broker.url, "meter", more=ALL_ON, unnamed=[serial]) as output:
            output.publish(reading_of(belgium(2), "meter"))
            output.forget(serial)  # as the gateway does when the name is taken
            listener.wait_for_payload(f"smarty/{serial}/state", b"")
            listener.wait_for("smarty/meter/state")
        assert all(m.payload for m in listener.messages if m.topic.startswith("homeassistant/"))
    assert not [topic for topic in topics_of(broker) if topic.startswith(f"smarty/{serial}/")]


# M-Bus devices, over hours


def gas(device: str) -> bytes:
    """Return a telegram of a Belgian meter with this gas meter."""
    lines = () if not device else (
        "0-1:24.1.0(003)", f"0-1:96.1.1({hex_text(device)})", "0-1:24.2.3(200512134558S)(00112.384*m3)"
    )  # fmt: skip
    return telegram("FLU5\\1", "0-0:96.1.1(A1)", *lines, "1-0:1.8.0(000001.000*kWh)")


class Hours:
    """The meters of a broker that acknowledges at once, at any speed.

    Attributes:
        held: what the broker holds.
        sent: topics and payloads, with the time of each.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self.held: dict[str, bytes] = {}
        self.sent: list[tuple[float, str, bytes]] = []
        self.now = time.monotonic() - 500_000.0
        self._folder = folder
        self._store = store
        self._queue = SendQueue()
        self.configure("house")
        self.start()

    def configure(self, *names: str, topic: str = "smarty", style: str = "device") -> None:
        """Write gateway.yaml for meters of these names."""
        meters = ", ".join(f"{{name: {name}, source: {name}}}" for name in names)
        (self._folder / "gateway.yaml").write_text(
            f"meters: [{meters}]\n"
            f"outputs: {{mqtt: {{url: 'mqtt://localhost', topic: {topic}, interval: 0, "
            f"home_assistant: {{style: {style}}}}}}}\n",
            "utf-8",
        )

    def start(self) -> None:
        """Start a gateway."""
        config = load_config(self._folder / "gateway.yaml")
        assert config.outputs.mqtt is not None
        self._meters = Meters(config, config.outputs.mqtt, self._store, (), self.now)
        self._meters.reset(self._sender, self.now)
        self._deliver()

    @property
    def _sender(self) -> Any:  # noqa: ANN401 - has what Meters needs of a sender
        return self

    def put(
        self,
        topic: str,
        payload: bytes,
        rank: Rank,
        done: Callable[[], None] | None = None,
        *,
        expiry: int | None = None,
    ) -> None:
        """Add a message, which replaces what waits on its topic."""
        self._queue.put(Message(topic, payload, rank, done, expiry))

    def _deliver(self) -> None:
        """Take all that waits as a broker does."""
        while (message := self._queue.take(Rank)) is not None:
            self.sent.append((self.now, message.topic, message.payload))
            self.held[message.topic] = message.payload
            if not message.payload:
                del self.held[message.topic]
            if message.done is not None:
                message.done()

    def discard(self, topic: str) -> None:
        """Remove what waits on a topic."""
        self._queue.discard(topic)

    def is_replaced(self, *_: object) -> bool:
        """False: no message is too large."""
        return False

    def restart(self) -> None:
        """Stop cleanly and start again."""
        self._meters.save_devices(self.now)
        self._meters.retained.save()
        self.start()

    def send(self, *data: bytes | Reading, seconds: float = 10.0, every: float = 10.0) -> None:
        """Send telegrams again and again."""
        readings = [reading_of(one) if isinstance(one, bytes) else one for one in data]
        for _ in range(int(seconds / every)):
            for reading in readings:
                self._meters.take(reading, self.now)
            for step in (0.0, 2.0, every - 2.0):
                self.look()
                self.now += step

    def look(self) -> None:
        """Send what is due now."""
        self._meters.queue_due(self._sender, {}, self.now)
        self._deliver()

    def gas_meters(self) -> dict[str, str]:
        """Return the gas meters in Home Assistant with their names; their values are there."""
        found = {}
        for topic, payload in self.held.items():
            if topic.startswith("homeassistant/device/smarty_G"):
                config = json.loads(payload)
                assert config["stat_t"] in self.held
                found[config["dev"]["sn"]] = config["dev"]["name"]
        values = {topic.rpartition("/")[2] for topic in self.held if topic.startswith("smarty/house/mbus/")}
        assert values == found.keys()
        return found


@pytest.fixture
def hours(tmp_path: Path) -> Iterator[Hours]:
    with Store(tmp_path) as store:
        yield Hours(tmp_path, store)


def test_what_the_entities_of_a_gas_meter_read_is_emptied_after_they_are_gone(hours: Hours) -> None:
    hours.send(gas("G1"), seconds=100)
    hours.send(gas("G2"), seconds=3700)
    emptied = {topic: at for at, topic, payload in hours.sent if not payload}
    gap = emptied["smarty/house/mbus/G1"] - emptied["homeassistant/device/smarty_G1/config"]
    assert gap >= 1.0


@pytest.mark.parametrize("restarts", [0, 1, 3])
def test_a_gas_meter_that_was_replaced_goes_after_an_hour_and_the_new_one_has_its_name(
    hours: Hours, restarts: int
) -> None:
    hours.send(gas("G1"), seconds=100)
    assert hours.gas_meters() == {"G1": "house gas"}
    for _ in range(restarts + 1):
        hours.send(gas("G2"), seconds=3600 // (restarts + 1))
        assert hours.gas_meters() == {"G1": "house gas"}
        if restarts:
            hours.restart()
    hours.send(gas("G2"), seconds=20)
    assert hours.gas_meters() == {"G2": "house gas"}
    config = "homeassistant/device/smarty_{}/config"
    emptied = next(at for at, topic, payload in hours.sent if topic == config.format("G1") and not payload)
    announced = next(at for at, topic, _ in hours.sent if topic == config.format("G2"))
    assert announced - emptied >= 1.0
    assert emptied <= next(at for at, topic, _ in hours.sent if topic == "smarty/house/mbus/G2")


def test_a_gas_meter_that_was_replaced_while_the_gateway_was_stopped_goes_after_an_hour_too(
    hours: Hours,
) -> None:
    hours.send(gas("G1"), seconds=100)
    hours.restart()
    hours.send(gas("G2"), seconds=3600)
    assert hours.gas_meters() == {"G1": "house gas"}
    hours.send(gas("G2"), seconds=20)
    assert hours.gas_meters() == {"G2": "house gas"}


def test_a_gas_meter_that_is_missing_for_a_moment_loses_nothing(hours: Hours) -> None:
    hours.send(gas("G1"), seconds=100)
    hours.send(gas("G2"), seconds=1800)
    hours.send(gas(""), seconds=1000)
    hours.restart()
    hours.send(gas("G1"))
    hours.send(gas("G2"), seconds=3500)
    assert hours.gas_meters() == {"G1": "house gas"}
    assert all(payload for _, topic, payload in hours.sent if "G1" in topic)


def test_a_gas_meter_that_is_gone_for_good_is_gone_from_home_assistant_after_a_day(hours: Hours) -> None:
    hours.send(gas("G1"), seconds=100)
    hours.send(gas(""), seconds=86_000, every=100)
    assert hours.gas_meters() == {"G1": "house gas"}
    hours.send(gas(""), seconds=600, every=100)
    assert hours.gas_meters() == {}


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_meter_that_is_replaced_together_with_its_gas_meter_waits_for_nothing(
    hours: Hours, *, is_restarted: bool
) -> None:
    hours.send(gas("G1"), seconds=100)
    if is_restarted:
        hours.restart()
    hours.send(luxembourg(1), seconds=20)
    assert hours.gas_meters() == {"GFLO2133031470": "house gas"}


def test_a_gas_meter_that_an_older_gateway_has_left_behind_is_emptied(hours: Hours) -> None:
    hours.send(gas("G1"), seconds=100)
    hours._store.write_devices([])
    hours.start()
    hours.send(gas("G2"), seconds=20)
    assert hours.gas_meters() == {"G2": "house gas"}


# Who announces a device, over hours


def gas_of(meter: str, device: str, *, is_configured: bool = True) -> Reading:
    """Return a reading of the meter of this name that names this gas meter."""
    data = gas(device).replace(b"(A1)", f"({meter})".encode())
    lines = data.decode().split("\r\n")
    reading = reading_of(telegram(lines[0][1:], *lines[2:-2]), meter)
    return Reading(meter, reading.telegram, reading.received, is_configured=is_configured)


def gas_announced_for(hours: Hours) -> str:
    return str(json.loads(hours.held["homeassistant/device/smarty_G1/config"])["stat_t"])


def test_a_meter_that_loses_its_name_keeps_its_gas_meter(hours: Hours) -> None:
    hours.send(gas("G1"), seconds=100)
    hours.configure("barn")
    hours.restart()
    hours.send(gas_of("A1", "G1", is_configured=False), seconds=300)
    assert gas_announced_for(hours) == "smarty/A1/mbus/G1"
    assert all(payload for _, topic, payload in hours.sent if topic.startswith("homeassistant/"))
    assert not [topic for topic in hours.held if topic.startswith("smarty/house/")]


def test_a_gas_meter_that_moves_to_another_meter_is_announced_there_after_an_hour(hours: Hours) -> None:
    hours.configure("house", "barn")
    hours.restart()
    hours.send(gas_of("house", "G1"), gas_of("barn", ""), seconds=100)
    hours.send(gas_of("house", ""), gas_of("barn", "G1"), seconds=3580)
    assert gas_announced_for(hours) == "smarty/house/mbus/G1"
    hours.send(gas_of("house", ""), gas_of("barn", "G1"), seconds=40)
    assert gas_announced_for(hours) == "smarty/barn/mbus/G1"
    sent = len(hours.sent)
    hours.send(gas_of("house", ""), gas_of("barn", "G1"), seconds=300)
    assert not [topic for _, topic, _ in hours.sent[sent:] if "smarty_G1" in topic]


def test_what_replaces_announcements_waits_although_the_gateway_has_just_emptied_others(
    hours: Hours,
) -> None:
    hours.send(gas("G1"))
    hours.configure("house", topic="home", style="entity")
    hours.restart()
    started = len(hours.sent)
    for step in range(60):
        if step % 10 == 0:
            hours._meters.take(reading_of(gas("G1")), hours.now)
        hours.look()
        hours.now += 0.1
    new = hours.sent[started:]
    (emptied,) = (at for at, topic, payload in new if topic.endswith("/smarty_A1/config") and not payload)
    announced = [at for at, topic, _ in new if topic.startswith("homeassistant/sensor/smarty_A1/")]
    assert min(announced) - emptied >= 1.0


def test_states_go_out_in_the_order_in_which_the_meters_were_heard(hours: Hours) -> None:
    names = [f"m{number}" for number in range(8)]
    hours.configure(*names)
    hours.restart()
    hours.send(*(gas_of(name, "") for name in names))
    hours.send(*(gas_of(name, "") for name in reversed(names)))
    states = [topic for _, topic, _ in hours.sent if topic.endswith("/state")]
    assert states[-8:] == [f"smarty/{name}/state" for name in reversed(names)]


def test_a_round_without_news_looks_at_none_of_the_topics_of_many_meters(
    hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    device_of = Discovery.device_of

    def count(self: Discovery, topic: str) -> str | None:
        nonlocal looks
        looks += 1
        return device_of(self, topic)

    hours.configure("house", style="entity")
    hours.restart()
    hours.send(*(gas_of(f"M{number}", "", is_configured=False) for number in range(100)))
    monkeypatch.setattr(Discovery, "device_of", count)
    hours.look()
    assert looks == 0
