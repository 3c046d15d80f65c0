"""What to type where the gateway runs in a container: other options of its start, not other commands.

Files that are mounted keep their owner and mode, and are changed on the host.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from smarty_gateway.sources.container import is_in_container, is_rootless_podman

START_ADVICE: Final = (
    "start the container without a command and with --restart unless-stopped; with compose.yaml: "
    "docker compose up --detach"
)
_MOUNTS: Final = Path("/proc/self/mountinfo")


def configuration_advice(path: Path) -> str:
    """Return what to type where there is no configuration, or none that this process can see."""
    folder = path.parent
    if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
        return f"no permission to read {folder}; {owner_advice(folder)}"
    return (
        f"{path} is not there; start the container with --volume ./config:{folder}, where ./config is the "
        "folder with gateway.yaml; the command setup writes it, demo needs none"
    )


def owner_advice(path: Path) -> str:
    """Return how this process gets the rights of the owner of a file.

    Args:
        path: of the file, which may be in a folder that this process cannot enter.
    """
    if is_rootless_podman():
        return "start the container with --userns keep-id; in compose.yaml: userns_mode: keep-id"
    found = next(each for each in (path, *path.absolute().parents) if _is_seen(each)).stat()
    if found.st_uid in (0, os.geteuid()):
        return f"type on the host: sudo chown -R {os.geteuid()} {path.name} && chmod -R u+rwX {path.name}"
    user = f"{found.st_uid}:{found.st_gid}"
    return f'start the container with --user {user}; in compose.yaml: user: "{user}"'


def permission_advice(error: OSError, path: Path) -> str:
    """Return what to put behind an error; nothing outside of a container, or where it is another error."""
    return f"; {owner_advice(path)}" if isinstance(error, PermissionError) and is_in_container() else ""


def secret_advice(path: Path) -> str:
    """Return what to type on the host about a file of secrets that others can read."""
    name = path.name
    return f"chmod 600 {name}; or, as where a NAS ignores that: --volume ./{name}:/run/secrets/{name}:ro"


def state_advice(folder: Path) -> str | None:
    """Return what makes the folder of the state writable; None outside of a container."""
    if not is_in_container():
        return None
    return (
        f"type on the host: sudo chown -R {os.geteuid()} FOLDER, where FOLDER is what is mounted at "
        f"{folder}; or mount a new volume"
    )


def container_warnings(folder: Path, *, has_page: bool) -> Iterator[str]:
    """Yield what is unwise in a container: a state that is lost with it, a health check that always fails.

    Args:
        folder: of the state.
        has_page: the output http is configured, which answers the health check.
    """
    if not is_in_container():
        return
    if not has_page:
        yield (
            "the health check of the container asks the output http: write `http: true` below `outputs:`, or "
            "start the container with --no-healthcheck"
        )
    mounts = {line.split()[4] for line in _MOUNTS.read_text("utf-8", "replace").splitlines()}
    if not mounts.intersection(map(str, (folder, *folder.parents[:-1]))):
        yield (
            "frame counters and history are lost with this container, as in an upgrade; start it with "
            f"--volume smarty-state:{folder}"
        )


def _is_seen(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True
