"""Which topic may send next: no message is lost or overtaken, and one that is refused holds up no other."""

import random

from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.outputs.forward.turns import Turns

TOPICS = [f"smarty/raw/{n}/T" for n in range(6)]
WINDOW = 3


class Broker:
    """Nodes that acknowledge in order, and hang up at a refused topic, as RabbitMQ does.

    Attributes:
        had: what they have, by topic.
    """

    def __init__(self, refused: set[str], turns: Turns) -> None:
        self.refused = refused
        self.had: dict[str, list[int]] = {topic: [] for topic in TOPICS}
        self.turns = turns
        self.flying: list[tuple[str, int]] = []

    def answer(self, now: float, rng: random.Random) -> None:
        """Answer what is in flight; an acknowledgement may be lost with the connection."""
        for topic, number in self.flying:
            if topic in self.refused:
                self.hang_up(now)
                return
            self.had[topic].append(number)
            if rng.random() < 0.05:
                self.hang_up(now)
                return
            self.turns.note_acknowledged(topic)
        self.flying.clear()

    def hang_up(self, now: float) -> None:
        """End the connection, and take the next."""
        self.flying.clear()
        self.turns.note_hang_up(now)
        self.turns.note_connected(now)


def send(turns: Turns, broker: Broker, waiting: dict[str, list[int]], now: float) -> None:
    """Send as a link does."""

    def send_where(is_turn: object) -> bool:
        for topic in TOPICS:
            if waiting[topic] and not turns.is_held(topic, now) and is_turn(topic):  # type: ignore[operator]
                turns.note_sent(topic)
                broker.flying.append((topic, waiting[topic][0]))
                return True
        return False

    for is_turn in (lambda t: turns.is_turn(t, now), lambda t: turns.is_late_turn(t, now)):
        while send_where(is_turn):
            assert turns.in_flight <= WINDOW
    if not turns.in_flight and not send_where(turns.is_trial):
        turns.note_no_trial(now)


@given(
    refused=st.sets(st.sampled_from(TOPICS), max_size=4),
    seed=st.integers(0, 2**32),
    until=st.integers(20, 200),
)
def test_each_message_arrives_in_order_whatever_is_refused_for_a_while(
    refused: set[str], seed: int, until: int
) -> None:
    rng = random.Random(seed)
    turns = Turns(WINDOW)
    turns.note_connected(0)
    broker = Broker(refused, turns)
    waiting = {topic: list(range(20)) for topic in TOPICS}
    for second in range(until + 700):
        if second == until:
            broker.refused = set()
        for step in range(4):
            now = second + step / 4
            send(turns, broker, waiting, now)
            broker.answer(now, rng)
            for topic, numbers in waiting.items():
                while numbers and numbers[0] in broker.had[topic] and topic not in dict(broker.flying):
                    numbers.pop(0)
        if second == 120 and until >= 120:  # what is not refused is there, although something still is
            assert all(not waiting[topic] for topic in TOPICS if topic not in refused)
    for topic in TOPICS:
        assert list(dict.fromkeys(broker.had[topic])) == list(range(20))
        assert not turns.is_held(topic, 1e9)


def test_a_topic_alone_is_held_at_the_second_hang_up_and_ever_longer() -> None:
    turns, topic, now = Turns(WINDOW), TOPICS[0], 0.0
    turns.note_sent(topic)
    assert turns.note_hang_up(now) is None
    assert not turns.is_held(topic, now)
    turns.note_sent(topic)
    assert turns.note_hang_up(now) == topic
    for seconds in (10, 30, 60, 120, 300, 300):
        assert turns.is_held(topic, now + seconds - 1)
        now += seconds
        assert turns.is_trial(topic)
        assert not turns.is_held(topic, now)
        turns.note_sent(topic)
        assert not turns.is_turn(TOPICS[1], now)  # nothing goes out beside it
        assert turns.note_hang_up(now) is None  # one line is enough
    turns.note_sent(topic)
    assert turns.note_acknowledged(topic)
    assert turns.is_turn(topic, now)


def test_a_node_that_dies_once_holds_nothing() -> None:
    turns = Turns(WINDOW)
    for topic in TOPICS[:WINDOW]:
        turns.note_sent(topic)
    turns.note_hang_up(0)
    turns.note_connected(0)
    assert all(turns.is_turn(topic, 5) for topic in TOPICS)


def test_topics_that_a_node_never_acknowledges_come_after_the_others() -> None:
    turns = Turns(WINDOW)
    for topic in TOPICS[:WINDOW]:
        turns.note_sent(topic)
    turns.note_silence()
    assert [turns.is_turn(topic, 5) for topic in TOPICS] == [False] * 3 + [True] * 3
    assert all(turns.is_late_turn(topic, 5) for topic in TOPICS)
    turns.note_sent(TOPICS[0])
    turns.note_acknowledged(TOPICS[0])
    assert turns.is_turn(TOPICS[0], 5)


def test_a_topic_of_which_nothing_is_left_is_not_refused_for_ever() -> None:
    turns = Turns(WINDOW)
    now = 0.0
    for _ in range(3):
        turns.note_connected(now)
        turns.note_sent("x")
        turns.note_hang_up(now)
        now += 1.0
    assert turns.has_held
    turns.note_no_trial(now + 400.0)  # its messages may be on the disk, behind others
    assert turns.has_held
    turns.note_no_trial(now + 401.0, is_empty=True)
    assert not turns.has_held
