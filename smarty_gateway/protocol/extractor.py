"""The extractor: a byte stream becomes frames and plaintext telegrams; the rest is noise.

Strategy: nothing in the stream can be trusted, `DB 08` occurs inside ciphertext and a damaged length
points anywhere. So whatever looks like a beginning is a candidate, several may be open at once and
overlap, and they are judged in the order in which they become *complete*, just as the bytes come in.
The first that proves genuine is consumed whole and ends all that overlap it. A false one has cost
nothing: the search never stopped inside it, and no byte is searched twice. Therefore a good frame
inside or right behind a bad one is found, a false header holds up no good frame, and the events do
not depend on how the bytes were cut into chunks.

What is false is reported only when no genuine frame can overlap it any more, in the order of offsets,
and never twice for the same bytes; see "What is accepted, what is rejected, what is noise" in
contract.md.
"""

import re
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Final, Generic

from smarty_gateway.protocol.candidates import (
    Candidate,
    FalseCandidate,
    Malformed,
    OpenFrame,
    PlainText,
    V,
    start_of,
)
from smarty_gateway.protocol.frame import (
    AUTHENTICATED_AND_ENCRYPTED,
    FRAME_PREFIX,
    HEADER_MAX,
    MAX_LENGTH,
    FaultyHeader,
    Header,
    cut_frame,
    read_header,
)
from smarty_gateway.protocol.telegram import (
    END_LINE,
    END_LINE_AT_END,
    END_LINE_BEGUN,
    END_LINE_MAX,
    EVEN_BYTES,
    OBJECT_LINE,
    SLASH_WITH_PARITY,
    TEXT_BYTES,
    Checksum,
    checksum_of,
    crc_is_due,
    last_other,
    text_from,
)
from smarty_gateway.protocol.telegram_start import first_right_start, last_header_start, possible_starts

#: About 10 s lie between Luxembourg frames and a frame lasts 0.1 s, so what is open then is false.
SILENCE: Final = 2.0
#: A slash and the three characters of the maker's identification (IEC 62056-21).
_HEADER_LINES: Final = {
    b"/": re.compile(rb"/(?=[!-.0-~][!-~]{2})"),
    SLASH_WITH_PARITY: re.compile(
        SLASH_WITH_PARITY
        + rb"(?=[%b]{3})" % re.escape(bytes(byte for byte in EVEN_BYTES if 0x20 < byte & 0x7F < 0x7F))
    ),
}
_SLASHES: Final = b"".join(_HEADER_LINES)
_HEADER_LINE_MAX: Final = 128
#: How much is searched at a time, so that a large chunk needs no more memory than many small ones.
_STEP: Final = 65536
_TRIM: Final = 4096
#: Chunks of this size are looked at as they come; smaller ones when so much has come.
_LARGE: Final = 64
_STRIDE: Final = 256
#: Where a frame is open that will most likely be genuine, only what a false one holds would come late.
_STRIDE_IN_FRAME: Final = 1024
#: Whether a number is in `bytes` is found out ten times as fast as whether `bytes` are in them.
_LF: Final = 0x0A


class Extractor(Generic[V]):
    """Cuts frames and plaintext telegrams out of a byte stream.

    Args:
        judge: says of each complete candidate whether it is genuine. It is asked in the order in
            which candidates become complete, also about those that are never reported.

    Attributes:
        last_data: when bytes last arrived, as `receive_data` was told.
    """

    def __init__(self, judge: Callable[[Candidate], V]) -> None:
        self._judge = judge
        self._ready: deque[tuple[Candidate, V]] = deque()
        self.last_data: float | None = None
        # All positions are offsets from the start of the input; the buffer begins at `_base`.
        self._buffer = bytearray()
        self._base = 0
        self._searched = 0  # beginnings have been looked for up to here
        self._searched_lines = 0  # end lines likewise
        self._open: list[OpenFrame] = []  # a heap by end
        self._starts: list[tuple[int, OpenFrame]] = []  # the same as a heap by start
        self._slashes: list[int] = []  # beginnings of telegrams, in order
        self._texts: list[int] = []  # those of them behind which nothing but text has come
        self._false: list[FalseCandidate[V]] = []  # by start
        self._false_end = 0  # no false one that can be reported anywhere ends behind this
        self._header_read: tuple[int, Header | FaultyHeader] | None = None  # the last one, and where
        self._wake = 0  # as long as the buffer holds less, nothing can be complete
        self._due: list[int] = [0]  # where a faulty header would count, not looked at yet
        self._due_at = 0  # the last place where a frame was due for certain
        self._settled = 0  # up to here everything is an event or noise
        self._noise = 0

    # What callers use

    def receive_data(self, data: bytes, now: float | None = None) -> bool:
        """Store bytes that arrived.

        Args:
            data: any number of them; none, with a time, lets a silence take effect.
            now: seconds of any clock that does not run backwards; None where there is no clock.

        Returns:
            False if it is certain that there is no event yet.
        """
        if now is not None:
            if self.last_data is not None and now - self.last_data >= SILENCE:
                self.receive_silence()
                self.last_data = now if data else None
            elif data:
                self.last_data = now
        buffer = self._buffer
        buffer += data
        if len(data) >= _LARGE or (_LF in data and buffer.find(b"\n!", -len(data) - END_LINE_MAX) >= 0):
            self._wake = 0
        return len(buffer) >= self._wake

    def receive_silence(self) -> None:
        """Take note that nothing came for a while, or never will: what is still open is false."""
        while self._advance():
            pass
        self._end_all()

    def next_event(self) -> tuple[Candidate, V] | None:
        """Give the next candidate that is genuine or to be reported, None if more data is needed."""
        if len(self._buffer) < self._wake:
            return None
        while not self._ready:
            if not self._advance() and not self._ready:
                self._trim()
                self._wake = self._next_wake()
                return None
        return self._ready.popleft()

    @property
    def is_waiting(self) -> bool:
        """Tell whether bytes are here that a silence would settle."""
        return bool(self._buffer)

    @property
    def noise_bytes(self) -> int:
        """Count the bytes that belong to no event, as far as that is known."""
        undecided = min([self._horizon(), *(false.start for false in self._false[:1])])
        return self._noise + max(0, undecided - self._settled)

    # One step: find what ends next, and judge it

    def _advance(self) -> bool:
        """Search on, and judge the candidate that is complete first; False if more data is needed."""
        self._look_where_due()
        if self._judge_frame_here():
            return True
        end_line = self._next_end_line()
        known = self._end if end_line is None else self._base + end_line.end()
        while self._open and self._open[0].closed:
            heappop(self._open)
        limit = self._searched
        if not self._open or self._open[0].end > limit:
            # Not beyond the frame that ends next: if it is genuine, the usual way goes on behind it.
            limit = min([known, limit + _STEP, *(frame.end for frame in self._open[:1])])
            self._search(limit)
            if self._false:
                # What has become clear must be said before the next is judged, or chunks would matter.
                self._report_false(self._horizon())
        if self._open and self._open[0].end <= limit:
            self._judge_frame(heappop(self._open))
            return True
        if limit < known:
            return True
        if end_line is not None:
            self._judge_telegram(end_line)
            return True
        return False

    @property
    def _end(self) -> int:
        return self._base + len(self._buffer)

    def _judge_frame_here(self) -> bool:
        """Judge a frame that is here as a whole without looking inside it, or inside the rest of it.

        It is the usual case, and comes to the same: if it is genuine, nothing inside is; if it is
        false, the search goes on inside. Only where nothing before it is open or was left unsearched.
        """
        while self._starts and self._starts[0][1].closed:
            heappop(self._starts)
        start = self._starts[0][0] if self._starts else self._searched
        if start > self._searched or (self._slashes and self._slashes[0] < start):
            return False
        if self._starts:
            frame = self._starts[0][1]
        elif self._buffer.startswith(FRAME_PREFIX, start - self._base):
            header = self._header(start)
            if not isinstance(header, Header) or header.security != AUTHENTICATED_AND_ENCRYPTED:
                return False
            frame = OpenFrame(start, start + header.size + header.length, header)
        else:
            return False
        if frame.end > self._base + len(self._buffer):
            return False
        if start < self._searched and self._has_end_line(frame.end):
            return False  # what was begun in the part that is searched may end first
        self._searched = max(self._searched, start + 1)
        self._judge_frame(frame)
        return True

    def _has_end_line(self, before: int) -> bool:
        return self._buffer.find(b"\n!", self._searched_lines - self._base, before - self._base) >= 0

    def _judge_frame(self, frame: OpenFrame) -> None:
        frame.closed = True
        data = bytes(self._buffer[frame.start - self._base : frame.end - self._base])
        candidate = cut_frame(frame.start, data, frame.header)
        self._take(candidate, only_if_due=candidate.security != AUTHENTICATED_AND_ENCRYPTED)

    def _judge_telegram(self, end_line: re.Match[bytes]) -> None:
        """Judge what ends with this line; the text may have begun at any of the slashes before it."""
        end = self._base + end_line.end()
        bang = self._base + end_line.start() + 2
        begun = self._slashes[: bisect_left(self._slashes, bang)]
        del self._slashes[: len(begun)]
        del self._texts[: bisect_left(self._texts, bang)]
        self._searched_lines = end - 1
        if not begun:
            return
        first, body_size = begun[0], bang - begun[0]
        text = bytes(self._buffer[first - self._base : end - self._base])
        if text[0] == ord("/") and checksum_of(text, body_size) is Checksum.RIGHT:
            self._take(PlainText(first, len(text), text, Checksum.RIGHT), only_if_due=False)
        else:
            self._judge_doubtful(first, text, [start - first for start in begun], body_size)

    def _judge_doubtful(self, first: int, text: bytes, starts: Sequence[int], body_size: int) -> None:
        """Judge a text that is no telegram with a right CRC from its first slash on."""
        starts = possible_starts(text, starts)
        if not starts:
            return
        start = first_right_start(text, starts, body_size)
        if start is None:
            # None proves itself. The one to report has a header line, then an object; where there is
            # no such one the header may be damaged, and without objects it may be noise.
            start = last_header_start(text, starts)
        chosen = text_from(text, starts[0] if start is None else start)
        checksum = checksum_of(chosen, len(chosen) - len(text) + body_size)
        only_if_due = start is None and (
            OBJECT_LINE.search(chosen) is None or (checksum is Checksum.MISSING and not crc_is_due(chosen))
        )
        if not (only_if_due and checksum is Checksum.MISSING):
            offset = first + len(text) - len(chosen)
            self._take(PlainText(offset, len(chosen), chosen, checksum), only_if_due=only_if_due)

    def _take(self, candidate: Candidate, *, only_if_due: bool) -> None:
        """Ask the judge; consume what is genuine, and keep what is false until its turn comes."""
        verdict = self._judge(candidate)
        start, end = candidate.offset, candidate.offset + candidate.size
        if verdict.verified:
            self._consume(candidate, verdict)
        elif start >= self._settled:
            # What begins inside another false one and ends behind it can never be reported: either
            # that one is, or the genuine frame that overlaps it overlaps this one as well.
            if start < self._false_end:
                before = self._false[: bisect_left(self._false, start, key=start_of)]
                if any(start < other.end <= end and not other.only_if_due for other in before):
                    return
            if not only_if_due:
                self._false_end = max(self._false_end, end)
            insort(self._false, FalseCandidate(candidate, verdict, only_if_due), key=start_of)
            self._due.append(end)
            self._report_false(self._horizon())

    def _consume(self, candidate: Candidate, verdict: V) -> None:
        """Make an event of a genuine candidate. With it, all is clear about what lies before."""
        start, end = candidate.offset, candidate.offset + candidate.size
        if self._false:
            self._false = [false for false in self._false if false.end <= start]
            self._report_false(start)
        self._settle(candidate, verdict)
        while self._starts and self._starts[0][0] < end:
            heappop(self._starts)[1].closed = True
        self._searched = max(self._searched, end)
        if self._slashes:
            # One that is not searched yet was found only because something was due there, and no more is.
            self._slashes = [slash for slash in self._slashes if end <= slash < self._searched]
            self._texts = [slash for slash in self._texts if end <= slash < self._searched]
        self._searched_lines = max(self._searched_lines, end)
        self._due = [end]

    # Looking for beginnings and ends

    def _header(self, start: int) -> Header | FaultyHeader | None:
        if self._header_read is not None and self._header_read[0] == start:
            return self._header_read[1]  # asked for where a frame is due, then where one may begin
        header = read_header(self._buffer[start - self._base : start - self._base + HEADER_MAX])
        if header is not None:
            self._header_read = start, header
        return header

    def _search(self, limit: int) -> None:
        """Find the beginnings of frames and telegrams up to an offset."""
        first = self._searched
        if first >= limit:
            return
        buffer, base = self._buffer, self._base
        stop = limit
        at = buffer.find(FRAME_PREFIX, first - base, limit + 1 - base)
        while at >= 0:
            header = self._header(base + at)
            if header is None:
                stop = min(stop, base + at)
                break
            if isinstance(header, Header) and header.security == AUTHENTICATED_AND_ENCRYPTED:
                self._add_open(base + at, header)
            at = buffer.find(FRAME_PREFIX, at + 1, limit + 1 - base)
        if buffer[-1:] == FRAME_PREFIX[:1]:
            stop = min(stop, self._end - 1)
        stop = self._search_slashes(first, stop)
        self._searched = stop
        self._forget_texts(first, stop)

    def _search_slashes(self, first: int, stop: int) -> int:
        """Find the beginnings of telegrams; give up to where that is certain."""
        buffer, base = self._buffer, self._base
        # Whether a slash begins a telegram is known three bytes later.
        known = len(buffer) - 3
        found: list[int] = []
        for slash, header_line in _HEADER_LINES.items():
            for match in header_line.finditer(buffer, first - base, stop - base + 3):
                found.append(base + match.start())  # noqa: PERF401 - in most searches nothing is found
            undecided = buffer.find(slash, max(first - base, known), stop - base)
            if undecided >= 0:
                stop = base + undecided
        if found:
            self._add_slashes(sorted(found))
        return stop

    def _add_open(self, start: int, header: Header) -> None:
        frame = OpenFrame(start, start + header.size + header.length, header)
        heappush(self._open, frame)
        heappush(self._starts, (start, frame))

    def _add_slashes(self, found: list[int]) -> None:
        """Store beginnings of telegrams; they come in order, and some may be known."""
        in_order = not self._slashes or self._slashes[-1] < found[0]
        if not in_order:  # something was due behind, or the search was not certain here
            found = sorted(set(found).difference(self._slashes[bisect_left(self._slashes, found[0]) :]))
        self._slashes += found
        self._texts += found
        if not in_order:
            self._slashes.sort()
            self._texts.sort()

    def _look_where_due(self) -> None:
        """Where a frame is due, a faulty header counts, and so does a slash before anything."""
        if not self._due:
            return
        waiting: list[int] = []
        for at in self._due:
            if at - self._base >= len(self._buffer):
                waiting.append(at)
                continue
            first = self._buffer[at - self._base]
            if first in _SLASHES:
                self._add_slashes([at])
            elif first == FRAME_PREFIX[0]:
                header = self._header(at)
                if header is None:
                    waiting.append(at)
                elif isinstance(header, FaultyHeader):
                    self._add_malformed(at, header.size, f"faulty frame header: {header.words}")
                elif header.security != AUTHENTICATED_AND_ENCRYPTED:
                    self._add_open(at, header)
        self._due = waiting

    def _add_malformed(self, start: int, size: int, words: str) -> None:
        false: FalseCandidate[V] = FalseCandidate(Malformed(start, size, words), None, only_if_due=True)
        insort(self._false, false, key=start_of)

    def _forget_texts(self, first: int, limit: int) -> None:
        """Give up beginnings of telegrams that are too old, or behind which something else came."""
        if self._slashes and self._slashes[0] < limit - MAX_LENGTH:
            del self._slashes[: bisect_left(self._slashes, limit - MAX_LENGTH)]
        if not self._texts:
            return
        new = self._buffer[first - self._base : limit - self._base]
        last_others: dict[int, int] = {}
        line_end = -1
        given_up = 0
        while given_up < len(self._texts):
            start = self._texts[given_up]
            if line_end < start:
                at = self._buffer.find(b"\n", start - self._base, limit - self._base)
                line_end = limit if at < 0 else self._base + at
                if line_end - start >= _HEADER_LINE_MAX:
                    # All slashes before too long a header line go at once: no byte is searched for each.
                    given_up = bisect_right(self._texts, line_end - _HEADER_LINE_MAX, given_up)
                if at < 0:
                    break
                continue
            slash = self._buffer[start - self._base]
            if slash not in last_others:
                alphabet = TEXT_BYTES if slash == ord("/") else EVEN_BYTES
                other = last_other(new, alphabet)
                last_others[slash] = first + other if other >= 0 else -1
            if line_end > last_others[slash] and limit - start <= MAX_LENGTH:
                break
            given_up += 1
        del self._texts[:given_up]

    def _next_end_line(self) -> re.Match[bytes] | None:
        """Find the next line that ends a telegram."""
        buffer = self._buffer
        at = buffer.find(b"\n!", self._searched_lines - self._base)
        while at >= 0:
            match = END_LINE.match(buffer, at)
            if match is not None:
                self._searched_lines = self._base + at
                return match
            if END_LINE_BEGUN.match(buffer, at):
                self._searched_lines = self._base + at
                return None
            at = buffer.find(b"\n!", at + 1)
        self._searched_lines = max(self._searched_lines, self._end - 1)
        return None

    # What becomes of the false ones

    def _horizon(self) -> int:
        """Give the offset before which nothing can prove genuine any more."""
        while self._starts and self._starts[0][1].closed:
            heappop(self._starts)
        horizon = min([self._searched, *self._due, *self._texts[:1]])
        return min(horizon, self._starts[0][0]) if self._starts else horizon

    def _report_false(self, horizon: int) -> None:
        """Report those that end before the horizon, except where they overlap what was settled."""
        while self._false and self._false[0].end <= horizon:
            false = self._false.pop(0)
            if false.start < self._settled or (false.only_if_due and false.start != self._due_at):
                continue
            verdict = self._judge(false.candidate) if false.verdict is None else false.verdict
            self._settle(false.candidate, verdict)

    def _settle(self, candidate: Candidate, verdict: V) -> None:
        self._noise += max(0, candidate.offset - self._settled)
        self._settled = candidate.offset + candidate.size
        if not isinstance(candidate, Malformed):
            self._due_at = self._settled
        self._ready.append((candidate, verdict))

    def _end_all(self) -> None:
        """Close everything: nothing can prove genuine any more."""
        end_line = END_LINE_AT_END.search(self._buffer, max(0, self._searched_lines - self._base))
        if end_line is not None:
            self._judge_telegram(end_line)
        for frame in self._open:
            if not frame.closed:
                missing = frame.end - self._end
                self._add_malformed(
                    frame.start,
                    self._end - frame.start,
                    f"frame cut short: {missing} of {frame.end - frame.start} bytes are missing",
                )
        self._look_where_due()
        for at in self._due:
            if at < self._end:
                self._add_malformed(at, self._end - at, "frame cut short within its header")
        self._report_false(self._end)
        self._noise += self._end - self._settled
        self._base = self._searched = self._searched_lines = self._settled = self._due_at = self._end
        self._wake = 0
        self._buffer.clear()
        self._open.clear()
        self._starts.clear()
        self._slashes.clear()
        self._texts.clear()
        self._due = [self._base]

    def _next_wake(self) -> int:
        """Give the size up to which the buffer may grow before it is worth to look at it.

        A telegram is complete with its last line, for which `receive_data` looks; a frame where its
        header says. What else comes in small chunks may come out a stride late, or with the silence:
        faulty headers, frames of less than 256 bytes, which no meter sends, and where a false frame is
        open those of less than 1024.
        """
        size = len(self._buffer)
        if self._open:
            return min(size + _STRIDE_IN_FRAME, self._open[0].end - self._base)
        return size + _STRIDE

    def _trim(self) -> None:
        """Forget bytes that can be part of nothing any more."""
        keep = min(self._horizon(), self._searched_lines, *self._slashes[:1])
        if keep - self._base >= _TRIM or keep == self._end:
            del self._buffer[: keep - self._base]
            self._base = keep
