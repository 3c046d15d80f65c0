"""What a meter, a file or an argument holds cannot take over the terminal, whatever command shows it."""

import json
import subprocess
import unicodedata
from pathlib import Path
from typing import Final

import pytest

from smarty_gateway.simulator.ports import PtyPort
from tests.support.commands import smarty_gateway
from tests.support.running import Running
from vectors.building_blocks import HOUSE_KEY, HOUSE_TITLE, frame, telegram

#: Commands to a terminal: ESC and BEL, CSI in one byte (U+009B), return, delete, another C1, a lone byte.
EVIL: Final = "\x1b]0;owned\x07\x9b2J\rowned\x7f\x80"
#: The same as an argument, which cannot hold every character.
NAME: Final = "\x1b]0;owned\x07\udc9b\u009b2J\rowned\x7f"

PLAIN: Final = telegram(
    f"FLU5{EVIL}",
    "0-0:96.1.4(50217)",
    f"0-0:96.1.1({EVIL})",
    "1-0:1.7.0(00.100*kW)",
    f"0-0:96.13.0({EVIL})",
    f"0-0:96.14.0({EVIL})",
    "0-1:24.1.0(003)",
    f"0-1:96.1.1({EVIL})",
    "0-1:24.2.3(200512134558S)(00112.384*m3)",
    f"9-9:9.9.9({EVIL})",
)
ENCRYPTED: Final = frame(telegram("Lux5", f"0-0:96.1.1({EVIL})", f"0-0:96.13.0({EVIL})"))
DAMAGED: Final = PLAIN.replace(b"00.100", b"00.101")
STREAM: Final = b"noise" + EVIL.encode("latin-1") + PLAIN + ENCRYPTED + DAMAGED + PLAIN

VECTORS: Final = {
    "format": "smarty-gateway-vectors",
    "version": 1,
    "cases": [
        {
            "id": f"{EVIL}[/red]",
            "flags": [f"{EVIL}[/red]\ud800"],
            "expect": EVIL,
            "keys": [],
            "stream": PLAIN.hex(),
            "telegrams": [{"meter": EVIL}],
            "rejections": [],
            "must_not_release": [],
        }
    ],
}
YAML_NAME: Final = r'"a\e]0;owned\x07\x9b2J\rowned\x7f"'
CONFIGURATION: Final = f"""\
{YAML_NAME}: 1
keys: {YAML_NAME}
meters:
  - {{source: {YAML_NAME}, name: {YAML_NAME}, {YAML_NAME}: 1}}
  - {{source: /dev/ttyS0, id: {YAML_NAME}, encrypted: {YAML_NAME}, framing: {YAML_NAME}}}
outputs:
  stdout: {{format: {YAML_NAME}}}
  mqtt: {{url: {YAML_NAME}, topic: {YAML_NAME}, ca_file: {YAML_NAME}, interval: {YAML_NAME}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("evil.bin", f"{NAME}.bin"):
        (tmp_path / name).write_bytes(STREAM)
    (tmp_path / "evil.json").write_text(json.dumps(VECTORS), "ascii")
    (tmp_path / f"{NAME}.json").write_text(json.dumps(VECTORS), "ascii")
    (tmp_path / "layout.json").write_text(json.dumps({**VECTORS, "version": EVIL}), "ascii")
    (tmp_path / "bad.yaml").write_text(CONFIGURATION, "ascii")
    (tmp_path / "bad.keys.yaml").write_text(f"keys:\n  {YAML_NAME}: {YAML_NAME}\n", "ascii")
    (tmp_path / "raw.yaml").write_text(f"meters: {EVIL}\n", "utf-8")
    for name in ("keys", NAME):
        (tmp_path / f"{name}.yaml").write_text(f"keys:\n  any: {HOUSE_KEY.hex()}\n", "ascii")
    for path in tmp_path.glob("*.yaml"):
        path.chmod(0o600)
    return tmp_path


def assert_harmless(done: subprocess.CompletedProcess[bytes]) -> None:
    shown = done.stdout + done.stderr
    assert b"Traceback" not in shown
    assert b"please report" not in shown
    assert {c for c in shown.decode() if unicodedata.category(c) == "Cc"} == {"\n"}


@pytest.mark.parametrize(
    "arguments",
    [
        # A meter
        ("decode", "evil.bin"),
        ("decode", "--format", "table", "evil.bin"),
        ("decode", "--explain", "evil.bin"),
        ("doctor", "-v", "evil.bin"),
        ("doctor", "-v", "--format", "json", "evil.bin"),
        ("capture", "-v", "evil.bin", "new.capture"),
        ("capture", "-v", "--redact", "evil.bin", "new.capture"),
        ("run", "-v", "--source", "evil.bin"),
        ("run", "-v", "--source", "evil.bin", "--format", "table"),
        # A file
        ("verify", "-v", "evil.json"),
        ("verify", "--format", "json", "evil.json"),
        ("verify", "layout.json"),
        ("check", "--config", "bad.yaml"),
        ("check", "--config", "raw.yaml"),
        ("check", "--keys", "bad.keys.yaml"),
        ("run", "--config", "bad.yaml"),
        ("doctor", "--config", "bad.yaml", "evil.bin"),
        ("decode", "--keys", "bad.keys.yaml", "evil.bin"),
        # An argument
        (NAME,),
        ("decode", NAME),
        ("decode", "--format", NAME),
        ("decode", "--keys", NAME, "evil.bin"),
        ("doctor", "--seconds", "1", NAME),
        ("doctor", f"{NAME}.bin"),
        ("doctor", "--format", "json", f"{NAME}.bin"),
        ("capture", f"{NAME}.bin", f"{NAME}.capture"),
        ("check", "--config", NAME),
        ("check", "--keys", f"{NAME}.yaml"),
        ("verify", NAME),
        ("verify", f"{NAME}.json"),
        ("verify", "--format", "json", f"{NAME}.json"),
        ("run", "--source", f"{NAME}.bin"),
        ("run", "--source", f"tcp://{NAME}:1"),
        ("run", "--source", "-", "--mqtt", NAME),
        ("reset-counter", NAME, "--state", "state"),
        ("forget", NAME, "--state", "state"),
        ("setup", "--port", NAME, "--broker", "none", "--yes", "--seconds", "1"),
        ("setup", "--folder", NAME, "--port", "/dev/null", "--broker", "none", "--yes"),
        ("setup", "--existing", NAME),
        ("simulate", "--link", NAME, "--seconds", "1"),
        ("simulate", "--replay", f"{NAME}.bin", "--seconds", "1"),
        ("simulate", "--replay", NAME),
        ("simulate", "--speed", NAME),
        ("simulate", "--fault", NAME),
    ],
    ids=lambda arguments: " ".join(arguments).replace(NAME, "NAME"),
)
def test_no_control_character_reaches_the_terminal(folder: Path, arguments: tuple[str, ...]) -> None:
    assert_harmless(smarty_gateway(*arguments, folder=folder, data=b""))


def test_no_control_character_in_the_name_of_a_stored_meter_reaches_the_terminal(folder: Path) -> None:
    port = PtyPort(folder / "port")
    (folder / "gateway.yaml").write_text(f"meters: [{{source: {port.name}}}]\n", "utf-8")
    with Running("run", "--keys", "keys.yaml", folder=folder) as running:
        running.wait_for_port(port.name)
        port.write(ENCRYPTED)
        running.wait_for_readings(1)
        assert running.stop() == 0
    port.close()
    name = running.readings[0]["meter"]
    assert "\x1b" in name
    state = ("--state", folder / "state/smarty-gateway")
    for command, meter, status in (
        ("reset-counter", "nobody", 2),
        ("forget", "nobody", 2),
        ("reset-counter", HOUSE_TITLE.hex(), 0),
        ("forget", name, 0),
    ):
        done = smarty_gateway(command, meter, *state, folder=folder)
        assert_harmless(done)
        assert done.returncode == status
        assert "owned" in (done.stdout + done.stderr).decode()


def test_the_telegrams_themselves_are_given_byte_for_byte(folder: Path) -> None:
    (folder / "gateway.yaml").write_text("meters: [{source: evil.bin}]\n", "utf-8")
    for arguments in (("decode", "evil.bin"), ("run",)):
        done = smarty_gateway(*arguments, "--format", "telegram", folder=folder)
        assert done.stdout.count(PLAIN) == 1  # the second pretends to be the meter that encrypts
