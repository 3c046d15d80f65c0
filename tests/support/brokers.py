"""Brokers for tests, the embedded one or Mosquitto, and a client that listens to them.

The embedded one is quick and always there. A test with the fixture `each_broker` or `broker` runs on both,
in the second case as a slow test.
"""

import datetime as dt
import ipaddress
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.commands import LIMIT, ROOT
from tests.support.running import wait_until

Test = TypeVar("Test", bound=Callable[..., None])

_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
#: `.ci/run` hides it from the tests that must do without.
MOSQUITTO: Final = None if "SMARTY_TEST_NO_MOSQUITTO" in os.environ else shutil.which("mosquitto", path=_PATH)
_PASSWD: Final = shutil.which("mosquitto_passwd")
WITH_MOSQUITTO: Final = pytest.mark.skipif(
    MOSQUITTO is None or _PASSWD is None, reason="Mosquitto is not installed; .ci/run installs it"
)


def needs_mosquitto(test: Test) -> Test:
    """Mark a test that needs what only Mosquitto can do."""
    marked: Test = pytest.mark.slow(WITH_MOSQUITTO(test))
    return marked


@dataclass(frozen=True)
class Certificate:
    """A certificate and its private key, as files."""

    certificate: Path
    key: Path


class Authority:
    """A throw-away CA."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Throw-away {name}")])
        self.file = folder / f"{name}.pem"
        own = self._sign(self._name, self._key, is_authority=True)
        self.file.write_bytes(own.public_bytes(Encoding.PEM))

    def issue(
        self,
        name: str,
        *,
        host: str | None = "localhost",
        address: str = "127.0.0.1",
        is_expired: bool = False,
    ) -> Certificate:
        """Issue a certificate for a host and an address, or for a client where there is no host."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = []
        if host is not None:
            names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address(address))]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host or name)])
        signed = self._sign(subject, key, names=names, is_expired=is_expired)
        files = Certificate(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        files.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )
        files.key.chmod(0o600)
        return files

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        names: list[x509.GeneralName] | None = None,
        is_authority: bool = False,
        is_expired: bool = False,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=3))
            .not_valid_after(now + dt.timedelta(days=-1 if is_expired else 1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=is_authority,
                    crl_sign=is_authority,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def has_ipv6() -> bool:
    """Return whether this machine has the address ::1."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """Return a port that nobody listens on, and that no outgoing connection takes while a broker restarts."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", random.SystemRandom().randrange(10_000, 32_768)))
            return int(probe.getsockname()[1])


class Broker:
    """A broker in a process of its own, which keeps its port and its retained messages over a restart.

    Args:
        folder: an existing one for its files.
        users: names with passwords; without, everybody is let in.
        server: its certificate, for TLS.
        client_ca: demands a certificate of clients that this CA has signed.
        acl: lines of Mosquitto's ACL file. Only Mosquitto has this and the next.
        options: further lines of its configuration.
        hangs_up_on: patterns of topics. Only the embedded broker has this and the next.
        answers: patterns of topics, with the reason code of the PUBACK (MQTT 5).

    Attributes:
        is_mosquitto: true while a test runs on Mosquitto.
        folder: with its files.
    """

    is_mosquitto = False

    def __init__(  # noqa: PLR0913 - one for each thing that a broker may ask
        self,
        folder: Path,
        *,
        users: dict[str, str] | None = None,
        server: Certificate | None = None,
        client_ca: Path | None = None,
        acl: str | None = None,
        options: tuple[str, ...] = (),
        hangs_up_on: tuple[str, ...] = (),
        answers: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.port = free_port()
        self.folder = folder / f"broker-{self.port}"
        self.folder.mkdir()
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._users, self._server, self._client_ca, self._acl = users, server, client_ca, acl
        self._options = options
        self._hangs_up_on, self._answers = hangs_up_on, answers
        if acl is not None or options or (self.is_mosquitto and not hangs_up_on and not answers):
            self._command = [str(MOSQUITTO), "-c", str(self._mosquitto_options())]
        else:
            server_of_ours = [sys.executable, "-m", "tests.support.embedded_broker"]
            self._command = [*server_of_ours, str(self._embedded_options())]

    def _embedded_options(self) -> Path:
        options = {
            "port": self.port,
            "state": str(self.folder / "state"),
            "users": self._users,
            "certificate": self._server and str(self._server.certificate),
            "key": self._server and str(self._server.key),
            "client_ca": self._client_ca and str(self._client_ca),
            "hangs_up_on": self._hangs_up_on,
            "answers": dict(self._answers),
        }
        file = self.folder / "options.json"
        file.write_text(json.dumps(options), "utf-8")
        return file

    def _mosquitto_options(self) -> Path:
        lines = [
            f"listener {self.port} 127.0.0.1",
            f"allow_anonymous {str(self._users is None).lower()}",
            "persistence true",
            f"persistence_location {self.folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
            "max_queued_messages 1000000",  # with 0, Mosquitto 2.0 hangs up after what it forbids
            "log_dest stderr",
            "log_type all",
            *self._options,
        ]
        if os.geteuid() == 0:
            lines.append("user root")
        if self._users is not None:
            passwords = self.folder / "passwords"
            passwords.touch(0o600)
            for user, password in self._users.items():
                subprocess.run(
                    [str(_PASSWD), "-b", str(passwords), user, password], check=True, capture_output=True
                )
            lines.append(f"password_file {passwords}")
        if self._server is not None:
            lines += [f"certfile {self._server.certificate}", f"keyfile {self._server.key}"]
        if self._client_ca is not None:
            lines += [f"cafile {self._client_ca}", "require_certificate true"]
        if self._acl is not None:
            lines.append(f"acl_file {self._write_acl(self._acl)}")
        file = self.folder / "mosquitto.conf"
        file.write_text("\n".join([*lines, ""]), "utf-8")
        return file

    def _write_acl(self, lines: str) -> Path:
        acl = self.folder / "acl"
        acl.write_text(lines, "utf-8")
        acl.chmod(0o600)
        return acl

    def allow(self, acl: str) -> None:
        """Replace the lines of the ACL in the running broker."""
        assert self._process is not None
        self._write_acl(acl)
        self._process.send_signal(signal.SIGHUP)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start, and wait until it listens."""
        assert self._process is None
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT
            )
        self._process = process
        wait_until(lambda: self._listens() or process.poll() is not None, "a broker")
        assert process.poll() is None, self.log()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    @property
    def url(self) -> str:
        """The address for the configuration."""
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def is_running(self) -> bool:
        """True if it was started and has not ended."""
        return self._process is not None

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self.end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, without a chance to log or save anything."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals) -> None:
        """Send a signal that ends it, if it runs, and wait."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(LIMIT)
            self._process = None

    def freeze(self) -> None:
        """Suspend it: it accepts and answers nothing, and its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """Return its whole log."""
        return self._log.read_text("utf-8", "replace")

    def received(self, since: int = 0) -> list[str]:
        """Return the topics of the messages that it received, in order, from a position in its log."""
        return re.findall(r"Received PUBLISH from .*?'([^']*)'", self.log()[since:])


@dataclass(frozen=True)
class Message:
    """A message that a subscriber received, and when."""

    topic: str
    payload: bytes
    is_retained: bool
    qos: int
    time: float

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Return the parsed payload."""
        return json.loads(self.payload)


class Subscriber:
    """Collects messages; its session outlives a restart of the broker, so it misses nothing.

    Attributes:
        messages: so far.
        connected_at: since when it is connected, by the monotonic clock; infinite while it is not.
    """

    def __init__(
        self,
        broker: Broker,
        *topics: str,
        user: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self.messages: list[Message] = []
        self.connected_at = math.inf
        self._topics = topics or ("#",)
        self._is_subscribed = threading.Event()
        client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"subscriber-{uuid.uuid4()}", clean_session=False
        )
        self._client = client
        client.reconnect_delay_set(1, 1)
        if user is not None:
            client.username_pw_set(user, password)
        if ca_file is not None:
            client.tls_set(
                str(ca_file),
                certfile=str(certificate.certificate) if certificate else None,
                keyfile=str(certificate.key) if certificate else None,
            )
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_subscribe = lambda *_: self._is_subscribed.set()
        client.on_message = self._received
        client.connect("localhost" if ca_file else "127.0.0.1", broker.port)

    def __enter__(self) -> Self:
        self._client.loop_start()
        self.wait_for_connection()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, *_: object) -> None:
        self._client.subscribe([(topic, 1) for topic in self._topics])
        self.connected_at = time.monotonic()

    def _disconnected(self, *_: object) -> None:
        self.connected_at = math.inf
        self._is_subscribed.clear()

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.messages.append(
            Message(message.topic, bytes(message.payload), message.retain, message.qos, time.monotonic())
        )

    def wait_for_connection(self) -> None:
        """Wait until the broker has acknowledged the subscription."""
        assert self._is_subscribed.wait(LIMIT), "no subscription"

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish a message, as other clients of the broker do."""
        self._client.publish(topic, payload, qos=1)

    def of(self, topic: str) -> list[Message]:
        """Return the messages of a topic; of all topics below it if it ends in a slash."""
        return [
            m
            for m in list(self.messages)
            if m.topic == topic or (topic[-1] == "/" and m.topic.startswith(topic))
        ]

    def last(self, topic: str) -> bytes | None:
        """Return the newest payload of a topic."""
        found = self.of(topic)
        return found[-1].payload if found else None

    def wait_for(
        self, topic: str, condition: Callable[[Message], object] = bool, count: int = 1
    ) -> list[Message]:
        """Wait for this many messages of a topic that meet a condition, and return them."""
        wait_until(
            lambda: sum(bool(condition(m)) for m in self.of(topic)) >= count,
            f"{count} messages of {topic}; there are {sorted({m.topic for m in list(self.messages)})}",
        )
        return [message for message in self.of(topic) if condition(message)]

    def wait_for_payload(self, topic: str, payload: bytes) -> None:
        """Wait until the newest message of a topic is this one."""
        wait_until(lambda: self.last(topic) == payload, f"{topic} {payload!r} (it is {self.last(topic)!r})")


def retained(broker: Broker, *topics: str) -> dict[str, bytes]:
    """Return the retained messages of a broker, as a new subscriber receives them."""
    with Subscriber(broker, *(topics or ("#",)), "end/of/retained") as newcomer:
        newcomer.publish("end/of/retained", b"x")
        newcomer.wait_for("end/of/retained")
        return {m.topic: m.payload for m in newcomer.messages if m.is_retained}
