"""The views of the history as pages, with the way to the spans before and after."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from smarty_gateway.history.local_time import first_day, following, local_date, preceding
from smarty_gateway.history.rows import By, HistoryMeter
from smarty_gateway.history.stretches import PARTS
from smarty_gateway.languages.language import Language
from smarty_gateway.pages.advice import Advice, history_advice
from smarty_gateway.pages.history_sections import bill_sections, span_sections
from smarty_gateway.pages.history_words import address_of, title_of
from smarty_gateway.pages.site import ShownMeter, View, render
from smarty_gateway.protocol.meter_telegram import Security

#: The spans in which another one is chosen, and those that a page leads up to.
_AROUND: Final = {By.DAY: By.MONTH, By.MONTH: By.YEAR}


@dataclass(frozen=True, slots=True)
class Link:
    """A link to another span.

    Attributes:
        to: relative to the address of the meter.
        is_here: it is the one that is shown.
    """

    text: str
    to: str
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways from a span to others, as far as something is known there.

    Attributes:
        first: the first one; None on it.
        before: None on the first one.
        after: None on the newest one.
        last: the newest one, likewise.
        up: the month and the year of a day, the year of a month.
        others: to choose from.
    """

    first: Link | None
    before: Link | None
    after: Link | None
    last: Link | None
    up: Sequence[Link]
    others: Sequence[Link]


def span_page(view: View, meter: ShownMeter, by: By, day: date) -> str:
    """Return the page of a day, a month or a year; of a meter without a history it says so."""
    title = title_of(by, day, view.language)
    if view.history is None or meter.history is None:
        return _without_history(view, meter, title, by)
    return render(
        "history.html",
        view,
        title,
        meter=meter,
        here=by.value,
        ways=_ways(view, meter.history, by, day),
        sections=span_sections(view.history, meter.history, by, day, view.language),
        files=f"history?from={first_day(by, day)}&to={following(by, day)}&by={PARTS[by]}",
        choice=_choice(by, view.language),
    )


def bill_page(view: View, meter: ShownMeter) -> str:
    """Return the page that helps to check a bill."""
    title = view.language.gettext("Bill")
    if view.history is None or meter.history is None:
        return _without_history(view, meter, title, "bill")
    sections = bill_sections(view.history, meter.history, view.language)
    return render("bill.html", view, title, meter=meter, here="bill", sections=sections)


def _without_history(view: View, meter: ShownMeter, title: str, here: str) -> str:
    _ = view.language.gettext
    if view.no_history is None and _is_left_out(meter):
        advice = Advice(
            _(
                "This meter has no history: it has no name in the configuration, and no key proves which "
                "one it is."
            ),
            remedy="",
            how=_("Write `name:` into its entry in gateway.yaml, and restart the gateway."),
        )
    elif view.no_history is None:
        text = _("This meter has no history yet.")
        advice = Advice(text, _("The first quarter hour is there soon after it is over."))
    else:
        advice = history_advice(view.language, view.no_history)
    return render("no_history.html", view, title, meter=meter, here=here, advice=advice)


def _is_left_out(meter: ShownMeter) -> bool:
    """True if nothing of a meter gets into the history (docs/reference.md, "History")."""
    reading = None if meter.now is None else meter.now.reading
    return (
        reading is not None
        and not reading.is_configured
        and reading.telegram.security is not Security.AUTHENTICATED
    )


def _choice(by: By, language: Language) -> str:
    _ = language.gettext
    return {
        By.DAY: _("Choose another day"),
        By.MONTH: _("Choose another month"),
        By.YEAR: _("Choose another year"),
    }[by]


def _ways(view: View, meter: HistoryMeter, by: By, day: date) -> Ways:
    """Return the ways to spans between the first known one and the running one."""
    first = first_day(by, local_date(meter.first, view.zone))
    last = first_day(by, local_date(max(view.now, meter.last - 1), view.zone))
    here = first_day(by, day)

    def link(to: date) -> Link:
        return Link(title_of(by, to, view.language), address_of(by, to))

    return Ways(
        link(first) if here != first else None,
        link(min(preceding(by, here), last)) if here > first else None,
        link(max(following(by, here), first)) if here < last else None,
        link(last) if here != last else None,
        [Link(title_of(one, day, view.language), address_of(one, day)) for one in _up(by)],
        [*_others(by, here, first, last, view.language)],
    )


def _up(by: By) -> Iterator[By]:
    while by in _AROUND:
        by = _AROUND[by]
        yield by


def _others(by: By, here: date, first: date, last: date, language: Language) -> Iterator[Link]:
    """Yield the days of a month, the months of a year, or all years, as far as something is known."""
    around = _AROUND.get(by)
    begin = first if around is None else max(first, first_day(around, here))
    end = following(by, last) if around is None else min(following(by, last), following(around, here))
    while begin < end:
        text = language.months()[begin.month - 1] if by is By.MONTH else str(begin.day)
        yield Link(str(begin.year) if by is By.YEAR else text, address_of(by, begin), is_here=begin == here)
        begin = following(by, begin)
