"""`history export`."""

import argparse

from smarty_gateway.commands.options import Subparsers
from smarty_gateway.exit_status import ExitStatus


def add_export_parser(subcommands: Subparsers) -> None:
    """Describe the subcommand and its options."""
    subcommands.add_parser("export", help="export")


def execute_export(args: argparse.Namespace) -> ExitStatus:  # noqa: ARG001 - a stub
    """Return wrong usage: this is a stub."""
    return ExitStatus.WRONG_USAGE
