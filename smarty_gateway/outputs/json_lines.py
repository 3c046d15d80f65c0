"""The JSON object of a telegram as one line of text, the same on standard output and MQTT.

JSON does not require U+007F to U+009F to be escaped, but some terminals obey them, so they are escaped here.
"""

import json
import re
from typing import Any, Final

import orjson

_CONTROL: Final = re.compile("[\x7f-\x9f]")
#: The same in UTF-8, without U+007F: this search takes a tenth of the time.
_CONTROL_BYTES: Final = re.compile(rb"\xc2[\x80-\x9f]")


def to_json(record: dict[str, Any]) -> str:
    """Return a record as compact JSON without line breaks."""
    return to_json_bytes(record).decode()


def to_json_bytes(record: dict[str, Any]) -> bytes:
    """Return a record as compact JSON in UTF-8, as MQTT carries it."""
    try:
        text = orjson.dumps(record)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits
        return json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    if b"\x7f" in text or (not text.isascii() and _CONTROL_BYTES.search(text)):
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text.decode()).encode()
    return bytes(memoryview(text))  # orjson 3.13 leaves its whole buffer behind a result: 8 kB and more
