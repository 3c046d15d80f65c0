"""M-Bus devices and who announces them: bounded, because anyone who can write a telegram can name devices.

Pure, with time as an argument.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from smarty_gateway.config.values import FORGOTTEN_SECONDS
from smarty_gateway.outputs.mqtt.topics import device_name
from smarty_gateway.safe_text import topic_part
from smarty_gateway.state.store_rows import PublishedDevice

#: A meter has four M-Bus channels; some firmware numbers on when a device is exchanged.
DEVICES_MAX: Final = 8
#: Characters of an id that count in topics and ids; no genuine one is longer.
_LONGEST: Final = 96
#: Seconds after which a device that is not named any more gives up its channel, and its owner the device.
ABSENT_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Device:
    """A published device.

    Attributes:
        medium: the name of its object in the JSON object when it was new, or that of the one it replaced.
        values: all that was sent of it in this run, or its id and channel.
        absent_since: since when its meter has not sent it; None while it does.
    """

    medium: str
    values: dict[str, Any]
    absent_since: float | None = None

    def is_absent(self, seconds: float, now: float) -> bool:
        """True if its meter has not sent it for this long."""
        return self.absent_since is not None and now - self.absent_since >= seconds


class MbusDevices:
    """The published devices of one meter.

    A new id waits where it comes in the place of a device: on its channel, or for a device of its kind that
    is not sent any more. When that was absent for an hour, the new one takes its place and its name. A device
    that was absent for a day is gone.

    Args:
        stored: the devices of an earlier run.
    """

    def __init__(self, stored: Iterable[PublishedDevice] = ()) -> None:
        self._stored_behind = {device.behind for device in stored}
        self._devices: dict[str, _Device] = {}  # by the last level of the topic of each
        for device in stored:
            values: dict[str, Any] = {"channel": device.channel}
            if device.device != device_name(values):
                values["id"] = device.device
            self._devices[_key_of(values)] = _Device(device.medium, values, device.absent_since)

    def take(self, devices: Mapping[str, Mapping[str, Any]], now: float, behind: str = "") -> None:
        """Record the devices of a telegram, by their medium.

        Args:
            devices: as in the JSON object.
            now: the time.
            behind: identifies the meter; what an earlier run has stored of another is dropped.
        """
        if self._stored_behind - {behind}:
            self._devices.clear()
        self._stored_behind.clear()
        here = {_key_of(device): (medium, device) for medium, device in devices.items()}
        for key, device in list(self._devices.items()):
            if key in here:
                device.absent_since = None
            elif device.absent_since is None:
                device.absent_since = now
            elif device.is_absent(FORGOTTEN_SECONDS, now):
                del self._devices[key]
        for key, (medium, values) in here.items():
            if key in self._devices:
                self._devices[key].values |= values
            else:
                self._add(key, medium, values, now)

    def _add(self, key: str, medium: str, values: Mapping[str, Any], now: float) -> None:
        """Add a device if it has a place."""
        before = self._predecessor(medium, values["channel"])
        if before is not None:
            medium = self._devices[before].medium
        elif len(self._devices) < DEVICES_MAX:
            self._devices[key] = _Device(medium, dict(values))
            return
        else:
            before = next(iter(self._absent()), None)
        if before is not None and self._devices[before].is_absent(ABSENT_SECONDS, now):
            del self._devices[before]
            self._devices[key] = _Device(medium, dict(values))

    def _predecessor(self, medium: str, channel: int) -> str | None:
        """Return the device in whose place a new one comes; None if there is none."""
        on_channel = (key for key, device in self._devices.items() if device.values["channel"] == channel)
        kind = _kind_of(medium)
        of_kind = (key for key in self._absent() if _kind_of(self._devices[key].medium) == kind)
        return next(on_channel, None) or next(of_kind, None)

    def _absent(self) -> list[str]:
        """Return the devices that are not sent, the one that is absent longest first."""
        absent = {k: d.absent_since for k, d in self._devices.items() if d.absent_since is not None}
        return sorted(absent, key=absent.__getitem__)

    def clear(self) -> None:
        """Forget all devices: another meter has come."""
        self._devices.clear()

    def has(self, device: Mapping[str, Any]) -> bool:
        """True if a device of a telegram is published."""
        return _key_of(device) in self._devices

    def known(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the devices by medium, with all that was sent of each so far in this run."""
        return [(device.medium, device.values) for device in self._devices.values()]

    def stored(self, meter: str, behind: str) -> list[PublishedDevice]:
        """Return the devices for the state file."""
        return [
            PublishedDevice(
                meter, device_name(d.values)[:_LONGEST], behind, d.values["channel"], d.medium, d.absent_since
            )
            for d in self._devices.values()
        ]


def _key_of(device: Mapping[str, Any]) -> str:
    return topic_part(device_name(device))


def _kind_of(medium: str) -> str:
    return medium.rstrip("0123456789").rstrip("_")


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
        if not self.is_free(device, meter, rank, now):
            return False
        self._owners[device.casefold()] = meter, rank, now
        return True

    def is_free(self, device: str, meter: str, rank: int, now: float) -> bool:
        """True if a meter may become the owner of a device, or is; arguments as for `may_announce`."""
        owner, held, last = self._owners.get(device.casefold(), (meter, rank, now))
        return owner == meter or rank > held or now - last >= ABSENT_SECONDS

    def release(self, device: str) -> None:
        """Release a device that is gone."""
        self._owners.pop(device.casefold(), None)

    def forget(self, meter: str) -> None:
        """Release the devices of a meter that is gone."""
        self._owners = {device: held for device, held in self._owners.items() if held[0] != meter}
