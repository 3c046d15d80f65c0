"""The key file fixture of the tests of `doctor`."""

from pathlib import Path

import pytest

from tests.support.doctor_runs import Keys, key_file


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Write a key file with these entries."""
    return lambda **entries: key_file(tmp_path, **entries)
