"""The MQTT output of a gateway: its thread, and its door to the gateway."""

import logging
import time
from collections.abc import Iterable, Mapping

from smarty_gateway.config.values import Config, MqttConfig
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed
from smarty_gateway.outputs.mqtt.broker_output import BrokerOutput
from smarty_gateway.outputs.mqtt.connection import Connection, default_client_id
from smarty_gateway.outputs.mqtt.publications import Publications
from smarty_gateway.outputs.mqtt.session import Session
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.output import GatewayHealth, Health
from smarty_gateway.state.store import Store

_log = logging.getLogger(__name__)


class MqttOutput(BrokerOutput):
    """Hands readings to a broker."""

    def __init__(self, config: Config, mqtt: MqttConfig, store: Store, unnamed: Iterable[str] = ()) -> None:
        super().__init__("the MQTT output", mqtt, default_client_id(mqtt), Topics(mqtt.topic).status)
        self._store = store
        self._publications = Publications(config, mqtt, store, self.arrivals, unnamed)
        self.refused = self._publications.refused
        self._session: Session | None = None

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
        return self._has_work and not self.broker.is_away and self._thread.is_alive()

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
            self.store_rest()  # it arrived after the thread had failed

    # The thread

    def serve(self, connection: Connection) -> None:
        """Serve the broker over a connection until the output shall end."""
        self._session = Session(
            self.config, connection, self._publications, self.broker, self.stopping, self.look
        )
        self._session.run()

    def end_session(self, _failed: ConnectionFailed | None) -> None:
        """Close the connection, if there was one; what it has not delivered waits again."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
        self._publications.outbox.send_again()

    def take_message(self, topic: str, payload: bytes) -> None:
        """Take a message of a subscribed topic."""
        self._publications.take_message(topic, payload)

    def look(self) -> float:
        """Do what must be done every second, whatever the broker does, and return the time."""
        now = self.show_life()
        self._publications.take_arrivals()
        self.note_room()
        self._publications.outbox.tick(now)
        return now

    def store_rest(self) -> None:
        """Store what is not acknowledged."""
        self._publications.meters.retained.save()
        self._publications.meters.save_devices(time.monotonic())
        self._publications.take_all_arrivals()
        waiting = self._publications.outbox.close(time.monotonic())
        if waiting:
            _log.warning(
                "%d telegrams wait for the broker in %s; the next start sends them", waiting, self._store.path
            )
