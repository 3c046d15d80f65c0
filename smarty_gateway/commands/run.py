"""`run`: the gateway itself, every configured meter to every configured output."""

import argparse
import logging
import shlex

from smarty_gateway.commands.chosen import chosen_config
from smarty_gateway.commands.options import Subparsers, add_reading_format, add_shared, add_verbose
from smarty_gateway.commands.process import allow_many_files, share_memory
from smarty_gateway.config.container import configuration_advice, container_warnings
from smarty_gateway.config.credentials import credential_or
from smarty_gateway.config.gateway_file import config_from_options
from smarty_gateway.config.key_file import find_key_file
from smarty_gateway.config.needs import unmet_needs
from smarty_gateway.config.values import DEFAULT_CONFIG_FILES, METER_NAME, Config
from smarty_gateway.config.warnings import warnings
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.name_claims import holder_warnings
from smarty_gateway.gateway.wiring import build_gateway, open_store, run_until_signal
from smarty_gateway.logs import start_log
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.sources.container import is_in_container
from smarty_gateway.state.state_file import state_folder
from smarty_gateway.state.store import holders_in

_log = logging.getLogger(__name__)


class NothingToRunError(GatewayError):
    """Neither a configuration nor a source was named."""


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "run",
        help="read meters and hand their readings on, until stopped",
        description="Reads every configured meter and hands its readings to every configured output. One "
        "meter needs no file: run --source /dev/ttyUSB0 --keys keys.yaml --mqtt mqtt://localhost",
    )
    parser.add_argument(
        "--source",
        metavar="SOURCE",
        action="append",
        help="a port, tcp://host:port, rfc2217://host:port, a recording or -",
    )
    parser.add_argument(
        "--name", metavar="NAME", help=f"with --source: names the readings (default {METER_NAME})"
    )
    add_shared(parser, "--config", "--keys", "--mqtt", "--mqtt-password-file", "--state")
    add_reading_format(parser, "also printed; the default where no output is configured")
    add_verbose(parser, "log more")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Run until a signal comes, until all recordings are read, or until a part dies.

    Raises:
        GatewayError: the gateway cannot start; nothing was opened yet.
    """
    start_log(verbose=args.verbose)
    allow_many_files()
    share_memory()
    config = _config(args)
    for need in unmet_needs(config):
        raise need
    named = None if config.keys is None else credential_or(config.keys)
    keys = KeysInForce(args.keys or named or find_key_file(), find=find_key_file)
    folder = state_folder(args.state or config.state)
    for warning in (
        *warnings(config),
        *holder_warnings(config.meters, holders_in(folder)),
        *container_warnings(folder, has_page=config.outputs.http is not None),
    ):
        _log.warning("warning: %s", warning)
    with open_store(config, folder) as store:
        return run_until_signal(build_gateway(config, keys, args.format, store, _state_options(args)))


def _state_options(args: argparse.Namespace) -> str:
    """Return what a user must add to another command, so that it finds the same state folder."""
    given = {"--state": args.state, "--config": args.config}
    return "".join(f" {name} {shlex.quote(str(path))}" for name, path in given.items() if path is not None)


def _config(args: argparse.Namespace) -> Config:
    if args.source is not None:
        if args.config is not None:
            raise NothingToRunError("--source and --config exclude each other: name the source in the file")
        if len(args.source) > 1:
            raise NothingToRunError(
                "--source is for a single meter: write several into gateway.yaml, which smarty-gateway setup "
                "does with you"
            )
        name = METER_NAME if args.name is None else args.name
        return config_from_options(
            args.source[0], name=name, mqtt=args.mqtt, password_file=args.mqtt_password_file
        )
    if args.name is not None:
        raise NothingToRunError(
            "--name is for a single meter, with --source; otherwise write it into gateway.yaml"
        )
    if args.mqtt is not None or args.mqtt_password_file is not None:
        raise NothingToRunError(
            "--mqtt is for a single meter, with --source; otherwise write it into gateway.yaml"
        )
    config = chosen_config(args)
    if config is None:
        if is_in_container():
            raise NothingToRunError(f"nothing to run: {configuration_advice(DEFAULT_CONFIG_FILES[-1])}")
        raise NothingToRunError(
            "nothing to run: name a meter with --source (such as /dev/ttyUSB0), or write a gateway.yaml; "
            "smarty-gateway demo shows what it looks like"
        )
    return config
