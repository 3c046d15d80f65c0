"""`setup` leads from nothing to the first reading: at a terminal question by question, and from a script."""

import os
import random
import signal
import stat
import subprocess
import sys
import termios
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from smarty_gateway.setup.answers import GATEWAY_FILE, KEY_FILE, PAGE_PASSWORD_FILE, PASSWORD_FILE
from tests.support.brokers import Broker, free_port
from tests.support.commands import environment, smarty_gateway, smarty_gateway_process
from tests.support.doctor_runs import HOUSE, NOBODYS_KEY, house, port_sending
from tests.support.running import Running, wait_until
from tests.support.typing_user import TypingUser
from tests.test_terminal import EVIL, PLAIN
from vectors.building_blocks import AUTHENTICATION_KEY, HOUSE_KEY, belgium

KEY = HOUSE_KEY.hex(" ")
PASSWORD = "correct horse"  # noqa: S105 - of no one
ADAPTER = "serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"

KEY_QUESTION = f"Key of {HOUSE}:"
PORT_QUESTION = "Which port"
NAME_QUESTION = "Name of the meter [house]:"
POWER_QUESTION = "Reference power in kW [not known]:"
BROKER_QUESTION = "Broker ["
PAGE_QUESTION = "Page [here]:"
PAGE_PASSWORD_QUESTION = "Choose a password for the page:"  # noqa: S105 - a question
WRITE_QUESTION = "Write it? [Y/n]:"

GARBAGE = random.Random(5).randbytes(600)
Telegrams = Callable[[int, int], bytes]


@contextmanager
def plugged_in(folder: Path, **ports: Telegrams) -> Iterator[Path]:
    """Return a folder like /dev with ports on which meters send."""
    dev = folder / "dev"
    with ExitStack() as stack:
        for name, telegrams in ports.items():
            link = dev / (ADAPTER if name == "adapter" else name)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(stack.enter_context(port_sending(telegrams)))
        yield dev


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the folder in which the command is typed."""
    found = tmp_path / "home"
    found.mkdir()
    return found


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Path]:
    """Return a folder like /dev with the adapter of an encrypted meter."""
    with plugged_in(tmp_path, adapter=lambda number, _: house(number)) as found:
        yield found


@pytest.fixture
def belgian(tmp_path: Path) -> Iterator[Path]:
    """Return a folder like /dev with the adapter of a meter that does not encrypt."""
    with plugged_in(tmp_path, adapter=lambda number, _: belgium(number)) as found:
        yield found


@pytest.fixture
def broker(each_broker: None, tmp_path: Path) -> Iterator[Broker]:  # noqa: ARG001 - decides which one it is
    with Broker(tmp_path, users={"gateway": PASSWORD}) as found:
        yield found


def files_in(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in sorted(folder.iterdir())}


def mode_of(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def write_keys(folder: Path, text: str) -> Path:
    path = folder / KEY_FILE
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return path


def key_file(folder: Path, key: bytes = HOUSE_KEY) -> Path:
    path = folder / "letter.txt"
    path.write_text(f"{key.hex(':')}\n", "ascii")
    path.chmod(0o600)
    return path


# From nothing to the first reading


def test_it_leads_from_nothing_to_the_first_reading(home: Path, dev: Path, broker: Broker) -> None:
    with TypingUser("setup", "--dev", dev, folder=home) as user:
        user.wait_for(f"usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0 meter {HOUSE} (Luxembourg), encrypted")
        user.answer(f"{PORT_QUESTION} [1]:", "")
        user.wait_for("Creos: info@creos.net")
        user.answer(KEY_QUESTION, KEY)
        user.wait_for("The key is right")
        user.answer(NAME_QUESTION, "cellar")
        user.answer(POWER_QUESTION, "7,0 kW")
        user.answer(BROKER_QUESTION, f"127.0.0.1:{broker.port}")
        user.answer("User name at the broker:", "gateway")
        user.answer("Password of gateway:", PASSWORD)
        user.wait_for(f"The broker 127.0.0.1:{broker.port} accepts user gateway.")
        user.answer("Home Assistant? [Y/n]:", "")
        user.answer(PAGE_QUESTION, "none")
        user.answer(WRITE_QUESTION, "")
        user.wait_for(f"The first reading: Meter {HOUSE} Security authenticated")
        user.wait_for("Power import 1.312 kW")
        user.wait_for("smarty-gateway run")
        assert user.wait() == 0
        assert PASSWORD not in user.text
    assert {name: mode_of(home / name) for name in files_in(home)} == {
        GATEWAY_FILE: "0o644",
        KEY_FILE: "0o600",
        PASSWORD_FILE: "0o600",
    }
    text = (home / GATEWAY_FILE).read_text("utf-8")
    assert f"source: {dev / ADAPTER}\n" in text
    assert f"url: mqtt://gateway@127.0.0.1:{broker.port}\n" in text
    assert "name: cellar\n" in text
    assert "reference_power: 7.0\n" in text
    assert "home_assistant: true\n" in text
    assert smarty_gateway("check", folder=home).returncode == 0
    with Running("run", "--format", "json", folder=home) as running:
        running.wait_for_readings(1, "cellar")
        wait_until(lambda: "smarty/cellar/state" in broker.received(), "a state at the broker")
        assert running.stop() == 0


def test_a_meter_that_does_not_encrypt_needs_no_key(home: Path, belgian: Path) -> None:
    with TypingUser("setup", "--dev", belgian, folder=home) as user:
        user.wait_for("(Belgium), not encrypted")
        user.answer(PORT_QUESTION, "1")
        user.answer(NAME_QUESTION, "")
        user.answer(BROKER_QUESTION, "none")
        user.answer(PAGE_QUESTION, "none")
        user.answer(WRITE_QUESTION, "y")
        user.wait_for("Security plaintext")
        assert user.wait() == 0
        assert "Key" not in user.text
    assert list(files_in(home)) == [GATEWAY_FILE]


def test_all_ports_are_listened_to_at_once_and_the_meter_is_the_default(home: Path, tmp_path: Path) -> None:
    with (
        plugged_in(
            tmp_path, ttyACM0=lambda *_: b"", ttyUSB1=lambda n, _: belgium(n), adapter=lambda n, _: house(n)
        ) as dev,
        (dev / "ttyACM0").open("rb"),
    ):
        # Not /dev/full: while another test writes to that, it is busy.
        (dev / "ttyUSB2").symlink_to("/dev/random")
        with TypingUser("setup", "--dev", dev, "--seconds", 2, folder=home) as user:
            user.wait_for("Listening to 4 ports")
            user.wait_for(f"1 usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0 meter {HOUSE}")
            user.wait_for("2 ttyUSB1 meter 1SAG")
            user.wait_for("3 ttyUSB2 this is not a serial port")
            user.wait_for("4 ttyACM0 busy:")
            user.wait_for(f"(process {os.getpid()}) reads it")
            user.answer("[1]:", "7")
            user.wait_for("there are the numbers from 1 to 4")
            user.answer("[1]:", "2")
            user.wait_for(NAME_QUESTION)


def test_a_cable_that_is_plugged_in_later_is_noticed(home: Path, tmp_path: Path) -> None:
    with TypingUser("setup", "--dev", tmp_path / "dev", folder=home) as user:
        user.wait_for("No serial port is here")
        with plugged_in(tmp_path, ttyUSB0=lambda number, _: belgium(number)):
            user.wait_for("ttyUSB0 meter")
            user.answer("[1]:", "")
            user.wait_for(NAME_QUESTION)


def test_a_bridge_may_be_typed_where_no_port_is(home: Path, tmp_path: Path) -> None:
    with TypingUser("setup", "--dev", tmp_path / "dev", folder=home) as user:
        user.answer("Waiting for a cable, or a bridge:", "tcp://127.0.0.1")
        user.wait_for("the port is required")
        user.answer("Waiting for a cable, or a bridge:", f"tcp://127.0.0.1:{free_port()}")
        user.wait_for("refuses connections")
        user.answer("Use this port all the same? [y/N]:", "n")
        user.wait_for("Waiting for a cable, or a bridge:")


@pytest.mark.slow
def test_the_settings_of_a_line_that_run_does_not_try_are_written(home: Path, tmp_path: Path) -> None:
    def send(number: int, speed: int) -> bytes:
        return belgium(number) if speed == termios.B2400 else GARBAGE

    with plugged_in(tmp_path, ttyUSB0=send) as dev:
        options = ("--port", dev / "ttyUSB0", "--broker", "none", "--yes", "--seconds", 2)
        assert smarty_gateway("setup", "--dev", dev, *options, folder=home).returncode == 0
    assert "    speed: 2400\n    framing: 8E1\n" in files_in(home)[GATEWAY_FILE]


def test_a_silent_port_is_explained_and_taken_only_if_the_user_insists(home: Path, tmp_path: Path) -> None:
    with (
        plugged_in(tmp_path, ttyUSB0=lambda *_: b"") as dev,
        TypingUser("setup", "--dev", dev, "--seconds", 1, folder=home) as user,
    ):
        user.wait_for("1 ttyUSB0 nothing in 1 s")
        user.answer(PORT_QUESTION, "1")
        user.wait_for("data request line")
        user.answer("Use this port all the same? [y/N]:", "y")
        user.wait_for(NAME_QUESTION)


# The key


def test_a_wrong_key_is_refused_and_the_right_one_accepted(home: Path, dev: Path) -> None:
    with TypingUser("setup", "--dev", dev, "--broker", "none", "--name", "house", folder=home) as user:
        user.answer(PORT_QUESTION, "1")
        user.answer(KEY_QUESTION, NOBODYS_KEY.hex())
        user.wait_for("This key does not open what the meter sends")
        user.wait_for(KEY_QUESTION)
        assert files_in(home) == {}
        user.type(KEY)
        user.wait_for("The key is right")
        user.answer(POWER_QUESTION, "")
        user.answer(PAGE_QUESTION, "none")
        user.answer(WRITE_QUESTION, "")
        assert user.wait() == 0
    assert list(files_in(home)) == [GATEWAY_FILE, KEY_FILE]


def test_a_telegram_that_needs_no_key_proves_no_key(home: Path, tmp_path: Path) -> None:
    def two_meters(number: int, _: int) -> bytes:
        return house(number) + belgium(number)

    with (
        plugged_in(tmp_path, adapter=two_meters) as dev,
        TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user,
    ):
        user.wait_for(f"{HOUSE} (Luxembourg), encrypted")
        user.answer(KEY_QUESTION, NOBODYS_KEY.hex())
        user.wait_for("This key does not open what the meter sends")
        user.answer(KEY_QUESTION, KEY)
        user.wait_for("The key is right")
        user.answer(NAME_QUESTION, "")
        user.answer(POWER_QUESTION, "")
        user.answer(BROKER_QUESTION, "none")
        user.answer(PAGE_QUESTION, "none")
        user.answer(WRITE_QUESTION, "")
        user.wait_for(f"The first reading: Meter {HOUSE} Security authenticated")
        assert user.wait() == 0


def test_what_a_terminal_sends_in_another_encoding_is_asked_for_again(home: Path, dev: Path) -> None:
    with TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user:
        user.wait_for(KEY_QUESTION)
        user.press("Schlüssel\n".encode("latin-1"))
        user.wait_for("does not send UTF-8")
        user.answer(KEY_QUESTION, KEY)
        user.wait_for("The key is right")


def test_what_is_no_key_is_explained(home: Path, dev: Path) -> None:
    with TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user:
        for typed, answer in (
            (KEY[:-1], "a key has 32 hex digits, this one has 31"),
            (KEY.replace("0", "O"), "the letter O for a zero?"),
            (AUTHENTICATION_KEY.hex(), "this is the authentication key, which is public"),
        ):
            user.answer(KEY_QUESTION, typed)
            user.wait_for(answer)


@pytest.mark.parametrize("form", [" ", ":", "-", ""])
def test_a_key_may_be_typed_as_it_is_printed(home: Path, dev: Path, form: str) -> None:
    written = "0x" + HOUSE_KEY.hex(form).upper() if form else HOUSE_KEY.hex()
    with TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user:
        user.answer(KEY_QUESTION, written)
        user.wait_for("The key is right")


def test_setup_without_the_key_goes_on_when_it_is_there(home: Path, dev: Path) -> None:
    with TypingUser("setup", "--dev", dev, "--broker", "none", "--name", "house", folder=home) as user:
        user.answer(PORT_QUESTION, "1")
        user.answer(KEY_QUESTION, "")
        user.answer(POWER_QUESTION, "7000")
        user.wait_for("reference_power is a number of kW from 1 to 1000.")
        user.answer(POWER_QUESTION, "12")
        user.answer(PAGE_QUESTION, "none")
        user.answer(WRITE_QUESTION, "")
        user.wait_for("The key is missing")
        assert user.wait() == 1
    assert list(files_in(home)) == [GATEWAY_FILE]
    with TypingUser("setup", "--dev", dev, folder=home) as user:
        user.answer("Keep, add or replace [keep]:", "")
        user.answer(KEY_QUESTION, KEY)
        user.wait_for(f"The first reading: Meter {HOUSE} Security authenticated")
        assert user.wait() == 0
        assert PORT_QUESTION not in user.text
        assert "Broker" not in user.text
    assert list(files_in(home)) == [GATEWAY_FILE, KEY_FILE]


def test_a_key_that_is_in_keys_yaml_is_not_asked_for(home: Path, dev: Path) -> None:
    write_keys(home, f"keys:\n  {HOUSE}: {HOUSE_KEY.hex()}\n")
    with TypingUser("setup", "--dev", dev, folder=home) as user:
        user.wait_for("encrypted, and keys.yaml has its key")
        user.answer(PORT_QUESTION, "1")
        user.wait_for("keys.yaml has the key")
        user.wait_for(NAME_QUESTION)
        assert KEY_QUESTION not in user.text


def test_a_key_is_added_to_keys_yaml_and_all_else_in_it_stays(home: Path, dev: Path) -> None:
    before = (
        "# my keys\nkeys:\n    SAG1030700000099: 606162636465666768696A6B6C6D6E6F   # the barn's\n# the end\n"
    )
    path = write_keys(home, before)
    with TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user:
        user.answer(KEY_QUESTION, KEY)
        user.answer(f"Add the key of {HOUSE} in keys.yaml? [Y/n]:", "")
        user.wait_for(NAME_QUESTION)
    added = f'    {HOUSE}: "{HOUSE_KEY.hex().upper()}"\n'
    assert path.read_text("utf-8") == before.replace("# the end", f"{added}# the end")


def test_keys_yaml_stays_as_it_is_where_the_user_says_no(home: Path, dev: Path) -> None:
    before = f"keys: {{{HOUSE}: {NOBODYS_KEY.hex()}}}\n"
    path = write_keys(home, before)
    with TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user:
        user.wait_for(f"keys.yaml has a key for meter {HOUSE}. This key does not open")
        user.answer(KEY_QUESTION, KEY)
        user.answer(f"Replace the key of {HOUSE} in keys.yaml? [Y/n]:", "n")
        assert user.wait() == 1
    assert path.read_text("utf-8") == before


def test_a_key_that_opens_nothing_is_replaced(home: Path, dev: Path) -> None:
    path = write_keys(home, f"keys:\n  {HOUSE}: {NOBODYS_KEY.hex()}   # from the letter\n")
    with TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user:
        user.answer(KEY_QUESTION, KEY)
        user.answer("Replace the key", "y")
        user.wait_for(NAME_QUESTION)
    assert path.read_text("utf-8") == f'keys:\n  {HOUSE}: "{HOUSE_KEY.hex().upper()}"   # from the letter\n'


def test_the_dummy_keys_of_the_example_are_removed_if_the_user_wants_it(home: Path, dev: Path) -> None:
    example = Path(__file__).parents[2] / "keys.example.yaml"
    path = write_keys(home, example.read_text("utf-8"))
    with TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user:
        user.answer(KEY_QUESTION, KEY)
        user.answer("keys.yaml still has dummy keys of the example. Remove them? [Y/n]:", "")
        user.answer("Add the key", "")
        user.wait_for(NAME_QUESTION)
    text = path.read_text("utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines == ["keys:", f'  {HOUSE}: "{HOUSE_KEY.hex().upper()}"']
    assert text.startswith("# Copy this file to keys.yaml")


def test_a_key_file_that_only_a_person_can_change_is_left_alone(home: Path, dev: Path) -> None:
    before = "keys: {SAG1030700000099: 606162636465666768696A6B6C6D6E6F}\n"
    path = write_keys(home, before)
    with TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user:
        user.answer(KEY_QUESTION, KEY)
        user.answer("Add the key", "")
        user.wait_for("setup cannot change this file (the entries stand in one line)")
        assert user.wait() == 78
    assert path.read_text("utf-8") == before


def test_a_key_file_in_another_encoding_is_left_alone(home: Path, dev: Path) -> None:
    path = write_keys(home, "")
    path.write_text("keys:\n  SAG1030700000099: 606162636465666768696A6B6C6D6E6F\n", "utf-16")
    options = ("--port", dev / ADAPTER, "--broker", "none", "--key-file", key_file(home), "--yes")
    done = smarty_gateway("setup", "--dev", dev, *options, folder=home)
    assert done.returncode == 78
    assert b"keys.yaml: setup can change UTF-8 files only" in done.stderr
    assert path.read_text("utf-16").count("SAG") == 1


# The broker


def test_blanks_around_a_password_belong_to_it(home: Path, belgian: Path, tmp_path: Path) -> None:
    password = f" {PASSWORD} "
    with (
        Broker(tmp_path, users={"gateway": password}) as broker,
        TypingUser("setup", "--dev", belgian, "--port", belgian / ADAPTER, folder=home) as user,
    ):
        user.answer(NAME_QUESTION, "")
        user.answer(BROKER_QUESTION, f"mqtt://gateway@localhost:{broker.port}")
        user.answer("Password of gateway:", password)
        user.wait_for("accepts user gateway")
        user.wait_for("Home Assistant?")
    assert files_in(home) == {PASSWORD_FILE: f"{password}\n"}


def test_a_file_that_is_too_long_for_a_password_is_refused(home: Path, belgian: Path, tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_text("x" * 100_000, "ascii")
    options = ("--broker", f"mqtt://u@localhost:{free_port()}", "--password-file", path, "--yes")
    done = smarty_gateway("setup", "--port", belgian / ADAPTER, *options, folder=home)
    assert done.returncode == 2
    assert b"this is too long for a password" in done.stderr
    assert files_in(home) == {}


def test_a_wrong_password_is_asked_for_again(home: Path, belgian: Path, broker: Broker) -> None:
    with TypingUser("setup", "--dev", belgian, "--port", belgian / ADAPTER, folder=home) as user:
        user.answer(NAME_QUESTION, "")
        user.answer(BROKER_QUESTION, f"mqtt://gateway@localhost:{broker.port}")
        user.answer("Password of gateway:", "wrong")
        user.wait_for("refuses user gateway")
        assert files_in(home) == {}
        user.answer("User name at the broker:", "gateway")
        user.answer("Password of gateway:", PASSWORD)
        user.wait_for("accepts user gateway")
        user.wait_for("Home Assistant?")
    assert files_in(home) == {PASSWORD_FILE: f"{PASSWORD}\n"}
    with TypingUser("setup", "--dev", belgian, "--port", belgian / ADAPTER, folder=home) as user:
        user.answer(NAME_QUESTION, "")
        user.answer(BROKER_QUESTION, f"mqtt://gateway@localhost:{broker.port}")
        user.answer("Password of gateway (Enter: the one in mqtt.password):", "")
        user.wait_for("accepts user gateway")


def test_a_broker_that_lets_everybody_in_needs_no_password(home: Path, belgian: Path, tmp_path: Path) -> None:
    with (
        Broker(tmp_path) as broker,
        TypingUser("setup", "--dev", belgian, "--port", belgian / ADAPTER, folder=home) as user,
    ):
        user.answer(NAME_QUESTION, "")
        user.answer(BROKER_QUESTION, f"localhost:{broker.port}")
        user.wait_for("accepts connections without a password")
        user.answer("Home Assistant? [Y/n]:", "n")
        user.answer(PAGE_QUESTION, "none")
        user.answer(WRITE_QUESTION, "")
        assert user.wait() == 0
    assert "home_assistant: false" in files_in(home)[GATEWAY_FILE]


def test_a_broker_that_does_not_answer_is_taken_only_if_the_user_insists(home: Path, belgian: Path) -> None:
    port = free_port()
    with TypingUser("setup", "--dev", belgian, "--port", belgian / ADAPTER, folder=home) as user:
        user.answer(NAME_QUESTION, "")
        user.answer(BROKER_QUESTION, "mqtt://gateway:secret@localhost")
        user.wait_for("a password is never part of the url")
        user.answer(BROKER_QUESTION, f"localhost:{port}")
        user.wait_for("no broker answers")
        user.answer("Use this broker all the same? [y/N]:", "")
        user.answer(f"Broker [mqtt://localhost:{port}]:", "")
        user.answer("Use this broker all the same? [y/N]:", "y")
        user.answer("Home Assistant? [Y/n]:", "")
        user.answer(PAGE_QUESTION, "none")
        user.answer(WRITE_QUESTION, "")
        assert user.wait() == 0


def test_readings_that_leave_the_machine_in_the_clear_are_warned_about_before_the_password(
    home: Path, belgian: Path
) -> None:
    with TypingUser("setup", "--dev", belgian, "--port", belgian / ADAPTER, folder=home) as user:
        user.answer(NAME_QUESTION, "")
        user.answer(BROKER_QUESTION, "mqtt://gateway@192.0.2.1")
        user.wait_for("go to 192.0.2.1 unencrypted; write mqtts://")
        user.wait_for("Password of gateway:")


# Files that are there


EXISTING = """\
# my gateway
meters:
  - name: barn   # behind the house
    source: /dev/ttyUSB7

# where it goes
outputs:
  stdout: {format: json}
"""


def test_a_gateway_yaml_that_is_there_gets_another_meter(home: Path, belgian: Path) -> None:
    (home / GATEWAY_FILE).write_text(EXISTING, "utf-8")
    with TypingUser("setup", "--dev", belgian, folder=home) as user:
        user.wait_for("barn on /dev/ttyUSB7")
        user.answer("[keep]:", "some")
        user.wait_for("type keep, add or replace")
        user.answer("[keep]:", "add")
        user.answer(PORT_QUESTION, "1")
        user.answer(NAME_QUESTION, "barn")
        user.wait_for("give each meter another name")
        user.answer(NAME_QUESTION, "")
        user.answer(WRITE_QUESTION, "")
        user.wait_for("Security plaintext")
        assert user.wait() == 0
        assert "Broker" not in user.text
    added = f"  - name: house\n    source: {belgian / ADAPTER}\n"
    assert files_in(home) == {GATEWAY_FILE: EXISTING.replace("ttyUSB7\n", f"ttyUSB7\n{added}")}


def test_a_gateway_yaml_that_is_replaced_is_kept_under_another_name(home: Path, belgian: Path) -> None:
    for number in ("", "2"):
        before = EXISTING + number
        (home / GATEWAY_FILE).write_text(before, "utf-8")
        options = ("--existing", "replace", "--port", belgian / ADAPTER, "--broker", "none", "--yes")
        done = smarty_gateway("setup", "--dev", belgian, *options, folder=home)
        assert done.returncode == 0
        assert files_in(home)[f"gateway.yaml.bak{number}"] == before
        assert "name: house" in files_in(home)[GATEWAY_FILE]


@pytest.mark.parametrize("existing", ["add", "replace"])
def test_a_gateway_yaml_that_nobody_else_may_read_stays_so(home: Path, belgian: Path, existing: str) -> None:
    (home / GATEWAY_FILE).write_text(EXISTING, "utf-8")
    (home / GATEWAY_FILE).chmod(0o600)
    options = ("--existing", existing, "--port", belgian / ADAPTER, "--broker", "none", "--yes")
    assert smarty_gateway("setup", "--dev", belgian, *options, folder=home).returncode == 0
    assert {mode_of(path) for path in home.iterdir()} == {"0o600"}


def test_a_gateway_yaml_in_another_encoding_is_left_alone(home: Path, belgian: Path) -> None:
    (home / GATEWAY_FILE).write_text(EXISTING, "utf-16")
    options = ("--existing", "add", "--port", belgian / ADAPTER, "--yes")
    done = smarty_gateway("setup", "--dev", belgian, *options, folder=home)
    assert done.returncode == 2
    assert b"setup can change UTF-8 files only; save gateway.yaml as UTF-8" in done.stderr
    assert (home / GATEWAY_FILE).read_text("utf-16") == EXISTING


def test_a_folder_with_the_name_of_gateway_yaml_leaves_no_backup(home: Path, belgian: Path) -> None:
    (home / GATEWAY_FILE).mkdir()
    options = ("--existing", "replace", "--port", belgian / ADAPTER, "--broker", "none", "--yes")
    done = smarty_gateway("setup", "--dev", belgian, *options, folder=home)
    assert done.returncode == 2
    assert b"cannot read gateway.yaml: Is a directory" in done.stderr
    assert list(home.iterdir()) == [home / GATEWAY_FILE]


def test_the_line_to_type_next_finds_the_keys_too(home: Path, dev: Path, tmp_path: Path) -> None:
    (home / GATEWAY_FILE).write_text(f"meters:\n  - source: {dev / ADAPTER}\n", "utf-8")
    options = ("--existing", "keep", "--yes", "--key-file", key_file(tmp_path))
    done = smarty_gateway("setup", "--dev", dev, "--folder", "home", *options, folder=tmp_path)
    assert done.returncode == 0
    assert b"smarty-gateway run --config home/gateway.yaml --keys home/keys.yaml\n" in done.stderr


def test_a_gateway_yaml_with_a_fault_can_only_be_replaced(home: Path, belgian: Path) -> None:
    (home / GATEWAY_FILE).write_text("meters: 1\n", "utf-8")
    with TypingUser("setup", "--dev", belgian, folder=home) as user:
        user.wait_for("is there, but cannot be used")
        user.answer("[keep]:", "")
        assert user.wait() == 78
    assert files_in(home) == {GATEWAY_FILE: "meters: 1\n"}


def test_nothing_is_written_where_the_user_says_no(home: Path, belgian: Path) -> None:
    (home / GATEWAY_FILE).write_text(EXISTING, "utf-8")
    with TypingUser(
        "setup", "--dev", belgian, "--existing", "replace", "--broker", "none", "--name", "x", folder=home
    ) as user:
        user.answer(PORT_QUESTION, "1")
        user.answer(PAGE_QUESTION, "none")
        user.answer(WRITE_QUESTION, "n")
        assert user.wait() == 1
    assert files_in(home) == {GATEWAY_FILE: EXISTING}


def test_a_keys_yaml_with_a_fault_ends_it_with_the_line_of_the_fault(home: Path, dev: Path) -> None:
    write_keys(home, "keys:\n  any: 1234\n")
    done = smarty_gateway("setup", "--port", dev / ADAPTER, "--broker", "none", "--yes", folder=home)
    assert done.returncode == 78
    assert b"keys.yaml:2:" in done.stderr


def test_a_folder_in_one_that_is_there_is_made(home: Path) -> None:
    done = smarty_gateway(
        "setup", "--folder", "new", "--port", "/dev/null", "--broker", "none", "--yes", folder=home
    )
    assert done.returncode == 1
    assert (home / "new").is_dir()


def test_a_folder_in_one_that_is_not_there_is_named(home: Path) -> None:
    done = smarty_gateway(
        "setup", "--folder", "no/such", "--port", "/dev/null", "--broker", "none", "--yes", folder=home
    )
    assert done.returncode == 2
    assert b"no/such is no folder; type: mkdir -p no/such" in done.stderr


def test_a_folder_that_cannot_be_looked_at_is_named(home: Path) -> None:
    done = smarty_gateway(
        "setup", "--folder", "a" * 300, "--port", "/dev/null", "--broker", "none", "--yes", folder=home
    )
    assert done.returncode == 2
    assert b"aaa: File name too long" in done.stderr


@pytest.mark.parametrize("option", ["--port", "--folder"])
def test_a_link_that_leads_to_itself_ends_it_in_plain_words(home: Path, option: str) -> None:
    (home / "loop").symlink_to("loop")
    done = smarty_gateway("setup", "--port", "/dev/null", "--broker", "none", "--yes", option, home / "loop")
    assert done.returncode in (1, 2)
    assert b"bug" not in done.stderr


@pytest.mark.parametrize(("options", "lines"), [(("--reference-power", "12"), 1), ((), 0)])
def test_a_script_may_say_the_reference_power(
    home: Path, dev: Path, tmp_path: Path, options: tuple[str, ...], lines: int
) -> None:
    port = ("--port", dev / ADAPTER, "--key-file", key_file(tmp_path), "--broker", "none", "--yes")
    done = smarty_gateway("setup", *port, *options, folder=home)
    assert done.returncode == 0
    assert (home / GATEWAY_FILE).read_text("utf-8").count("    reference_power: 12\n") == lines


@pytest.mark.parametrize("power", ["7000", "seven", "", "7\n8"])
def test_a_reference_power_that_cannot_be_is_refused(home: Path, power: str) -> None:
    options = ("--port", "/dev/null", "--broker", "none", "--yes", "--reference-power", power)
    done = smarty_gateway("setup", *options, folder=home)
    assert done.returncode != 0
    assert files_in(home) == {}


# The page


def test_the_page_is_for_this_computer_unless_the_user_wants_more(home: Path, belgian: Path) -> None:
    options = ("--dev", belgian, "--port", belgian / ADAPTER, "--broker", "none", "--yes")
    assert smarty_gateway_process("setup", *options, folder=home).returncode == 0
    assert (home / GATEWAY_FILE).read_text("utf-8").endswith("outputs:\n  http: true\n")


def test_the_page_for_the_network_gets_a_password_that_is_never_shown(home: Path, belgian: Path) -> None:
    with TypingUser("setup", "--dev", belgian, "--broker", "none", "--name", "house", folder=home) as user:
        user.answer(PORT_QUESTION, "")
        user.answer(PAGE_QUESTION, "phone")
        user.wait_for("type here, network or none.")
        user.answer(PAGE_QUESTION, "Network")
        user.answer(PAGE_PASSWORD_QUESTION, "")
        user.wait_for("In a network the page needs a password.")
        user.answer(PAGE_PASSWORD_QUESTION, PASSWORD)
        user.answer(WRITE_QUESTION, "")
        assert user.wait() == 0
        assert PASSWORD not in user.text
    assert mode_of(home / PAGE_PASSWORD_FILE) == "0o600"
    assert (home / PAGE_PASSWORD_FILE).read_text("utf-8") == f"{PASSWORD}\n"
    page = "outputs:\n  http:\n    listen: 0.0.0.0:8300\n    password_file: web.password\n"
    assert (home / GATEWAY_FILE).read_text("utf-8").endswith(page)
    assert smarty_gateway("check", folder=home).returncode == 0


def test_a_script_may_bring_the_password_of_the_page(home: Path, belgian: Path) -> None:
    options = (
        "--dev",
        belgian,
        "--port",
        belgian / ADAPTER,
        "--broker",
        "none",
        "--yes",
        "--page",
        "network",
    )
    done = smarty_gateway_process("setup", *options, folder=home)
    assert done.returncode == 2
    assert b"the option --page-password-file is missing" in done.stderr
    done = smarty_gateway(
        "setup", *options, "--page-password-file", "/dev/stdin", folder=home, data=f"{PASSWORD}\n".encode()
    )
    assert done.returncode == 0
    assert (home / PAGE_PASSWORD_FILE).read_text("utf-8") == f"{PASSWORD}\n"


@pytest.mark.parametrize(("text", "words"), [("", "the file is empty"), ("a\nb\n", "is one line of text")])
def test_what_is_no_password_of_a_page_is_refused_before_it_is_written(
    home: Path, belgian: Path, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "secret").write_text(text, "ascii")
    done = smarty_gateway_process(
        "setup", "--dev", belgian, "--port", belgian / ADAPTER, "--broker", "none", "--yes",
        "--page", "network", "--page-password-file", tmp_path / "secret", folder=home,
    )  # fmt: skip
    assert done.returncode == 78
    assert words in done.stderr.decode()
    assert files_in(home) == {}


def test_without_the_extra_the_page_is_not_asked_for_and_an_option_names_what_to_type(
    home: Path, belgian: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "waitress", None)
    options = ("--dev", belgian, "--port", belgian / ADAPTER, "--broker", "none", "--yes")
    assert smarty_gateway("setup", *options, folder=home).returncode == 0
    assert "http" not in (home / GATEWAY_FILE).read_text("utf-8")
    done = smarty_gateway("setup", *options, "--page", "here", folder=home)
    assert done.returncode == 2
    assert b"pip install 'smarty-gateway[web]'" in done.stderr


# Leaving

#: Each question with the answer that leads to the next.
QUESTIONS = (
    (PORT_QUESTION, "1"),
    (KEY_QUESTION, KEY),
    (NAME_QUESTION, ""),
    (POWER_QUESTION, ""),
    (BROKER_QUESTION, "BROKER"),
    ("User name at the broker:", "gateway"),
    ("Password of gateway:", PASSWORD),
    ("Home Assistant? [Y/n]:", ""),
    (PAGE_QUESTION, "network"),
    (PAGE_PASSWORD_QUESTION, PASSWORD),
    (WRITE_QUESTION, ""),
)


@pytest.mark.slow
@pytest.mark.parametrize("count", range(len(QUESTIONS)), ids=[question for question, _ in QUESTIONS])
@pytest.mark.parametrize("key", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_it_can_be_left_at_each_question_and_only_what_is_proven_is_written(
    home: Path, dev: Path, broker: Broker, key: bytes, count: int
) -> None:
    with TypingUser("setup", "--dev", dev, folder=home) as user:
        for question, answer in QUESTIONS[:count]:
            user.answer(question, answer.replace("BROKER", f"localhost:{broker.port}"))
        user.wait_for(QUESTIONS[count][0])
        user.press(key)
        assert user.wait() == 130
        assert user.echoes
        assert "`smarty-gateway setup` goes on from there" in user.text
        assert "Traceback" not in user.text
    written = [KEY_FILE] * (count > 1) + [PASSWORD_FILE] * (count > 6) + [PAGE_PASSWORD_FILE] * (count > 9)
    assert list(files_in(home)) == sorted(written)
    if KEY_FILE in written:
        assert smarty_gateway("check", "--keys", home / KEY_FILE).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_lost_connection_leaves_no_half_file(home: Path, dev: Path, number: signal.Signals) -> None:
    with TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user:
        user.wait_for(KEY_QUESTION)
        user.process.send_signal(number)
        assert user.wait() == 130
        assert user.echoes
    assert files_in(home) == {}


def test_ctrl_c_while_it_listens_ends_it(home: Path, tmp_path: Path) -> None:
    with (
        plugged_in(tmp_path, ttyUSB0=lambda *_: b"") as dev,
        TypingUser("setup", "--dev", dev, "--seconds", 600, folder=home) as user,
    ):
        user.wait_for("Listening to 1 port")
        user.wait_for("..")
        user.press(b"\x03")
        assert user.wait() == 130


# Scripts


def test_with_all_answers_as_options_it_asks_nothing(home: Path, dev: Path, broker: Broker) -> None:
    password = home / "secret"
    password.write_text(f"{PASSWORD}\n", "ascii")
    password.chmod(0o600)
    done = smarty_gateway_process(
        "setup", "--dev", dev, "--port", dev / ADAPTER, "--name", "house", "--key-file", key_file(home),
        "--broker", f"mqtt://localhost:{broker.port}", "--user", "gateway", "--password-file", password,
        "--home-assistant", "--folder", ".", "--yes", folder=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("The first reading:\n")
    assert b"?" not in done.stderr
    assert {GATEWAY_FILE, KEY_FILE, PASSWORD_FILE} < set(files_in(home))
    assert smarty_gateway("check", folder=home).returncode == 0


def test_a_key_may_come_from_a_keys_yaml_and_from_a_pipe(home: Path, dev: Path, tmp_path: Path) -> None:
    options = ("--dev", dev, "--port", dev / ADAPTER, "--broker", "none", "--yes", "--existing", "replace")
    keys = write_keys(tmp_path, f"keys:\n  {HOUSE}: {HOUSE_KEY.hex()}\n")
    assert smarty_gateway("setup", *options, "--key-file", keys, folder=home).returncode == 0
    (home / KEY_FILE).unlink()
    done = smarty_gateway(
        "setup", *options, "--key-file", "/dev/stdin", folder=home, data=HOUSE_KEY.hex().encode()
    )
    assert done.returncode == 0
    assert smarty_gateway("check", folder=home).returncode == 0


def test_without_a_terminal_one_line_names_all_options_that_are_missing(home: Path, dev: Path) -> None:
    done = smarty_gateway_process("setup", "--dev", dev, folder=home)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    for option in ("--yes", "--port SOURCE", "--broker URL", "--key-file FILE"):
        assert option in line
    (home / GATEWAY_FILE).write_text(EXISTING, "utf-8")
    done = smarty_gateway_process("setup", "--dev", dev, "--yes", folder=home)
    assert done.returncode == 2
    assert b"--existing keep|add|replace" in done.stderr


def test_a_closed_standard_input_is_no_terminal(home: Path) -> None:
    command = ("sh", "-c", 'exec "$0" -m smarty_gateway setup <&-', sys.executable)
    done = subprocess.run(command, cwd=home, env=environment(), capture_output=True, check=False)
    assert done.returncode == 2
    assert b"there is no terminal to ask at" in done.stderr


@pytest.mark.parametrize("option", ["--port", "--name", "--broker", "--user", "--ca-file"])
def test_an_option_that_is_no_text_is_refused(home: Path, option: str) -> None:
    done = smarty_gateway_process("setup", "--yes", option, "a\udcff", folder=home)
    assert done.returncode == 2
    assert done.stderr.decode() == f"smarty-gateway: {option}: there are invisible characters in it\n"


def test_a_script_may_bring_the_key_later(home: Path, dev: Path, tmp_path: Path) -> None:
    (home / GATEWAY_FILE).write_text(f"meters:\n  - source: {dev / ADAPTER}\n", "utf-8")
    options = ("--existing", "keep", "--yes", "--key-file", key_file(tmp_path))
    done = smarty_gateway("setup", "--dev", dev, *options, folder=home)
    assert done.returncode == 0
    assert HOUSE.encode() in done.stdout


def test_a_kept_broker_that_refuses_is_said(home: Path, belgian: Path, broker: Broker) -> None:
    text = f"meters:\n  - source: {belgian / ADAPTER}\noutputs: {{mqtt: {{url: 'mqtt://localhost:{broker.port}'}}}}\n"
    (home / GATEWAY_FILE).write_text(text, "utf-8")
    done = smarty_gateway("setup", "--dev", belgian, "--existing", "keep", "--yes", folder=home)
    assert done.returncode == 1
    assert b"requires a user name and a password" in done.stderr
    assert files_in(home) == {GATEWAY_FILE: text}


def test_without_a_terminal_the_key_of_an_encrypted_meter_is_missing(home: Path, dev: Path) -> None:
    done = smarty_gateway(
        "setup", "--dev", dev, "--port", dev / ADAPTER, "--broker", "none", "--yes", folder=home
    )
    assert done.returncode == 2
    assert b"the option --key-file is missing" in done.stderr
    assert files_in(home) == {}


def test_without_a_terminal_the_user_of_a_broker_is_missing(
    home: Path, belgian: Path, broker: Broker
) -> None:
    options = ("--port", belgian / ADAPTER, "--broker", f"localhost:{broker.port}", "--yes")
    done = smarty_gateway("setup", "--dev", belgian, *options, folder=home)
    assert done.returncode == 2
    assert b"the option --user is missing" in done.stderr
    done = smarty_gateway("setup", "--dev", belgian, *options, "--user", "gateway", folder=home)
    assert done.returncode == 2
    assert b"the option --password-file is missing" in done.stderr
    assert files_in(home) == {}


def test_a_wrong_key_or_password_in_a_file_ends_it_and_nothing_is_written(
    home: Path, dev: Path, broker: Broker, tmp_path: Path
) -> None:
    options = ("--dev", dev, "--port", dev / ADAPTER, "--yes", "--broker", f"localhost:{broker.port}")
    done = smarty_gateway("setup", *options, "--key-file", key_file(tmp_path, NOBODYS_KEY), folder=home)
    assert done.returncode == 1
    assert b"This key does not open what the meter sends" in done.stderr
    assert files_in(home) == {}
    password = tmp_path / "password"
    password.write_text("wrong\n", "ascii")
    user = ("--user", "gateway", "--password-file", password)
    done = smarty_gateway("setup", *options, *user, "--key-file", key_file(tmp_path), folder=home)
    assert done.returncode == 1
    assert b"refuses user gateway" in done.stderr
    assert list(files_in(home)) == [KEY_FILE]


def test_a_port_without_a_meter_ends_a_script_with_1(home: Path, tmp_path: Path) -> None:
    with plugged_in(tmp_path, ttyUSB0=lambda *_: b"") as dev:
        done = smarty_gateway(
            "setup", "--dev", dev, "--port", dev / "ttyUSB0", "--broker", "none", "--yes", "--seconds", 1,
            folder=home,
        )  # fmt: skip
    assert done.returncode == 1
    assert b"no meter is heard on" in done.stderr
    assert files_in(home) == {}


def test_a_port_is_written_under_the_name_that_lasts(home: Path, belgian: Path) -> None:
    port = (belgian / ADAPTER).resolve()
    done = smarty_gateway("setup", "--dev", belgian, "--port", port, "--broker", "none", "--yes", folder=home)
    assert done.returncode == 0
    assert f"source: {belgian / ADAPTER}\n" in files_in(home)[GATEWAY_FILE]


def test_a_recording_is_no_port(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(house(1))
    done = smarty_gateway("setup", "--port", tmp_path / "a.bin", "--broker", "none", "--yes", folder=home)
    assert done.returncode == 2
    assert b"is a recording" in done.stderr


# What reaches the terminal


@pytest.mark.parametrize(("columns", "term"), [(40, "dumb"), (80, "xterm")])
def test_it_needs_no_escape_sequence_and_fits_the_terminal(
    home: Path, dev: Path, columns: int, term: str
) -> None:
    with TypingUser("setup", "--dev", dev, folder=home, columns=columns, term=term) as user:
        user.answer(PORT_QUESTION, "1")
        user.answer(KEY_QUESTION, KEY)
        user.answer(NAME_QUESTION, "")
        user.answer(POWER_QUESTION, "")
        user.answer(BROKER_QUESTION, "none")
        user.answer(PAGE_QUESTION, "none")
        user.answer(WRITE_QUESTION, "")
        user.wait_for("systemd.md")
        assert user.wait() == 0
        assert "\x1b" not in user.shown
        assert f"        source: {dev / ADAPTER}\r\n" in user.shown
        lines = [line for line in user.shown.splitlines() if "/" not in line and "usb-FTDI" not in line]
        assert max(map(len, lines)) <= columns


def test_no_control_character_of_a_meter_or_an_option_reaches_the_terminal(
    home: Path, tmp_path: Path
) -> None:
    with plugged_in(tmp_path, ttyUSB0=lambda *_: PLAIN) as dev:
        port = dev / "ttyUSB0"
        name = EVIL.replace("\x80", "")
        for options in ((), ("--name", name), ("--user", name), ("--folder", name)):
            done = smarty_gateway(
                "setup", "--dev", dev, "--port", port, "--broker", "none", "--yes", *options, folder=home
            )
            shown = (done.stdout + done.stderr).decode()
            assert {c for c in shown if unicodedata.category(c) == "Cc"} == {"\n"}
            assert "Traceback" not in shown
            (home / GATEWAY_FILE).unlink(missing_ok=True)


def test_a_key_and_a_password_are_in_no_argument_and_no_variable(home: Path, dev: Path) -> None:
    with TypingUser("setup", "--dev", dev, "--port", dev / ADAPTER, folder=home) as user:
        user.answer(KEY_QUESTION, KEY)
        user.wait_for(NAME_QUESTION)
        for name in ("cmdline", "environ"):
            data = Path(f"/proc/{user.process.pid}/{name}").read_bytes().lower()
            assert HOUSE_KEY.hex().encode() not in data
