"""What `pool check` finds out."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How bad a finding is."""

    #: As it should be, or a figure to know.
    GOOD = "good"
    #: It works, and something can be lost or will stop.
    WARNING = "warning"
    #: A worker cannot run, or loses what it acknowledged.
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found out.

    Attributes:
        text: one line: what is so, and what to do unless it is good.
    """

    level: Level
    text: str
