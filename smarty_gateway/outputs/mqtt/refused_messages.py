"""Which message makes the broker hang up: found by elimination, put aside, tried again every hour.

A broker of MQTT 3.1.1 can refuse a message only by closing the connection, and the message, sent again, ends
the next one. Pure: topics, sizes and the time go in, verdicts come out.

    many in flight --hang-up--> one at a time --two with the same message--> suspect, kept back
    suspect --a connection lasts without it; then it alone--> accepted: acquitted; hang-up: put aside
    put aside --an hour later, alone--> accepted: forgotten; hang-up: another hour

The third try tells a refusal from restarts of the broker: two restarts may hit the same good message, but
hardly a third one in the moment of the trial.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

_BLAMED_FOR: Final = 5.0
_SETTLED_AFTER: Final = 30.0
_TRY_EVERY: Final = 3600.0
#: A topic that is put aside twice within this time gets half the size as its limit: else a meter that
#: sends one byte less each time would make the broker hang up a thousand times.
_AGAIN_WITHIN: Final = 3600.0
_SUSPECT_AFTER: Final = 2
_MOST_TOPICS: Final = 100
#: Hang-ups within a minute. Beyond, only what was taken since the search began is sent.
_MOST_HANG_UPS: Final = 20
_MINUTE: Final = 60.0
#: After an answer that may be different later. It goes on over a hang-up: Mosquitto 2.0 with
#: `max_queued_messages 0` lets one follow each message that it forbids.
_REST: Final = 30.0
#: A message that may end the connection waits for all others during this part of the settling time.
_OTHERS_FIRST_FOR: Final = 1 / 6
#: All others are served on a new connection before a message is tried that may end it.
_HEAD_START: Final = 1.0
#: Nothing new is sent beside what is in flight for this long, so that a message can be tried alone.
_WAIT_TO_BE_ALONE: Final = 1.0
_NEVER: Final = float("-inf")


class Verdict(Enum):
    """What to do with a message."""

    SEND = "send"
    WAIT = "wait"
    DROP = "drop"


class Sent(NamedTuple):
    """A message that is in flight."""

    topic: str
    size: int


class HangUp(NamedTuple):
    """The end of a connection for which one message is to blame.

    Attributes:
        message: was alone in flight.
        is_trial: it was sent to see whether this happens.
        is_put_aside: its topic is put aside from now on, or with a smaller size.
        takes_nothing: the connections before ended so too, and none accepted a message.
    """

    message: Sent
    is_trial: bool = False
    is_put_aside: bool = False
    takes_nothing: bool = False


@dataclass(slots=True)
class _PutAside:
    size: int
    since: float
    next_try: float


@dataclass(slots=True)
class _Suspect:
    size: int
    is_ready: bool = False  # to be tried alone: a connection has lasted without it


class RefusedMessages:
    """Decides what may be sent, and learns from how connections end.

    Args:
        rows: topics that an earlier run has put aside, with their sizes.
        changed: gets each topic that is put aside, with its size, or None when it is forgotten.
        is_named: true for topics of what the configuration names; they never wait because of others.
        settled_after: seconds after which a connection counts as a good one.
        try_every: seconds between two tries of a topic that is put aside.
        blamed_for: a hang-up this many seconds after the last message was sent has other reasons.

    Attributes:
        dropped: messages that were not sent because the broker refuses them.
    """

    def __init__(  # noqa: PLR0913 - what is known before, and how long to wait for what
        self,
        rows: Mapping[str, int],
        changed: Callable[[str, int | None], None],
        is_named: Callable[[str], bool] = lambda _: False,
        *,
        settled_after: float = _SETTLED_AFTER,
        try_every: float = _TRY_EVERY,
        blamed_for: float = _BLAMED_FOR,
    ) -> None:
        self._changed = changed
        self._is_named = is_named
        self._settled_after = settled_after
        self._try_every = try_every
        self._blamed_for = blamed_for
        self._aside: dict[str, _PutAside] = {}
        for topic, size in rows.items():
            if len(self._aside) < _MOST_TOPICS:
                self._aside[topic] = _PutAside(size, _NEVER, _NEVER)
        self._suspects: dict[str, _Suspect] = {}
        self._resting: dict[str, float] = {}
        self._too_large: dict[str, int] = {}
        self._replaced: set[str] = set()
        self._limit: int | None = None
        self.dropped = 0
        # The connection
        self._connected_at: float | None = None
        self._calm_since = 0.0
        self._last_sent = _NEVER
        self._in_flight: dict[int, Sent] = {}
        self._last_number = 0
        self._trial: int | None = None
        self._alone_until = _NEVER
        self._has_taken = False
        self._takes_nothing = False
        # The search
        self.is_searching = False
        self._hits: dict[str, int] = {}
        self._doubtful: set[str] = set()
        self._trusted: set[str] = set()
        self._hang_ups: deque[float] = deque(maxlen=_MOST_HANG_UPS)
        self._is_quick = False

    @property
    def topics(self) -> int:
        """The number of topics that are put aside, and whose message nothing replaces."""
        return len((self._aside.keys() | self._too_large.keys()) - self._replaced)

    def is_quick(self, now: float) -> bool:
        """True if the next connection should follow at once: a message is to blame, not the broker."""
        return self._is_quick and not self.is_exhausted(now)

    def is_exhausted(self, now: float) -> bool:
        """True if there were so many hang-ups that only what was taken since the search began is sent."""
        return len(self._hang_ups) == _MOST_HANG_UPS and now - self._hang_ups[0] < _MINUTE

    # What may be sent

    def has_room(self, now: float) -> bool:
        """True if another message may be sent beside those in flight."""
        is_one_at_a_time = self.is_searching or self._trial is not None or self.wants_to_be_alone(now)
        return not (is_one_at_a_time and self._in_flight)

    def wants_to_be_alone(self, now: float) -> bool:
        """True if a message waits until nothing else is in flight."""
        return now < self._alone_until

    def is_doubtful(self, topic: str) -> bool:
        """True if a message of this topic may be the one that is searched for."""
        return self.is_searching and topic in self._doubtful

    def puts_doubtful_first(self, now: float) -> bool:
        """True if all others have had time to go before: on a slow line there is no end of them."""
        return self._has_lasted(self._settled_after * _OTHERS_FIRST_FOR, now)

    def is_kept_back(self, topic: str, now: float) -> bool:
        """True if no message of a topic may be sent, whatever its size."""
        if self._resting.get(topic, _NEVER) > now:
            return True
        suspect = self._suspects.get(topic)
        if suspect is not None:
            return not suspect.is_ready or self.is_exhausted(now) or not self._has_lasted(_HEAD_START, now)
        is_doubtful = self.is_searching and topic not in self._trusted and not self._is_named(topic)
        return is_doubtful and self.is_exhausted(now)

    def verdict(self, topic: str, size: int, now: float) -> Verdict:
        """Return what to do with a message."""
        if self.is_too_large(size):
            return Verdict.DROP
        if self.is_kept_back(topic, now):
            return Verdict.WAIT
        if not self.is_trial(topic, size):
            return Verdict.SEND
        put_aside = self._aside.get(topic)
        if put_aside is not None and size >= put_aside.size:
            is_calm = self._has_lasted(self._settled_after, now) and not self.is_searching
            if not is_calm or self.is_exhausted(now) or now < put_aside.next_try:
                return Verdict.DROP
        if self._in_flight:
            self._alone_until = now + _WAIT_TO_BE_ALONE
            return Verdict.WAIT
        return Verdict.SEND

    def is_trial(self, topic: str, size: int) -> bool:
        """True if sending this message shows whether the broker still refuses it."""
        put_aside, suspect = self._aside.get(topic), self._suspects.get(topic)
        return (put_aside is not None and size >= put_aside.size) or (
            suspect is not None and suspect.is_ready and size >= suspect.size
        )

    def is_replaced(self, topic: str, size: int) -> bool:
        """True if the broker refuses this message; the caller then sends smaller ones on other topics."""
        put_aside = self._aside.get(topic)
        is_refused = self.is_too_large(size) or (put_aside is not None and size >= put_aside.size)
        (self._replaced.add if is_refused else self._replaced.discard)(topic)
        return is_refused

    def is_too_large(self, size: int) -> bool:
        """True if the broker accepts only smaller packets."""
        return self._limit is not None and size > self._limit

    def note_too_large(self, topic: str, size: int) -> bool:
        """True if this is the first packet of a topic that is too large."""
        if topic in self._too_large or len(self._too_large) >= _MOST_TOPICS:
            return False
        self._too_large[topic] = size
        return True

    def note_dropped(self) -> None:
        """Count a message that is not sent."""
        self.dropped += 1

    # What becomes of it

    def note_sent(self, sent: Sent, now: float) -> int:
        """Return the number under which the message is known until it is answered."""
        self._last_number += 1
        self._in_flight[self._last_number] = sent
        self._last_sent = now
        if self.is_searching and sent.topic in self._doubtful and sent.topic not in self._hits:
            self._calm_since = now  # on a slow line it takes long until each of them was sent
        if self.is_trial(*sent):
            self._trial = self._last_number
            if (put_aside := self._aside.get(sent.topic)) is not None:
                put_aside.next_try = now + self._try_every
        return self._last_number

    def note_taken(self, number: int) -> bool:
        """True if the topic of this message was put aside and is not any more."""
        sent = self._in_flight.pop(number, None)
        if sent is None:
            return False
        self._has_taken, self._takes_nothing = True, False
        if self.is_searching and sent.topic not in self._hits:
            self._trusted.add(sent.topic)
            self._doubtful.discard(sent.topic)
        if number != self._trial:
            return False
        self._trial = None
        self._acquit(sent.topic)
        put_aside = self._aside.get(sent.topic)
        if put_aside is None or sent.size < put_aside.size:
            return False
        del self._aside[sent.topic]
        self._changed(sent.topic, None)
        return True

    def note_refused(self, number: int, now: float, rest: float = _REST) -> None:
        """Keep the topic back for a while, as the broker refused a message with a reason that may pass."""
        sent = self._in_flight.pop(number, None)
        if sent is None:
            return
        if number == self._trial:
            self._trial = None
            self._acquit(sent.topic)  # of hang-ups
        self._resting = {topic: until for topic, until in self._resting.items() if until > now}
        self._resting[sent.topic] = now + rest

    def note_refused_for_good(self, number: int, now: float) -> bool:
        """Put a message aside that the broker refused with a reason; True if its topic was not yet."""
        sent = self._in_flight.pop(number, None)
        if sent is None:
            return False
        if number == self._trial:
            self._trial = None
        self._acquit(sent.topic)
        return self._put_aside(sent, now, by_hang_up=False)

    # Connections

    def note_connected(self, now: float, max_packet_size: int | None = None) -> None:
        """Start with a connection that the broker has accepted; it may limit the size of packets."""
        self._connected_at = self._calm_since = now
        self._last_sent = _NEVER
        self._has_taken = False
        self._limit = max_packet_size
        self._too_large = {t: size for t, size in self._too_large.items() if self.is_too_large(size)}

    def note_end(self, now: float, *, is_hang_up: bool) -> HangUp | None:
        """Return which message is to blame for the end of a connection, if it is a single one.

        Args:
            now: the time.
            is_hang_up: the broker has ended it and gave no reason but one that concerns a message.
        """
        in_flight, trial = list(self._in_flight.values()), self._in_flight.get(self._trial or 0)
        self._in_flight.clear()
        self._trial, self._alone_until = None, _NEVER
        if self._connected_at is None:
            self._doubtful.clear()  # the broker itself was away, so no message is likelier than another
        is_blamed = (
            self._connected_at is not None and is_hang_up and now - self._last_sent <= self._blamed_for
        )
        self._connected_at = None
        self._is_quick = False
        if not is_blamed:
            return None
        if trial is not None:
            self._note_hang_up(now)
            self._acquit(trial.topic)
            is_put_aside = self._put_aside(trial, now, by_hang_up=True)
            return HangUp(trial, is_trial=True, is_put_aside=is_put_aside)
        if not self.is_searching:
            self._note_hang_up(now)
            self._begin_search(in_flight)
            return None
        if not in_flight:  # whatever it was, no message
            self._acquit_all()
            return None
        self._note_hang_up(now)
        self._note_hit(in_flight[0])
        return HangUp(in_flight[0], takes_nothing=self._takes_nothing)

    def tick(self, now: float) -> None:
        """End the search when a connection has lasted; called often while there is one."""
        if not self.is_searching or self._connected_at is None:
            return
        if self.is_exhausted(now):
            self._calm_since = now  # not everything was allowed to go
        elif now - self._calm_since >= self._settled_after:
            self.is_searching = False
            if not self._has_taken:  # over which nothing was sent: that proves nothing
                self._takes_nothing = bool(self._suspects)
                self._acquit_all()
            for suspect in self._suspects.values():
                suspect.is_ready = True

    def _begin_search(self, in_flight: list[Sent]) -> None:
        self.is_searching = True
        self._hits.clear()
        self._trusted.clear()
        self._doubtful = {sent.topic for sent in in_flight} | self._suspects.keys()

    def _note_hit(self, sent: Sent) -> None:
        self._doubtful.add(sent.topic)
        self._trusted.discard(sent.topic)
        hits = self._hits[sent.topic] = self._hits.get(sent.topic, 0) + 1
        if hits >= _SUSPECT_AFTER:
            _make_room(self._suspects)
            self._suspects[sent.topic] = _Suspect(sent.size)

    def _acquit(self, topic: str) -> None:
        self._suspects.pop(topic, None)
        self._hits.pop(topic, None)

    def _acquit_all(self) -> None:
        self._suspects = {topic: suspect for topic, suspect in self._suspects.items() if suspect.is_ready}
        self._hits.clear()

    def _note_hang_up(self, now: float) -> None:
        self._hang_ups.append(now)
        self._is_quick = True

    def _has_lasted(self, seconds: float, now: float) -> bool:
        return self._connected_at is not None and now - self._connected_at >= seconds

    # The table

    def _put_aside(self, sent: Sent, now: float, *, by_hang_up: bool) -> bool:
        before, size = self._aside.pop(sent.topic, None), sent.size
        if before is not None and size >= before.size:
            size = before.size
        elif before is not None and by_hang_up and now - before.since < _AGAIN_WITHIN:
            size = max(1, size // 2)
        for oldest in _make_room(self._aside):
            self._changed(oldest, None)
        self._aside[sent.topic] = _PutAside(size, now, now + self._try_every)
        # An answer costs nothing, so a smaller size that comes with one is not worth a write to the disk.
        is_new = before is None or (by_hang_up and before.size != size)
        if is_new:
            self._changed(sent.topic, size)
        return is_new


def _make_room(table: dict[str, _PutAside] | dict[str, _Suspect]) -> list[str]:
    """Remove the oldest entries so that there is room for another, and return their topics."""
    oldest = list(table)[: max(0, len(table) + 1 - _MOST_TOPICS)]
    for topic in oldest:
        del table[topic]
    return oldest
