"""Hands a report to a mail server: TLS always, the server's certificate verified, one attempt.

A service manager tries again (deploy/smarty-gateway-report@.service). No message contains the password.
"""

import contextlib
import errno
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import BinaryIO, Final

from smarty_gateway.config.mail_server import Encryption
from smarty_gateway.config.password_file import PasswordFileError, read_password
from smarty_gateway.config.values import MailConfig
from smarty_gateway.outputs.certificates import unusable_ca
from smarty_gateway.outputs.mail_errors import MailError, mail_errors, words_of
from smarty_gateway.safe_text import printable

_SENDER: Final = "smarty-gateway"
#: Seconds for the connection, and for each answer of the server.
_TIMEOUT: Final = 30.0
#: Bytes of all answers together; a usual server sends less than a thousandth.
_MOST_ANSWERS: Final = 1_000_000
#: What the gateway calls itself to the server: this, and not the name of the machine (RFC 5321, 4.1.3).
_OWN_NAME: Final = "[127.0.0.1]"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail, apart from who gets it.

    Attributes:
        subject: may have any characters; those that cannot be seen are escaped.
        text: for readers of plain text.
        html: for all others.
        pictures: PNG files by their Content-ID, which the HTML names: `<img src="cid:a@b">`.
    """

    subject: str
    text: str
    html: str
    pictures: Mapping[str, bytes]


def message_of(mail: Mail, config: MailConfig, now: datetime) -> EmailMessage:
    """Return a mail as it is sent.

    Args:
        mail: what it says.
        config: from whom to whom.
        now: with its zone.
    """
    sender = _address(config.sender, _SENDER)
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = [_address(recipient) for recipient in config.to]
    message["Subject"] = printable(mail.subject)
    message["Date"] = format_datetime(now)
    # Not the name of this machine.
    message["Message-ID"] = make_msgid(domain=sender.domain)
    # RFC 3834, 5: nothing answers it, such as a note that somebody is away.
    message["Auto-Submitted"] = "auto-generated"
    # Not every server takes lines with 8 bits.
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    html = list(message.iter_parts())[-1]
    for content_id, data in mail.pictures.items():
        name = f"{content_id.partition('@')[0]}.png"
        html.add_related(data, "image", "png", cid=f"<{content_id}>", filename=name, disposition="inline")
    return message


def _address(address: str, name: str = "") -> Address:
    user, _, domain = address.rpartition("@")
    return Address(name, user, domain)


def send(message: EmailMessage, config: MailConfig, timeout: float = _TIMEOUT) -> Mapping[str, str]:
    """Hand a mail to the server, and return the recipients that it refuses, each with what it says.

    Raises:
        MailError: nobody gets it.
        PasswordFileError: there is no password, or it cannot be used.
    """
    user, password = _login(config)
    with mail_errors(config), _connected(config, timeout) as smtp:
        if user:
            smtp.login(user, password)
        # `send_message` would write >From where a line begins with From.
        refused = smtp.sendmail(config.sender, config.to, message.as_bytes())
    return {recipient: words_of(code, text) for recipient, (code, text) in refused.items()}


def _login(config: MailConfig) -> tuple[str, str]:
    """Return user and password; no user where the server lets everybody in."""
    if config.user is None:
        return "", ""
    if config.password_file is None:
        raise PasswordFileError(
            f"mail: the user {config.user} has no password; write it into a file and name that as "
            "password_file below mail: in gateway.yaml"
        )
    password = read_password(config.password_file)
    if not (password.isascii() and config.user.isascii()):
        raise PasswordFileError(
            "mail: user and password must be ASCII characters; set another password at the mail provider"
        )
    return config.user, password.decode("ascii")


class _Answers:
    """What a server sends, up to a limit: before TLS, an impostor may send lines without end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MOST_ANSWERS
        self.close = file.close

    def readline(self, limit: int) -> bytes:
        """Return the next line; smtplib takes an OSError as the end of the connection."""
        line = self._file.readline(limit)
        self._left -= len(line)
        if self._left < 0:
            raise OSError(errno.EMSGSIZE, "the answer has no end")
        return line


class _Smtp(smtplib.SMTP):
    def getreply(self) -> tuple[int, bytes]:
        """Return the next answer."""
        if self.file is None and self.sock is not None:
            self.file = _Answers(self.sock.makefile("rb"))
        return super().getreply()


class _Smtps(_Smtp, smtplib.SMTP_SSL):
    pass


@contextlib.contextmanager
def _connected(config: MailConfig, timeout: float) -> Iterator[smtplib.SMTP]:
    """Connect to the server, with TLS from here on; a server on this machine may have none (`NONE`)."""
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except OSError as error:
        raise MailError(unusable_ca(config.ca_file, error, "mail server")) from None
    if config.encryption is Encryption.TLS:
        smtp: smtplib.SMTP = _Smtps(config.host, config.port, _OWN_NAME, timeout=timeout, context=context)
    else:
        smtp = _Smtp(config.host, config.port, _OWN_NAME, timeout)
    try:
        if config.encryption is Encryption.STARTTLS:
            smtp.starttls(context=context)
        yield smtp
        with contextlib.suppress(smtplib.SMTPException, OSError):
            smtp.quit()  # the server has the mail, whatever it answers now
    finally:
        smtp.close()
