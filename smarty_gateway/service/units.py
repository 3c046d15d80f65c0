"""The texts of the units: templates beside this file, and what a configuration adds to them."""

from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from smarty_gateway.service.needs import NAME, Needs

#: The first line of all that is written, so that `uninstall` removes nothing else.
MARK: Final = f"# Written by `{NAME} service install`; your own settings: systemctl edit {NAME}\n"
UNIT: Final = f"{NAME}.service"
TIMERS: Final = (f"{NAME}-report-day.timer", f"{NAME}-report-month.timer")
REPORT_UNITS: Final = (f"{NAME}-report@.service", *TIMERS)

_PRIVATE_STATE: Final = Path("/var/lib/private") / NAME


def unit_text(needs: Needs) -> str:
    """Return the unit of the gateway."""
    capability = "CAP_NET_BIND_SERVICE" if needs.takes_low_ports else ""
    ambient = f"AmbientCapabilities={capability}\n" if capability else ""
    return _filled(
        UNIT,
        needs,
        "".join(_access(needs)),
        capabilities=f"CapabilityBoundingSet={capability}\n{ambient}",
        calls="# Pseudo-terminals get a group.\nSystemCallFilter=@chown\n" if needs.gives_ports_away else "",
    )


def report_texts(needs: Needs) -> dict[str, str]:
    """Return the units that mail reports."""
    return {name: _filled(name, needs, _credentials(needs.mail_secrets)) for name in REPORT_UNITS}


def _filled(name: str, needs: Needs, access: str, **more: str) -> str:
    text = (files(__package__) / "templates" / name).read_text("utf-8")
    return text.format(
        mark=MARK,
        program=needs.program,
        executable=needs.executable,
        config=needs.config,
        access=access,
        **more,
    )


def _access(needs: Needs) -> Iterator[str]:
    """Yield the lines that open what this configuration needs."""
    if needs.groups:
        yield f"# These groups own the ports.\nSupplementaryGroups={' '.join(needs.groups)}\n"
    if needs.has_links:
        yield f"# /run/{NAME}: the names of pseudo-terminals.\nRuntimeDirectory={NAME}\n"
    if needs.folder is not None:
        yield (
            "# The folder for files belongs to the user of the state; the gateway starts without it, too.\n"
            f"ExecStartPre=-+chown --no-dereference --reference={_PRIVATE_STATE} {needs.folder}\n"
            f"ReadWritePaths=-{needs.folder}\n"
        )
    yield f"\n{_credentials(needs.secrets)}"


def _credentials(secrets: Iterable[Path]) -> str:
    lines = [f"LoadCredential={path.name}:{path}\n" for path in dict.fromkeys(secrets)]
    if not lines:
        return ""
    return "".join(["# Secrets are read by systemd as root and shown to this service alone.\n", *lines, "\n"])
