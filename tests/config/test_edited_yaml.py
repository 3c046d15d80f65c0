"""Entries of a YAML file are changed as text, and everything else stays to the letter."""

import pytest

from smarty_gateway.config.edited_yaml import UneditableError, with_key, with_meter, without_keys_of
from tests.support.doctor_runs import BARN, HOUSE
from vectors.building_blocks import BARN_TITLE, HOUSE_TITLE

NEW = "DUMMY"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("keys:\n", f'keys:\n  {HOUSE}: "{NEW}"\n'),
        ("keys:", f'keys:\n  {HOUSE}: "{NEW}"\n'),
        (f"keys:\n  {BARN}: 12 34", f'keys:\n  {BARN}: 12 34\n  {HOUSE}: "{NEW}"\n'),
        (
            f"keys:\n    {BARN}: 12  # a\n\n# b\n",
            f'keys:\n    {BARN}: 12  # a\n    {HOUSE}: "{NEW}"\n\n# b\n',
        ),
        (f"keys:\n {BARN}:\n  - 12\n # b\n", f'keys:\n {BARN}:\n  - 12\n {HOUSE}: "{NEW}"\n # b\n'),
        (f"keys:\n  {BARN}: |\n    12\n# b\n", f'keys:\n  {BARN}: |\n    12\n  {HOUSE}: "{NEW}"\n# b\n'),
        (f"keys:\n  {HOUSE}: 12 34 # a\n", f'keys:\n  {HOUSE}: "{NEW}" # a\n'),
        (f"keys:\n  '{HOUSE_TITLE.hex()}': [1, 2]\n", f"keys:\n  '{HOUSE_TITLE.hex()}': \"{NEW}\"\n"),
        (
            f"keys:\n  {HOUSE}:\n    encryption_key: 12\n    verification: required\n",
            f'keys:\n  {HOUSE}:\n    encryption_key: "{NEW}"\n    verification: required\n',
        ),
    ],
)
def test_a_key_is_added_or_replaced(before: str, after: str) -> None:
    assert with_key(before, HOUSE, NEW) == after


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "[]\n",
        f"keys: {{{BARN}: 12}}\n",
        f"keys:\n  {HOUSE}:\n    - 1\n    - 2\n",
        f"keys:\n  {HOUSE}: |\n    1\n# a\n",
    ],
)
def test_a_layout_that_only_a_person_can_change_is_refused(text: str) -> None:
    with pytest.raises(UneditableError):
        with_key(text, HOUSE, NEW)


def test_the_entries_of_some_meters_are_removed_with_all_their_lines() -> None:
    before = (
        f"# a\nkeys:\n  {HOUSE}: 12  # b\n  # c\n  any:\n    encryption_key: 34\n    # d\n  {BARN}: 56\n# e\n"
    )
    assert without_keys_of(before, {HOUSE_TITLE, None}) == f"# a\nkeys:\n  # c\n    # d\n  {BARN}: 56\n# e\n"
    assert without_keys_of(before, {BARN_TITLE}) == before.replace(f"  {BARN}: 56\n", "")


def test_a_meter_is_added_behind_the_last_with_the_same_indentation() -> None:
    lines = ["name: a", "source: b"]
    for indent in ("", "  "):
        before = f"meters:\n{indent}- source: x # y\n\n# z\noutputs: {{}}\n"
        added = f"{indent}- name: a\n{indent}  source: b\n"
        assert with_meter(before, lines) == before.replace("# y\n", f"# y\n{added}")


@pytest.mark.parametrize("text", ["meters: [{source: x}]\n", "meters: 1\n", "outputs: {}\n"])
def test_a_list_of_meters_in_one_line_is_refused(text: str) -> None:
    with pytest.raises(UneditableError):
        with_meter(text, ["name: a"])
