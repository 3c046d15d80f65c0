"""The MQTT output: the thread that opens one connection after the other, and its door to the gateway."""

import contextlib
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from smarty_gateway.config.values import Config, MqttConfig
from smarty_gateway.outputs.background import Task
from smarty_gateway.outputs.mqtt.broker_errors import (
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    ConnectionFailed,
)
from smarty_gateway.outputs.mqtt.broker_status import BrokerStatus
from smarty_gateway.outputs.mqtt.connection import Connection, Will, default_client_id
from smarty_gateway.outputs.mqtt.publications import Publications
from smarty_gateway.outputs.mqtt.session import Session
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.output import GatewayHealth, Health
from smarty_gateway.outputs.threaded import LOOK_EVERY, ThreadedOutput
from smarty_gateway.state.store import Store

_log = logging.getLogger(__name__)

#: Seconds to the next attempt after the broker closed the connection because of a message.
_QUICK_DELAY: Final = 0.25
_WAIT_FOR_HANDSHAKE: Final = 0.5
_ANSWER_WITHIN: Final = 10.0


class MqttOutput(ThreadedOutput):
    """Hands readings to a broker.

    Attributes:
        is_over: never, as the broker may return.
        refused: what the broker refuses; any thread may ask.
    """

    #: For the store and for closing.
    last_steps = 1.0

    def __init__(self, config: Config, mqtt: MqttConfig, store: Store, unnamed: Iterable[str] = ()) -> None:
        super().__init__("mqtt", "the MQTT output", named_first=True)
        self._config = mqtt
        self._store = store
        self._publications = Publications(config, mqtt, store, self.arrivals, unnamed)
        self.refused = self._publications.refused
        self._status = BrokerStatus(mqtt)
        self._will = Will(Topics(mqtt.topic).status)
        self._session: Session | None = None
        self._given_up: Task[Connection] | None = None

    # Called by other threads

    @property
    def has_room(self) -> bool:
        """True while a recording need not wait."""
        return super().has_room and self._publications.has_room

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Take the health of meters and gateway."""
        self._publications.report(health, gateway)

    def forget(self, meter: str) -> None:
        """Empty the topics of a meter that the configuration does not name and that is gone.

        One that has a name now is announced under it first (see `Meters`).
        """
        self._publications.meters.gone.append(meter)
        self.wake.wake()

    @property
    def state(self) -> str:
        """Its state in one word."""
        return self.failure or ("offline" if self._session is None else "ok")

    @property
    def is_busy(self) -> bool:
        """True while something waits for a broker that is there, or may be."""
        return self._has_work and not self._status.is_away and self._thread.is_alive()

    @property
    def _has_work(self) -> bool:
        if self._publications.has_readings:
            return True
        session = self._session
        return not self._publications.outbox.is_empty if session is None else session.has_work

    def stop(self, seconds: float) -> None:
        """Send what is due, store what is not acknowledged, and say goodbye."""
        super().stop(seconds)
        if self.arrivals and not self._thread.is_alive():
            self._store_rest()  # it arrived after the thread had failed

    # The thread

    def work(self) -> None:
        """Open one connection after the other."""
        self._serve_once()  # even if a stop was requested already: a recording may be short
        while not self.stopping.is_requested:
            self._wait_offline()
            self._serve_once()

    def close(self) -> None:
        """Store what is not acknowledged."""
        try:
            self._store_rest()
        finally:
            self._wait_for_handshake()

    def _serve_once(self) -> None:
        """Connect and stay connected for as long as it lasts."""
        failed = None
        connection = None
        try:
            connection = self._connect()
            if connection is not None:
                self._session = Session(
                    self._config,
                    connection,
                    self._publications,
                    self._status,
                    self.stopping,
                    self._look,
                )
                self._session.run()
        except ConnectionFailed as caught:
            failed = caught
        finally:
            self._end_session(connection, failed)

    def _end_session(self, connection: Connection | None, failed: ConnectionFailed | None) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
        if connection is not None and connection.is_ready:
            self._will = replace(self._will, qos=connection.max_qos, retain=connection.may_retain)
        self._publications.outbox.send_again()
        now = time.monotonic()
        blamed = self.refused.note_end(now, is_hang_up=failed is not None and failed.is_hang_up)
        if failed is not None and not self._can_change_will(failed.code):
            self._status.note_end(failed, now, blamed)

    def _can_change_will(self, code: int | None) -> bool:
        """True if the next attempt leaves a last will that the broker may accept."""
        if code == RETAIN_NOT_SUPPORTED and self._will.retain:
            self._will = replace(self._will, retain=False)
        elif code == QOS_NOT_SUPPORTED and self._will.qos:
            self._will = replace(self._will, qos=0)
        else:
            return False
        return True

    def _connect(self) -> Connection | None:
        """Open a connection, and do everything else meanwhile; None if a stop comes first."""
        client_id = default_client_id(self._config)
        take_message = self._publications.take_message
        connecting = Task(
            "MQTT connect",
            partial(Connection, self._config, self._will, take_message, client_id, self.wake),
            self.wake.wake,
        )
        started = time.monotonic()
        while not connecting.is_done:
            now = time.monotonic()
            if self.stopping.is_requested and (now >= self.stopping.by or self._status.is_away):
                connecting.then(partial(_close, connecting))
                self._given_up = connecting
                return None
            if now - started > _ANSWER_WITHIN:
                self._status.note_no_answer()
            self._wait_without_broker(self.stopping.by - now)
        return connecting.result()

    def _wait_offline(self) -> None:
        now = time.monotonic()
        until = now + (_QUICK_DELAY if self.refused.is_quick(now) else self._status.next_delay())
        while not self.stopping.is_requested and (left := until - time.monotonic()) > 0:
            self._wait_without_broker(left)

    def _wait_without_broker(self, seconds: float) -> None:
        self.wake.wait(min(seconds, LOOK_EVERY))
        self._look()

    def _look(self) -> float:
        """Do what must be done every second, whatever the broker does, and return the time."""
        now = self.show_life()
        self._publications.take_arrivals()
        self.note_room()
        self._publications.outbox.tick(now)
        return now

    def _store_rest(self) -> None:
        self._publications.meters.retained.save()
        self._publications.meters.save_devices(time.monotonic())
        self._publications.take_all_arrivals()
        waiting = self._publications.outbox.close(time.monotonic())
        if waiting:
            _log.warning(
                "%d telegrams wait for the broker in %s; the next start sends them", waiting, self._store.path
            )

    def _wait_for_handshake(self) -> None:
        """Wait for the end of a connection that was given up.

        OpenSSL takes itself down when the process ends, and crashes if another thread is at work in it. One
        that only waits for a slow peer does no harm, so this need not take long.
        """
        may_be_tls = self._config.tls or self._config.is_from_supervisor
        if may_be_tls and self._given_up is not None:
            self._given_up.wait(_WAIT_FOR_HANDSHAKE)


def _close(connecting: Task[Connection]) -> None:
    """Close a connection that was given up."""
    with contextlib.suppress(ConnectionFailed):
        connecting.result().close()
