"""Under which names meters and M-Bus devices are shown to who looks at the page: never by a serial number."""

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from smarty_gateway.config.values import METER_NAME, Config
from smarty_gateway.outputs.output import Reading
from smarty_gateway.safe_text import printable, topic_part

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
    the last four characters of its own name, `electricity-2345`, made distinct by -2. So is one of the
    history whose name looks like a serial number; any other name there once was in the configuration.

    Args:
        config: names the meters.
    """

    def __init__(self, config: Config) -> None:
        configured = [meter.name for meter in config.meters if meter.name is not None]
        self._titles = {topic_part(name): name for name in configured}
        self._of = {name: name for name in self._titles}
        self._lock = threading.Lock()

    def of(self, own_name: str, *, is_simulated: bool = False, is_unnamed: bool = False) -> str:
        """Return the name under which a meter is shown: a level of a topic.

        Args:
            own_name: in readings, or in the history.
            is_simulated: it is nobody's, and has nothing to hide.
            is_unnamed: the configuration is known not to name it.
        """
        name = topic_part(own_name)
        is_number = sum(map(str.isdigit, name)) >= _DIGITS
        is_secret = not is_simulated and (is_unnamed or is_number)
        return self._name(name, f"{_KIND}-{_end_of(name)}" if is_secret else printable(name))

    def title_of(self, name: str) -> str:
        """Return a name as the configuration has it, with its blanks; any other name as it is.

        Args:
            name: under which a meter is shown, as `of` returns it.
        """
        return self._titles.get(name, name)

    def of_unheard(self, source: str) -> str:
        """Return the name for the meter of a source that no entry names and that was not heard yet."""
        return self._name(f"/{source}", METER_NAME)  # no level of a topic holds a slash

    def forget(self, own_name: str) -> None:
        """Remove a meter that is gone; the configuration does not name it."""
        with self._lock:
            self._of.pop(topic_part(own_name), None)

    def _name(self, key: str, shown: str) -> str:
        with self._lock:
            if key not in self._of:
                self._of[key] = _distinct(shown, self._of.values())
            return self._of[key]


def public_record(reading: Reading, name: str) -> dict[str, Any]:
    """Return the JSON object of a reading without keys, titles, ids, headers and what is unknown.

    A message of the meter that repeats one of them, in whatever case and with whatever blanks, is left out,
    too. An M-Bus device gets a name from its kind and the last four characters of its id: `gas-1470`.

    Args:
        reading: the newest of a meter.
        name: under which the meter is shown.
    """
    record, devices = reading.record, reading.telegram.decoded.devices
    secrets = list(_texts_of(record, SECRET))
    secrets += [text for device in devices.values() for text in _texts_of(device, _SECRET_OF_DEVICES)]

    def is_public(key: str) -> bool:
        value = record[key]
        text = _bare(value) if isinstance(value, str) else ""
        return key not in SECRET and not any(secret in text for secret in secrets)

    del record["meter"]
    return {"meter": name} | {key: record[key] for key in filter(is_public, record)} | public_devices(devices)


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


def _texts_of(values: Mapping[str, Any], names: Iterable[str]) -> Iterator[str]:
    """Yield the texts under some names that are longer than what is shown of them."""
    for name in names:
        text = values.get(name)
        if isinstance(text, str) and len(_bare(text)) > _SHOWN_END:
            yield _bare(text)


def _bare(text: str) -> str:
    return "".join(text.split()).casefold()


def _end_of(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", text)[-_SHOWN_END:] or "0"


def _distinct(name: str, taken: Iterable[str]) -> str:
    others, number, found = {other.casefold() for other in taken}, 1, name
    while found.casefold() in others:
        number += 1
        found = f"{name}-{number}"
    return found
