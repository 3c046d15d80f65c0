"""A version is set by one command, and the changelog has the form that users and the release read."""

import datetime as dt
import re
from pathlib import Path

import pytest

from smarty_gateway import __version__
from tests.packaging import release

CHANGELOG = (release.ROOT / "CHANGELOG.md").read_text("utf-8")
KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
TODAY = dt.date(2030, 1, 31)


def test_the_changelog_begins_with_what_is_unreleased_and_newer_versions_come_first() -> None:
    headings = re.findall(r"(?m)^## (.*)$", CHANGELOG)
    assert headings[0] == "[Unreleased]"
    found = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", heading) for heading in headings[1:]]
    assert None not in found
    versions = [tuple(map(int, match.groups())) for match in found if match]
    assert versions == sorted(set(versions), reverse=True)


def test_the_newest_version_of_the_changelog_is_the_one_of_the_program() -> None:
    newest = re.findall(r"(?m)^## \[(\d[^]]*)\]", CHANGELOG)[:1]
    # Nothing was released at first.
    assert newest in ([], [__version__])


def test_every_entry_of_the_changelog_is_one_line_under_one_of_the_six_kinds() -> None:
    for part in re.split(r"(?m)^## .*\n", CHANGELOG.partition("\n[Unreleased]:")[0])[1:]:
        kinds = re.findall(r"(?m)^### (.*)$", part)
        assert kinds == [kind for kind in KINDS if kind in kinds]
        for entries in re.split(r"(?m)^### .*\n", part)[1:]:
            assert [line for line in entries.splitlines() if line and not line.startswith("* ")] == []


def test_every_version_of_the_changelog_has_a_link() -> None:
    versions = re.findall(r"(?m)^## \[([^]]+)\]", CHANGELOG)
    assert re.findall(r"(?m)^\[([^]]+)\]: https://", CHANGELOG) == versions


def test_every_page_that_the_changelog_names_is_there() -> None:
    links = re.findall(r"\]\(([^):#]+)[)#]", CHANGELOG)
    assert len(links) > 10
    assert [link for link in links if not (release.ROOT / link).exists()] == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a repository with one version and something unreleased."""
    (tmp_path / "smarty_gateway").mkdir()
    (tmp_path / release.PLACE).write_text('"""A package."""\n\n__version__ = "1.2.0"\n', "utf-8")
    (tmp_path / "pyproject.toml").write_text('Source = "https://github.com/somebody/x"\n', "utf-8")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [Unreleased]\n\n### Added\n\n* New: [a page](docs/new.md)\n\n"
        "## [1.2.0] - 2029-05-06\n\n### Fixed\n\n* Old.\n\n"
        "[Unreleased]: https://github.com/somebody/x/compare/v1.2.0...HEAD\n"
        "[1.2.0]: https://github.com/somebody/x/releases/tag/v1.2.0\n",
        "utf-8",
    )
    return tmp_path


def test_a_new_version_takes_what_was_unreleased_and_is_compared_with_the_one_before(tree: Path) -> None:
    release.prepare(tree, "1.3.0", TODAY)
    assert release.version_of(tree) == "1.3.0"
    assert (tree / "CHANGELOG.md").read_text("utf-8") == (
        "# Changelog\n\n## [Unreleased]\n\n## [1.3.0] - 2030-01-31\n\n"
        "### Added\n\n* New: [a page](docs/new.md)\n\n"
        "## [1.2.0] - 2029-05-06\n\n### Fixed\n\n* Old.\n\n"
        "[Unreleased]: https://github.com/somebody/x/compare/v1.3.0...HEAD\n"
        "[1.3.0]: https://github.com/somebody/x/compare/v1.2.0...v1.3.0\n"
        "[1.2.0]: https://github.com/somebody/x/releases/tag/v1.2.0\n"
    )


def test_the_first_version_of_all_may_be_the_one_that_the_program_has(tree: Path) -> None:
    path = tree / "CHANGELOG.md"
    text = path.read_text("utf-8")
    first = text[: text.index("## [1.2.0]")] + "[Unreleased]: https://github.com/somebody/x/commits/main\n"
    path.write_text(first, "utf-8")
    release.prepare(tree, "1.2.0", TODAY)
    assert path.read_text("utf-8").endswith(
        "* New: [a page](docs/new.md)\n\n[Unreleased]: https://github.com/somebody/x/compare/v1.2.0...HEAD\n"
        "[1.2.0]: https://github.com/somebody/x/releases/tag/v1.2.0\n"
    )
    assert release.notes(tree, "v1.2.0").startswith("### Added")


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.3", "type three numbers"),
        ("v1.3.0", "type three numbers"),
        ("1.1.9", "older than 1.2.0"),
        ("1.2.0", "released once"),
    ],
)
def test_what_is_no_next_version_changes_nothing(tree: Path, version: str, words: str) -> None:
    before = (tree / "CHANGELOG.md").read_text("utf-8")
    with pytest.raises(SystemExit, match=words):
        release.prepare(tree, version, TODAY)
    assert (release.version_of(tree), (tree / "CHANGELOG.md").read_text("utf-8")) == ("1.2.0", before)


def test_a_version_without_a_change_for_users_is_refused(tree: Path) -> None:
    release.prepare(tree, "1.3.0", TODAY)
    with pytest.raises(SystemExit, match="no entry under"):
        release.prepare(tree, "1.4.0", TODAY)


def test_the_notes_of_a_tag_link_to_the_pages_of_that_tag(tree: Path) -> None:
    release.prepare(tree, "1.3.0", TODAY)
    assert release.notes(tree, "v1.3.0") == (
        "### Added\n\n* New: [a page](https://github.com/somebody/x/blob/v1.3.0/docs/new.md)"
    )


@pytest.mark.parametrize("tag", ["v1.2.1", "1.2.0", "main"])
def test_a_tag_that_is_not_the_version_of_the_program_is_not_released(tree: Path, tag: str) -> None:
    with pytest.raises(SystemExit, match=r"is not v1\.2\.0"):
        release.notes(tree, tag)


def test_a_tag_without_a_part_of_the_changelog_is_not_released(tree: Path) -> None:
    (tree / release.PLACE).write_text('__version__ = "1.3.0"\n', "utf-8")
    with pytest.raises(SystemExit, match=r"has no section of 1\.3\.0"):
        release.notes(tree, "v1.3.0")


def test_nothing_is_released_in_the_name_of_the_placeholder(tree: Path) -> None:
    (tree / "pyproject.toml").write_text('Source = "https://github.com/OWNER/x"\n', "utf-8")
    with pytest.raises(SystemExit, match="placeholder"):
        release.notes(tree, "v1.2.0")
