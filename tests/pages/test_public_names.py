"""Under which names meters and devices are shown, and that nothing else of them is served."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.outputs.output import Reading
from smarty_gateway.pages.public_names import PublicNames, public_devices, public_record
from smarty_gateway.safe_text import topic_part
from tests.support.every_meter import EVERY_KIND, secrets_of
from tests.support.mqtt_runs import reading_of
from tests.support.views import config_of
from vectors.building_blocks import belgium, hex_text, telegram

RECEIVED = datetime(2026, 1, 30, 9, tzinfo=UTC)


@pytest.mark.parametrize("kind", sorted(EVERY_KIND))
def test_the_public_record_of_no_kind_of_meter_contains_an_id_a_title_or_a_header(kind: str) -> None:
    record = public_record(Reading("own name", EVERY_KIND[kind], RECEIVED), "house")
    served = json.dumps(record, ensure_ascii=False).casefold()
    assert [secret for secret in secrets_of(EVERY_KIND[kind]) if secret.casefold() in served] == []
    assert "unknown" not in record


def test_the_public_record_has_the_values_of_the_telegram_under_the_shown_name() -> None:
    reading = reading_of(belgium(1), name="1SAG1100000001")
    record = public_record(reading, "electricity-0001")
    assert record["meter"] == "electricity-0001"
    assert record["power_import"] == reading.telegram["power_import"]
    assert record["gas"]["value"] == reading.telegram["gas"]["value"]
    assert record["received"] == reading.record["received"]


@pytest.mark.parametrize("repeated", ["1SAG1100000001", "1sag1100000001", "1SAG 1100 000001"])
def test_a_message_that_repeats_the_id_of_the_meter_is_not_served(repeated: str) -> None:
    lines = ("0-0:96.1.1(" + hex_text("1SAG1100000001") + ")", "1-0:1.8.0(000001.000*kWh)")
    good = reading_of(telegram("/FLU5x", *lines, "0-0:96.13.0(" + hex_text("Maintenance") + ")"))
    bad = reading_of(
        telegram("/FLU5x", *lines, "0-0:96.13.0(" + hex_text(f"We change {repeated} today") + ")")
    )
    assert public_record(good, "house")["message"] == "Maintenance"
    assert "message" not in public_record(bad, "house")


def test_a_configured_name_is_shown_even_if_it_is_the_id() -> None:
    assert public_record(reading_of(belgium(1)), "1SAG1100000001")["meter"] == "1SAG1100000001"


def test_a_device_is_named_by_its_kind_and_the_end_of_its_id() -> None:
    devices = public_devices({"gas": {"id": "GFLO2133031470", "channel": 1, "value": 435.247}})
    assert devices == {"gas": {"name": "gas-1470", "channel": 1, "value": 435.247}}


def test_two_devices_with_the_same_end_are_told_apart() -> None:
    devices = public_devices({"gas": {"id": "A1470"}, "gas_2": {"id": "B1470"}, "water": {"id": "B1470"}})
    assert [device["name"] for device in devices.values()] == ["gas-1470", "gas-1470-2", "water-1470"]


def test_a_device_without_an_id_is_named_by_its_kind() -> None:
    assert public_devices({"heat_2": {"channel": 2}}) == {"heat_2": {"name": "heat_2", "channel": 2}}


def test_a_configured_meter_has_its_name_as_in_topics() -> None:
    assert PublicNames(config_of("house no. 12345/7")).of("house no. 12345/7") == "house_no._12345_7"


def test_the_title_of_a_configured_meter_is_its_name_with_blanks() -> None:
    names = PublicNames(config_of("house in Luxembourg"))
    assert names.title_of(names.of("house in Luxembourg")) == "house in Luxembourg"


def test_the_title_of_any_other_meter_is_what_hides_it() -> None:
    names = PublicNames(config_of("house"))
    assert names.title_of(names.of("SAG1030700012345")) == "electricity-2345"


def test_a_meter_without_a_name_is_shown_by_its_kind_and_the_end_of_its_id() -> None:
    assert PublicNames(config_of()).of("SAG1030700012345") == "electricity-2345"


def test_a_meter_of_an_entry_with_an_id_and_no_name_is_hidden_as_well() -> None:
    config = Config((MeterConfig((), id="SAG1030700012345"),))
    assert PublicNames(config).of("SAG1030700012345", is_unnamed=True) == "electricity-2345"


def test_a_meter_that_is_known_by_its_header_only_does_not_show_it() -> None:
    assert PublicNames(config_of()).of("/KFMKAIFA-METER", is_unnamed=True) == "electricity-ETER"


def test_a_former_name_in_the_history_is_shown() -> None:
    assert PublicNames(config_of("house")).of("old house") == "old_house"


def test_a_simulated_meter_has_nothing_to_hide() -> None:
    assert PublicNames(config_of()).of("SIM1030700012345", is_simulated=True) == "SIM1030700012345"


def test_the_meter_of_an_entry_without_a_name_has_one_before_it_is_heard() -> None:
    names = PublicNames(config_of("meter"))
    assert names.of_unheard("/dev/ttyUSB0") == "meter-2"
    assert names.of_unheard("/dev/ttyUSB1") == "meter-3"
    assert names.of_unheard("/dev/ttyUSB0") == "meter-2"


def test_the_name_of_a_meter_that_is_gone_is_free_again() -> None:
    names = PublicNames(config_of())
    assert names.of("SAG1030700012345") == "electricity-2345"
    names.forget("SAG1030700012345")
    assert names.of("XXX9999999992345") == "electricity-2345"


NAMES = st.lists(st.text(max_size=20), max_size=6, unique_by=lambda name: topic_part(name).casefold())


@settings(max_examples=60)
@given(NAMES, st.integers(0, 3))
def test_no_two_meters_share_a_name_and_each_keeps_its_own(own_names: list[str], named: int) -> None:
    configured = own_names[:named]
    names = PublicNames(config_of(*configured))
    first = {name: names.of(name, is_unnamed=name not in configured) for name in reversed(own_names)}
    assert {name: names.of(name) for name in own_names} == first
    assert len({shown.casefold() for shown in first.values()}) == len(own_names)
    assert [first[name] for name in configured] == [topic_part(name) for name in configured]
