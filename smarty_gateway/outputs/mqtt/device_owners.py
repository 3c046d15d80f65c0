"""Which meter announces a device to Home Assistant, where two of them claim the same id.

A plaintext telegram can name any M-Bus device, also that of the neighbour, and can call itself by its id.
So what one meter has announced another takes over only if its word counts for more, or if the first one has
not named the device for an hour. Pure, with time as an argument.
"""

from collections.abc import Iterable, Mapping
from typing import Final

ABSENT_SECONDS: Final = 3600.0


def rank(*, is_authenticated: bool, is_configured: bool, is_own: bool) -> int:
    """Return how much the word of a meter about a device counts.

    Args:
        is_authenticated: its frames have verified.
        is_configured: an entry of the configuration names it.
        is_own: the device is the meter itself, and not an M-Bus device behind it.
    """
    return 4 * is_authenticated + 2 * is_configured + is_own


class DeviceOwners:
    """The owners of all devices.

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
        """Return the meter that announces a device; None if nobody does."""
        found = self._owners.get(device.casefold())
        return None if found is None else found[0]

    def may_announce(self, device: str, meter: str, rank: int, now: float) -> bool:
        """True if a meter may announce a device, which is then its own.

        Args:
            device: its id in discovery.
            meter: the name of the meter.
            rank: of its word about this device.
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
