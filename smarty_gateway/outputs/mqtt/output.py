"""The MQTT output: the thread that opens one connection after the other, and its door to the gateway."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from smarty_gateway.config.values import Config, MqttConfig
from smarty_gateway.logs import crash_of
from smarty_gateway.outputs.mqtt.broker_errors import (
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    ConnectionFailed,
)
from smarty_gateway.outputs.mqtt.broker_status import BrokerStatus
from smarty_gateway.outputs.mqtt.connecting import Connecting
from smarty_gateway.outputs.mqtt.connection import Connection, Will, default_client_id
from smarty_gateway.outputs.mqtt.publications import Publications
from smarty_gateway.outputs.mqtt.session import Session, Stop
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.mqtt.wake import WakePipe
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.state.store import Store

_log = logging.getLogger(__name__)

#: Seconds to the next attempt after the broker closed the connection because of a message.
_QUICK_DELAY: Final = 0.25
_LOOK_EVERY: Final = 1.0
#: Of the seconds for a stop, what is kept for the store and for closing.
_LAST_STEPS: Final = 1.0
_WAIT_FOR_HANDSHAKE: Final = 0.5
_ANSWER_WITHIN: Final = 10.0


class MqttOutput:
    """Hands readings to a broker.

    Attributes:
        name: as in the configuration.
        beat: when its thread last showed that it lives, by the monotonic clock.
        is_over: never, as the broker may return.
        failure: why it can never work again.
        refused: what the broker refuses; any thread may ask.
    """

    def __init__(self, config: Config, mqtt: MqttConfig, store: Store, unnamed: Iterable[str] = ()) -> None:
        self.name = "mqtt"
        self.beat: float | None = None
        self.is_over = False
        self.failure: str | None = None
        self._config = mqtt
        self._store = store
        self._publications = Publications(config, mqtt, store, unnamed)
        self.refused = self._publications.refused
        self._status = BrokerStatus(mqtt)
        self._will = Will(Topics(mqtt.topic).status)
        self._session: Session | None = None
        self._given_up: Connecting | None = None
        self._stop = Stop()
        self._wake = WakePipe()
        self._thread = threading.Thread(target=self._run, name="MQTT", daemon=True)

    # Called by other threads

    def start(self) -> None:
        """Start the thread."""
        self.beat = time.monotonic()
        self._thread.start()

    def publish(self, reading: Reading) -> None:
        """Take a reading; a recording waits while there are too many, a port never does."""
        if not reading.is_live:
            self._publications.wait_for_room(lambda: self._stop.is_requested)
        self._publications.arrivals.put(reading)
        self._wake.wake()

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Take the health of meters and gateway."""
        self._publications.report(health, gateway)

    def forget(self, meter: str) -> None:
        """Empty the topics of a meter that the configuration does not name and that is gone.

        One that has a name now is announced under it first (see `Meters`).
        """
        self._publications.meters.gone.append(meter)
        self._wake.wake()

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
        self._stop.by = time.monotonic() + max(0.0, seconds - _LAST_STEPS)
        self._wake.wake()
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.error("the MQTT output did not end in time")
        elif self._publications.arrivals:
            self._store_rest()  # it arrived after the thread had failed

    # The thread

    def _run(self) -> None:
        for step in (self._work, self._store_rest, self._wait_for_handshake, self._wake.close):
            if crash := crash_of(step):
                self.failure = self.failure or f"the MQTT output failed: {crash}"

    def _work(self) -> None:
        self._serve_once()  # even if a stop was requested already: a recording may be short
        while not self._stop.is_requested:
            self._wait_offline()
            self._serve_once()

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
                    self._stop,
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
        connecting = Connecting(
            partial(Connection, self._config, self._will, take_message, client_id, self._wake),
            self._wake.wake,
        )
        started = time.monotonic()
        while (connection := connecting.take()) is None:
            now = time.monotonic()
            if self._stop.is_requested and (now >= self._stop.by or self._status.is_away):
                connecting.give_up()
                self._given_up = connecting
                return None
            if now - started > _ANSWER_WITHIN:
                self._status.note_no_answer()
            self._wait_without_broker(self._stop.by - now)
        return connection

    def _wait_offline(self) -> None:
        now = time.monotonic()
        until = now + (_QUICK_DELAY if self.refused.is_quick(now) else self._status.next_delay())
        while not self._stop.is_requested and (left := until - time.monotonic()) > 0:
            self._wait_without_broker(left)

    def _wait_without_broker(self, seconds: float) -> None:
        self._wake.wait(min(seconds, _LOOK_EVERY))
        self._look()

    def _look(self) -> float:
        """Do what must be done every second, whatever the broker does, and return the time."""
        self.beat = now = time.monotonic()
        self._publications.take_arrivals()
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
        if self._config.tls and self._given_up is not None:
            self._given_up.thread.join(_WAIT_FOR_HANDSHAKE)
