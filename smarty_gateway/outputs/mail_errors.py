"""Why a mail cannot be sent: what is wrong, where, and what to do."""

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from smarty_gateway.config.mail_server import Encryption
from smarty_gateway.config.values import MailConfig
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.outputs.certificates import distrust
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable

#: Bytes of what a server says that are repeated.
_MOST_WORDS: Final = 200
_CHECK: Final = "check server: below mail: in gateway.yaml"


class MailError(GatewayError):
    """A mail cannot be sent; the text is one line: what is wrong, where, what to do."""

    exit_status = ExitStatus.REJECTED


@contextlib.contextmanager
def mail_errors(config: MailConfig) -> Iterator[None]:
    """Raise MailError for what can go wrong on the way to a server and at it."""
    try:
        yield
    except (smtplib.SMTPException, OSError, ValueError) as error:
        why = _refusal(config, error) or _failure(config, error)
        # Without the cause: an error of the login may hold what was sent.
        raise MailError(f"the mail server {config.host}:{config.port} {why}") from None


def words_of(code: int, text: bytes | str) -> str:
    """Return what a server says, in one line."""
    words = text if isinstance(text, str) else text.decode("utf-8", "replace")
    return printable(" ".join(f"{code} {words[:_MOST_WORDS]}".split()))


def _refusal(config: MailConfig, error: Exception) -> str:
    """Return what it means that a server does not take a mail; nothing for any other error."""
    why = ""
    match error:
        case smtplib.SMTPAuthenticationError(smtp_code=code):
            # Without its words: some servers repeat what they were sent.
            why = (
                f"refuses user {config.user} ({code}): check the user and its password file "
                f"{config.password_file}; most providers ask for a password made for this program alone, an "
                "app password, which their web page makes"
            )
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            answers = ", ".join(f"{who} ({words_of(*answer)})" for who, answer in refused.items())
            why = f"accepts none of the recipients: {answers}; check to: below mail: in gateway.yaml"
        case smtplib.SMTPSenderRefused(smtp_code=code, smtp_error=text, sender=sender):
            why = (
                f"does not accept the sender {sender} ({words_of(code, text)}): write the address of your "
                "account there as from: below mail: in gateway.yaml"
            )
        case smtplib.SMTPNotSupportedError() if "STARTTLS" in str(error):
            why = "offers no STARTTLS: write smtps:// and the port that has TLS (usually 465)"
        case smtplib.SMTPNotSupportedError():
            why = f"cannot do what this needs: {printable(error)}"
        case smtplib.SMTPResponseException(smtp_code=code, smtp_error=text):
            why = f"does not accept the mail: {words_of(code, text)}"
    return why


def _failure(config: MailConfig, error: Exception) -> str:
    """Return why there is no connection to a server, or no longer."""
    # smtplib says of a time-out, too, that the server has closed the connection.
    is_late = isinstance(error, smtplib.SMTPServerDisconnected) and isinstance(
        error.__context__, TimeoutError
    )
    match error.__context__ if is_late else error:
        case ssl.SSLCertVerificationError() as distrusted:
            why = f"has a certificate that {distrust(distrusted, 'mail server', config.host, config.ca_file)}"
        case socket.gaierror() | UnicodeError():
            why = f"is not known by this name: {_CHECK}, and the network"
        case ConnectionRefusedError():
            why = f"refuses the connection: {_CHECK}, and its port"
        case TimeoutError():
            why = f"does not answer: {_CHECK}, its port, and the network"
        case ssl.SSLError(reason=reason):
            is_smtps = config.encryption is Encryption.TLS
            other = "smtp:// (usually port 587)" if is_smtps else "smtps:// (usually port 465)"
            why = f"has no TLS on this port ({reason}): write {other}"
        case smtplib.SMTPServerDisconnected() | ConnectionResetError() | BrokenPipeError():
            why = f"has closed the connection: {_CHECK}, and its port"
        case OSError(strerror=reason):
            why = f"cannot be reached: {reason or printable(error)}"
        case _:
            why = f"does not answer as mail servers do: {_CHECK}, and its port"
    return why
