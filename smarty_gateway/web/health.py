"""`/livez` and `/healthz`, and what is wrong with the gateway at this moment."""

from collections.abc import Mapping
from typing import Any, Final

from smarty_gateway.pages.snapshots import Availability, GatewayNow, MeterNow

_OK: Final = "ok"
_STARTING: Final = "starting"
_FAILING: Final = "failing"


def health_object(gateway: GatewayNow) -> tuple[bool, Mapping[str, Any]]:
    """Return whether all is well, and the JSON object of `/healthz` and `/api/v1/health`."""
    status = _status(gateway)
    found = {
        "status": status,
        "version": gateway.version,
        "started": gateway.started.isoformat(timespec="seconds"),
        "counters_kept": gateway.counters_kept,
        "history_kept": gateway.history_kept,
        "outputs": dict(gateway.outputs),
        "meters": [_meter(meter) for meter in gateway.meters],
    }
    return status == _OK, found


def _status(gateway: GatewayNow) -> str:
    expected = {meter.availability for meter in gateway.meters if meter.is_expected}
    outputs_work = all(state == _OK for state in gateway.outputs.values())
    if not outputs_work or Availability.SILENT in expected or not gateway.is_alive:
        return _FAILING
    return _STARTING if Availability.STARTING in expected else _OK


def _meter(meter: MeterNow) -> Mapping[str, Any]:
    health = meter.health.as_object()
    return {
        "meter": meter.name,
        "availability": meter.availability.value,
        "expected": meter.is_expected,
        "connected": meter.health.is_connected,
        "troubles": list(meter.troubles),
        **health,
    }
