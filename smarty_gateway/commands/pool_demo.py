"""`demo --pool`: a whole pool on this machine, and a line every two seconds about what it does."""

import logging
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smarty_gateway.config.extras import installation
from smarty_gateway.config.key_folder import file_name
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.shards import SHARDS, shard_of
from smarty_gateway.simulator.edges import EdgeNode, Edges
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml
from smarty_gateway.simulator.simulation import Simulation

if TYPE_CHECKING:
    from smarty_gateway.pool.local_servers import LocalServers

_log = logging.getLogger("smarty_gateway")

_METERS: Final = 40
_WORKERS: Final = ("worker-1", "worker-2")
_LOOK_EVERY: Final = 2.0
_ENDS_WITHIN: Final = 10.0


class PoolDemoError(GatewayError):
    """The pool cannot be shown; one line says what to do."""

    exit_status = ExitStatus.WRONG_USAGE


def show_pool(folder: Path, seconds: float | None) -> None:
    """Start everything in an empty folder, and print what happens until the time is over.

    Raises:
        GatewayError: a package or the extra is missing, or something does not start.
    """
    try:
        from smarty_gateway.pool.local_servers import LocalServers  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        raise PoolDemoError(f"{error.name} is not installed; type: {installation('pool')}") from None
    meters = [SimulatedMeter(MeterKind.LUXEMBOURG, number) for number in range(1, 1 + _METERS)]
    for meter in meters:
        meter.period = 1.0
    _write_keys(folder / "keys", meters)
    servers = LocalServers(folder)
    _log.info("RabbitMQ and PostgreSQL start in %s, which takes some 15 seconds", folder)
    with servers, ExitStack() as stack:
        for name in _WORKERS:
            process = _start_worker(servers.config, name)
            stack.callback(_end, process)
            _log.info(
                "%s is process %d; to see the other one take over, type: kill -9 %d", name, *2 * [process.pid]
            )
        password = servers.password_file(servers.edge_user).read_bytes()
        node = EdgeNode("127.0.0.1", servers.mqtt_port, None, servers.edge_user, password)
        edges = stack.enter_context(Edges(meters, [node], "smarty/raw"))
        stack.enter_context(Simulation(meters, edges.ports))
        shards = {edge.title and shard_of(edge.title) for edge in meters}
        _log.info(
            "%d meters in %d of the shards; at the end of each line: how many of these %s read",
            len(meters), len(shards), " and ".join(_WORKERS),
        )  # fmt: skip
        _watch(servers, edges, seconds)


def _watch(servers: "LocalServers", edges: Edges, seconds: float | None) -> None:
    begin = time.monotonic()
    before = 0
    while seconds is None or time.monotonic() - begin < seconds:
        time.sleep(_LOOK_EVERY)
        ((rows,),) = servers.query("SELECT count(*) FROM smarty_reading")
        held = Counter(
            owner
            for (owner,) in servers.query(
                "SELECT owner FROM smarty_shard JOIN smarty_worker ON owner = name "
                "WHERE NOT is_released AND beat > now() - interval '5 s'"
            )
        )
        shares = " and ".join(str(held[name]) for name in _WORKERS)
        print(
            f"{time.monotonic() - begin:5.0f} s  {edges.made} frames, {edges.acknowledged} acknowledged, "
            f"{rows} rows ({(rows - before) / _LOOK_EVERY:.0f}/s), shards {shares}",
            flush=True,
        )
        before = rows


def _start_worker(config: Path, name: str) -> "subprocess.Popen[bytes]":
    # However this process ends, the kernel ends the worker.
    guarded = ("/usr/bin/setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "smarty_gateway")
    command = (*guarded, "pool", "run", "--config", str(config), "--worker", name)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - ourselves


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_ENDS_WITHIN)
    process.kill()
    process.wait()


def _write_keys(folder: Path, meters: list[SimulatedMeter]) -> None:
    folder.mkdir(0o700)
    for shard in range(SHARDS):
        path = folder / file_name(shard)
        path.touch(0o600)
        own = [meter for meter in meters if meter.title is not None and shard_of(meter.title) == shard]
        if own:
            path.write_text(keys_yaml(own), "ascii")
        else:
            path.unlink()
