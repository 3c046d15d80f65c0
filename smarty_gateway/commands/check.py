"""`check`: reports everything that is wrong with gateway.yaml and keys.yaml, and starts nothing.

Good files go to standard output, one line each; errors and warnings go to standard error.
"""

import argparse
from pathlib import Path

from smarty_gateway.commands.options import Subparsers, add_shared
from smarty_gateway.commands.terminal import say
from smarty_gateway.config.gateway_file import find_config_file, read_config
from smarty_gateway.config.key_file import find_key_file, permission_problem, read_key_file
from smarty_gateway.config.values import Config
from smarty_gateway.config.warnings import warnings
from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway.name_claims import holder_warnings
from smarty_gateway.protocol.errors import GatewayError
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
    all_good = True
    if config_path is not None:
        for warning in _warnings(config) if config else []:
            say(f"warning: {warning}")
        meters = len(config.meters) if config else 0
        all_good = _report(config_path, errors, _count(meters, "meter"))
    key_path: Path | None = args.keys or (config.keys if config else None) or find_key_file()
    if key_path is not None:
        ring, errors = read_key_file(key_path)
        problem = permission_problem(key_path)
        if problem:
            say(f"warning: {problem}")
        all_good &= _report(key_path, errors, _count(sum(map(len, ring.entries().values())), "key"))
    elif config_path is None:
        raise NothingToCheckError(
            "there is no gateway.yaml and no keys.yaml here or in /etc/smarty-gateway; name them: "
            "smarty-gateway check --config FILE --keys FILE"
        )
    elif config and any(meter.encrypted for meter in config.meters):
        say("warning: a meter is `encrypted: true`, but there is no keys.yaml with its key")
    return ExitStatus.GOOD if all_good else ExitStatus.UNUSABLE_FILE


def _warnings(config: Config) -> list[str]:
    found = holders_in(state_folder(config.state))
    return warnings(config) + holder_warnings(config.meters, found)


def _report(path: Path, errors: list[UnusableFileError], content: str) -> bool:
    """Print everything that is wrong with a file, from top to bottom, or that it is good."""
    if not errors:
        print(printable(f"{path}: good, {content}"), flush=True)
    for error in sorted(errors, key=lambda error: error.line or 0):
        say(without_keys(str(error)))
    return not errors


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
