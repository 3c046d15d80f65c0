"""Logs the first reading of each meter, so that a user sees that it works.

There may be a thousand meters, and a source can invent some. So only the first few lines name their meter,
and the others are counted.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.output import Reading
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.safe_text import topic_part

#: Of those that the configuration names, and of the others.
_NAMED_MAX: Final = 10
_COUNT_EVERY: Final = 60.0
_LONGEST_ID: Final = 64


class FirstReadings:
    """Writes the lines.

    Args:
        mqtt: the broker that the readings go to; None if there is none.
        log: takes the lines.
        now: the time of the monotonic clock.
    """

    def __init__(self, mqtt: MqttConfig | None, log: Callable[[str], None], now: float) -> None:
        self._mqtt = mqtt
        self._log = log
        self._lock = threading.Lock()  # for the threads of all readers
        self._named: Counter[bool] = Counter()
        self._counted = 0
        self._next_count = now + _COUNT_EVERY

    def note(self, reading: Reading) -> None:
        """Log the first reading of a meter, or count it."""
        with self._lock:
            is_named = self._named[reading.is_configured] < _NAMED_MAX
            self._named[reading.is_configured] += is_named
            self._counted += not is_named
        if is_named:
            self._log(self._line(reading))

    def tick(self, now: float) -> None:
        """Log what was counted, at most once a minute."""
        if now < self._next_count:
            return
        self._next_count = now + _COUNT_EVERY
        with self._lock:
            counted, self._counted = self._counted, 0
        if counted:
            self._log(f"first readings of {counted} more meters")

    def _line(self, reading: Reading) -> str:
        telegram = reading.telegram
        meter_id = telegram.meter_id[:_LONGEST_ID]
        of = "" if meter_id == reading.meter else f" of {meter_id}"
        power, target = _power(telegram), self._target(reading)
        return f"{reading.meter}: first reading{of} ({telegram.security}){power}{target}"

    def _target(self, reading: Reading) -> str:
        if self._mqtt is None:
            return ""
        interval = self._mqtt.interval
        often = f"every {interval:g} s" if interval else "every telegram"
        return f"; {often} to {self._mqtt.topic}/{topic_part(reading.meter)}/state"


def _power(telegram: MeterTelegram) -> str:
    """Return the net power; an empty text if the meter sends none."""
    if "power_import" not in telegram and "power_export" not in telegram:
        return ""
    net = telegram.get("power_import", 0.0) - telegram.get("power_export", 0.0)
    return f": {abs(net):.3f} kW {'export' if net < 0 else 'import'}"
