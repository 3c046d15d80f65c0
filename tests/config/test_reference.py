"""docs/gateway-yaml.md names every key, and what it says is what the program does."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from smarty_gateway.config import reference
from smarty_gateway.config.gateway_file import read_config
from smarty_gateway.config.settings import Section, number, section, setting, switch
from smarty_gateway.config.yaml_file import UnusableFileError, YamlFile
from tests.support.commands import ROOT


def test_the_page_is_what_the_program_makes_of_its_settings() -> None:
    assert (ROOT / "docs/gateway-yaml.md").read_text("utf-8") == reference.page()


def test_the_page_of_a_pool_is_what_the_program_makes_of_its_settings() -> None:
    assert (ROOT / "docs/pool-yaml.md").read_text("utf-8") == reference.pool_page()


@pytest.mark.parametrize("rows", [reference.rows(), reference.pool_rows()], ids=["gateway", "pool"])
def test_every_row_has_a_meaning_and_one_of_values_and_keys_below(rows: Iterator[reference.Row]) -> None:
    found = list(rows)
    assert len({row.path for row in found}) == len(found)
    for row in found:
        assert row.meaning
        assert row.values or any(other.path.startswith(f"{row.path}.") for other in found)
        assert "|" not in row.values + row.meaning


@pytest.mark.parametrize("key", [row.path for row in reference.rows() if row.default == "required"])
def test_a_key_that_the_page_calls_required_is_missed(key: str, tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        {
            "meters": "{}",
            "meters[].source": "meters: [{}]",
            "meters[].reference_power[].from": f"{LEVELS}[{{kw: 7}}]",
            "meters[].reference_power[].kw": f"{LEVELS}[{{from: 2026-01-01}}]",
            "outputs.tcp[].listen": f"{PORT}outputs: {{tcp: [{{meter: house}}]}}",
            "outputs.pty[].link": f"{PORT}outputs: {{pty: [{{mode: 0660}}]}}",
            "outputs.udp[].address": f"{PORT}outputs: {{udp: [{{format: json}}]}}",
            "outputs.influxdb.url": f"{PORT}outputs: {{influxdb: {{database: smarty}}}}",
            "outputs.domoticz.devices": f"{PORT}outputs: {{domoticz: {{interval: 10}}}}",
            "outputs.files.folder": f"{PORT}outputs: {{files: {{}}}}",
            "outputs.mail.server": f"{PORT}outputs: {{mail: {{from: a@example.org, to: b@example.org}}}}",
            "outputs.mail.from": f"{MAIL}to: b@example.org}}}}",
            "outputs.mail.to": f"{MAIL}from: a@example.org}}}}",
            "outputs.forward.urls": f"{PORT}outputs: {{forward: {{topic: x}}}}",
        }.get(key, f"{PORT}outputs: {{mqtt: {{}}}}")
    )
    _, (error,) = read_config(path)
    name = key.rpartition(".")[2]
    assert error.message.startswith(f"{name} is missing; add a line such as `{name}: ")


PORT = "meters: [{source: /dev/ttyS0, name: house}]\n"
MAIL = f"{PORT}outputs: {{mail: {{server: smtps://me@mail.example, "
LEVELS = "meters:\n  - source: /dev/ttyS0\n    reference_power: "


@dataclass(frozen=True, slots=True)
class Database:
    """An output that is still to come."""

    limit: int = setting(number(1, 9), "how many", example="3")
    port: int = setting(number(1, 65535), "where it listens", default=8086)


@dataclass(frozen=True, slots=True)
class Everything:
    """All outputs."""

    database: Database | None = setting(section(Database), "a database", default=None)
    other: Database | None = setting(switch(Database), "another", default=None)


def read(path: Path, text: str) -> tuple[Everything | None, list[str]]:
    path.write_text(text)
    file = YamlFile(path, "configuration", UnusableFileError)
    found = Section(file, file.compose(), Everything, "the file").build()
    return found, [f"{error.line}: {error.message}" for error in file.errors]


def test_a_new_key_is_one_field(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    assert read(path, "database: {port: 1, limit: 3}") == (Everything(Database(3, 1)), [])
    assert read(path, "database:\n  limit: 10\n  prot: 1\n") == (
        Everything(),
        [
            "2: limit is a whole number from 1 to 9",
            "3: 'prot' is not a known key; did you mean 'port'?",
        ],
    )
    assert read(path, "database: {}") == (
        Everything(),
        ["1: limit is missing; add a line such as `limit: 3`"],
    )
    assert [row.path for row in reference.rows(Everything)] == [
        "database", "database.limit", "database.port", "other", "other.limit", "other.port",
    ]  # fmt: skip
    assert reference.Row("database.limit", "a whole number from 1 to 9", "required", "how many") in (
        reference.rows(Everything)
    )
