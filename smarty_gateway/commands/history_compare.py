"""`history compare`."""

import argparse

from smarty_gateway.commands.options import Subparsers
from smarty_gateway.exit_status import ExitStatus


def add_compare_parser(subcommands: Subparsers) -> None:
    """Describe the subcommand and its options."""
    subcommands.add_parser("compare", help="compare")


def execute_compare(args: argparse.Namespace) -> ExitStatus:  # noqa: ARG001 - a stub
    """Return wrong usage: this is a stub."""
    return ExitStatus.WRONG_USAGE
