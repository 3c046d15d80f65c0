"""Which M-Bus devices of a meter are published: a few, each for as long as it is on its channel.

Whoever writes a plaintext telegram can name any device in it, so their number is bounded, and a new id gets a
place only on a channel that is free. Pure, with time as an argument.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from smarty_gateway.outputs.mqtt.topics import device_name
from smarty_gateway.safe_text import topic_part

#: A meter has four M-Bus channels; some firmware numbers on when a device is exchanged.
DEVICES_MAX: Final = 8
#: Seconds after which a device that is not named any more gives up its channel.
ABSENT_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Device:
    medium: str
    values: dict[str, Any]
    last: float


class MbusDevices:
    """The devices of one meter, by the topic of each."""

    def __init__(self) -> None:
        self._devices: dict[str, _Device] = {}
        self._gone: list[dict[str, Any]] = []

    def take(self, devices: Mapping[str, Mapping[str, Any]], now: float) -> None:
        """Record the devices of a telegram, by their medium."""
        for medium, device in devices.items():
            key = _key_of(device)
            known = self._devices.get(key)
            if known is not None:
                known.values |= device
                known.last = now
            elif self._has_place(device, now):
                self._devices[key] = _Device(medium, dict(device), now)

    def _has_place(self, device: Mapping[str, Any], now: float) -> bool:
        """True if the channel of a new device is free, and the number of devices allows it."""
        for key, other in list(self._devices.items()):
            is_in_the_way = other.values["channel"] == device["channel"] or len(self._devices) >= DEVICES_MAX
            if is_in_the_way and now - other.last >= ABSENT_SECONDS:
                self._gone.append(self._devices.pop(key).values)
            elif other.values["channel"] == device["channel"]:
                return False
        return len(self._devices) < DEVICES_MAX

    def clear(self) -> None:
        """Forget all: another meter has come."""
        self._devices.clear()

    def has(self, device: Mapping[str, Any]) -> bool:
        """True if a device of a telegram is published."""
        return _key_of(device) in self._devices

    def known(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the devices by medium, with all that was sent of each so far."""
        return [(device.medium, device.values) for device in self._devices.values()]

    def take_gone(self) -> list[dict[str, Any]]:
        """Return the devices that gave up their place since the last call."""
        gone, self._gone = self._gone, []
        return gone


def _key_of(device: Mapping[str, Any]) -> str:
    return topic_part(device_name(device))
