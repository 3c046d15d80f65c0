"""The JSON object of a telegram as one line of text, the same on standard output and MQTT."""

import json
from typing import Any

import orjson


def to_json(record: dict[str, Any]) -> str:
    """Write a record as compact JSON without line breaks."""
    return to_json_bytes(record).decode()


def to_json_bytes(record: dict[str, Any]) -> bytes:
    """Write a record as compact JSON in UTF-8, as MQTT carries it."""
    try:
        return orjson.dumps(record)
    except orjson.JSONEncodeError:  # a count beyond 64 bits, which a meter may well send once
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
