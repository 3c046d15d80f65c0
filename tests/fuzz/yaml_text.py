"""YAML with the mistakes that people make, and others: random nesting, misspelt names, damage."""

from collections.abc import Sequence
from typing import Final

from tests.fuzz.picker import Picker
from tests.fuzz.secrets import PASSWORD
from tests.support.canaries import KEYS

#: Values with a special meaning to YAML, Python or the system.
_ODD: Final = (
    "", "~", "null", "true", "1e10", "0x10", "-1", "99999999999999999999", ".inf", "2026-01-30", "é",
    "'\x07'",
    '"\\ud800"', '"\\0"', '"\\UFFFFFFFF"', '"\\r\\n"', "&a x", "*a", "!!binary AAAA", "!!int x",
    "|\n  x\n  y",
    "~nobody/x", "/" + "a/" * 3000, "x" * 5000, "..", "[", "{", "[[[[[", "- - -", "? x", "%TAG",
    "<<: *a", "#",
    "\u2028", "'", '"', "@", "`", "=", "!", "a: b: c", "[a, b]", "{a: b}", "'it''s'", "\t", "/etc/passwd",
)  # fmt: skip


def key_text(picker: Picker) -> str:
    """Return a canary in a form that users have, or a similar one."""
    digits = picker.choice(KEYS).hex()
    if picker.one_in(2):
        digits = digits.upper()
    mark = picker.choice(("", " ", ":", "-", ", ", "\u200b", ",0x", "_", "\\x"))
    size = picker.choice((2, 8, 4))
    text = mark.join(digits[at : at + size] for at in range(0, len(digits), size))
    text = picker.choice(("", "0x", "key ", "/", "\\x"))[: 0 if picker.one_in(2) else None] + text
    kind = picker.number(0, 6)
    if kind == 0:
        return text[: picker.number(1, len(text))]
    if kind == 1:
        return text + picker.choice(("0", "O", " x", ".txt", "/state"))
    return text


def scalar(picker: Picker, usual: Sequence[str]) -> str:
    """Return a value: one that is meant for this place, an odd one, a key or a password."""
    kind = picker.number(0, 7)
    if kind == 0:
        return picker.choice(_ODD)
    if kind == 1:
        text = key_text(picker)
    elif kind == 2:
        text = picker.choice(("{}", "mqtt://me:{}@host", "tcp://me:{}@host:2001", "mqtts://{}@host")).format(
            PASSWORD
        )
    else:
        text = picker.choice(usual)
    return picker.choice(("{}", "{}", "'{}'", '"{}"', "[{}]", "!!str {}", "{}  # why")).format(text)


def finished(picker: Picker, text: str) -> bytes:
    """Return the bytes of a file, sometimes damaged."""
    data = text.encode("utf-8", "surrogatepass")
    if picker.one_in(3):
        data = picker.damaged(data, edits=4)
    if picker.one_in(40):
        data = data.decode("utf-8", "replace").encode(
            picker.choice(("utf-16", "latin-1", "utf-8-sig")), "replace"
        )
    return data
