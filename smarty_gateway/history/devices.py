"""The registers of M-Bus devices at the boundaries of quarter hours.

A device is read rarely, and its value arrives some minutes later. Its register at a boundary is the newest
value dated at or before it, among what arrived before the next boundary; it is never interpolated.
"""

from collections.abc import Iterable
from typing import Final

from smarty_gateway.history.sample import QUARTER, DeviceValue, Sample

#: Seconds. An older value says nothing about a boundary.
VALID: Final = 25 * 3600
#: A value dated further ahead of its meter has a wrong date.
_AHEAD: Final = 3600
#: Also of those that are gone; a meter has eight at a time.
_DEVICES_MAX: Final = 50


class DeviceValues:
    """The newest values of the devices of one meter.

    Args:
        stored: those of an earlier run.
    """

    def __init__(self, stored: Iterable[DeviceValue] = ()) -> None:
        # By device, then by the first boundary at which a value counts; one for each is enough.
        self._values: dict[str, dict[int, DeviceValue]] = {}
        for value in stored:
            self._note(value)

    def take(self, sample: Sample) -> None:
        """Take the values of a telegram."""
        for value in sample.devices:
            if value.dated <= sample.time + _AHEAD:
                self._note(value)

    def _note(self, value: DeviceValue) -> None:
        if value.device not in self._values and len(self._values) >= _DEVICES_MAX:
            return
        counts_from = -(-value.dated // QUARTER) * QUARTER
        values = self._values.setdefault(value.device, {})
        if counts_from not in values or values[counts_from].dated < value.dated:
            values[counts_from] = value

    def at(self, end: int) -> tuple[DeviceValue, ...]:
        """Return the values at a boundary, and forget those that count for none any more."""
        found = []
        for device, values in list(self._values.items()):
            until = [boundary for boundary in values if boundary <= end]
            if not until:
                continue
            newest = values[max(until)]
            for boundary in sorted(until)[:-1]:
                del values[boundary]
            if newest.dated >= end - VALID:
                found.append(newest)
            elif len(values) == 1:
                del self._values[device]
        return tuple(found)

    def set_back(self, time: int) -> None:
        """Forget the values that are dated behind a time, to which the clock was set back."""
        self._values = {
            device: kept
            for device, values in self._values.items()
            if (kept := {boundary: value for boundary, value in values.items() if value.dated <= time})
        }
