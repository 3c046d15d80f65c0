"""What .github/ tells GitHub to run is pinned, bounded, and names what is there."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import ROOT

FOLDER = ROOT / ".github/workflows"
TEXTS = {path.name: path.read_text("utf-8") for path in sorted(FOLDER.glob("*.yml"))}
WORKFLOWS: dict[str, dict[str, Any]] = {name: yaml.safe_load(text) for name, text in TEXTS.items()}
JOBS = [
    pytest.param(job, id=f"{name}: {key}")
    for name, workflow in WORKFLOWS.items()
    for key, job in workflow["jobs"].items()
]
#: Files in the repository, as commands name them.
_FILES = re.compile(r"(?<![\w/.-])(?:deploy|\.ci|\.github)/[\w./-]*\w")
_BASH = shutil.which("bash") or "bash"
_MODULES = re.compile(r"python -m ((?:tests|benchmarks|vectors)[\w.]+)")


def scripts(job: dict[str, Any]) -> Iterator[str]:
    """Yield what a job runs."""
    for step in job.get("steps", []):
        if "run" in step:
            yield step["run"]


def all_scripts() -> Iterator[str]:
    """Yield what all jobs run."""
    for workflow in WORKFLOWS.values():
        for job in workflow["jobs"].values():
            yield from scripts(job)


def test_every_action_is_pinned_by_a_commit_and_names_its_version() -> None:
    hashes: dict[str, set[str]] = {}
    for text in TEXTS.values():
        for uses in re.findall(r"(?m)^ +(?:- )?uses: (.+)$", text):
            if uses.startswith("./"):
                continue
            pinned = re.fullmatch(r"([\w-]+/[\w/-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)", uses)
            assert pinned, uses
            hashes.setdefault(pinned[1], set()).add(pinned[2])
    assert len(hashes) >= 5
    assert {name: found for name, found in hashes.items() if len(found) > 1} == {}


@pytest.mark.parametrize("job", JOBS)
def test_every_job_says_what_it_may_do_and_how_long(job: dict[str, Any]) -> None:
    assert job["permissions"]
    assert "uses" in job or job["timeout-minutes"] <= 60


def test_no_workflow_grants_anything_to_all_of_its_jobs() -> None:
    assert {name: workflow["permissions"] for name, workflow in WORKFLOWS.items()} == {
        name: {} for name in TEXTS
    }


def test_only_jobs_behind_the_tests_may_write() -> None:
    for key, job in WORKFLOWS["release.yml"]["jobs"].items():
        writes = {name for name, access in job["permissions"].items() if access == "write"}
        assert not writes or ancestors(key) >= {"build", "test"}, key
    for job in WORKFLOWS["test.yml"]["jobs"].values():
        assert job["permissions"] == {"contents": "read"}


def ancestors(key: str) -> set[str]:
    """Return all jobs of the release that a job waits for."""
    needs = WORKFLOWS["release.yml"]["jobs"][key].get("needs", [])
    named = {needs} if isinstance(needs, str) else set(needs)
    return named.union(*(ancestors(name) for name in named))


def test_no_script_contains_what_others_can_choose() -> None:
    # An expression is pasted into a script before bash reads it; a variable is not.
    assert [script for script in all_scripts() if "${{" in script] == []


def test_every_file_that_a_script_names_is_there() -> None:
    named = {name for script in all_scripts() for name in _FILES.findall(script)}
    modules = {name for script in all_scripts() for name in _MODULES.findall(script)}
    assert named >= {".ci/run", "deploy/debian/build", "deploy/container/Containerfile"}
    assert modules >= {"tests.packaging.release"}
    assert {name for name in named if not (ROOT / name).exists()} == set()
    assert {
        name for name in modules if not (ROOT / name.replace(".", "/")).with_suffix(".py").exists()
    } == set()


def test_every_script_is_bash() -> None:
    for script in all_scripts():
        done = subprocess.run([_BASH, "-n"], input=script, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), script
    shells = {workflow["defaults"]["run"]["shell"] for workflow in WORKFLOWS.values()}
    assert shells == {"bash"}  # with pipefail, which GitHub's default has not


def test_the_newest_release_has_the_files_that_the_install_page_names_and_their_checksums(
    tmp_path: Path,
) -> None:
    uploaded = {
        "notes.md", "smarty-gateway-1.2.3.cdx.json", "smarty-gateway_1.2.3_all.deb",
        "smarty_gateway-1.2.3-py3-none-any.whl", "smarty_gateway-1.2.3.tar.gz",
    }  # fmt: skip
    files = tmp_path / "files"
    files.mkdir()
    for name in uploaded:
        (files / name).write_text(name, "utf-8")
    (add_up,) = (script for script in all_scripts() if "SHA256SUMS" in script)
    subprocess.run([_BASH, "-eo", "pipefail", "-c", add_up], cwd=tmp_path, check=True)
    held = {path.name for path in files.iterdir()}
    named = set(
        re.findall(r"releases/latest/download/([\w.-]+)", (ROOT / "docs/install.md").read_text("utf-8"))
    )
    assert named == {"smarty-gateway_all.deb"}
    assert held == uploaded - {"notes.md"} | named | {"SHA256SUMS"}
    sums = (files / "SHA256SUMS").read_text("utf-8").split()
    assert set(sums[1::2]) == held - {"SHA256SUMS"}


def test_a_job_takes_artifacts_by_the_numbers_that_their_makers_passed_on() -> None:
    # A job of the tests could put another artifact of the same name in its place.
    steps = [step for job in WORKFLOWS["release.yml"]["jobs"].values() for step in job.get("steps", [])]
    taken = [step["with"] for step in steps if "download-artifact" in step.get("uses", "")]
    assert taken
    assert [given for given in taken if "needs." not in given.get("artifact-ids", "")] == []


@pytest.mark.slow
def test_the_version_that_one_command_sets_is_in_all_that_is_built(released: Path) -> None:
    built = {path.name for path in (released / "dist").iterdir()}
    assert built == {"smarty_gateway-98.7.6-py3-none-any.whl", "smarty_gateway-98.7.6.tar.gz"}
    assert "98.7.6" in (released / "deploy/smarty-gateway.1").read_text("utf-8").split("\n", 1)[0]
    app = released / "deploy/home-assistant/smarty-gateway"
    assert yaml.safe_load((app / "config.yaml").read_text("utf-8"))["version"] == "98.7.6"
    assert "## [98.7.6] - " in (app / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.slow
def test_the_list_of_packages_holds_the_gateway_and_all_that_the_lock_file_has(released: Path) -> None:
    text = (released / "about/smarty-gateway-98.7.6.cdx.json").read_text("utf-8")
    packages = json.loads(text)["components"]
    lock = (released / "deploy/container/requirements.txt").read_text("utf-8")
    locked = set(re.findall(r"(?m)^([\w.-]+==[^ ;\\]+)", lock))
    listed = {f"{package['name'].lower().replace('_', '-')}=={package['version']}" for package in packages}
    assert listed == {*locked, "smarty-gateway==98.7.6"}
    assert "pkg:pypi/smarty-gateway@98.7.6" in {package.get("purl") for package in packages}
    assert "file://" not in text, "the list names a folder of the machine that made it"


@pytest.mark.slow
def test_the_notes_of_a_release_are_its_part_of_the_changelog_with_links_that_lead_somewhere(
    released: Path,
) -> None:
    notes = (released / "about/notes.md").read_text("utf-8")
    assert "### Added" in notes
    assert re.findall(r"\]\((?!https://)[^)]*\)", notes) == []
    assert "(https://github.com/somebody/smarty-gateway/blob/v98.7.6/docs/" in notes
