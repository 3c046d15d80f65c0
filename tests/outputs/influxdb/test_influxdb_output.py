"""Every reading becomes a point, once, whatever the server does meanwhile."""

import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from smarty_gateway.config.consumers import InfluxConfig
from smarty_gateway.config.values import Config
from smarty_gateway.outputs.influxdb import queues, sender
from smarty_gateway.outputs.influxdb.output import InfluxOutput
from smarty_gateway.outputs.influxdb.points import Points
from smarty_gateway.outputs.output import Reading
from smarty_gateway.safe_text import printable
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from smarty_gateway.state.store import Store
from tests.support.every_meter import EVERY_KIND
from tests.support.influxdb import InfluxServer, Reply, StubInflux, needs_influxdb
from tests.support.line_protocol import Point, read_points
from tests.support.running import wait_until
from tests.support.streams import read, telegrams

START = datetime(2026, 6, 21, 11, 30, tzinfo=UTC)
ZONE = ZoneInfo("Europe/Luxembourg")
METER = SimulatedMeter(MeterKind.BELGIUM, 1)


#: In place of the 3 s for which readings wait for others.
BATCH_EVERY = 0.4


@pytest.fixture(autouse=True)
def _quick_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "BATCH_EVERY", BATCH_EVERY)


def reading_of(seconds: int = 0, name: str = "house", *, is_live: bool = True) -> Reading:
    moment = START + timedelta(seconds=seconds)
    (telegram,) = telegrams(read(METER.telegram(moment)))
    return Reading(name, telegram, moment, is_live=is_live)


def with_text(text: str, received: datetime = START, name: str = "house") -> Reading:
    (telegram,) = telegrams(read(text.encode()))
    return Reading(name, telegram, received)


def points_of(*readings: Reading) -> list[Point]:
    points = Points(ZONE)
    return [point for reading in readings for point in read_points(points.of(reading))]


def expected(reading: Reading) -> dict[str, Any]:
    """Return the fields of a reading."""
    found = {
        name: float(value) if isinstance(value, int | float) else value
        for name, value in reading.telegram.as_object().items()
        if isinstance(value, int | float | str) and name not in {"meter", "timestamp"}
    }
    peak = reading.telegram.as_object().get("peak_demand_month")
    found = found if peak is None else found | {"peak_demand_month": float(peak["value"])}
    return {name: printable(value) if isinstance(value, str) else value for name, value in found.items()}


@contextmanager
def running(folder: Path, port: int, stop: float = 3.0, **options: object) -> Iterator[InfluxOutput]:
    """Run an output until the end of the block."""
    settings: dict[str, Any] = {"host": "127.0.0.1", "port": port, "database": "smarty"} | options
    with Store(folder) as store:
        output = InfluxOutput(Config(()), InfluxConfig(**settings), store)
        output.start()
        try:
            yield output
        finally:
            output.stop(stop)
            assert output.failure is None


def seconds_since(points: list[Point]) -> list[int]:
    return [point.time - int(START.timestamp()) for point in points if point.measurement == "smarty"]


# What a reading becomes


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_number_and_every_text_is_a_field(kind: str) -> None:
    reading = Reading("house", EVERY_KIND[kind], datetime.now(UTC))
    point = points_of(reading)[0]
    assert (point.measurement, point.tags) == ("smarty", {"meter": "house"})
    assert point.fields == expected(reading)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_each_device_is_a_point_at_its_own_time(kind: str) -> None:
    telegram = EVERY_KIND[kind]
    (_, *devices) = points_of(Reading("house", telegram, datetime.now(UTC)))
    found = {point.tags["device"]: point for point in devices}
    valued = {n: d for n, d in telegram.decoded.devices.items() if "timestamp" in d or "value" in d}
    assert found.keys() == valued.keys()
    for name, device in valued.items():
        point = found[name]
        assert (point.measurement, point.tags["meter"]) == ("smarty_mbus", "house")
        assert point.fields == {
            key: float(value) if isinstance(value, int | float) else value
            for key, value in device.items()
            if key != "timestamp"
        }
        time_of = device.get("timestamp", "")
        if time_of[-6:-5] in ("+", "-"):
            assert point.time == datetime.fromisoformat(time_of).timestamp()


def test_a_device_is_written_again_when_its_own_time_changes() -> None:
    readings = [reading_of(seconds) for seconds in range(0, 3600, 60)]
    written = [(p.tags["device"], p.time) for p in points_of(*readings) if p.measurement == "smarty_mbus"]
    own = [
        (name, device["timestamp"]) for r in readings for name, device in r.telegram.decoded.devices.items()
    ]
    assert written == [(n, datetime.fromisoformat(text).timestamp()) for n, text in dict.fromkeys(own)]
    assert len(written) < len(readings)


NO_LETTER = "/ISK5\\2M550T-1012\r\n\r\n0-0:1.0.0(251026023000)\r\n1-0:1.7.0(00.5*kW)\r\n!\r\n"


@pytest.mark.parametrize(("hour", "offset"), [(0, 2), (1, 1)])
def test_a_time_that_exists_twice_is_the_one_nearer_to_its_arrival(hour: int, offset: int) -> None:
    received = datetime(2025, 10, 26, hour, 30, 4, tzinfo=UTC)
    text = NO_LETTER.removesuffix("!\r\n").encode() + b"!"
    checked = text.decode() + f"{_crc(text):04X}\r\n"
    (point,) = points_of(with_text(checked, received))
    assert point.time == datetime(2025, 10, 26, 2 - offset, 30, tzinfo=UTC).timestamp()


def _crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def test_a_telegram_without_a_time_is_dated_by_its_arrival() -> None:
    text = "/ISk5\\2MT382-1003\r\n\r\n1-0:1.7.0(0000.91*kW)\r\n!\r\n"
    (point,) = points_of(with_text(text, START))
    assert point.time == START.timestamp()


# How it gets there


def test_readings_go_out_in_order_and_those_that_come_meanwhile_together(tmp_path: Path) -> None:
    with StubInflux() as server, running(tmp_path, server.port) as output:
        output.publish(reading_of(0))
        wait_until(lambda: server.accepted, "the first reading")
        for seconds in range(1, 4):
            output.publish(reading_of(seconds))
        wait_until(lambda: not output.is_busy, "the others")
        assert seconds_since(server.accepted) == [0, 1, 2, 3]
        assert len(server.requests) == 2


def test_readings_that_come_without_pause_hold_up_no_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines_of = Points.of
    with StubInflux() as server, running(tmp_path, server.port) as output:

        def of(points: Points, reading: Reading) -> str:
            if not server.requests:
                output.publish(reading)  # so one more waits whenever one was taken
            return lines_of(points, reading)

        monkeypatch.setattr(Points, "of", of)
        output.publish(reading_of())
        wait_until(lambda: server.requests, "the first batch")


def test_the_end_sends_what_waits(tmp_path: Path) -> None:
    with StubInflux() as server:
        with running(tmp_path, server.port) as output:
            for seconds in range(20):
                output.publish(reading_of(seconds))
        assert seconds_since(server.accepted) == [*range(20)]
        request = server.requests[-1]
        assert request.path == "/write"
        assert request.query == {"db": ["smarty"], "precision": ["s"]}
        assert request.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    "reply",
    [Reply(200, b"<html>"), Reply(500), Reply(302, headers={"Location": "/write"}), Reply(404), Reply(429)],
)
def test_what_is_not_accepted_waits_over_a_restart(tmp_path: Path, reply: Reply) -> None:
    with StubInflux() as server:
        server.reply = reply
        with running(tmp_path, server.port) as output:
            for seconds in range(5):
                output.publish(reading_of(seconds))
            wait_until(lambda: output.state == "offline", "the answer")
            assert not output.is_busy
        server.reply = Reply()
        with running(tmp_path, server.port) as output:
            output.publish(reading_of(5))
            wait_until(lambda: not output.is_busy, "all readings")
        assert list(dict.fromkeys(seconds_since(server.accepted))) == [*range(6)]


def test_a_server_that_does_not_answer_delays_no_stop_and_loses_nothing(tmp_path: Path) -> None:
    with StubInflux() as server:
        go_on = threading.Event()
        server.reply = Reply(wait=go_on)
        with running(tmp_path, server.port, stop=1.5) as output:
            output.publish(reading_of())
            wait_until(lambda: server.requests, "the request")
            began = time.monotonic()
        assert time.monotonic() - began < 1.5
        go_on.set()
        server.reply = Reply()
        server.forget()
        with running(tmp_path, server.port):
            wait_until(lambda: server.accepted, "the reading")


def test_a_refused_batch_is_put_aside_and_tried_again_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = json.dumps({"error": "partial write: field type conflict: \x1b[31minput field"}).encode()
    with StubInflux() as server:
        server.replies.append(Reply(400, words))
        with running(tmp_path, server.port) as output:
            output.publish(reading_of(0))
            wait_until(lambda: output.state == "refused", "the refusal")
            output.publish(reading_of(1))
            wait_until(lambda: output.state == "ok", "the next batch")
        assert seconds_since(server.accepted) == [1]
        (message,) = [record.getMessage() for record in caplog.records]
        assert message == (
            f"the influxdb output: the InfluxDB server 127.0.0.1:{server.port} refuses readings (400 partial "
            "write: field type conflict: \\x1b[31minput field): another program has written this field in "
            f"another form; use a database for this alone; they are put aside in {tmp_path}/"
            "gateway.sqlite3 (1 so far) and tried again every hour"
        )
        with running(tmp_path, server.port):
            wait_until(lambda: len(server.accepted) >= 2 and seconds_since(server.accepted) == [1, 0], "it")


def test_one_reading_that_is_always_refused_holds_up_no_other(tmp_path: Path) -> None:
    with StubInflux() as server:
        server.reply = lambda request: Reply(400 if 7 in seconds_since(request.points) else 204)
        with running(tmp_path, server.port) as output:
            output.publish(reading_of(100))
            wait_until(lambda: server.accepted, "the first")
            for seconds in range(20):
                output.publish(reading_of(seconds))
            wait_until(lambda: output.state == "refused", "the refusal")
        with running(tmp_path, server.port):
            wait_until(lambda: len(set(seconds_since(server.accepted))) == 20, "all but one")
        assert 7 not in seconds_since(server.accepted)
        server.reply = Reply()
        with running(tmp_path, server.port):
            wait_until(lambda: 7 in seconds_since(server.accepted), "the last one")


def test_a_row_that_was_damaged_on_the_disk_holds_up_no_other(tmp_path: Path) -> None:
    payloads = [Points(ZONE).of(reading_of(seconds)).encode() for seconds in range(3)]
    payloads[1] = payloads[1].replace(b"meter=", b"\xff\n\xfe=")
    with Store(tmp_path) as store:
        store.add_undelivered("influxdb", [("house", payload) for payload in payloads])
    with StubInflux() as server:
        server.reply = lambda request: Reply(400 if "\ufffd" in request.lines else 204)
        with running(tmp_path, server.port) as output:
            wait_until(lambda: output.state == "refused", "the refusal")
        with running(tmp_path, server.port):
            wait_until(lambda: len(seconds_since(server.accepted)) == 2, "the others")
        assert seconds_since(server.accepted) == [0, 2]


def test_what_was_on_the_disk_and_is_refused_is_on_the_disk_before_a_crash_could_lose_it(
    tmp_path: Path,
) -> None:
    with Store(tmp_path) as store:
        payloads = [Points(ZONE).of(reading_of(seconds)).encode() for seconds in range(3)]
        store.add_undelivered("influxdb", [("house", payload) for payload in payloads])
    with StubInflux() as server:
        server.reply = Reply(400)
        with running(tmp_path, server.port) as output:
            wait_until(lambda: output.state == "refused", "the refusal")
            with Store(tmp_path) as store:
                assert store.count_undelivered("influxdb-refused") == 3


def test_what_is_put_aside_follows_once_the_server_accepts_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "_TRY_EVERY", 0.2)
    with StubInflux() as server:
        server.reply = Reply(403)
        with running(tmp_path, server.port, user="gateway") as output:
            for seconds in range(3):
                output.publish(reading_of(seconds))
            wait_until(lambda: "still refuses what is put aside (" in caplog.text, "the second refusal")
            assert "refuses readings (403): give user gateway the right to write; they" in caplog.text
            server.reply = Reply()
            wait_until(lambda: "has the readings that were put aside" in caplog.text, "the readings")
        assert sorted(set(seconds_since(server.accepted))) == [0, 1, 2]


def test_a_batch_that_is_too_large_goes_out_in_parts(tmp_path: Path) -> None:
    with StubInflux() as server:
        server.reply = lambda request: Reply(413 if len(request.points) > 8 else 204)
        with running(tmp_path, server.port) as output:
            for seconds in range(50):
                output.publish(reading_of(seconds))
            wait_until(lambda: server.accepted and not output.is_busy, "all")
        assert seconds_since(server.accepted) == [*range(50)]


def test_a_password_that_was_corrected_is_used_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    password = tmp_path / "influx.password"
    password.write_text("wrong horse\n")
    password.chmod(0o600)
    right = "Basic " + base64.b64encode("gäte:right horse".encode()).decode()
    with StubInflux() as server:
        server.reply = lambda request: Reply(204 if request.headers["Authorization"] == right else 401)
        with running(tmp_path, server.port, user="gäte", password_file=password) as output:
            output.publish(reading_of())
            wait_until(lambda: output.state == "offline", "the refusal")
            password.write_text("right horse\n")
            wait_until(lambda: server.accepted, "the reading")
    assert "refuses user gäte (401): check the user and the password in" in caplog.text
    assert "horse" not in caplog.text


def test_influxdb_2_gets_org_bucket_and_token(tmp_path: Path) -> None:
    token = tmp_path / "influx.token"
    token.write_text("abc==\n")
    token.chmod(0o600)
    login: dict[str, Any] = {"database": None, "bucket": "a b", "org": "home&x=1", "token_file": token}
    with StubInflux() as server, running(tmp_path, server.port, **login) as output:
        output.publish(reading_of())
        wait_until(lambda: server.accepted, "the reading")
        request = server.requests[0]
        assert (request.path, request.headers["Authorization"]) == ("/api/v2/write", "Token abc==")
        assert request.query == {"org": ["home&x=1"], "bucket": ["a b"], "precision": ["s"]}


def test_a_token_of_several_words_is_refused_without_being_repeated(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = tmp_path / "influx.token"
    token.write_text("Token aGVsbG8=\n")
    token.chmod(0o600)
    with StubInflux() as server:
        with running(tmp_path, server.port, database=None, bucket="smarty", token_file=token) as output:
            output.publish(reading_of())
            wait_until(lambda: output.state == "offline", "the fault")
        assert server.requests == []
    assert f"{token}: a token is one word of ASCII characters; write nothing else into it" in caplog.text
    assert "aGVsbG8" not in caplog.text


def test_a_recording_waits_for_a_server_that_is_there(tmp_path: Path) -> None:
    go_on = threading.Event()
    with StubInflux() as server:
        server.reply = Reply(wait=go_on)
        with running(tmp_path, server.port) as output:
            reading = reading_of(is_live=False)
            publishing = threading.Thread(target=_publish_often, args=(output, reading))
            publishing.start()
            wait_until(lambda: not output.has_room, "the limit")
            assert publishing.is_alive()
            go_on.set()
            publishing.join(30)
            assert not publishing.is_alive()


def _publish_often(output: InfluxOutput, reading: Reading) -> None:
    for _ in range(6000):
        output.publish(reading)


MISSING = {
    "smarty": "type influx -execute 'CREATE DATABASE smarty', or",
    'a"b': 'type influx -execute \'CREATE DATABASE "a\\"b"\', or',
}


@pytest.mark.parametrize("database", MISSING)
def test_a_missing_database_is_said_with_the_command_that_makes_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, database: str
) -> None:
    with StubInflux() as server:
        server.reply = Reply(404, json.dumps({"error": f'database not found: "{database}"'}).encode())
        with running(tmp_path, server.port, database=database) as output:
            output.publish(reading_of())
            wait_until(lambda: output.state == "offline", "the answer")
    assert MISSING[database] in caplog.text


def test_a_bucket_in_an_old_influxdb_is_called_a_mistake(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with StubInflux() as server:
        server.reply = Reply(404, b"404 page not found\n")
        with running(tmp_path, server.port, database=None, bucket="smarty") as output:
            output.publish(reading_of())
            wait_until(lambda: output.state == "offline", "the answer")
    assert "is of another version (404 404 page not found): InfluxDB 1 has a database; else" in caplog.text


# The real server


@needs_influxdb
@pytest.mark.slow
def test_every_point_is_there_once_though_the_server_is_killed_under_load(tmp_path: Path) -> None:
    readings = [reading_of(seconds, f"house {seconds % 5}") for seconds in range(3000)]
    folder = tmp_path / "influxdb"
    folder.mkdir()
    password = tmp_path / "influx.password"
    password.write_text("correct horse\n")
    password.chmod(0o600)
    with InfluxServer(folder, {"gateway": "correct horse"}) as server:
        with running(tmp_path, server.port, user="gateway", password_file=password) as output:
            done = threading.Event()
            killing = threading.Thread(target=_kill_again_and_again, args=(server, done))
            killing.start()
            for reading in readings:
                output.publish(reading)
                time.sleep(0.01)
            done.set()
            killing.join()
            wait_until(lambda: not output.is_busy and output.state == "ok", "the rest")
        meters = sorted(server.points("smarty"), key=lambda point: point["time"])
        assert [point.pop("time") for point in meters] == [int(r.received.timestamp()) for r in readings]
        assert meters == [{"meter": r.meter, **expected(r)} for r in readings]
        devices = {(p["time"], p["device"], p["meter"]): p["value"] for p in server.points("smarty_mbus")}
        assert devices == _device_values(readings)


def _kill_again_and_again(server: InfluxServer, done: threading.Event) -> None:
    while not done.wait(2):
        server.kill()
        done.wait(2)
        server.start()


def _device_values(readings: list[Reading]) -> Mapping[tuple[int, str, str], float]:
    return {
        (int(datetime.fromisoformat(device["timestamp"]).timestamp()), name, reading.meter): device["value"]
        for reading in readings
        for name, device in reading.telegram.decoded.devices.items()
    }
