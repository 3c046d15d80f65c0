"""The names of time zones, as the zone data have them."""

import difflib
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from smarty_gateway.config.settings import SettingError


def find_zone(name: str) -> ZoneInfo | None:
    """Return the time zone of a name; None if the zone data have none."""
    if name not in _names():  # `right/Europe/Paris` counts leap seconds, and is not in the list
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, ZoneInfoNotFoundError):  # the file of the system is damaged
        return None


def checked_zone(text: str) -> str:
    """Return the name of a time zone.

    Raises:
        SettingError: there is no such zone.
    """
    if find_zone(text) is None:
        by_lower = {name.lower(): name for name in _names()}
        near = difflib.get_close_matches(text[:100].lower(), by_lower, n=1)
        hint = f"did you mean {by_lower[near[0]]}?" if near else "write one such as Europe/Luxembourg"
        raise SettingError(f"there is no time zone of this name; {hint}")
    return text


@cache
def _names() -> frozenset[str]:
    # Not `available_timezones()`, which opens a thousand files.
    return frozenset((files("tzdata") / "zones").read_text("ascii").split())
