"""`pool check`: reports everything that is wrong with pool.yaml, the key files, the cluster and the database.

What is good goes to standard output, faults and warnings go to standard error, as with `check`.
"""

import argparse
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from smarty_gateway.commands.options import Subparsers
from smarty_gateway.commands.pool_options import add_pool_config, chosen_pool_file
from smarty_gateway.commands.terminal import StatusLine, say
from smarty_gateway.config.key_folder import KeyFolder, titles_of
from smarty_gateway.config.needs import has_pool, pool_needs
from smarty_gateway.config.pool_file import read_pool_config
from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.config.warnings import pool_warnings
from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.pool.finding import Finding, Level
from smarty_gateway.protocol.dummy_keys import is_dummy
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.key_ring import KeyRing, Verification
from smarty_gateway.protocol.shards import SHARDS
from smarty_gateway.safe_text import printable, without_keys

#: Faults of one file that are shown; thousands of lines help nobody.
_LISTED_MAX: Final = 5


def add_check_parser(subcommands: Subparsers) -> None:
    """Describe the subcommand and its options."""
    parser = subcommands.add_parser(
        "check",
        help="what is missing or dangerous",
        description="Validates pool.yaml and the key files, then looks at the cluster and the database, and "
        "reports what is missing or dangerous there. Nothing is changed.",
    )
    add_pool_config(parser)


def execute_check(args: argparse.Namespace) -> ExitStatus:
    """Check the files first, then what they name.

    Raises:
        NoPoolFileError: there is no configuration.
    """
    path = chosen_pool_file(args)
    config, errors = read_pool_config(path)
    if config is not None and not errors:
        errors = [UnusableFileError(path, None, str(need)) for need in pool_needs(config)]
        for warning in pool_warnings(config):
            say(f"warning: {warning}")
    is_good = _report(path, errors, _verdict(config))
    if config is not None:
        is_good &= _check_keys(path, config)
    if config is None or errors or not has_pool():
        say("note: the cluster and the database were not looked at; correct pool.yaml first")
        return ExitStatus.UNUSABLE_FILE
    is_working = _check_servers(config)
    if not is_good:
        return ExitStatus.UNUSABLE_FILE
    return ExitStatus.GOOD if is_working else ExitStatus.REJECTED


def _verdict(config: PoolConfig | None) -> str:
    if config is None:
        return ""
    found = [_count(len(config.nodes), "node"), _count(len(config.plaintext), "plaintext meter")]
    if outputs := config.as_gateway.outputs.names:
        found.append(f"{_count(len(outputs), 'output')} ({', '.join(outputs)})")
    return f"good, {', '.join(found)}"


# Key files


def _check_keys(path: Path, config: PoolConfig) -> bool:
    """Read all key files, one in memory at a time."""
    folder = KeyFolder(config.keys)
    if (problem := folder.problem(may_be_empty=bool(config.plaintext))) is not None:
        return _report(folder.path, [problem], "")
    tally = _Tally(path, config)
    status = StatusLine()
    for shard in range(SHARDS):
        status.show(lambda: f"reading {folder.file_of(shard)}")  # noqa: B023 - called at once
        ring, errors = folder.read(shard)
        tally.add(folder.file_of(shard), ring, errors)
    status.clear()
    for stray in folder.strays():
        tally.faults.append(
            UnusableFileError(
                stray, None, "nobody reads this file; type smarty-gateway pool add-keys FILE, and remove it"
            )
        )
    return _report(folder.path, tally.faults, tally.verdict)


class _Tally:
    """What all key files hold."""

    def __init__(self, path: Path, config: PoolConfig) -> None:
        self.faults: list[UnusableFileError] = []
        self.files = 0
        self._path = path
        self._plaintext = [
            (title, meter.meter_id) for meter in config.plaintext for title in titles_of(meter.meter_id)
        ]
        self._meters = 0
        self._dummies = 0
        self._unproven = 0

    def add(self, path: Path, ring: KeyRing, errors: list[UnusableFileError]) -> None:
        entries = ring.entries()
        self.files += bool(entries)
        self._meters += len(entries)
        self._dummies += sum(is_dummy(title, key) for title, keys in entries.items() for key in keys)
        self._unproven += sum(
            any(key.verification is Verification.CRC_ONLY for key in keys) for keys in entries.values()
        )
        self.faults += errors[:_LISTED_MAX]
        if len(errors) > _LISTED_MAX:
            self.faults.append(UnusableFileError(path, None, f"and {len(errors) - _LISTED_MAX} more faults"))
        for title, meter_id in self._plaintext:
            if ring.has_entry_of(title):
                message = f"plaintext: the meter {meter_id} has a key in {path.name}; remove one of the two"
                self.faults.append(UnusableFileError(self._path, None, message))

    @property
    def verdict(self) -> str:
        found = f"{_count(self._meters, 'meter')} in {_count(self.files, 'file')}"
        if self._unproven:
            unproven = _count(self._unproven, "meter")
            found += f", {unproven} with crc-only, whose readings anybody on the way can change"
        if not self._dummies:
            return f"good, {found}"
        return (
            f"valid, {found}, but with {_count(self._dummies, 'published dummy key')}, which protect nothing"
        )


# Cluster and database


def _check_servers(config: PoolConfig) -> bool:
    """Print what the cluster and the database say; True if nothing is missing or dangerous."""
    from smarty_gateway.pool.cluster.cluster_check import check_cluster  # noqa: PLC0415 - needs the extra
    from smarty_gateway.pool.database.database import Database  # noqa: PLC0415 - likewise

    is_good = _print(check_cluster(config))
    with closing(Database(config.database)) as database:
        return _print(database.check()) and is_good


# Printing


def _print(findings: Iterable[Finding]) -> bool:
    """Print what was found out, up to where that could not be gone on with; True if there is no fault."""
    is_good = True
    try:
        for finding in findings:
            is_good &= finding.level is not Level.FAULT
            if finding.level is Level.GOOD:
                print(printable(finding.text), flush=True)
            else:
                say(f"{finding.level.value}: {without_keys(finding.text)}")
    except GatewayError as error:
        say(f"fault: {without_keys(str(error))}")
        return False
    return is_good


def _report(path: Path, errors: Iterable[UnusableFileError], verdict: str) -> bool:
    """Print the faults of files, or the verdict; True if there are none."""
    is_good = True
    for error in errors:
        is_good = False
        say(without_keys(str(error)))
    if is_good:
        print(printable(f"{path}: {verdict}"), flush=True)
    return is_good


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
