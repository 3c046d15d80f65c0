"""The command line: which commands there are, and how each ends.

Exit status: 0 all good; 1 something was rejected or nothing was found; 2 wrong usage or no such input; 78 a
key file or configuration that cannot be used. No traceback ever reaches a user: an error is one line on
standard error.
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TextIO

from smarty_gateway import __version__
from smarty_gateway.commands.usage import COMMANDS, GLOBAL_OPTIONS, START_HERE, Parser, no_command
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable, without_keys


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    _prepare_streams()
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if not arguments:
            whole_parser().print_help(sys.stderr)
            return ExitStatus.WRONG_USAGE
        topic = [word for word in arguments[1:2] if word != "help"]
        args = _parsed([*topic, "--help"] if arguments[0] == "help" else arguments)
        status = int(_module_of(args.command).execute(args))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has enough, as `| head` does. Python complains at its end unless it can
        # write what it still holds.
        _forget_output(sys.stdout)
        return ExitStatus.GOOD
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - no traceback ever reaches a user
        if isinstance(error, OSError):
            # Inputs, key files and configurations have errors of their own; what is left is the output.
            _forget_output(sys.stdout)
        return _fail(error, arguments)
    finally:
        try:
            sys.stderr.flush()
        except OSError:
            _forget_output(sys.stderr)  # or Python would complain when it ends, with a status of its own
    return status


def whole_parser() -> Parser:
    """Return the parser of all commands."""
    return _parser(COMMANDS)[0]


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of a command line.

    Raises:
        WrongUsageError: it does not follow the usage.
        SystemExit: it asked for help, which was printed.
    """
    first = arguments[0]
    if first not in COMMANDS and first not in GLOBAL_OPTIONS:
        raise no_command(first)
    # Only the wanted command is loaded: on a small computer the others take a second.
    needs_all = first in {"-h", "--help"}
    parser, commands = _parser(COMMANDS if needs_all else [first] if first in COMMANDS else [])
    if first in COMMANDS:
        typed = commands.choices[first].with_default(arguments[1:])
        commands.choices[first].require_known_options(typed)
        arguments = [first, *typed]
    args, surplus = parser.parse_known_args(arguments)
    if surplus:
        commands.choices[first].error(f"one argument too many: {surplus[0]!r}")
    return args


def _parser(names: Iterable[str]) -> tuple[Parser, "argparse._SubParsersAction[Parser]"]:
    """Return the parser for some commands, and those."""
    parser = Parser(
        prog="smarty-gateway",
        description="Reads smart meters on their P1 port, encrypted ones of Luxembourg and plaintext ones of "
        "Belgium, the Netherlands and their neighbours, and hands on verified readings.",
    )
    parser.ending = START_HERE
    parser.add_argument("-V", "--version", action="version", version=f"smarty-gateway {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for name in names:
        _module_of(name).add_parser(commands)
        commands.choices[name].ending = COMMANDS[name]
    about = commands.add_parser("help", help="explain a command, such as: help run")
    about.add_argument("about", nargs="?", choices=tuple(COMMANDS), metavar="COMMAND")
    return parser, commands


def _module_of(command: str) -> ModuleType:
    return import_module(f"smarty_gateway.commands.{command.replace('-', '_')}")


def _forget_output(stream: TextIO) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _prepare_streams() -> None:
    """Ensure that printing cannot fail because of the terminal's character set or a closed descriptor."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process, as in `>&-`
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open until the end
            setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _fail(error: Exception, arguments: Sequence[str]) -> int:
    """Print in one line what is wrong, and return its exit status."""
    status = error.exit_status if isinstance(error, GatewayError) else ExitStatus.REJECTED
    with contextlib.suppress(OSError):
        message = printable(without_keys(_message_of(error), typed=arguments))
        print(f"smarty-gateway: {message}", file=sys.stderr)
    return status


def _message_of(error: Exception) -> str:
    if isinstance(error, GatewayError):
        return str(error)
    if isinstance(error, OSError):
        return f"cannot write the output: {error.strerror}"
    import logging  # noqa: PLC0415 - takes a while to load, and is not needed where all is well
    import traceback  # noqa: PLC0415 - the same

    logging.getLogger(__name__).debug("%s", traceback.format_exc())
    at = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"this is a bug in smarty-gateway {__version__}, please report it: {type(error).__name__} "
        f"at {Path(at.filename).name}:{at.lineno}"
    )
