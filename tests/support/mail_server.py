"""A mail server in this process: TLS from the first byte or by STARTTLS, and a password for one user."""

# ruff: noqa: ANN401, D102, N802 - aiosmtpd has no types, and calls its hooks by these names

import ssl
from collections.abc import Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from tests.support.brokers import Certificate, free_port

USER = "me"
#: A dummy that no message may show.
PASSWORD = "correct horse battery"  # noqa: S105


class MailServer:
    """A server that keeps what it is handed.

    Args:
        certificate: of the server; without one it has no TLS.
        is_smtps: TLS from the first byte, else by STARTTLS.
        refuses: answers by recipient, sender or `DATA`.

    Attributes:
        mails: that it has accepted, as bytes.
    """

    def __init__(
        self,
        certificate: Certificate | None,
        *,
        is_smtps: bool = True,
        refuses: Mapping[str, str] | None = None,
    ) -> None:
        self.mails: list[bytes] = []
        self.recipients: list[str] = []
        self._refuses = refuses or {}
        context = None
        if certificate is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate.certificate, certificate.key)
        tls: dict[str, Any] = {"ssl_context": context} if is_smtps else {"tls_context": context}
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=free_port(),
            server_hostname="localhost",
            # With TLS from the first byte aiosmtpd knows of none.
            auth_require_tls=not is_smtps,
            authenticator=self._authenticate,
            **tls,
        )
        self.port = self._controller.port

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def read_mail(self) -> EmailMessage:
        """Return the only mail as a reader sees it."""
        (mail,) = self.mails
        read = message_from_bytes(mail, policy=default)
        assert isinstance(read, EmailMessage)
        return read

    def _authenticate(
        self, _server: Any, _session: Session, _envelope: Envelope, _: str, data: Any
    ) -> AuthResult:
        is_right = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        return AuthResult(success=is_right, handled=False)

    async def handle_MAIL(
        self, _server: Any, session: Session, envelope: Envelope, address: str, _: Any
    ) -> str:
        if not session.authenticated:
            return "530 who are you"
        if address in self._refuses:
            return self._refuses[address]
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(
        self, _server: Any, _session: Session, envelope: Envelope, address: str, _: Any
    ) -> str:
        if address in self._refuses:
            return self._refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Session, envelope: Envelope) -> str:
        if "DATA" in self._refuses:
            return self._refuses["DATA"]
        assert isinstance(envelope.content, bytes)
        self.mails.append(envelope.content)
        self.recipients += envelope.rcpt_tos
        return "250 OK"
