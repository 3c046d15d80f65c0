"""Which meter has which id in discovery. No two have the same, regardless of case."""

from smarty_gateway.gateway.meter import Meter
from smarty_gateway.protocol.meter import MeterTelegram
from smarty_gateway.safe_text import discovery_id


class DiscoveryIds:
    """The ids of all meters; a configured meter wins over one that no entry names.

    Args:
        topic: the first level of the gateway's topics.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._meters: dict[str, Meter] = {}
        #: What identifies configured meters that have nothing but a header.
        self._reserved: dict[str, Meter] = {}

    def reserve(self, meter: Meter) -> None:
        """Keep the id made from the name of a configured meter for it."""
        self._reserved[discovery_id(self._topic, meter.name, None).casefold()] = meter

    def owner(self, object_id: str) -> Meter | None:
        """Return the meter that has an id, or may get it."""
        folded = object_id.casefold()
        return self._meters.get(folded) or self._reserved.get(folded)

    def id_for(self, meter: Meter, telegram: MeterTelegram) -> str:
        """Return the id that a meter gets with this telegram."""
        by_id = discovery_id(self._topic, meter.name, telegram.meter_id)
        if meter.sources is None:
            return by_id
        owner = self.owner(by_id)
        is_taken = owner is not None and owner is not meter and owner.sources is not None
        return discovery_id(self._topic, meter.name, None) if is_taken or telegram.is_header_only else by_id

    def assign(self, meter: Meter, telegram: MeterTelegram) -> Meter | None:
        """Assign a meter its id, and return the meter without an entry that loses it."""
        self.release(meter)
        meter.object_id = self.id_for(meter, telegram)
        folded = meter.object_id.casefold()
        other = self._meters.setdefault(folded, meter)
        if other is meter or other.sources is not None or meter.sources is None:
            return None
        self._meters[folded] = meter
        return other

    def release(self, meter: Meter) -> None:
        """Free the id of a meter."""
        folded = meter.object_id.casefold()
        if self._meters.get(folded) is meter:
            del self._meters[folded]
