"""The report: a day, a month or a year of some meters, as an HTML file that needs nothing else, or a mail."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final

from smarty_gateway import __version__
from smarty_gateway.charts.style import STYLE
from smarty_gateway.config.extras import installation
from smarty_gateway.history.rows import By, HistoryMeter
from smarty_gateway.history.stretches import span_stretch
from smarty_gateway.languages.language import Language
from smarty_gateway.pages.history_sections import span_sections
from smarty_gateway.pages.history_tables import Reader, peaks_table, registers_table
from smarty_gateway.pages.history_words import title_of
from smarty_gateway.pages.sections import Section, Table
from smarty_gateway.pages.site import STATIC, environment
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.state.history_access import History

#: Says in the head of a file that it is a report.
GENERATOR: Final = "smarty-gateway report"
_STYLES: Final = ("page.css", "report.css")


class MissingWebError(GatewayError):
    """The libraries that make pages are not installed."""


@dataclass(frozen=True, slots=True)
class MeterReport:
    """What is reported of one meter.

    Attributes:
        name: under which it is shown.
    """

    name: str
    is_simulated: bool
    sections: Sequence[Section]


@dataclass(frozen=True, slots=True)
class Report:
    """A report.

    Attributes:
        title: the day, month or year in words.
        made: when; with its zone.
    """

    title: str
    meters: Sequence[MeterReport]
    language: Language
    made: datetime

    @property
    def heading(self) -> str:
        """Names the meter, if it is one, and the day, month or year."""
        if len(self.meters) == 1:
            (meter,) = self.meters
            simulated = f" ({self.language.gettext('simulated')})" if meter.is_simulated else ""
            return f"{meter.name}{simulated}, {self.title}"
        return self.language.gettext("All meters, {date}").format(date=self.title)

    @property
    def origin(self) -> str:
        """Says when and by what it was made."""
        return self.language.gettext("Made on {date} at {time} by smarty-gateway {version}.").format(
            date=self.language.day(self.made.date()), time=self.language.time(self.made), version=__version__
        )


def report_sections(
    history: History, meter: HistoryMeter, by: By, day: date, language: Language
) -> Sequence[Section]:
    """Return what is reported of a meter: the most important first, long tables last.

    Args:
        history: open.
        meter: whose.
        by: DAY, MONTH or YEAR.
        day: in it.
        language: of the reader.
    """
    sections = [*span_sections(history, meter, by, day, language)]
    if by is not By.DAY:
        sections += _for_a_bill(history, meter, by, day, language)
    long = [_plain(table) for section in sections for table in section.tables if table.is_folded]
    sections = [
        replace(section, tables=[_plain(table) for table in section.tables if not table.is_folded])
        for section in sections
    ]
    return [*sections, Section("long", tables=long)] if long else sections


def _plain(table: Table) -> Table:
    """Return a table that is all visible, and leads nowhere: the file is alone."""
    return replace(table, is_folded=False, rows=[replace(row, link="") for row in table.rows])


def _for_a_bill(
    history: History, meter: HistoryMeter, by: By, day: date, language: Language
) -> Iterator[Section]:
    """Yield what a bill of a month or a year names: high quarter hours, and registers at both ends."""
    _, stretch = language.gettext, span_stretch(by, day, history.zone)
    title, reader = title_of(by, day, language), Reader(language, history.zone, history.now)
    is_month = by is By.MONTH
    peaks = (history.highest if is_month else history.peaks)(meter, stretch.first, stretch.last)
    if peaks:
        caption = _("The highest quarter hours") if is_month else _("The highest quarter hour of each month")
        table = peaks_table(peaks, caption, reader, by_month=not is_month)
        yield Section("peaks", _("Highest quarter hours"), tables=[table])
    ends = (time for time in (stretch.first, stretch.last) if time is not None)
    readings = history.registers_at(meter, ends)
    if readings:
        table = registers_table(
            readings, _("At the beginning and the end of {span}").format(span=title), reader
        )
        yield Section("registers", _("Register readings"), tables=[table])


def report_page(report: Report) -> str:
    """Return a report as HTML with styles and pictures inside.

    Raises:
        MissingWebError: the extra `web` is missing.
    """
    styles = [STYLE, *((STATIC / name).read_text("utf-8") for name in _STYLES)]
    return _rendered("report.html", report, style="\n".join(styles), generator=GENERATOR)


def mail_page(report: Report, pictures: Mapping[str, str]) -> str:
    """Return a report as the HTML of a mail, with a style at each element: mail programs know no more.

    Args:
        report: to show.
        pictures: the Content-ID of the picture of a section, by its SVG; SVG itself is not shown by them.

    Raises:
        MissingWebError: the extra `web` is missing.
    """
    return _rendered("mail.html", report, pictures=pictures)


def _rendered(template: str, report: Report, **values: Any) -> str:  # noqa: ANN401 - what the template names
    try:
        found = environment().get_template(template)
    except ImportError:
        raise MissingWebError(f"reports need the extra web; type: {installation('web', 'plot')}") from None
    language = report.language
    return found.render(report=report, language=language, _=language.gettext, **values)
