"""Wrong passwords and certificates: no reading leaves, one line says why, and reading goes on."""

import re
from pathlib import Path

import pytest

from tests.support.brokers import Authority, Broker, Certificate, Subscriber, needs_mosquitto
from tests.support.mqtt_runs import configure, house, is_number
from tests.support.running import wait_until

PASSWORD = "correct horse"  # noqa: S105 - a dummy that no log may show


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a CA."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Certificate:
    """Issue a certificate for localhost."""
    return authority.issue("server")


def nothing_leaves(broker: Broker, folder: Path, words: str) -> None:
    """See that readings go on, that one line says why none of them leaves, and that none does."""
    with house(folder) as home:
        home.running.wait_for_log(words)
        home.send(3)
        # It tries again, and says no more of it.
        wait_until(lambda: attempts_of(broker) >= 2, "another attempt")
        home.send(2)
        assert home.running.stop() == 0
        other = ("warning:", "telegrams wait for the broker")
        said = [line for line in home.running.log if "broker" in line and not any(o in line for o in other)]
        assert len(said) == 1, said
        assert not home.running.says("Traceback")
        assert not home.running.says(PASSWORD)
    assert broker.received() == []


def attempts_of(broker: Broker) -> int:
    """Count the attempts of others than the probe of `Broker.start`, which says nothing."""
    return len(re.findall(r"(?i)not authorised|OpenSSL Error|Client .* disconnected[ :.]|SSL", broker.log()))


@pytest.mark.usefixtures("each_broker")
@pytest.mark.parametrize(
    ("user", "password", "words"),
    [
        ("me@", "wrong horse", "refuses user me: check the user and its password file /"),
        ("me@", None, "refuses user me without a password: write it into a file"),
        ("", None, "requires a user name and a password"),
    ],
)
def test_without_the_right_password_nothing_leaves(
    tmp_path: Path,
    user: str,
    password: str | None,
    words: str,
) -> None:
    with Broker(tmp_path, users={"me": PASSWORD}) as broker:
        more = "telegrams: true"
        if password is not None:
            (tmp_path / "password").write_text(f"{password}\n", "utf-8")
            more += f", password_file: {tmp_path}/password"
        configure(tmp_path, broker, more, f"mqtt://{user}127.0.0.1:{broker.port}")
        nothing_leaves(broker, tmp_path, words)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_with_the_right_password_it_does_and_the_password_is_in_no_log(tmp_path: Path, version: str) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n", "utf-8")
    (tmp_path / "password").chmod(0o600)
    with Broker(tmp_path, users={"me": PASSWORD}) as broker:
        configure(
            tmp_path, broker, f"version: '{version}', password_file: {tmp_path}/password",
            f"mqtt://me@127.0.0.1:{broker.port}",
        )  # fmt: skip
        with Subscriber(broker, user="me", password=PASSWORD) as listener, house(tmp_path, "-v") as home:
            home.send()
            listener.wait_for("smarty/house/state")
            command = Path(f"/proc/{home.running.pid}/cmdline").read_bytes()
            environment = Path(f"/proc/{home.running.pid}/environ").read_bytes()
            home.running.stop()
        for text in (command, environment, "\n".join(home.running.log).encode()):
            assert PASSWORD.encode() not in text
        for file in (tmp_path / "state").rglob("*"):
            assert file.is_dir() or PASSWORD.encode() not in file.read_bytes()


@pytest.mark.usefixtures("each_broker")
def test_tls_with_a_trusted_ca_and_a_client_certificate(
    tmp_path: Path, authority: Authority, server: Certificate
) -> None:
    mine = authority.issue("client", host=None)
    with Broker(tmp_path, server=server, client_ca=authority.file) as broker:
        configure(
            tmp_path, broker,
            f"telegrams: true, ca_file: {authority.file}, "
            f"cert_file: {mine.certificate}, key_file: {mine.key}",
            f"mqtts://localhost:{broker.port}",
        )  # fmt: skip
        listener = Subscriber(broker, "smarty/#", ca_file=authority.file, certificate=mine)
        with listener, house(tmp_path) as home:
            home.send(30)
            listener.wait_for("smarty/house/telegram", is_number(29))
            listener.wait_for("smarty/house/state", is_number(29))
            assert home.running.stop() == 0


@pytest.mark.parametrize(
    ("certificate", "ca", "words"),
    [
        (
            "server",
            "other",
            "other.pem (unable to get local issuer certificate): put the certificate of the CA",
        ),
        ("server", None, "name the CA that signed it with ca_file"),
        ("elsewhere", "ca", "is not for localhost: use the host name that is in the certificate"),
        ("expired", "ca", "renew it on the broker"),
    ],
)
def test_a_certificate_that_cannot_be_trusted_lets_nothing_leave(
    tmp_path: Path, authority: Authority, certificate: str, ca: str | None, words: str
) -> None:
    if certificate == "elsewhere":
        issued = authority.issue("elsewhere", host="elsewhere.example", address="192.0.2.1")
    else:
        issued = authority.issue(certificate, is_expired=certificate == "expired")
    known = {"ca": authority.file, "other": Authority(tmp_path, "other").file}
    more = f"ca_file: {known[ca]}, telegrams: true" if ca else "telegrams: true"
    with Broker(tmp_path, server=issued) as broker:
        configure(tmp_path, broker, more, f"mqtts://localhost:{broker.port}")
        nothing_leaves(broker, tmp_path, words)


def test_tls_on_a_plain_port_lets_nothing_leave(broker: Broker, authority: Authority, tmp_path: Path) -> None:
    configure(
        tmp_path, broker, f"ca_file: {authority.file}, telegrams: true", f"mqtts://localhost:{broker.port}"
    )
    nothing_leaves(broker, tmp_path, "write mqtt:// in the url, else the port that has TLS")


@pytest.mark.parametrize(
    "content", [b"no certificate\n", b"\x30\x82\x01\x0a" * 9, b""], ids=["text", "DER", "empty"]
)
def test_a_ca_file_without_a_certificate_is_named_with_what_belongs_into_it(
    tmp_path: Path, server: Certificate, content: bytes
) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(content)
    with Broker(tmp_path, server=server) as broker:
        configure(tmp_path, broker, f"ca_file: {ca_file}", f"mqtts://localhost:{broker.port}")
        with house(tmp_path) as home:
            home.running.wait_for_log(
                f"ca_file {ca_file} holds no certificate: put the certificate of the CA"
            )
            assert home.running.says("_ssl.c") == 0


def test_a_client_certificate_with_another_key_is_said(
    tmp_path: Path, authority: Authority, server: Certificate
) -> None:
    one, other = (authority.issue(name, host=None) for name in ("one", "other"))
    more = f"ca_file: {authority.file}, cert_file: {one.certificate}, key_file: {other.key}"
    with Broker(tmp_path, server=server) as broker:
        configure(tmp_path, broker, more, f"mqtts://localhost:{broker.port}")
        with house(tmp_path) as home:
            home.running.wait_for_log(f"and key_file {other.key} do not belong together")


def test_no_tls_on_a_tls_port_lets_nothing_leave(tmp_path: Path, server: Certificate) -> None:
    with Broker(tmp_path, server=server) as broker:
        configure(tmp_path, broker, "telegrams: true", f"mqtt://localhost:{broker.port}")
        nothing_leaves(broker, tmp_path, "write mqtts:// in the url")


def test_without_the_client_certificate_that_is_asked_for_nothing_leaves(
    tmp_path: Path, authority: Authority, server: Certificate
) -> None:
    with Broker(tmp_path, server=server, client_ca=authority.file) as broker:
        configure(
            tmp_path,
            broker,
            f"ca_file: {authority.file}, telegrams: true",
            f"mqtts://localhost:{broker.port}",
        )
        nothing_leaves(broker, tmp_path, "name one with cert_file and key_file")


@pytest.mark.usefixtures("each_broker")
def test_a_connection_that_works_is_said_once_with_user_and_tls(
    tmp_path: Path, authority: Authority, server: Certificate
) -> None:
    (tmp_path / "password").write_text(PASSWORD, "utf-8")
    with Broker(tmp_path, users={"me": PASSWORD}, server=server) as broker:
        more = f"ca_file: {authority.file}, password_file: {tmp_path}/password"
        configure(tmp_path, broker, more, f"mqtts://me@localhost:{broker.port}")
        with house(tmp_path) as home:
            home.running.wait_for_log(f"connected to the broker localhost:{broker.port} as me, with TLS")
            home.send(3)
            assert home.running.stop() == 0
        assert home.running.says("connected to the broker") == 1


@needs_mosquitto
def test_a_broker_that_does_not_let_us_write_is_said_under_mqtt_5(tmp_path: Path) -> None:
    passwords = {"me": PASSWORD, "reader": PASSWORD}
    acl = "user reader\ntopic read #\nuser me\ntopic read #\n"
    with Broker(tmp_path, users=passwords, acl=acl) as strict:
        (tmp_path / "password").write_text(PASSWORD, "utf-8")
        configure(
            tmp_path, strict, f"version: '5', password_file: {tmp_path}/password",
            f"mqtt://me@127.0.0.1:{strict.port}",
        )  # fmt: skip
        with house(tmp_path) as home:
            home.running.wait_for_log("allow me to write below smarty/")
            home.send(3)
            assert home.running.says("does not accept the message") == 1
            assert not retained_of(strict, "reader")


def retained_of(broker: Broker, user: str) -> list[str]:
    with Subscriber(broker, "smarty/#", user=user, password=PASSWORD) as listener:
        return [m.topic for m in listener.messages]
