"""`simulate --forward URL`: an edge for each meter, which sends to the nodes of a pool."""

import contextlib
import ssl
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

from smarty_gateway.config.broker_url import parse_broker_url
from smarty_gateway.config.password_file import read_password
from smarty_gateway.config.settings import SettingError
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable
from smarty_gateway.signals import SignalEvent
from smarty_gateway.simulator.edges import EdgeNode, Edges
from smarty_gateway.simulator.meters import SimulatedMeter
from smarty_gateway.simulator.simulation import Simulation

_TOPIC: Final = "smarty/raw"
_PASSWORD_ADVICE: Final = (
    "a password is never part of the url; write it into a file and name that with --password-file"  # noqa: S105 - an advice
)
#: Seconds from the last frame until nobody waits any more for what is not acknowledged.
_ENDS_WITHIN: Final = 60.0


class ForwardError(GatewayError):
    """An option of `--forward` is wrong, or its file cannot be used."""


def nodes_of(urls: Sequence[str], password_file: Path | None, ca_file: Path | None) -> list[EdgeNode]:
    """Return the nodes that the options name.

    Raises:
        GatewayError: an option is wrong, or a file cannot be used.
    """
    password = b"" if password_file is None else read_password(password_file, "password_file")
    try:
        fields = [parse_broker_url(url, _PASSWORD_ADVICE) for url in urls]
    except SettingError as error:
        raise ForwardError(f"--forward: {error}") from None
    tls = _tls(ca_file) if any(each["tls"] for each in fields) else None
    return [
        EdgeNode(each["host"], each["port"], tls if each["tls"] else None, each["user"], password)
        for each in fields
    ]


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise ForwardError(f"--ca-file {ca_file}: {why}; name the certificate of the nodes' CA") from None


def forward(
    meters: Sequence[SimulatedMeter],
    nodes: Sequence[EdgeNode],
    journal: Path | None,
    ended: SignalEvent,
    seconds: float | None,
) -> ExitStatus:
    """Forward until a signal comes or the time is over, then wait for the acknowledgements.

    Raises:
        ForwardError: the journal cannot be written.
    """
    with _opened(journal) as file, Edges(meters, nodes, _TOPIC, file) as edges:
        print(f"{len(meters)} edges send to {', '.join(f'{node.host}:{node.port}' for node in nodes)}")
        sys.stdout.flush()
        with Simulation(meters, edges.ports):
            ended.wait(seconds)
        ended.clear()  # a second signal ends the wait
        left = _ENDS_WITHIN
        while edges.waiting and left > 0 and not ended.wait(0.1):
            left -= 0.1
        print(f"{edges.made} frames made, {edges.acknowledged} acknowledged, {edges.longest:.1f} s at most")
        if not edges.waiting:
            return ExitStatus.GOOD
        print(
            printable(f"smarty-gateway: {edges.waiting} frames are not acknowledged: {edges.fault}"),
            file=sys.stderr,
        )
        return ExitStatus.REJECTED


@contextlib.contextmanager
def _opened(journal: Path | None) -> Iterator[IO[str] | None]:
    if journal is None:
        yield None
        return
    try:
        file = journal.open("w", encoding="ascii", buffering=1)
    except OSError as error:
        raise ForwardError(f"--journal {journal}: {error.strerror}; name another file") from None
    with file:
        yield file
