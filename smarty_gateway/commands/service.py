"""`service`: the gateway as a service that starts with the machine. Here are its options."""

import argparse
import sys
from pathlib import Path
from typing import Final

from smarty_gateway.commands.chosen import refuse_in_app
from smarty_gateway.commands.options import Subparsers
from smarty_gateway.commands.terminal import say
from smarty_gateway.config.values import DEFAULT_CONFIG_FILES
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.service.installing import Installation
from smarty_gateway.service.system import System
from smarty_gateway.setup.terminal import LeftError, Terminal

_CONFIG: Final = DEFAULT_CONFIG_FILES[-1]
_VERBS: Final = {
    "install": "install the service, or update it",
    "uninstall": "stop the service, and remove it",
}


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "service",
        help="start the gateway with the machine: install or remove its systemd service",
        description="Installs the gateway as a service of systemd with exactly the access that its "
        "configuration needs, or removes it. It shows every file and command before it changes anything.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in _VERBS.items():
        each = verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}.")
        add = each.add_argument
        add(
            "--config",
            type=Path,
            default=_CONFIG,
            metavar="FILE",
            help=f"the configuration (default {_CONFIG})",
        )
        add("--dry-run", action="store_true", help="show everything and change nothing; needs no root")
        add("--yes", action="store_true", help="do not ask")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Install or remove the service.

    Raises:
        GatewayError: it cannot be done, or the service does not start.
    """
    refuse_in_app("Home Assistant itself starts, stops and removes it, in Settings, Apps")
    is_there = sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()
    terminal = Terminal(is_there=is_there, takes_defaults=args.yes or args.dry_run)
    installation = Installation(System(), terminal, args.config, dry_run=args.dry_run)
    try:
        return installation.install() if args.verb == "install" else installation.uninstall()
    except (KeyboardInterrupt, LeftError):
        say("\nLeft before the end.")
        return ExitStatus.INTERRUPTED
