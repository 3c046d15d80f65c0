"""`pool add-keys`: puts the keys that an operator sent into the key files of their shards."""

import argparse
import sys
from pathlib import Path
from typing import Final

from smarty_gateway.commands.options import Subparsers
from smarty_gateway.commands.pool_options import add_pool_config, chosen_pool_config
from smarty_gateway.commands.terminal import say
from smarty_gateway.commands.usage import WrongUsageError
from smarty_gateway.config.added_keys import add_keys, read_new_keys
from smarty_gateway.config.key_file import KeyFileError, permission_problem
from smarty_gateway.config.key_folder import KeyFolder, titles_of
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.key_ring import meter_name
from smarty_gateway.safe_text import printable

#: Bytes: some two million lines.
_LARGEST: Final = 100_000_000
_LISTED_MAX: Final = 20


def add_keys_parser(subcommands: Subparsers) -> None:
    """Describe the subcommand and its options."""
    parser = subcommands.add_parser(
        "add-keys",
        help="put keys into the files of their shards",
        description="Reads keys as an operator sends them, a keys.yaml or lines of the form SERIAL,KEY, and "
        "puts each into the key file of its shard. What is there stays, and a key that differs from it is "
        "refused. Workers read the files again by themselves.",
    )
    parser.add_argument("file", metavar="FILE", help="the keys; - for standard input")
    add_pool_config(parser)


def execute_add_keys(args: argparse.Namespace) -> ExitStatus:
    """Add the keys of all meters, or of none.

    Raises:
        GatewayError: the configuration, a key file or standard input cannot be used.
    """
    config = chosen_pool_config(args)
    folder = KeyFolder(config.keys)
    path = Path("standard input" if args.file == "-" else args.file)
    entries, errors = read_new_keys(path, _standard_input() if args.file == "-" else _content(path))
    errors += [
        KeyFileError(
            path, None, f"the meter {meter_name(title)} is in `plaintext` of pool.yaml; remove it there"
        )
        for meter in config.plaintext
        for title in titles_of(meter.meter_id) & entries.keys()
    ]
    for error in errors[:_LISTED_MAX]:
        say(str(error))
    if errors:
        say(f"{_number(len(errors), 'fault')}, and nothing was added; correct the lines, and type it again")
        return ExitStatus.UNUSABLE_FILE
    done = add_keys(folder, entries)
    known = "" if done.known == 0 else f"; those of {_number(done.known, 'meter')} were there already"
    where = _number(done.files, "file")
    print(
        printable(f"{folder.path}: the keys of {_number(done.added, 'meter')} were added to {where}{known}")
    )
    return ExitStatus.GOOD


def _content(path: Path) -> bytes:
    if (problem := permission_problem(path)) is not None:
        say(f"warning: {problem}")
    try:
        with path.open("rb") as file:
            return _bounded(path, file.read(_LARGEST + 1))
    except FileNotFoundError:
        raise WrongUsageError(f"{printable(path)}: no such file") from None
    except OSError as error:
        raise KeyFileError(path, None, f"the keys cannot be read: {error.strerror}") from None


def _standard_input() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise WrongUsageError(
            "- stands for a pipe, because a key that is typed stays on the screen; name a file"
        )
    return _bounded(Path("standard input"), sys.stdin.buffer.read(_LARGEST + 1))


def _bounded(path: Path, data: bytes) -> bytes:
    if len(data) > _LARGEST:
        raise KeyFileError(path, None, f"this has more than {_LARGEST // 1_000_000} MB; add it in parts")
    return data


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
