"""The time zone of meters that do not say whether it is summer, and of days, months and years."""

from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.config.values import Config

_DEFAULT: Final = "Europe/Luxembourg"


def zone_of(config: Config | None) -> ZoneInfo:
    """Return the configured zone; without one the machine's if it is in Europe, else Luxembourg's."""
    name = None if config is None else config.time_zone
    return ZoneInfo(name or _DEFAULT)
