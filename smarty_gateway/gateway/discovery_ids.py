"""Which meter has which id in discovery. No two have the same, regardless of case."""

from smarty_gateway.config.values import TAKEN_NAMES
from smarty_gateway.gateway.meter import Meter
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.safe_text import discovery_id, object_id


class DiscoveryIds:
    """The ids of all meters; a configured meter wins over one that no entry names.

    Args:
        topic: the first level of the gateway's topics.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._meters: dict[str, Meter] = {}
        own = [object_id(topic), *(discovery_id(topic, name, None) for name in TAKEN_NAMES)]
        #: Ids that are made of a configured name; None stands for the gateway itself.
        self._reserved: dict[str, Meter | None] = {name.casefold(): None for name in own}

    def reserve(self, meter: Meter) -> None:
        """Keep the id made from the name of a configured meter for it."""
        self._reserved[discovery_id(self._topic, meter.name, None).casefold()] = meter

    def is_free(self, own_id: str) -> bool:
        """True if no meter has an id, or may get it."""
        folded = own_id.casefold()
        return folded not in self._meters and folded not in self._reserved

    def id_for(self, meter: Meter, telegram: MeterTelegram) -> str:
        """Return the id that a meter gets with this telegram."""
        by_id = discovery_id(self._topic, meter.name, telegram.meter_id)
        if meter.sources is None:
            return by_id
        folded = by_id.casefold()
        owner = self._meters.get(folded) or self._reserved.get(folded, meter)
        is_taken = owner is None or (owner is not meter and owner.sources is not None)
        return discovery_id(self._topic, meter.name, None) if is_taken or telegram.is_header_only else by_id

    def assign(self, meter: Meter, own_id: str) -> Meter | None:
        """Assign a meter an id, and return the meter without an entry that loses it."""
        self.release(meter)
        meter.object_id = own_id
        folded = own_id.casefold()
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
