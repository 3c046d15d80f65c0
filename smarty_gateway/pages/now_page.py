"""The first view: what flows now, what this quarter hour will become, and the last hours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from smarty_gateway.history.local_time import local_date
from smarty_gateway.history.running_quarter import RunningQuarter
from smarty_gateway.outputs.output import Reading
from smarty_gateway.pages.gauge import Gauge, gauge_of, span_text
from smarty_gateway.pages.moments import age, local, moment
from smarty_gateway.pages.recent_power import HOURS, hours_table, picture_of, points_of
from smarty_gateway.pages.sections import Table
from smarty_gateway.pages.site import ShownMeter, View, render, rendered
from smarty_gateway.pages.snapshots import Availability, PowerCurve
from smarty_gateway.pages.telegram_values import devices, net_power, others, phases
from smarty_gateway.protocol.meter_telegram import Security

#: A day of which less is known has a note.
_ALL: Final = 0.995

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Live:
    """What changes with each telegram of a meter; templates show what they need of it."""

    view: View
    meter: ShownMeter

    @property
    def reading(self) -> Reading | None:
        """Return the newest."""
        return None if self.meter.now is None else self.meter.now.reading

    @property
    def fields(self) -> Mapping[str, Any]:
        """Return the values of the newest telegram."""
        return {} if self.reading is None else self.reading.telegram.decoded.fields

    @property
    def quarter(self) -> RunningQuarter | None:
        """Return the running quarter hour."""
        return None if self.reading is None else self.reading.quarter

    @property
    def is_old(self) -> bool:
        """True if the values are not those of the present."""
        return self.meter.now is None or self.meter.now.availability is not Availability.ONLINE

    @cached_property
    def gauge(self) -> Gauge | None:
        """Return the gauge of the running quarter hour; None if there is nothing to draw."""
        return None if self.quarter is None or self.is_old else gauge_of(self.view, self.quarter)

    @cached_property
    def waiting(self) -> str:
        """Return why there are no values; nothing if there are some, or if that is a fault."""
        _, now = self.view.language.gettext, self.meter.now
        if now is None:
            end = 0 if self.meter.history is None else self.meter.history.last
            text = _("The gateway does not read this meter now. Its history ends at {time}.")
            return text.format(time=moment(self.view, local(self.view, end)))
        if now.availability is Availability.STARTING:
            text = _("The first telegram has not arrived yet. The gateway started at {time}.")
            return text.format(time=moment(self.view, self.view.gateway.started))
        if now.availability is Availability.ONLINE and now.reading is None:
            return _(
                "Frames arrive and are forwarded. Only the pool can read them: no key for this meter is here."
            )
        return ""

    @cached_property
    def warnings(self) -> list[str]:
        """Return sentences without a number that changes: a screen reader reads each change aloud."""
        return list(self._warnings())

    def _warnings(self) -> Iterator[str]:
        _, now = self.view.language.gettext, self.meter.now
        if now is None:
            return
        if now.availability is Availability.SILENT and self.reading is None:
            text = _("Nothing has arrived from this meter since the gateway started at {time}.")
            yield text.format(time=moment(self.view, self.view.gateway.started))
        elif now.availability is Availability.SILENT and self.reading is not None:
            text = _("This meter is silent: nothing has arrived since {time}. These values are old.")
            yield text.format(time=moment(self.view, self.reading.received, seconds=True))
        if now.troubles:
            yield _("Some of what this meter sends is rejected. The view Meters says why, and what to do.")
        if self.gauge is not None and self.gauge.exceeds:
            yield self.gauge.verdict

    @cached_property
    def net(self) -> float | None:
        """Return import less export in kW."""
        return net_power(self.fields)

    @property
    def power(self) -> str:
        """Return the net power without its sign."""
        return self.view.language.number(None if self.net is None else abs(self.net), 3)

    @property
    def flow(self) -> str:
        """Return `import`, `export` or `none`."""
        return "none" if not self.net else "import" if self.net > 0 else "export"

    @property
    def direction(self) -> str:
        """Return what the power does."""
        _ = self.view.language.gettext
        if self.is_old:
            words = {"import": _("was drawn from the grid"), "export": _("was fed into the grid")}
        else:
            words = {"import": _("drawn from the grid"), "export": _("fed into the grid")}
        return words.get(self.flow, _("Nothing flows in either direction."))

    @property
    def powers(self) -> Facts:
        """Return import and export."""
        _, language = self.view.language.gettext, self.view.language
        rows = (
            (_("Import"), language.quantity(self.fields.get("power_import"), 3, "kW")),
            (_("Export"), language.quantity(self.fields.get("power_export"), 3, "kW")),
        )
        return [row for row in rows if row[1]]

    @property
    def age(self) -> str:
        """Return when the meter sent the reading, by its own clock if it has one, and how old it is."""
        if self.reading is None:
            return ""
        text = self.view.language.gettext("Reading of {time}, {age}")
        at = self.reading.telegram.timestamp or self.reading.received
        return text.format(
            time=moment(self.view, at, seconds=True), age=age(self.view, self.reading.received)
        )

    @property
    def security(self) -> str:
        """Return how far the reading is proven."""
        _ = self.view.language.gettext
        if self.reading is None:
            return ""
        return {
            Security.AUTHENTICATED: _("Encrypted, and verified with the meter's keys."),
            Security.UNAUTHENTICATED: _(
                "Encrypted, but not verified: only its checksum is right (crc-only)."
            ),
            Security.PLAINTEXT: _("Not encrypted, as this meter sends it."),
        }[self.reading.telegram.security]

    @property
    def span(self) -> str:
        """Return from when to when the quarter hour lasts."""
        return "" if self.quarter is None else span_text(self.view, self.quarter)

    @cached_property
    def sums(self) -> Facts:
        """Return import, export and excess of the running day, month and year, and the month's peak.

        A meter that is silent since another day has none.
        """
        if self.quarter is None or (self.is_old and not self._is_of_today(self.quarter)):
            return []
        return list(_sums(self.view, self.quarter))

    def _is_of_today(self, quarter: RunningQuarter) -> bool:
        day, today = (local_date(time, self.view.zone) for time in (quarter.start, self.view.now))
        return day == today

    @property
    def notes(self) -> list[str]:
        """Return what the sums lack."""
        totals = None if self.quarter is None else self.quarter.totals
        if totals is None or totals.covered_day >= _ALL:
            return []
        share = self.view.language.number(100 * totals.covered_day, 0)
        text = self.view.language.gettext(
            "The sums of today lack time: {share} % of the quarter hours are known."
        )
        return [text.format(share=share)]

    @cached_property
    def phases(self) -> Table | None:
        """Return power, voltage and current of each phase."""
        return phases(self.view, self.fields)

    @cached_property
    def devices(self) -> Table | None:
        """Return the M-Bus devices."""
        return None if self.reading is None else devices(self.view, self.reading)

    @cached_property
    def others(self) -> Table | None:
        """Return all other values."""
        return None if self.reading is None else others(self.view, self.reading)


def _sums(view: View, quarter: RunningQuarter) -> Iterator[tuple[str, str]]:
    _, language, totals = view.language.gettext, view.language, quarter.totals
    if totals is not None:
        rows: list[tuple[str, float | None]] = [
            (_("Import today"), totals.import_day),
            (_("Export today"), totals.export_day),
        ]
        if quarter.reference is not None:
            rows += [
                (_("Excess today"), totals.excess_day),
                (_("Excess this month"), totals.excess_month),
                (_("Excess this year"), totals.excess_year),
            ]
        yield from (
            (label, language.quantity(value / 1000, 3, "kWh")) for label, value in rows if value is not None
        )
    if quarter.peak is not None:
        at = moment(view, local(view, quarter.peak.start))
        label = _("Peak this month ({time})").format(time=at)
        yield label, language.quantity(quarter.peak.power / 1000, 3, "kW")


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
        live=Live(view, meter),
        hours=hours,
        choices=HOURS,
        picture=picture_of(view, meter, points, hours) if is_known else "",
        table=hours_table(view, points),
    )


def live_part(view: View, meter: ShownMeter) -> str:
    """Return the part of `now_page` that changes with each telegram; the script asks for it every second."""
    return rendered("live.html", view, live=Live(view, meter))


def overview_page(view: View) -> str:
    """Return all meters with what flows now."""
    title = view.language.gettext("All meters")
    return render(
        "overview.html", view, title, here="overview", cards=[Live(view, meter) for meter in view.meters()]
    )
