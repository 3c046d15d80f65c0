"""What the tables of the store hold, as values."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StoredCounter:
    """One row of `counters`.

    Attributes:
        meter: the name under which its readings are published.
        source: where the meter was last read, as the configuration spells it.
    """

    title: bytes
    fingerprint: str
    counter: int
    meter: str
    source: str


@dataclass(frozen=True, slots=True)
class Holder:
    """The meter that is published under a configured name.

    Attributes:
        meter: the title or identity of the meter.
        is_authenticated: its frames have verified, so only such a meter may take the name over.
        second: another meter that has sent beside it, named in the same way; None if there was none.
    """

    meter: str
    is_authenticated: bool
    second: str | None = None


@dataclass(frozen=True, slots=True)
class UnnamedMeter:
    """A meter that the configuration does not name.

    Attributes:
        key: tells it from all others.
        name: under which it is published.
        source: that brought it.
        heard: when, by the monotonic clock of this process.

    Rows that differ in source or time alone are equal: these change all the time.
    """

    key: str
    name: str
    source: str = field(compare=False)
    is_authenticated: bool
    heard: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class PublishedDevice:
    """An M-Bus device that is published.

    Attributes:
        meter: the name of its meter.
        device: its id, or its channel where it has none.
        behind: identifies its meter, which another may replace.
        medium: the name of its object in the JSON object, such as `gas_2`.
        absent_since: since when its meter has not sent it, by the monotonic clock of this process; None for a
            device that was in the newest telegram.
    """

    meter: str
    device: str
    behind: str
    channel: int
    medium: str
    absent_since: float | None = None


@dataclass(frozen=True, slots=True)
class Undelivered:
    """One message that waits for its acknowledgement.

    Attributes:
        topic: of MQTT; for other outputs the name of the meter.
    """

    id: int
    topic: str
    payload: bytes
