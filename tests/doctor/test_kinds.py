"""What can be said about a finding without a meter is complete, and is what doctor says."""

import ast
import inspect

import pytest

from smarty_gateway.doctor import findings, key_findings
from smarty_gateway.doctor.kinds import KINDS, Code, FindingKind


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_each_kind_has_a_symptom_a_meaning_and_advice_in_whole_sentences(kind: FindingKind) -> None:
    for text in (kind.symptom, kind.meaning, kind.advice):
        assert text == text.strip()
        assert text[-1] in ".`"
        assert text.count("`") % 2 == 0
        assert "\n" not in text


def test_each_code_has_a_kind_and_each_kind_an_id_of_its_own() -> None:
    assert {kind.code for kind in KINDS.values()} == set(Code)
    assert [kind.id for kind in KINDS.values()] == list(KINDS)


def test_each_kind_is_found_by_a_function_and_each_function_finds_a_known_kind() -> None:
    trees = [ast.parse(inspect.getsource(module)) for module in (findings, key_findings)]
    words = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    opening = {Code.BUSY, Code.MISSING, Code.PERMISSION, Code.UNFIT}  # named by the code itself
    assert set(KINDS) - words == {code.value for code in opening - words}


def test_only_what_needs_a_change_is_a_fault() -> None:
    assert [kind.id for kind in KINDS.values() if not kind.is_fault] == [
        "found-line-settings",
        "parity-bit",
        "forwarded",
        "older-key",
        "key-to-come",
        "needless-crc-only",
        "healthy",
    ]
