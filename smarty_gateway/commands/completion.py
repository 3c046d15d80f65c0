"""`completion`: prints a script that lets a shell complete commands, options and file names.

The scripts are made beforehand (`python -m tests.docs.completions`): the library that makes them need not be
installed, and the packages of distributions put them where each shell looks for them.
"""

import argparse
from importlib.resources import files
from typing import Final

from smarty_gateway.commands.options import Subparsers
from smarty_gateway.exit_status import ExitStatus

SHELLS: Final = ("bash", "zsh", "fish")


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "completion",
        help="let the shell complete commands and options",
        description="Prints a script for your shell. With it, the Tab key completes commands, options and "
        "file names.",
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def execute(args: argparse.Namespace) -> ExitStatus:
    """Print the script."""
    print((files(__package__) / "completions" / f"smarty-gateway.{args.shell}").read_text("utf-8"), end="")
    return ExitStatus.GOOD
