"""What docs/doctor.md shows is what doctor prints."""

import re
from pathlib import Path

import pytest

from tests.support.commands import ROOT, smarty_gateway
from vectors.building_blocks import HOUSE_KEY, frame, luxembourg

PAGE = (ROOT / "docs/doctor.md").read_text("utf-8")
EXAMPLES = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


def printed(folder: Path, key: str | None) -> str:
    """Return what doctor prints about a recording of three frames."""
    (folder / "meter.bin").write_bytes(b"".join(frame(luxembourg(n * 10), counter=n) for n in range(1, 4)))
    arguments = []
    if key is not None:
        (folder / "keys.yaml").write_text(f"keys: {{SAG1030700012345: {key}}}\n", "ascii")
        (folder / "keys.yaml").chmod(0o600)
        arguments = ["--keys", "keys.yaml"]
    return smarty_gateway("doctor", "meter.bin", *arguments, folder=folder).stdout.decode()


@pytest.mark.parametrize(("number", "key"), [(0, HOUSE_KEY.hex()), (1, None)])
def test_each_example_is_what_doctor_prints(number: int, key: str | None, tmp_path: Path) -> None:
    assert printed(tmp_path, key).strip() == EXAMPLES[number].strip()


def test_no_other_example_is_shown() -> None:
    assert len(EXAMPLES) == 2
