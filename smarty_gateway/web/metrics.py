"""`/metrics`: the newest readings and the health, in Prometheus' base units."""

from smarty_gateway.pages.snapshots import GatewayNow


def exposition(gateway: GatewayNow) -> bytes:
    """Return all metrics in Prometheus' text format."""
    raise NotImplementedError
