"""A meter's history has room for what a meter sends, and for nothing beyond."""

import pytest

from smarty_gateway.outputs.mqtt.telegram_budget import TelegramBudget


def test_a_meter_that_sends_the_longest_telegrams_every_second_loses_none() -> None:
    budget = TelegramBudget()
    assert all(budget.allows("house", 16_384, float(now)) for now in range(100_000))


def test_a_day_that_a_bridge_has_stored_may_come_at_once() -> None:
    budget = TelegramBudget()
    assert all(budget.allows("house", 1_900, 0.0) for _ in range(8_640))


def test_who_sends_faster_than_any_meter_is_cut_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    budget = TelegramBudget()
    taken = sum(16_384 for number in range(100_000) if budget.allows("guest", 16_384, number / 1000))
    assert taken < 20_000_000
    assert len(caplog.records) == 1
    assert budget.allows("house", 16_384, 100.0)


def test_all_meters_without_an_entry_share_one_budget() -> None:
    budget = TelegramBudget()
    assert sum(1_000 for _ in range(10_000) if budget.allows("", 1_000, 0.0)) == 2_000_000
