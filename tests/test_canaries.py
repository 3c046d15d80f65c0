"""A key that slips out is noticed in any form; `support/canaries.py` says where it is looked for."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from smarty_gateway.commands.usage import COMMANDS
from smarty_gateway.protocol.key_ring import LUXEMBOURG_AUTHENTICATION_KEY
from tests.support.canaries import KEYS, assert_no_key, assert_no_key_in_state, forms_of
from tests.support.commands import (
    ROOT,
    SAMPLE,
    SAMPLE_KEYS,
    as_verbose_as_it_gets,
    environment,
    smarty_gateway,
)
from tests.support.doctor_runs import house, port_sending
from tests.support.running import Running

KEY = KEYS[0]


@pytest.mark.parametrize("form", sorted(forms_of(KEY)), ids=range(len(forms_of(KEY))))
def test_every_form_of_a_key_is_noticed_in_either_case(form: bytes) -> None:
    for shown in {form, form if form == KEY else form.upper()}:
        with pytest.raises(AssertionError, match="key number 0"):
            assert_no_key(b"before " + shown + b" behind", "a log")


def test_a_key_in_the_state_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "state.sqlite3").write_bytes(b"\0" * 100 + KEY)
    with pytest.raises(AssertionError, match=r"state\.sqlite3"):
        assert_no_key_in_state(tmp_path)


def test_a_key_that_is_logged_on_purpose_turns_the_check_red(tmp_path: Path) -> None:
    script = (
        "import logging, sys\n"
        "from pathlib import Path\n"
        "from smarty_gateway.config.key_file import load_key_ring\n"
        "from smarty_gateway.logs import start_log\n"
        "start_log(verbose=True)\n"
        "ring = load_key_ring(Path(sys.argv[1]))\n"
        "key = next(iter(ring.entries().values()))[0]\n"
        "log = logging.getLogger('smarty_gateway.test')\n"
        "log.debug('the key is %s', key.encryption_key.reveal().hex() if sys.argv[2] == 'show' else key)\n"
    )
    for how in ("show", "hide"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(SAMPLE_KEYS), how],
            capture_output=True, check=True, cwd=tmp_path, env={**environment(), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert b"the key is" in done.stderr
        if how == "show":
            with pytest.raises(AssertionError, match="is in the log"):
                assert_no_key(done.stderr, "the log")
        else:
            assert_no_key(done.stderr, "the log")


def test_a_key_in_an_argument_is_noticed(tmp_path: Path) -> None:
    for start in (smarty_gateway, Running):
        with pytest.raises(AssertionError, match="key number 0 is in the arguments"):
            start("decode", KEY.hex(" "), folder=tmp_path)


TESTS_WITH_LEAKS = """
import logging, sys
from tests.support.canaries import KEYS

def test_log():
    logging.getLogger("smarty_gateway.test").debug("the key is %s", KEYS[2].hex())

def test_output():
    print(KEYS[2])

def test_errors():
    print(list(KEYS[2]), file=sys.stderr)

def test_silence():
    logging.getLogger("smarty_gateway.test").debug("there is a key")
"""


@pytest.mark.slow
def test_a_key_that_a_test_logs_or_prints_turns_it_red(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_leaks.py").write_text(TESTS_WITH_LEAKS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path, "-q", tmp_path],
        capture_output=True, check=False, cwd=tmp_path, env={**environment(), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    said = done.stdout.decode()
    assert "4 passed, 3 errors" in said
    for section, test in (("log", "log"), ("stdout", "output"), ("stderr", "errors")):
        assert f"key number 2 is in Captured {section} call of test_{test}" in said


def test_all_keys_that_tests_use_are_looked_for() -> None:
    """Those with a name that ends in KEY, and those in key files."""
    found = set()
    for folder in ("tests", "vectors"):
        for path in (ROOT / folder).rglob("*.py"):
            names = re.findall(r"(?m)^(\w*KEY)\b.*=", path.read_text("utf-8"))
            name_of_module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            module = importlib.import_module(name_of_module) if names else None
            found |= {getattr(module, name) for name in names}
    for path in (SAMPLE_KEYS, ROOT / "keys.example.yaml"):
        digits = re.findall(r"\b[0-9A-F]{32}\b|\b(?:[0-9A-F]{8} ){3}[0-9A-F]{8}\b", path.read_text("utf-8"))
        found |= set(digits)
    assert len(found) > len(KEYS)
    keys = {bytes.fromhex(key) if isinstance(key, str) else key for key in found}
    assert keys - set(KEYS) <= {LUXEMBOURG_AUTHENTICATION_KEY}


def test_commands_are_started_at_their_most_verbose(tmp_path: Path) -> None:
    """Every one whose help names -v; `decode` gives what it then says only to those who ask."""
    for name in COMMANDS:
        has_option = b"-v," in smarty_gateway(name, "--help").stdout
        assert as_verbose_as_it_gets((name,)) == ((name, "-v") if has_option and name != "demo" else (name,))
    assert (
        smarty_gateway("decode", SAMPLE, "--keys", SAMPLE_KEYS, folder=tmp_path).stderr.count(b"noise") == 0
    )
    asked = smarty_gateway("decode", "-v", SAMPLE, "--keys", SAMPLE_KEYS, folder=tmp_path)
    assert asked.stderr.count(b"noise") == 1


def test_nothing_of_a_key_file_with_faults_is_shown(tmp_path: Path) -> None:
    hexed = KEY.hex().upper()
    keys = tmp_path / "keys.yaml"
    for text in (
        f"keys:\n  SAG1030700012345: {hexed}0\n",
        f"keys:\n  {hexed}: {hexed}\n",
        f"keys:\n  any: [{hexed}, {hexed}x]\n",
        f"keys: {hexed}\n",
        f"{hexed}\n",
        f"keys:\n  any: '{hexed}\n",
        f"keys:\n  any:\n    {hexed}: x\n    encryption_key: {hexed}\n    verification: {hexed}\n",
    ):
        keys.write_text(text, "utf-8")
        keys.chmod(0o600)
        for arguments in (("check",), ("decode", "-v", SAMPLE), ("doctor", SAMPLE)):
            done = smarty_gateway(*arguments, "--keys", keys, folder=tmp_path)
            assert done.returncode == 78
            assert done.stderr


def test_every_command_with_keys_is_silent_about_them_at_its_most_verbose(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_bytes(SAMPLE_KEYS.read_bytes())
    keys.chmod(0o600)
    faulty = tmp_path / "faulty.txt"
    faulty.write_text(f"{KEY.hex()}0\n", "ascii")
    (tmp_path / "set-up").mkdir()
    shared = ("-v", "--keys", keys)
    smarty_gateway("decode", "--explain", *shared, SAMPLE, folder=tmp_path)
    smarty_gateway("doctor", "--format", "json", *shared, SAMPLE, folder=tmp_path)
    smarty_gateway("capture", *shared, SAMPLE, "plain.capture", folder=tmp_path)
    smarty_gateway("capture", "--redact", *shared, SAMPLE, "redacted.capture", folder=tmp_path)
    smarty_gateway("check", "--keys", keys, folder=tmp_path)
    smarty_gateway("demo", "-v", "--seconds", 3, folder=tmp_path)
    with port_sending(lambda number, _: house(number)) as port:
        for key_file in (keys, faulty):
            options = ("--port", port, "--broker", "none", "--yes", "--existing", "replace")
            smarty_gateway("setup", *options, "--key-file", key_file, folder=tmp_path / "set-up")
    assert_no_key((tmp_path / "set-up/gateway.yaml").read_bytes(), "gateway.yaml")
    with Running("run", *shared, "--source", SAMPLE, folder=tmp_path) as running:
        assert running.wait() == 0
    for path in tmp_path.glob("*.capture*"):
        assert_no_key(path.read_bytes(), path.name)
    assert_no_key((tmp_path / "redacted.keys.yaml").read_bytes(), "the dummy key file")
