"""Shards: the parts into which a pool divides its meters.

A meter belongs to one shard for ever, and one worker at a time reads a shard. So everything that is known
about a meter is in one place while its frames are read.
"""

import zlib
from typing import Final

#: Queues of a pool. The number is part of the topics that edges send to and of the names of key files: fixed.
SHARDS: Final = 64


def shard_of(system_title: bytes) -> int:
    """Return the shard of an encrypted meter: the CRC-32 of its system title (8 bytes), modulo 64."""
    return zlib.crc32(system_title) % SHARDS


def shard_of_meter_id(meter_id: str) -> int:
    """Return the shard of a plaintext meter, which has no system title: likewise of its meter_id in UTF-8."""
    return zlib.crc32(meter_id.encode()) % SHARDS
