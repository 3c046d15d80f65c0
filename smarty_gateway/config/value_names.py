"""The names of single values in the JSON object, as `fields` of an output lists them."""

import difflib
import re
from typing import Final

from smarty_gateway.protocol.obis import BY_NAME, MEDIA, MONTH_END, MONTH_END_VALUES, Form, MBusField

#: What is there beside the values of OBIS codes.
_HEAD: Final = ("meter", "meter_id", "system_title", "security", "frame_counter", "header", "received")
_LISTS: Final = (Form.PEAK_HISTORY, Form.FAILURE_LOG, Form.MONTH_END)
_MEDIA: Final = sorted(set(MEDIA.values()))
_NAMES: Final = (
    *_HEAD,
    *(name for name, known in BY_NAME.items() if known.quantity.form not in _LISTS),
    *(
        f"{name}.{inner}"
        for name, known in BY_NAME.items()
        if known.quantity.form is Form.PEAK
        for inner in ("value", "timestamp")
    ),
    *(f"{MONTH_END}.{name}" for name in (*MONTH_END_VALUES, "timestamp")),
    *_MEDIA,
)
#: Of an M-Bus device, such as `gas`, `gas_2` or `water.timestamp`; `device_9` is one whose type has no name.
_DEVICE: Final = re.compile(
    rf"(?:{'|'.join(_MEDIA)}|device_unknown|device_[0-9]{{1,3}})(?:_[0-9]{{1,2}})?"
    rf"(?:\.(?:channel|unit|timestamp|{'|'.join(MBusField)}))?"
)


def is_value_name(name: str) -> bool:
    """True if the JSON object may have a single value of this name."""
    return name in _NAMES or _DEVICE.fullmatch(name) is not None


def nearest_value_name(name: str) -> str | None:
    """Return the name that was perhaps meant; None if nothing is similar."""
    word = name[:100].lower()
    if (imported := f"{word}_import") in _NAMES:
        return imported
    return next(iter(difflib.get_close_matches(word, _NAMES, n=1)), None)
