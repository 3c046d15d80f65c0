"""The options that several commands share. What follows from them is in `chosen`, which loads more."""

import argparse
from pathlib import Path
from typing import Any, Final, TypeAlias

from smarty_gateway.config.values import STDOUT_FORMATS

#: argparse has no public name for it.
Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001

_SHARED: Final[dict[str, dict[str, Any]]] = {
    "--keys": {
        "type": Path,
        "metavar": "FILE",
        "help": "keys.yaml with the meters' keys (default: what the configuration says, else ./keys.yaml, "
        "then /etc/smarty-gateway/keys.yaml)",
    },
    "--config": {
        "type": Path,
        "metavar": "FILE",
        "help": "the configuration (default: ./gateway.yaml, then /etc/smarty-gateway/gateway.yaml)",
    },
    "--state": {"type": Path, "metavar": "DIR", "help": "the state folder"},
    "--mqtt": {"metavar": "URL", "help": "the broker: mqtt[s]://[user@]host[:port]"},
    "--mqtt-password-file": {
        "type": Path,
        "metavar": "FILE",
        "help": "holds the password of the broker",
    },
}


def add_shared(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add shared options by their names, such as `--keys`."""
    for name in names:
        parser.add_argument(name, **_SHARED[name])


def add_verbose(parser: argparse.ArgumentParser, more: str) -> None:
    """Add `-v`; `more` says what it makes the command print."""
    parser.add_argument("-v", "--verbose", action="store_true", help=more)


def add_reading_format(parser: argparse._ActionsContainer, text: str) -> None:
    """Add `--format` for readings; `text` says what is the default."""
    parser.add_argument(
        "--format",
        choices=STDOUT_FORMATS,
        help="json: one object a line; table: human-readable; telegram: the plaintext as the meter wrote it "
        f"({text})",
    )


def seconds(text: str) -> float:
    """Return a duration of more than zero, as the type of an option."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, such as 25")
    return number
