"""The vectors are what the generator makes, are well formed, and hold."""

import json
import re
from collections import Counter
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.commands.vector_files import load_cases
from smarty_gateway.protocol.checksum import arc
from tests.support.commands import ROOT
from vectors.building_blocks import crc16
from vectors.generate import files

FOLDER = ROOT / "vectors"
NAMES = ("decoded.json", "refused.json")


def content(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    return loaded


def all_cases() -> list[dict[str, Any]]:
    return [case for name in NAMES for case in content(name)["cases"]]


def test_the_generator_reproduces_every_file() -> None:
    for name, made in files().items():
        assert (FOLDER / name).read_bytes() == made, f"{name}: run python -m vectors.generate"


def test_every_file_is_made_or_explained() -> None:
    by_hand = {"README.md", "schema.json", "__init__.py", "building_blocks.py", "generate.py", "layouts.py"}
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == by_hand | set(files())
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert all(name in readme for name in [*files(), *by_hand - {"README.md", "__init__.py"}])


@pytest.mark.parametrize("name", NAMES)
def test_each_file_follows_the_schema(name: str) -> None:
    jsonschema.validate(content(name), json.loads((FOLDER / "schema.json").read_text("utf-8")))


@pytest.mark.parametrize("name", NAMES)
def test_flags_are_explained_and_used(name: str) -> None:
    loaded = content(name)
    assert {flag for case in loaded["cases"] for flag in case["flags"]} == set(loaded["flags"])


def test_no_two_cases_have_one_name_or_one_stream_with_the_same_keys() -> None:
    cases = all_cases()
    assert max(Counter(case["id"] for case in cases).values()) == 1
    inputs = Counter(json.dumps([case["stream"], case["keys"], case.get("chunks")]) for case in cases)
    assert [text[:80] for text, count in inputs.items() if count > 1] == []


def test_a_case_has_one_fault_or_none() -> None:
    for case in content("decoded.json")["cases"]:
        assert case["expect"] == "decoded"
        assert case["telegrams"]
        assert case["rejections"] == []
    for case in content("refused.json")["cases"]:
        assert {r["reason"] for r in case["rejections"]} == {case["expect"]} - {"noise"}
        assert ("hint" in str(case["rejections"])) == (case["expect"] == "authentication")


def test_what_must_not_be_released_is_in_no_expected_telegram() -> None:
    for case in all_cases():
        shown = json.dumps(case["telegrams"], ensure_ascii=False)
        assert not [text for text in case["must_not_release"] if text in shown], case["id"]


def test_there_are_as_many_cases_as_the_reference_needs() -> None:
    assert len(content("decoded.json")["cases"]) >= 60
    assert len(content("refused.json")["cases"]) >= 150
    reasons = {case["expect"] for case in content("refused.json")["cases"]}
    assert reasons == {
        "malformed", "security", "no-key", "authentication", "replay", "checksum", "plaintext", "noise",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_case_holds(name: str) -> None:
    failed = {
        case.id: outcome.got for case in load_cases(FOLDER / name) if not (outcome := case.run()).passed
    }
    assert failed == {}


def test_the_example_in_the_readme_is_a_case_as_it_is() -> None:
    readme = (FOLDER / "README.md").read_text("utf-8")
    example = re.search(r"```json\n(.*?)```", readme, re.DOTALL)
    assert example is not None
    shown = json.loads(example[1])
    (case,) = [case for case in all_cases() if case["id"] == shown["id"]]
    for key in ("flags", "expect", "telegrams", "rejections"):
        assert shown[key] == case[key]
    assert set(shown) == set(case)
    assert shown["must_not_release"][0] in case["must_not_release"]


@given(st.binary(max_size=300))
def test_the_checksum_of_the_generator_is_that_of_the_gateway(data: bytes) -> None:
    assert crc16(data) == arc(data)
