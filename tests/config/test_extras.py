"""The advice for a missing library fits the way in which the gateway was installed."""

import re
import sys
from pathlib import Path

import pytest

from smarty_gateway.config import extras
from tests.support.commands import ROOT


def test_pip_is_advised_where_pip_installed_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert extras.installation("web", "plot") == "pip install 'smarty-gateway[web,plot]'"


def test_the_pip_of_its_own_environment_is_advised_with_the_rights_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    line = f"{tmp_path}/bin/python -m pip install 'smarty-gateway[web]'"
    assert extras.installation("web") == line
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "root's"))
    assert extras.installation("web").startswith("sudo '")


def test_apt_is_advised_for_the_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "__file__", "/usr/lib/python3/dist-packages/smarty_gateway/config/extras.py")
    assert extras.installation("plot") == "sudo apt install python3-cairosvg python3-pygal"
    assert extras.installation("plot", "web").count("python3-pygal") == 1


def test_the_debian_package_recommends_or_suggests_what_it_advises() -> None:
    control = (ROOT / "deploy/debian/control").read_text("utf-8")
    optional = re.findall(r"^ (python3-[\w-]+)", control.partition("Recommends:")[2], re.MULTILINE)
    assert {package for names in extras.DEBIAN_PACKAGES.values() for package in names} <= set(optional)
