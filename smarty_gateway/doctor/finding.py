"""One finding of `doctor`, and the words that all of them share."""

from dataclasses import dataclass
from typing import Final

from smarty_gateway.doctor.kinds import KINDS, Code, FindingKind
from smarty_gateway.protocol.system_title import serial_from_system_title


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found out.

    Attributes:
        kind: what kind of thing it is.
        text: what was observed.
        advice: what to do; empty if nothing is to be done.
    """

    kind: FindingKind
    text: str
    advice: str

    @property
    def code(self) -> Code:
        """The name by which programs recognise it."""
        return self.kind.code

    @property
    def is_fault(self) -> bool:
        """True if something must change."""
        return self.kind.is_fault


def make_finding(kind: str, text: str, advice: str | None = None) -> Finding:
    """Return a finding; without advice of its own it has that of its kind."""
    found = KINDS[kind]
    return Finding(found, text, found.advice if advice is None else advice)


#: The entry of keys.yaml for meters that have no entry of their own.
ANY: Final = "any"

#: A finding and its weight, which is the number of telegrams that it explains.
Weighted = tuple[int, Finding]


def name_of(title: bytes) -> str:
    """Name a meter by the serial number printed on it, and by its system title."""
    serial = serial_from_system_title(title)
    shown = title.hex().upper()
    return f"with the system title {shown}" if serial is None else f"{serial} (system title {shown})"


def entry_name(title: bytes | None) -> str:
    """Name an entry of keys.yaml as a user would look for it; None stands for the one of all other meters."""
    if title is None:
        return ANY
    return serial_from_system_title(title) or title.hex().upper()


def counted(count: int, one: str, many: str = "") -> str:
    """Write a number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
