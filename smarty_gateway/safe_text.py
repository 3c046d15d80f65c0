"""Makes text of a meter, a file or a user safe for its use: in a topic, an id, a terminal, an error.

An error may repeat what was typed, and people type keys where they do not belong.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from smarty_gateway.protocol.key_text import HEX_SEPARATORS

#: MQTT 3.1.1, 4.7 and 1.5.3: the separator, the wildcards and `$`, then control characters, surrogates and
#: non-characters, at which a broker may hang up. Blanks are legal, but most tools split at them.
_NEVER_IN_TOPICS: Final = r"+#\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef" + "".join(
    chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF)
)
_NOT_IN_TOPIC: Final = re.compile(f"[{_NEVER_IN_TOPICS}]")
_NOT_IN_TOPIC_PART: Final = re.compile(rf"[/$\s{_NEVER_IN_TOPICS}]")
_LONGEST_TOPIC_PART: Final = 64
#: DSMR 5.0.2 P1, 6.12: an equipment identifier has up to 96 digits.
_LONGEST_ID: Final = 96
#: MQTT writes the length of a topic with two bytes.
_LONGEST_TOPIC: Final = 65535

#: A key has 32 digits; somebody who types one may miss some, or double some.
_KEY_DIGITS: Final = re.compile(r"[0-9A-Fa-f]{24,40}")
#: First what is not a key: a longer number, such as a hash, an IPv6 address, and the serial number in the
#: name of a port (32 hex digits of a CP2102N). Then what may be a key, or several.
_KEY_IN_TEXT: Final = re.compile(
    r"[0-9A-Fa-f]{41,}+|\[(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}\]|/dev/\S+"
    rf"|(?P<key>[0-9A-Fa-f](?:(?:{HEX_SEPARATORS.pattern})?+(?![0-9A-Fa-f]{{41}})[0-9A-Fa-f]){{23,}}+)"
)
_HIDDEN: Final = "…"
_KEY_ADVICE: Final = (
    f" ({_HIDDEN} looks like a key and is not shown: a key is never an argument, write it into keys.yaml)"
)


def topic_part(text: str) -> str:
    """Return the level of an MQTT topic for a name; never empty."""
    return _NOT_IN_TOPIC_PART.sub("_", text[:_LONGEST_TOPIC_PART]) or "_"


def is_topic(value: object) -> bool:
    """True for a topic that every broker accepts."""
    return (
        isinstance(value, str)
        and bool(value)
        and _NOT_IN_TOPIC.search(value) is None
        and len(value.encode()) <= _LONGEST_TOPIC
    )


def object_id(text: str) -> str:
    """Return an id as Home Assistant accepts it in a topic: letters, digits, `_` and `-`.

    It is part of a topic and of each entity, so it is cut, but beyond the end of any genuine identity.
    """
    return re.sub(r"[^a-zA-Z0-9_-]", "_", text[:_LONGEST_ID])


def discovery_id(topic: str, name: str, meter_id: str | None) -> str:
    """Return what identifies a meter in discovery.

    Args:
        topic: the first level of the gateway's topics; two gateways on one broker have different ones.
        name: under which the meter goes out.
        meter_id: of the meter; None where all it has is a header line, which two meters may share.
    """
    return object_id(f"{topic}_{topic_part(name)}" if meter_id is None else meter_id)


def printable(value: object) -> str:
    """Return a text with control characters, and all others that cannot be seen, escaped."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def looks_like_key(text: str) -> bool:
    """True if a text may be a key that was written in the wrong place."""
    return _KEY_DIGITS.fullmatch(HEX_SEPARATORS.sub("", text)) is not None


def without_keys(message: str, typed: Iterable[str] = ()) -> str:
    """Return an error message with what looks like a key hidden, and advice where a key belongs.

    Args:
        message: it may repeat arguments.
        typed: all arguments; a key with blanks is several, and each of them alone does not look like one.
    """
    shown = message
    for part in _parts_of_keys(typed):
        shown = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", _HIDDEN, shown)
    shown = _hide(shown)
    return message if shown == message else shown + _KEY_ADVICE


def _hide(text: str) -> str:
    return _KEY_IN_TEXT.sub(lambda found: _HIDDEN if found["key"] else found[0], text)


def _parts_of_keys(typed: Iterable[str]) -> Iterator[str]:
    words = " ".join(typed).replace("=", " ").split()
    for is_hex, group in groupby(words, _is_hex):
        parts = list(group)
        if is_hex and _hide(" ".join(parts)) != " ".join(parts):
            yield from parts


def _is_hex(word: str) -> bool:
    return re.fullmatch(r"[0-9A-Fa-f]+", HEX_SEPARATORS.sub("", word)) is not None
