"""Whether the gateway runs in a container, and what to type there for a serial port."""

import os
from pathlib import Path
from typing import Final

_PODMAN: Final = Path("/run/.containerenv")
_USERS: Final = Path("/proc/self/uid_map")
#: As on the host itself.
_ALL_USERS: Final = ["0", "0", "4294967295"]
MISSING_PORT_ADVICE: Final = "start the container with --device and its name on the host"


def is_in_container() -> bool:
    """True in a container, unless it is an app of Home Assistant, which nobody starts by hand."""
    named = os.environ.get("container")  # noqa: SIM112 - so named by systemd's CONTAINER_INTERFACE
    return named == "oci" and not os.environ.get("SUPERVISOR_TOKEN")


def is_rootless_podman() -> bool:
    """True in a container of podman that a user without rights started: it sees few users and groups."""
    return _PODMAN.exists() and _USERS.read_text("ascii").split() != _ALL_USERS


def port_advice(path: Path) -> str:
    """Return what lets this process read a serial port that is there."""
    # The group of the port has no number there.
    group = "keep-groups" if is_rootless_podman() else path.stat().st_gid
    options = f"--device {path} --group-add {group}"
    return f"start the container with {options}; in compose.yaml: devices and group_add"
