"""One connection to PostgreSQL: secured, bounded in time, and with errors that say what to do.

The server bounds each statement, but not while it stands still itself; so this side bounds the wait for each
answer, too. Values never become part of a message: of what the server says only the message itself is shown,
not its details, which repeat values.
"""

import contextlib
import os
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg.rows import TupleRow

from smarty_gateway.config.listen_address import is_this_machine
from smarty_gateway.config.password_file import PasswordFileError, read_password
from smarty_gateway.config.pool_values import DatabaseConfig
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.pool.database import tables
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable

#: Seconds: for a connection, for a statement at the server, and for its answer here.
CONNECT: Final = 3
_STATEMENT: Final = 5
ANSWER: Final = 6.0
#: Longest message of a server that is repeated.
_LONGEST: Final = 200
#: A commit is on the disk before it is answered, and takes effect in the order of commits, whatever the
#: server's own settings are. A worker that stands still within a transaction does not block the others.
_OPTIONS: Final = {
    "synchronous_commit": "on",
    "default_transaction_isolation": r"read\ committed",
    "statement_timeout": f"{_STATEMENT}s",
    "idle_in_transaction_session_timeout": f"{_STATEMENT}s",
}
#: Where distributions keep the certificates of all CAs, for builds of OpenSSL that look elsewhere.
_SYSTEM_CAS: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_NOT_THE_MESSAGE: Final = ("\t", "- ", "DETAIL:", "HINT:")
_ATTEMPT: Final = re.compile(r'connection to server [^\n]*? failed: |connection failed: |(FATAL|ERROR): +|"')

#: What to do, by the beginning of SQLSTATE (appendix A of PostgreSQL's manual).
_BY_STATE: Final = {
    "53100": "make room on its disk",
    "53": "give it more memory, or more connections (max_connections)",
    "25006": "this is a standby, or read-only: name the primary server in the url",
    "42501": "make the user the owner of the database and its tables: type `smarty-gateway pool check`",
    "42": "the tables are missing or not those of this version: type `smarty-gateway pool declare`",
    "57014": "it is overloaded, its disk is slow, or another program holds a lock: look at pg_stat_activity",
    "57P": "it is being stopped or started",
    "40": "another program changes the same rows",
}
#: What to do, by the words of a server that refuses a connection, or of libpq; these have no SQLSTATE.
_BY_WORDS: Final = {
    "password authentication failed": "correct the password in password_file, or the user in the url",
    "no password supplied": "write the password into a file and name that as password_file",
    r"database .* does not exist": "create it: type `createdb --owner=USER DATABASE` as user postgres",
    r"role .* does not exist": "create it: type `createuser --pwprompt USER` as user postgres",
    "pg_hba.conf": "add a line for user, database and address of this machine to its pg_hba.conf",
    "not permitted to log in": "type `ALTER ROLE USER LOGIN` in psql as user postgres",
    "permission denied": "type `GRANT CONNECT ON DATABASE DATABASE TO USER` in psql as user postgres",
    "too many clients|connection slots|too many connections": "raise its max_connections",
    "starting up|shutting down|recovery": "it is being stopped or started",
    "does not support SSL": "beyond this machine the connection is encrypted: set `ssl = on` at the server",
    "certificate verify failed": "name the certificate of the CA that signed the server's as ca_file",
    "root certificate": "name a readable file with the certificate of the CA as ca_file",
    "does not match host name": "use the host name that is in the server's certificate in the url",
    "refused|timeout|timed out|unreachable|No route": (
        "does it run, is the url right, and does it listen there (listen_addresses, firewall)?"
    ),
    "resolve|translate host name": "correct the host in the url",
}
_OTHERWISE: Final = "look into its log"


class DatabaseAwayError(GatewayError):
    """The database cannot be used now; the text is one line that says what is wrong and what to do.

    Attributes:
        may_be_done: the statement was on its way, so what it was to do may be done.
    """

    exit_status = ExitStatus.REJECTED

    def __init__(self, text: str, *, may_be_done: bool = False) -> None:
        super().__init__(text)
        self.may_be_done = may_be_done


class Connection:
    """Makes a connection when one is needed, and drops it after each failure; for one thread."""

    def __init__(self, config: DatabaseConfig) -> None:
        self._config = config
        self._name = f"the database {config.name} at {config.address}"
        self._open: psycopg.Connection[TupleRow] | None = None
        self._is_checked = False

    @contextlib.contextmanager
    def use(self, *, checked: bool = True) -> Iterator[psycopg.Connection[TupleRow]]:
        """Yield the connection, on which each statement commits by itself.

        Args:
            checked: only if the tables are those of this program.

        Raises:
            DatabaseAwayError: the database did not do it, or nobody knows whether it did.
        """
        is_ready = False
        try:
            if self._open is None:
                self._open = self._connect()
            with _bounded(self._open):
                if checked and not self._is_checked:
                    self.require_tables(self._open)
                    self._is_checked = True
                is_ready = True
                yield self._open
        except psycopg.Error as error:
            self.close()
            raise DatabaseAwayError(self._line(error), may_be_done=is_ready) from None
        except BaseException:  # also of Ctrl-C: the next call must not meet half an answer
            self.close()
            raise

    def require_tables(self, connection: psycopg.Connection[TupleRow]) -> None:
        """Raise DatabaseAwayError unless the tables are those of this program."""
        why = tables.why_unusable(tables.version(connection))
        if why is not None:
            raise DatabaseAwayError(f"{self._name}: {why}")

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._open is not None:
            self._open.close()
        self._open = None
        self._is_checked = False

    def _connect(self) -> psycopg.Connection[TupleRow]:
        config = self._config
        return psycopg.connect(
            host=config.host,
            port=config.port,
            user=config.user,
            dbname=config.name,
            password=self._password(),
            autocommit=True,
            application_name="smarty-gateway pool",
            connect_timeout=CONNECT,
            tcp_user_timeout=int(ANSWER * 1000),
            gssencmode="disable",
            options=" ".join(f"-c {name}={value}" for name, value in _OPTIONS.items()),
            **self._security(),
        )

    def _password(self) -> str | None:
        """Read it for each connection, so a new password needs no restart."""
        if self._config.password_file is None:
            return None
        try:
            return read_password(self._config.password_file).decode()
        except PasswordFileError as error:
            raise DatabaseAwayError(str(error)) from None
        except UnicodeDecodeError:
            raise DatabaseAwayError("the password of the database is not UTF-8; choose another") from None

    def _security(self) -> dict[str, Any]:
        """Return how the connection is secured: beyond this machine encrypted, and the server verified."""
        if is_this_machine(self._config.host):
            return {"sslmode": "prefer"}
        return {"sslmode": "verify-full", "sslrootcert": str(self._config.ca_file or _system_cas())}

    def _line(self, error: psycopg.Error) -> str:
        config = self._config
        advice = _advice(error).replace("USER", config.user).replace("DATABASE", config.name)
        return f"{self._name}: {_message(error)}; {advice}"


@contextlib.contextmanager
def _bounded(connection: psycopg.Connection[TupleRow]) -> Iterator[None]:
    """End the connection if the block takes too long: a server that stands still never answers."""
    with socket.socket(fileno=os.dup(connection.fileno())) as there:

        def end() -> None:
            with contextlib.suppress(OSError):  # it has ended by itself
                there.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(ANSWER, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _system_cas() -> str:
    found = ssl.get_default_verify_paths().cafile
    known = next((path for path in _SYSTEM_CAS if Path(path).is_file()), "system")
    return found or known


def _message(error: psycopg.Error) -> str:
    """Return what the server or libpq says, in one line."""
    if error.diag.message_primary is not None:
        text = f"{error.diag.message_primary} ({error.sqlstate})"
    else:
        # One attempt for each address and kind of encryption; the last one says enough.
        lines = [
            line for line in str(error).splitlines() if line.strip() and not line.startswith(_NOT_THE_MESSAGE)
        ]
        text = _ATTEMPT.sub("", lines[-1]) if lines else "the connection was lost"
    return printable(text.strip()[:_LONGEST])


def _advice(error: psycopg.Error) -> str:
    if error.sqlstate is not None:
        found = (advice for state, advice in _BY_STATE.items() if error.sqlstate.startswith(state))
    else:
        found = (advice for words, advice in _BY_WORDS.items() if re.search(words, str(error)))
    return next(found, _OTHERWISE)
