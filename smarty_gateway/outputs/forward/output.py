"""The output `forward`: its thread, which opens one connection after the other, and its door to the readers.

What comes from the readers waits in a short queue, and from there on in an outbox: in memory, after 10 s
without an acknowledgement on the disk. A connection has a client id of its own: a node that still believes in
the one before need not learn of its end first.
"""

import logging
import secrets
import time
from functools import partial
from typing import Final

from smarty_gateway.config.consumers import ForwardConfig
from smarty_gateway.config.values import MqttConfig, StoreLimits
from smarty_gateway.fault_log import Condition, until_it_works
from smarty_gateway.outputs.forward.first_frames import FirstFrames
from smarty_gateway.outputs.forward.frame_queue import FrameQueue
from smarty_gateway.outputs.forward.link import Link, NodeSilentError
from smarty_gateway.outputs.forward.nodes import Nodes
from smarty_gateway.outputs.forward.topics import meter_of, topic_of_frame, topic_of_telegram
from smarty_gateway.outputs.forward.turns import Turns
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed, ConnectionLost, ConnectionUnanswered
from smarty_gateway.outputs.mqtt.connection import Connection
from smarty_gateway.outputs.mqtt.opening import Opening, is_accepted
from smarty_gateway.outputs.outbox import Outbox
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.threaded import LOOK_EVERY, ThreadedOutput
from smarty_gateway.protocol.forwarded import Forwarded, pack
from smarty_gateway.protocol.frame_cutter import CutFrame, CutTelegram
from smarty_gateway.safe_text import printable
from smarty_gateway.state.store import Store

_log = logging.getLogger(__name__)

#: A hundred years: what waits is limited by its size alone.
_ANY_AGE: Final = 36_500
#: Frames that a recording may be ahead of a node that is there.
_MOST_AHEAD: Final = 5000
#: Seconds from the connection to the answer of MQTT.
_ANSWER_WITHIN: Final = 5.0
#: Without frames, a connection that lasts this long shows that the node works.
_SETTLED_AFTER: Final = 30.0
#: Messages in flight, each of another topic. It is the window of a connection.
_WINDOW: Final = 120


class ForwardOutput(ThreadedOutput):
    """Hands frames to the nodes of a pool."""

    #: For the store and for closing.
    last_steps = 1.0

    def __init__(self, config: ForwardConfig, store: Store) -> None:
        super().__init__("forward", "the forward output")
        self._config = config
        self._store = store
        self._outbox = Outbox(store, StoreLimits(config.megabytes, _ANY_AGE), "forward", "the pool")
        self._frames = FrameQueue(self.label)
        self._nodes = Nodes(config.nodes)
        self._turns = Turns(_WINDOW)
        self._first_frames = FirstFrames(_log.info, time.monotonic())
        self._away = Condition(_log.error, cleared=_log.info)
        self._link: Link | None = None
        self._has_connected = False
        self._has_refused_plaintext = False
        self._given_up: Opening | None = None

    # Called by other threads

    def publish(self, reading: Reading) -> None:
        """Leave readings to the other outputs."""

    def forward(self, cut: CutFrame | CutTelegram, arrived: int, *, is_live: bool) -> None:
        """Take a frame, or a telegram that is not encrypted and may go out.

        A recording waits while there are too many, a port never does.

        Args:
            cut: as it came.
            arrived: milliseconds since 1970 in UTC.
            is_live: it comes from a port.
        """
        topic = self._topic_of(cut)
        if topic is None:
            return
        if not is_live:
            with self._taken:
                self._taken.wait_for(lambda: self.has_room or self.stopping.is_requested or self.is_over)
        self._frames.put(topic, pack([Forwarded(arrived, cut.data)]))
        self.wake.wake()

    def _topic_of(self, cut: CutFrame | CutTelegram) -> str | None:
        """Return the topic; None for plaintext that may not go out."""
        config = self._config
        if isinstance(cut, CutFrame):
            return topic_of_frame(config.topic, cut.system_title)
        if config.plaintext_fault or config.user is None:
            if not self._has_refused_plaintext:
                self._has_refused_plaintext = True
                _log.warning(
                    "forward: telegrams that are not encrypted are not forwarded: %s", config.plaintext_fault
                )
            return None
        return topic_of_telegram(config.topic, config.user, cut.meter_id)

    @property
    def has_room(self) -> bool:
        """True while a recording need not wait; nodes that are away do not hold it up."""
        return self._frames.has_room and (self._outbox.in_memory < _MOST_AHEAD or self._nodes.is_away)

    @property
    def state(self) -> str:
        """Its state in one word: `ok`, `offline`, `refused`, `slow`, or what is wrong."""
        if self.failure is not None:
            return self.failure
        if self._turns.has_held:
            return "refused"
        if self._link is None or self._nodes.is_away:
            return "offline"
        return "slow" if self._frames.is_dropping else "ok"

    @property
    def is_busy(self) -> bool:
        """True while something waits for a node that is there, or may be."""
        is_idle = self._link is not None and self._link.is_idle
        has_work = bool(self._frames) or not (self._outbox.is_empty or is_idle)
        return has_work and not self._nodes.is_away and self._thread.is_alive()

    # The thread

    def work(self) -> None:
        """Open one connection after the other."""
        self._serve_once()  # even if a stop was requested already: a recording may be short
        while not self.stopping.is_requested:
            self._serve_once()

    def close(self) -> None:
        """Store what no node has acknowledged."""
        self._take_frames(time.monotonic())
        if waiting := self._outbox.close(time.monotonic()):
            _log.warning(
                "what waits for the pool (%d frames) is in %s; the next start sends it",
                waiting,
                self._store.path,
            )
        if self._given_up is not None and self._config.tls:
            self._given_up.wait_for_handshake()

    def _serve_once(self) -> None:
        failed = None
        connection = None
        try:
            connection = self._connect()
            if connection is not None:
                self._serve(connection)
        except ConnectionFailed as caught:
            failed = caught
        finally:
            has_begun, self._link = self._link is not None, None
            if connection is not None:
                connection.close(politely=failed is None)
            self._outbox.send_again()
        if failed is not None:
            self._note_failure(failed, has_begun=has_begun)

    def _connect(self) -> Connection | None:
        """Open a connection, and do everything else meanwhile; None if a stop comes first."""
        node = self._nodes.current
        config = MqttConfig(
            node.host, node.port, node.tls, node.user,
            password_file=self._config.password_file, ca_file=self._config.ca_file,
        )  # fmt: skip
        client_id = f"smarty-{secrets.token_hex(8)}"
        opening = Opening(
            "forward connect",
            partial(Connection, config, None, lambda _topic, _payload: None, client_id, self.wake),
            self.wake.wake,
        )
        while not opening.is_done:
            now = self._look()
            if self.stopping.is_requested and (now >= self.stopping.by or self._nodes.is_away):
                opening.give_up()
                self._given_up = opening
                return None
            self.wake.wait(min(LOOK_EVERY, max(0.0, self.stopping.by - now)))
        return opening.result()

    def _serve(self, connection: Connection) -> None:
        """Forward until the output shall end.

        Raises:
            ConnectionFailed: the connection is gone, or the node is silent.
        """
        if not self._is_accepted(connection):
            return
        began = now = self._look()
        if not self._has_connected and not self._away.is_on:
            _log.info(self._connected_to())
        self._has_connected = True
        link = self._link = Link(connection, self._outbox, self._turns, self._note_acknowledged, now)
        while True:
            link.send(now)
            if self.stopping.is_requested and (now >= self.stopping.by or link.is_idle):
                return
            connection.wait(min(LOOK_EVERY, max(0.0, self.stopping.by - now)))
            now = self._look()
            if now - began >= _SETTLED_AFTER:
                self._note_works()

    def _is_accepted(self, connection: Connection) -> bool:
        """Wait for the answer of the node; False if a stop comes first."""
        try:
            return is_accepted(connection, self.stopping, self._look, _ANSWER_WITHIN)
        except ConnectionUnanswered:
            raise ConnectionFailed(_closed_before(self._nodes.current.tls, connection)) from None

    def _note_acknowledged(self, topic: str) -> None:
        self._note_works()
        self._first_frames.note(topic)
        if self._turns.note_acknowledged(topic):
            _log.info("forward: the pool takes frames of %s again", meter_of(topic))

    def _note_works(self) -> None:
        self._nodes.note_success()
        self._away.end(self._connected_to())

    def _connected_to(self) -> str:
        node = self._nodes.current
        tls = "with" if node.tls else "without"
        user = node.user or "an anonymous client"
        return f"forward: connected to the node {node.address} as {user}, {tls} TLS"

    def _note_failure(self, failed: ConnectionFailed, *, has_begun: bool) -> None:
        if isinstance(failed, NodeSilentError):
            self._turns.note_silence()
        elif has_begun and isinstance(failed, ConnectionLost):
            self._note_hang_up(time.monotonic())
        else:
            self._turns.note_end()
        delay = self._nodes.next_after_failure()
        if self._nodes.is_away:
            self._away.begin(f"forward: {until_it_works(str(failed))}; frames wait", "all")
        else:
            self._away.begin(f"forward: trying the node {self._nodes.current.address} now: {failed}")
        until = time.monotonic() + delay
        while not self.stopping.is_requested and (left := until - self._look()) > 0:
            self.wake.wait(min(left, LOOK_EVERY))

    def _note_hang_up(self, now: float) -> None:
        held = self._turns.note_hang_up(now)
        if held is not None:
            _log.error(
                "forward: the pool refuses frames of %s: each time a node closes the connection; they wait "
                "and are tried again. Type `smarty-gateway pool check` there: is its queue full, and "
                "may %s write to %s?",
                meter_of(held),
                self._config.user or "an anonymous client",
                printable(held),
            )

    def _look(self) -> float:
        """Do what must be done every second, whatever the nodes do, and return the time."""
        now = self.show_life()
        self._take_frames(now)
        self._outbox.tick(now)
        self._first_frames.tick(now)
        self.note_room()
        return now

    def _take_frames(self, now: float) -> None:
        for topic, payload in self._frames.take_all():
            self._outbox.add(topic, payload, now)


def _closed_before(tls: bool, connection: Connection) -> str:  # noqa: FBT001 - a fact, not a switch
    other = "mqtt://, if this is its port without TLS" if tls else "mqtts://, if this is its port for TLS"
    return (
        f"the node {connection.config.address} closes the connection before it accepts it: it may be "
        f"starting; else write {other}"
    )
