"""The scripts for the shells are made from the options of all commands."""

import pytest

from tests.docs.completions import SCRIPTS, script


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_for_a_shell_knows_all_options(shell: str) -> None:
    written = SCRIPTS[shell].read_text("utf-8")
    assert written == script(shell), "type: python -m tests.docs.completions"
