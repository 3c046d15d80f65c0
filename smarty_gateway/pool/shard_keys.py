"""What a worker must know to judge the meters of a shard: their keys, and who may send plaintext."""

from collections.abc import Mapping
from typing import NamedTuple

from smarty_gateway.config.key_folder import KeyFolder, titles_of
from smarty_gateway.config.pool_values import PlaintextMeter, PoolConfig
from smarty_gateway.protocol.identities import forms_of
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.shards import shard_of, shard_of_meter_id


class Keys(NamedTuple):
    """What a worker must know to judge the meters of a shard.

    Attributes:
        ring: the keys.
        plaintext: the meters that may send plaintext, by meter_id, and the edge user of each.
        encrypted: those of them that have a key all the same, by each identity in the form of `fold`.
    """

    ring: KeyRing
    plaintext: Mapping[str, str]
    encrypted: frozenset[str]


class ShardKeys:
    """Reads the keys of shards.

    Args:
        folder: of the key files.
        config: lists the meters that may send plaintext.
    """

    def __init__(self, folder: KeyFolder, config: PoolConfig) -> None:
        self._folder = folder
        self._config = config
        self._versions: dict[int, list[object]] = {}

    def changed(self, shard: int) -> bool:
        """True if a key file that decides about meters of a shard is not the one that was loaded."""
        return self._folder.changed(shard) or self._versions_of(shard) != self._versions.get(shard)

    def load(self, shard: int) -> Keys:
        """Return the keys of a shard.

        Raises:
            KeyFileError: a key file has a fault, or others can read it.
        """
        self._versions[shard] = self._versions_of(shard)
        listed = self._listed(shard)
        encrypted = (forms_of(meter.meter_id) for meter in listed if self._folder.has_key(meter.meter_id))
        return Keys(
            self._folder.load(shard),
            {meter.meter_id: meter.user for meter in listed},
            frozenset().union(*encrypted),
        )

    def _listed(self, shard: int) -> list[PlaintextMeter]:
        return [meter for meter in self._config.plaintext if shard_of_meter_id(meter.meter_id) == shard]

    def _versions_of(self, shard: int) -> list[object]:
        """Return the versions of the key files, of any shard, in which the listed meters may be."""
        titles = (title for meter in self._listed(shard) for title in sorted(titles_of(meter.meter_id)))
        return [self._folder.version(shard_of(title)) for title in titles]
