"""Where the page is served, and from whom it takes requests: addresses, networks and names of hosts."""

import ipaddress
import re
from typing import Any, Final

from smarty_gateway.config.settings import SettingError

_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_MAX: Final = 253


def parse_listen_address(text: str, example: int = 8300) -> dict[str, Any]:
    """Return host and port of an address such as 127.0.0.1:8300 or [::1]:8300.

    Args:
        text: what a user wrote.
        example: a port for messages.

    Raises:
        SettingError: it is not one; the message repeats nothing of it.
    """
    here = f"127.0.0.1:{example} (this machine only) or 0.0.0.0:{example} (the whole network)"
    host, _, port = text.strip().rpartition(":")
    if not host and port.isdecimal():
        raise SettingError(f"a port needs an address before it; write {here}")
    if _is_address(text.strip().strip("[]")) or text.strip() == "localhost":
        raise SettingError(
            f"the port is missing; write it behind the address, as in {here}; IPv6 as [::1]:{example}"
        )
    if "//" in text:
        raise SettingError(f"an address is written without http:// and without a path; write {here}")
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
        raise SettingError(f"write an address and a port from 1 to 65535, such as {here}")
    if host == "localhost":
        return {"host": "127.0.0.1", "port": int(port)}
    is_bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if is_bracketed else host
    if not _is_address(host) or is_bracketed is not (":" in host):
        raise SettingError(
            f"write an IP address of this machine, not a name, and a port: {here}; IPv6 as [::1]:{example}"
        )
    return {"host": host, "port": int(port)}


def parse_network(text: str) -> str:
    """Return an IP address or a network in the usual notation, such as 192.168.1.5 or 172.16.0.0/12.

    Raises:
        SettingError: it is neither.
    """
    try:
        found = ipaddress.ip_network(text.strip())
    except ValueError as error:
        if "host bits" in str(error):
            whole = ipaddress.ip_network(text.strip(), strict=False)
            raise SettingError(f"a network is written by its first address; write {whole}") from None
        raise SettingError(
            "write an IP address such as 192.168.1.5, or a network such as 172.16.0.0/12"
        ) from None
    return str(found.network_address) if found.num_addresses == 1 else str(found)


def parse_host(text: str) -> str:
    """Return the name of a host in lower case.

    Raises:
        SettingError: it is not a name.
    """
    name = text.strip().rstrip(".").lower()
    if len(name) > _HOST_MAX or not re.fullmatch(rf"{_LABEL}(?:\.{_LABEL})*", name):
        raise SettingError("write the name alone, such as smarty.example: no http://, no port, no path, no *")
    return name


def is_this_machine(host: str) -> bool:
    """True if a host is the loopback interface."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # From Python 3.13 on ::ffff:127.0.0.1 is loopback, too; here it stays an address that needs a password.
    return address.is_loopback and (address.version == 4 or int(address) == 1)


def is_any_address(host: str) -> bool:
    """True if an IP address stands for all those of the machine."""
    return ipaddress.ip_address(host).is_unspecified


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
