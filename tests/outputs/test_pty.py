"""A program that wants a serial port reads whole telegrams, whatever it or the program before it did."""

import fcntl
import grp
import os
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import serial

from smarty_gateway.config.consumers import PtyConfig
from smarty_gateway.config.values import Outputs
from smarty_gateway.outputs.telegrams.pty import PtyOutput
from tests.support.commands import LIMIT, ROOT
from tests.support.running import wait_until
from tests.support.served_telegrams import numbers_in, raw_of, reading_of, serving
from tests.support.views import config_of


def output_of(*entries: PtyConfig) -> PtyOutput:
    return PtyOutput(replace(config_of("house"), outputs=Outputs(pty=entries)))


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """Return where the port is."""
    return tmp_path / "p1"


@pytest.fixture
def served(link: Path) -> Iterator[PtyOutput]:
    """Serve the telegrams of `house`."""
    output = output_of(PtyConfig(link))
    with serving(output):
        yield output


def opened(link: Path) -> serial.Serial:
    """Open the port as most readers do."""
    return serial.Serial(str(link), 115200, timeout=LIMIT, exclusive=True)


def publish(output: PtyOutput, *numbers: int) -> None:
    """Publish telegrams, and wait until the output has handled them."""
    for number in numbers:
        output.publish(reading_of(number))
    wait_until(lambda: not output.is_busy, "an idle output")


def flags_of(link: Path) -> tuple[int, int, int]:
    """Return what the terminal changes in input and output, and its local modes."""
    descriptor = os.open(link, os.O_RDONLY | os.O_NOCTTY)
    try:
        input_flags, output_flags, _, local_flags, *_ = termios.tcgetattr(descriptor)
        return input_flags, output_flags & termios.OPOST, local_flags & (termios.ECHO | termios.ICANON)
    finally:
        os.close(descriptor)


def test_the_port_is_there_before_the_first_telegram_raw_and_with_its_permissions(tmp_path: Path) -> None:
    group = grp.getgrgid(os.getgid())  # of every user, also of one who is not root
    one = PtyConfig(tmp_path / "one", mode=0o660, group=group.gr_name)
    output = output_of(one, PtyConfig(tmp_path / "two"))
    output.start()
    try:
        assert (tmp_path / "one").stat().st_mode & 0o777 == 0o660
        assert (tmp_path / "one").stat().st_gid == group.gr_gid
        assert (tmp_path / "two").stat().st_mode & 0o777 == 0o600
        assert flags_of(tmp_path / "one") == (0, 0, 0)
    finally:
        output.stop(2.0)


def test_a_reader_gets_telegrams_byte_for_byte_from_the_next_one_on(link: Path, served: PtyOutput) -> None:
    publish(served, 0)
    with opened(link) as port:
        for number in (1, 2, 3):
            served.publish(reading_of(number))
            assert port.read(1000) == raw_of(number)


def test_the_next_reader_begins_with_a_whole_telegram_whatever_the_one_before_left(
    link: Path, served: PtyOutput
) -> None:
    with opened(link) as port:
        publish(served, *range(40))
        assert port.read(300) == raw_of(0)[:300]
    publish(served, 40)
    # Unlike pyserial, this discards nothing when it opens the port.
    with link.open("rb") as plain:
        publish(served, 41)
        assert numbers_in(plain.read(1000)) == [41]


def test_a_reader_that_pauses_finds_whole_telegrams_only(link: Path, served: PtyOutput) -> None:
    with opened(link) as port:
        publish(served, *range(500))
        data, last = b"", 500
        port.timeout = 0.1
        # What does not fit yet is dropped, so a telegram at the end may take more than one attempt.
        while raw_of(last) not in data:
            last += 1
            publish(served, last)
            data += port.read(500_000)
    numbers = numbers_in(data)
    assert numbers == sorted(set(numbers))
    assert 4 <= sum(number < 500 for number in numbers) < 100


def test_settings_of_a_reader_and_what_it_writes_change_nothing_for_it_or_the_next_one(
    link: Path, served: PtyOutput
) -> None:
    def write(port: serial.Serial) -> None:
        with suppress(serial.SerialException):
            port.write(bytes(100_000))

    with opened(link) as port:
        port.write_timeout = LIMIT  # which sets the terminal up again
        settings = termios.tcgetattr(port.fileno())
        settings[0] |= termios.ICRNL
        settings[3] |= termios.ECHO
        termios.tcsetattr(port.fileno(), termios.TCSANOW, settings)
        thread = threading.Thread(target=write, args=(port,))
        thread.start()
        for number in range(50):
            served.publish(reading_of(number))
            assert port.read(1000) == raw_of(number).replace(b"\r", b"\n")
        thread.join(LIMIT)
    wait_until(lambda: flags_of(link) == (0, 0, 0), "a terminal in order")
    with opened(link) as port:
        served.publish(reading_of(1))
        assert port.read(1000) == raw_of(1)


_AS_ANOTHER_USER = """
import encodings.idna, fcntl, os, sys, termios
from pathlib import Path
from tests.outputs.test_pty import output_of, publish, raw_of
from smarty_gateway.config.consumers import PtyConfig
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
link = Path(sys.argv[1])
output = output_of(PtyConfig(link))
output.start()
"""
_EXCLUSIVE_READERS = """
for number in range(3):
    with link.open("rb") as port:
        fcntl.ioctl(port, termios.TIOCEXCL)
        publish(output, number)
        assert port.read(1000) == raw_of(number)
    name = link.readlink()
    publish(output)
    while True:
        try:
            link.open("rb").close()
            break
        except OSError:
            assert output.state == "ok"
output.stop(2)
print("all three read")
"""


def test_a_reader_that_wanted_the_port_alone_does_not_lock_out_the_next_one() -> None:
    with TemporaryDirectory() as folder:  # pytest's own is for its user alone
        Path(folder).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", _AS_ANOTHER_USER + _EXCLUSIVE_READERS, Path(folder, "p1")],
            check=False, cwd=ROOT, timeout=LIMIT, capture_output=True, text=True,
        )  # fmt: skip
    assert done.stdout == "all three read\n", done.stderr


@pytest.mark.parametrize("read", [0, 1])
def test_a_reader_that_leaves_another_line_discipline_does_not_lock_out_the_next_one(
    link: Path, served: PtyOutput, read: int
) -> None:
    n_null = 27  # of Linux: a terminal that takes and brings nothing
    with link.open("rb") as plain:
        publish(served, *range(read))
        fcntl.ioctl(plain, termios.TIOCSETD, n_null.to_bytes(4, sys.byteorder))

    def is_usual() -> bool:
        with link.open("rb") as other:
            return not int.from_bytes(fcntl.ioctl(other, termios.TIOCGETD, bytes(4)), sys.byteorder)

    wait_until(is_usual, "the usual line discipline")
    with opened(link) as port:
        served.publish(reading_of(1))
        assert port.read(1000) == raw_of(1)


def test_an_exclusive_lock_ends_with_its_reader(link: Path, served: PtyOutput) -> None:
    gets_exclusive = 0x80045440  # TIOCGEXCL of Linux
    with opened(link) as port:
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)
    publish(served, 1)

    def is_free() -> bool:
        try:
            with link.open("rb") as plain:
                return not int.from_bytes(fcntl.ioctl(plain, gets_exclusive, bytes(4)), sys.byteorder)
        except OSError:  # the lock keeps all users out but root
            return False

    wait_until(is_free, "a port that everybody may open")


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_not_a_link_to_a_terminal_is_left_alone(
    link: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    if kind == "file":
        link.write_text("mine")
    elif kind == "folder":
        link.mkdir()
    else:
        link.symlink_to("/nowhere")
    before = link.lstat()
    output = output_of(PtyConfig(link))
    with serving(output):
        assert output.state == "offline"
    assert link.lstat() == before
    assert f"{link}: something else has this name, and is left alone; remove it" in caplog.text


def test_a_link_that_a_killed_gateway_left_is_replaced_and_removed_at_the_end(link: Path) -> None:
    link.symlink_to("/dev/pts/999999")
    with serving(output_of(PtyConfig(link))):
        assert link.is_char_device()
        assert [path.name for path in link.parent.iterdir()] == ["p1"]
    assert not link.is_symlink()


def test_a_link_that_is_another_programs_by_now_is_not_removed(link: Path) -> None:
    with serving(output_of(PtyConfig(link))):
        other = link.with_name("other")
        other.symlink_to("/dev/pts/999999")
        other.replace(link)  # at once, or the link might be made again in between
    assert str(link.readlink()) == "/dev/pts/999999"


def test_a_link_that_was_removed_is_made_again(link: Path, served: PtyOutput) -> None:
    target = link.readlink()
    link.unlink()
    wait_until(link.is_symlink, "the link")
    assert link.readlink() == target
    assert served.state == "ok"


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can leave a link of another user")
def test_a_link_of_another_user_in_a_folder_for_all_stays_and_nothing_is_left_beside_it() -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o1777)  # as /tmp
        os.chown(folder, 1, 1)
        Path(folder, "p1").symlink_to("/dev/pts/999999")
        done = subprocess.run(
            [sys.executable, "-c", _AS_ANOTHER_USER + "print(output.state)", Path(folder, "p1")],
            check=False, cwd=ROOT, timeout=LIMIT, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout == "offline\n", done.stderr
        assert [path.name for path in Path(folder).iterdir()] == ["p1"]


def test_a_missing_folder_is_named_until_it_is_there_and_the_others_work_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late, good = tmp_path / "run/late", tmp_path / "good"
    output = output_of(PtyConfig(late), PtyConfig(good))
    with serving(output):
        assert output.state == "offline"
        with opened(good) as port:
            output.publish(reading_of(1))
            assert port.read(1000) == raw_of(1)
        late.parent.mkdir()
        wait_until(lambda: output.state == "ok", "the folder")
        assert late.is_char_device()
    assert caplog.text.count(f"there is no folder {tmp_path}/run; create it") == 1


def test_a_group_that_does_not_exist_is_named(link: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = output_of(PtyConfig(link, group="no-such-group"))
    with serving(output):
        assert output.state == "offline"
        assert not link.is_symlink()
    assert f"{link}: there is no group no-such-group; correct `group`" in caplog.text
