"""What a view of the history consists of: the page, the report and the plain text of a mail show the same.

All texts are in the reader's language, with units, and not yet escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table.

    Attributes:
        cells: the first one is its heading.
        mark: what all of it stands out by: `best`, `gap`, `running`, or nothing.
        link: to the view of this span, relative to that of the meter, such as `day/2026-11-21`; or nothing.
        note: says in words what the mark says, and stands with the heading.
        marks: what single cells stand out by, by their place: `excess` or `peak`.
    """

    cells: Sequence[str]
    mark: str = ""
    link: str = ""
    note: str = ""
    marks: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: what it shows.
        head: names its columns, the first one that of the headings.
        foot: the sums, if there are any; as long as the head.
        is_folded: it is long, so the page shows it on demand; in print and in mail it is there.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[TableRow]
    foot: Sequence[str] = ()
    is_folded: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a view.

    Attributes:
        name: for links and styles, such as `energy`.
        title: its heading; nothing if that of the view is enough.
        facts: the most important values, each with what it is: ("Import", "12.345 kWh").
        svg: a picture; it is HTML already.
        tables: all that the picture shows, and more.
        notes: what must be said about it, a sentence each.
    """

    name: str
    title: str = ""
    facts: Sequence[tuple[str, str]] = ()
    svg: str = ""
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
