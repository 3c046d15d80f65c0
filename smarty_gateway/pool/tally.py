"""What a worker counts from its start on: frames and what became of them, shards taken and released."""

import logging
from collections import Counter

from smarty_gateway.fault_log import RejectionLog
from smarty_gateway.pool.database.rows import PLAINTEXT, Row
from smarty_gateway.pool.shared_fault import SharedFault
from smarty_gateway.protocol.rejection import Rejection
from smarty_gateway.protocol.system_title import serial_from_system_title

_log = logging.getLogger(__name__)


class Tally:
    """Numbers that rise, counted by the thread that writes; any thread may read them.

    Attributes:
        frames: that came; each is a row, a repeat or a refusal.
        rows: that were new in the database.
        unverified: of these, the ones that only a CRC has verified.
        repeats: frames that came again: as the cluster and the edges send what was perhaps lost.
        refused: frames by the reason of their refusal.
        lag: seconds from the arrival of the newest frame at its edge to its row.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.rows = 0
        self.unverified = 0
        self.repeats = 0
        self.refused: Counter[str] = Counter()
        self.takes = 0
        self.releases = 0
        self.rebalances = 0
        self.lag = 0.0
        self._seen = RejectionLog(_log.warning, cleared=_log.info)
        self._clock_fault = SharedFault[bytes](
            _log.warning, _log.info, "the clocks of all edges are right again"
        )

    def note_clock(self, row: Row) -> None:
        """Log that the clock of an edge is ahead, which matters where the time counts as a counter."""
        if not row.may_be_newest:
            self._clock_fault.begin(
                row.title,
                f"{row.meter}: the clock of its edge is ahead, so its readings are kept, but none of them "
                "counts as the newest; set this clock",
            )
        elif row.fingerprint == PLAINTEXT:
            self._clock_fault.end(row.title)

    def refuse(self, rejection: Rejection, shard: int, now: float) -> None:
        """Count a refusal, and log it as a gateway does: the first, and then how many in an hour."""
        self.refused[rejection.reason.value] += 1
        title = rejection.system_title
        name = f"shard {shard}" if title is None else serial_from_system_title(title) or title.hex().upper()
        self._seen.note(name, rejection, now)

    def tick(self, now: float) -> None:
        """Log what is due; called now and then."""
        self._seen.tick(now)
