"""What outputs need beside gateway.yaml: the libraries of an extra, and files with passwords.

`run` refuses to start without them, and `check` reports them. Commands that only read the history do not ask.
"""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from smarty_gateway.config.extras import installation
from smarty_gateway.config.password_file import PasswordFileError, read_password
from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.config.values import Config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError

#: What the page imports of the extra `web` (pyproject.toml).
_WEB: Final = ("bottle", "jinja2", "prometheus_client", "pygal", "waitress")
#: What a worker imports of the extra `pool`.
_POOL: Final = ("pika", "psycopg")
#: What to type where it is missing.
WEB_INSTALLATION: Final = installation("web")


class MissingExtraError(GatewayError):
    """The configuration asks for something whose libraries are not installed."""

    exit_status = ExitStatus.UNUSABLE_FILE


def has_web() -> bool:
    """True if the libraries of the page are installed; none of them is loaded."""
    return all(find_spec(name) is not None for name in _WEB)


def unmet_needs(config: Config) -> Iterator[GatewayError]:
    """Yield an error for each library and password file that the gateway needs and cannot use."""
    http, influx, domoticz = config.outputs.http, config.outputs.influxdb, config.outputs.domoticz
    if http is not None and not has_web():
        yield MissingExtraError(f"http: the page needs the extra web; type: {WEB_INSTALLATION}")
    if http is not None:
        yield from _password_errors("http", http.password_file)
    if influx is not None:
        yield from _password_errors("influxdb", influx.password_file)
        yield from _password_errors("influxdb", influx.token_file, "token_file")
    if config.outputs.forward is not None:
        yield from _password_errors("forward", config.outputs.forward.password_file)
    if domoticz is not None:
        yield from _password_errors("domoticz", domoticz.password_file)


def has_pool() -> bool:
    """True if the libraries of a pool are installed; none of them is loaded."""
    return all(find_spec(name) is not None for name in _POOL)


def _has_libpq() -> bool:
    """True if psycopg can load PostgreSQL's library: it is in the extra, or on the system."""
    from ctypes.util import find_library  # noqa: PLC0415 - a gateway needs none of it

    return find_spec("psycopg_binary") is not None or find_library("pq") is not None


def pool_needs(config: PoolConfig) -> Iterator[GatewayError]:
    """Yield an error for each library and password file that a worker needs and cannot use."""
    if not has_pool():
        yield MissingExtraError(f"a pool needs the extra pool; type: {installation('pool')}")
    elif not _has_libpq():
        yield MissingExtraError("the database needs PostgreSQL's library; type: sudo apt install libpq5")
    yield from _password_errors("nodes", config.password_file)
    yield from _password_errors("management", config.management_password_file, "management_password_file")
    yield from _password_errors("database", config.database.password_file)
    yield from unmet_needs(config.as_gateway)


def mail_needs(config: Config) -> Iterator[GatewayError]:
    """Yield an error if `report --mail` cannot read its password; the gateway itself needs none."""
    if config.outputs.mail is not None:
        yield from _password_errors("mail", config.outputs.mail.password_file)


def _password_errors(output: str, path: Path | None, key: str = "password_file") -> Iterator[GatewayError]:
    # The content of a pipe can be read once only, by the output itself.
    if path is None or path.is_fifo():
        return
    try:
        read_password(path, key)
    except PasswordFileError as error:
        yield PasswordFileError(f"{output}: {error}")
