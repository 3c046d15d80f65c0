"""What `systemctl status` shows of the gateway."""

from datetime import UTC, datetime

from smarty_gateway.gateway.status_line import status_line
from smarty_gateway.outputs.output import GatewayHealth, Health

HEARD = datetime(2026, 1, 30, tzinfo=UTC)


def test_the_status_counts_the_meters_that_can_be_heard_and_names_each_output() -> None:
    health = {
        "house": Health(last_telegram=HEARD, is_connected=True),
        "barn": Health(last_telegram=HEARD),  # its adapter was pulled out
        "shed": Health(is_connected=True),
    }
    gateway = GatewayHealth(counters_kept=True, outputs={"mqtt": "ok", "influxdb": "offline"})
    assert status_line(3, health, gateway) == "1 of 3 meters heard; mqtt ok, influxdb offline"
