"""Files with every reading: real disks, full ones, folders that vanish, crashes, files of others."""

import csv
import gzip
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.outputs.files import output as files_module
from smarty_gateway.outputs.files.day_files import DayFiles, folder_name
from smarty_gateway.outputs.files.output import FilesOutput
from smarty_gateway.outputs.files.packed_files import PackedFiles
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.plain_values import flat
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.safe_text import printable
from tests.support.every_meter import EVERY_KIND
from tests.support.running import wait_until

#: The clock of this machine dates what is old; the telegrams of these tests are of that day.
TODAY = datetime.now(UTC).replace(hour=10, minute=30, second=0, microsecond=0)
KINDS = sorted(EVERY_KIND)


def dated(when: datetime, **more: Any) -> MeterTelegram:  # noqa: ANN401 - values of JSON
    telegram = EVERY_KIND[KINDS[0]]
    fields = {**telegram.decoded.fields, "timestamp": when.isoformat(), **more}
    return replace(telegram, decoded=telegram.decoded._replace(fields=fields))


def reading(when: datetime = TODAY, meter: str = "house", **more: Any) -> Reading:  # noqa: ANN401 - see above
    return Reading(meter, dated(when, **more), when)


class Files:
    """The output with one meter or more."""

    def __init__(self, place: Path, form: str = "jsonl", zone: str = "UTC", **more: Any) -> None:  # noqa: ANN401
        self.folder = place / "telegrams"
        path = place / "gateway.yaml"
        entry = {"folder": "telegrams", "format": form, **more}
        path.write_text(
            f"timezone: {zone}\nmeters: [{{source: /dev/a}}]\noutputs: {json.dumps({'files': entry})}\n"
        )
        config = load_config(path)
        assert config.outputs.files is not None
        self.output = FilesOutput(config, config.outputs.files)

    def put(self, *readings: Reading) -> None:
        """Publish readings, and wait until they are written or dropped."""
        for each in readings:
            self.output.publish(each)
        wait_until(lambda: not self.output.is_busy, "the end of the queue")

    def names(self) -> list[str]:
        """Return the paths of all files."""
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*.*"))

    def records(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of a JSON file."""
        return [json.loads(line) for line in (self.folder / name).read_text("utf-8").splitlines()]

    def rows(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a CSV file."""
        with (self.folder / name).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@contextmanager
def running(place: Path, form: str = "jsonl", **more: Any) -> Iterator[Files]:  # noqa: ANN401
    files = Files(place, form, **more)
    files.output.start()
    try:
        yield files
    finally:
        files.output.stop(5)
        assert files.output.failure is None


DAY = TODAY.date().isoformat()


def test_a_meter_has_a_file_a_day_with_the_json_object_of_each_telegram(tmp_path: Path) -> None:
    readings = [
        reading(TODAY + timedelta(seconds=each), meter) for each in (0, 10) for meter in ("house", "barn")
    ]
    with running(tmp_path) as files:
        files.put(*readings, reading(TODAY - timedelta(hours=20)))
        yesterday = (TODAY - timedelta(days=1)).date().isoformat()
        assert files.names() == [f"barn/{DAY}.jsonl", f"house/{yesterday}.jsonl", f"house/{DAY}.jsonl"]
        assert (files.folder / "house" / f"{DAY}.jsonl").read_bytes() == b"".join(
            each.json + b"\n" for each in readings if each.meter == "house"
        )


def test_a_day_is_local_and_a_late_telegram_goes_into_its_own(tmp_path: Path) -> None:
    night = datetime(2026, 1, 30, 22, 59, 50, tzinfo=UTC)
    with running(tmp_path, zone="Europe/Luxembourg") as files:
        files.put(*(reading(night + timedelta(seconds=each)) for each in (0, 10, 0)))
        assert len(files.records("house/2026-01-30.jsonl")) == 2
        assert len(files.records("house/2026-01-31.jsonl")) == 1


@pytest.mark.parametrize(("is_synchronised", "day"), [(True, DAY), (False, "2031-05-06")])
def test_a_clock_that_is_far_off_dates_nothing_where_the_gateways_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_synchronised: bool, day: str
) -> None:
    monkeypatch.setattr(files_module, "is_synchronised", lambda: is_synchronised)
    with running(tmp_path) as files:
        files.put(Reading("house", dated(datetime(2031, 5, 6, tzinfo=UTC)), TODAY))
        assert files.names() == [f"house/{day}.jsonl"]


def test_a_recording_is_dated_by_its_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "is_synchronised", lambda: True)
    with running(tmp_path) as files:
        telegram = dated(datetime(2025, 5, 6, tzinfo=UTC))
        files.put(Reading("house", telegram, TODAY, is_live=False))
        assert files.names() == ["house/2025-05-06.jsonl"]


@pytest.mark.parametrize("kind", KINDS)
def test_csv_holds_every_single_value_of_every_meter(tmp_path: Path, kind: str) -> None:
    files = DayFiles(tmp_path, "csv")
    sent = Reading("house", EVERY_KIND[kind], TODAY)
    files.append(sent, DAY)
    with (tmp_path / "house" / f"{DAY}.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row.keys() == flat(sent.record).keys()
    for name, value in flat(sent.record).items():
        shown = row[name].removeprefix("'") if isinstance(value, str) else row[name]
        assert type(value)(shown) == (printable(value) if isinstance(value, str) else value)
        assert "e" not in shown or isinstance(value, str)
    gas = sent.record.get("gas")
    if gas and "value" in gas:
        assert (float(row["gas"]), row["gas_unit"]) == (gas["value"], gas["unit"])


_VALUES = st.one_of(
    st.integers(-(10**12), 10**12),
    st.floats(-1e15, 1e15, allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=12),
)


@given(st.lists(st.dictionaries(st.sampled_from("abcdef"), _VALUES), min_size=1, max_size=6))
def test_what_was_written_is_read_again_whatever_it_is(tmp_path_factory: Any, telegrams: Any) -> None:  # noqa: ANN401
    folder = tmp_path_factory.mktemp("files")
    both = {form: DayFiles(folder, form) for form in ("csv", "jsonl")}
    sent = [reading(TODAY, **values) for values in telegrams]
    for each in sent:
        for files in both.values():
            files.append(each, DAY)
    lines = (folder / "house" / f"{DAY}.jsonl").read_text("utf-8").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [json.loads(each.json) for each in sent]
    parts = [folder / "house" / f"{DAY}{part}.csv" for part in ("", *(f"-{n}" for n in range(2, 9)))]
    rows = [row for part in parts if part.exists() for row in _rows(part)]
    assert len(rows) == len(sent)
    for row, values in zip(rows, telegrams, strict=True):
        for name, value in values.items():
            if not isinstance(value, str):
                assert type(value)(row[name]) == value
            elif value.isprintable():
                assert row[name].removeprefix("'") == value.removeprefix("'")
        assert all(not row.get(name) for name in "abcdef" if name not in values)


def _rows(path: Path) -> list[dict[str, str]]:
    text = path.read_text("utf-8")
    assert text.endswith("\n")
    assert len(list(csv.reader(text.splitlines()))) == text.count("\n")
    return list(csv.DictReader(text.splitlines()))


def test_a_new_value_begins_a_new_csv_file_and_a_missing_one_leaves_its_cell_empty(tmp_path: Path) -> None:
    with running(tmp_path, "csv") as files:
        files.put(reading(), reading(more=1), reading(), reading(more=2))
        assert files.names() == [f"house/{DAY}-2.csv", f"house/{DAY}.csv"]
        assert len(files.rows(f"house/{DAY}.csv")) == 1
        assert [row["more"] for row in files.rows(f"house/{DAY}-2.csv")] == ["1", "", "2"]
    with running(tmp_path, "csv") as files:
        files.put(reading(more=3))
        assert [row["more"] for row in files.rows(f"house/{DAY}-2.csv")] == ["1", "", "2", "3"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize(
    "torn", [b"{", b"x" * 200_000, b"\0" * 4096, b"a,b"], ids=["begun", "long", "zeros", "short"]
)
def test_a_torn_line_is_cut_off_at_the_next_start(tmp_path: Path, form: str, torn: bytes) -> None:
    with running(tmp_path, form) as files:
        files.put(reading(), reading())
    path = files.folder / "house" / f"{DAY}.{form}"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    with running(tmp_path, form) as files:
        files.put(reading())
    assert path.read_bytes() == whole + whole.splitlines(keepends=True)[-1]


def test_a_torn_head_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "telegrams" / "house" / f"{DAY}.csv"
    path.parent.mkdir(parents=True)
    path.write_text("meter,met")
    with running(tmp_path, "csv") as files:
        files.put(reading())
        assert [row["meter"] for row in files.rows(f"house/{DAY}.csv")] == ["house"]


def test_a_folder_that_is_deleted_or_moved_is_made_again(tmp_path: Path) -> None:
    with running(tmp_path) as files:
        files.put(reading())
        files.folder.rename(tmp_path / "moved")
        files.put(reading())
        assert len(files.records(f"house/{DAY}.jsonl")) == 1
        (files.folder / "house" / f"{DAY}.jsonl").unlink()
        (files.folder / "house").rmdir()
        files.put(reading())
        assert len(files.records(f"house/{DAY}.jsonl")) == 1


def test_a_file_in_the_place_of_a_meters_folder_hinders_no_other_meter(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path) as files:
        files.put(reading(meter="barn"))
        (files.folder / "house").write_text("")
        for _ in range(3):
            files.put(reading(), reading(meter="barn"))
        assert len(files.records(f"barn/{DAY}.jsonl")) == 4
        assert files.output.state == "offline"
        assert len(caplog.records) == 1
        assert "a file stands where a folder should be; move it away" in caplog.text
        (files.folder / "house").unlink()
        wait_until(lambda: _works_again(files), "the meter's folder")
        assert "the files output writes house again; dropped readings: " in caplog.text


@pytest.mark.slow
def test_a_symbolic_link_in_the_place_of_a_file_changes_no_other_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text("keys:")
    (tmp_path / "telegrams" / "house").mkdir(parents=True)
    (tmp_path / "telegrams" / "house" / f"{DAY}.jsonl").symlink_to(keys)
    with running(tmp_path) as files:
        files.put(reading())
        wait_until(lambda: files.output.state == "offline", "the line")
    assert keys.read_text() == "keys:"
    assert "a symbolic link stands in the place of a file; remove it" in caplog.text


def _works_again(files: Files) -> bool:
    files.put(reading())
    return files.output.state == "ok"


def test_without_the_parent_folder_one_line_says_what_to_do_until_it_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smarty_gateway.outputs.attempts.DELAYS", (0.05,))
    with running(tmp_path, folder="disk/telegrams") as files:
        files.folder = tmp_path / "disk" / "telegrams"
        for _ in range(5):
            files.output.publish(reading())
        wait_until(lambda: files.output.state == "offline", "the fault")
        (tmp_path / "disk").mkdir()
        wait_until(lambda: files.names() and files.output.state == "ok", "the disk")
    first, *_, last = [record.message for record in caplog.records]
    assert first == (
        f"the files output: {tmp_path}/disk/telegrams: No such file or directory (make the folder in which "
        "it shall be; a disk may not be mounted); trying again until it works"
    )
    assert last.startswith("the files output works again; dropped readings: ")
    assert len(caplog.records) == 2


_ON_A_FULL_DISK = """
import logging, resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.outputs.test_files import *
logging.basicConfig(format="%(message)s", level=logging.INFO)
size = len(reading().json) + 1
with running(Path({folder!r}), {form!r}) as files:
    files.put(reading())
    path = next(files.folder.rglob("*.*"))
    one = path.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (one + 100, resource.RLIM_INFINITY))
    files.output.publish(reading())
    wait_until(lambda: files.output.state == "offline", "the full disk")
    assert path.stat().st_size == one, "nothing of a line that does not fit is left"
    for _ in range(5):
        files.output.publish(reading())
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    wait_until(lambda: files.output.state == "ok" and path.stat().st_size > one, "room on the disk")
    files.put(reading())
"""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_a_full_disk_is_said_once_leaves_no_torn_line_and_is_over_with_one_line(
    tmp_path: Path, form: str
) -> None:
    root = str(Path(__file__).resolve().parents[2])
    script = _ON_A_FULL_DISK.format(root=root, folder=str(tmp_path), form=form)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    full, over = done.stderr.splitlines()
    assert "File too large (make room, or name another folder); trying again until it works" in full
    assert over == "the files output works again; dropped readings: 5"
    assert len((tmp_path / "telegrams" / "house" / f"{DAY}.{form}").read_text().splitlines()) == (
        3 if form == "jsonl" else 4
    )


_WITHOUT_PERMISSION = """
import logging, os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.outputs.test_files import *
logging.basicConfig(format="%(message)s")
files = Files(Path({folder!r}))
Files(Path({folder!r})).output._day_of(reading())  # loads what another user may not read
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 0)
files.output.start()
files.put(reading(meter="barn"))
files.output.publish(reading())
wait_until(lambda: files.output.state == "offline", "the fault")
files.put(reading(meter="barn"))
assert len(files.records(f"barn/{{DAY}}.jsonl")) == 2
files.output.stop(5)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_meters_file_without_permission_hinders_no_other_meter() -> None:
    with TemporaryDirectory() as temporary:  # pytest's own is for its user alone
        folder = Path(temporary)
        (folder / "telegrams" / "house").mkdir(parents=True)
        for each in (folder, folder / "telegrams"):
            os.chown(each, 65534, 65534)
        root = str(Path(__file__).resolve().parents[2])
        script = _WITHOUT_PERMISSION.format(root=root, folder=temporary)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"telegrams/house/{DAY}.jsonl: Permission denied (make it writable for the gateway's user)" in (
        done.stderr
    )


def test_files_and_folders_are_not_for_all_users_of_the_machine(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        with running(tmp_path) as files:
            files.put(reading())
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (files.folder, *sorted(files.folder.rglob("*")))]
    assert modes == [0o750, 0o750, 0o640]


# Compression


def old_file(folder: Path, days: int, lines: int = 3, name: str = "house/{}.jsonl") -> tuple[Path, bytes]:
    day = datetime.now(UTC).date() - timedelta(days)
    path = folder / "telegrams" / name.format(day.isoformat())
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"".join(b'{"meter":"house","n":%d}\n' % line for line in range(lines))
    path.write_bytes(content)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    return path, content


def packed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


def test_a_file_is_compressed_after_its_days_and_keeps_its_time(tmp_path: Path) -> None:
    old, content = old_file(tmp_path, 31)
    young, _ = old_file(tmp_path, 30)
    old.chmod(0o600)
    with running(tmp_path, compress_after=31):
        wait_until(lambda: not old.exists(), "the compressed file")
    assert gzip.decompress(packed(old).read_bytes()) == content
    assert packed(old).stat().st_mtime == 1_000_000_000
    assert stat.S_IMODE(packed(old).stat().st_mode) == 0o600
    assert young.exists()
    assert sorted(old.parent.iterdir()) == sorted([packed(old), young])


def test_a_late_telegram_of_a_compressed_day_goes_into_a_file_beside(tmp_path: Path) -> None:
    old, content = old_file(tmp_path, 40)
    with running(tmp_path) as files:
        wait_until(lambda: not old.exists(), "the compressed file")
        when = TODAY - timedelta(days=40)
        files.put(Reading("house", dated(when), when), Reading("house", dated(when), when))
        assert len(files.records(f"house/{when.date()}-2.jsonl")) == 2
        assert gzip.decompress(packed(old).read_bytes()) == content


def test_readings_are_written_while_a_large_file_is_compressed(tmp_path: Path) -> None:
    old, content = old_file(tmp_path, 40, lines=400_000)
    with running(tmp_path) as files:
        wait_until(lambda: list(old.parent.glob(".*.tmp")), "the beginning")
        files.put(reading())
        assert old.exists()
        assert len(files.records(f"house/{DAY}.jsonl")) == 1
    assert not list(old.parent.glob(".*.tmp")), "a stop leaves nothing behind"
    assert old.read_bytes() == content


def test_a_file_that_is_being_written_is_not_compressed_however_old_its_day_is(tmp_path: Path) -> None:
    when = TODAY - timedelta(days=40)
    files = DayFiles(tmp_path / "telegrams", "jsonl")
    (tmp_path / "telegrams").mkdir()
    files.append(Reading("house", dated(when), when), when.date().isoformat())
    before, _ = old_file(tmp_path, 41)
    old_files = PackedFiles(tmp_path / "telegrams", 31, ZoneInfo("UTC"), files.is_in_use)
    while old_files.step():
        pass
    assert [path.name for path in sorted(before.parent.iterdir())] == [
        f"{before.name}.gz",
        f"{when.date()}.jsonl",
    ]


def test_what_a_crash_left_behind_is_done_again(tmp_path: Path) -> None:
    both, content = old_file(tmp_path, 40)
    packed(both).write_bytes(gzip.compress(content))
    begun, _ = old_file(tmp_path, 41)
    begun.with_name(f".{begun.name}.gz.tmp").write_bytes(b"half")
    gone = both.with_name(".2020-01-01.jsonl.gz.tmp")
    gone.write_bytes(b"half")
    torn, _ = old_file(tmp_path, 42)
    torn.write_bytes(content + b'{"meter":"ho')
    with running(tmp_path):
        wait_until(lambda: not torn.exists() and not both.exists() and not begun.exists(), "all three")
    assert {path.name for path in both.parent.iterdir()} == {
        packed(each).name for each in (both, begun, torn)
    }
    for each in (both, begun, torn):
        assert gzip.decompress(packed(each).read_bytes()) == content


@pytest.mark.parametrize(
    "other", [gzip.compress(b"what a person has put there"), b"damaged"], ids=["other", "damaged"]
)
def test_a_compressed_file_with_other_content_is_never_overwritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, other: bytes
) -> None:
    old, content = old_file(tmp_path, 40)
    later, _ = old_file(tmp_path, 39)
    packed(old).write_bytes(other)
    with running(tmp_path):
        wait_until(lambda: not later.exists(), "the next file")
    assert old.read_bytes() == content
    assert packed(old).read_bytes() == other
    assert f"the files output cannot compress {old}: " in caplog.text


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    own, content = old_file(tmp_path, 40, name="zoo/{}.jsonl")
    foreign, _ = old_file(tmp_path, 41)
    foreign.write_text("my notes")
    other, _ = old_file(tmp_path, 42, name="house/photo {}.jsonl")
    outside, _ = old_file(tmp_path / "elsewhere", 43)
    link = foreign.with_name("2019-01-01.jsonl")
    link.symlink_to(outside)
    (foreign.parents[1] / "linked").symlink_to(outside.parent)
    with running(tmp_path):
        wait_until(lambda: not own.exists(), "our own file, which comes last")
    assert foreign.read_text() == "my notes"
    assert other.read_bytes() == content
    assert outside.read_bytes() == content
    assert link.is_symlink()


@pytest.mark.slow
def test_a_kill_at_any_moment_of_compression_loses_nothing(tmp_path: Path) -> None:
    contents = {}
    for days in range(32, 42):
        path, content = old_file(tmp_path, days, lines=60_000)
        contents[path] = content
    root = str(Path(__file__).resolve().parents[2])
    script = (
        f"import sys; sys.path.insert(0, {root!r})\nfrom tests.outputs.test_files import *\n"
        f"with running(Path({str(tmp_path)!r})) as files:\n    print('on', flush=True); time.sleep(60)\n"
    )
    for delay in (0.0, 0.02, 0.05, 0.1, 0.15):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        for path, content in contents.items():
            kept = path.read_bytes() if path.exists() else gzip.decompress(packed(path).read_bytes())
            assert kept == content
    with running(tmp_path):
        wait_until(lambda: not any(path.exists() for path in contents), "all")
    assert not list(path.parent.glob(".*.tmp"))


# Names


@given(st.text())
def test_a_folders_name_is_never_a_path(name: str) -> None:
    folder = folder_name(name)
    assert "/" not in folder
    assert "\0" not in folder
    assert not folder.startswith(".")
    assert not folder.endswith((".", " "))
    assert folder.isprintable()
    assert 0 < len(folder.encode()) <= 160


@given(st.text(max_size=6), st.text(max_size=6))
def test_two_meters_never_share_a_folder(one: str, other: str) -> None:
    assert (folder_name(one) == folder_name(other)) == (one == other)


@given(st.text(), st.text())
def test_two_meters_with_long_names_never_share_a_folder(one: str, other: str) -> None:
    beginning = "é" * 100
    assert (folder_name(beginning + one) == folder_name(beginning + other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("house", "house"),
        ("Küche", "Küche"),
        ("flat 2", "flat%202"),
        ("..", "%2E%2E"),
        (".hidden", "%2Ehidden"),
        ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd"),
        ("", "%"),
        ("SAG1030700012345", "SAG1030700012345"),
    ],
)
def test_a_folders_name_is_legible(name: str, folder: str) -> None:
    assert folder_name(name) == folder
