"""`run`: the gateway itself, every configured meter to every configured output."""

import argparse
import logging
import resource
import shlex
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

from smarty_gateway.config.gateway_file import config_from_options, find_config_file, load_config, warnings
from smarty_gateway.config.key_file import find_key_file
from smarty_gateway.config.values import Config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway import meter_registry
from smarty_gateway.gateway.gateway import Gateway
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.logs import start_log
from smarty_gateway.outputs.output import Output
from smarty_gateway.outputs.stdout import StdoutOutput
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.signals import handling
from smarty_gateway.state.state_file import FolderLock, state_folder
from smarty_gateway.state.store import Store, holders_in

_log = logging.getLogger(__name__)


class NothingToRunError(GatewayError):
    """Neither a configuration nor a source was named."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "run",
        help="read meters and hand their readings on, until stopped",
        description="Reads every configured meter and hands its readings to every configured output. One "
        "meter needs no file: run --source /dev/ttyUSB0 --keys keys.yaml --mqtt mqtt://localhost",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="the configuration (default: ./gateway.yaml, then /etc/smarty-gateway/gateway.yaml)",
    )
    parser.add_argument(
        "--source", metavar="SOURCE", help="a port, tcp://host:port, rfc2217://host:port, a recording or -"
    )
    parser.add_argument("--keys", type=Path, metavar="FILE", help="keys.yaml with the meters' keys")
    parser.add_argument("--mqtt", metavar="URL", help="the broker: mqtt[s]://[user@]host[:port]")
    parser.add_argument(
        "--mqtt-password-file", type=Path, metavar="FILE", help="holds the password of the broker"
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="the folder for what must last")
    parser.add_argument(
        "--format",
        choices=["json", "table", "telegram"],
        help="also print the readings (the default where no output is configured)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say more")
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> ExitStatus:
    """Run until a signal comes, until all recordings are read, or until a part dies.

    Raises:
        GatewayError: the gateway cannot start; nothing was opened yet.
    """
    start_log(verbose=args.verbose)
    _allow_many_files()
    config = load_run_config(args)
    keys = KeysInForce(args.keys or config.keys or find_key_file(), find=find_key_file)
    folder = state_folder(args.state or config.state)
    for warning in (*warnings(config), *meter_registry.warnings(config.meters, holders_in(folder))):
        _log.warning("warning: %s", warning)
    with ExitStack() as stack:
        store = None
        if config.mqtt is not None or any(meter.is_live for meter in config.meters):
            stack.callback(FolderLock(folder).release)
            store = stack.enter_context(Store(folder))
            store.forget_resets()
            for notice in store.notices:
                _log.error("%s", notice)
        gateway = Gateway(config, keys, store, _state_options(args))
        gateway.outputs += outputs_of(config, args.format, store)
        return run_until_signal(gateway)


def _state_options(args: argparse.Namespace) -> str:
    """Give what a user must add to another command, so that it finds the same state folder."""
    given = {"--state": args.state, "--config": args.config}
    return "".join(f" {name} {shlex.quote(str(path))}" for name, path in given.items() if path is not None)


def _allow_many_files() -> None:
    """Ask for as many open files as there may be: a serial port takes five."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def load_run_config(args: argparse.Namespace) -> Config:
    """Give the configuration that options or a file describe."""
    if args.source is not None:
        if args.config is not None:
            raise NothingToRunError("--source and --config exclude each other: name the source in the file")
        return config_from_options(args.source, mqtt=args.mqtt, password_file=args.mqtt_password_file)
    if args.mqtt is not None or args.mqtt_password_file is not None:
        raise NothingToRunError(
            "--mqtt is for a single meter, with --source; else write it into gateway.yaml"
        )
    path = args.config or find_config_file()
    if path is None:
        raise NothingToRunError(
            "nothing to run: name a meter with --source (such as /dev/ttyUSB0), or write a gateway.yaml; "
            "smarty-gateway demo shows what it looks like"
        )
    return load_config(path)


def outputs_of(config: Config, form: str | None, store: Store | None) -> list[Output]:
    """Make the outputs that are configured; standard output if there is none."""
    outputs: list[Output] = []
    form = form or config.stdout
    if form is None and config.mqtt is None:
        form = "table" if sys.stdout.isatty() else "json"
    if form is not None:
        outputs.append(stdout_output(form))
    if config.mqtt is not None and store is not None:
        # Only who has a broker needs its library.
        from smarty_gateway.outputs.mqtt.mqtt_output import MqttOutput  # noqa: PLC0415

        outputs.append(MqttOutput(config, config.mqtt, store))
    return outputs


def stdout_output(form: str) -> Output:
    """Make the output for a format: a table moves where there is a terminal."""
    if form == "table" and sys.stdout.isatty():
        # Drawing takes a library that takes a while to load; a service does without.
        from rich.console import Console  # noqa: PLC0415

        from smarty_gateway.outputs.live_table import LiveTable  # noqa: PLC0415

        return LiveTable(Console(highlight=False))
    return StdoutOutput(form)


def run_until_signal(gateway: Gateway) -> ExitStatus:
    """Run, and end on SIGTERM and SIGINT; SIGHUP lets the keys be read again."""
    handlers = {
        signal.SIGTERM: gateway.stop,
        signal.SIGINT: gateway.stop,
        signal.SIGHUP: gateway.read_keys_again,
    }
    with handling(handlers):
        return gateway.run()
