"""What to type where a file is not valid YAML.

A YAML reader reports the place at which it gave up, and in its own terms. What was meant is usually in that
line or one above. No message repeats a value, which may be a key.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

import yaml

from smarty_gateway.safe_text import printable

#: A name with a colon and no blank behind it, at the beginning of a line; `tcp://` is a value.
_LACKS_BLANK: Final = re.compile(r"""\s*(?:-\s+)?["']?[\w.-]+["']?:(?!//)\S""")
_LACKS_BLANK_AFTER_DASH: Final = re.compile(r"\s*-[A-Za-z_\"'{]")
_CLOSERS: Final = {"[": "]", "{": "}"}
_TAB: Final = "there is a tab here, and YAML needs blanks; replace it by blanks"
_BLANK: Final = "a blank is missing behind the colon; write `name: value`"
_DASH: Final = "a blank is missing behind the dash; write `- name: value`"
_COLON: Final = (
    "a colon and a blank are missing behind a name; write `name: value`, or indent the line further if it "
    "belongs to the value above"
)
_SECOND_COLON: Final = "there is a second colon with a blank behind it; put the value into quotes"
_INDENTATION: Final = (
    "this line begins at another column than the lines it belongs to; give it as many blanks as they have"
)
_QUOTES: Final = "text stands behind a closing quote; check the quotes in this line and the one above"
_DOCUMENT: Final = "a second document begins here; remove the line `---`"
_ESCAPE: Final = "a \\ within double quotes has a special meaning; use single quotes"
_UNKNOWN: Final = "check the indentation, quotes, colons and tabs in this line and those above"

#: A line, counted from 1, and what to type there.
Fault = tuple[int, str]


def explain(text: str, error: yaml.MarkedYAMLError) -> Fault:
    """Return where a text is not YAML, and what to type there."""
    line, advice = _find(text, error)
    return line, f"this is not valid YAML: {advice}"


def _find(text: str, error: yaml.MarkedYAMLError) -> Fault:
    said = f"{error.context} | {error.problem}"
    place = error.problem_mark or error.context_mark
    line = 1 if place is None else place.line + 1
    begin = line if error.context_mark is None else error.context_mark.line + 1
    first = _character(text, error.context_mark)
    if "flow" in said:
        return _open_bracket(first, line, begin)
    if "quoted scalar" in said and "end of stream" in said:
        return begin, f"the quote {first} that begins in this line has no end; write another {first} there"
    for words, fault in _faults(["", *text.lstrip("\ufeff").splitlines(), ""], line, begin):
        if words in said:
            return fault()
    if "cannot start any token" in said or "alias" in said or "block scalar" in said:
        begins = first if "block scalar" in said else _character(text, place)
        return line, f"a value cannot begin with {begins}; put it into quotes"
    return line, _UNKNOWN


def _faults(lines: Sequence[str], line: int, begin: int) -> list[tuple[str, Callable[[], Fault]]]:
    """Return the faults by the words of the YAML reader."""
    return [
        ("'\\t'", lambda: (line, _TAB)),
        ("mapping values are not allowed", lambda: _misplaced_colon(lines, line)),
        ("could not find expected ':'", lambda: _missing_colon(lines, begin)),
        ("but found '<scalar>'", lambda: (line, _QUOTES)),
        ("but found ']'", lambda: (line, "there is a ] without a [ before it; remove it")),
        ("but found '}'", lambda: (line, "there is a } without a { before it; remove it")),
        ("expected <block end>", lambda: (line, _INDENTATION)),
        ("<document start>", lambda: (line, _INDENTATION)),
        ("another document", lambda: (line, _DOCUMENT)),
        ("escape", lambda: (line, _ESCAPE)),
    ]


def _open_bracket(opener: str, line: int, begin: int) -> Fault:
    closer = _CLOSERS.get(opener, "]")
    if line == begin:
        return line, f"a comma or the closing {closer} is missing in this line"
    return begin, f"the bracket {opener} that begins in this line has no {closer}; write it at its end"


def _missing_colon(lines: Sequence[str], line: int) -> Fault:
    return line, _BLANK if _LACKS_BLANK.match(lines[line]) else _COLON


def _misplaced_colon(lines: Sequence[str], line: int) -> Fault:
    """Find what makes a name a part of the value above it, or of the value before it in its line."""
    if len(re.findall(r":(?=\s)", lines[line])) > 1:
        return line, _DASH if _LACKS_BLANK_AFTER_DASH.match(lines[line]) else _SECOND_COLON
    above = next((number for number in range(line - 1, 0, -1) if lines[number].strip()), line)
    for number in (line, above):
        if _LACKS_BLANK.match(lines[number]):
            return number, _BLANK
        if _LACKS_BLANK_AFTER_DASH.match(lines[number]):
            return number, _DASH
    return (line, _INDENTATION) if ":" in lines[above] else (above, _COLON)


def _character(text: str, mark: yaml.Mark | None) -> str:
    return "" if mark is None else printable(text[mark.index : mark.index + 1])
