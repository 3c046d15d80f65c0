"""What verifies flows at full speed; all else gets a share of a processor, however it is sent."""

from smarty_gateway.gateway.throttle import Throttle


def busy_share(kind: str, seconds: int = 100) -> float:
    """Return which share of the time a source is read that always has more of one kind."""
    throttle = Throttle(0.0)
    now = read = 0.0
    while now < seconds:
        if kind == "wasted":
            throttle.add_wasted(1000)
        else:
            throttle.add_reading(1000, is_authenticated=kind == "authenticated")
        now += 0.01
        read += 0.01
        now += throttle.settle(0.01, now)
    return read / now


def test_what_is_authenticated_is_never_slowed_down() -> None:
    assert busy_share("authenticated") == 1.0


def test_what_is_wasted_gets_a_tenth_of_a_processor() -> None:
    assert 0.09 < busy_share("wasted") < 0.13


def test_plaintext_that_anybody_can_write_gets_a_fifth() -> None:
    assert 0.18 < busy_share("plaintext") < 0.25


def test_what_it_costs_to_collect_is_charged_when_it_is_known_what_it_was() -> None:
    throttle = Throttle(0.0)
    for _ in range(100):
        assert throttle.settle(0.02, 0.0) == 0.0
    throttle.add_wasted(1)
    assert throttle.settle(0.0, 0.0) > 0.0


def test_a_pause_pays_for_a_burst_and_no_more() -> None:
    throttle = Throttle(0.0)
    throttle.add_wasted(1)
    assert throttle.settle(0.9, 1_000_000.0) == 0.0
    throttle.add_wasted(1)
    assert throttle.settle(0.2, 1_000_000.0) > 0.0
