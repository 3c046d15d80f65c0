"""The quarter hour that is not over yet: what it has drawn, and what it will have drawn."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RunningQuarter:
    """The running quarter of a meter at its newest telegram (docs/reference.md, "Over MQTT")."""

    values: dict[str, Any]

    def as_object(self) -> dict[str, Any]:
        """Return the JSON object of `METER/quarter`, with what is known of it.

        Its names: start, import, mean_power, forecast_power, allowed_power, reference_power, excess,
        excess_day, excess_month, excess_year, peak_month, peak_month_time, import_day, export_day,
        covered_day, will_exceed.
        """
        return self.values
