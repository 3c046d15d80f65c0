"""The output `domoticz` over HTTP, against a server that behaves as Domoticz' source code says."""

import logging
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.outputs import attempts
from smarty_gateway.outputs.domoticz.output import DomoticzOutput
from smarty_gateway.outputs.http_client import Answer, HttpClient
from smarty_gateway.outputs.output import Reading
from smarty_gateway.simulator.ports import PtyPort
from tests.support.domoticz_server import DomoticzServer, Fault
from tests.support.mqtt_runs import reading_of
from tests.support.running import Running, wait_until
from vectors.building_blocks import belgium, luxembourg

ELECTRICITY = "531250;640792;61957;23548;0;1207"
TOTALS = "1234567;0;890123;0;1312;0"
PASSWORD = "correct horse battery"  # noqa: S105 - of a throw-away server
_log = logging.getLogger(__name__)
PLAIN_HTTP = "`Allow Basic-Auth authentication over plain HTTP`"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon."""
    monkeypatch.setattr(attempts, "DELAYS", (0.05,))


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "domoticz.password"
    file.touch(0o600)
    file.write_text(f"{PASSWORD}\n", "utf-8")
    return file


@contextmanager
def output_for(
    folder: Path, url: str, more: str = "interval: 0", first: Sequence[Reading] = ()
) -> Iterator[DomoticzOutput]:
    """Run the output alone, for the meters `house` and `barn`; it finds these readings when it starts."""
    file = folder / "gateway.yaml"
    file.write_text(
        f"meters: [{{name: house, source: {folder}/house}}, {{name: barn, source: {folder}/barn}}]\n"
        "outputs:\n  domoticz:\n"
        "    devices: {house: {electricity: 12, gas: 13}, barn: {electricity: 14}}\n"
        f"    url: {url}\n    {more}\n",
        "utf-8",
    )
    config = load_config(file)
    assert config.outputs.domoticz is not None
    output = DomoticzOutput(config, config.outputs.domoticz)
    for reading in first:
        output.publish(reading)
    output.start()
    try:
        yield output
    finally:
        output.stop(5.0)
    assert output.failure is None


HOUSE = reading_of(belgium(0))


def barn(energy: float = 1234.567) -> Reading:
    return reading_of(luxembourg(0, energy), "barn")


def wait_for_line(caplog: pytest.LogCaptureFixture, words: str, times: int = 1) -> str:
    """Wait for lines of the log, and return the last one."""
    wait_until(lambda: sum(words in line for line in caplog.messages) >= times, words)
    return [line for line in caplog.messages if words in line][-1]


def test_each_device_gets_the_values_of_its_meter(tmp_path: Path) -> None:
    with DomoticzServer(12, 13, 14) as server, output_for(tmp_path, server.url) as output:
        output.publish(HOUSE)
        output.publish(barn())
        wait_until(lambda: all(server.values.values()), "values")
        assert [server.of(device)[0] for device in (12, 13, 14)] == [ELECTRICITY, "112384", TOTALS]
        wait_until(lambda: not output.is_busy, "the end")
        assert output.state == "ok"


def test_a_device_that_domoticz_does_not_have_is_named_and_hinders_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with DomoticzServer(13, 14) as server, output_for(tmp_path, server.url) as output:
        output.publish(HOUSE)
        line = wait_for_line(caplog, "the idx 12")
        assert line == (
            "the Domoticz output: Domoticz has no device with the idx 12, or its hardware is disabled: find "
            "the idx under Setup, Devices, and write it below `devices:` in gateway.yaml; trying again until "
            "it works"
        )
        output.publish(barn())
        wait_until(lambda: server.of(13) and server.of(14), "the other devices")
        assert output.state == "failing"
        server.values[12] = []
        server.may_use = (12, 13, 14)

        def is_served() -> bool:
            output.publish(HOUSE)
            return bool(server.of(12))

        wait_until(is_served, "the device")
        wait_for_line(caplog, "the device 12 takes values again")
        assert output.state == "ok"
    assert len(caplog.messages) == 2


def test_a_user_who_may_not_write_to_a_device_is_told_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, password_file: Path
) -> None:
    users = {"gateway": PASSWORD}
    more = f"interval: 0\n    user: gateway\n    password_file: {password_file}"
    with (
        DomoticzServer(12, 13, 14, users=users, allows_basic=True, may_use=(13, 14)) as server,
        output_for(tmp_path, server.url, more) as output,
    ):
        output.publish(HOUSE)
        line = wait_for_line(caplog, "the device 12")
        assert "does not let the user 'gateway' write to the device 12: under Setup, Users," in line
        wait_until(lambda: server.of(13), "the other device")


# The login


def test_where_domoticz_wants_a_user_the_line_says_how_to_name_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        DomoticzServer(12, 13, 14, is_trusted=False) as server,
        output_for(tmp_path, server.url) as output,
    ):
        output.publish(HOUSE)
        line = wait_for_line(caplog, "wants a user")
        assert "add `user:` and `password_file:`" in line
        assert "Trusted Networks in Domoticz under Setup, Settings, Security" in line
        wait_until(lambda: output.state == "offline", "offline")


@pytest.mark.parametrize("is_trusted", [True, False])
def test_the_line_for_a_refused_login_names_the_setting_for_plain_http(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, password_file: Path, *, is_trusted: bool
) -> None:
    with (
        DomoticzServer(12, 13, 14, users={"gateway": PASSWORD}, is_trusted=is_trusted) as server,
        output_for(tmp_path, server.url, f"user: gateway\n    password_file: {password_file}") as output,
    ):
        output.publish(HOUSE)
        line = wait_for_line(caplog, "refuses the login as 'gateway'")
        assert str(password_file) in line
        assert f"tick {PLAIN_HTTP} under API Protection (in Domoticz under Setup, Settings, Security)" in line
        assert PASSWORD not in caplog.text
        server.allows_basic = True
        wait_until(lambda: server.of(12), "a value")
        wait_for_line(caplog, "the Domoticz output is connected again")
    assert len(caplog.messages) == 2


def test_a_corrected_password_is_used_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, password_file: Path
) -> None:
    users = {"gateway": "another one"}
    with (
        DomoticzServer(12, 13, 14, users=users, is_trusted=False, allows_basic=True) as server,
        output_for(tmp_path, server.url, f"user: gateway\n    password_file: {password_file}") as output,
    ):
        output.publish(HOUSE)
        wait_for_line(caplog, "refuses the login")
        password_file.write_text("another one\n", "utf-8")
        wait_until(lambda: server.of(12), "a value")


def test_a_password_file_that_cannot_be_used_is_said_and_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, password_file: Path
) -> None:
    password_file.chmod(0o644)
    with (
        DomoticzServer(12, 13, 14, users={"gateway": PASSWORD}, allows_basic=True) as server,
        output_for(tmp_path, server.url, f"user: gateway\n    password_file: {password_file}") as output,
    ):
        output.publish(HOUSE)
        wait_for_line(caplog, "chmod 600")
        assert server.requests == 0
        password_file.chmod(0o600)
        wait_until(lambda: server.of(12), "a value")


# A server with faults


@pytest.mark.parametrize(
    "fault",
    [
        (500, b"\x1b[2J\n" * 50_000),
        (200, b"[" * 50_000),
        (200, b'{"status": ["OK"]}'),
        (200, b"<html>a login page</html>"),
        (302, b""),
    ],
    ids=["500", "nested", "another type", "no JSON", "a redirect"],
)
def test_whatever_a_server_answers_is_one_line_a_device_until_it_takes_values_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Fault
) -> None:
    with DomoticzServer(12, 13, 14) as server, output_for(tmp_path, server.url) as output:
        server.fault = lambda _: fault

        def is_asked_often() -> bool:
            output.publish(HOUSE)
            return server.requests >= 8

        wait_until(is_asked_often, "attempts")
        assert output.state == "failing"
        assert sorted(line.partition("device ")[2][:2] for line in caplog.messages) == ["12", "13"]
        assert all(line.isprintable() and len(line) < 800 for line in caplog.messages)
        server.fault = lambda _: None

        def is_served() -> bool:
            output.publish(HOUSE)
            return bool(server.of(12) and server.of(13))

        wait_until(is_served, "values")
        wait_until(lambda: output.state == "ok", "ok")
    assert sum("takes values again" in line for line in caplog.messages) == 2
    assert len(caplog.messages) == 4


def test_a_server_that_is_away_is_one_line_and_then_gets_the_newest_value_of_each_meter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts_made: list[str] = []
    request = HttpClient.request

    def counted(client: HttpClient, method: str, path: str, *rest: Any, **more: Any) -> Answer:  # noqa: ANN401 - as it is
        attempts_made.append(path)
        return request(client, method, path, *rest, **more)

    monkeypatch.setattr(HttpClient, "request", counted)
    with DomoticzServer(12, 13, 14) as server:
        port = server.port
    with output_for(tmp_path, f"http://127.0.0.1:{port}") as output:
        output.publish(barn())
        line = wait_for_line(caplog, "refuses the connection")
        assert f"127.0.0.1:{port}" in line
        output.publish(barn(1300.0))
        output.publish(HOUSE)
        wait_until(lambda: output.state == "offline", "offline")
        # The first attempt that begins from here on may still have the value before.
        begun = len(attempts_made)
        wait_until(lambda: len(attempts_made) >= begun + 2, "an attempt with the newest values")
        server.start(port)
        wait_until(lambda: server.of(12) and server.of(13) and server.of(14), "values")
        assert server.of(14) == ["1300000;0;890123;0;1312;0"]
        wait_for_line(caplog, "the Domoticz output is connected again")
        server.stop()
    assert len(caplog.messages) == 2


def hang_up(_: int) -> Fault | None:
    raise ConnectionAbortedError


def test_a_server_that_hangs_up_is_not_taken_for_back_because_another_meter_has_no_device(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = [reading_of(belgium(0), "shed"), HOUSE]
    with DomoticzServer(12, 13, 14) as server:
        server.fault = hang_up
        with output_for(tmp_path, server.url, first=first):
            wait_until(lambda: server.requests >= 8, "attempts")
            (line,) = caplog.messages
            assert "has closed the connection" in line
            server.fault = lambda _: None
            wait_until(lambda: server.of(12) and server.of(13), "values")


def test_after_a_slow_answer_the_newest_value_is_sent_and_not_the_next_one(tmp_path: Path) -> None:
    may_answer = threading.Event()

    def wait(_: int) -> Fault | None:
        may_answer.wait(30)
        return None

    with DomoticzServer(12, 13, 14) as server, output_for(tmp_path, server.url) as output:
        server.fault = wait
        output.publish(barn(1.0))
        wait_until(lambda: server.requests == 1, "a request")
        for kilowatt_hours in range(2, 50):
            output.publish(barn(kilowatt_hours))
        may_answer.set()
        wait_until(lambda: len(server.of(14)) == 2, "two values")
        wait_until(lambda: not output.is_busy, "the end")
        assert [svalue.split(";")[0] for svalue in server.of(14)] == ["1000", "49000"]


def test_a_reading_that_could_not_be_sent_does_not_take_the_place_of_a_newer_one(tmp_path: Path) -> None:
    may_answer = threading.Event()

    def hang_up_late(_: int) -> Fault | None:
        may_answer.wait(30)
        server.fault = lambda _: None
        raise ConnectionAbortedError

    with DomoticzServer(12, 13, 14) as server, output_for(tmp_path, server.url) as output:
        server.fault = hang_up_late
        output.publish(barn(1.0))
        wait_until(lambda: server.requests == 1, "a request")
        output.publish(barn(2.0))
        may_answer.set()
        wait_until(lambda: server.of(14), "a value")
        assert server.of(14)[0].split(";")[0] == "2000"


def test_the_output_ends_in_time_while_the_server_does_not_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with DomoticzServer(12, 13, 14) as server, output_for(tmp_path, server.url) as output:
        may_answer = threading.Event()
        server.fault = lambda _: (500, b"") if may_answer.wait(60) else None
        output.publish(HOUSE)
        wait_until(lambda: server.requests == 1, "a request")
        output.stop(2.0)
        assert not caplog.messages  # such as that it did not end in time
        may_answer.set()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["500", "late"])
def test_reading_goes_on_undisturbed_while_domoticz_has_a_fault(tmp_path: Path, fault: str) -> None:
    with DomoticzServer(12, 13) as server:
        (tmp_path / "gateway.yaml").write_text(
            f"meters: [{{name: house, source: {tmp_path}/port}}]\n"
            "outputs:\n  stdout: {format: json}\n"
            f"  domoticz: {{url: '{server.url}', devices: {{house: {{electricity: 12, gas: 13}}}}, "
            "interval: 0}\n",
            "utf-8",
        )
        port = PtyPort(tmp_path / "port")
        with Running("run", folder=tmp_path) as running:
            running.wait_for_port(port.name)
            before = latencies(running, port)
            assert server.of(12)
            server.fault = FAULTS[fault]
            during = latencies(running, port)
            assert running.stop() == 0
            assert running.says("did not end in time") == 0
        port.close()
    _log.warning("%s: %s ms before, %s ms during the fault (median and maximum)", fault, before, during)
    assert during[1] < 5000  # a request to a server that does not answer takes 10 s


def answer_late(_: int) -> None:
    time.sleep(30)


FAULTS: dict[str, Callable[[int], Fault | None]] = {
    "500": lambda _: (500, b"Internal Server Error"),
    "late": answer_late,
}


def latencies(running: Running, port: PtyPort) -> tuple[float, float]:
    """Send telegrams, and return the median and the longest time to standard output, in milliseconds."""
    seen = []
    for number in range(200):
        count = len(running.times)
        begin = time.monotonic()
        port.write(belgium(number))
        running.wait_for_readings(count + 1)
        seen.append(1000 * (running.times[count] - begin))
    return round(statistics.median(seen), 1), round(max(seen), 1)
