"""The site that several test modules ask."""

import pytest

from tests.support.site import Site, write_days


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a site with a history."""
    folder = tmp_path_factory.mktemp("state")
    write_days(folder)
    found = Site(folder)
    found.send()
    return found
