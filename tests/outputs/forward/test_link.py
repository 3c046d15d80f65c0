"""What goes out over one connection: frames that wait on a topic go together, and silence has an end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smarty_gateway.config.values import StoreLimits
from smarty_gateway.outputs.forward.link import Link, NodeSilentError
from smarty_gateway.outputs.forward.turns import Turns
from smarty_gateway.outputs.outbox import Outbox
from smarty_gateway.protocol.forwarded import MESSAGE_BYTES, Forwarded, pack, unpack
from smarty_gateway.state.store import Store

A, B = "smarty/raw/1/A", "smarty/raw/2/B"


class Node:
    """Takes messages, and acknowledges them when a test says so."""

    def __init__(self, outbox: Outbox) -> None:
        self.config = SimpleNamespace(address="a.example:8883")
        self.outbox = outbox
        self.sent: list[tuple[str, list[int]]] = []
        self.answers: list[Callable[[], None]] = []
        self.turns = Turns(10)
        self.link = Link(self, outbox, self.turns, self._note_acknowledged, 0)  # type: ignore[arg-type]

    def publish(self, topic: str, payload: bytes, *, done: Callable[[], None]) -> None:
        """Take a message, as a connection does."""
        self.sent.append((topic, [each.arrived for each in unpack(payload)]))
        self.answers.append(done)

    def _note_acknowledged(self, topic: str) -> None:
        self.turns.note_acknowledged(topic)

    def add(self, topic: str, *numbers: int, size: int = 100) -> None:
        """Add frames with these times of arrival to what waits."""
        for number in numbers:
            self.outbox.add(topic, pack([Forwarded(number, bytes(size))]), 0)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Any]:
    with Store(tmp_path) as store:
        yield Node(Outbox(store, StoreLimits(), "forward", "the pool"))


def test_frames_that_wait_on_a_topic_go_out_together_behind_the_one_in_flight(node: Node) -> None:
    node.add(A, 1)
    node.link.send(0)
    node.add(A, 2, 3)
    node.add(B, 4)
    node.add(A, 5)
    node.link.send(0)
    assert node.sent == [(A, [1]), (B, [4])]
    node.answers[0]()
    node.link.send(1)
    assert node.sent[2:] == [(A, [2, 3, 5])]
    for answer in node.answers[1:]:
        answer()
    node.link.send(2)
    assert node.link.is_idle
    assert node.outbox.is_empty


def test_a_message_stays_below_its_size(node: Node) -> None:
    node.add(A, *range(10), size=15_000)
    node.link.send(0)
    assert node.sent == [(A, [0, 1, 2, 3])]
    assert 4 * 15_000 < MESSAGE_BYTES < 5 * 15_000


def test_a_node_that_acknowledges_nothing_for_10_s_is_given_up(node: Node) -> None:
    node.add(A, 1)
    node.link.send(100)  # it was idle until now
    node.add(B, 2)
    node.link.send(109)
    node.answers[0]()
    node.link.send(109.5)
    node.link.send(119)
    with pytest.raises(NodeSilentError, match=r"a\.example:8883 has acknowledged nothing for 10 s"):
        node.link.send(119.5)
