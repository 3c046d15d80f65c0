"""Sets a new version in all files that carry it, or checks a tag and prints its notes: docs/releasing.md."""

import argparse
import datetime as dt
import re
import subprocess
import sys
from pathlib import Path

#: Nothing is imported from elsewhere: a release checks its tag before anything is installed.
ROOT = Path(__file__).resolve().parents[2]
#: The one place of the version.
PLACE = "smarty_gateway/__init__.py"
#: What writes the files that are made from it and from the changelog.
WRITERS = ("tests.docs.man_page", "tests.packaging.app_files")
_VERSION = re.compile(r'(?m)(?<=^__version__ = ")[^"]+')
#: The placeholder that stands for the publisher until there is one.
NOBODY = "github.com/OWNER/"


def version_of(root: Path) -> str:
    """Return the version of a working tree."""
    (version,) = _VERSION.findall((root / PLACE).read_text("utf-8"))
    return str(version)


def section(changelog: str, version: str) -> str:
    """Return what the changelog says of a version; empty if it has no such section."""
    found = re.search(rf"(?ms)^## \[{re.escape(version)}\].*?\n(.*?)(?=^## \[|^\[|\Z)", changelog)
    return found[1].strip() if found else ""


def prepare(root: Path, version: str, today: dt.date) -> None:
    """Write the version, and give it the changelog's section of what is unreleased."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        sys.exit(f"{version} is no version; type three numbers, such as 1.2.3")
    if _order(version) < _order(version_of(root)):
        sys.exit(f"{version} is older than {version_of(root)}, the version in {PLACE}")
    path = root / "CHANGELOG.md"
    changelog = path.read_text("utf-8")
    if section(changelog, version):
        sys.exit(f"CHANGELOG.md has a section of {version}; a version is released once: type the next one")
    if not section(changelog, "Unreleased"):
        sys.exit("CHANGELOG.md has no entry under [Unreleased]: write what changes for users")
    path.write_text(_dated(changelog, version, today), "utf-8")
    place = root / PLACE
    place.write_text(_VERSION.sub(version, place.read_text("utf-8")), "utf-8")


def _order(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _dated(changelog: str, version: str, today: dt.date) -> str:
    before = re.search(r"(?m)^## \[(\d[^]]*)\]", changelog)
    changelog = changelog.replace("## [Unreleased]\n", f"## [Unreleased]\n\n## [{version}] - {today}\n", 1)
    # The first version has nothing to be compared with.
    change = f"compare/v{before[1]}...v{version}" if before else f"releases/tag/v{version}"
    return re.sub(
        r"(?m)^\[Unreleased\]: (https://[^/]+/[^/]+/[^/]+)/.*$",
        rf"[Unreleased]: \1/compare/v{version}...HEAD" "\n" rf"[{version}]: \1/{change}",
        changelog,
    )


def notes(root: Path, tag: str) -> str:
    """Return what a release says of itself; exit where the tag must not be released."""
    version = tag.removeprefix("v")
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    if NOBODY in (root / "pyproject.toml").read_text("utf-8"):
        sys.exit(f"{NOBODY} in pyproject.toml is a placeholder: write the publisher's address there")
    if tag != f"v{version_of(root)}":
        sys.exit(f"the tag {tag} is not v{version_of(root)}, the version in {PLACE}")
    text = section(changelog, version)
    if not text:
        sys.exit(f"CHANGELOG.md has no section of {version}: python -m tests.packaging.release {version}")
    (home,) = re.findall(r"(?m)^\[Unreleased\]: (https://[^/]+/[^/]+/[^/]+)/", changelog)
    # Relative links lead nowhere on the page of a release.
    return re.sub(r"\]\((?!https?:)", f"]({home}/blob/{tag}/", text)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.packaging.release", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("version", nargs="?", help="the version to prepare, such as 1.2.3")
    what.add_argument("--check", metavar="TAG", help="print the notes of TAG, or refuse to release it")
    arguments = parser.parse_args()
    if arguments.check:
        print(notes(ROOT, arguments.check))  # noqa: T201 - the release takes it from standard output
        return
    prepare(ROOT, arguments.version, dt.datetime.now(dt.UTC).date())
    for writer in WRITERS:
        # In a process of its own, which imports the new version.
        subprocess.run([sys.executable, "-m", writer], cwd=ROOT, check=True)


if __name__ == "__main__":
    _main()
