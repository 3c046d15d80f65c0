"""`smarty-gateway verify` and `decode --explain`: what engineers check an implementation with."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import ROOT, SAMPLE_KEYS, smarty_gateway
from vectors.building_blocks import AUTHENTICATION_KEY, HOUSE_KEY, belgium, frame, luxembourg

SHARED = ROOT.parent / "shared/vectors"
VECTORS = ROOT / "vectors"


def cavp() -> Path:
    found = importlib.util.find_spec("cryptography_vectors")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "ciphers/AES/GCM/gcmDecrypt128.rsp"


def result(*arguments: object) -> tuple[int, dict[str, Any]]:
    done = smarty_gateway("verify", "--format", "json", *arguments)
    assert done.stderr == b""
    return done.returncode, json.loads(done.stdout)


def test_the_installed_vectors_hold_from_an_empty_folder(tmp_path: Path) -> None:
    done = smarty_gateway("verify", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert text.endswith("566 passed, 0 failed\n")
    assert "refused.json" in text
    assert "NonceReuse" in text


def test_the_375_cases_of_nist_with_nonce_and_tag_of_96_bits_hold() -> None:
    status, found = result(cavp())
    assert (status, found["passed"], found["failed"]) == (0, 375, 0)
    assert {case["expect"] for case in found["cases"]} == {"authentication", "decrypted"}


@pytest.mark.skipif(not SHARED.exists(), reason="the published vectors are not beside the project")
def test_the_published_vectors_hold() -> None:
    status, found = result(SHARED)
    assert (status, found["passed"], found["failed"]) == (0, 45, 0)


def test_each_case_has_its_id_what_was_expected_what_came_and_whether_it_passed() -> None:
    status, found = result(VECTORS / "decoded.json", VECTORS / "refused.json")
    assert status == 0
    assert found["passed"] == len(found["cases"])
    assert {"id", "expect", "got", "passed"} <= set(found["cases"][0])


def changed(tmp_path: Path, name: str, old: str, new: str) -> Path:
    """Return a copy of a vector file in which something is wrong."""
    text = (VECTORS / name).read_text("utf-8")
    assert old in text
    path = tmp_path / name
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


def test_a_case_that_does_not_hold_is_shown_field_by_field(tmp_path: Path) -> None:
    path = changed(tmp_path, "decoded.json", '"energy_import": 1234.567', '"energy_import": 1234.568')
    done = smarty_gateway("verify", "-v", path)
    assert done.returncode == 1
    text = done.stdout.decode()
    assert "113 passed, 1 failed" in text
    assert "energy_import is 1234.567 instead of 1234.568" in text
    assert "the tag verifies" in text
    status, found = result(path)
    assert (status, found["failed"]) == (1, 1)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("refused.json", '"rejections": [{"reason": "security"', '"rejections": [{"reason": "malformed"'),
        ("refused.json", '"hint": "corrupt"', '"hint": "wrong-encryption-key"'),
        ("refused.json", '"offset": 73', '"offset": 74'),
        ("decoded.json", '"must_not_release": []', '"must_not_release": ["1234.567"]'),
        ("decoded.json", '"rejections": []', '"rejections": [{"reason": "replay", "offset": 1}]'),
        ("decoded.json", '"frame_counter": 1000', '"frame_counter": 1001'),
    ],
)  # fmt: skip
def test_anything_other_than_expected_fails(tmp_path: Path, name: str, old: str, new: str) -> None:
    status, found = result(changed(tmp_path, name, old, new))
    assert (status, found["failed"]) == (1, 1)


def test_a_changed_case_of_nist_fails(tmp_path: Path) -> None:
    text = cavp().read_text()
    start = text.index("[Taglen = 96]")
    path = tmp_path / "changed.rsp"
    path.write_text(text[:start] + text[start:].replace("Tag = ", "Tag = 00", 1).replace("FAIL", "PT = ", 1))
    status, found = result(path)
    assert status == 1
    assert found["failed"] >= 1


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", "null", "1", '[{"a": 1}]',
     '{"format": "smarty-gateway-vectors", "version": 2, "cases": []}',
     '{"format": "smarty-gateway-vectors", "version": 1, "cases": []}', "not json", "[" * 100_000,
     '{"format": "smarty-gateway-vectors", "version": 1, "cases": [{"id": 1}]}', '[{"frame_hex": "zz"}]',
     '[{"telegram_text": null}]'],
)  # fmt: skip
def test_another_layout_is_exit_status_2_with_a_word_on_what_was_expected(
    tmp_path: Path, content: str
) -> None:
    for name in ("file.json", "file.rsp"):
        path = tmp_path / name
        path.write_text(content)
        done = smarty_gateway("verify", path)
        assert (done.returncode, done.stdout) == (2, b"")
        (line,) = done.stderr.decode().splitlines()
        assert str(path) in line
        assert "expected are" in line


def test_a_missing_file_or_an_empty_folder_is_exit_status_2(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        done = smarty_gateway("verify", path)
        assert (done.returncode, done.stdout) == (2, b"")
        assert len(done.stderr.splitlines()) == 1


# decode --explain


def explained(data: bytes, keys: Path | None = SAMPLE_KEYS) -> str:
    arguments = [] if keys is None else ["--keys", keys]
    done = smarty_gateway("decode", "--explain", *arguments, data=data)
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


def test_a_frame_is_shown_field_by_field_with_what_was_computed() -> None:
    data = frame(luxembourg(1), counter=4711)
    text = explained(b"noise" + data)
    lines = text.splitlines()
    assert lines[0].split() == ["5", "DB", "tag", "of", "the", "frame", "general-glo-ciphering"]
    expected = ["SAG1030700012345", "4711", "534147677000303900001267", "the tag verifies", "AAD"]
    for words in [*expected, "accepted, authenticated", data[-12:].hex(" ").upper()]:
        assert words in text
    offsets = [int(line.split()[0]) for line in lines if line[:8].strip()]
    assert offsets == [5, 6, 7, 15, 18, 19, 23, 5 + len(data) - 12]


def test_no_key_is_shown() -> None:
    for key in (HOUSE_KEY, AUTHENTICATION_KEY):
        for text in (explained(frame(luxembourg(1))), explained(frame(luxembourg(1), key=bytes(16)))):
            assert key.hex()[:10] not in text.lower().replace(" ", "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (frame(luxembourg(1))[:-1], "bytes are missing"),
        (frame(luxembourg(1))[:9], "the header is cut short"),
        (b"\xdb\x07" + frame(luxembourg(1))[2:], "this header states 7"),
        (frame(luxembourg(1)).replace(b"\x82", b"\x84", 1), "form 84"),
        (frame(luxembourg(1), security=0x61), "suite 1, encrypted, broadcast key; must be 30"),
        (frame(luxembourg(1), security=0x90), "suite 0, authenticated, compressed; must be 30"),
        (frame(luxembourg(1), key=bytes(16)), "the tag does not verify"),
        (frame(luxembourg(1), title=b"12345678"), "another scheme"),
        (belgium(1), "CRC-16/ARC"),
        (belgium(1).replace(b"000531", b"000532"), "wrong"),
        (b"/FLU5\r\n1-3:0.2.8(42)\r\n!\r\n", "none is there"),
    ],
)
def test_what_is_wrong_with_a_frame_is_explained(data: bytes, words: str) -> None:
    assert words in explained(data)


def test_without_a_key_it_is_said_that_there_is_none() -> None:
    done = smarty_gateway("decode", "--explain", data=frame(luxembourg(1)), folder=VECTORS)
    assert b"there is none for this system title" in done.stdout


def test_a_refused_telegram_shows_nothing_of_its_text() -> None:
    refused = belgium(1).replace(b"000531", b"000532")
    assert refused[:8].hex(" ").upper() not in explained(refused)
    assert belgium(1)[:8].hex(" ").upper() in explained(belgium(1))


def test_a_frame_behind_much_noise_is_explained_with_its_own_bytes() -> None:
    data = frame(luxembourg(1))
    text = explained(b"\xff" * 700_001 + data)
    assert data[-12:].hex(" ").upper() in text
    assert text.splitlines()[0].split()[:2] == ["700001", "DB"]
