"""Classifies transmission damage: bit errors, lost bytes, or a telegram that was cut short.

The gateway only needs to know that a frame is damaged. Whoever has to repair a cable needs to know how,
and the lengths tell: a frame with bit errors is as long as its header says, one that lost bytes is a
little shorter, one that was cut is much shorter. In a recording, which has no pauses, a frame that is too
short swallows the beginning of the next one. Therefore this also searches frames that failed, and the
bytes between two good ones, for the beginning of another frame.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from smarty_gateway.doctor import findings
from smarty_gateway.doctor.finding import Weighted
from smarty_gateway.doctor.signal_faults import BEGINNING
from smarty_gateway.protocol.frame import FRAME_PREFIX, HEADER_MAX, Header, read_header
from smarty_gateway.protocol.telegram import is_text
from smarty_gateway.protocol.window import Window

#: The most bytes that one overrun of a UART or a bridge loses; where more are missing, it is a cut.
_OVERRUN_MAX: Final = 16
#: Bytes without a beginning are the rest of a telegram from this share of the shortest one on, else noise.
_REST_SHARE: Final = 0.2
#: A header is at least this long, so a second one begins no sooner.
_HEADER_MIN: Final = 12


class Damage:
    """Counts damaged telegrams by kind of damage.

    Attributes:
        bit_errors: telegrams of full length.
        lost_bytes: telegrams that are a little too short.
    """

    def __init__(self, window: Window) -> None:
        self.bit_errors = 0
        self.lost_bytes = 0
        self._window = window
        self._cuts: Counter[int] = Counter()  # by the size that was left
        self._texts: list[tuple[int, bool]] = []  # size, and whether it holds bytes that are not text
        self._sizes: set[int] = set()  # of good telegrams
        self._settled: int | None = None  # everything before this offset is accounted for

    @property
    def count(self) -> int:
        """The damaged telegrams so far."""
        return self.bit_errors + self.lost_bytes + self._cuts.total() + len(self._texts)

    def take_good(self, offset: int, size: int) -> None:
        """Handle a good telegram, and look at what lies before it."""
        self._sizes.add(size)
        self.pass_over(offset, size)

    def pass_over(self, offset: int, size: int) -> None:
        """Look at what lies before a frame or telegram that is counted elsewhere."""
        begin = self._settled
        self._settled = offset + size
        data = self._window.cut(begin or 0, offset)
        starts = [match.start() for match in BEGINNING.finditer(data)]
        if starts:
            for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
                self._take_piece(data[start:end])
        elif begin is not None and self._sizes and len(data) >= _REST_SHARE * min(self._sizes):
            # A telegram whose beginning is damaged. Before the first event this is no damage: the
            # recording began within a telegram.
            self._take_piece(data)

    def take_malformed(self, offset: int, size: int) -> None:
        """Handle a faulty header, or a frame that is cut short."""
        header = read_header(self._window.cut(offset, offset + HEADER_MAX))
        if isinstance(header, Header) or header is None:
            self._take_piece(self._window.cut(offset, offset + size))
            self._settled = offset + size
        else:
            # The rest of the frame arrives as noise, and is looked at together with this.
            self._settled = offset

    def take_end(self, offset: int, size: int) -> None:
        """Handle an unfinished frame at the end of a recording, which is not damage by itself."""
        if not self._sizes:
            self.take_malformed(offset, size)

    def take_text(self, offset: int, size: int) -> None:
        """Handle a plaintext telegram with a wrong CRC."""
        self._texts.append((size, not is_text(self._window.cut(offset, offset + size))))

    def take_frame_with_another_inside(self, offset: int, size: int, title: bytes) -> bool:
        """Handle a frame that failed; False if it does not hold the beginning of the meter's next one."""
        data = self._window.cut(offset, offset + size + HEADER_MAX)
        at = data.find(FRAME_PREFIX + title, _HEADER_MIN)
        if not 0 <= at < size:
            return False
        self._take_short(at, size - at)
        self._settled = offset + at  # if the inner frame fails as well, it is not reported
        return True

    def take_rest(self, end: int) -> None:
        """Handle the end of a recording; what is unfinished there counts only if nothing is good."""
        if not self._sizes and self._settled is not None:
            self.pass_over(end, 0)

    def _take_piece(self, data: bytes) -> None:
        """Classify bytes that should have been one telegram."""
        header = read_header(data[:HEADER_MAX]) if data.startswith(FRAME_PREFIX) else None
        full = max(self._sizes, default=0)
        if isinstance(header, Header):
            full = header.size + header.length
        if len(data) in self._sizes or len(data) >= full > 0:
            self.bit_errors += 1
        else:
            self._take_short(len(data), full - len(data))

    def _take_short(self, left: int, missing: int) -> None:
        if 0 < missing <= _OVERRUN_MAX:
            self.lost_bytes += 1
        else:
            self._cuts[left] += 1

    def findings(self, more_bit_errors: int, good: int) -> Iterator[Weighted]:
        """Yield what was found.

        Args:
            more_bit_errors: telegrams with bit errors that were counted elsewhere.
            good: how many telegrams are good.
        """
        bit_errors, lost_bytes, unclear = self.bit_errors + more_bit_errors, self.lost_bytes, 0
        for size, holds_other in self._texts:
            if size in self._sizes or holds_other:
                bit_errors += 1
            elif any(0 < full - size <= _OVERRUN_MAX for full in self._sizes):
                lost_bytes += 1
            else:
                unclear += 1
        if count := bit_errors + lost_bytes + unclear:
            yield count, findings.damaged(bit_errors, lost_bytes, unclear, good)
        if count := self._cuts.total():
            same_size = next(iter(self._cuts)) if len(self._cuts) == 1 else None
            yield count, findings.truncated(count, same_size, good)
