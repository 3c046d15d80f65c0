"""Why the certificate of a broker or mail server is not trusted, and what to do."""

import ssl
from pathlib import Path
from typing import Final

#: X509_V_ERR_… of OpenSSL's x509_vfy.h.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_OTHER_CA: Final = frozenset({2, 7, 18, 19, 20, 21, 24})
_OTHER_HOST: Final = frozenset({62, 64})


def distrust(error: ssl.SSLCertVerificationError, server: str, host: str, ca_file: Path | None) -> str:
    """Return the end of a sentence about a certificate.

    Args:
        error: why it is not trusted.
        server: what it belongs to, such as "broker".
        host: the name under which this is reached.
        ca_file: the configured one; None for the system's.
    """
    why = error.verify_message.rstrip(".")
    if error.verify_code == _EXPIRED:
        return f"has expired: renew it on the {server}, or set the clock of this machine if that is wrong"
    if error.verify_code == _NOT_YET_VALID:
        return "is not valid yet: is the clock of this machine right?"
    if error.verify_code in _OTHER_HOST:
        return f"is not for {host}: use the host name that is in the certificate in the url"
    if error.verify_code not in _OTHER_CA:
        return f"is not trusted: {why}"
    if ca_file is None:
        return (
            f"is not signed by a CA that this machine knows ({why}): name the CA that signed it with ca_file"
        )
    return (
        f"is not signed by the CA in ca_file {ca_file} ({why}): put the certificate of the CA that "
        "signed it into that file"
    )


def unusable_ca(path: Path | None, error: OSError, server: str) -> str:
    """Return why `ca_file` cannot be used."""
    if isinstance(error, ssl.SSLError):
        why = (
            f"holds no certificate: put the certificate of the CA that signed the {server}'s into it, which "
            "begins with -----BEGIN CERTIFICATE-----"
        )
    else:
        why = f"cannot be read: {error.strerror}"
    return f"ca_file {path} {why}"
