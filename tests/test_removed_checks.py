"""The vectors notice when a check is missing."""

from pathlib import Path

import pytest

from tests.removed_checks import REMOVED_CHECKS, RemovedCheck, failed_cases


@pytest.mark.slow
@pytest.mark.parametrize("check", REMOVED_CHECKS, ids=[check.name for check in REMOVED_CHECKS])
def test_verify_fails_without_this_check(check: RemovedCheck, tmp_path: Path) -> None:
    assert failed_cases(check, tmp_path) > 0
