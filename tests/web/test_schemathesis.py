"""schemathesis makes requests out of the OpenAPI document, right and wrong ones, and compares the answers."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smarty_gateway.config.values import HttpConfig, Outputs
from smarty_gateway.outputs.output import GatewayHealth, Health
from smarty_gateway.simulator.meters import MeterKind
from smarty_gateway.web.output import HttpOutput
from tests.support.brokers import free_port
from tests.support.running import wait_until
from tests.support.site import OWN_NAME, write_days
from tests.support.views import config_of, quarter_of, reading_of

schemathesis = pytest.importorskip("schemathesis", reason="needs the extra `acceptance`")
pytestmark = pytest.mark.slow

EXAMPLES = 40
#: No schema can say that `from` is before `to`, that a day is one of the calendar, or how long is too long.
SETTINGS = """
[checks]
max_response_time = 10.0

[[operations]]
include-path-regex = "/(history|peaks|registers)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 404]
"""
PASSWORD = "correct horse"  # noqa: S105 - of this test


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Yield what starts a site with meters that send, that were never heard, and that have only a history."""
    write_days(tmp_path)
    with ExitStack() as stack:

        def started(password_file: Path | None = None) -> str:
            http = HttpConfig(port=free_port(), password_file=password_file)
            config = replace(config_of("house", "barn"), outputs=Outputs(http=http))
            output = HttpOutput(config, http, tmp_path)
            output.start()
            stack.callback(output.stop, 10)
            now = int(datetime.now(UTC).timestamp())
            output.publish(reading_of(at=now, quarter=quarter_of(now)))
            output.publish(reading_of(MeterKind.BELGIUM, name=OWN_NAME, at=now))
            health = Health(telegrams=3, rejected={"replay": 2}, last_telegram=datetime.now(UTC))
            output.report({"house": health}, GatewayHealth(counters_kept=True, outputs={"mqtt": "offline"}))
            wait_until(lambda: output.state == "ok", "the page")
            return f"http://{http.address}"

        yield started


def run(folder: Path, url: str, *options: str) -> str:
    """Return what schemathesis prints; it must find nothing."""
    (folder / "schemathesis.toml").write_text(SETTINGS, "utf-8")
    program = Path(sys.executable).parent / "schemathesis"
    command: list[str | Path] = [
        program, "--config-file", folder / "schemathesis.toml", "run", f"{url}/api/v1/openapi.json",
        "--no-color", "--generation-deterministic", *options,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "120"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_api_is_as_its_document_says(serve: Callable[..., str], tmp_path: Path) -> None:
    printed = run(tmp_path, serve(), "--checks", "all", "--max-examples", str(EXAMPLES))
    assert "Tested: 8" in printed


def test_the_api_asks_for_the_password_that_its_document_names(
    serve: Callable[..., str], tmp_path: Path
) -> None:
    file = tmp_path / "web.password"
    file.write_text(PASSWORD, "utf-8")
    file.chmod(0o600)
    # Five wrong passwords lock the address out for a minute, so there is a request or two for each address.
    checks = "ignored_auth,status_code_conformance,content_type_conformance,response_headers_conformance"
    printed = run(
        tmp_path, serve(file), "--checks", checks, "--max-examples", "1", "--auth", f"me:{PASSWORD}"
    )
    assert "Tested: 8" in printed
