"""`completion`: prints a script that lets a shell complete commands, options and file names."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from smarty_gateway.commands.options import Subparsers
from smarty_gateway.exit_status import ExitStatus

_SHELLS: Final = ("bash", "zsh", "fish")
#: Positional arguments that may be a file, whatever their type.
_FILES: Final = ("input", "source", "file", "paths")


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "completion",
        help="let the shell complete commands and options",
        description="Prints a script for your shell. With it, the Tab key completes commands, options and "
        "file names.",
    )
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))


def execute(args: argparse.Namespace) -> ExitStatus:
    """Print the script."""
    import shtab  # noqa: PLC0415 - for this command only

    for action in _actions(args.parser):
        if action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.type is Path or action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(args.parser, args.shell))
    return ExitStatus.GOOD


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of all commands."""
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - nor a public name for this
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action
