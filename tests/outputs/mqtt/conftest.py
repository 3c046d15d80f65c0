"""Brokers that several test files use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.brokers import IS_MOSQUITTO, Broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Run a broker that accepts every client."""
    with Broker(tmp_path) as found:
        yield found


@pytest.fixture(
    params=["", "embedded"] if IS_MOSQUITTO else ["embedded"], ids=lambda name: name or "mosquitto"
)
def any_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """Run Mosquitto if it is installed, and the embedded broker in any case."""
    with Broker(tmp_path, embedded=request.param == "embedded") as found:
        yield found
