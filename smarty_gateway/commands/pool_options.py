"""The options that the subcommands of `pool` share, and the configuration that they name."""

import argparse
from pathlib import Path

from smarty_gateway.config.pool_file import find_pool_file, load_pool_config
from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.protocol.errors import GatewayError


class NoPoolFileError(GatewayError):
    """There is no pool.yaml."""


def add_pool_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration (default: ./pool.yaml, then /etc/smarty-gateway/pool.yaml)",
    )


def chosen_pool_file(args: argparse.Namespace) -> Path:
    """Return the configuration that the options or the usual places name.

    Raises:
        NoPoolFileError: there is none.
    """
    path: Path | None = args.config or find_pool_file()
    if path is None:
        raise NoPoolFileError(
            "there is no pool.yaml here or in /etc/smarty-gateway; copy deploy/pool/pool.example.yaml, or "
            "name a file with --config FILE"
        )
    return path


def chosen_pool_config(args: argparse.Namespace) -> PoolConfig:
    """Return the configuration.

    Raises:
        NoPoolFileError: there is none.
        UnusableFileError: it has a fault.
    """
    return load_pool_config(chosen_pool_file(args))
