"""The topics, as in docs/reference.md, "MQTT", and the names in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from smarty_gateway.safe_text import topic_part

#: What is retained of each meter, beside its M-Bus devices and single values.
_LEVELS: Final = frozenset({"availability", "state", "quarter", "health"})


@dataclass(frozen=True, slots=True)
class Topics:
    """All topics of one gateway, below its own first level."""

    root: str

    @property
    def status(self) -> str:
        """The topic that tells whether the gateway is there."""
        return f"{self.root}/status"

    @property
    def health(self) -> str:
        """The topic of the gateway's own health."""
        return f"{self.root}/health"

    def of(self, meter: str, *levels: str) -> str:
        """Return a topic of one meter."""
        return "/".join((self.root, topic_part(meter), *levels))

    def mbus(self, meter: str, device: str) -> str:
        """Return the topic of one M-Bus device."""
        return self.of(meter, "mbus", topic_part(device))

    def is_of(self, meter: str, topic: str) -> bool:
        """True if a topic is one of a meter, and not of a single value."""
        level = self._level(meter, topic)
        return level in _LEVELS or level.startswith("mbus/")

    def is_value_of(self, meter: str, topic: str) -> bool:
        """True if a topic is that of a single value of a meter."""
        level = self._level(meter, topic)
        return bool(level) and level not in _LEVELS and "/" not in level

    def _level(self, meter: str, topic: str) -> str:
        """Return what a topic has behind the level of a meter; nothing for a topic of another."""
        beginning = self.of(meter, "")
        return topic.removeprefix(beginning) if topic.startswith(beginning) else ""


def device_name(device: Mapping[str, object]) -> str:
    """Return the name of an M-Bus device: its id, which stays when it changes its channel."""
    return str(device.get("id") or f"channel_{device['channel']}")
