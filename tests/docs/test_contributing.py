"""CONTRIBUTING.md leads to files and commands that exist."""

import re

import pytest

from tests.support.commands import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
#: Folders that a path in the page may count from.
FOLDERS = (ROOT, ROOT / "smarty_gateway", ROOT / "smarty_gateway/gateway", ROOT / "smarty_gateway/protocol")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_.]+)?)`", PAGE))))
def test_every_file_that_is_named_is_there(name: str) -> None:
    assert any((folder / name).exists() for folder in FOLDERS)


def test_every_file_that_is_linked_is_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)", PAGE):
        assert (ROOT / link).exists(), link


def test_every_folder_of_the_package_is_explained() -> None:
    folders = {path.parent.name for path in (ROOT / "smarty_gateway").glob("*/__init__.py")}
    assert {name for name in folders if f"`{name}/`" not in PAGE} == set()


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m ([a-z_.]+)", PAGE))))
def test_every_module_that_is_run_is_there(module: str) -> None:
    path = ROOT / module.replace(".", "/")
    assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()
