"""What docs/doctor.md shows is what doctor prints."""

import re
from pathlib import Path

import pytest

from tests.support.commands import ROOT, smarty_gateway
from vectors.building_blocks import HOUSE_KEY, frame, luxembourg

PAGE = (ROOT / "docs/doctor.md").read_text("utf-8")
EXAMPLES = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)


#: With a typo in it.
WRONG = f"{HOUSE_KEY.hex()[:-1]}a"


def printed(folder: Path, key: str) -> str:
    """Return what doctor prints about a recording of three frames."""
    (folder / "meter.bin").write_bytes(b"".join(frame(luxembourg(n * 10), counter=n) for n in range(1, 4)))
    (folder / "keys.yaml").write_text(f"keys: {{SAG1030700012345: {key}}}\n", "ascii")
    (folder / "keys.yaml").chmod(0o600)
    return smarty_gateway("doctor", "meter.bin", "--keys", "keys.yaml", folder=folder).stdout.decode()


@pytest.mark.parametrize(("number", "key"), [(0, HOUSE_KEY.hex()), (1, WRONG)])
def test_each_example_is_what_doctor_prints(number: int, key: str, tmp_path: Path) -> None:
    assert printed(tmp_path, key).strip() == EXAMPLES[number].strip()


def test_no_other_example_is_shown() -> None:
    assert len(EXAMPLES) == 2
