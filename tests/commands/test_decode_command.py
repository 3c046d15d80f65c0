"""`smarty-gateway decode`, as its users run it."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
from rich.console import Console

from smarty_gateway import __version__
from smarty_gateway.outputs.table import table_of
from tests.support.commands import LIMIT, SAMPLE, SAMPLE_KEYS, environment, smarty_gateway
from tests.support.streams import read, telegrams
from vectors.building_blocks import BARN_KEY, HOUSE_KEY, belgium, crc16, frame, luxembourg
from vectors.generate import sample_recording
from vectors.layouts import HUNGARY


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return a key file that nobody else can read."""
    path = tmp_path / "my keys.yaml"
    shutil.copy(SAMPLE_KEYS, path)
    path.chmod(0o600)
    return path


def records(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_recording_gives_one_json_object_a_line(keys: Path) -> None:
    done = smarty_gateway("decode", "--keys", keys, SAMPLE)
    assert (done.returncode, done.stderr) == (0, b"")
    found = records(done.stdout)
    assert [record["meter_id"] for record in found] == [
        "SAG1030700012345", "1SAG1100000001", "SAG1030700012352", "SAG1030700012345", "1SAG1100000001",
        "E0044000000000001", "SAG1030700012352", "SAG1030700012345", "1SAG1100000001",
    ]  # fmt: skip
    assert found[0]["gas"]["unit"] == "m³"
    assert "m³".encode() in done.stdout
    assert [record.get("frame_counter") for record in found if record["security"] == "authenticated"] == [
        4711, 99, 4712, 100, 4713,
    ]  # fmt: skip


def test_the_same_bytes_give_the_same_output_from_file_pipe_and_hex_dump(keys: Path) -> None:
    from_file = smarty_gateway("decode", "--keys", keys, SAMPLE).stdout
    data = SAMPLE.read_bytes()
    for arguments in (["-"], []):
        assert smarty_gateway("decode", "--keys", keys, *arguments, data=data).stdout == from_file
    assert smarty_gateway("decode", "--keys", keys, data=data.hex(" ").encode()).stdout == from_file


def test_the_telegram_form_gives_the_plaintext_byte_for_byte(keys: Path) -> None:
    data = b"noise" + frame(luxembourg(1)) + belgium(2)
    done = smarty_gateway("decode", "--keys", keys, "--format", "telegram", data=data)
    assert done.stdout == luxembourg(1) + belgium(2)


def test_the_table_form_shows_values_units_codes_and_devices(keys: Path) -> None:
    done = smarty_gateway("decode", "--keys", keys, "--format", "table", SAMPLE)
    text = done.stdout.decode()
    expected = ["SAG1030700012345", "authenticated", "frame counter 4711", "Active energy imported, total"]
    expected += ["1234.571", "kWh", "1-0:1.8.0", "Gas (M-Bus channel 1)", "435.247", "0-1:24.2.1"]
    for words in expected:
        assert words in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 120


def test_monthly_values_are_in_the_table_with_their_units() -> None:
    shown = smarty_gateway("decode", "--format", "table", data=HUNGARY.text).stdout.decode().splitlines()
    for label, value, unit in (
        ("Energy import tariff 2", "40.5", "kWh"),
        ("Reactive energy Q3", "39.199", "kvarh"),
        ("Peak demand export tariff 2", "3.4", "kW"),
    ):
        assert [line.split()[-2:] for line in shown if label in line] == [[value, unit]]


def test_text_from_a_meter_cannot_take_over_the_terminal() -> None:
    text = b"/FLU5\x1b[2J\r\n\r\n1-0:99.9.9(\x1b]0;owned\x07[bold])\r\n!"
    data = text + f"{crc16(text):04X}\r\n".encode()
    done = smarty_gateway("decode", "--format", "table", data=data)
    assert done.returncode == 0
    assert b"\x1b" not in done.stdout
    assert b"[bold]" in done.stdout


def test_rejections_go_to_standard_error_with_reason_and_offset(keys: Path) -> None:
    damaged = bytearray(frame(luxembourg(1)))
    damaged[100] ^= 1
    done = smarty_gateway("decode", "--keys", keys, data=b"xx" + bytes(damaged) + belgium(1))
    assert done.returncode == 1
    assert len(records(done.stdout)) == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("rejected authentication offset=2 ")
    assert line.endswith(" hint=corrupt")


def test_without_a_key_the_meter_is_named_and_its_key_asked_for(tmp_path: Path) -> None:
    done = smarty_gateway("decode", data=frame(luxembourg(1)), folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"rejected no-key offset=0 ")
    assert b"SAG1030700012345" in done.stderr


def test_the_key_file_of_the_folder_is_found(tmp_path: Path) -> None:
    shutil.copy(SAMPLE_KEYS, tmp_path / "keys.yaml")
    (tmp_path / "keys.yaml").chmod(0o600)
    assert smarty_gateway("decode", SAMPLE, folder=tmp_path).returncode == 0


def test_the_key_file_that_the_configuration_names_comes_first(tmp_path: Path, keys: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(f"keys: {keys.name}\nmeters: [{{source: a}}]\n", "utf-8")
    (tmp_path / "keys.yaml").write_text(f"keys:\n  any: {BARN_KEY.hex()}\n", "utf-8")
    assert smarty_gateway("decode", SAMPLE, folder=tmp_path).returncode == 0
    (tmp_path / "gateway.yaml").rename(tmp_path / "mine.yaml")
    assert smarty_gateway("decode", SAMPLE, folder=tmp_path).returncode == 1
    assert smarty_gateway("decode", "--config", "mine.yaml", SAMPLE, folder=tmp_path).returncode == 0
    done = smarty_gateway("decode", "--config", "mine.yaml", "--keys", "keys.yaml", SAMPLE, folder=tmp_path)
    assert done.returncode == 1


def test_a_configuration_that_cannot_be_used_is_exit_status_78_unless_keys_are_named(
    tmp_path: Path, keys: Path
) -> None:
    (tmp_path / "gateway.yaml").write_text("meter: []\n", "utf-8")
    done = smarty_gateway("decode", SAMPLE, folder=tmp_path)
    assert (done.returncode, done.stdout) == (78, b"")
    assert len(done.stderr.splitlines()) == 1
    assert smarty_gateway("decode", "--keys", keys, SAMPLE, folder=tmp_path).returncode == 0


def test_lines_of_a_capture_that_were_wrapped_are_said(tmp_path: Path) -> None:
    lines = ["# smarty-gateway capture 1, source a, began 2026-11-21T07:30:00+00:00", "0.0 db08", "34a", ""]
    done = smarty_gateway("decode", data="\n".join(lines).encode(), folder=tmp_path)
    said = done.stderr.decode()
    assert "warning: 1 line of this capture cannot be read" in said
    assert "use the file itself" in said
    assert "hex dump cannot" not in said


def test_a_key_file_that_others_can_read_is_warned_about_and_used(keys: Path) -> None:
    # Beside the published dummies a key that is nobody's.
    keys.write_text(keys.read_text("utf-8") + f"  any: {'5F' * 16}\n", "utf-8")
    keys.chmod(0o644)
    done = smarty_gateway("decode", "--keys", keys, SAMPLE)
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        f"warning: {keys}: others on this machine can read the keys in it; type: chmod 600 '{keys}'"
    ]


def test_a_key_file_that_cannot_be_used_is_exit_status_78_with_one_line(keys: Path) -> None:
    keys.write_text("keys:\n  SAG1030700012345: 1234\n")
    done = smarty_gateway("decode", "--keys", keys, SAMPLE)
    assert (done.returncode, done.stdout) == (78, b"")
    assert done.stderr.decode() == f"smarty-gateway: {keys}:2: a key has 32 hex digits, this one has 4\n"
    missing = smarty_gateway("decode", "--keys", keys.with_name("missing"), SAMPLE)
    assert missing.returncode == 78
    assert len(missing.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["decode", "/no/such/file"],
        ["decode", "/"],
        ["decode", "--format", "xml"],
        [],
        ["decode", "a", "b"],
        ["x"],
    ],
)
def test_wrong_usage_and_missing_input_are_exit_status_2(arguments: list[str]) -> None:
    done = smarty_gateway(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr
    assert done.stderr


@pytest.mark.parametrize("data", [b"", b"\n", b"just a text", b"12 34 56", bytes(range(256)) * 40])
def test_an_input_without_telegrams_says_that_nothing_was_found(data: bytes) -> None:
    done = smarty_gateway("decode", data=data)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("nothing found")


def test_noise_is_counted_in_the_summary_and_not_reported(keys: Path) -> None:
    done = smarty_gateway("decode", "-v", "--keys", keys, SAMPLE)
    assert done.stderr.decode() == "9 telegrams, 0 rejected, 941 of 9132 bytes were noise\n"


def test_a_dump_with_something_else_in_it_is_read_and_said(keys: Path) -> None:
    dump = b"".join(SAMPLE.read_bytes()[at : at + 30].hex().encode() + b"\n" for at in range(0, 9132, 30))
    done = smarty_gateway("decode", "--keys", keys, data=dump + b"greetings from the forum\n")
    assert len(records(done.stdout)) == 9
    assert done.stderr.startswith(b"warning: 1 line")


def test_no_key_is_ever_printed(keys: Path) -> None:
    keys.write_text(keys.read_text() + "  any: 00112233445566778899AABBCCDDEEFF\n")
    spoken = smarty_gateway("decode", "-v", "--keys", keys, SAMPLE)
    keys.write_text(SAMPLE_KEYS.read_text())
    spoken_too = smarty_gateway("decode", "-v", "--keys", keys, data=frame(luxembourg(1), key=BARN_KEY))
    for output in (spoken.stdout, spoken.stderr, spoken_too.stdout, spoken_too.stderr):
        for key in (HOUSE_KEY, BARN_KEY):
            assert key.hex()[:12] not in output.decode().lower()


Stream = int | IO[bytes] | None


def start(
    *arguments: object, stdin: Stream = None, stdout: Stream = None, stderr: Stream = None
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "smarty_gateway", *map(str, arguments)]
    return subprocess.Popen(command, env=environment(), stdin=stdin, stdout=stdout, stderr=stderr)


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def test_a_telegram_of_a_live_stream_is_printed_as_soon_as_it_is_complete(keys: Path) -> None:
    with start("decode", "--keys", keys, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        stdin, stdout = pipe(running.stdin), pipe(running.stdout)
        for counter in (1, 2, 3):
            data = frame(luxembourg(counter), counter=counter)
            for part in (data[:300], data[300:]):
                stdin.write(part)
                stdin.flush()
            # Nothing else is on its way: this line waits for this telegram alone.
            assert json.loads(stdout.readline())["frame_counter"] == counter
        stdin.close()
        assert running.wait(LIMIT) == 0


def test_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(belgium(1) * 5000)
    with start("decode", large, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        pipe(running.stdout).readline()
        pipe(running.stdout).close()
        assert pipe(running.stderr).read() == b""
        assert running.wait(LIMIT) == 0


def test_ctrl_c_ends_quietly(keys: Path) -> None:
    with start(
        "decode", "--keys", keys, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        stdin = pipe(running.stdin)
        stdin.write(belgium(1))
        stdin.flush()
        pipe(running.stdout).readline()
        running.send_signal(2)
        assert pipe(running.stderr).read() == b""
        assert running.wait(LIMIT) == 130


def test_an_output_that_takes_nothing_more_is_said_in_one_line() -> None:
    with Path("/dev/full").open("wb") as full:
        running = start("decode", SAMPLE, stdout=full, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        said = pipe(running.stderr).read()
        pipe(running.stderr).close()
        assert running.wait(LIMIT) == 1
    assert b"cannot write the output" in said.splitlines()[-1]
    assert b"Traceback" not in said


def on_a_terminal(*arguments: object) -> str:
    """Run the command with a terminal for everything, and give what it showed."""
    ours, theirs = pty.openpty()
    running = start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says EIO when the other side has closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert running.wait(LIMIT) == 0
    return shown.decode()


def test_on_a_terminal_the_table_is_the_default_and_has_colours(keys: Path) -> None:
    shown = on_a_terminal("decode", "--keys", keys, SAMPLE)
    assert "Active energy imported, total" in shown
    assert "\x1b[" in shown


def test_a_large_file_shows_its_progress_where_standard_error_is_a_terminal(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(b"\xff" * 20_000_000 + belgium(1))
    ours, theirs = pty.openpty()
    running = start("decode", large, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    os.close(ours)
    assert running.wait(LIMIT) == 0
    assert b"20.0" in shown


def test_the_version_is_told() -> None:
    assert smarty_gateway("--version").stdout.decode().strip() == f"smarty-gateway {__version__}"
    assert b"decode" in smarty_gateway("--help").stdout


def test_closed_descriptors_and_narrow_character_sets_do_no_harm(keys: Path) -> None:
    command = f"{sys.executable} -m smarty_gateway decode --keys '{keys}' --format table '{SAMPLE}'"
    for suffix in (">&-", ">/dev/null 2>&-", "<&- >/dev/null"):
        assert (
            subprocess.run(f"{command} {suffix}", shell=True, env=environment(), check=False).returncode == 0
        )
    narrow = {**environment(), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, shell=True, env=narrow, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Active energy imported" in done.stdout


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_every_value_is_in_the_table_however_narrow_the_terminal(width: int) -> None:
    for telegram in telegrams(read(sample_recording())):
        console = Console(width=width, file=io.StringIO())
        console.print(table_of(telegram, width))
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        values = [v for v in telegram.decoded.fields.values() if isinstance(v, int | float)]
        values += [device["value"] for device in telegram.decoded.devices.values()]
        assert [value for value in values if f" {value} " not in shown] == []
        assert max(map(len, shown.splitlines())) <= width


def test_readings_go_on_where_nobody_hears_the_complaints(keys: Path) -> None:
    data = frame(luxembourg(1), title=b"UNKNOWN!") + belgium(1)
    command = f"{sys.executable} -m smarty_gateway decode --keys '{keys}'"
    for suffix in ("2>/dev/full", "2> >(exec true)"):
        done = subprocess.run(
            f"{command} {suffix}", shell=True, executable="/bin/bash", input=data, env=environment(),
            stdout=subprocess.PIPE, check=False,
        )  # fmt: skip
        assert (done.returncode, len(records(done.stdout))) == (1, 1)


def test_a_table_into_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(belgium(1) * 500)
    with start(
        "decode", "--format", "table", large, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        pipe(running.stdout).readline()
        pipe(running.stdout).close()
        assert pipe(running.stderr).read() == b""
        assert running.wait(LIMIT) == 0


def test_an_input_that_does_not_block_is_waited_for() -> None:
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    with os.fdopen(ours, "rb") as source, start("decode", stdin=source, stdout=subprocess.PIPE) as running:
        os.write(theirs, belgium(1))
        assert pipe(running.stdout).readline().startswith(b"{")
        os.close(theirs)
        assert running.wait(LIMIT) == 0
