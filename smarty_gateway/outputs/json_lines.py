"""The JSON object of a telegram as one line of text, the same on standard output and MQTT."""

import json
from typing import Any

# One encoder for all: making one costs as much as encoding a telegram.
_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, allow_nan=False)


def to_json(record: dict[str, Any]) -> str:
    """Write a record as compact JSON without line breaks."""
    return _ENCODER.encode(record)
