"""The first view: what flows now, what this quarter hour will become, and the last hours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from smarty_gateway.history.running_quarter import RunningQuarter
from smarty_gateway.outputs.output import Reading
from smarty_gateway.pages.gauge import Gauge, gauge_of, span_text
from smarty_gateway.pages.moments import age, local, moment
from smarty_gateway.pages.recent_power import HOURS, hours_table, picture_of, points_of
from smarty_gateway.pages.sections import Table
from smarty_gateway.pages.site import ShownMeter, View, render, rendered
from smarty_gateway.pages.snapshots import Availability, PowerCurve
from smarty_gateway.pages.telegram_values import devices, net_power, others, phases
from smarty_gateway.protocol.meter import Security

#: A day of which less is known has a note.
_ALL: Final = 0.995

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Live:
    """What `live_first.html` and `live_rest.html` show of a meter.

    Attributes:
        warnings: sentences without a number that changes, because screen readers read each change aloud.
        is_old: the values are not those of the present.
        flow: `import`, `export` or `none`.
    """

    warnings: Sequence[str]
    is_old: bool
    reading: Reading | None = None
    power: str = ""
    flow: str = "none"
    direction: str = ""
    powers: Facts = ()
    age: str = ""
    security: str = ""
    gauge: Gauge | None = None
    span: str = ""
    sums: Facts = ()
    notes: Sequence[str] = ()
    phases: Table | None = None
    devices: Table | None = None
    others: Table | None = None


def now_page(view: View, meter: ShownMeter, curve: PowerCurve, hours: int) -> str:
    """Return one meter with what flows now.

    Args:
        view: what is known.
        meter: to show.
        curve: its power, as far as the gateway remembers it.
        hours: of the picture, 24 or 48.
    """
    points = points_of(view, meter, curve, hours)
    is_known = any(power is not None for _time, power in points)
    return render(
        "now.html",
        view,
        view.language.gettext("Now"),
        meter=meter,
        here="now",
        live=live_of(view, meter),
        hours=hours,
        choices=HOURS,
        picture=picture_of(view, meter, points, hours) if is_known else "",
        table=hours_table(view, points),
    )


def live_part(view: View, meter: ShownMeter) -> str:
    """Return the part of `now_page` that changes with each telegram; the script asks for it every second."""
    return rendered("live.html", view, live=live_of(view, meter))


def live_of(view: View, meter: ShownMeter) -> Live:
    """Return what is shown of a meter."""
    reading = None if meter.now is None else meter.now.reading
    warnings = list(_warnings(view, meter))
    if meter.now is None or reading is None:
        return Live(warnings, is_old=True)
    fields, quarter = reading.telegram.decoded.fields, reading.quarter
    net = net_power(fields)
    is_old = meter.now.availability is not Availability.ONLINE
    gauge = None if quarter is None or is_old else gauge_of(view, quarter)
    if gauge is not None and gauge.exceeds:
        warnings.append(gauge.verdict)
    flow = "none" if not net else "import" if net > 0 else "export"
    return Live(
        warnings=warnings,
        is_old=is_old,
        reading=reading,
        power="" if net is None else view.language.number(abs(net), 3),
        flow=flow,
        direction=_direction(view, flow, is_old=is_old),
        powers=_powers(view, reading),
        age=_age(view, reading),
        security=_security(view, reading.telegram.security),
        gauge=gauge,
        span="" if quarter is None else span_text(view, quarter),
        sums=[] if quarter is None else _sums(view, quarter),
        notes=[] if quarter is None else list(_notes(view, quarter)),
        phases=phases(view, fields),
        devices=devices(view, reading),
        others=others(view, reading),
    )


def _warnings(view: View, meter: ShownMeter) -> Iterator[str]:
    _ = view.language.gettext
    if meter.now is None:
        last = "" if meter.history is None else moment(view, local(view, meter.history.last))
        yield _("The gateway does not read this meter now. Its history ends at {time}.").format(time=last)
        return
    reading = meter.now.reading
    if reading is None:
        started = moment(view, view.gateway.started)
        if meter.now.availability is Availability.SILENT:
            text = _("Nothing has arrived from this meter since the gateway started at {time}.")
        else:
            text = _("The first telegram has not arrived yet. The gateway started at {time}.")
        yield text.format(time=started)
    elif meter.now.availability is Availability.SILENT:
        text = _("This meter is silent: nothing has arrived since {time}. These values are old.")
        yield text.format(time=moment(view, reading.received, seconds=True))
    if meter.now.troubles:
        yield _("Some of what this meter sends is rejected. The view Meters says why, and what to do.")


def _direction(view: View, flow: str, *, is_old: bool) -> str:
    _ = view.language.gettext
    if is_old:
        words = {"import": _("was drawn from the grid"), "export": _("was fed into the grid")}
    else:
        words = {"import": _("drawn from the grid"), "export": _("fed into the grid")}
    return words.get(flow, _("Nothing flows in either direction."))


def _powers(view: View, reading: Reading) -> Facts:
    _, language = view.language.gettext, view.language
    fields: Mapping[str, Any] = reading.telegram.decoded.fields
    rows = (
        (_("Import"), language.quantity(fields.get("power_import"), 3, "kW")),
        (_("Export"), language.quantity(fields.get("power_export"), 3, "kW")),
    )
    return [row for row in rows if row[1]]


def _age(view: View, reading: Reading) -> str:
    """Return when the meter sent a reading, by its own clock if it has one, and how long ago it arrived."""
    at = reading.telegram.timestamp or reading.received
    text = view.language.gettext("Reading of {time}, {age}")
    return text.format(time=moment(view, at, seconds=True), age=age(view, reading.received))


def _security(view: View, security: Security) -> str:
    _ = view.language.gettext
    return {
        Security.AUTHENTICATED: _("Encrypted, and verified with the meter's keys."),
        Security.UNAUTHENTICATED: _("Encrypted, but not verified: only the checksum is right (crc-only)."),
        Security.PLAINTEXT: _("Not encrypted, as this meter sends it."),
    }[security]


def _sums(view: View, quarter: RunningQuarter) -> Facts:
    _, language, totals = view.language.gettext, view.language, quarter.totals
    rows: list[tuple[str, float | None, int, str]] = []
    if totals is not None:
        rows = [
            (_("Import today"), totals.import_day, 3, "kWh"),
            (_("Export today"), totals.export_day, 3, "kWh"),
        ]
        if quarter.reference is not None:
            rows += [
                (_("Excess today"), totals.excess_day, 3, "kWh"),
                (_("Excess this month"), totals.excess_month, 3, "kWh"),
                (_("Excess this year"), totals.excess_year, 3, "kWh"),
            ]
    found = [
        (label, language.quantity(value / 1000, decimals, unit))
        for label, value, decimals, unit in rows
        if value is not None
    ]
    if quarter.peak is not None:
        at = moment(view, local(view, quarter.peak.start))
        label = _("Peak this month ({time})").format(time=at)
        found.append((label, language.quantity(quarter.peak.power / 1000, 3, "kW")))
    return found


def _notes(view: View, quarter: RunningQuarter) -> Iterator[str]:
    if quarter.totals is not None and quarter.totals.covered_day < _ALL:
        share = view.language.number(100 * quarter.totals.covered_day, 0)
        text = view.language.gettext("The sums of today lack time: {share} % of the quarter hours are known.")
        yield text.format(share=share)


def overview_page(view: View) -> str:
    """Return all meters with what flows now."""
    _ = view.language.gettext
    cards = [(meter, live_of(view, meter)) for meter in view.meters()]
    return render("overview.html", view, _("All meters"), here="overview", cards=cards)
