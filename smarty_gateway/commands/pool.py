"""`pool`: workers behind a RabbitMQ cluster; checks and declares what they need, and runs one.

What needs the extra `pool` is loaded only after it was found to be installed.
"""

import argparse
import logging
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from smarty_gateway.commands.options import Subparsers, add_shared, add_verbose
from smarty_gateway.commands.pool_add_keys import add_keys_parser, execute_add_keys
from smarty_gateway.commands.pool_check import add_check_parser, execute_check
from smarty_gateway.commands.pool_options import add_pool_config, chosen_pool_config
from smarty_gateway.commands.process import allow_many_files, share_memory
from smarty_gateway.config.consumers import checked_edge
from smarty_gateway.config.key_folder import KeyFolder
from smarty_gateway.config.needs import pool_needs
from smarty_gateway.config.pool_values import PoolConfig, checked_worker
from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.warnings import pool_warnings
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.logs import start_log
from smarty_gateway.safe_text import printable

_log = logging.getLogger(__name__)


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its subcommands."""
    parser = commands.add_parser(
        "pool",
        help="workers that decrypt what many edges send",
        description="A pool reads more meters than one machine can: gateways with `outputs: forward:` send "
        "frames to a RabbitMQ cluster, workers decrypt and decode them and write them to PostgreSQL.",
    )
    subcommands = parser.add_subparsers(
        title="subcommands", dest="subcommand", required=True, metavar="SUBCOMMAND"
    )
    add_check_parser(subcommands)
    _add_declare(subcommands)
    add_keys_parser(subcommands)
    _add_run(subcommands)


def _add_declare(subcommands: Subparsers) -> None:
    parser = subcommands.add_parser(
        "declare",
        help="create queues, policies and tables",
        description="Creates what is missing in the cluster and the database: queues, the exchange for "
        "what is not routed, policies, and tables. What is there stays. Type it once, on a healthy cluster, "
        "before the first edge.",
    )
    add_pool_config(parser)
    parser.add_argument(
        "--edge",
        metavar="USER",
        action="append",
        default=[],
        type=_edge,
        help="also permit this user of the cluster to send what an edge sends, and nothing else; can be "
        "repeated",
    )


def _add_run(subcommands: Subparsers) -> None:
    parser = subcommands.add_parser(
        "run",
        help="run a worker, until stopped",
        description="Runs one worker: it takes its share of the shards, and those of workers that are away. "
        "SIGHUP makes it read its keys again; SIGTERM makes it hand its shards over and end.",
    )
    add_pool_config(parser)
    add_shared(parser, "--state")
    parser.add_argument(
        "--worker",
        metavar="NAME",
        type=_worker,
        help="the name of this worker, which no other may have (default: `worker` in pool.yaml, then the "
        "host name)",
    )
    add_verbose(parser, "log more")


def _edge(text: str) -> str:
    return _checked(checked_edge, text)


def _worker(text: str) -> str:
    return _checked(checked_worker, text)


def _checked(check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def execute(args: argparse.Namespace) -> ExitStatus:
    """Do what the subcommand says.

    Raises:
        GatewayError: a file, the cluster or the database cannot be used.
    """
    return _EXECUTE[args.subcommand](args)


def _usable_config(args: argparse.Namespace) -> PoolConfig:
    """Return the configuration, with the libraries and passwords that it needs.

    Raises:
        GatewayError: something cannot be used; the first thing.
    """
    config = chosen_pool_config(args)
    for need in pool_needs(config):
        raise need
    return config


def _declare(args: argparse.Namespace) -> ExitStatus:
    config = _usable_config(args)
    from smarty_gateway.pool.declare import declare  # noqa: PLC0415 - needs the extra

    for line in declare(config, args.edge):
        print(printable(line), flush=True)
    return ExitStatus.GOOD


def _run(args: argparse.Namespace) -> ExitStatus:
    start_log(verbose=args.verbose)
    allow_many_files()
    share_memory()
    config = _usable_config(args)
    if (problem := KeyFolder(config.keys).problem(may_be_empty=bool(config.plaintext))) is not None:
        raise problem
    worker = args.worker or config.worker or checked_worker(socket.gethostname())
    config = replace(config, worker=worker, state=args.state or config.state)
    for warning in pool_warnings(config):
        _log.warning("warning: %s", warning)
    from smarty_gateway.pool.worker import run_worker  # noqa: PLC0415 - needs the extra

    return run_worker(config, worker)


_EXECUTE: Final[dict[str, Callable[[argparse.Namespace], ExitStatus]]] = {
    "check": execute_check,
    "declare": _declare,
    "add-keys": execute_add_keys,
    "run": _run,
}
