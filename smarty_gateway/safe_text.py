"""Makes text of a meter, a file or a user safe for where it goes: a topic, an id, a terminal."""

import re
from typing import Final

#: MQTT 3.1.1, 4.7 and 1.5.3: the separator, the wildcards and `$`, then control characters, surrogates and
#: non-characters, at which a broker may hang up. Blanks are legal, but most tools split at them.
_NOT_IN_TOPICS: Final = re.compile(
    r"[/+#$\s\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
    + "]"
)
_LONGEST_TOPIC_PART: Final = 64


def topic_part(text: str) -> str:
    """Return the level of an MQTT topic that stands for a name; never empty."""
    return _NOT_IN_TOPICS.sub("_", text[:_LONGEST_TOPIC_PART]) or "_"


def object_id(text: str) -> str:
    """Return the form in which Home Assistant takes an id in a topic: letters, digits, `_` and `-`."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", text)


def printable(value: object) -> str:
    """Return a text in which everything that could take over a terminal, or cannot be seen, is escaped."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
