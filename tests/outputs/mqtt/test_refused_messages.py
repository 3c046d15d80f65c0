"""Which message a broker hangs up on is found, whatever else happens: no broker here, and no waiting."""

from collections.abc import Callable, Collection
from collections.abc import Set as AbstractSet
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.outputs.mqtt.refused_messages import RefusedMessages, Sent, Verdict

HOUR = 3600.0
GOOD = ("house/state", "barn/state", "shed/state")
BAD = ("evil/state", "evil/telegram", "worse/state")


class Table(dict[str, int]):
    """What a store would hold."""

    def note(self, topic: str, size: int | None) -> None:
        """Note a change."""
        if size is None:
            del self[topic]
        else:
            self[topic] = size


class World:
    """A broker that hangs up on some messages and restarts now and then, and a gateway that sends to it.

    Every topic has a new message each second, and all are sent again on a new connection, as the MQTT
    output does it.

    Args:
        sizes: gives the size of the newest message of each topic at a time.
        refuses: tells on which messages the broker hangs up.
        restarts: the broker restarts when it gets these messages, by their number since the beginning.
    """

    def __init__(
        self,
        sizes: dict[str, Callable[[float], int]],
        refuses: Callable[[str, int], bool],
        restarts: AbstractSet[int] = frozenset(),
    ) -> None:
        self._sizes, self.refuses, self._restarts = sizes, refuses, restarts
        self.table = Table()
        self.refused = RefusedMessages({}, self.table.note)
        self.now = 0.0
        self.hang_ups: list[float] = []
        self.put_aside: list[str] = []
        self.taken: dict[str, list[float]] = {topic: [] for topic in sizes}
        self._numbers = count()
        self._waiting: dict[str, None] = {}
        self._held: set[str] = set()
        self._connect()

    def run(self, seconds: float) -> None:
        """Advance the clock."""
        until = self.now + seconds
        while self.now < until:
            self._waiting |= dict.fromkeys(self._sizes)
            if not self._send_all():
                continue
            if self.refused.wants_to_be_alone(self.now):
                self._waiting |= dict.fromkeys(self._held)  # nothing else is on its way now
                if not self._send_all():
                    continue
            self._held.clear()
            self.now += 1.0

    def _connect(self) -> None:
        self.refused.note_connected(self.now)
        self._waiting = dict.fromkeys(self._sizes)

    def _send_all(self) -> bool:
        """Send what waits; False if the connection ended."""
        self.refused.tick(self.now)
        on_way: dict[int, Sent] = {}
        while self.refused.has_room(self.now) and (sent := self._next()) is not None:
            on_way[self.refused.note_sent(sent, self.now)] = sent
            if not self.refused.has_room(self.now) and not self._answer(on_way):
                return False
        return self._answer(on_way)

    def _next(self) -> Sent | None:
        is_first = self.refused.puts_doubtful_first(self.now)
        for topic in sorted(self._waiting, key=lambda topic: self.refused.is_doubtful(topic) is not is_first):
            del self._waiting[topic]
            sent = Sent(topic, self._sizes[topic](self.now))
            verdict = self.refused.verdict(*sent, self.now)
            if verdict is Verdict.SEND:
                return sent
            if verdict is Verdict.WAIT:
                self._held.add(topic)
        return None

    def _answer(self, on_way: dict[int, Sent]) -> bool:
        for number, sent in list(on_way.items()):
            is_restart = self.is_restart(sent)
            if is_restart or self.refuses(*sent):
                self.hang_up(is_restart=is_restart)
                return False
            del on_way[number]
            self.refused.note_taken(number)
            self.taken[sent.topic].append(self.now)
        return True

    def is_restart(self, _sent: Sent) -> bool:
        """True if the broker restarts instead of an answer."""
        return next(self._numbers) in self._restarts

    def hang_up(self, *, is_restart: bool) -> None:
        """End the connection, and open the next."""
        self.hang_ups.append(self.now)
        blamed = self.refused.note_end(self.now, is_hang_up=True)
        if blamed is not None and blamed.is_put_aside:
            self.put_aside.append(blamed.message.topic)
        self.now += 0.25 if self.refused.is_quick(self.now) and not is_restart else 1.0
        self._connect()

    def worst_delay(self, topic: str) -> float:
        """Return the longest time without a message of a topic."""
        times = self.taken[topic]
        return max(b - a for a, b in pairwise(times))


class UnluckyWorld(World):
    """Whose broker restarts only when a certain good message is alone on its way."""

    def is_restart(self, sent: Sent) -> bool:
        """True if the broker restarts instead of an answer."""
        is_alone = self.refused.is_searching or self.refused.is_trial(*sent)
        return sent.topic == GOOD[0] and is_alone and super().is_restart(sent)


def always(size: int) -> Callable[[float], int]:
    return lambda _now: size


def world_of(*topics: str, bad: Collection[str] = (), restarts: AbstractSet[int] = frozenset()) -> World:
    return World({topic: always(1000) for topic in topics}, lambda topic, _: topic in bad, restarts)


# Finding it


@pytest.mark.parametrize("bad", [BAD[:1], BAD[:2], BAD])
def test_what_the_broker_hangs_up_on_is_put_aside_and_nothing_else(bad: tuple[str, ...]) -> None:
    world = world_of(*GOOD, *bad, bad=bad)
    world.run(120)
    assert set(world.table) == set(world.put_aside) == set(bad)
    assert len(world.hang_ups) <= 2 + 3 * len(bad)
    before = len(world.hang_ups)
    world.run(3000)
    assert len(world.hang_ups) == before


def test_meanwhile_no_good_message_is_late() -> None:
    bad = tuple(f"evil{number}/state" for number in range(15))
    world = world_of(*bad, *GOOD, bad=bad)
    world.run(600)
    assert set(world.table) == set(bad)
    assert max(world.worst_delay(topic) for topic in GOOD) <= 2.0


@settings(max_examples=300, deadline=None)
@given(
    restarts=st.sets(st.integers(0, 400), max_size=2),
    pauses=st.lists(st.integers(0, 40), max_size=2),
    bad=st.sets(st.sampled_from(BAD)),
)
def test_two_restarts_of_the_broker_never_discard_a_good_message(
    restarts: set[int], pauses: list[int], bad: set[str]
) -> None:
    world = world_of(*GOOD, *BAD, bad=bad, restarts=restarts)
    for pause in pauses:
        world.run(pause)
        world.hang_up(is_restart=True)  # with nothing on its way
    world.run(200)
    assert set(world.table) == bad
    assert all(world.now - world.taken[topic][-1] <= 2 for topic in {*GOOD, *BAD} - bad)


@pytest.mark.parametrize("bad", [BAD[:1], BAD[:2]])
@pytest.mark.parametrize("restarts", [{a, b} for a in range(12) for b in range(a + 1, 12)])
def test_two_restarts_at_the_worst_moments_do_not_either(restarts: set[int], bad: tuple[str, ...]) -> None:
    topics = {topic: always(1000) for topic in (*GOOD, *bad)}
    world = UnluckyWorld(topics, lambda topic, _: topic in bad, restarts)
    world.run(200)
    assert set(world.table) == set(bad)
    assert GOOD[0] not in world.put_aside


def test_a_good_message_that_was_suspected_by_accident_is_taken_again() -> None:
    world = world_of(*GOOD)
    world.run(10)
    for _ in range(3):  # one hang-up with many on their way, and two with this one alone
        world.refused.note_sent(Sent("house/state", 1000), world.now)
        world.hang_up(is_restart=True)
    assert world.refused.verdict("house/state", 1000, world.now) is Verdict.WAIT
    world.run(60)
    assert not world.table
    assert not world.refused.is_searching
    assert world.now - world.taken["house/state"][-1] <= 2


def test_a_hang_up_without_a_message_on_its_way_acquits_who_was_suspected() -> None:
    world = world_of(*GOOD)
    for _ in range(3):
        world.refused.note_sent(Sent("house/state", 1000), world.now)
        world.hang_up(is_restart=True)
    world.refused.note_taken(world.refused.note_sent(Sent("barn/state", 1000), world.now))
    assert world.refused.verdict("house/state", 1000, world.now) is Verdict.WAIT
    world.hang_up(is_restart=True)
    assert world.refused.verdict("house/state", 1000, world.now) is Verdict.SEND


def test_hang_ups_without_a_message_on_its_way_find_nobody_guilty() -> None:
    world = world_of(*GOOD)
    for _ in range(20):
        world.run(2)
        world.hang_up(is_restart=True)
        assert not world.refused.is_quick(world.now) or len(world.hang_ups) == 1
    world.run(60)
    assert not world.table


def test_a_broker_that_takes_nothing_at_all_is_asked_again_and_served_soon_after_it_is_set_right() -> None:
    world = world_of(*GOOD, bad=GOOD)
    world.run(600)
    assert not world.table
    assert len(world.hang_ups) <= 20 * 10
    world.refuses = lambda *_: False
    world.run(120)
    assert all(world.now - world.taken[topic][-1] <= 2 for topic in GOOD)


def test_a_hang_up_long_after_the_last_message_begins_no_search() -> None:
    refused = RefusedMessages({}, Table().note)
    refused.note_connected(0)
    refused.note_sent(Sent("house/state", 100), 1)
    assert refused.note_end(7, is_hang_up=True) is None
    assert not refused.is_searching
    assert not refused.is_quick(7)


def test_a_network_that_breaks_again_and_again_finds_nobody_guilty() -> None:
    refused = RefusedMessages({}, Table().note, blamed_for=3)
    now = 0.0
    for end in (1, 4, 4, 4, 4):  # the broker was restarted once
        refused.note_connected(now)
        refused.note_sent(Sent("house/state", 100), now)
        now += end
        assert refused.note_end(now, is_hang_up=True) is None
    refused.note_connected(now)
    assert refused.verdict("house/state", 100, now) is Verdict.SEND


def test_the_messages_that_were_on_their_way_at_the_first_hang_up_go_last_but_not_too_late() -> None:
    refused = RefusedMessages({}, Table().note)
    refused.note_connected(0)
    number = refused.note_sent(Sent("house/state", 100), 0)
    refused.note_sent(Sent("evil/state", 100), 0)
    refused.note_taken(number)
    refused.note_end(0, is_hang_up=True)
    assert refused.is_searching
    refused.note_connected(0.1)
    assert [topic for topic in ("house/state", "evil/state") if refused.is_doubtful(topic)] == ["evil/state"]
    assert not refused.puts_doubtful_first(5)
    assert refused.puts_doubtful_first(6)  # else they would wait for ever on a line that is always busy


def test_in_a_search_the_next_message_waits_for_the_answer_to_the_one_before() -> None:
    refused = RefusedMessages({}, Table().note)
    refused.note_connected(0)
    refused.note_sent(Sent("house/state", 100), 0)
    assert refused.has_room(0)
    refused.note_end(0, is_hang_up=True)
    refused.note_connected(1)
    number = refused.note_sent(Sent("house/state", 100), 1)
    assert not refused.has_room(1)
    refused.note_taken(number)
    assert refused.has_room(1)
    refused.tick(30.9)
    assert refused.is_searching
    refused.tick(31)
    assert not refused.is_searching


def test_more_than_20_hang_ups_in_a_minute_wait_for_the_next() -> None:
    bad = tuple(f"evil{number}/state" for number in range(60))
    world = world_of(*bad, *GOOD, bad=bad)
    world.run(3000)
    assert set(world.table) == set(bad)
    for begin in range(int(world.hang_ups[-1])):
        assert sum(begin <= at < begin + 60 for at in world.hang_ups) <= 21
    assert max(world.worst_delay(topic) for topic in GOOD) <= 2.5


# What is put aside


def put_aside(
    size: int = 1000, changed: Callable[[str, int | None], None] = lambda *_: None
) -> RefusedMessages:
    """Return what knows one topic that was put aside at 0, over a connection since 0."""
    refused = RefusedMessages({}, changed)
    refused.note_connected(0)
    refused.note_refused_for_good(refused.note_sent(Sent("evil/state", size), 0), 0)
    return refused


def test_what_is_not_smaller_is_dropped_and_what_is_smaller_is_sent() -> None:
    refused = put_aside(1000)
    verdicts = [refused.verdict("evil/state", size, 1) for size in (999, 1000, 1001)]
    assert verdicts == [Verdict.SEND, Verdict.DROP, Verdict.DROP]
    assert refused.verdict("house/state", 2000, 1) is Verdict.SEND


def test_after_an_hour_it_is_tried_again_alone_and_forgotten_when_the_broker_takes_it() -> None:
    table = Table()
    refused = put_aside(1000, table.note)
    assert refused.verdict("evil/state", 1000, HOUR - 1) is Verdict.DROP
    other = refused.note_sent(Sent("house/state", 100), HOUR)
    assert refused.verdict("evil/state", 1000, HOUR) is Verdict.WAIT
    assert not refused.has_room(HOUR)  # so that it gets its turn
    refused.note_taken(other)
    assert refused.verdict("evil/state", 1000, HOUR) is Verdict.SEND
    number = refused.note_sent(Sent("evil/state", 1000), HOUR)
    assert not refused.has_room(HOUR)
    assert refused.note_taken(number)
    assert not table
    assert refused.topics == 0


def test_a_try_of_something_smaller_says_nothing_of_what_is_put_aside() -> None:
    world = World({"house/state": always(1500), "barn/state": always(100)}, lambda _, size: size >= 2000)
    refused = world.refused
    refused.note_refused_for_good(refused.note_sent(Sent("house/state", 2000), 0), 0)
    for _ in range(3):  # suspected by accident
        refused.note_sent(Sent("house/state", 1500), world.now)
        world.hang_up(is_restart=True)
    world.run(60)
    assert world.now - world.taken["house/state"][-1] <= 2
    assert world.table == {"house/state": 2000}


def test_a_hang_up_at_the_try_is_another_hour_at_once_and_no_search() -> None:
    table = Table()
    refused = put_aside(1000, table.note)
    refused.note_sent(Sent("evil/state", 1200), HOUR)
    blamed = refused.note_end(HOUR, is_hang_up=True)
    assert blamed is not None
    assert (blamed.is_trial, blamed.is_put_aside) == (True, False)
    assert not refused.is_searching
    assert refused.is_quick(HOUR)
    refused.note_connected(HOUR)
    assert refused.verdict("evil/state", 1000, 2 * HOUR - 1) is Verdict.DROP
    assert refused.verdict("evil/state", 1000, 2 * HOUR) is Verdict.SEND
    assert table == {"evil/state": 1000}


def test_rows_of_an_earlier_run_hold_and_are_tried_when_a_connection_has_lasted() -> None:
    refused = RefusedMessages({"evil/state": 1000}, Table().note)
    refused.note_connected(0)
    assert refused.topics == 1
    assert refused.verdict("evil/state", 1000, 29) is Verdict.DROP
    assert refused.verdict("evil/state", 1000, 30) is Verdict.SEND


def test_a_meter_that_sends_one_byte_less_each_time_makes_few_hang_ups() -> None:
    def shrink(_now: float) -> int:
        return max(1, world.table.get("evil/state", 16_000) - 1)

    world = World(
        {topic: always(500) for topic in GOOD} | {"evil/state": shrink}, lambda t, _: t == "evil/state"
    )
    world.run(HOUR - 1)
    assert len(world.put_aside) <= 15
    assert len(world.hang_ups) <= 4 * 15
    assert max(world.worst_delay(topic) for topic in GOOD) <= 2.0


def test_a_meter_that_hides_its_long_messages_among_short_ones_is_found() -> None:
    world = World(
        {topic: always(500) for topic in GOOD} | {"evil/state": lambda now: 2000 if int(now) % 3 else 100},
        lambda _, size: size > 1000,
    )
    world.run(300)
    assert world.table == {"evil/state": 2000}
    assert world.now - world.taken["evil/state"][-1] <= 4  # the short ones


def test_the_table_is_bounded_and_the_oldest_go() -> None:
    table = Table()
    refused = RefusedMessages({}, table.note)
    refused.note_connected(0)
    for number in range(1000):
        refused.note_refused_for_good(refused.note_sent(Sent(f"evil{number}/state", 10), number), number)
    assert refused.topics == len(table) == 100
    assert set(table) == {f"evil{number}/state" for number in range(900, 1000)}


# Answers


def test_a_refusal_that_may_pass_lets_its_topic_rest_and_no_other() -> None:
    refused = RefusedMessages({}, Table().note)
    refused.note_connected(0)
    refused.note_refused(refused.note_sent(Sent("house/state", 100), 0), 0)
    assert refused.verdict("house/state", 100, 29) is Verdict.WAIT
    assert refused.verdict("barn/state", 100, 29) is Verdict.SEND
    assert refused.verdict("house/state", 100, 30) is Verdict.SEND
    assert refused.topics == 0


def test_smaller_messages_that_are_refused_with_an_answer_write_nothing_more() -> None:
    changes = []
    refused = put_aside(1000, lambda *change: changes.append(change))
    for size in range(999, 900, -1):
        refused.note_refused_for_good(refused.note_sent(Sent("evil/state", size), 1), 1)
    assert changes == [("evil/state", 1000)]
    assert refused.verdict("evil/state", 901, 1) is Verdict.DROP


def test_what_is_larger_than_the_broker_says_is_dropped_until_another_broker_takes_more() -> None:
    refused = RefusedMessages({}, Table().note)
    refused.note_connected(0, 1000)
    assert refused.verdict("house/state", 1000, 0) is Verdict.SEND
    assert refused.verdict("house/state", 1001, 0) is Verdict.DROP
    assert refused.note_too_large("house/state", 1001)
    assert not refused.note_too_large("house/state", 1001)
    assert refused.topics == 1
    refused.note_connected(10, 1001)
    assert refused.topics == 0
    assert refused.verdict("house/state", 1001, 10) is Verdict.SEND


def test_what_the_configuration_names_never_waits_because_others_make_the_broker_hang_up() -> None:
    refused = RefusedMessages({}, Table().note, lambda topic: topic.startswith("house/"))
    now = 0.0
    for number in range(25):
        refused.note_connected(now)
        refused.note_sent(Sent(f"evil{number}/state", 9000), now)
        refused.note_end(now + 0.1, is_hang_up=True)
        now += 0.2
    refused.note_connected(now)
    assert refused.verdict("house/state", 1000, now) is Verdict.SEND
    assert refused.verdict("evil99/state", 1000, now) is Verdict.WAIT


def test_what_smaller_messages_replace_is_not_counted_as_put_aside() -> None:
    messages = RefusedMessages({"big": 500}, lambda *_: None)
    messages.note_connected(0.0)
    assert messages.topics == 1
    assert not messages.is_replaced("big", 499)
    assert messages.topics == 1
    assert messages.is_replaced("big", 500)
    assert messages.topics == 0
    messages.note_connected(1.0, max_packet_size=100)
    assert messages.is_replaced("other", 101)
    assert not messages.is_replaced("small", 100)
