"""The broker that Home Assistant names is found whenever it comes, and its password is in no log."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.http_client import Answer
from smarty_gateway.outputs.mqtt import broker_status, supervisor
from smarty_gateway.outputs.mqtt.broker_errors import (
    ConnectionFailed,
    network_failure,
    no_answer,
    refused_connection,
)
from smarty_gateway.outputs.mqtt.supervisor import with_named_broker
from tests.support.brokers import Authority, Broker, Subscriber, free_port
from tests.support.fake_supervisor import TOKEN, FakeSupervisor
from tests.support.mqtt_runs import mqtt_output, reading_of
from tests.support.running import wait_until
from vectors.building_blocks import belgium

CONFIG = MqttConfig("core-mosquitto", is_from_supervisor=True)
OLD, NEW = "the-old-Password", "the-new-Password"
ADVICE = "install the app Mosquitto broker in Settings > Apps; nothing else is needed"


@pytest.fixture(autouse=True)
def app(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Run as an app; neither its token nor a password may be logged."""
    monkeypatch.setenv("SUPERVISOR_TOKEN", TOKEN)
    yield
    assert not any(secret in caplog.text for secret in (TOKEN, OLD, NEW))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSupervisor]:
    """Answer as Supervisor does."""
    monkeypatch.setattr(supervisor, "ADDRESS", ("127.0.0.1", free_port()))
    with FakeSupervisor(supervisor.ADDRESS) as found:
        yield found


def failure() -> str:
    with pytest.raises(ConnectionFailed) as caught:
        with_named_broker(CONFIG)
    return str(caught.value)


def test_a_broker_is_found_when_it_is_installed_and_again_when_it_has_moved(
    each_broker: None,  # noqa: ARG001 - decides which one it is
    fake: FakeSupervisor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(broker_status, "_DELAYS", (0.1,))
    with mqtt_output(tmp_path, "mqtt://core-mosquitto", is_from_supervisor=True) as output:
        wait_until(lambda: len(fake.requests) > 3, "several attempts")
        assert [line for line in caplog.messages if "broker" in line] == [
            f"Home Assistant has no MQTT broker yet: {ADVICE}; trying again until it works"
        ]
        with Broker(tmp_path, users={"addons": OLD}) as first:
            fake.install_broker(first.port, "127.0.0.1", password=OLD)
            with Subscriber(first, "smarty/house/state", user="addons", password=OLD) as listener:
                wait_until(lambda: f"connected to the broker 127.0.0.1:{first.port}" in caplog.text, "it")
                fake.stop()  # as for an update
                output.publish(reading_of(belgium(1)))
                wait_until(lambda: listener.messages, "a reading while Supervisor is away")
                asked = len(fake.requests)
        wait_until(lambda: "Supervisor, which names the broker, does not answer" in caplog.text, "why")
        assert len(fake.requests) == asked
        with FakeSupervisor(supervisor.ADDRESS) as back, Broker(tmp_path, users={"addons": NEW}) as second:
            back.install_broker(second.port, "127.0.0.1", password=NEW)
            with Subscriber(second, "smarty/house/state", user="addons", password=NEW) as listener:
                wait_until(lambda: listener.messages, "the newest reading at its new place")
        assert f"connected to the broker 127.0.0.1:{second.port} again" in caplog.text


def set_to(name: str, value: object) -> Callable[[FakeSupervisor], None]:
    return lambda fake: setattr(fake, name, value)


def names(name: str, value: object) -> Callable[[FakeSupervisor], None]:
    def change(fake: FakeSupervisor) -> None:
        fake.install_broker()
        fake.broker = {**(fake.broker or {}), name: value}

    return change


CANNOT_BE_USED = "names a broker whose {} cannot be used: restart the app that is the broker"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_to("broker", None), ADVICE),
        (set_to("broker", {}), ADVICE),
        (set_to("token", "another"), "to this app where the broker is (status 403): restart the app"),
        (set_to("may_use_broker", 0), "to this app where the broker is (status 403): restart the app"),
        (set_to("is_ready", 0), "cannot say now where the broker is (status 400)"),
        (set_to("broker", {"port": 1883}), CANNOT_BE_USED.format("host")),
        (names("host", "a b"), CANNOT_BE_USED.format("host")),
        (names("port", 70_000), CANNOT_BE_USED.format("port")),
        (names("port", "1883"), CANNOT_BE_USED.format("port")),
        (names("ssl", "no"), CANNOT_BE_USED.format("ssl")),
        (names("username", "a\x1b[31m"), CANNOT_BE_USED.format("username")),
        (names("password", [OLD]), CANNOT_BE_USED.format("password")),
        (names("password", f"{OLD}\0"), CANNOT_BE_USED.format("password")),
        (names("password", "x" * 65_536), CANNOT_BE_USED.format("password")),
        (FakeSupervisor.stop, "Supervisor, which names the broker, does not answer"),
    ],
)
def test_where_no_broker_can_be_used_one_line_says_why(
    fake: FakeSupervisor, change: Callable[[FakeSupervisor], None], words: str
) -> None:
    change(fake)
    line = failure()
    assert words in line
    assert line.isprintable()
    assert OLD not in line


def test_a_token_that_no_header_can_hold_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERVISOR_TOKEN", f"{TOKEN}\n")
    assert "SUPERVISOR_TOKEN" in failure()


def test_address_encryption_and_login_are_those_that_supervisor_names(fake: FakeSupervisor) -> None:
    fake.install_broker(8883, "10.0.0.9", username="me", password=OLD, ssl=True)
    named = with_named_broker(CONFIG)
    assert (named.address, named.tls, named.user, named.password) == ("10.0.0.9:8883", True, "me", OLD)
    assert OLD not in repr(named)


class Always:
    """Answers every request with the same."""

    answer = Answer(200, b"")

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def request(self, *_: object, **__: object) -> Answer:
        """Return it."""
        return self.answer

    def close(self) -> None:
        """Do nothing."""


ANY_TEXT = st.text(st.characters(exclude_categories=()))  # with surrogates
ANY_VALUE = st.none() | st.booleans() | st.integers() | ANY_TEXT | st.lists(ANY_TEXT)
BROKERS = st.fixed_dictionaries(
    {
        "host": st.sampled_from(["core-mosquitto", "::1", "fe80::1%\x1b"]) | ANY_VALUE,
        "port": st.just(1883) | ANY_VALUE,
    },
    optional=dict.fromkeys(("username", "password", "ssl"), ANY_VALUE),
)
BODIES = BROKERS.map(lambda data: json.dumps({"result": "ok", "data": data}).encode()) | st.binary()


@given(status=st.sampled_from([200, 400, 500]), body=BODIES)
@example(status=200, body=json.dumps({"data": {"host": "fe80::1%\x1b", "port": 1883}}).encode())
def test_whatever_is_answered_is_a_usable_broker_or_one_line(status: int, body: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "HttpClient", Always)
        patch.setattr(Always, "answer", Answer(status, body))
        try:
            named = with_named_broker(CONFIG)
        except ConnectionFailed as failed:
            shown = str(failed)
        else:
            shown = f"{named.address} {named.user}"
            assert named.host.encode("idna")
            assert 0 < named.port < 65_536
    assert shown.isprintable()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"[" * 100_000, b"9" * 100_000, b"\xff"])
def test_an_answer_that_is_none_does_not_count_as_no_broker(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "HttpClient", Always)
    monkeypatch.setattr(Always, "answer", Answer(200, body))
    assert "cannot say now where the broker is (status 200)" in failure()


def test_a_broker_with_a_certificate_that_nobody_knows_gets_no_password(
    fake: FakeSupervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Authority(tmp_path).issue("server")
    with (
        Broker(tmp_path, users={"addons": OLD}, server=certificate) as broker,
        mqtt_output(tmp_path, "mqtt://core-mosquitto", is_from_supervisor=True),
    ):
        fake.install_broker(broker.port, "127.0.0.1", ssl=True, password=OLD)
        wait_until(lambda: "which Home Assistant names" in caplog.text, "the line")
        assert "has a certificate that this app does not trust" in caplog.text


NAMED = "the broker core-mosquitto:1883, which Home Assistant names, {} app Mosquitto broker in Settings"


@pytest.mark.parametrize(
    ("failed", "words"),
    [
        (network_failure(CONFIG, socket.gaierror(-2, "no name")), "is not known by this name: start the"),
        (network_failure(CONFIG, ConnectionRefusedError(111, "x")), "cannot be reached (x): start the"),
        (network_failure(CONFIG, TimeoutError()), "does not answer: start the"),
        (
            refused_connection(CONFIG, ReasonCode(PacketTypes.CONNACK, "Not authorized")),
            "refuses the login that came with its name (Not authorized): restart the",
        ),
        (no_answer(CONFIG), "closes the connection before it accepts it: read the log of the"),
    ],
)  # fmt: skip
def test_what_to_do_fits_a_broker_that_nobody_has_configured(failed: ConnectionFailed, words: str) -> None:
    assert NAMED.format(words) in str(failed)
