"""The system on which the service is installed: where its files are, and what its programs answer."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError

#: systemd itself gives up before: TimeoutStartSec= of the unit is 5 minutes.
_SECONDS: Final = 330.0


class UnfitSystemError(GatewayError):
    """The system cannot do what is needed."""

    exit_status = ExitStatus.REJECTED


@dataclass(frozen=True, slots=True)
class System:
    """The folders of the system.

    Attributes:
        units: where an administrator's units are.
        rules: where an administrator's rules of udev are.
        running: is there while systemd runs.
        packaged: where packages of the distribution install units.
    """

    units: Path = Path("/etc/systemd/system")
    rules: Path = Path("/etc/udev/rules.d")
    running: Path = Path("/run/systemd/system")
    packaged: Path = Path("/usr/lib/systemd/system")

    @property
    def has_systemd(self) -> bool:
        """True if systemd has started this machine."""
        return self.running.is_dir()

    @property
    def is_root(self) -> bool:
        """True if this process may change the system."""
        return os.geteuid() == 0


def answer(*command: str) -> tuple[int, str]:
    """Return the exit status and the output of a program; 127 and nothing where it is missing."""
    try:
        done = subprocess.run(  # noqa: S603 - words of our own and checked names
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_SECONDS
        )
    except FileNotFoundError:
        return 127, ""
    except subprocess.TimeoutExpired:
        return 124, ""
    return done.returncode, (done.stdout or done.stderr).decode("utf-8", "replace").strip()
