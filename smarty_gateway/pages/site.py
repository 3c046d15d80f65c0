"""What every view needs to know, and how it becomes HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.rows import HistoryMeter
from smarty_gateway.languages.language import Language
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.pages.snapshots import GatewayNow, MeterNow
from smarty_gateway.state.history_access import History

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER: Final = Path(__file__).parent
STATIC: Final = _FOLDER / "static"


class NoHistory(Enum):
    """Why there is no history to show."""

    OFF = auto()  #: none is kept
    NOT_YET = auto()
    LOCKED = auto()  #: by another program, which passes
    UNREADABLE = auto()


@dataclass(frozen=True, slots=True)
class ShownMeter:
    """A meter that the page knows: one that is read, one that has a history, or both.

    Attributes:
        name: under which it is asked for: a level of a topic.
        title: under which it is shown: the name as the configuration has it.
    """

    name: str
    title: str
    now: MeterNow | None
    history: HistoryMeter | None

    @property
    def is_simulated(self) -> bool:
        """True if nobody has measured this; every view that shows it says so."""
        return self.history is not None and self.history.is_simulated


@dataclass(frozen=True, slots=True)
class View:
    """What is known when somebody asks for a page.

    Attributes:
        root: leads from this page to the first one, such as `../../`, so that the page works below any path.
        gateway: at this moment.
        history: None where there is none to show.
        now: UTC seconds.
        zone: of the times on the page.
        no_history: why there is none.
        is_app: this is the page of the app of Home Assistant.
    """

    language: Language
    root: str
    gateway: GatewayNow
    names: PublicNames
    history: History | None
    now: int
    zone: ZoneInfo
    no_history: NoHistory | None = None
    is_app: bool = False

    def meters(self) -> Sequence[ShownMeter]:
        """Return all meters: those that are read first, in the order of the configuration."""
        kept = [] if self.history is None else self.history.reader.meters()
        of = {self.names.of(meter.name, is_simulated=meter.is_simulated): meter for meter in kept}
        now = {meter.name: meter for meter in self.gateway.meters}
        return [ShownMeter(name, self.names.title_of(name), now.get(name), of.get(name)) for name in now | of]

    def meter(self, name: str) -> ShownMeter | None:
        """Return the meter that is shown under a name."""
        return next((meter for meter in self.meters() if meter.name == name), None)


def render(
    template: str,
    view: View,
    title: str,
    *,
    meter: ShownMeter | None = None,
    here: str = "",
    **values: Any,  # noqa: ANN401 - what the template names
) -> str:
    """Return a page.

    Args:
        template: its name, such as `now.html`; it extends `base.html`.
        view: is there as `view`; `_` translates, `language` writes numbers and times, `root` begins links.
        title: the heading of the page, translated.
        meter: whose page it is; None for one of all meters.
        here: which view it is, for the navigation: `now`, `day`, `month`, `year`, `bill`, `health` or
            `overview`.
        values: what else the template shows; texts are escaped.
    """
    return rendered(template, view, title=title, meter=meter, here=here, **values)


def rendered(template: str, view: View, **values: Any) -> str:  # noqa: ANN401 - what the template names
    """Return a part of a page, from a template that extends nothing."""
    language = view.language
    shown = {"view": view, "root": view.root, "language": language, "_": language.gettext, **values}
    return environment().get_template(template).render(shown)


@cache
def environment() -> "Environment":
    """Return what turns templates into HTML; it is loaded with the first page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - only pages need it

    found = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals["macros"] = found.get_template("macros.html").module
    return found
