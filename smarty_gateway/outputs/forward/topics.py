"""The topics of an edge: one a meter, with the shard that the meter belongs to.

smarty/raw/SHARD/TITLE           a frame; TITLE is the system title as 16 hex digits
smarty/raw/SHARD/USER/METER_ID   a telegram that is not encrypted; USER is the edge's name at the nodes, and
                                 METER_ID for people: 64 characters of ASCII at most
"""

import re
from typing import Final

from smarty_gateway.protocol.key_ring import meter_name
from smarty_gateway.protocol.shards import shard_of, shard_of_meter_id
from smarty_gateway.safe_text import printable, topic_part

_NOT_ASCII: Final = re.compile(r"[^!-~]")
_TITLE: Final = re.compile(r"[0-9A-F]{16}")


def topic_of_frame(root: str, title: bytes) -> str:
    """Return the topic of an encrypted meter."""
    return f"{root}/{shard_of(title)}/{title.hex().upper()}"


def topic_of_telegram(root: str, user: str, meter_id: str) -> str:
    """Return the topic of a meter that sends plaintext."""
    return f"{root}/{shard_of_meter_id(meter_id)}/{user}/{_NOT_ASCII.sub('_', topic_part(meter_id))}"


def meter_of(topic: str) -> str:
    """Return the serial number or the meter_id behind a topic, for messages."""
    last = topic.rpartition("/")[2]
    return meter_name(bytes.fromhex(last)) if _TITLE.fullmatch(last) else printable(last)
