"""Under which names meters and M-Bus devices are shown to who looks at the page: never by a serial number."""

import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from smarty_gateway.config.values import Config
from smarty_gateway.outputs.output import Reading
from smarty_gateway.safe_text import topic_part

#: What says which meter it is.
SECRET: Final = frozenset(
    {
        "meter_id", "system_title", "header", "unknown",
        "equipment_id", "serial_number", "logical_device_name", "ean",
    }
)  # fmt: skip
_SECRET_OF_DEVICES: Final = ("id", "ean")
_KIND: Final = "electricity"
_SHOWN_END: Final = 4
#: A configured name that is in the configuration no more is no serial number.
_DIGITS: Final = 4


class PublicNames:
    """Knows the names of all meters; one object for the process, so that a name stays with its meter.

    A meter that the configuration names has that name, as in topics. Any other one is shown by its kind and
    the last four characters of its own name, `electricity-2345`, made distinct by -2.

    Args:
        config: names the meters.
    """

    def __init__(self, config: Config) -> None:
        configured = [topic_part(meter.name) for meter in config.meters if meter.name is not None]
        self._of = {name: name for name in configured}
        self._lock = threading.Lock()

    def of(self, own_name: str, *, is_simulated: bool = False) -> str:
        """Return the name under which a meter is shown: a level of a topic.

        Args:
            own_name: in readings, or in the history.
            is_simulated: it is nobody's, and has nothing to hide.
        """
        name = topic_part(own_name)
        with self._lock:
            if name not in self._of:
                is_secret = not is_simulated and sum(map(str.isdigit, name)) >= _DIGITS
                shown = f"{_KIND}-{_end_of(name)}" if is_secret else name
                self._of[name] = _distinct(shown, self._of.values())
            return self._of[name]


def public_record(reading: Reading, name: str) -> dict[str, Any]:
    """Return the JSON object of a reading without keys, titles, ids, headers and what is unknown.

    An M-Bus device gets a name from its kind and the last four characters of its id: `gas-1470`.

    Args:
        reading: the newest of a meter.
        name: under which the meter is shown.
    """
    record = {key: value for key, value in reading.record.items() if key not in SECRET}
    return record | {"meter": name} | public_devices(reading.telegram.decoded.devices)


def public_devices(devices: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return M-Bus devices without their ids, by their keys in the JSON object."""
    found: dict[str, dict[str, Any]] = {}
    for key, device in devices.items():
        medium = re.sub(r"_\d+$", "", key)
        shown = f"{medium}-{_end_of(str(device['id']))}" if device.get("id") else key
        name = _distinct(shown, [other["name"] for other in found.values()])
        found[key] = {"name": name} | {
            part: value for part, value in device.items() if part not in _SECRET_OF_DEVICES
        }
    return found


def _end_of(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", text)[-_SHOWN_END:] or "0"


def _distinct(name: str, taken: Iterable[str]) -> str:
    others, number, found = {other.casefold() for other in taken}, 1, name
    while found.casefold() in others:
        number += 1
        found = f"{name}-{number}"
    return found
