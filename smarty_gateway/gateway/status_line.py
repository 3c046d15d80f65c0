"""What `systemctl status` shows of a gateway."""

from collections.abc import Mapping
from itertools import chain

from smarty_gateway.outputs.output import GatewayHealth, Health


def status_line(meters: int, health: Mapping[str, Health], gateway: GatewayHealth) -> str:
    """Return what `systemctl status` shows: how many meters can be heard, and how the outputs are.

    Args:
        meters: how many are configured.
        health: of the meters that were heard, by name.
        gateway: the outputs.
    """
    heard = chain(health.values(), gateway.unheard.values())  # an edge does not know who its meters are
    sending = sum(each.is_connected and each.last_telegram is not None for each in heard)
    outputs = ", ".join(f"{name} {state}" for name, state in gateway.outputs.items())
    return f"{sending} of {max(meters, sending)} meters heard; {outputs}"
