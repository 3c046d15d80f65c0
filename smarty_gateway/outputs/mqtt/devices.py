"""M-Bus devices and who announces them: bounded, because anyone who can write a telegram can name devices.

Pure, with time as an argument.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from smarty_gateway.outputs.mqtt.topics import device_name
from smarty_gateway.safe_text import topic_part

#: A meter has four M-Bus channels; some firmware numbers on when a device is exchanged.
DEVICES_MAX: Final = 8
#: Seconds after which a device that is not named any more gives up its channel, and its owner the device.
ABSENT_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Device:
    medium: str
    values: dict[str, Any]
    last: float


class MbusDevices:
    """The published devices of one meter; a new id gets a place only on a channel that is free."""

    def __init__(self) -> None:
        self._devices: dict[str, _Device] = {}  # by the topic of each
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
        """Forget all devices: another meter has come."""
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


def rank(*, is_authenticated: bool, is_configured: bool, is_own: bool) -> int:
    """Return how much the claim of a meter to a device counts.

    Args:
        is_authenticated: its frames have verified.
        is_configured: an entry of the configuration names it.
        is_own: the device is the meter itself, and not an M-Bus device behind it.
    """
    return 4 * is_authenticated + 2 * is_configured + is_own


class DeviceOwners:
    """The meter that announces each device to Home Assistant, where several claim the same id.

    A plaintext telegram can name any M-Bus device, also the neighbour's, and can call its meter by that id.
    A device changes its owner only for a higher rank, or when the owner has not named it for an hour.

    Args:
        owners: what was announced in an earlier run: discovery ids with the names of meters and their ranks.
        started: the time.
    """

    def __init__(self, owners: Mapping[str, tuple[str, int]], started: float) -> None:
        self._owners = {key.casefold(): (name, held, started) for key, (name, held) in owners.items()}

    def note_named(self, meter: str, ids: Iterable[str], now: float) -> None:
        """Record that a telegram of a meter names these devices."""
        for device in map(str.casefold, ids):
            owner, held, _ = self._owners.get(device, ("", 0, 0.0))
            if owner == meter:
                self._owners[device] = meter, held, now

    def owner(self, device: str) -> str | None:
        """Return the meter that announces a device; None if there is none."""
        found = self._owners.get(device.casefold())
        return None if found is None else found[0]

    def may_announce(self, device: str, meter: str, rank: int, now: float) -> bool:
        """True if a meter may announce a device, which it owns from then on.

        Args:
            device: its id in discovery.
            meter: the name of the meter.
            rank: of its claim to this device.
            now: the time.
        """
        owner, held, last = self._owners.get(device.casefold(), (meter, rank, now))
        if owner != meter and rank <= held and now - last < ABSENT_SECONDS:
            return False
        self._owners[device.casefold()] = meter, rank, now
        return True

    def release(self, device: str) -> None:
        """Release a device that is gone."""
        self._owners.pop(device.casefold(), None)

    def forget(self, meter: str) -> None:
        """Release the devices of a meter that is gone."""
        self._owners = {device: held for device, held in self._owners.items() if held[0] != meter}
