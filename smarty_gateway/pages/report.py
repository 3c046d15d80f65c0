"""The report: a day, a month or a year of some meters, as an HTML file that needs nothing else, or a mail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from smarty_gateway import __version__
from smarty_gateway.charts.style import STYLE
from smarty_gateway.languages.language import Language
from smarty_gateway.pages.sections import Section, Table
from smarty_gateway.pages.site import STATIC, environment
from smarty_gateway.protocol.errors import GatewayError

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


def report_page(report: Report) -> str:
    """Return a report as HTML with styles and pictures inside.

    Raises:
        MissingWebError: the extra `web` is missing.
    """
    styles = [STYLE, *((STATIC / name).read_text("utf-8") for name in _STYLES)]
    return _rendered("report.html", report, style="\n".join(styles), unfolded=_unfolded, generator=GENERATOR)


def mail_page(report: Report, pictures: Mapping[str, str]) -> str:
    """Return a report as the HTML of a mail, with a style at each element: mail programs know no more.

    Args:
        report: to show.
        pictures: the Content-ID of the picture of a section, by its SVG; SVG itself is not shown by them.

    Raises:
        MissingWebError: the extra `web` is missing.
    """
    return _rendered("mail.html", report, pictures=pictures)


def _unfolded(table: Table) -> Table:
    """Return a table that is all visible, and that leads nowhere: the file is alone."""
    return replace(table, is_folded=False, rows=[replace(row, link="") for row in table.rows])


def _rendered(template: str, report: Report, **values: Any) -> str:  # noqa: ANN401 - what the template names
    try:
        found = environment().get_template(template)
    except ImportError:
        raise MissingWebError(
            "reports need the extra web; type: pip install 'smarty-gateway[web,plot]'"
        ) from None
    language = report.language
    return found.render(report=report, language=language, _=language.gettext, **values)
