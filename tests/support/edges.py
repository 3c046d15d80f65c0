"""An edge for tests: the output `forward`, and frames for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from smarty_gateway.config.consumers import ForwardConfig, ForwardNode
from smarty_gateway.outputs.forward.output import ForwardOutput
from smarty_gateway.protocol.forwarded import unpack
from smarty_gateway.protocol.frame_cutter import CutFrame
from smarty_gateway.state.store import Store


def title_of(number: int) -> bytes:
    """Return the system title of a meter."""
    return b"SAG" + number.to_bytes(5, "big")


def frame(title: bytes, number: int) -> CutFrame:
    """Return what an edge takes for a frame: nothing reads it before the pool does."""
    return CutFrame(0, b"\xdb\x08" + title + number.to_bytes(4, "big"), title)


def numbers_of(payload: bytes) -> list[int]:
    """Return the numbers of the frames in a message."""
    return [int.from_bytes(each.data[10:], "big") for each in unpack(payload)]


def edge_config(ports: Sequence[int], **settings: object) -> ForwardConfig:
    """Return the configuration of an edge with nodes on these ports of this machine."""
    user = settings.pop("user", None)
    tls = bool(settings.pop("tls", False))
    nodes = tuple(ForwardNode("127.0.0.1", port, tls, user) for port in ports)  # type: ignore[arg-type]
    return ForwardConfig(nodes, **settings)  # type: ignore[arg-type]


@contextmanager
def running_edge(config: ForwardConfig, folder: Path) -> Iterator[ForwardOutput]:
    """Run the output with a state file in a folder."""
    with Store(folder) as store:
        output = ForwardOutput(config, store)
        output.start()
        try:
            yield output
        finally:
            output.stop(3)
        assert output.failure is None
