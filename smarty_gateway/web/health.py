"""`/livez` and `/healthz`, and what is wrong with the gateway at this moment."""

from collections.abc import Mapping
from typing import Any

from smarty_gateway.pages.snapshots import GatewayNow


def health_object(gateway: GatewayNow) -> tuple[bool, Mapping[str, Any]]:
    """Return whether all is well, and the JSON object of `/healthz` and `/api/v1/health`."""
    raise NotImplementedError
