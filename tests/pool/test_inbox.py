"""What waits between the two threads of a worker."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.pool.inbox import BATCH_MESSAGES, PREFETCH, Delivery, Inbox, Subscription

#: Shards of messages, with the number of those that are put back after each batch.
SHARDS = st.lists(st.integers(0, 3), max_size=60)


def at_once() -> Inbox:
    """Return an inbox whose clock moves a second with each look, so that every batch is due."""
    return Inbox(itertools.count().__next__)


def put(inbox: Inbox, subscription: Subscription, *tags: int, size: int = 1) -> None:
    for tag in tags:
        inbox.put(Delivery(subscription, tag, "topic", b"x" * size))


@given(SHARDS, st.sets(st.integers(0, 3)))
def test_each_shard_keeps_its_order_though_some_are_put_back(shards: list[int], slow: set[int]) -> None:
    inbox = at_once()
    subscriptions = [Subscription(shard, None) for shard in range(4)]
    for tag, shard in enumerate(shards):
        put(inbox, subscriptions[shard], tag)
    taken: list[Delivery] = []
    for turn in range(2):
        batch = inbox.take(0)
        back = [each for each in batch if turn == 0 and each.subscription.shard in slow]
        taken += [each for each in batch if each not in back]
        inbox.put_back(back)
    assert len(inbox) == 0
    for subscription in subscriptions:
        tags = [each.tag for each in taken if each.subscription is subscription]
        assert tags == [tag for tag, shard in enumerate(shards) if shard == subscription.shard]
        assert subscription.waiting == 0


def test_what_came_by_a_subscription_that_is_over_is_left_out() -> None:
    inbox = at_once()
    over, still_there = Subscription(1, None), Subscription(2, None)
    put(inbox, over, 1, 2)
    put(inbox, still_there, 1)
    over.is_open = False
    assert [each.subscription for each in inbox.take(0)] == [still_there]


def test_messages_of_subscriptions_that_are_over_take_no_memory() -> None:
    inbox = at_once()
    subscription = Subscription(1, None)
    put(inbox, subscription, 1, 2)
    subscription.is_open = False
    inbox.drop_what_is_over()
    assert len(inbox) == 0


def test_a_batch_is_bounded_in_messages_and_in_bytes() -> None:
    inbox = at_once()
    for shard in range(20):
        put(inbox, Subscription(shard, None), *range(PREFETCH))
    assert len(inbox.take(0)) == BATCH_MESSAGES
    inbox = at_once()
    put(inbox, Subscription(1, None), *range(50), size=80_000)
    assert len(inbox.take(0)) == 13


def test_a_shard_of_which_nothing_more_can_come_is_due_before_its_time() -> None:
    inbox = Inbox(lambda: 0.0)  # a clock that stands still: nothing becomes due by its age
    put(inbox, Subscription(1, None), *range(PREFETCH))
    assert len(inbox.take(0)) == PREFETCH
