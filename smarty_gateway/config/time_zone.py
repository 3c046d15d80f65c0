"""The time zone of meters that do not say whether it is summer, and of days, months and years."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.config.small_file import UnreadableFileError, read_small_file
from smarty_gateway.config.values import Config
from smarty_gateway.config.zone_names import find_zone

_DEFAULT: Final = "Europe/Luxembourg"
_ETC: Final = Path("/etc")
#: Parts of Europe that have names of their own.
_ISLANDS: Final = ("Atlantic/Canary", "Atlantic/Madeira", "Atlantic/Azores")


def zone_of(config: Config | None, etc: Path = _ETC) -> ZoneInfo:
    """Return the configured zone; without one the machine's if it is in Europe, else Luxembourg's.

    Args:
        config: None where there is no gateway.yaml.
        etc: the folder in which a machine has the name of its zone.
    """
    if config is not None and config.time_zone is not None:
        return ZoneInfo(config.time_zone)
    for name in _names_of_machine(etc):
        is_european = name.startswith("Europe/") or name in _ISLANDS
        # A machine in a data centre is on UTC, and the meter is not.
        if is_european and (zone := find_zone(name)) is not None:
            return zone
    return ZoneInfo(_DEFAULT)


def _names_of_machine(etc: Path) -> Iterator[str]:
    """Yield what may be the name of the machine's zone; each may be missing, odd or a path."""
    yield _below_zoneinfo(os.environ.get("TZ", "").removeprefix(":"))
    with contextlib.suppress(OSError):
        yield _below_zoneinfo(str((etc / "localtime").readlink()))
    with contextlib.suppress(UnreadableFileError):
        yield read_small_file(etc / "timezone", pipe_seconds=0).decode("utf-8", "replace").strip()


def _below_zoneinfo(path: str) -> str:
    return path.rpartition("/zoneinfo/")[2]
