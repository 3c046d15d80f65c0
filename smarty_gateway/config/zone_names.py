"""The names of time zones, as the zone data have them."""

import difflib
import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from smarty_gateway.config.settings import SettingError

#: Beside the zones some systems have `localtime`, and `right/Europe/Paris`, which counts leap seconds.
_NAME: Final = re.compile(r"[A-Z][\w+-]*(?:/[A-Z][\w+-]*)*", re.ASCII)


def find_zone(name: str) -> ZoneInfo | None:
    """Return the time zone of a name; None if the zone data have none."""
    if not _NAME.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, ZoneInfoNotFoundError):  # no such zone, or a damaged file of the system
        return None


def checked_zone(text: str) -> str:
    """Return the name of a time zone.

    Raises:
        SettingError: there is no such zone.
    """
    if find_zone(text) is None:
        by_lower = {name.lower(): name for name in available_timezones() if _NAME.fullmatch(name)}
        near = difflib.get_close_matches(text[:100].lower(), by_lower, n=1)
        hint = f"did you mean {by_lower[near[0]]}?" if near else "write one such as Europe/Luxembourg"
        raise SettingError(f"there is no time zone of this name; {hint}")
    return text
