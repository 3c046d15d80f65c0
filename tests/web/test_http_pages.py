"""docs/api.md, docs/prometheus.md and the HTTP section of the reference are true of the program."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from smarty_gateway.config.values import HttpConfig
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.pages.snapshots import Availability
from smarty_gateway.simulator.meters import MeterKind
from smarty_gateway.web.exposition import exposition
from smarty_gateway.web.metrics import add_metrics
from smarty_gateway.web.openapi import LONGEST, MOST_PEAKS, document
from smarty_gateway.web.output import HttpOutput
from tests.support.brokers import free_port
from tests.support.commands import LIMIT, ROOT
from tests.support.every_meter import EVERY_KIND
from tests.support.running import wait_until
from tests.support.site import write_days
from tests.support.views import config_of, gateway_now, meter_now, quarter_of, reading_of

API_PAGE = (ROOT / "docs/api.md").read_text("utf-8")
PROMETHEUS_PAGE = (ROOT / "docs/prometheus.md").read_text("utf-8")
REFERENCE = (ROOT / "docs/reference.md").read_text("utf-8").partition("\n## HTTP\n")[2].partition("\n## ")[0]


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def metric_names(text: str) -> set[str]:
    """Return the names of metrics in a text; NAME and UNIT stand for several."""
    return {name for name in re.findall(r"\bsmarty_\w+", text) if name == name.lower()}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a gateway with a meter called house."""
    folder = tmp_path_factory.mktemp("state")
    write_days(folder)
    http = HttpConfig(port=free_port())
    output = HttpOutput(config_of("house"), http, folder)
    output.publish(reading_of(at=int(time.time())))
    health = Health(telegrams=1, last_telegram=datetime.now(UTC))
    output.report({"house": health}, GatewayHealth(counters_kept=True, outputs={"http": "ok"}))
    output.start()
    wait_until(lambda: output.state == "ok", "the page")
    yield http.address
    output.stop(10)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("block", blocks(API_PAGE, "sh"))
def test_every_command_of_the_page_gets_an_answer(block: str, address: str, tmp_path: Path) -> None:
    script = block.replace("localhost:8300", address).replace("curl -s", "curl -sS --fail")
    done = subprocess.run(
        f"set -e\n{script}", shell=True, cwd=tmp_path, capture_output=True, check=False, timeout=LIMIT
    )
    assert (done.returncode, done.stderr) == (0, b"")
    printed = done.stdout or b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert printed


@pytest.mark.parametrize("block", blocks(API_PAGE, "python"))
def test_every_program_of_the_page_prints_something(block: str, address: str) -> None:
    program = block.replace("localhost:8300", address)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"kWh") >= 1


def test_every_address_of_the_api_is_in_the_reference() -> None:
    shown = {re.sub("METER", "{meter}", path) for path in re.findall(r"`(/api/v1/[\w./]+)", REFERENCE)}
    assert shown == set(document("", needs_password=False)["paths"])


def test_the_limits_are_those_of_the_program() -> None:
    for page in (API_PAGE, REFERENCE):
        days = {
            int(number)
            for number in re.findall(r"(\d+) days at most, peaks|peaks for (\d+)", page)[0]
            if number
        }
        assert days == {LONGEST["by=quarter"]} == {LONGEST["by=hour"]}
        assert f"peaks for {LONGEST['peaks']}" in page
    assert f"1 to {MOST_PEAKS}" in REFERENCE


def test_the_error_that_is_shown_is_one(address: str) -> None:
    (shown,) = (json.loads(block) for block in blocks(API_PAGE, "json"))
    done = subprocess.run(
        ["curl", "-s", f"http://{address}/api/v1/meters/hous/now"],  # noqa: S607 - the one of PATH
        capture_output=True, check=True, timeout=LIMIT,
    )  # fmt: skip
    assert json.loads(done.stdout) == shown


def test_every_metric_that_is_named_is_there() -> None:
    readings = [Reading("house", telegram, datetime.now(UTC)) for telegram in EVERY_KIND.values()]
    readings += [reading_of(quarter=quarter_of()), reading_of(MeterKind.BELGIUM)]
    health = Health(last_telegram=datetime.now(UTC))
    meters = [
        meter_now(reading=reading, availability=Availability.ONLINE, health=health) for reading in readings
    ]
    exposed = metric_names(exposition(partial(add_metrics, gateway_now(*meters)), "")[1].decode())
    for page in (PROMETHEUS_PAGE, REFERENCE):
        assert metric_names(re.sub(r"smarty\.\w+|job_name: smarty", "", page)) - exposed == set()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (apt-get install prometheus)")
def test_prometheus_takes_configuration_rules_and_queries(tmp_path: Path) -> None:
    configuration, rules = blocks(PROMETHEUS_PAGE, "yaml")
    (tmp_path / "smarty.password").write_text("secret", "utf-8")
    (tmp_path / "smarty.rules.yml").write_text(rules, "utf-8")
    file = tmp_path / "prometheus.yml"
    file.write_text(configuration.replace("/etc/prometheus", str(tmp_path)), "utf-8")
    queries = [line for block in blocks(PROMETHEUS_PAGE, "promql") for line in block.splitlines()]
    assert len(queries) >= 3
    recorded = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "queries.yml").write_text(json.dumps({"groups": [{"name": "queries", "rules": recorded}]}))
    for what, checked in (("config", "prometheus.yml"), ("rules", "queries.yml")):
        done = subprocess.run(
            ["promtool", "check", what, checked],  # noqa: S607 - the one of PATH
            cwd=tmp_path, capture_output=True, check=False, timeout=LIMIT,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
