"""The running quarter hour as a gauge: half a circle from 0 to a power above its limit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from smarty_gateway.history.running_quarter import RunningQuarter
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.pages.moments import local, moment
from smarty_gateway.pages.site import View

#: The limit is at three quarters of the half circle, unless the forecast needs more room.
_ABOVE_LIMIT: Final = 4 / 3
#: W. Of a meter without a limit the half circle ends at one of these times a power of ten.
_STEPS: Final = (1, 2, 5, 10)
_LEAST: Final = 1_000
#: Of the drawing in `live.html`: its centre, and how far the text of the limit is from it.
_CENTRE: Final = 100
_LABEL: Final = 113


@dataclass(frozen=True, slots=True)
class Gauge:
    """What is drawn and said of the running quarter hour.

    Attributes:
        so_far: the mean power of the whole quarter if nothing more flowed, in percent of the half circle.
        forecast: likewise, with the present power to the end.
        limit: likewise; None without one.
        angle: of the limit, in degrees from the left.
        label_x: where the text of the limit stands.
        label_y: likewise.
        exceeds: the forecast is above the limit.
        big: the forecast.
        facts: label and value.
        verdict: a sentence without a number that changes.
        alternative: the drawing in words.
    """

    so_far: float
    forecast: float
    limit: float | None
    angle: float
    label_x: float
    label_y: float
    exceeds: bool
    big: str
    limit_text: str
    facts: Sequence[tuple[str, str]]
    verdict: str
    alternative: str


def gauge_of(view: View, quarter: RunningQuarter) -> Gauge | None:
    """Return the gauge of a quarter hour; None if its beginning or its power is not known."""
    forecast, limit = quarter.forecast_power, quarter.limit
    if quarter.energy is None or forecast is None:
        return None
    so_far = quarter.energy * 3600 / QUARTER
    scale = _scale(forecast, limit)
    angle = 180 * (limit or 0) / scale
    turn = math.radians(angle)
    _, language = view.language.gettext, view.language
    limit_text = language.quantity(None if limit is None else limit / 1000, _decimals(limit), "kW")
    big = language.quantity(forecast / 1000, 2, "kW")
    return Gauge(
        so_far=_percent(so_far, scale),
        forecast=_percent(forecast, scale),
        limit=None if limit is None else _percent(limit, scale),
        angle=round(angle, 1),
        label_x=round(_CENTRE - math.cos(turn) * _LABEL, 1),
        label_y=round(_CENTRE - math.sin(turn) * _LABEL, 1),
        exceeds=bool(quarter.will_exceed),
        big=big,
        limit_text=limit_text,
        facts=_facts(view, quarter),
        verdict=_verdict(view, quarter, limit_text),
        alternative=_("Forecast {forecast}, limit {limit}").format(forecast=big, limit=limit_text)
        if limit_text
        else _("Forecast {forecast}").format(forecast=big),
    )


def _scale(forecast: float, limit: float | None) -> float:
    """Return the power at the right end."""
    if limit:
        return max(limit * _ABOVE_LIMIT, forecast)
    power = 10 ** math.floor(math.log10(max(forecast, _LEAST)))
    return next(float(step * power) for step in _STEPS if step * power >= max(forecast, _LEAST))


def _percent(power: float, scale: float) -> float:
    return round(100 * power / scale, 1)


def _decimals(power: float | None) -> int:
    """Return how many decimals of a limit in kW say something: reference powers are whole."""
    return 0 if power is None or power % 1000 == 0 else 2


def _facts(view: View, quarter: RunningQuarter) -> list[tuple[str, str]]:
    _, language = view.language.gettext, view.language
    end = local(view, quarter.start + QUARTER)
    rows = [
        (_("So far"), language.quantity(_thousandth(quarter.energy), 3, "kWh")),
        (_("Mean power so far"), language.quantity(_thousandth(quarter.mean_power), 2, "kW")),
        (
            _("Allowed until {time}").format(time=moment(view, end)),
            language.quantity(_thousandth(quarter.allowed_power), 2, "kW"),
        ),
        (_("Excess so far"), language.quantity(_thousandth(quarter.excess or None), 3, "kWh")),
    ]
    return [row for row in rows if row[1]]


def span_text(view: View, quarter: RunningQuarter) -> str:
    """Return from when to when a quarter hour lasts."""
    start = local(view, quarter.start)
    text = view.language.gettext("{start} to {end}")
    return text.format(start=moment(view, start), end=moment(view, start + timedelta(seconds=QUARTER)))


def _verdict(view: View, quarter: RunningQuarter, limit: str) -> str:
    _ = view.language.gettext
    if quarter.limit is None:
        return ""
    if quarter.reference is None:
        text = (
            _("This quarter hour becomes the highest of the month, above {limit}, if the power stays.")
            if quarter.will_exceed
            else _("This quarter hour stays below the limit of {limit}, the peak of the month.")
        )
    elif quarter.will_exceed:
        text = _("This quarter hour will exceed the reference power of {limit} if the power stays.")
    else:
        text = _("This quarter hour stays within the reference power of {limit}.")
    return text.format(limit=limit)


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1000
