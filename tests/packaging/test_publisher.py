"""The publisher's address stands in one place, and is written from there to all others."""

from pathlib import Path

import pytest

from tests.packaging.publisher import ROOT, main, outdated

PROJECT = '[project.urls]\nRepository = "https://github.com/{}/smarty-gateway"\n'
TEXT = (
    "https://github.com/{0}/smarty-gateway/blob/x.md https%3A%2F%2Fgithub.com%2F{0}%2Fsmarty-gateway-app\n"
    "gh attestation verify x --repo {0}/smarty-gateway; <{0}@users.noreply.github.com>\n"
    "ghcr.io/{1}/smarty-gateway-app:1 https://github.com/home-assistant/core ghcr.io/home-assistant/base\n"
)


def test_all_places_have_the_address_that_is_in_pyproject() -> None:
    assert [str(path.relative_to(ROOT)) for path, _ in outdated(ROOT)] == [], (
        "type: python -m tests.packaging.publisher"
    )


@pytest.mark.parametrize("before", ["OWNER", "somebody-else"])
def test_the_owner_is_written_wherever_an_address_of_the_project_has_one(tmp_path: Path, before: str) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT.format("Some-One"), "utf-8")
    for folder in (".github", "docs", ".venv"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "page").write_text(TEXT.format(before, before), "utf-8")
    main(tmp_path)
    written = {
        folder: (tmp_path / folder / "page").read_text("utf-8") for folder in (".github", "docs", ".venv")
    }
    expected = TEXT.format("Some-One", "some-one")
    assert written == {".github": expected, "docs": expected, ".venv": TEXT.format(before, before)}


@pytest.mark.parametrize("owner", ["", "a/b", "-x", "a b", "ü"])
def test_an_address_without_an_owner_is_refused(tmp_path: Path, owner: str) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(owner), "utf-8")
    with pytest.raises(SystemExit, match=r"write https://github\.com/OWNER/smarty-gateway"):
        main(tmp_path)
