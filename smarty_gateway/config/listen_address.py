"""Where the gateway listens: an address of this machine and a port."""

from typing import Any

from smarty_gateway.config.settings import SettingError


def parse_listen_address(text: str) -> dict[str, Any]:
    """Return the fields of `HttpConfig` that an address such as 127.0.0.1:8300 or [::1]:8300 stands for.

    Raises:
        SettingError: it is not one.
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise SettingError("write an address and a port, such as 127.0.0.1:8300")
    return {"host": host.strip("[]"), "port": int(port)}
