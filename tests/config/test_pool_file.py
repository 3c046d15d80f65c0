"""pool.yaml: what a pool's workers need is read, and what would lose or show readings is refused."""

import re
from pathlib import Path

import pytest

from smarty_gateway.config.needs import pool_needs
from smarty_gateway.config.pool_file import find_pool_file, load_pool_config, read_pool_config
from smarty_gateway.config.pool_values import DatabaseConfig, PlaintextMeter, ServerAddress
from smarty_gateway.config.reference import pool_rows
from smarty_gateway.config.warnings import pool_warnings
from smarty_gateway.config.yaml_file import UnusableFileError
from tests.support.commands import ROOT

NODES = "nodes: [amqps://worker@a.example, amqps://worker@b.example:5000, amqps://worker@c.example]\n"
GOOD = f"""{NODES}password_file: amqp.password
database: {{password_file: db.password,
  url: "postgresql://smarty@db.example/smarty"}}
keys: keys
"""


def faults(folder: Path, text: str) -> list[str]:
    """Return line and message of each fault."""
    path = folder / "pool.yaml"
    path.write_text(text, "utf-8")
    return [f"{error.line}: {error.message}" for error in read_pool_config(path)[1]]


def test_a_configuration_names_cluster_database_and_keys(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(f'{GOOD}plaintext: [{{meter_id: "1SAG1100000001", user: edge-barn}}]\n')
    config = load_pool_config(path)
    assert config.nodes[1] == ServerAddress("b.example", 5000, tls=True, user="worker")
    assert [node.port for node in config.nodes] == [5671, 5000, 5671]
    assert config.database == DatabaseConfig("db.example", 5432, "smarty", "smarty", tmp_path / "db.password")
    assert (config.keys, config.password_file) == (tmp_path / "keys", tmp_path / "amqp.password")
    assert config.plaintext == (PlaintextMeter("1SAG1100000001", "edge-barn"),)
    assert (config.topic, config.vhost, config.worker) == ("smarty/raw", "/", None)


def test_the_first_file_that_exists_is_found(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    assert find_pool_file([tmp_path / "a", tmp_path / "b"]) == tmp_path / "b"
    assert find_pool_file([tmp_path / "a"]) is None


def test_all_faults_are_found_with_their_lines(tmp_path: Path) -> None:
    text = f"{NODES}psasword_file: a\ndatabase: {{url: postgresql://db.example/x}}\nworker: a b\n"
    assert faults(tmp_path, text) == [
        "1: keys is missing; add a line such as `keys: /etc/smarty-gateway/keys`",
        "2: 'psasword_file' is not a known key; did you mean 'password_file'?",
        "3: write the url as postgresql://USER@HOST/DATABASE",
        "4: a worker has a name of 1 to 64 letters, digits and the signs _ . -",
    ]
    with pytest.raises(UnusableFileError, match=r"pool\.yaml:1: keys is missing"):
        load_pool_config(tmp_path / "pool.yaml")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("worker@b", "other@b", "1: the nodes of a cluster share their users; write the same for all"),
        ("worker@b", "b", "1: each node needs the user; write amqps://USER@HOST"),
        ("b.example:5000", "A.example:5671", "1: a node is there twice; write each once"),
        ("worker@b", "worker:secret@b", "1: a password is never part of the url"),
        ("smarty@db", "smarty:secret@db", "4: a password is never part of the url"),
        ("db.example/smarty", "db.example/smarty?sslmode=disable", "4: write the url as postgresql://"),
        ("password_file: amqp.password\n", "", "1: the user needs a password"),
        ("amqps://worker@a", "amqp://worker@a", "1: the password would leave this machine in clear"),
        ("keys: keys", "keys: keys\nmanagement: http://a.example", "6: the password would leave"),
        ("keys: keys", "keys: keys\nmanagement_password_file: a", "6: name one user for all of the"),
        ("keys: keys", "keys: keys\nmanagement: [https://a@b, https://c@d]", "6: name one user for all"),
        ("keys: keys", "keys: keys\nmanagement: https://a@b", "6: this user needs a password"),
        ("keys: keys", "keys: keys\ntopic: smarty/#", "6: the topic has letters, digits"),
        ("keys: keys", "keys: keys\ntopic: smarty.raw", "6: the topic has letters, digits"),
        ("keys: keys", "keys: keys\nplaintext: [{meter_id: health, user: e}]", "6: the name health is"),
        ("keys: keys", "keys: keys\nhttp: {listen: '0.0.0.0:8300'}", "6: other machines can reach"),
        ("keys: keys", "keys: keys\noutputs: {http: true}", "6: 'http' is not a known key; write it at"),
    ],
)  # fmt: skip
def test_a_fault_is_reported_with_what_to_write(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in GOOD
    (found,) = faults(tmp_path, GOOD.replace(old, new, 1))
    assert found.startswith(said)
    assert "secret" not in found


def test_nothing_needs_tls_on_this_machine_or_where_the_network_is_trusted(tmp_path: Path) -> None:
    here = GOOD.replace(NODES, "nodes: amqp://worker@localhost\nmanagement: http://127.0.0.1:15672\n")
    assert faults(tmp_path, here) == []
    assert faults(tmp_path, GOOD.replace("amqps", "amqp") + "trusted_network: true\n") == []
    (warning, *_) = pool_warnings(load_pool_config(tmp_path / "pool.yaml"))
    assert "the values of plaintext meters, are not encrypted" in warning


@pytest.mark.parametrize(
    ("meter", "said"),
    [
        ("{meter_id: 5341476700000001, user: a}", "this looks like a system title"),
        ("{meter_id: 53:41:47:67:00:00:00:1A, user: a}", "this looks like a system title"),
        ("{meter_id: '1SAG1100000001', user: a/b}", "the user of an edge has a name of 1 to 64"),
        ("{meter_id: '--', user: a}", "a meter_id has letters or digits"),
        (f"{{meter_id: '{'1' * 97}', user: a}}", "a meter_id has at most 96 characters"),
        ("{meter_id: '2SAG-1100000002', user: b}", "this meter already has an entry in line 7"),
    ],
)
def test_a_plaintext_meter_has_one_entry_and_the_name_of_no_other(
    meter: str, said: str, tmp_path: Path
) -> None:
    text = f"{GOOD}plaintext:\n  - {{meter_id: '2SAG1100000002', user: a}}\n  - {meter}\n"
    (found,) = faults(tmp_path, text)
    assert found.startswith(f"8: {said}")


@pytest.mark.parametrize("key", ["client_id: a", "durability: each", "home_assistant: true", "values: true"])
def test_what_mqtt_has_for_a_household_is_refused(key: str, tmp_path: Path) -> None:
    (found,) = faults(tmp_path, f"{GOOD}outputs:\n  mqtt:\n    url: mqtt://localhost\n    {key}\n")
    assert found.startswith(f"9: {key.partition(':')[0]} is not for a pool: ")


def test_the_example_has_no_fault_with_every_line_switched_on_and_explains_all(tmp_path: Path) -> None:
    text = (ROOT / "deploy/pool/pool.example.yaml").read_text("utf-8")
    assert faults(tmp_path, text) == []
    switched_on = re.sub(r"^( *)# ((?:  )?[a-z_]+:(?: .*)?)$", r"\1\2", text, flags=re.MULTILINE)
    assert switched_on.count("#") < text.count("#") - 15
    assert faults(tmp_path, switched_on) == []
    names = {row.path.rpartition(".")[2] for row in pool_rows()}
    assert {name for name in names if not re.search(rf"\b{name}:[ \n]", text)} == set()


def test_a_broker_on_a_machine_of_the_cluster_is_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(f"{GOOD}outputs: {{mqtt: {{url: mqtts://b.example}}}}\n")
    assert any(
        "retained messages are local to a node" in each for each in pool_warnings(load_pool_config(path))
    )
    path.write_text(f"{GOOD}outputs: {{mqtt: {{url: mqtts://d.example}}}}\n")
    assert not any("retained" in each for each in pool_warnings(load_pool_config(path)))


def test_each_password_file_that_cannot_be_read_is_said_once(tmp_path: Path) -> None:
    text = GOOD + "management: https://admin@a.example\nmanagement_password_file: admin.password\n"
    file = tmp_path / "pool.yaml"
    file.write_text(text, "utf-8")
    said = [str(need) for need in pool_needs(load_pool_config(file)) if "password" in str(need)]
    assert len(said) == len(set(said)) == 3
    assert sum(line.startswith("management: ") for line in said) == 1
