"""What a worker must know to judge the meters of a shard: their keys, and who may send plaintext."""

from collections.abc import Container, Mapping
from typing import NamedTuple

from smarty_gateway.config.key_folder import KeyFolder
from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.shards import shard_of_meter_id


class Keys(NamedTuple):
    """What a worker must know to judge the meters of a shard.

    Attributes:
        ring: the keys.
        plaintext: the meters that may send plaintext, by meter_id, and the edge user of each.
        encrypted: the identities of all meters that have a key, in whichever shard, in the form of `fold`.
    """

    ring: KeyRing
    plaintext: Mapping[str, str]
    encrypted: Container[str]


class ShardKeys:
    """Reads the keys of shards.

    Args:
        folder: of the key files.
        config: lists the meters that may send plaintext.
    """

    def __init__(self, folder: KeyFolder, config: PoolConfig) -> None:
        self._folder = folder
        self._config = config
        self._encrypted = _Encrypted(folder)

    def changed(self, shard: int) -> bool:
        """True if the key file of a shard is not the one that was loaded."""
        return self._folder.changed(shard)

    def load(self, shard: int) -> Keys:
        """Return the keys of a shard.

        Raises:
            KeyFileError: the key file has a fault, or others can read it.
        """
        listed = {
            meter.meter_id: meter.user
            for meter in self._config.plaintext
            if shard_of_meter_id(meter.meter_id) == shard
        }
        return Keys(self._folder.load(shard), listed, self._encrypted)


class _Encrypted:
    """The identities of all meters that have a key: looked up in the key files as they are at that moment.

    A telegram in plaintext has the shard of its meter_id. Its other identities may be those of a meter of any
    shard, whose key file this worker need not have read.
    """

    def __init__(self, folder: KeyFolder) -> None:
        self._folder = folder

    def __contains__(self, identity: object) -> bool:
        """Look it up.

        Raises:
            KeyFileError: the key file in which it would be has a fault.
        """
        return isinstance(identity, str) and self._folder.has_key(identity)
