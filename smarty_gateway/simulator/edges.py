"""Many edges in one thread: each forwards the frames of one simulated meter to a pool, by MQTT 3.1.1.

An edge sends one message at a time and keeps it until it is acknowledged; frames that wait meanwhile go out
together. A connection that ends, or ten seconds without an acknowledgement, make it go on to the next node,
where it sends again from the oldest frame.

The few packets are written here, because a thousand clients of a library that blocks while it connects would
need a thousand threads.
"""

import asyncio
import errno
import os
import random
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Final, Self

from smarty_gateway.protocol.forwarded import MESSAGE_BYTES, Forwarded, pack
from smarty_gateway.protocol.shards import shard_of
from smarty_gateway.simulator.meters import SimulatedMeter

_PATIENCE: Final = 10.0
#: New connections a second at the beginning.
_CONNECTIONS: Final = 250
_LEAST_PAUSE: Final = 0.5
_MOST_PAUSE: Final = 10.0
#: CONNACK with return code 0, and the beginning of a PUBACK (MQTT 3.1.1, 3.2 and 3.4): both have 4 bytes.
_ACCEPTED: Final = b"\x20\x02\x00\x00"
_PUBACK: Final = b"\x40\x02"
_PUBLISH_QOS_1: Final = 0x32
_CONNECT: Final = 0x10
_PROTOCOL: Final = b"\x00\x04MQTT\x04"
_CLEAN_SESSION: Final = 0x02
_WITH_PASSWORD: Final = 0xC0


@dataclass(frozen=True, slots=True)
class EdgeNode:
    """A node of the pool that edges send to.

    Attributes:
        tls: None without encryption.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    user: str | None = None
    password: bytes = b""


class Edges:
    """An edge for each meter; their ports take what the meters send.

    Args:
        journal: gets a line with system title and frame counter for each frame.

    Attributes:
        ports: of the edges, in the order of the meters.
        made: frames that the edges took from their meters.
        acknowledged: those that a node has acknowledged.
        longest: seconds from the arrival of a frame to its acknowledgement, the longest of all.
        fault: why a connection failed last.
    """

    def __init__(
        self,
        meters: Sequence[SimulatedMeter],
        nodes: Sequence[EdgeNode],
        topic: str,
        journal: IO[str] | None = None,
    ) -> None:
        self.made = 0
        self.acknowledged = 0
        self.longest = 0.0
        self.fault = "no node has answered yet"
        self.journal = journal
        self.loop = asyncio.new_event_loop()
        self.ports = []
        for n, meter in enumerate(meters):
            if meter.title is None:
                raise ValueError("a simulated edge forwards encrypted frames only")
            order = _order(nodes, n)
            self.ports.append(_Edge(self, meter.title, order, topic, start_after=n / _CONNECTIONS))
        self._thread = threading.Thread(target=self._run, name="simulated edges", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    @property
    def waiting(self) -> int:
        """How many frames have no acknowledgement yet."""
        return self.made - self.acknowledged

    def _run(self) -> None:
        tasks = [self.loop.create_task(edge.run()) for edge in self.ports]
        self.loop.run_forever()
        for task in tasks:
            task.cancel()
        self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.close()


class _Edge:
    """One edge, which is the port of its meter. Everything but `write` runs in the thread of the edges."""

    def __init__(
        self, edges: Edges, title: bytes, nodes: Sequence[EdgeNode], topic: str, *, start_after: float
    ) -> None:
        self.name = f"{topic}/{shard_of(title)}/{title.hex().upper()}"
        self._edges = edges
        self._nodes = nodes
        self._start_after = start_after
        self._pause = _LEAST_PAUSE
        self._waiting: deque[Forwarded] = deque()
        self._in_flight = 0
        self._message_id = 0
        self._writer: asyncio.StreamWriter | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def is_read(self) -> bool:
        """An edge always listens to its meter."""
        return True

    def write(self, data: bytes) -> None:
        """Take a frame from the meter."""
        forwarded = Forwarded(time.time_ns() // 1_000_000, data)
        self._edges.made += 1  # one thread writes for all meters
        self._edges.loop.call_soon_threadsafe(self._take, forwarded)

    def close(self) -> None:
        """Nothing: the edges end together."""

    async def run(self) -> None:
        """Be connected to one node after the other until cancelled."""
        await asyncio.sleep(self._start_after)
        while True:
            for node in self._nodes:
                try:
                    await self._forward_to(node)
                except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                    self._edges.fault = f"{node.host}:{node.port} {_why(error)}"
                # At random, so that the edges of a node that went away do not all connect at once.
                await asyncio.sleep(self._pause * random.uniform(0.1, 1))  # noqa: S311 - no secret
                self._pause = min(_MOST_PAUSE, self._pause * 2)

    async def _forward_to(self, node: EdgeNode) -> None:
        """Forward to a node until the connection ends."""
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_connection(node.host, node.port, ssl=node.tls)
        try:
            async with asyncio.timeout(_PATIENCE):
                writer.write(_connect(node))
                if (answer := await reader.readexactly(4)) != _ACCEPTED:
                    raise ConnectionRefusedError(
                        f"refuses user or password (return code {answer[3]}); correct --forward or "
                        "--password-file"
                    )
            self._writer = writer
            self._send()
            while await reader.readexactly(4) == _PUBACK + self._message_id.to_bytes(2, "big"):
                self._pause = _LEAST_PAUSE
                self._forget_sent()
                self._send()
        finally:
            self._writer = None
            self._in_flight = 0
            self._stop_deadline()
            writer.transport.abort()

    def _take(self, forwarded: Forwarded) -> None:
        if self._edges.journal is not None:
            frame = forwarded.data
            self._edges.journal.write(f"{frame[2:10].hex().upper()} {int.from_bytes(frame[14:18], 'big')}\n")
        self._waiting.append(forwarded)
        self._send()

    def _send(self) -> None:
        """Send what waits, if there is a connection and nothing is on its way."""
        if self._writer is None or self._in_flight or not self._waiting:
            return
        size = 0
        message: list[Forwarded] = []
        for forwarded in self._waiting:
            size += len(pack([forwarded]))
            if message and size > MESSAGE_BYTES:
                break
            message.append(forwarded)
        self._in_flight = len(message)
        self._message_id = self._message_id % 0xFFFF + 1
        self._writer.write(_publish(self.name, self._message_id, pack(message)))
        self._deadline = self._edges.loop.call_later(_PATIENCE, self._writer.transport.abort)

    def _forget_sent(self) -> None:
        self._stop_deadline()
        seconds = time.time() - self._waiting[0].arrived / 1000
        self._edges.longest = max(self._edges.longest, seconds)
        self._edges.acknowledged += self._in_flight
        for _ in range(self._in_flight):
            self._waiting.popleft()
        self._in_flight = 0

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _order(nodes: Sequence[EdgeNode], edge: int) -> tuple[EdgeNode, ...]:
    """Return the nodes in the order of an edge: those of a node that goes away spread over the others."""
    turn, first = divmod(edge, len(nodes))
    others = (*nodes[first + 1 :], *nodes[:first])
    return nodes[first], *(others if turn % 2 else reversed(others))


def _connect(node: EdgeNode) -> bytes:
    """Return a CONNECT packet without keep-alive and with a random client id (MQTT 3.1.1, 3.1)."""
    flags = _CLEAN_SESSION
    texts = [os.urandom(8).hex().encode()]
    if node.user is not None:
        flags |= _WITH_PASSWORD
        texts += [node.user.encode(), node.password]
    body = _PROTOCOL + bytes([flags, 0, 0])
    return _packet(_CONNECT, body + b"".join(len(text).to_bytes(2, "big") + text for text in texts))


def _publish(topic: str, message_id: int, payload: bytes) -> bytes:
    """Return a PUBLISH packet of QoS 1 (MQTT 3.1.1, 3.3)."""
    name = topic.encode()
    head = len(name).to_bytes(2, "big") + name + message_id.to_bytes(2, "big")
    return _packet(_PUBLISH_QOS_1, head + payload)


def _packet(kind: int, body: bytes) -> bytes:
    """Put the fixed header before a packet: seven bits of its length a byte (MQTT 3.1.1, 2.2.3)."""
    length = len(body)
    head = bytearray([kind])
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + body


def _why(error: Exception) -> str:
    """Return what a node did instead of acknowledging."""
    if isinstance(error, asyncio.IncompleteReadError):
        return "hangs up: the user may not send there, or the queue is full"
    if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
        return "refuses the connection; does the node run?"
    return str(error) or "does not answer"
