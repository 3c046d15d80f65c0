"""The page of the demonstration."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from tests.support.running import Running, wait_until

#: Its meters, as in addresses.
HOUSE: Final = "house_in_Luxembourg"
BARN: Final = "barn_in_Belgium"


@contextmanager
def demonstration(folder: Path) -> Iterator[str]:
    """Run the demonstration until its history is complete, and yield the address of its page."""
    with Running("demo", "--format", "json", folder=folder) as demo:
        wait_until(lambda: _address_in(demo.log), "the address of the page")
        address = _address_in(demo.log)
        for name in (HOUSE, BARN):
            wait_until(lambda name=name: _is_there(f"{address}meters/{name}/year"), f"the history of {name}")  # type: ignore[misc]
        yield address


def _address_in(log: list[str]) -> str:
    found = re.search(r"http://[0-9.]+:\d+/", "\n".join(log))
    return found[0] if found else ""


def _is_there(url: str) -> bool:
    try:
        with urlopen(url, timeout=10) as answer:  # noqa: S310 - of our own server
            return b"<table" in answer.read()
    except URLError:
        return False
