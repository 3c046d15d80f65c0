"""A capture comes back as it was: from a port, through a capture, through a simulated port."""

import json
from pathlib import Path

import pytest

from tests.support.commands import SAMPLE, SAMPLE_KEYS, smarty_gateway
from tests.support.running import Running, wait_until


def readings(*arguments: object, folder: Path) -> list[str]:
    """Return the meters that `decode` finds in an input."""
    done = smarty_gateway("decode", "--keys", SAMPLE_KEYS, "--format", "json", *arguments, folder=folder)
    return [json.loads(line)["meter_id"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("where", [("--link", "port"), ("--tcp", "0")])
def test_a_recording_that_is_replayed_on_a_port_is_read_whole(tmp_path: Path, where: tuple[str, str]) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_bytes(SAMPLE_KEYS.read_bytes())
    keys.chmod(0o600)
    assert smarty_gateway("capture", SAMPLE, "sample.capture", folder=tmp_path).returncode == 0
    expected = readings(SAMPLE, folder=tmp_path)
    assert readings("sample.capture", folder=tmp_path) == expected
    for recording in (SAMPLE, "sample.capture"):
        replaying = Running("simulate", "--replay", recording, *where, "--speed", "5", folder=tmp_path)
        with replaying:
            wait_until(lambda: replaying.lines, "a port")  # noqa: B023 - called before the loop goes on
            source = replaying.lines[0].split()[-1]
            (tmp_path / "gateway.yaml").write_text(f"meters: [{{source: '{source}'}}]\n", "utf-8")
            with Running("run", "--keys", keys, folder=tmp_path) as running:
                running.wait_for_readings(len(expected))
                assert replaying.wait() == 0
                assert [reading["meter_id"] for reading in running.readings] == expected


def test_a_capture_at_its_recorded_pace_takes_its_time_and_loses_nothing(tmp_path: Path) -> None:
    assert smarty_gateway("capture", SAMPLE, "sample.capture", folder=tmp_path).returncode == 0
    (tmp_path / "gateway.yaml").write_text(
        "meters:\n  - {source: sample.capture, pace: recorded}\noutputs: {stdout: {format: json}}\n", "utf-8"
    )
    keys = tmp_path / "keys.yaml"
    keys.write_bytes(SAMPLE_KEYS.read_bytes())
    keys.chmod(0o600)
    with Running("run", folder=tmp_path) as running:
        assert running.wait() == 0
        assert len(running.lines) == 9


def test_a_replay_of_nothing_is_one_line(tmp_path: Path) -> None:
    done = smarty_gateway("simulate", "--replay", "missing.capture", folder=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
