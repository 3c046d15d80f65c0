"""The view Meters: what works, what does not, and what to do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smarty_gateway.outputs.output import Health
from smarty_gateway.pages.health_page import health_page
from smarty_gateway.pages.history_pages import bill_page
from smarty_gateway.pages.snapshots import Availability, MeterNow
from smarty_gateway.protocol.rejection import Reason
from tests.support.documents import Element, document
from tests.support.histories import boundaries, write_history
from tests.support.views import NOW, gateway_now, meter_now, reading_of, view_of


def _page(tmp_path: Path, *meters: MeterNow, **gateway: Any) -> Element:  # noqa: ANN401 - what a test changes
    write_history(tmp_path, "house", boundaries(NOW - NOW % 900 - 9_000, 10))
    with view_of(gateway_now(*meters, **gateway), folder=tmp_path) as view:
        return document(health_page(view))


def _card(page: Element, name: str = "house") -> Element:
    return next(card for card in page.all("section") if card.one("h2").text == name)


def _facts(card: Element) -> dict[str, str]:
    return {found.one("dt").text: found.one("dd").text for found in card.one("dl").all("div")}


def test_all_is_well(tmp_path: Path) -> None:
    page = _page(tmp_path, meter_now("house", reading_of()))
    assert page.one("p", id="summary").text == "Everything works."
    assert page.one("main").all("div", class_="warning") == []
    assert _facts(_card(page)) == {
        "Last telegram": "3 s ago",
        "Telegrams since the start": "4711",
        "History since": "Sat 21 Nov 2026",
    }


@pytest.mark.parametrize("reason", list(Reason))
def test_each_reason_for_a_rejection_has_words_and_something_to_do(reason: Reason, tmp_path: Path) -> None:
    page = _page(tmp_path, meter_now("house", reading_of(), troubles=(reason.value,)))
    (advice,) = _card(page).all("div", class_="warning")
    observed, remedy = advice.all("p")
    assert observed.text.endswith(".")
    assert remedy.text
    assert page.one("p", id="summary").text == "1 meter needs attention."


@pytest.mark.parametrize("language", ["en", "de", "fr"])
def test_the_app_asks_for_no_file_and_no_command_that_it_does_not_have(language: str) -> None:
    meters = [
        meter_now("house", reading_of(), troubles=tuple(reason.value for reason in Reason)),
        meter_now("barn", availability=Availability.SILENT, health=Health()),
        meter_now("shed", availability=Availability.SILENT),
    ]
    states = {"mqtt": "offline", "tcp": "offline", "udp": "slow", "influxdb": "refused", "http": "x"}
    gateway = gateway_now(*meters, outputs=states, is_alive=False, counters_kept=False, history_kept=False)
    with view_of(gateway, language=language) as found:
        view = replace(found, is_app=True)
        page = document(health_page(view))
        bill = document(bill_page(view, view.meters()[0]))
    assert len(page.all("div", class_="warning")) > 15
    for shown in (page, bill):
        assert shown.one("main").all("code") == []
        for name in (".yaml", "SOURCE", "systemd", "smarty-gateway "):
            assert name not in shown.one("main").text


@pytest.mark.parametrize("reason", list(Reason))
def test_each_reason_for_a_rejection_has_a_name_beside_its_count(reason: Reason, tmp_path: Path) -> None:
    health = Health(telegrams=5, rejected={reason.value: 3}, is_connected=True)
    facts = _facts(_card(_page(tmp_path, meter_now("house", reading_of(), health=health))))
    assert [value for label, value in facts.items() if label.startswith("Rejected")] == ["3"]


def test_a_source_that_is_not_open_has_advice(tmp_path: Path) -> None:
    meter = meter_now("house", availability=Availability.SILENT, health=Health())
    card = _card(_page(tmp_path, meter))
    assert "The source of this meter is not open." in card.text
    assert card.one("code").text == "smarty-gateway doctor SOURCE"


def test_an_open_source_that_brings_nothing_has_advice(tmp_path: Path) -> None:
    meter = meter_now("house", availability=Availability.SILENT)
    assert "The source is open, but the meter sends nothing." in _card(_page(tmp_path, meter)).text


def test_a_source_that_brings_noise_only_has_advice(tmp_path: Path) -> None:
    health = Health(noise_bytes=4_096, is_connected=True)
    meter = meter_now("house", availability=Availability.SILENT, health=health)
    assert "Bytes come from the source, but no telegram is in them." in _card(_page(tmp_path, meter)).text


def test_a_recording_that_has_ended_is_no_fault(tmp_path: Path) -> None:
    availability, health = Availability.SILENT, Health()
    meter = meter_now("house", reading_of(), is_expected=False, availability=availability, health=health)
    assert _card(_page(tmp_path, meter)).all("div", class_="warning") == []


def test_a_meter_that_must_be_encrypted_and_is_not_has_one_advice(tmp_path: Path) -> None:
    health = Health(is_downgraded=True, is_connected=True)
    card = _card(_page(tmp_path, meter_now("house", reading_of(), health=health, troubles=("plaintext",))))
    (advice,) = card.all("div", class_="warning")
    assert "must send encrypted telegrams" in advice.text


@pytest.mark.parametrize(
    ("name", "state", "words"),
    [
        ("mqtt", "offline", "mqtt is not connected"),
        ("influxdb", "offline", "influxdb is not connected"),
        ("influxdb", "refused", "influxdb is connected, but the other side refuses readings"),
        ("domoticz", "failing", "domoticz is connected, but the other side refuses readings"),
        ("tcp", "offline", "tcp does not reach all that it serves"),
        ("files", "slow", "files is slower than the meters"),
        ("mqtt", "port taken", "mqtt does not work: port taken"),
        ("mqtt", "the page failed: <b>x</b>", "mqtt does not work: the page failed: <b>x</b>"),
        ("sundial", "cloudy\x1b[31m", r"sundial does not work: cloudy\x1b[31m"),
    ],
)
def test_an_output_that_does_not_work_has_advice(name: str, state: str, words: str, tmp_path: Path) -> None:
    page = _page(tmp_path, meter_now("house", reading_of()), outputs={name: state, "http": "ok"})
    (advice,) = _card(page, "Outputs").all("div", class_="warning")
    assert f"The output {words}" in advice.text
    assert page.all("b") == []
    assert page.one("p", id="summary").text == "The meters work, but something else needs attention."


def test_counters_that_are_not_kept_are_said(tmp_path: Path) -> None:
    page = _page(tmp_path, meter_now("house", reading_of()), counters_kept=False)
    assert "Frame counters are not kept" in _card(page, "Gateway").text


def test_a_gateway_that_hangs_is_said(tmp_path: Path) -> None:
    page = _page(tmp_path, meter_now("house", reading_of()), is_alive=False)
    assert "A part of the gateway has not answered" in _card(page, "Gateway").text


def test_quarter_hours_that_are_not_saved_are_said(tmp_path: Path) -> None:
    page = _page(tmp_path, meter_now("house", reading_of()), history_kept=False)
    assert "New quarter hours are only in memory" in _card(page, "Gateway").text


def test_a_meter_that_is_only_in_the_history_needs_nothing(tmp_path: Path) -> None:
    page = _page(tmp_path, meter_now("barn", reading_of(name="barn")))
    assert "This gateway does not read it" in _card(page).text
    assert page.one("p", id="summary").text == "Everything works."
