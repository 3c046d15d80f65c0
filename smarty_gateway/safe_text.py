"""Text that came from a meter, a file or a user, made safe for where it goes.

What a meter sends is data, never a name: its bytes reach a topic only by way of `topic_part`, and a
terminal, a log or a label only by way of `printable`.
"""

import re
from typing import Final

#: What MQTT 3.1.1 forbids in a topic or lets a broker refuse (1.5.3, 4.7.1, 4.7.3): wildcards, control
#: characters, surrogates and non-characters.
_NEVER_IN_TOPIC: Final = "+#\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef" + "".join(
    chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF)
)
_NOT_IN_TOPIC: Final = re.compile(f"[{_NEVER_IN_TOPIC}]")
_NOT_IN_TOPIC_PART: Final = re.compile(f"[/$\\s{_NEVER_IN_TOPIC}]")
_NOT_IN_OBJECT_ID: Final = re.compile(r"[^a-zA-Z0-9_-]")
_TOPIC_PART_MAX: Final = 64
#: MQTT writes the length of a topic with two bytes.
_TOPIC_MAX: Final = 65535


def topic_part(text: str) -> str:
    """Return the one level of an MQTT topic that stands for a name, never empty."""
    return _NOT_IN_TOPIC_PART.sub("_", text)[:_TOPIC_PART_MAX] or "_"


def object_id(text: str) -> str:
    """Return the form in which Home Assistant takes an id in a topic: letters, digits, `_` and `-`."""
    return _NOT_IN_OBJECT_ID.sub("_", text)


def is_topic(value: object) -> bool:
    """True for a topic that every broker takes."""
    return (
        isinstance(value, str)
        and bool(value)
        and _NOT_IN_TOPIC.search(value) is None
        and len(value.encode()) <= _TOPIC_MAX
    )


def printable(value: object) -> str:
    """Return text without what would take over a terminal: such characters are shown escaped."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def discovery_id(topic: str, name: str, meter_id: str | None) -> str:
    """Return what identifies a meter in discovery.

    Args:
        topic: the first level of the gateway's topics; two gateways on one broker have different ones.
        name: under which the meter goes out.
        meter_id: of the meter; None where all it has is a header line, which two meters may share.
    """
    return object_id(f"{topic}_{topic_part(name)}" if meter_id is None else meter_id)
