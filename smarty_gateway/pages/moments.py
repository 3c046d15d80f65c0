"""Times as the page writes them: in the reader's language, in the zone of the page."""

from datetime import UTC, datetime
from typing import Final

from smarty_gateway.pages.site import View

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def local(view: View, seconds: float) -> datetime:
    """Return UTC seconds as local time."""
    return datetime.fromtimestamp(seconds, view.zone)


def moment(view: View, at: datetime, *, seconds: bool = False) -> str:
    """Return a time; the date stands before it if it is not today's.

    Args:
        view: its time says which day it is today.
        at: a time without an offset is written as it is.
        seconds: write them, too.
    """
    here = at if at.tzinfo is None else at.astimezone(view.zone)
    text = view.language.time(here, seconds=seconds)
    is_today = here.date() == local(view, view.now).date()
    return text if is_today else f"{view.language.day(here.date())}, {text}"


def iso_moment(view: View, text: str) -> str:
    """Return a time of the JSON object."""
    return moment(view, datetime.fromisoformat(text))


def age(view: View, at: datetime) -> str:
    """Return how long ago something was."""
    _, passed = view.language.gettext, max(0, view.now - int(at.astimezone(UTC).timestamp()))
    if passed < 2 * _MINUTE:
        return _("{number} s ago").format(number=passed)
    if passed < 2 * _HOUR:
        return _("{number} min ago").format(number=passed // _MINUTE)
    if passed < 2 * _DAY:
        return _("{number} h ago").format(number=passed // _HOUR)
    return _("{number} days ago").format(number=passed // _DAY)
