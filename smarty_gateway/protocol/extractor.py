"""The extractor: a byte stream becomes frames and plaintext telegrams; the rest is noise.

    DB 08 title length 30 counter ciphertext tag       a frame; its header states where it ends
    / a b c ... CR LF ! 1 2 3 4 CR LF                  a text; it ends with the first end line
    ^ start                                    ^ end

    ~~~~[=== verified ===)~~~~~~[==== false =====[=== candidate ==)~~~~~ ...
                         ^ settled, a frame is due ^ _at

Nothing in the stream can be trusted: `DB 08` and slashes occur inside ciphertext, and a damaged length may
point anywhere. So whatever looks like a beginning is a candidate, and `_judge` decides about it.

* There is one candidate at a time, in the order of the first bytes: the one at `_at`. Everything before is
  searched. The extractor waits until the candidate is complete, or a silence or the end of the input ends it.
* A verified candidate is consumed: the search goes on behind it. Of a false one only the first byte is
  consumed: the search goes on inside it. So nothing that lies inside a false candidate is lost.
* A false candidate is reported once the search has passed its end, for until then a verified one may
  overlap it. What was verified or reported is settled, and nothing that overlaps it is reported.
* Where a frame is due (`_is_due`: at the first byte of the input, right behind a frame or text that is
  settled, behind a silence) a faulty header is a candidate, too.

The events depend on the bytes alone, not on the chunks in which they came. Time is linear: the offsets
`_no_frame_before`, `_no_text_before` and `_no_line_before` remember how far was searched for what, and no
byte is searched for it twice. Of all the slashes before an end line one is a candidate (see
`telegram_start`), so a text is copied a fixed number of times. A frame is copied and judged once. As it may
state MAX_LENGTH bytes, and headers may follow each other every 7 bytes, a flood of false headers costs
up to MAX_LENGTH / 7 copies of each byte: the worst case. The buffer holds at most one candidate of MAX_LENGTH
bytes and a header, and the last chunk. tests/protocol/test_floods.py proves these bounds.
"""

from abc import abstractmethod
from typing import Final, Generic

from smarty_gateway.protocol import telegram_start
from smarty_gateway.protocol.byte_stream import ByteStream, E
from smarty_gateway.protocol.candidates import Candidate, Malformed, PlainText, V
from smarty_gateway.protocol.frame import (
    AUTHENTICATED_AND_ENCRYPTED,
    FRAME_PREFIX,
    HEADER_MAX,
    MAX_LENGTH,
    FaultyHeader,
    Frame,
    Header,
    cut_frame,
    read_header,
)
from smarty_gateway.protocol.telegram import END_LINE

#: At most this many false candidates wait for their report; they lie inside each other, as in no real stream.
_FALSE_MAX: Final = 64


class Extractor(ByteStream[E], Generic[V, E]):
    """Cuts frames and plaintext telegrams out of a byte stream; a subclass decides what they are."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0
        self._is_due = True
        self._no_frame_before = self._no_text_before = self._no_line_before = 0
        self._line = telegram_start.EndLine(-1, 0)  # the end line that was found last
        self._ending = telegram_start.Ending(self._line)  # the one that was read last
        self._false: list[tuple[Candidate, V]] = []  # not reported yet; all overlap the first
        self._settled = 0  # up to here everything is an event or noise
        self._noise = 0

    def receive_silence(self) -> None:
        """End what is open: nothing came for a while, or never will."""
        while self._advance(is_over=True):
            pass
        self._report_false(self._end)
        self._noise += self._end - self._settled
        self._base = self._at = self._settled = self._end
        self._buffer.clear()
        self._needed, self._ends_with_line, self._is_due = 0, False, True

    def complete_frame(self, held: bytes) -> int:
        """Take what the open frame lacks from bytes that may still change, if it verifies with them.

        Args:
            held: the bytes that follow those received; what is not taken must be received later.

        Returns:
            the number of bytes taken.
        """
        while len(self._buffer) >= self._needed and self._advance(is_over=False):
            pass
        missing = self._needed - len(self._buffer)
        if not 0 < missing <= len(held) or not self._buffer.startswith(FRAME_PREFIX):
            return 0
        data = bytes(self._buffer) + held[:missing]
        header = read_header(data[:HEADER_MAX])
        if not isinstance(header, Header) or header.size + header.length != len(data):
            return 0
        frame = cut_frame(self._base, data, header)
        verdict = self._judge(frame)
        if not verdict.verified:
            return 0  # judged once more when its own bytes come: only what verifies leaves a trace
        self._buffer += held[:missing]
        self._consume(frame, verdict)
        return missing

    @property
    def is_waiting(self) -> bool:
        """True if bytes are here that a silence would settle."""
        return bool(self._buffer)

    @property
    def noise_bytes(self) -> int:
        """The number of bytes that belong to no event, as far as that is known."""
        undecided = self._false[0][0].offset if self._false else self._at
        return self._noise + undecided - self._settled

    @abstractmethod
    def _judge(self, candidate: Candidate) -> V:
        """Decide about a candidate; each is judged once, in the order of their first bytes."""

    @abstractmethod
    def _event_of(self, verdict: V) -> E | None:
        """Return what becomes of a candidate that is verified or reported."""

    # The search: each step finds the next beginning and judges what begins there

    def _advance(self, *, is_over: bool) -> bool:
        """Make one step; False if more data is needed."""
        start = self._at
        here = self._copy(start, start + len(FRAME_PREFIX))
        has_frame = here == FRAME_PREFIX or (self._is_due and here[:1] == FRAME_PREFIX[:1])
        has_text = self._is_due and here[:1] == b"/"
        if not has_frame and not has_text:
            start, has_text = self._find_text()
            start, has_frame = self._find_frame(start)
        if self._false and self._false[0][0].end <= start:
            self._report_false(start)
            return True
        if start > self._at:
            self._at, self._is_due = start, False
        if has_frame:
            return self._take_frame(start, is_over=is_over)
        if has_text:
            return self._take_text(start, is_over=is_over)
        return self._wait(self._end + 1)

    def _find_text(self) -> tuple[int, bool]:
        """Return where the next text starts, or before which offset none does, and whether one does."""
        first = max(self._at, self._no_text_before)
        match = telegram_start.HEADER_LINE.search(self._buffer, first - self._base)
        if match is not None:
            found = match.start()
        else:  # whether a slash starts a text is known three bytes later
            found = self._buffer.find(b"/", max(first - self._base, len(self._buffer) - 3))
        self._no_text_before = self._base + found if found >= 0 else self._end
        return self._no_text_before, match is not None

    def _find_frame(self, limit: int) -> tuple[int, bool]:
        """Return the same for frames before a limit."""
        first = max(self._at, self._no_frame_before)
        found = self._buffer.find(FRAME_PREFIX, first - self._base, limit - self._base)
        if found >= 0:
            limit = self._base + found
        elif limit == self._end and self._buffer.endswith(FRAME_PREFIX[:1]):
            limit -= 1
        self._no_frame_before = max(first, limit)
        return limit, found >= 0

    def _wait(self, end: int, *, for_line: bool = False) -> bool:
        """Forget what is searched, and wait until there are bytes up to an offset."""
        del self._buffer[: self._at - self._base]
        self._base = self._at
        self._needed, self._ends_with_line = end - self._base, for_line
        return False

    def _take_frame(self, start: int, *, is_over: bool) -> bool:
        head = self._copy(start, start + HEADER_MAX)
        if len(head) < HEADER_MAX and not is_over:
            return self._wait(start + HEADER_MAX)
        header = read_header(head)
        if isinstance(header, Header):
            end = start + header.size + header.length
            if header.security == AUTHENTICATED_AND_ENCRYPTED or self._is_due:
                if end <= self._end:
                    return self._take(cut_frame(start, self._copy(start, end), header))
                if not is_over:
                    return self._wait(end)
            size = self._end - start
            message = f"frame cut short: {end - self._end} of {end - start} bytes are missing"
        elif isinstance(header, FaultyHeader):
            size, message = header.size, f"faulty frame header: {header.message}"
        else:
            size, message = self._end - start, "frame cut short within its header"
        return self._take(Malformed(start, size, message)) if self._is_due else self._skip()

    def _take_text(self, slash: int, *, is_over: bool) -> bool:
        """Judge the text that starts here, or find the slash behind that is to be judged."""
        line = self._find_end_line(slash, is_over=is_over)
        nearest_end = self._no_line_before + len(b"\n!\n") if line is None else line.end
        known_end = self._end if line is None else line.end
        head = self._copy(slash, min(slash + telegram_start.HEAD_SIZE, known_end))
        if slash < nearest_end - MAX_LENGTH:
            self._no_text_before = nearest_end - MAX_LENGTH
        elif telegram_start.is_ciphertext(head):
            self._no_text_before = slash + 1
        elif line is not None:
            if self._ending.line != line:
                self._ending = telegram_start.read_ending(slash, self._copy(slash, line.end), line)
            start = self._ending.start_from(slash, is_due=self._is_due)
            self._no_text_before = line.start + 1 if start in (slash, None) else start
            if start == slash:
                text = self._copy(slash, line.end)
                return self._take(PlainText(slash, len(text), text, self._ending.checksum_from(slash)))
        elif is_over:
            self._no_text_before = self._end
        elif self._no_line_before < self._end - 1:  # an end line has begun
            return self._wait(self._end + 1)
        else:
            is_head = len(head) < telegram_start.HEAD_SIZE
            return self._wait(slash + (telegram_start.HEAD_SIZE if is_head else MAX_LENGTH), for_line=True)
        self._is_due = False  # a slash that starts nothing is no frame either
        return True

    def _find_end_line(self, slash: int, *, is_over: bool) -> telegram_start.EndLine | None:
        """Return the first end line behind a slash, None if it has not come as a whole."""
        if self._line.start > slash:
            return self._line
        at = self._buffer.find(b"\n!", max(slash, self._no_line_before) - self._base)
        while at >= 0:
            self._no_line_before = self._base + at
            match = END_LINE.match(self._buffer, at)
            if match is not None:
                if not is_over and not match[0].endswith(b"\n"):
                    return None
                self._line = telegram_start.EndLine(self._base + at, self._base + match.end())
                return self._line
            at = self._buffer.find(b"\n!", at + 1)
        self._no_line_before = self._end - 1
        return None

    # What becomes of a candidate

    def _copy(self, start: int, end: int) -> bytes:
        return bytes(memoryview(self._buffer)[start - self._base : end - self._base])

    def _take(self, candidate: Candidate) -> bool:
        """Judge a candidate, then consume it or go on behind its first byte."""
        verdict = self._judge(candidate)
        if verdict.verified:
            self._consume(candidate, verdict)
            return True
        if self._false and isinstance(candidate, Frame):
            # No text holds a frame, so what looks like a text around one is reported only without it.
            last = self._false[-1][0]
            if isinstance(last, PlainText) and candidate.end <= last.end:
                self._false.pop()
        # What starts in a false one and ends behind it is never reported: either that one is, or the
        # verified one that overlaps it overlaps this one, too.
        if len(self._false) < _FALSE_MAX and not any(
            candidate.offset < other.end <= candidate.end for other, _ in self._false
        ):
            self._false.append((candidate, verdict))
        return self._skip()

    def _consume(self, candidate: Candidate, verdict: V) -> None:
        """Settle a verified candidate, and what lies before it."""
        self._report_false(candidate.offset)
        self._settle(candidate, verdict)

    def _skip(self) -> bool:
        self._at += 1
        self._is_due = False
        return True

    def _report_false(self, limit: int) -> None:
        """Report the false candidates that end before a limit, except where they overlap; drop the others."""
        for candidate, verdict in self._false:
            if self._settled <= candidate.offset and candidate.end <= limit:
                self._settle(candidate, verdict)
        self._false.clear()

    def _settle(self, candidate: Candidate, verdict: V) -> None:
        self._noise += candidate.offset - self._settled
        self._at = self._settled = candidate.end
        self._is_due = not isinstance(candidate, Malformed)
        self._needed = 0
        if (event := self._event_of(verdict)) is not None:
            self._events.append(event)
