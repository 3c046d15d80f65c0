"""What the values are called where people read them: in tables, in Home Assistant, and where space is short.

A label is the name of the value in words ("Energy import tariff 1"), so that who has seen the one finds the
other; only where that would be unclear does it have words of its own.
"""

import re
from typing import Final

_OWN: Final = {
    "breaker_state": "Breaker",
    "current_threshold": "Current limit",
    "current_threshold_export": "Current limit export",
    "current_threshold_import": "Current limit import",
    "apparent_power_threshold": "Apparent power limit",
    "power_threshold": "Power limit",
    "fuse_threshold": "Fuse limit",
    "demand_export": "Average demand export",
    "demand_import": "Average demand",
    "ean": "EAN",
    "energy_combined": "Energy import and export",
    "fuse_threshold_l2": "Fuse limit L2",
    "fuse_threshold_l3": "Fuse limit L3",
    "month_end": "End of last month",
    "p1_version": "P1 version",
    "peak_demand_history": "Peak demand of past months",
    "peak_demand_month": "Peak demand this month",
    "power_combined": "Power import and export",
    "quarter_allowed_power": "Allowed power",
    "quarter_covered_day": "Coverage today",
    "quarter_excess": "Excess this quarter hour",
    "quarter_excess_day": "Excess today",
    "quarter_excess_month": "Excess this month",
    "quarter_excess_year": "Excess this year",
    "quarter_export_day": "Export today",
    "quarter_forecast_power": "Forecast this quarter hour",
    "quarter_import": "Import this quarter hour",
    "quarter_import_day": "Import today",
    "quarter_mean_power": "Mean power this quarter hour",
    "quarter_peak_month": "Peak this month",
    "quarter_peak_month_time": "Time of peak this month",
    "quarter_reference_power": "Reference power",
    "quarter_will_exceed": "Quarter hour above limit",
    "timestamp": "Meter time",
}


def label_of(name: str) -> str:
    """Return the label of a field or of an M-Bus device by its name in the JSON object.

    Args:
        name: such as `power_import_l1` or `gas_2`.
    """
    if name in _OWN:
        return _OWN[name]
    if name.endswith("_last"):
        label = label_of(name.removesuffix("_last"))
        return f"Last {label[0].lower()}{label[1:]}"
    if re.fullmatch(r"relay_\d_state", name):
        return name[:7].replace("_", " ").capitalize()
    words = name.replace("_", " ").capitalize()
    return re.sub(r"\b[lq]\d\b", lambda phase: phase[0].upper(), words)
