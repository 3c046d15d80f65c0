"""The mail server, and the addresses of sender and recipients."""

import re
from enum import StrEnum
from typing import Any, Final

from smarty_gateway.config.listen_address import is_this_machine
from smarty_gateway.config.server_url import parse_server_url
from smarty_gateway.config.settings import SettingError

#: RFC 8314: TLS from the first byte, and message submission.
_PORTS: Final = {"smtps": 465, "smtp": 587}
_LOCAL_PORT: Final = 25
_FORM: Final = (
    "write the server as smtps://USER@HOST:PORT (TLS), or smtp://USER@HOST:PORT, which goes on with STARTTLS"
)
_CREDENTIALS_ADVICE: Final = (
    "a password is never part of the url; write it into a file of its own and name that as password_file"
)
#: What browsers accept as an e-mail address (WHATWG HTML, "valid e-mail address").
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = rf"[\w.!#$%&'*+/=?^`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*"
_ADDRESS_MAX: Final = 254


class Encryption(StrEnum):
    """How the connection to the mail server is encrypted."""

    TLS = "tls"  #: from the first byte
    STARTTLS = "starttls"  #: required; without it nothing is sent
    NONE = "none"  #: on this machine only


def parse_mail_server(text: str) -> dict[str, Any]:
    """Return the fields of `MailConfig` that a URL such as smtps://me@mail.example stands for.

    Raises:
        SettingError: it is not one, or contains a password; the message repeats nothing of it.
    """
    url = parse_server_url(text, _PORTS, _FORM, "", _CREDENTIALS_ADVICE)
    encryption, port = Encryption.TLS, _PORTS[url.scheme]
    if url.scheme == "smtp":
        encryption = Encryption.STARTTLS
        if url.user is None and is_this_machine(url.host):
            encryption, port = Encryption.NONE, _LOCAL_PORT
    return {"host": url.host, "port": url.port or port, "encryption": encryption, "user": url.user}


def parse_mail_address(text: str) -> str:
    """Return an e-mail address.

    Raises:
        SettingError: it is not one.
    """
    address = text.strip()
    if len(address) > _ADDRESS_MAX or not re.fullmatch(_ADDRESS, address, re.ASCII):
        raise SettingError("write a mail address and nothing more, such as me@example.org")
    return address
