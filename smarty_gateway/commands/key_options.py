"""The options --keys and --config of commands that read one source, and the keys that follow from them."""

import argparse
from pathlib import Path

from smarty_gateway.commands.terminal import say
from smarty_gateway.config.gateway_file import find_config_file, load_config
from smarty_gateway.config.key_file import find_key_file, load_key_ring, permission_problem
from smarty_gateway.protocol.key_ring import KeyRing


def add_key_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="FILE",
        help="keys.yaml with the meters' keys (default: what the configuration says, else ./keys.yaml, then "
        "/etc/smarty-gateway/keys.yaml)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration (default: ./gateway.yaml, then /etc/smarty-gateway/gateway.yaml)",
    )


def load_keys(args: argparse.Namespace) -> KeyRing:
    """Read the keys; none if no key file is named and none is in its usual places.

    Raises:
        UnusableFileError: the configuration is needed for this and cannot be used.
        KeyFileError: the key file cannot be used.
    """
    path: Path | None = args.config or find_config_file()
    configured = load_config(path).keys if args.keys is None and path is not None else None
    return load_keys_from(args.keys or configured)


def load_keys_from(path: Path | None) -> KeyRing:
    """Read the keys from a file; None stands for the usual places.

    Raises:
        KeyFileError: the key file cannot be used.
    """
    path = path or find_key_file()
    if path is None:
        return KeyRing()
    problem = permission_problem(path) if path.is_file() else None
    if problem is not None:
        say(f"warning: {problem}")
    return load_key_ring(path)
