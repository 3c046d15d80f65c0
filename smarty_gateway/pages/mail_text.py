"""A report as plain text: for readers of plain text, and for what a screen or a watch shows of a mail."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from smarty_gateway.pages.report import MeterReport, Report
from smarty_gateway.pages.sections import Section, Table
from smarty_gateway.safe_text import printable

#: RFC 5322, 2.1.1.
WIDTH: Final = 78
_GAP: Final = "  "
_INDENT: Final = "  "
#: Blanks at which a line is not broken; the finished text has plain ones.
_NO_BREAK: Final = ("\u00a0", "\u202f")


def mail_text(report: Report) -> str:
    """Return a report as lines of at most `WIDTH` characters, as long as that cuts no value."""
    blocks = [_heading(report.heading, "=")]
    for meter in report.meters:
        blocks += _meter(meter, report)
    blocks.append(textwrap.wrap(report.origin, WIDTH))
    lines = "\n\n".join("\n".join(block) for block in blocks if block).split("\n")
    for blank in _NO_BREAK:
        lines = [line.replace(blank, " ") for line in lines]
    return "".join(f"{printable(line.rstrip())}\n" for line in lines)


def _meter(meter: MeterReport, report: Report) -> Iterator[list[str]]:
    if len(report.meters) > 1:
        yield _heading(meter.name, "=")
    if meter.is_simulated:
        yield [report.language.gettext("Simulated: nobody has measured this.")]
    for section in meter.sections:
        yield from _section(section)


def _section(section: Section) -> Iterator[list[str]]:
    yield _heading(section.title, "-")
    yield list(_facts(section.facts))
    yield [
        line
        for note in section.notes
        for line in textwrap.wrap(note, WIDTH, initial_indent="* ", subsequent_indent=_INDENT)
    ]
    for table in section.tables:
        for part in _parts(table):
            yield [*textwrap.wrap(table.caption, WIDTH), *part]


def _heading(text: str, line: str) -> list[str]:
    wrapped = textwrap.wrap(text, WIDTH)
    return [*wrapped, line * max(map(len, wrapped))] if wrapped else []


def _facts(facts: Sequence[tuple[str, str]]) -> Iterator[str]:
    width = max((len(label) for label, _ in facts), default=0)
    for label, value in facts:
        yield from textwrap.wrap(
            f"{label:{width}}{_GAP}{value}", WIDTH, subsequent_indent=" " * (width + len(_GAP))
        )


def _parts(table: Table) -> Iterator[list[str]]:
    """Yield a table; one that is too wide in parts, each with the first column."""
    heads = [_words(head) for head in table.head]
    rows = [row.cells for row in table.rows] + ([table.foot] if table.foot else [])
    columns = zip(*rows, strict=True)
    widths = [max(map(len, (*head, *column))) for head, column in zip(heads, columns, strict=True)]
    chosen = [0]
    for number in range(1, len(widths)):
        # A column that is too wide even beside the first one alone makes a long line.
        if len(chosen) > 1 and sum(widths[one] + len(_GAP) for one in chosen) + widths[number] > WIDTH:
            yield list(_lines(table, heads, widths, chosen))
            chosen = [0]
        chosen.append(number)
    yield list(_lines(table, heads, widths, chosen))


def _lines(
    table: Table, heads: Sequence[list[str]], widths: Sequence[int], chosen: Sequence[int]
) -> Iterator[str]:
    def line(cells: Sequence[str]) -> str:
        first, *others = (cells[number] for number in chosen)
        right = [f"{cell:>{widths[number]}}" for number, cell in zip(chosen[1:], others, strict=True)]
        return _GAP.join([f"{first:{widths[0]}}", *right])

    is_first_part = len(widths) == 1 or chosen[1] == 1
    height = max(len(heads[number]) for number in chosen)
    for words in zip(*([""] * (height - len(head)) + head[-height:] for head in heads), strict=True):
        yield line(words)
    yield "-" * (sum(widths[number] for number in chosen) + len(_GAP) * (len(chosen) - 1))
    for row in table.rows:
        yield line(row.cells)
        if is_first_part:
            yield from textwrap.wrap(row.note, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    if table.foot:
        yield line(table.foot)


def _words(head: str) -> list[str]:
    """Return the lines of a heading, which is as wide as its longest word."""
    return textwrap.wrap(head, max(map(len, head.split()), default=1)) or [""]
