"""`run`: the gateway itself, every configured meter to every configured output."""

import argparse
import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smarty_gateway.commands.chosen import chosen_config, load_keys_from
from smarty_gateway.commands.options import Subparsers, add_reading_format, add_shared, add_verbose
from smarty_gateway.commands.process import allow_many_files, share_memory
from smarty_gateway.commands.terminal import say
from smarty_gateway.config.container import configuration_advice, container_warnings
from smarty_gateway.config.credentials import APP_USER, copies_for, credential_or
from smarty_gateway.config.gateway_file import config_from_options, find_config_file, read_config
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
from smarty_gateway.safe_text import without_keys
from smarty_gateway.service.needs import secrets_of
from smarty_gateway.service.unprivileged import become_unprivileged
from smarty_gateway.sources.container import is_home_assistant_app, is_in_container
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
    keys = _keys(args, config)
    folder = state_folder(args.state or config.state)
    with _rights_dropped(config, folder):
        for warning in (
            *warnings(config),
            *holder_warnings(config.meters, holders_in(folder)),
            *container_warnings(folder, has_page=config.outputs.http is not None),
        ):
            _log.warning("warning: %s", warning)
        with open_store(config, folder) as store:
            return run_until_signal(build_gateway(config, keys, args.format, store, _state_options(args)))


def _keys(args: argparse.Namespace, config: Config) -> KeysInForce:
    named = None if config.keys is None else credential_or(config.keys)
    path = args.keys or named or find_key_file()
    if is_home_assistant_app():
        # Only root may read them again, and with new options the app starts again.
        return KeysInForce(None, load_keys_from(path))
    return KeysInForce(path, find=find_key_file)


@contextmanager
def _rights_dropped(config: Config, folder: Path) -> Iterator[None]:
    """In an app, become an unprivileged user; passwords that the configuration names stay readable."""
    if not is_home_assistant_app() or os.geteuid() != 0:
        yield
        return
    secrets = [path for path in secrets_of(config, Path()) if path != config.keys]
    with copies_for(APP_USER, secrets):
        become_unprivileged(config, folder, APP_USER)
        yield


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
    config = _config_of_app(args) if is_home_assistant_app() else chosen_config(args)
    if config is None:
        if is_in_container():
            raise NothingToRunError(f"nothing to run: {configuration_advice(DEFAULT_CONFIG_FILES[-1])}")
        raise NothingToRunError(
            "nothing to run: type smarty-gateway setup, which writes a gateway.yaml, or name a meter with "
            "--source (such as /dev/ttyUSB0)"
        )
    return config


def _config_of_app(args: argparse.Namespace) -> Config | None:
    """Return the configuration of an app, whose log is the only place where a person sees its faults.

    Raises:
        UnusableFileError: it cannot be used; the last of its faults, after the others were logged.
    """
    path = args.config or find_config_file()
    config, errors = (None, []) if path is None else read_config(path)
    for error in errors[:-1]:
        say(without_keys(f"smarty-gateway: {error}"))
    if errors:
        raise errors[-1]
    return config
