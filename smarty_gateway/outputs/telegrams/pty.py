"""The output `pty`: the telegrams of a meter on a pseudo-terminal, for programs that want a serial port.

A pseudo-terminal shows whether a program has it open only while the gateway itself does not hold its slave
side. So the gateway opens that for moments only. It writes nothing while nobody has the terminal open, and
puts it in order when the last program has closed it: the next one gets neither old bytes nor the settings of
the one before.
"""

import errno
import fcntl
import grp
import os
import re
import select
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from smarty_gateway.config.consumers import PtyConfig
from smarty_gateway.config.values import Config
from smarty_gateway.outputs.attempts import ConsumerAwayError
from smarty_gateway.outputs.telegrams.ports import Poller, TelegramOutput, TelegramPort

_READ_A_TURN: Final = 4096
#: N_TTY, the usual one. What a program sets (`ldattach`) outlives it.
_LINE_DISCIPLINE: Final = bytes(4)
#: As of `termios.tcgetattr`.
_Settings = list[Any]
#: The names of pseudo-terminals on Linux and macOS.
_TERMINAL: Final = re.compile(r"/dev/(pts/[0-9]+|ttys[0-9]+)")
_AS_A_SERVICE: Final = (
    "as a service: write a link below /run/smarty-gateway, and type sudo smarty-gateway service install"
)


class PtyOutput(TelegramOutput):
    """Serves telegrams on pseudo-terminals."""

    def __init__(self, config: Config) -> None:
        poller = Poller()
        super().__init__("pty", poller, [_Terminal(config, entry, poller) for entry in config.outputs.pty])


class _Terminal(TelegramPort):
    """One pseudo-terminal and the link that is its name."""

    def __init__(self, config: Config, entry: PtyConfig, poller: Poller) -> None:
        super().__init__(config, entry.meter, str(entry.link), poller)
        self._entry = entry
        self._master: int | None = None
        self._name = ""
        self._settings: _Settings = []
        self._is_clean = True
        self._rest = memoryview(b"")

    def tend(self) -> None:
        """Open the terminal, see to its link, and to its settings while nobody has it open."""
        if self._master is not None:
            self._look_after(self._master)
        if self._master is None:
            self._master = self._open()
        else:
            _keep_link(self._entry.link, self._name)

    def send(self, telegram: bytes) -> None:
        """Write a telegram if a program has the terminal open and has taken the one before."""
        if self._master is not None and not self._rest and self._is_read(self._master):
            self._is_clean = False
            self._rest = memoryview(telegram)
            self._flush(self._master)

    @property
    def unsent(self) -> int:
        """Bytes of a telegram that wait for the program to read."""
        return len(self._rest)

    def close(self) -> None:
        """Close the terminal, and remove the link if it leads there."""
        if self._master is None:
            return
        with suppress(OSError):
            if str(self._entry.link.readlink()) == self._name:
                self._entry.link.unlink()
        self._hang_up(self._master)

    def _open(self) -> int:
        try:
            master, slave = os.openpty()
        except OSError as error:
            raise _no_terminal(error) from None
        try:
            os.set_blocking(master, False)
            tty.setraw(slave)
            self._settings = termios.tcgetattr(slave)
            self._name = os.ttyname(slave)
            _permit(slave, self._entry)
            _make_link(self._entry.link, self._name)
        except OSError as error:
            os.close(master)
            raise _no_terminal(error) from None
        except ConsumerAwayError:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return master

    def _hang_up(self, master: int) -> None:
        self.poller.ignore(master)
        os.close(master)
        self._master = None
        self._rest = memoryview(b"")

    def _is_read(self, master: int) -> bool:
        """True if a program has the terminal open."""
        poll = select.poll()
        poll.register(master, 0)
        return not poll.poll(0)

    def _watch(self, master: int) -> None:
        events = select.POLLIN | (select.POLLOUT if self._rest else 0)
        self.poller.watch(master, events, self._on_event)

    def _on_event(self, events: int) -> None:
        if self._master is None:
            return
        if events & select.POLLIN:
            with suppress(OSError):
                os.read(self._master, _READ_A_TURN)  # of no use, as is what it echoes
        if events & select.POLLHUP:
            self.poller.ignore(self._master)
            self._rest = memoryview(b"")
            self.look()
        elif events & select.POLLOUT:
            self._flush(self._master)

    def _flush(self, master: int) -> None:
        with suppress(BlockingIOError):
            while self._rest:
                self._rest = self._rest[os.write(master, self._rest) :]
        self._watch(master)

    def _look_after(self, master: int) -> None:
        """Serve the program that has the terminal open, or prepare it for the next one."""
        # In this order, so that no settings are undone that a program makes in this moment.
        is_clean = self._is_clean and termios.tcgetattr(master) == self._settings
        if self._is_read(master):
            self._watch(master)
            return
        try:
            slave = os.open(self._name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            # A program wanted it for itself alone (TIOCEXCL), and that outlives the program.
            if error.errno == errno.EBUSY and not self._is_read(master):
                self._hang_up(master)
            return
        try:
            fcntl.ioctl(slave, termios.TIOCNXCL)
            fcntl.ioctl(slave, termios.TIOCSETD, _LINE_DISCIPLINE)
            if not is_clean:
                termios.tcsetattr(slave, termios.TCSANOW, self._settings)
                termios.tcflush(slave, termios.TCIFLUSH)
                self._is_clean = True
        except (OSError, termios.error):  # a program has changed the line discipline in this moment
            self._hang_up(master)
        finally:
            os.close(slave)


def _no_terminal(error: OSError) -> ConsumerAwayError:
    return ConsumerAwayError(f"no pseudo-terminal can be opened: {error.strerror}")


def _permit(slave: int, entry: PtyConfig) -> None:
    """Set who may open the terminal."""
    if entry.group is not None:
        try:
            os.fchown(slave, -1, grp.getgrnam(entry.group).gr_gid)
        except KeyError:
            raise ConsumerAwayError(
                f"there is no group {entry.group}; correct `group`, or create it: sudo groupadd {entry.group}"
            ) from None
        except PermissionError:
            raise ConsumerAwayError(
                f"the gateway may not hand the port to the group {entry.group}: add its user to that group "
                f"(in its systemd unit: SupplementaryGroups={entry.group} and SystemCallFilter=@chown)"
            ) from None
    os.fchmod(slave, entry.mode)


def _make_link(link: Path, target: str) -> None:
    """Link to a new terminal, in place of a link that an earlier run left."""
    found = _target(link)
    if found == target:
        return  # a new terminal often has the name of the one before, and programs open it already
    with _explained(link):
        if _TERMINAL.fullmatch(found or ""):
            link.unlink()
        link.symlink_to(target)


def _keep_link(link: Path, target: str) -> None:
    """Make the link again if it was removed."""
    with _explained(link):
        if _target(link) != target:
            link.symlink_to(target)


def _target(link: Path) -> str | None:
    """Return where a link leads; None where there is none."""
    try:
        return str(link.readlink())
    except OSError:
        return None


@contextmanager
def _explained(link: Path) -> Iterator[None]:
    """Raise what to do when a link cannot be made."""
    folder = link.parent
    try:
        yield
    except FileExistsError:
        raise ConsumerAwayError(
            "something else has this name, and is left alone; remove it, or write another name behind `link`"
        ) from None
    except FileNotFoundError:
        raise ConsumerAwayError(f"there is no folder {folder}; create it ({_AS_A_SERVICE})") from None
    except PermissionError:
        raise ConsumerAwayError(
            f"the gateway may not write into the folder {folder}; give it that folder, or use another one "
            f"({_AS_A_SERVICE})"
        ) from None
    except OSError as error:
        raise ConsumerAwayError(f"the link cannot be made: {error.strerror}") from None
