"""A mail reaches a real server over verified TLS as it was written, or one line says why not."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from smarty_gateway.config.mail_server import Encryption
from smarty_gateway.config.password_file import PasswordFileError
from smarty_gateway.config.values import MailConfig
from smarty_gateway.outputs.mail import Mail, message_of, send
from smarty_gateway.outputs.mail_errors import MailError
from tests.support.brokers import Authority, Certificate, free_port
from tests.support.histories import ZONE
from tests.support.mail_server import PASSWORD, USER, MailServer

TLS, STARTTLS = Encryption.TLS, Encryption.STARTTLS
NOW = datetime(2026, 11, 22, 0, 20, tzinfo=ZONE)
PNG = b"\x89PNG\r\n\x1a\n picture"
MAIL = Mail(
    "Zählerhaus: Sa, 21. Nov 2026", "12 kWh, Größe\nFrom  to\n.\n", "<p>Größe</p>", {"house@smarty": PNG}
)
#: Seconds. Generous beside what a machine under load takes, but one test waits for it.
TIMEOUT = 20.0


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a CA."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    """Issue a certificate for localhost."""
    return authority.issue("server")


@pytest.fixture
def config(authority: Authority, tmp_path: Path) -> MailConfig:
    """Return a configuration that lacks the port of a server."""
    password = tmp_path / "mail.password"
    password.write_text(f"{PASSWORD}\n", "ascii")
    password.chmod(0o600)
    return MailConfig(
        host="localhost",
        sender="gateway@example.org",
        to=("me@example.org", "you@example.org"),
        user=USER,
        password_file=password,
        ca_file=authority.file,
    )


@pytest.fixture
def server(certificate: Certificate) -> Iterator[MailServer]:
    """Start a server."""
    with MailServer(certificate) as found:
        yield found


def hand_over(config: MailConfig, mail: Mail = MAIL, timeout: float = TIMEOUT) -> dict[str, str]:
    return dict(send(message_of(mail, config, NOW), config, timeout))


def refusal(config: MailConfig, timeout: float = TIMEOUT) -> str:
    """Return why a mail is not sent: one line, without the password."""
    with pytest.raises(MailError) as caught:
        hand_over(config, timeout=timeout)
    text = str(caught.value)
    assert "\n" not in text
    assert PASSWORD not in text
    assert caught.value.exit_status == 1
    return text


@pytest.mark.parametrize("is_smtps", [True, False])
def test_a_mail_arrives_over_tls_from_the_first_byte_and_by_starttls(
    config: MailConfig, certificate: Certificate, *, is_smtps: bool
) -> None:
    with MailServer(certificate, is_smtps=is_smtps) as server:
        assert hand_over(replace(config, port=server.port, encryption=TLS if is_smtps else STARTTLS)) == {}
        assert server.recipients == ["me@example.org", "you@example.org"]
        assert server.read_mail()["Subject"] == MAIL.subject


def test_a_reader_finds_text_html_and_picture_as_they_were_written(
    config: MailConfig, server: MailServer
) -> None:
    hand_over(replace(config, port=server.port))
    mail = server.read_mail()
    assert server.mails[0].isascii()
    assert mail.get_content_type() == "multipart/alternative"
    text, related = mail.iter_parts()
    assert (text.get_content_type(), text.get_content().replace("\r\n", "\n")) == ("text/plain", MAIL.text)
    html, picture = related.iter_parts()
    assert (html.get_content_type(), html.get_content().strip()) == ("text/html", MAIL.html)
    assert (picture.get_content_type(), picture.get_content()) == ("image/png", PNG)
    assert (picture["Content-ID"], picture.get_content_disposition()) == ("<house@smarty>", "inline")


def test_the_head_says_who_when_and_that_no_person_wrote_it_and_nothing_of_the_machine(
    config: MailConfig, server: MailServer
) -> None:
    hand_over(replace(config, port=server.port))
    mail = server.read_mail()
    assert str(mail["From"]) == "smarty-gateway <gateway@example.org>"
    assert str(mail["To"]) == "me@example.org, you@example.org"
    assert mail["Date"].datetime == NOW
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@example.org>")
    assert socket.gethostname().encode() not in server.mails[0]


@pytest.mark.parametrize("odd", ["a\r\nBcc: them@example.org", "a\nb", "a\x00b", "a\u2028b", "a\x1b[2Jb"])
def test_a_name_with_line_breaks_adds_no_header(config: MailConfig, server: MailServer, odd: str) -> None:
    hand_over(replace(config, port=server.port), replace(MAIL, subject=odd))
    mail = server.read_mail()
    assert mail["Bcc"] is None
    assert str(mail["Subject"]).isprintable()
    assert server.recipients == ["me@example.org", "you@example.org"]


def test_a_wrong_password_is_said_with_what_providers_ask_for(config: MailConfig, server: MailServer) -> None:
    assert config.password_file is not None
    config.password_file.write_text("wrong horse", "ascii")
    text = refusal(replace(config, port=server.port))
    assert f"localhost:{server.port} refuses user me (535): check the user and its password file /" in text
    assert "app password" in text
    assert "wrong horse" not in text


def test_a_password_that_is_missing_or_cannot_be_sent_is_said_without_it(config: MailConfig) -> None:
    assert config.password_file is not None
    config.password_file.write_text("Größe", "utf-8")
    with pytest.raises(PasswordFileError, match="must be ASCII characters") as caught:
        hand_over(config)
    assert "Gr" not in str(caught.value)
    with pytest.raises(PasswordFileError, match="the user me has no password; write it into a file"):
        hand_over(replace(config, password_file=None))


def test_the_certificate_must_be_for_the_host(
    config: MailConfig, authority: Authority, server: MailServer
) -> None:
    elsewhere = authority.issue("elsewhere", host="elsewhere.example", address="192.0.2.1")
    with MailServer(elsewhere) as other:
        assert "has a certificate that is not for localhost" in refusal(replace(config, port=other.port))
        assert other.mails == []
    with MailServer(authority.issue("old", is_expired=True)) as old:
        assert "has expired" in refusal(replace(config, port=old.port))
    assert "name the CA that signed it with ca_file" in refusal(
        replace(config, port=server.port, ca_file=None)
    )


def test_a_file_without_a_ca_is_said(config: MailConfig, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    assert "empty.pem holds no certificate" in refusal(replace(config, ca_file=tmp_path / "empty.pem"))
    assert "none.pem cannot be read" in refusal(replace(config, ca_file=tmp_path / "none.pem"))


def test_no_password_is_sent_without_tls(config: MailConfig) -> None:
    with MailServer(None, is_smtps=False) as server:
        assert "offers no STARTTLS" in refusal(replace(config, port=server.port, encryption=STARTTLS))
        assert "has no TLS on this port" in refusal(replace(config, port=server.port))
        assert server.mails == []


def test_starttls_at_a_port_that_has_tls_from_the_first_byte_is_said(
    config: MailConfig, server: MailServer
) -> None:
    text = refusal(replace(config, port=server.port, encryption=STARTTLS), timeout=1)
    assert "closed the connection" in text or "does not answer" in text


@pytest.mark.parametrize(
    ("refuses", "words"),
    [
        (
            {"me@example.org": "550 no such user", "you@example.org": "450 busy"},
            "accepts none of the recipients: me@example.org (550 no such user), you@example.org (450 busy)",
        ),
        ({"gateway@example.org": "553 not yours"}, "does not accept the sender gateway@example.org (553 not"),
        ({"DATA": "552 too\x1b[2J large"}, "does not accept the mail: 552 too"),
    ],
    ids=["recipients", "sender", "mail"],
)
def test_what_a_server_refuses_is_said_in_its_words(
    config: MailConfig, certificate: Certificate, refuses: dict[str, str], words: str
) -> None:
    with MailServer(certificate, refuses=refuses) as server:
        text = refusal(replace(config, port=server.port))
        assert words in text
        assert text.isprintable()


def test_a_recipient_that_is_refused_beside_others_is_returned(
    config: MailConfig, certificate: Certificate
) -> None:
    with MailServer(certificate, refuses={"you@example.org": "550 no such user"}) as server:
        assert hand_over(replace(config, port=server.port)) == {"you@example.org": "550 no such user"}
        assert server.recipients == ["me@example.org"]


def test_where_nobody_listens_and_where_no_host_is_one_line_says_so(config: MailConfig) -> None:
    assert "refuses the connection" in refusal(replace(config, port=free_port()))
    assert "is not known by this name" in refusal(replace(config, host="mail.invalid"))
    assert "is not known by this name" in refusal(replace(config, host="a" * 64))


@pytest.mark.parametrize("encryption", [TLS, STARTTLS])
def test_a_server_that_hangs_is_given_up(config: MailConfig, encryption: Encryption) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "does not answer" in refusal(replace(config, port=port, encryption=encryption), timeout=0.3)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad\r\n\r\n", b"\xff\xfe\r\n", b"220-\r\n" * 99, b"220 x\r\n"]
)
def test_a_server_that_is_none_is_said(config: MailConfig, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:

        def serve() -> None:
            connection, _ = odd.accept()
            with connection:
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert refusal(replace(config, port=odd.getsockname()[1], encryption=STARTTLS))
        thread.join()
