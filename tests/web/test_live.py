"""What the page knows of the present, with a clock that a test moves."""

import threading
from dataclasses import replace

import pytest

from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.pages.snapshots import Availability, GatewayNow, MeterNow
from smarty_gateway.sources.address import parse_address
from smarty_gateway.web import live
from smarty_gateway.web.live import Live
from smarty_gateway.web.power_memory import PowerMemory
from tests.support.mqtt_runs import reading_of
from vectors.building_blocks import belgium, telegram

USB = "/dev/ttyUSB0"
TCP = "tcp://127.0.0.1:2001"
READING = reading_of(belgium(1))


def entry(name: str | None = None, source: str = USB, meter_id: str | None = None) -> MeterConfig:
    return MeterConfig((parse_address(source),), name, meter_id)


class Place:
    """A gateway with a clock of its own."""

    def __init__(self, *entries: MeterConfig) -> None:
        self.time = 5000.0
        config = Config(entries or (entry("house"),))
        self.live = Live(config, PublicNames(config), lambda: self.time)

    def hear(self, meter: str = "house", source: str = USB, after: float = 0.0) -> Reading:
        """Deliver a reading, some time after the one before."""
        self.time += after
        reading = replace(READING, meter=meter, source=source)
        self.live.take(reading)
        return reading

    def report(self, unheard: dict[str, Health] | None = None, **health: Health) -> None:
        """Report health, as the supervisor does."""
        self.live.report(health, GatewayHealth(counters_kept=True, outputs={}, unheard=unheard or {}))

    def now(self) -> GatewayNow:
        """Return the gateway as the page sees it."""
        return self.live.now()

    def meter(self, name: str = "house") -> MeterNow:
        """Return a meter as the page sees it."""
        found = self.now().meter(name)
        assert found is not None
        return found


def test_a_meter_is_starting_until_it_is_overdue() -> None:
    place = Place()
    assert place.meter().availability is Availability.STARTING
    place.time += 29.9
    assert place.meter().availability is Availability.STARTING
    place.time += 0.1
    assert place.meter().availability is Availability.SILENT


def test_a_meter_that_speaks_every_second_is_silent_after_30_s() -> None:
    place = Place()
    for _ in range(5):
        place.hear(after=1)
    place.time += 29.9
    assert place.meter().availability is Availability.ONLINE
    place.time += 0.1
    assert place.meter().availability is Availability.SILENT
    place.hear()
    assert place.meter().availability is Availability.ONLINE


def test_a_slow_meter_is_silent_after_three_of_its_periods() -> None:
    place = Place()
    for _ in range(5):
        place.hear(after=20)
    place.time += 59.9
    assert place.meter().availability is Availability.ONLINE
    place.time += 0.1
    assert place.meter().availability is Availability.SILENT


def test_a_very_slow_meter_is_silent_after_an_hour() -> None:
    place = Place()
    for _ in range(5):
        place.hear(after=3000)
    place.time += 3600
    assert place.meter().availability is Availability.SILENT


def test_the_newest_reading_stays_when_the_meter_falls_silent() -> None:
    place = Place()
    place.hear()
    newest = place.hear(after=1)
    place.time += 3 * 86_400
    assert place.meter().reading is newest


def test_meters_of_the_configuration_come_first_and_in_its_order() -> None:
    place = Place(entry("house"), entry("barn", TCP))
    place.hear("SAG1030700012345")
    place.hear("barn", TCP)
    meters = place.now().meters
    assert [meter.name for meter in meters] == ["house", "barn", "electricity-2345"]
    assert [meter.is_expected for meter in meters] == [True, True, False]


def test_an_entry_with_an_id_is_known_by_it_before_it_is_heard() -> None:
    place = Place(entry(meter_id="SAG1030700012345"))
    (meter,) = place.now().meters
    assert (meter.name, meter.own_name, meter.is_expected) == ("electricity-2345", "SAG1030700012345", True)


def test_an_entry_without_a_name_stands_for_the_meters_of_its_source() -> None:
    place = Place(entry(), entry(source=TCP))
    assert [(m.name, m.is_expected) for m in place.now().meters] == [("meter", True), ("meter-2", True)]
    place.hear("SAG1030700012345", TCP)
    place.hear("SAG1030700012352", TCP)
    found = [(m.name, m.availability, m.is_expected) for m in place.now().meters]
    assert found == [
        ("meter", Availability.STARTING, True),
        ("electricity-2345", Availability.ONLINE, True),
        ("electricity-2352", Availability.ONLINE, True),
    ]


def test_a_second_meter_on_the_source_of_a_named_one_is_not_expected() -> None:
    place = Place(entry("house"))
    place.hear("SAG1030700012345")
    assert not place.meter("electricity-2345").is_expected


def test_a_recording_is_not_expected_to_go_on(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("recording") / "one.bin"
    path.touch()
    place = Place(entry("house", str(path)))
    assert not place.meter().is_expected


def test_a_meter_that_is_gone_is_not_shown() -> None:
    place = Place()
    place.hear("SAG1030700012345")
    assert place.live.curve("SAG1030700012345").watts
    place.live.forget("SAG1030700012345")
    assert place.now().meter("electricity-2345") is None
    assert not place.live.curve("SAG1030700012345").watts


def test_the_health_is_that_of_the_newest_report() -> None:
    place = Place()
    place.report(house=Health(telegrams=1))
    place.report(house=Health(telegrams=7, is_connected=True))
    assert place.meter().health == Health(telegrams=7, is_connected=True)


def test_a_reason_that_occurs_is_a_trouble_for_a_quarter_of_an_hour() -> None:
    place = Place()
    place.report(house=Health(rejected={"checksum": 2}))
    assert place.meter().troubles == ("checksum",)
    place.time += 600
    place.report(house=Health(rejected={"checksum": 2, "replay": 1}))
    assert set(place.meter().troubles) == {"checksum", "replay"}
    place.time += 300
    place.report(house=Health(rejected={"checksum": 2, "replay": 1}))
    assert place.meter().troubles == ("replay",)


def test_a_source_that_has_brought_no_meter_shows_its_health_and_its_troubles() -> None:
    place = Place(entry())
    place.report(unheard={USB: Health(is_connected=True, rejected={"no-key": 3})})
    meter = place.meter("meter")
    assert meter.health.is_connected
    assert meter.troubles == ("no-key",)


def test_the_gateway_is_alive_while_the_supervisor_reports() -> None:
    place = Place()
    place.time += 59
    assert place.now().is_alive
    place.time += 1
    assert not place.now().is_alive
    place.report()
    assert place.now().is_alive


def test_a_gateway_that_was_paused_lives_as_soon_as_the_supervisor_reports_again() -> None:
    place = Place()
    place.time += 120
    # As a process goes on after a pause: the server asks first, whatever the supervisor does next.
    reports = threading.Timer(0.2, place.report)
    reports.start()
    assert place.live.lives()
    reports.join()


def test_a_gateway_whose_supervisor_hangs_does_not_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_REPORTS_AGAIN_WITHIN", 0.01)
    place = Place()
    assert place.live.lives()
    place.time += 120
    assert not place.live.lives()


def test_the_power_of_a_live_meter_is_remembered_and_that_of_a_recording_is_not() -> None:
    place = Place(entry("house"), entry("recorded", TCP))
    place.hear()
    place.live.take(replace(READING, meter="recorded", is_live=False))
    net = round(1000 * (READING.telegram["power_import"] - READING.telegram["power_export"]))
    assert list(place.live.curve("house").watts) == [net]
    assert not place.live.curve("recorded").watts


def test_a_time_in_which_the_machine_slept_is_a_gap_in_the_curve() -> None:
    """The clock by which a meter is silent stands still meanwhile, and that of the curve goes on."""
    steady, config = 1000.0, Config((entry("house"),))
    memory = PowerMemory(["house"], lambda: steady, lambda: steady)
    live = Live(config, PublicNames(config), lambda: 5000.0, memory)
    live.take(replace(READING, meter="house"))
    steady += 3600
    live.take(replace(READING, meter="house"))
    assert sum(watts is not None for watts in live.curve("house").watts) == 2


def test_a_meter_that_sends_no_power_has_no_curve() -> None:
    place = Place()
    place.live.take(reading_of(telegram("/FLU5x", "1-0:1.8.0(000001.000*kWh)")))
    assert place.meter().reading is not None
    assert not place.live.curve("house").watts


def test_readers_and_the_server_work_at_the_same_time() -> None:
    place = Place(*(entry(f"meter-{number}", TCP) for number in range(20)))
    failures: list[BaseException] = []

    def deliver(first: int) -> None:
        try:
            for number in range(2000):
                place.live.take(replace(READING, meter=f"meter-{first + number % 40}"))
        except BaseException as error:  # noqa: BLE001 - a thread has no caller to raise to
            failures.append(error)

    threads = [threading.Thread(target=deliver, args=(first,)) for first in (0, 10)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        place.now()
        place.live.curve("meter-0")
    assert failures == []
    assert len(place.now().meters) == 50
