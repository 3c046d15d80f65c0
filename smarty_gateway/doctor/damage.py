"""How telegrams came to harm on their way: bits that turned over, bytes that got lost, or a cut.

The gateway only needs to know that a frame is damaged. Who must mend a cable needs to know how, and the
lengths tell: a frame whose bits turned over is as long as it says; one that lost bytes is a little
shorter; one that was cut is much shorter. A frame that is too short swallows the beginning of the next
one where nothing but bytes is known (a recording), so it is also looked for inside frames that failed and
in what lies between two good ones.

A frame that is whole and entirely unreadable may be damaged in its counter, or be under another key: that
is told by what came before and behind it from the same meter.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from smarty_gateway.doctor import findings as say
from smarty_gateway.doctor.findings import Finding
from smarty_gateway.doctor.signal_faults import BEGINNING
from smarty_gateway.protocol.frame import (
    FRAME_PREFIX,
    HEADER_MAX,
    MAX_LENGTH,
    Frame,
    Header,
    cut_frame,
    read_header,
)
from smarty_gateway.protocol.rejection import Hint, Reason
from smarty_gateway.protocol.telegram import is_text

#: What an overrun of a UART or a bridge takes at once; more is called a cut.
_FEW: Final = 16
#: Less of a telegram than this share, without its beginning, is noise.
_SHARE: Final = 0.2
#: Damage makes a whole frame entirely unreadable only where it hits one of a few bytes. So many in a row,
#: with counters that rise, are under another key.
_ANOTHER_KEY: Final = 3
#: A header is this long at least, so a second one begins no sooner.
_HEADER_MIN: Final = 12


class Window:
    """The last bytes of the input, as many as an event can be behind."""

    def __init__(self) -> None:
        self._base = 0
        self._bytes = bytearray()

    def add(self, data: bytes) -> None:
        """Take what is handed to the stream, and forget what no event can reach any more."""
        forgotten = max(0, len(self._bytes) - 4 * MAX_LENGTH)
        del self._bytes[:forgotten]
        self._base += forgotten
        self._bytes += data

    def cut(self, begin: int, end: int) -> bytes:
        """Give the bytes between two offsets, as far as they are still there."""
        return bytes(self._bytes[max(0, begin - self._base) : max(0, end - self._base)])

    def frame(self, offset: int, size: int) -> Frame | None:
        """Cut a frame of an event into its fields."""
        data = self.cut(offset, offset + size)
        header = read_header(data[:HEADER_MAX])
        return cut_frame(offset, data, header) if isinstance(header, Header) and len(data) == size else None


@dataclass(slots=True)
class TitleFrames:
    """What became of the frames of one system title.

    Attributes:
        counts: those that failed, and are not damaged for certain.
        securities: of those with another security byte than 30.
        verified: those that were accepted.
        opener: the entry whose key opens frames that the meter's own does not; None before one was found.
        sample: a frame that failed, of some titles only.
        retired: those that a key opens which stands behind one that is in use.
        older: those under another key before the first that verified.
        unproven: those that were accepted and whose tag does not verify.
        default_fits: whether the public authentication key would verify these.
    """

    counts: Counter[Reason | Hint] = field(default_factory=Counter)
    securities: Counter[int] = field(default_factory=Counter)
    verified: int = 0
    opener: str | None = None
    sample: Frame | None = None
    retired: int = 0
    older: int = 0
    unproven: int = 0
    default_fits: bool = False
    _unreadable: int = 0  # in a row, with rising counters, up to the last frame
    _counter: int = 0

    def note_readable(self) -> None:
        """Take note that the key was right for a frame, be it damaged."""
        self._unreadable = 0

    def note_verified(self) -> None:
        """Take note of a frame that verified."""
        if not self.verified:
            self.older = self.newer
        self.verified += 1
        self.note_readable()

    def note_unreadable(self, counter: int) -> None:
        """Take note of a whole frame of which the key makes nothing at all."""
        self.counts[Hint.WRONG_ENCRYPTION_KEY] += 1
        self._unreadable = self._unreadable + 1 if counter > self._counter else 1
        self._counter = counter

    @property
    def newer(self) -> int:
        """Count the last frames, if they are under another key than those before."""
        return self._unreadable if self._unreadable >= _ANOTHER_KEY else 0

    @property
    def damaged(self) -> int:
        """Count those that failed and can only be damaged, because others verified."""
        if not self.verified:
            return 0
        failed = self.counts[Hint.WRONG_ENCRYPTION_KEY] + self.counts[Hint.WRONG_AUTHENTICATION_KEY]
        turned = self.securities.total() if self.has_damaged_security else 0
        return failed - self.older - self.newer + turned

    @property
    def has_damaged_security(self) -> bool:
        """Tell whether the other security bytes are damaged ones."""
        return self.securities.total() <= self.verified


class Damage:
    """Counts damaged telegrams by what happened to them.

    Attributes:
        bit_errors: of full length.
        lost_bytes: a little too short.
    """

    def __init__(self, window: Window) -> None:
        self.bit_errors = 0
        self.lost_bytes = 0
        self._window = window
        self._cuts: Counter[int] = Counter()  # by the size that was left
        self._texts: list[tuple[int, bool]] = []  # size, and whether it holds what is no text
        self._sizes: set[int] = set()  # of whole ones
        self._settled: int | None = None  # up to here everything is accounted for

    @property
    def count(self) -> int:
        """Count those that came to harm so far."""
        return self.bit_errors + self.lost_bytes + self._cuts.total() + len(self._texts)

    def take_whole(self, offset: int, size: int) -> None:
        """Take note of a telegram that is sound, and look at what lies before it."""
        self._sizes.add(size)
        self.pass_over(offset, size)

    def pass_over(self, offset: int, size: int) -> None:
        """Take note of a frame or text that somebody else counts, and look at what lies before it."""
        begin = self._settled
        self._settled = offset + size
        data = self._window.cut(begin or 0, offset)
        begun = [match.start() for match in BEGINNING.finditer(data)]
        if begun:
            for start, end in zip(begun, [*begun[1:], len(data)], strict=True):
                self._take_piece(data[start:end])
        elif begin is not None and self._sizes and len(data) >= _SHARE * min(self._sizes):
            # The end of a telegram whose beginning was damaged; the first of all just began too early.
            self._take_piece(data)

    def take_malformed(self, offset: int, size: int) -> None:
        """Take note of a header that is faulty, or a frame that is cut short."""
        header = read_header(self._window.cut(offset, offset + HEADER_MAX))
        if isinstance(header, Header) or header is None:
            self._take_piece(self._window.cut(offset, offset + size))
            self._settled = offset + size
        else:
            # The rest of it comes as noise, and is looked at together with it.
            self._settled = offset

    def take_end(self, offset: int, size: int) -> None:
        """Take note of a frame in whose midst a recording ends; that alone is no damage."""
        if not self._sizes:
            self.take_malformed(offset, size)

    def take_text(self, offset: int, size: int) -> None:
        """Take note of a plaintext telegram with a wrong CRC."""
        self._texts.append((size, not is_text(self._window.cut(offset, offset + size))))

    def take_frame_with_another_inside(self, offset: int, size: int, title: bytes) -> bool:
        """Say whether a frame that failed holds the beginning of the next: then it is too short."""
        data = self._window.cut(offset, offset + size + HEADER_MAX)
        at = data.find(FRAME_PREFIX + title, _HEADER_MIN)
        if not 0 <= at < size:
            return False
        self._take_short(at, size - at)
        self._settled = offset + at  # what begins inside of it is never reported, if it is false as well
        return True

    def take_rest(self, end: int) -> None:
        """Take note of the end of a recording; what is unfinished there counts if nothing is whole."""
        if not self._sizes and self._settled is not None:
            self.pass_over(end, 0)

    def _take_piece(self, data: bytes) -> None:
        """Look at what should have been one telegram."""
        header = read_header(data[:HEADER_MAX]) if data.startswith(FRAME_PREFIX) else None
        whole = max(self._sizes, default=0)
        if isinstance(header, Header):
            whole = header.size + header.length
        if len(data) in self._sizes or len(data) >= whole > 0:
            self.bit_errors += 1
        else:
            self._take_short(len(data), whole - len(data))

    def _take_short(self, left: int, missing: int) -> None:
        if 0 < missing <= _FEW:
            self.lost_bytes += 1
        else:
            self._cuts[left] += 1

    def findings(self, turned: int, whole: int) -> Iterator[tuple[int, Finding]]:
        """Give what was found, each with the number of telegrams that it is about.

        Args:
            turned: telegrams with bits turned over that somebody else has counted.
            whole: telegrams that are sound.
        """
        bit_errors, lost_bytes, unclear = self.bit_errors + turned, self.lost_bytes, 0
        for size, holds_other in self._texts:
            if size in self._sizes or holds_other:
                bit_errors += 1
            elif any(0 < full - size <= _FEW for full in self._sizes):
                lost_bytes += 1
            else:
                unclear += 1
        if count := bit_errors + lost_bytes + unclear:
            yield count, say.damaged(bit_errors, lost_bytes, unclear, whole)
        if count := self._cuts.total():
            same_size = next(iter(self._cuts)) if len(self._cuts) == 1 else None
            yield count, say.truncated(count, same_size, whole)
