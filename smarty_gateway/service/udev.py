"""Rules of udev: a name of its own for a port whose name may belong to another adapter after a restart."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from smarty_gateway.config.values import Config
from smarty_gateway.safe_text import object_id
from smarty_gateway.service.system import answer
from smarty_gateway.sources.address import Kind
from smarty_gateway.sources.ports import serial_ports

#: After 60-serial.rules of systemd, which finds the properties.
RULES: Final = "90-smarty-gateway.rules"
#: The kernel counts adapters in the order in which it finds them.
_COUNTED: Final = re.compile(r"tty(USB|ACM)\d+")
#: As udev writes them; anything else does not go into a rule.
_VALUE: Final = re.compile(r"[A-Za-z0-9_.:+-]+")
#: The names by-id are made from these.
_BY_ID: Final = ("ID_VENDOR_ID", "ID_MODEL_ID", "ID_SERIAL_SHORT", "ID_USB_INTERFACE_NUM")

_Properties = Mapping[str, str]


def rules_for(config: Config) -> Iterator[tuple[Path, Path, str]]:
    """Yield each port that needs a name of its own, that name, and the rule for it."""
    properties = {port.resolve(): _properties_of(port) for port in serial_ports()}
    links: set[str] = set()
    for meter in config.meters:
        for source in meter.sources:
            device = source.path.resolve()
            if source.kind is not Kind.SERIAL or device not in properties:
                continue
            has_namesake = [_by_id(each) for each in properties.values()].count(
                _by_id(properties[device])
            ) > 1
            is_counted = _COUNTED.fullmatch(source.path.name) is not None
            if not is_counted and not (has_namesake and "by-id" in source.path.parts):
                continue
            link = f"smarty-{object_id(meter.name or meter.id or 'meter')}"
            rule = _rule(properties[device], link, by_path=has_namesake)
            if rule is not None and link not in links:
                links.add(link)
                yield source.path, Path("/dev") / link, rule


def _properties_of(port: Path) -> _Properties:
    """Return what udev knows about a port; nothing where there is no udev."""
    status, text = answer("udevadm", "info", "--query=property", f"--name={port}")
    lines = text.splitlines() if status == 0 else []
    return {name: value for name, mark, value in (line.partition("=") for line in lines) if mark}


def _by_id(properties: _Properties) -> tuple[str | None, ...]:
    return tuple(properties.get(name) for name in _BY_ID)


def _rule(properties: _Properties, link: str, *, by_path: bool) -> str | None:
    """Return a rule by serial number, or by the socket of the adapter; None where it has neither."""
    names = ("ID_PATH",) if by_path or "ID_SERIAL_SHORT" not in properties else _BY_ID
    wanted = {name: properties[name] for name in names if name in properties}
    if not wanted or any(_VALUE.fullmatch(value) is None for value in wanted.values()):
        return None
    matches = "".join(f'ENV{{{name}}}=="{value}", ' for name, value in wanted.items())
    return f'SUBSYSTEM=="tty", {matches}SYMLINK+="{link}"\n'
