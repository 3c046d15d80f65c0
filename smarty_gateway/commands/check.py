"""`check`: reports everything that is wrong with gateway.yaml and keys.yaml, and starts nothing.

Usable files go to standard output, one line each; errors and warnings go to standard error. A port that is
missing is no error of the file: it may be plugged in later.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from smarty_gateway.commands.options import Subparsers, add_shared
from smarty_gateway.commands.terminal import say
from smarty_gateway.config.credentials import credential_or
from smarty_gateway.config.gateway_file import find_config_file, read_config
from smarty_gateway.config.key_file import (
    DEFAULT_KEY_FILES,
    find_key_file,
    key_file_problem,
    read_key_file,
)
from smarty_gateway.config.needs import mail_needs, unmet_needs
from smarty_gateway.config.tariff_file import read_tariff
from smarty_gateway.config.values import DEFAULT_CONFIG_FILES, Config
from smarty_gateway.config.warnings import missing_ports, warnings
from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway.name_claims import holder_warnings
from smarty_gateway.protocol.dummy_keys import is_dummy
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.key_ring import KeyRing, meter_name
from smarty_gateway.safe_text import printable, without_keys
from smarty_gateway.state.state_file import state_folder
from smarty_gateway.state.store import holders_in


class NothingToCheckError(GatewayError):
    """There is neither a configuration nor a key file."""


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "check",
        help="validate gateway.yaml and keys.yaml",
        description="Validates gateway.yaml and keys.yaml without starting anything, and reports everything "
        "that is wrong with them.",
    )
    add_shared(parser, "--config", "--keys")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Check the files that `run` would read.

    Raises:
        NothingToCheckError: there are none.
    """
    config_path: Path | None = args.config or find_config_file()
    config, errors = read_config(config_path) if config_path else (None, [])
    named = credential_or(config.keys) if config and config.keys else None
    key_path: Path | None = args.keys or named or find_key_file()
    if config_path is None and key_path is None:
        raise NothingToCheckError(
            "there is no gateway.yaml and no keys.yaml here or in /etc/smarty-gateway; name them: "
            "smarty-gateway check --config FILE --keys FILE"
        )
    if config_path and config:
        needs = (*unmet_needs(config), *mail_needs(config))
        errors += [UnusableFileError(config_path, None, str(need)) for need in needs]
    all_good = config_path is None or _check_config(config_path, config, errors)
    for tariff in dict.fromkeys(meter.tariff for meter in config.meters if meter.tariff) if config else ():
        all_good &= _check_tariff(tariff)
    if key_path is not None:
        if all_good or key_path != config_path:  # the options of an app hold both, with one list of faults
            all_good &= _check_keys(key_path)
    elif config and config.outputs.forward:
        pass  # the pool has the keys
    elif config and any(meter.encrypted for meter in config.meters):
        say("warning: a meter is `encrypted: true`, but there is no keys.yaml with its key")
    elif all_good:
        say(f"note: no key file was found ({_listed(DEFAULT_KEY_FILES)}); only encrypted meters need one")
    if all_good and config_path is None:
        places = _listed(DEFAULT_CONFIG_FILES)
        say(f"note: no configuration was found ({places}); without one `run` needs --source")
    return ExitStatus.GOOD if all_good else ExitStatus.UNUSABLE_FILE


def _check_config(path: Path, config: Config | None, errors: list[UnusableFileError]) -> bool:
    missing = missing_ports(config) if config else []
    for warning in [*missing, *_warnings(config)] if config else []:
        say(f"warning: {warning}")
    found = _count(len(config.meters) if config else 0, "meter")
    if config and (outputs := config.outputs.names):
        found += f", {_count(len(outputs), 'output')} ({', '.join(outputs)})"
    if missing:
        return _report(path, errors, f"valid, {found}, but {_missing(len(missing))}")
    return _report(path, errors, f"good, {found}")


def _check_tariff(path: Path) -> bool:
    tariff, errors = read_tariff(path)
    if tariff is not None and not errors and tariff.file != path.name:
        return True  # it comes with the program
    return _report(path, errors, f"good, {_count(len(tariff.periods) if tariff else 0, 'period')} of prices")


def _check_keys(path: Path) -> bool:
    ring, errors = read_key_file(path)
    problem = key_file_problem(path, KeyRing() if errors else ring)
    if problem is not None:
        errors.append(problem)
    entries = ring.entries()
    number = _count(sum(map(len, entries.values())), "key")
    dummies = [
        "any" if title is None else meter_name(title)
        for title, keys in entries.items()
        if any(is_dummy(title, key) for key in keys)
    ]
    if not dummies:
        return _report(path, errors, f"good, {number}")
    verdict = f"valid, {number}, but with published dummies, which open no real meter: {', '.join(dummies)}"
    return _report(path, errors, f"{verdict}; write the keys from your grid operator (DSO)")


def _warnings(config: Config) -> list[str]:
    found = holders_in(state_folder(config.state))
    return warnings(config) + holder_warnings(config.meters, found)


def _report(path: Path, errors: list[UnusableFileError], verdict: str) -> bool:
    """Print all that is wrong with a file, from top to bottom, or the verdict; True if it is usable."""
    if not errors:
        print(printable(f"{path}: {verdict}"), flush=True)
    for error in sorted(errors, key=lambda error: error.line or 0):
        say(without_keys(str(error)))
    return not errors


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _missing(ports: int) -> str:
    return "a port is not there" if ports == 1 else f"{ports} ports are not there"


def _listed(places: Iterable[Path]) -> str:
    return ", ".join(map(str, places))
