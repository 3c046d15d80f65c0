"""Where a file is not valid YAML, its line is named, and what to type there."""

from pathlib import Path

import pytest

from smarty_gateway.config.gateway_file import read_config
from smarty_gateway.config.key_file import read_key_file

KEY = "4D3C2B1A09F8E7D6C5B4A39281706F5E"
SERIAL = "SAG1030700012345"
BLANK = "a blank is missing behind the colon"
DASH = "a blank is missing behind the dash"
COLON = "a colon and a blank are missing behind a name"
COLUMN = "begins at another column"


def fault(path: Path, text: str) -> str:
    """Return the first fault of a gateway.yaml or keys.yaml, from its line on."""
    path.write_text(text, "utf-8")
    errors = read_config(path)[1] if path.name == "gateway.yaml" else read_key_file(path)[1]
    said = str(errors[0])
    assert KEY[:8] not in said
    assert KEY[-8:] not in said
    return said.removeprefix(f"{path}:")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("meters:\n\t- source: /dev/null\n", 2, "a tab"),
        ("meters:\n  - source:\t/dev/null\n", 2, "a tab"),
        ("meters:\n  - source: /dev/null\n\tname: house\n", 3, "a tab"),
        ("meters: [{source: /dev/null}\noutputs: {}\n", 1, "the bracket [ that begins in this line has no ]"),
        ("meters: [{source: /dev/null}", 1, "closing ]"),
        ("outputs:\n  mqtt: {url: a\n  stdout: {}\n", 2, "the bracket { that begins in this line has no }"),
        ("outputs: {mqtt: {url: a topic: b}}\n", 1, "a comma or the closing }"),
        ("meters: [a]]\n", 1, "a ] without a ["),
        ("meters: {a: b}}\n", 1, "a } without a {"),
        ('meters:\n  - name: "house\n    source: x\n', 2, 'the quote " that begins in this line has no end'),
        ("meters:\n  - name: 'house\n    source: x\n", 2, "the quote ' that begins in this line has no end"),
        ('meters:\n  - name: "my" house\n', 2, "text stands behind a closing quote"),
        ("meters:\n  - name:house\n    source: /dev/null\n", 2, BLANK),
        ("meters:\n  - name: house\n    source:/dev/null\n", 3, BLANK),
        ("meters:\n  - name: house\n    source:/dev/null\n    id: a\n", 3, BLANK),
        ("meters:\n  - source:/dev/null\n", 2, BLANK),
        ("keys:keys.yaml\nmeters:\n", 1, BLANK),
        ("meters: [{source:/dev/null}]\n", 1, BLANK),
        ("meters:\n  -name: house\n   source: /dev/null\n", 2, DASH),
        ("meters:\n  -{name: house, source: /dev/null}\n", 2, DASH),
        ("meters:\n  - name house\n    source: /dev/null\n", 2, COLON),
        ("meters\n  - name: house\n", 1, COLON),
        ("meters:\n  - name: house\n    source\n", 3, COLON),
        ("meters:\n  - name: house\n   source: /dev/null\n", 3, COLUMN),
        ("meters:\n  - name: house\n      source: /dev/null\n", 3, COLUMN),
        ("meters:\n  - name: house\n  source: /dev/null\n", 3, COLUMN),
        (" keys: a\nmeters:\n", 2, COLUMN),
        ("meters:\n  - name: a: b\n", 2, "a second colon"),
        ("meters:\n  - name: @home\n", 2, "a value cannot begin with @; put it into quotes"),
        ("meters:\n  - name: %home\n", 2, "a value cannot begin with %; put it into quotes"),
        ("meters:\n  - name: *home\n", 2, "a value cannot begin with *; put it into quotes"),
        ("meters:\n  - name: |home\n", 2, "a value cannot begin with |; put it into quotes"),
        ('meters:\n  - source: "\\dev"\n', 2, "use single quotes"),
        ("meters:\n  - name: a\n    id: |\u00a0x\n", 3, "a value cannot begin with |"),
        ("meters: []\n---\nkeys: a\n", 2, "remove the line `---`"),
        ("meters:\n  - name: a\x01b\n", 2, "an invisible control character"),
    ],
)
def test_a_slip_in_the_configuration_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    said = fault(tmp_path / "gateway.yaml", text)
    assert said.startswith(f"{line}: ")
    assert words in said


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (f"keys:\n\t{SERIAL}: {KEY}\n", 2, "a tab"),
        (f"keys:\n  {SERIAL}:\t{KEY}\n", 2, "a tab"),
        (f"keys:\n  {SERIAL}:{KEY}\n", 2, BLANK),
        (f"keys:\n  {SERIAL}:{KEY}\n  any:{KEY}\n", 2, BLANK),
        (f"keys:\n  {SERIAL}: {KEY}\n  any:{KEY}\n", 3, BLANK),
        (f"keys:\n  {SERIAL}:{KEY}\n  any: {KEY}\n", 2, BLANK),
        (f"keys: {{{SERIAL}:{KEY}}}\n", 1, BLANK),
        (f"keys: {{{SERIAL}: {KEY}\n", 1, "has no }"),
        (f"keys:\n  any: [{KEY}, {KEY}\n  {SERIAL}: {KEY}\n", 2, "has no ]"),
        (f"keys:\n  any: '{KEY}\n", 2, "the quote '"),
        (f"keys:\n  {SERIAL}: {KEY}\n any: {KEY}\n", 3, COLUMN),
        (f"keys:\n  {SERIAL} {KEY}\n", 2, "its serial number, a colon, the key"),
    ],
)
def test_a_slip_in_the_key_file_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    said = fault(tmp_path / "keys.yaml", text)
    assert said.startswith(f"{line}: ")
    assert words in said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_line_is_right_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_bytes('# \u00e9\u4e00\nkeys: "a\u2028b"\nmeters:\n  - name: @b\n'.encode(encoding))
    (error,) = read_config(path)[1]
    assert "a value cannot begin with @" in str(error)
    assert error.line == 5  # for YAML the separator U+2028 ends a line as well


@pytest.mark.parametrize("mark", ["-", "\u2013 ", "\u2014 ", "\u00a0\u00a0"])
def test_what_only_looks_like_a_blank_or_a_dash_is_named(tmp_path: Path, mark: str) -> None:
    said = fault(tmp_path / "gateway.yaml", f"{mark}outputs: {{}}\n")
    assert "write blanks, or a dash and a blank, before `outputs`" in said
