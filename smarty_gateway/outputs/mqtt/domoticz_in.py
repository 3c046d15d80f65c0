"""What goes to Domoticz over the broker, with `domoticz: {mqtt: true}`: the newest value of each device.

All devices share one topic, so each message has a slot of its own in the queue. Messages are not retained, as
Domoticz dates a value by its arrival: after a restart it would take an old one for new. They have QoS 1, so
that a broker of MQTT 5 can say that it forbids them.
"""

from typing import Final

from smarty_gateway.config.values import Config
from smarty_gateway.outputs.domoticz.values import devices_of
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.outputs.mqtt.send_queue import Rank
from smarty_gateway.outputs.mqtt.sender import Sender
from smarty_gateway.outputs.output import Reading

_TOPIC: Final = "domoticz/in"


class DomoticzIn:
    """The messages to Domoticz, of which it needs only the newest."""

    def __init__(self, config: Config) -> None:
        domoticz = config.outputs.domoticz
        self._devices = devices_of(config) if domoticz is not None and domoticz.mqtt else []
        self._waiting: dict[int, str] = {}

    def take(self, reading: Reading, now: float) -> None:
        """Take a reading."""
        for device in self._devices:
            svalue = device.due(reading, now)
            if svalue is not None:
                self._waiting[device.idx] = svalue
                device.note_sent(now)

    def queue_due(self, sender: Sender) -> None:
        """Queue what has not been queued yet."""
        for idx, svalue in self._waiting.items():
            message = {"command": "udevice", "idx": idx, "nvalue": 0, "svalue": svalue}
            sender.put_passing(_TOPIC, to_json_bytes(message), Rank.STATE, f"{_TOPIC} {idx}")
        self._waiting.clear()
