"""The metrics: names and units as Prometheus wants them, and nothing that is not known."""

import shutil
import subprocess
import time
from datetime import UTC, datetime
from functools import partial

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as families

from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.pages.snapshots import Availability, GatewayNow
from smarty_gateway.protocol.obis import BY_NAME, Form
from smarty_gateway.protocol.rejection import Reason
from smarty_gateway.simulator.meters import MeterKind
from smarty_gateway.web.exposition import exposition
from smarty_gateway.web.metrics import add_metrics
from tests.support.every_meter import EVERY_KIND
from tests.support.site import OWN_NAME, UNNAMED, Site
from tests.support.views import NOW, gateway_now, meter_now, quarter_of, reading_of

Labels = tuple[tuple[str, str], ...]


def metrics(gateway: GatewayNow, accept: str = "") -> dict[str, dict[Labels, float]]:
    """Return all values by name and labels."""
    _, text = exposition(partial(add_metrics, gateway), accept)
    parsed = openmetrics_families if accept else families
    found: dict[str, dict[Labels, float]] = {}
    for family in parsed(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def values(gateway: GatewayNow, name: str) -> list[float]:
    """Return all values of a name."""
    return list(metrics(gateway).get(f"smarty_{name}", {}).values())


HOUSE = gateway_now(meter_now(reading=reading_of(quarter=quarter_of())))
FLANDERS = gateway_now(meter_now(reading=reading_of(MeterKind.BELGIUM)))


def test_values_are_in_base_units() -> None:
    record = reading_of().telegram
    for name, unit, factor in (
        ("energy_import", "joules_total", 3_600_000),
        ("power_import", "watts", 1000),
        ("reactive_energy_import", "var_seconds_total", 3_600_000),
        ("apparent_power_threshold", "voltamperes", 1000),
    ):
        assert values(HOUSE, f"{name}_{unit}") == [pytest.approx(record[name] * factor, rel=1e-12)]


def test_a_register_is_exact_in_joules() -> None:
    """33643.389 kWh are 121116200400 J, although no binary fraction is 33643.389."""
    for quarters in range(20):
        moment = gateway_now(meter_now(reading=reading_of(at=NOW - 900 * quarters)))
        for name in ("energy_import", "energy_export", "reactive_energy_import"):
            unit = "var_seconds" if name.startswith("reactive") else "joules"
            assert [found % 3600 for found in values(moment, f"{name}_{unit}_total")] == [0]


def test_tariffs_and_phases_are_labels_of_metrics_of_their_own_so_that_sums_are_right() -> None:
    found = metrics(FLANDERS)
    tariffs = found["smarty_tariff_energy_import_joules_total"]
    assert list(tariffs) == [(("meter", "house"), ("tariff", "1")), (("meter", "house"), ("tariff", "2"))]
    assert list(found["smarty_phase_voltage_volts"]) == [
        (("meter", "house"), ("phase", phase)) for phase in ("L1", "L2", "L3")
    ]
    assert "smarty_energy_import_joules_total" not in found


def test_the_running_quarter_hour_is_there() -> None:
    assert values(HOUSE, "quarter_import_joules") == [310 * 3600]
    assert values(HOUSE, "quarter_limit_watts") == [3000]
    assert values(HOUSE, "quarter_will_exceed") == [0]


def test_what_is_not_known_of_the_quarter_hour_is_not_there() -> None:
    unknown = gateway_now(meter_now(reading=reading_of(quarter=quarter_of(energy=None, limit=None))))
    assert [name for name in metrics(unknown) if "quarter" in name] == []


def test_an_m_bus_device_has_a_name_that_is_no_id_and_the_time_of_its_value() -> None:
    found = metrics(FLANDERS)
    (labels, *_), (value, *_) = zip(*found["smarty_mbus_cubic_metres_total"].items(), strict=True)
    gas = reading_of(MeterKind.BELGIUM).telegram["gas"]
    assert dict(labels) == {"meter": "house", "device": f"gas-{gas['id'][-4:]}"}
    assert value == gas["value"]
    read = found["smarty_mbus_read_time_seconds"][labels]
    assert read == datetime.fromisoformat(gas["timestamp"]).timestamp()


@pytest.mark.parametrize("state", [Availability.SILENT, Availability.STARTING])
def test_a_meter_that_is_not_heard_keeps_its_health_and_no_value(state: Availability) -> None:
    """A power of an hour ago is not that of now, and a register that stands still means no consumption."""
    last = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
    silent = meter_now(
        reading=reading_of(), availability=state, health=Health(telegrams=7, last_telegram=last)
    )
    found = metrics(gateway_now(silent))
    of_meter = {
        name for name, samples in found.items() if any(dict(labels).get("meter") for labels in samples)
    }
    assert not [name for name in of_meter if "energy" in name or "power" in name or "quarter" in name]
    assert found["smarty_telegrams_total"] == {(("meter", "house"),): 7}
    assert found["smarty_last_telegram_time_seconds"] == {(("meter", "house"),): last.timestamp()}
    assert list(found.get("smarty_meter_up", {}).values()) == ([0] if state is Availability.SILENT else [])


def test_every_reason_is_there_before_it_occurs() -> None:
    """Prometheus sees no increase in a counter that begins with 1."""
    house = gateway_now(meter_now(health=Health(rejected={"replay": 2})))
    found = {dict(labels)["reason"]: value for labels, value in
             metrics(house)["smarty_rejected_telegrams_total"].items()}  # fmt: skip
    assert found == {reason.value: 2 if reason is Reason.REPLAY else 0 for reason in Reason}


def test_an_output_that_does_not_work_is_down() -> None:
    found = metrics(gateway_now(outputs={"mqtt": "offline", "http": "ok"}))["smarty_output_up"]
    assert found == {(("output", "mqtt"),): 0, (("output", "http"),): 1}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_number_of_every_kind_of_meter_is_exposed_in_both_formats(kind: str) -> None:
    telegram = EVERY_KIND[kind]
    gateway = gateway_now(meter_now(reading=Reading("house", telegram, datetime.now(UTC))))
    plain, opened = metrics(gateway), metrics(gateway, "application/openmetrics-text; version=1.0.0")
    ours = {name: found for name, found in plain.items() if name.startswith("smarty_")}
    assert {name: opened[name] for name in ours} == ours
    numbers = [
        name
        for name, value in telegram.decoded.fields.items()
        if isinstance(value, int | float) or BY_NAME[name].quantity.form is Form.PEAK
    ]
    exposed = [sample for name, found in ours.items() for sample in found if name not in _ALWAYS]
    devices = [device for device in telegram.decoded.devices.values() if "value" in device]
    timed = [device for device in devices if datetime.fromisoformat(device["timestamp"]).tzinfo]
    assert len(exposed) == len(numbers) + len(devices) + len(timed)


_ALWAYS = set(
    metrics(
        gateway_now(
            meter_now(health=Health(last_telegram=datetime.now(UTC)), availability=Availability.SILENT)
        )
    )
)


def test_an_unnamed_meter_has_its_public_name() -> None:
    site = Site()
    site.send()
    answer = site.ask("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert f'meter="{UNNAMED}"' in answer.text
    assert OWN_NAME not in answer.text


def test_who_asks_for_openmetrics_gets_it() -> None:
    asked = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
    answer = Site().ask("/metrics", accept=asked)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.headers["Vary"] == "Accept"
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize("accept", ["text/plain; version=nonsense", "a" * 5000, "*/*;q=x", ";;,,"])
def test_a_header_that_makes_no_sense_gets_the_text_format(accept: str) -> None:
    answer = Site().ask("/metrics", accept=accept)
    assert (answer.status, answer.headers["Content-Type"][:25]) == (200, "text/plain; version=0.0.4")


def test_each_scrape_is_of_its_own_moment() -> None:
    site = Site()
    site.send(at=int(time.time()))
    first = site.ask("/metrics").text
    site.live.forget(OWN_NAME)
    assert UNNAMED in first
    assert UNNAMED not in site.ask("/metrics").text


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (apt-get install prometheus)")
@pytest.mark.parametrize("gateway", [HOUSE, FLANDERS], ids=["luxembourg", "flanders"])
def test_prometheus_own_tool_has_no_complaint(gateway: GatewayNow) -> None:
    _, text = exposition(partial(add_metrics, gateway), "")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)  # noqa: S607 - the one of PATH
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
