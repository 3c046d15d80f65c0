"""Builds a gateway from a configuration: what is known about meters, the outputs, the readers.

Libraries that only some outputs need are loaded here, with the output.
"""

import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from smarty_gateway.config.values import Config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway.gateway import Gateway
from smarty_gateway.gateway.history_keeper import HistoryKeeper, Prepare
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.outputs.output import Output
from smarty_gateway.outputs.stdout import StdoutOutput
from smarty_gateway.signals import handling
from smarty_gateway.state.history_file import HistoryFile
from smarty_gateway.state.state_file import FolderLock
from smarty_gateway.state.store import Store

if TYPE_CHECKING:
    from smarty_gateway.outputs.forward.output import ForwardOutput

_log = logging.getLogger(__name__)


@contextmanager
def open_store(config: Config, folder: Path) -> Iterator[Store | None]:
    """Open the state file and keep other gateways out of its folder; None where nothing needs to last.

    Raises:
        StateError: it cannot be used, or another gateway uses it.
    """
    outputs = config.outputs
    lasting = (outputs.mqtt, outputs.http, outputs.influxdb, outputs.forward)
    is_lasting = any(each is not None for each in lasting)
    if not is_lasting and not any(meter.is_live for meter in config.meters):
        yield None
        return
    with closing(FolderLock(folder)), Store(folder) as store:
        store.forget_resets()
        for notice in store.notices:
            _log.error("%s", notice)
        yield store


def build_gateway(  # noqa: PLR0913 - what the commands know, and what a demonstration does without
    config: Config,
    keys: KeysInForce,
    form: str | None = None,
    store: Store | None = None,
    options: str = "",
    *,
    logs_first: bool = True,
    prepare: Prepare | None = None,
) -> Gateway:
    """Build a gateway that is ready to run.

    Args:
        config: what the user wants.
        keys: of the meters.
        form: of readings on standard output; None for what the configuration says.
        store: the state file; None where nothing is kept.
        options: what a user must add to `reset-counter`, so that it finds the same state file.
        logs_first: log the first reading of each meter, unless nothing is kept.
        prepare: writes into the history before it is used, while meters are read already.
    """
    config = _with_one_name_a_source(config)
    history = _history_of(config, store)
    if history is not None and prepare is not None:
        history.prepare = prepare
    state = StateKeeper(config, store, history)
    unnamed = [meter.name for meter in state.registry.unnamed()]
    forward = _forward_of(config, store)
    outputs = _outputs_of(config, form, store, unnamed, [] if forward is None else [forward])
    return Gateway(
        config,
        keys,
        state,
        outputs,
        options,
        logs_first=logs_first and store is not None,
        forward=None if forward is None else forward.forward,
    )


def _history_of(config: Config, store: Store | None) -> HistoryKeeper | None:
    """Open the history beside the state file; None where none is kept.

    Raises:
        StateError: a newer smarty-gateway has written it.
    """
    if store is None or not config.keeps_history:
        return None
    return HistoryKeeper(config, HistoryFile(store.path.parent))


def run_until_signal(gateway: Gateway) -> ExitStatus:
    """Run until SIGTERM or SIGINT; SIGHUP reloads the keys."""
    handlers = {
        signal.SIGTERM: gateway.stop,
        signal.SIGINT: gateway.stop,
        signal.SIGHUP: gateway.read_keys_again,
    }
    with handling(handlers):
        return gateway.run()


def _outputs_of(
    config: Config,
    form: str | None,
    store: Store | None,
    unnamed: Sequence[str],
    further: Sequence[Output],
) -> list[Output]:
    """Return the configured outputs; standard output where readings go nowhere else."""
    if form is None and config.outputs.stdout is not None:
        form = config.outputs.stdout.format
    others = [*_own_outputs(config, store, unnamed), *_consumers(config, store), *further]
    if form is None and not others:
        form = "table" if sys.stdout.isatty() else "json"
    return [*([] if form is None else [_stdout_output(form, config)]), *others]


def _own_outputs(config: Config, store: Store | None, unnamed: Sequence[str]) -> Iterator[Output]:
    """Yield the outputs with more than one reading at a time: retained messages, and the page."""
    if config.outputs.mqtt is not None and store is not None:
        from smarty_gateway.outputs.mqtt.output import MqttOutput  # noqa: PLC0415 - loads paho-mqtt

        yield MqttOutput(config, config.outputs.mqtt, store, unnamed)
    if config.outputs.http is not None:
        from smarty_gateway.web.output import HttpOutput  # noqa: PLC0415 - loads more than others need

        yield HttpOutput(config, config.outputs.http, None if store is None else store.path.parent)


def _consumers(config: Config, store: Store | None) -> Iterator[Output]:
    """Yield the outputs that hand each reading to another program; each module is loaded where it is used."""
    outputs = config.outputs
    if outputs.tcp:
        from smarty_gateway.outputs.telegrams.tcp import TcpOutput  # noqa: PLC0415 - see above

        yield TcpOutput(config)
    if outputs.pty:
        from smarty_gateway.outputs.telegrams.pty import PtyOutput  # noqa: PLC0415 - see above

        yield PtyOutput(config)
    if outputs.udp:
        from smarty_gateway.outputs.udp.output import UdpOutput  # noqa: PLC0415 - see above

        yield UdpOutput(config)
    if outputs.influxdb is not None and store is not None:
        from smarty_gateway.outputs.influxdb.output import InfluxOutput  # noqa: PLC0415 - see above

        yield InfluxOutput(config, outputs.influxdb, store)
    if outputs.domoticz is not None and not outputs.domoticz.mqtt:
        from smarty_gateway.outputs.domoticz.output import DomoticzOutput  # noqa: PLC0415 - see above

        yield DomoticzOutput(config, outputs.domoticz)
    if outputs.files is not None:
        from smarty_gateway.outputs.files.output import FilesOutput  # noqa: PLC0415 - see above

        yield FilesOutput(config, outputs.files)
    if outputs.others:
        from smarty_gateway.outputs.other import made_output  # noqa: PLC0415 - see above

        yield from (made_output(config, other) for other in outputs.others)


def _forward_of(config: Config, store: Store | None) -> "ForwardOutput | None":
    """Return the output that also gets what is no reading yet."""
    if config.outputs.forward is None or store is None:
        return None
    from smarty_gateway.outputs.forward.output import ForwardOutput  # noqa: PLC0415 - see above

    return ForwardOutput(config.outputs.forward, store)


def _stdout_output(form: str, config: Config) -> Output:
    if form == "table" and sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 - takes a while to load, and a service needs none

        from smarty_gateway.outputs.live_table import LiveTable  # noqa: PLC0415 - the same

        http = config.outputs.http
        return LiveTable(Console(highlight=False), None if http is None else f"the page is at {http.url}")
    return StdoutOutput(form)


def _with_one_name_a_source(config: Config) -> Config:
    """Return the configuration with one text for each source, where entries spell it differently."""
    first = {source.identity: source for meter in config.meters[::-1] for source in meter.sources[::-1]}
    meters = [
        replace(meter, sources=tuple(first[source.identity] for source in meter.sources))
        for meter in config.meters
    ]
    return replace(config, meters=tuple(meters))
