"""The gateway decrypts what two meters send on one line, and serves each where it is asked for."""

import socket
from pathlib import Path

import pytest
import serial

from tests.support.brokers import free_port
from tests.support.commands import LIMIT, SAMPLE, SAMPLE_KEYS
from tests.support.running import Running, plugged_in
from tests.support.streams import read, telegrams
from vectors.building_blocks import BARN_TITLE, HOUSE_TITLE

CONFIGURATION = """
keys: {keys}
meters:
  - {{name: house, source: p1, id: {house}}}
  - {{name: barn, source: p1, id: {barn}}}
outputs:
  stdout: {{format: json}}
  tcp: [{{meter: house, listen: "127.0.0.1:{port}"}}]
  pty: [{{meter: barn, link: out}}]
"""


@pytest.mark.slow
def test_programs_read_the_decrypted_telegrams_of_their_meter_byte_for_byte(tmp_path: Path) -> None:
    accepted = telegrams(read(SAMPLE.read_bytes()))
    house, barn = (
        b"".join(telegram.raw for telegram in accepted if telegram.system_title == title)
        for title in (HOUSE_TITLE, BARN_TITLE)
    )
    port, names = free_port(), {"house": HOUSE_TITLE.hex().upper(), "barn": BARN_TITLE.hex().upper()}
    text = CONFIGURATION.format(keys=SAMPLE_KEYS, port=port, **names)
    (tmp_path / "gateway.yaml").write_text(text, "utf-8")
    with (
        plugged_in(tmp_path / "p1") as meter,
        Running("run", "--config", "gateway.yaml", folder=tmp_path) as running,
    ):
        running.wait_for_port(meter.name)
        with (
            socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client,
            serial.Serial(str(tmp_path / "out"), 115200, timeout=LIMIT, exclusive=True) as serial_port,
        ):
            meter.write(SAMPLE.read_bytes())
            assert client.makefile("rb").read(len(house)) == house
            assert serial_port.read(len(barn)) == barn
        assert running.stop() == 0
        assert not (tmp_path / "out").is_symlink()
        assert running.says(f"telegrams of house are served at 127.0.0.1:{port}") == 1
    assert house
    assert barn
