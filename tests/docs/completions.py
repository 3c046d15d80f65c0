"""Writes the scripts of `completion` from the options of all commands: python -m tests.docs.completions."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import shtab

from smarty_gateway.cli import whole_parser
from smarty_gateway.commands.completion import SHELLS
from tests.support.commands import ROOT

SCRIPTS = {shell: ROOT / f"smarty_gateway/commands/completions/smarty-gateway.{shell}" for shell in SHELLS}
#: Positional arguments that may be a file, whatever their type.
_FILES = ("input", "source", "file", "paths")


def script(shell: str) -> str:
    """Return the script for a shell."""
    parser = whole_parser()
    for action in _actions(parser):
        if action.metavar == "DIR":
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.type is Path or action.dest in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    return f"{shtab.complete(parser, shell)}\n"


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of all commands."""
    for action in parser._actions:  # argparse has no public list
        if isinstance(action, argparse._SubParsersAction):  # nor a public name for this
            for command in action.choices.values():
                yield from _actions(command)
        else:
            yield action


if __name__ == "__main__":
    for shell, path in SCRIPTS.items():
        path.write_text(script(shell), "utf-8")
