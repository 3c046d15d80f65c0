"""`smarty-gateway history import`, as its users run it."""

import json
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.sample import REGISTERS
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml
from smarty_gateway.sources.capture_format import CaptureWriter
from smarty_gateway.state.history_file import HistoryFile, export_history, open_history
from smarty_gateway.state.history_rows import boundaries_of
from smarty_gateway.state.store import Store
from smarty_gateway.state.store_rows import Holder
from tests.support.commands import smarty_gateway
from tests.support.histories import write_history
from vectors.building_blocks import hex_text, telegram

#: Ten seconds before a quarter hour.
BEGAN = datetime(2026, 3, 1, 10, 14, 50, tzinfo=UTC)
FIRST_END = int(BEGAN.timestamp()) + 10
LUXEMBOURG = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
BELGIUM = SimulatedMeter(MeterKind.BELGIUM, 2)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a key file, where commands run."""
    monkeypatch.chdir(tmp_path)
    keys = tmp_path / "keys.yaml"
    keys.write_text(keys_yaml([LUXEMBOURG]))
    keys.chmod(0o600)
    return tmp_path


def sent(meter: SimulatedMeter, begin: int, minutes: float, step: int = 20) -> list[tuple[float, bytes]]:
    """Return what a meter sends, with the seconds since `BEGAN`."""
    write = meter.telegram if meter.key is None else meter.frame
    return [
        (second, write(BEGAN + timedelta(seconds=second)))
        for second in range(begin, begin + int(minutes * 60) + 1, step)
    ]


def record(name: str, *parts: Iterable[tuple[float, bytes]]) -> Path:
    """Write raw bytes."""
    path = Path(name)
    path.write_bytes(b"".join(data for part in parts for _, data in part))
    return path


def capture(name: str, chunks: Iterable[tuple[float, bytes]]) -> Path:
    """Write a capture, with arrival times."""
    path = Path(name)
    with path.open("wb") as file:
        writer = CaptureWriter(file.write, "/dev/ttyUSB0", BEGAN)
        for second, data in chunks:
            writer.chunk(second, data)
    return path


def configure(*entries: str) -> None:
    lines = "".join(f"  - {{source: /dev/ttyUSB{number}, {entry}}}\n" for number, entry in enumerate(entries))
    Path("gateway.yaml").write_text(f"keys: keys.yaml\nmeters:\n{lines}")


def run(*arguments: object, status: int = 0) -> tuple[str, str]:
    """Import into the folder `state`, and return what was printed."""
    done = smarty_gateway("history", "import", *arguments, "--state", "state")
    output, errors = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, errors
    return output, errors


def stored(meter: str) -> list[Boundary]:
    connection = open_history(Path("state"))
    if connection is None:
        return []
    with closing(connection):
        return list(boundaries_of(connection, meter))


def ends(meter: str) -> list[int]:
    """Return the stored boundaries in quarter hours since the first one."""
    return [(boundary.end - FIRST_END) // 900 for boundary in stored(meter)]


def test_a_recording_becomes_registers_at_quarter_hours() -> None:
    configure("name: house")
    output, errors = run(record("a.bin", sent(LUXEMBOURG, 0, 46)))
    assert ends("house") == [0, 1, 2, 3]
    assert output == (
        f"house ({LUXEMBOURG.meter_id}): registers at 4 quarter-hour boundaries, 4 added, 0 already there, "
        "0 left out\n"
    )
    assert errors == ""
    found = json.loads(smarty_gateway("decode", "a.bin", "--format", "json").stdout.splitlines()[45 * 3 + 1])
    total = stored("house")[3].registers[REGISTERS.index("energy_import")]
    assert total is not None
    assert abs(total - found["energy_import"] * 1000) <= 10


@pytest.mark.parametrize("form", ["raw", "hex", "capture"])
def test_every_form_of_a_recording_gives_the_same(form: str) -> None:
    chunks = sent(LUXEMBOURG, 0, 16)
    run(record("plain.bin", chunks), "--meter", "plain")
    if form == "capture":
        path = capture("a.capture", chunks)
    else:
        data = b"".join(data for _, data in chunks)
        path = Path("a.bin")
        path.write_bytes(data if form == "raw" else data.hex(" ").encode())
    assert smarty_gateway("history", "import", path, "--state", "other", "--meter", "plain").returncode == 0
    with closing(HistoryFile(Path("other"))) as other, closing(HistoryFile(Path("state"))) as first:
        assert other.newest("plain") == first.newest("plain")


def test_what_the_meter_says_of_its_peaks_is_kept_although_a_boundary_comes_again() -> None:
    local = BEGAN + timedelta(hours=1)

    def at(second: int) -> bytes:
        # The gas meter is read at the boundary, and half a minute later its value is here.
        read_at = local + timedelta(seconds=10 if second >= 40 else -890)
        return telegram(
            "ABC5\\meter",
            f"0-0:1.0.0({local + timedelta(seconds=second):%y%m%d%H%M%S}W)",
            f"0-0:96.1.1({hex_text('1SAG1100000009')})",
            f"1-0:1.8.0({100 + second / 1000:010.3f}*kWh)",
            f"1-0:1.6.0({local - timedelta(hours=1):%y%m%d%H%M%S}W)(02.500*kW)",
            "0-1:24.1.0(003)",
            f"0-1:96.1.1({hex_text('GAS0000000001')})",
            f"0-1:24.2.3({read_at:%y%m%d%H%M%S}W)({5 if second >= 40 else 4:09.3f}*m3)",
        )

    Path("a.bin").write_bytes(b"".join(at(second) for second in range(0, 1000, 10)))
    run("a.bin", "--meter", "barn")
    assert [device.value for device in stored("barn")[0].devices] == [5000]
    assert [peak.power for peak in stored("barn")[-1].peaks] == [2500]


def test_files_are_one_stream_in_the_order_of_their_times() -> None:
    configure("name: house")
    later, earlier = record("1.bin", sent(LUXEMBOURG, 920, 30)), record("2.bin", sent(LUXEMBOURG, 0, 15))
    run(later, earlier)
    assert ends("house") == [0, 1, 2, 3]  # 1 lies between the two files


def test_a_second_import_adds_nothing() -> None:
    configure("name: house")
    path = record("a.bin", sent(LUXEMBOURG, 0, 31))
    run(path)
    before = stored("house")
    output, _ = run(path)
    assert "0 added, 3 already there, 0 left out" in output
    assert stored("house") == before


def test_a_recording_fills_the_gap_of_another_one_that_is_longer() -> None:
    configure("name: house")
    long = record("long.bin", sent(LUXEMBOURG, 0, 16), sent(LUXEMBOURG, 3600, 16))
    short = record("short.bin", sent(LUXEMBOURG, 1000, 40))
    output, _ = run(long, short)
    assert ends("house") == [0, 1, 2, 3, 4, 5]
    assert "6 added" in output


def test_each_of_two_meters_on_one_line_has_its_own_history() -> None:
    configure(f"id: {LUXEMBOURG.meter_id}, name: house", f"id: {BELGIUM.meter_id}, name: barn")
    both = sorted(sent(LUXEMBOURG, 0, 16) + sent(BELGIUM, 1, 16))
    run(record("a.bin", both))
    assert ends("house") == ends("barn") == [0, 1]


def test_a_copy_of_the_history_is_restored_by_names() -> None:
    configure(f"id: {LUXEMBOURG.meter_id}, name: house", f"id: {BELGIUM.meter_id}, name: barn")
    run(record("a.bin", sorted(sent(LUXEMBOURG, 0, 16) + sent(BELGIUM, 1, 16))))
    expected = {name: stored(name) for name in ("house", "barn")}
    with closing(HistoryFile(Path("state"))) as history:
        history.mark_simulated("barn")
    export_history(Path("state"), Path("backup.sqlite"))
    Path("state/history.sqlite3").unlink()
    run("backup.sqlite")
    assert {name: stored(name) for name in ("house", "barn")} == expected
    shown = smarty_gateway("history", "barn", "--state", "state", "--day", "2026-03-01", "--format", "table")
    assert b"simulated" in shown.stdout + shown.stderr


def test_a_simulated_meter_is_not_restored_among_measured_values() -> None:
    path = record("a.bin", sent(LUXEMBOURG, 0, 16))
    run(path, "--meter", "house")
    others = [replace(boundary, meter_id="X") for boundary in stored("house")]
    write_history(Path("other"), "house", others, is_simulated=True)
    export_history(Path("other"), Path("simulated.sqlite"))
    before = stored("house")
    assert "house" in run("simulated.sqlite", status=1)[1]
    assert stored("house") == before
    shown = smarty_gateway("history", "house", "--state", "state", "--day", "2026-03-01", "--format", "table")
    assert b"simulated" not in shown.stdout + shown.stderr


# Names


def test_a_meter_goes_to_the_entry_with_its_id_in_any_form() -> None:
    title = LUXEMBOURG.title
    assert title is not None
    configure("name: other", f'id: "{title.hex()}", name: house')
    run(record("a.bin", sent(LUXEMBOURG, 0, 1)))
    assert ends("house") == [0]


def test_a_meter_goes_to_the_name_that_has_its_series() -> None:
    path = record("a.bin", sent(LUXEMBOURG, 0, 16))
    run(path, "--meter", "old house")
    later = record("b.bin", sent(LUXEMBOURG, 1800, 16))
    assert "old_house" in run(later)[0]
    assert ends("old_house") == [0, 1, 2, 3]
    assert "goes to old_house" in run(later, "--meter", "house")[1]
    assert not stored("house")


@pytest.mark.parametrize("name", ["", " ", "status", "Health"])
def test_a_name_that_no_meter_can_have_is_refused(name: str) -> None:
    run(record("a.bin", sent(LUXEMBOURG, 0, 1)), "--meter", name, status=2)
    assert not Path("state").exists()


def test_the_only_name_without_history_takes_the_only_meter() -> None:
    configure("name: house", "name: barn")
    path = record("a.bin", sent(LUXEMBOURG, 0, 1))
    assert "add --meter NAME" in run(path, status=2)[1]
    run(path, "--meter", "house")
    run(record("b.bin", sent(BELGIUM, 0, 1)))
    assert ends("barn") == [0]


def test_two_unknown_meters_need_their_ids() -> None:
    path = record("a.bin", sorted(sent(LUXEMBOURG, 0, 1) + sent(BELGIUM, 1, 1)))
    _, errors = run(path, "--meter", "house", status=2)
    assert LUXEMBOURG.meter_id in errors
    assert BELGIUM.meter_id in errors
    assert not stored("house")


def test_an_unknown_meter_beside_a_known_one_is_left_out_with_a_line() -> None:
    configure(f"id: {LUXEMBOURG.meter_id}, name: house")
    _, errors = run(record("a.bin", sorted(sent(LUXEMBOURG, 0, 1) + sent(BELGIUM, 1, 1))))
    assert ends("house") == [0]
    assert f"knows {BELGIUM.meter_id}" in errors


def test_plaintext_does_not_get_the_name_of_a_meter_that_must_encrypt() -> None:
    configure(f"id: {BELGIUM.meter_id}, name: house, encrypted: true")
    _, errors = run(record("a.bin", sent(BELGIUM, 0, 1)), status=1)
    assert "encrypted: true" in errors
    assert not stored("house")


def test_plaintext_does_not_get_the_name_under_which_the_gateway_reads_encrypted_frames() -> None:
    with Store(Path("state")) as store:
        store.write_owners({}, {"my/house": Holder(BELGIUM.meter_id, is_authenticated=True)}, [])
    configure(f"id: {BELGIUM.meter_id}, name: my/house")
    output, errors = run(record("a.bin", sent(BELGIUM, 0, 1)), status=1)
    assert output == ""
    assert "left out, because plaintext was recorded and my_house sends encrypted frames" in errors


# Left out, refused


def test_rejected_frames_are_counted_and_not_listed() -> None:
    configure("name: house")
    good = sent(LUXEMBOURG, 0, 1)
    wrong = [(at, LUXEMBOURG.frame(BEGAN + timedelta(seconds=at), under_wrong_key=True)) for at in (70, 80)]
    _, errors = run(record("a.bin", good, wrong, good[:1]))
    assert errors == "rejected: 3 (authentication 2, replay 1)\n"


def test_a_recording_without_anything_valid_ends_with_1() -> None:
    Path("noise.bin").write_bytes(b"nothing here" * 20)
    assert "noise.bin: there is no valid telegram" in run("noise.bin", status=1)[1]
    Path("all.csv").write_bytes(b"meter,start,end,import,export\n")
    assert "a backup is a .sqlite file" in run("all.csv", status=1)[1]
    assert not Path("state").exists()


@pytest.mark.parametrize("name", ["missing.bin", ".", "/dev/null"])
def test_what_is_no_file_ends_with_2(name: str) -> None:
    assert run(name, status=2)[1].startswith("smarty-gateway: ")


def test_a_damaged_copy_changes_nothing() -> None:
    run(record("a.bin", sent(LUXEMBOURG, 0, 16)), "--meter", "house")
    data = bytearray(Path("state/history.sqlite3").read_bytes())
    Path("cut.sqlite").write_bytes(data[:6000])
    assert "cut.sqlite" in run("cut.sqlite", status=2)[1]


def test_a_key_file_that_cannot_be_used_ends_with_78() -> None:
    Path("keys.yaml").write_text("keys: 5\n")
    run(record("a.bin", sent(LUXEMBOURG, 0, 1)), status=78)


WITHOUT_CLOCK = b"/ABC5 meter\r\n\r\n1-0:1.8.1({:010.3f}*kWh)\r\n1-0:2.8.1(00000.000*kWh)\r\n!\r\n"


def clockless(second: int) -> bytes:
    energy = 100 + second / 1000
    return WITHOUT_CLOCK.replace(b"{:010.3f}", f"{energy:010.3f}".encode())


def test_a_recording_that_contradicts_itself_all_the_time_does_not_flood_the_terminal() -> None:
    chunks = [
        (float(second), clockless(second + 500_000 * (second // 30 % 2))) for second in range(0, 3000, 10)
    ]
    _, errors = run(capture("a.capture", chunks), "--meter", "old")
    assert 20 < len(errors.splitlines()) < 25
    assert "such lines more" in errors


def test_a_meter_without_a_clock_needs_a_capture() -> None:
    chunks = [(float(second), clockless(second)) for second in range(0, 1000, 10)]
    _, errors = run(record("a.bin", chunks), "--meter", "old", status=1)
    assert "sends no time" in errors
    run(capture("a.capture", chunks), "--meter", "old")
    assert ends("old") == [0, 1]
    assert [boundary.registers[1] for boundary in stored("old")] == [100_010, 100_910]


def test_times_of_joined_captures_are_not_believed_behind_the_first() -> None:
    chunks = [(float(second), clockless(second)) for second in range(0, 1000, 10)]
    path = capture("a.capture", chunks)
    later = capture("b.capture", [(second, clockless(int(second) + 5000)) for second, _ in chunks])
    path.write_bytes(path.read_bytes() + later.read_bytes())
    run(path, "--meter", "old")
    assert ends("old") == [0, 1]
    assert [boundary.registers[1] for boundary in stored("old")] == [100_010, 100_910]


def test_a_clock_that_is_set_back_in_a_recording_removes_what_lay_behind_it() -> None:
    configure("name: house")

    def at(clock: datetime, second: int) -> bytes:
        return telegram(
            "ABC5\\meter",
            f"0-0:1.0.0({clock:%y%m%d%H%M%S}W)",
            f"0-0:96.1.1({hex_text('1SAG1100000009')})",
            f"1-0:1.8.0({100 + second / 1000:010.3f}*kWh)",
        )

    local = BEGAN + timedelta(hours=1)
    ahead = [at(local + timedelta(seconds=second, days=1), second) for second in range(0, 1000, 10)]
    right = [at(local + timedelta(seconds=second), second) for second in range(1000, 3000, 10)]
    Path("a.bin").write_bytes(b"".join(ahead + right))
    _, errors = run("a.bin")
    assert "set back" in errors
    assert ends("house") == [2, 3]


def test_it_works_beside_a_gateway_that_has_the_history_open() -> None:
    configure("name: house")
    with closing(HistoryFile(Path("state"))) as history:
        run(record("a.bin", sent(LUXEMBOURG, 0, 16)))
        newest = history.newest("house")
    assert newest is not None
    assert newest.end == stored("house")[-1].end
