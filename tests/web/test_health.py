"""When the gateway counts as healthy."""

import json
from typing import Any

import pytest

from smarty_gateway.outputs.output import Health
from smarty_gateway.pages.snapshots import Availability, MeterNow
from smarty_gateway.web.health import health_object
from tests.support.views import gateway_now

ONLINE, STARTING, SILENT = Availability.ONLINE, Availability.STARTING, Availability.SILENT


def meter(availability: Availability, name: str = "house", *, is_expected: bool = True) -> MeterNow:
    return MeterNow(name, name, is_expected=is_expected, availability=availability)


def status_of(*meters: MeterNow, **values: Any) -> tuple[bool, str]:  # noqa: ANN401 - of any type
    is_good, found = health_object(gateway_now(*meters, **values))
    return is_good, found["status"]


def test_it_is_good_while_every_expected_meter_is_heard_and_every_output_works() -> None:
    assert status_of(meter(ONLINE), meter(ONLINE, "barn")) == (True, "ok")


def test_it_is_not_good_before_every_expected_meter_was_heard() -> None:
    assert status_of(meter(ONLINE), meter(STARTING, "barn")) == (False, "starting")


def test_it_fails_when_an_expected_meter_is_silent() -> None:
    assert status_of(meter(ONLINE), meter(STARTING, "b"), meter(SILENT, "c")) == (False, "failing")


def test_it_does_not_wait_for_a_meter_that_nobody_expects() -> None:
    assert status_of(meter(ONLINE), meter(SILENT, "other", is_expected=False)) == (True, "ok")


@pytest.mark.parametrize("state", ["offline", "slow", "port taken"])
def test_it_fails_while_an_output_does_not_work(state: str) -> None:
    assert status_of(meter(ONLINE), outputs={"http": "ok", "mqtt": state}) == (False, "failing")


def test_it_fails_when_the_supervisor_hangs() -> None:
    assert status_of(meter(ONLINE), is_alive=False) == (False, "failing")


def test_it_names_what_is_wrong_under_public_names() -> None:
    found = MeterNow(
        "electricity-2345", "SAG1030700012345", is_expected=True, availability=SILENT,
        health=Health(telegrams=3, rejected={"no-key": 2}), troubles=("no-key",),
    )  # fmt: skip
    _, shown = health_object(gateway_now(found, outputs={"mqtt": "offline"}))
    assert "SAG1030700012345" not in json.dumps(shown)
    (object_of_meter,) = shown["meters"]
    assert object_of_meter["meter"] == "electricity-2345"
    assert object_of_meter["availability"] == "silent"
    assert object_of_meter["troubles"] == ["no-key"]
    assert object_of_meter["rejected"] == {"no-key": 2}
    assert shown["outputs"] == {"mqtt": "offline"}
    assert shown["counters_kept"] is True
    assert shown["version"] == "1.2.3"
