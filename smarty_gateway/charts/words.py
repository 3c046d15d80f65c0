"""The words in a picture; other languages pass their own."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """The words in a picture.

    Attributes:
        over: names the excess together with the reference power, which follows.
        unknown: names the time of which nothing is known, or not how the energy is spread over it.
        simulated: stands in the title of a meter that nobody has measured.
        weekdays: from Monday.
        months: from January.
    """

    import_: str = "import"
    excess: str = "excess"
    export: str = "export"
    over: str = "over"
    unknown: str = "unknown"
    simulated: str = "simulated"
    weekdays: tuple[str, ...] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months: tuple[str, ...] = (
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    )  # fmt: skip


ENGLISH = Words()
