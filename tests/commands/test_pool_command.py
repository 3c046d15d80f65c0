"""`smarty-gateway pool`: what an operator types, and what is said without a cluster and a database."""

from pathlib import Path

import pytest

from smarty_gateway.config.key_folder import KeyFolder
from smarty_gateway.protocol.shards import SHARDS, shard_of
from smarty_gateway.protocol.system_title import system_title_from_serial
from tests.support.commands import smarty_gateway

KEY = "4D3C2B1A09F8E7D6C5B4A39281706F5E"
SERIAL = "SAG1030700012345"
SHARD = shard_of(system_title_from_serial(SERIAL))
POOL = """\
nodes: amqp://worker@localhost:1
management: http://localhost:1
password_file: amqp.password
database: {url: "postgresql://smarty@localhost:1/smarty"}
keys: keys
"""


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a pool.yaml that has no fault, whose servers are away."""
    write(tmp_path / "pool.yaml", POOL)
    write(tmp_path / "amqp.password", "secret\n")
    (tmp_path / "keys").mkdir(mode=0o700)
    write(tmp_path / f"keys/shard-{SHARD:02}.yaml", f"keys:\n  {SERIAL}: {KEY}\n")
    return tmp_path


def pool(folder: Path, *arguments: object, data: bytes | None = None) -> tuple[int, list[str], list[str]]:
    """Return exit status, and the lines of standard output and standard error."""
    done = smarty_gateway("pool", *arguments, folder=folder, data=data)
    assert b"secret" not in done.stdout + done.stderr
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode().splitlines()


@pytest.mark.parametrize("command", ["check", "declare", "run", "add-keys -"])
def test_without_a_configuration_one_line_says_what_to_do(command: str, tmp_path: Path) -> None:
    status, _, (error,) = pool(tmp_path, *command.split())
    assert status == 2
    assert "there is no pool.yaml here or in /etc/smarty-gateway; copy deploy/pool/pool.example" in error


@pytest.mark.parametrize("command", ["declare", "run", "add-keys -"])
def test_a_configuration_with_a_fault_starts_nothing(command: str, folder: Path) -> None:
    write(folder / "pool.yaml", POOL + "shards: 8\n")
    status, _, (error,) = pool(folder, *command.split())
    assert status == 78
    assert (
        error
        == "smarty-gateway: pool.yaml:6: 'shards' is not a known key; remove this line: there are 64 shards"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required: SUBCOMMAND"),
        (("chekc",), "invalid choice: 'chekc'"),
        (("run", "--worker", "a b"), "a worker has a name of 1 to 64 letters"),
        (("declare", "--edge", "a/b"), "the user of an edge has a name of 1 to 64 characters"),
        (("check", "--keys", "x"), "no option --keys"),
        (("add-keys",), "the following arguments are required: FILE"),
        (("add-keys", "nowhere.csv"), "nowhere.csv: no such file"),
    ],
    ids=range(7),
)
def test_wrong_usage_is_answered_with_one_line(arguments: tuple[str, ...], said: str, folder: Path) -> None:
    status, _, (error,) = pool(folder, *arguments)
    assert status == 2
    assert said in error


def test_check_reports_all_faults_of_all_files_and_then_looks_at_nothing_else(folder: Path) -> None:
    plaintext = f'plaintext: [{{meter_id: "{SERIAL.lower()}", user: edge}}]\n'
    write(folder / "pool.yaml", f"{POOL}shards: 8\n{plaintext}worker: a b\n")
    (folder / f"keys/shard-{SHARD:02}.yaml").chmod(0o644)
    wrong = (SHARD + 1) % SHARDS
    lines = "".join(f"  SAG10307{number:08}: {KEY}\n" for number in range(500, 510))
    write(folder / f"keys/shard-{wrong:02}.yaml", f"keys:\n  {SERIAL}: {KEY}\n{lines}")
    write(folder / "keys/shard-7.yaml", f"keys:\n  {SERIAL}: {KEY}\n")
    status, out, errors = pool(folder, "check")
    text = "\n".join(errors)
    assert (status, out) == (78, [])
    assert "pool.yaml:6: 'shards' is not a known key" in text
    assert "pool.yaml:8: a worker has a name" in text
    assert f"shard-{SHARD:02}.yaml: others on this machine can read the keys in it; type: chmod 600" in text
    assert f"shard-{wrong:02}.yaml:2: this meter belongs to shard {SHARD}; move it to" in text
    assert f"shard-{wrong:02}.yaml: and " in text
    assert f"plaintext: the meter {SERIAL.lower()} has a key in shard-{SHARD:02}.yaml" in text
    assert (
        "keys/shard-7.yaml: nobody reads this file; type smarty-gateway pool add-keys FILE, and remove it"
        in text
    )
    assert errors[-1].startswith("note: the cluster and the database were not looked at")


def test_check_says_of_each_server_that_it_is_away(folder: Path) -> None:
    status, out, errors = pool(folder, "check")
    assert (status, out) == (
        1,
        ["pool.yaml: good, 1 node, 0 plaintext meters", f"{folder}/keys: good, 1 meter in 1 file"],
    )
    assert any("localhost:1" in line and "database" in line for line in errors)
    assert any("localhost:1" in line and "database" not in line for line in errors)
    assert not any("bug" in line for line in errors)
    assert len(set(errors)) == len(errors) == 3


def test_check_counts_the_meters_whose_frames_prove_nothing(folder: Path) -> None:
    entry = f"{{encryption_key: {KEY}, verification: crc-only}}"
    write(folder / f"keys/shard-{SHARD:02}.yaml", f"keys:\n  {SERIAL}: {entry}\n")
    _, out, _ = pool(folder, "check")
    assert out[-1].endswith(
        "1 meter in 1 file, 1 meter with crc-only, whose readings anybody on the way can change"
    )


@pytest.mark.parametrize("command", ["check", "declare", "run"])
def test_the_line_that_installs_the_extra_is_shown_where_it_is_missing(
    command: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smarty_gateway.config.needs._POOL", ("no_such_library",))
    status, _, errors = pool(folder, command)
    assert status == 78
    assert "a pool needs the extra pool; type: " in errors[0]
    assert "pip install 'smarty-gateway[pool]'" in errors[0]


def test_the_package_of_the_database_library_is_named_where_it_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smarty_gateway.config.needs._has_libpq", lambda: False)
    status, _, (error,) = pool(folder, "run")
    assert (status, "type: sudo apt install libpq5" in error) == (78, True)


def test_no_worker_starts_without_password_or_keys(folder: Path) -> None:
    """Without keys it would refuse all frames, and so lose them."""
    (folder / "amqp.password").chmod(0o644)
    status, _, (error,) = pool(folder, "run")
    assert (status, "amqp.password: others on this machine can read the password" in error) == (78, True)
    (folder / "amqp.password").chmod(0o600)
    (folder / f"keys/shard-{SHARD:02}.yaml").unlink()
    status, _, (error,) = pool(folder, "run")
    assert (status, "keys: there is no key file in this folder; type" in error) == (78, True)
    (folder / "keys").rmdir()
    status, _, (error,) = pool(folder, "run")
    assert (status, "keys: there is no such folder for the key files; type: mkdir -m 700" in error) == (
        78,
        True,
    )


def test_keys_are_added_from_a_file_or_a_pipe_and_counted(folder: Path) -> None:
    table = "".join(f"SAG10307{number:08};{KEY}\n" for number in range(10)).encode()
    (folder / "new.csv").write_bytes(table)
    (folder / "new.csv").chmod(0o644)
    status, (line,), (warning,) = pool(folder, "add-keys", "new.csv")
    assert status == 0
    assert line.startswith(f"{folder}/keys: the keys of 10 meters were added to ")
    assert warning.startswith("warning: new.csv: others on this machine can read the keys in it")
    assert pool(folder, "add-keys", "-", data=table)[1][0].endswith("; those of 10 meters were there already")
    rings = [KeyFolder(folder / "keys").load(shard) for shard in range(SHARDS)]
    assert sum(len(ring.entries()) for ring in rings) == 11


def test_a_meter_that_may_send_plaintext_gets_no_key(folder: Path) -> None:
    serial = "SAG1030700000001"
    plaintext = f'plaintext: [{{meter_id: "{serial.lower()}", user: edge}}]\n'
    write(folder / "pool.yaml", POOL + plaintext)
    status, _, errors = pool(folder, "add-keys", "-", data=f"{serial},{KEY}\n".encode())
    said = f"standard input: the meter {serial} is in `plaintext` of pool.yaml; remove it there"
    assert (status, errors[0]) == (78, said)


def test_keys_with_faults_are_not_added_and_not_shown(folder: Path) -> None:
    before = sorted((folder / "keys").iterdir())
    table = "".join(f"SAG10307{number:08};{KEY}{number}\n" for number in range(30)).encode()
    status, out, errors = pool(folder, "add-keys", "-", data=table)
    assert (status, out, len(errors)) == (78, [], 21)
    assert errors[0] == "standard input:1: a key has 32 hex digits, this one has 33"
    assert errors[-1].startswith("30 faults, and nothing was added")
    assert pool(folder, "add-keys", "missing.csv")[2] == ["smarty-gateway: missing.csv: no such file"]
    assert sorted((folder / "keys").iterdir()) == before
