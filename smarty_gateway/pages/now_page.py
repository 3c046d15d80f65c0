"""The first view: what flows now, what this quarter hour will become, and the last hours."""

from smarty_gateway.pages.site import ShownMeter, View
from smarty_gateway.pages.snapshots import PowerCurve


def overview_page(view: View) -> str:
    """Return all meters with what flows now."""
    raise NotImplementedError


def now_page(view: View, meter: ShownMeter, curve: PowerCurve, hours: int) -> str:
    """Return one meter with what flows now.

    Args:
        view: what is known.
        meter: to show.
        curve: its power, as far as the gateway remembers it.
        hours: of the picture, 24 or 48.
    """
    raise NotImplementedError


def live_part(view: View, meter: ShownMeter) -> str:
    """Return the part of `now_page` that changes with each telegram; the script asks for it every second."""
    raise NotImplementedError
