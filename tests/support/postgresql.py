"""A PostgreSQL server for tests and trials, with a folder and a port of its own.

The server refuses to run as root: then the user `nobody` owns its folder and runs it.
"""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.brokers import free_port
from tests.support.commands import LIMIT
from tests.support.guard import GuardedServer
from tests.support.running import wait_until

_BINS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))


def has_postgresql() -> bool:
    """Return whether PostgreSQL is installed."""
    return bool(_BINS)


_USER: Final = "smarty"
_PASSWORD: Final = "database-password"  # noqa: S105 - of a server that ends with the test
_OPTIONS: Final = (
    *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "shared_buffers=64MB"),
    *("-c", "max_connections=50", "-c", "logging_collector=off"),
)


class PostgresServer(GuardedServer):
    """A server.

    Args:
        folder: an existing one for its files.
        port: None for a free one.
        options: further ones of `postgres`, such as `-c fsync=off`.

    Attributes:
        url: of its database, as pool.yaml has it.
        password_file: with the password of its user.
    """

    def __init__(self, folder: Path, port: int | None = None, options: Sequence[str] = ()) -> None:
        super().__init__()
        self.port = port or free_port()
        # Not below `folder`: what pytest makes is only for its own user.
        self._data = Path(tempfile.mkdtemp(prefix="smarty-postgresql-"))
        self._log = folder / "postgresql.log"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"postgresql://{_USER}@127.0.0.1:{self.port}/{_USER}"
        self.password_file = folder / "postgresql.password"
        self.password_file.write_text(_PASSWORD, "utf-8")
        self.password_file.chmod(0o600)

    def begin(self) -> None:
        """Make the database's files, and start the server."""
        secret = self._data / "password"
        secret.write_text(_PASSWORD, "utf-8")
        if os.geteuid() == 0:
            for path in (self._data, secret):
                shutil.chown(path, "nobody", "nogroup")
        command = ["initdb", "--username", _USER, "--auth", "scram-sha-256", "--pwfile", secret, "--no-sync"]
        self._run([*command, "--encoding", "UTF8", "--locale", "C", self._data / "data"]).wait(LIMIT)
        self.start(wait=False)

    def wait(self) -> None:
        """Wait until it serves clients, and has the database."""
        self._wait_until_ready()
        wait_until(lambda: self.run_sql(f"CREATE DATABASE {_USER}", "postgres") == 0, "a database")

    def run_sql(self, sql: str, database: str = _USER) -> int:
        """Run a statement with psql, and return its exit status."""
        url = f"postgresql://{_USER}@127.0.0.1:{self.port}/{database}"
        command = [str(_BINS[-1] / "psql"), "--quiet", "--no-psqlrc", "--command", sql, url]
        return subprocess.call(
            command, env={**os.environ, "PGPASSWORD": _PASSWORD}, stdout=subprocess.DEVNULL
        )

    def dump(self) -> bytes:
        """Return all that the database holds, as SQL."""
        url = f"postgresql://{_USER}@127.0.0.1:{self.port}/{_USER}"
        command = [str(_BINS[-1] / "pg_dump"), "--inserts", url]
        return subprocess.check_output(command, env={**os.environ, "PGPASSWORD": _PASSWORD}, timeout=LIMIT)

    def start(self, *, wait: bool = True) -> None:
        """Start the server, which does not run."""
        self._process = self._run(
            ["postgres", "-D", self._data / "data", "-p", str(self.port), *_OPTIONS, *self._options]
        )
        self.guard.watch(self._process)
        if wait:
            self._wait_until_ready()

    def stop(self) -> None:
        """End the server for good, and remove its files."""
        self.guard.close()
        if self._process is not None:
            self._process.wait(LIMIT)
        shutil.rmtree(self._data, ignore_errors=True)

    def kill(self) -> None:
        """End the server as a power failure does; `start` starts it again."""
        assert self._process is not None
        numbers = self.freeze()
        for number in numbers:
            os.kill(number, signal.SIGKILL)
        self._process.wait(LIMIT)
        self._process = None
        # A server does not start while a process of the one before has its memory.
        wait_until(lambda: all(map(_has_ended, numbers)), "the end of all processes of the server")

    def freeze(self) -> list[int]:
        """Stop all processes of the server, and return their numbers."""
        assert self._process is not None
        number = self._process.pid
        os.kill(number, signal.SIGSTOP)  # first, so that it has no further children
        children = Path(f"/proc/{number}/task/{number}/children").read_text("ascii").split()
        for child in map(int, children):
            os.kill(child, signal.SIGSTOP)
        return [number, *map(int, children)]

    def wake(self) -> None:
        """Resume a frozen server."""
        for number in reversed(self.freeze()):
            os.kill(number, signal.SIGCONT)

    def _run(self, command: Sequence[object]) -> subprocess.Popen[bytes]:
        program, *arguments = map(str, command)
        as_nobody = []
        if os.geteuid() == 0:
            as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*as_nobody, str(_BINS[-1] / program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._data,
                start_new_session=True,
            )

    def _wait_until_ready(self) -> None:
        command = [str(_BINS[-1] / "pg_isready"), "--quiet", "--host", "127.0.0.1", "--port", str(self.port)]
        wait_until(lambda: subprocess.call(command) == 0, f"PostgreSQL; its log is {self._log}")


def _has_ended(number: int) -> bool:
    """True if there is no such process, or if only its parent has not asked how it ended."""
    try:
        return Path(f"/proc/{number}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
