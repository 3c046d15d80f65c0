"""One connection to a broker: opened, driven and closed by one thread.

paho's own loop ends at descriptor 1023 without a word, and its queue lives in memory and keeps the
oldest. So here one thread drives paho's `loop_read`, `loop_write` and `loop_misc` from a poll() of
its own, each connection has a client of its own, and what must not be lost is kept elsewhere.
Certificates and host names are always verified.
"""

import contextlib
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from smarty_gateway.config import MqttConfig
from smarty_gateway.mqtt.wake import WakePipe
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.small_file import UnreadableFileError, read_small_file

#: Less than the time in which a stop must be done.
_CONNECT_SECONDS: Final = 3.0
#: A broker that is frozen is found out after one and a half times as much.
_KEEP_ALIVE: Final = 30
#: How many messages may wait for their acknowledgement; Mosquitto's own limit is 20 in the other
#: direction, and a broker on a slow link must not be flooded.
MAX_IN_FLIGHT: Final = 100
#: With telegrams, which have a window of their own, and the goodbye.
_MOST_IN_FLIGHT: Final = MAX_IN_FLIGHT + 50


class ConnectionFailed(GatewayError):  # noqa: N818 - what happened, not a fault of the program
    """The broker cannot be reached, or refuses; the text says why and what to do."""


class ConnectionLost(ConnectionFailed):
    """An open connection ended, and nobody said why."""


class _TlsSocket(ssl.SSLSocket):
    """Is closed at once when nothing comes of it; paho would leave that to chance."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as it is declared
        self.settimeout(_CONNECT_SECONDS)  # before 2.2, paho waits for as long as it keeps alive
        try:
            super().do_handshake(block)
        except BaseException:  # whatever ends it, the socket must not stay open; it goes on from here
            self.close()
            raise


class Connection:
    """A connection that is being opened, or open.

    Args:
        config: names the broker.
        will_topic: gets `offline`, retained, when this connection breaks.
        on_message: takes what comes on subscribed topics.
        wake: ends a `wait`.

    Attributes:
        is_ready: the broker has let us in.
        is_proven: the broker has acknowledged a message.

    Raises:
        ConnectionFailed: there is no connection.
    """

    def __init__(
        self,
        config: MqttConfig,
        will_topic: str | None,
        on_message: Callable[[str, bytes], None],
        client_id: str,
        wake: WakePipe | None = None,
    ) -> None:
        self._config = config
        self._client_id = client_id
        self._wake = wake
        self._is_v5 = config.version == "5"
        self._refusal: str | None = None
        self._in_flight: dict[int, Callable[[], None]] = {}
        self._held: deque[tuple[str, bytes, bool, Callable[[], None]]] = deque()
        self._most_in_flight = _MOST_IN_FLIGHT
        self._on_message = on_message
        self.is_ready = False
        self.is_proven = False
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTv5 if self._is_v5 else MQTTv311,
            reconnect_on_failure=False,
        )
        self._client = client
        client.max_inflight_messages_set(self._most_in_flight)
        client.connect_timeout = _CONNECT_SECONDS
        if config.user is not None:
            client.username_pw_set(config.user, _password(config.password_file))
        if config.tls:
            client.tls_set_context(_tls_context(config))
        if will_topic is not None:
            client.will_set(will_topic, "offline", qos=1, retain=True)
        client.on_connect = self._connected
        client.on_publish = self._published
        client.on_message = self._received
        client.on_disconnect = self._disconnected
        try:
            client.connect(config.host, config.port, _KEEP_ALIVE)
        except ssl.SSLError as error:
            raise ConnectionFailed(_tls_words(config, error)) from None
        except OSError as error:
            raise ConnectionFailed(_network_words(config, error)) from None
        except UnicodeError:  # from idna, for what can be no name of a host
            raise ConnectionFailed(_unknown_host_words(config)) from None

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        done: Callable[[], None] | None = None,
    ) -> None:
        """Send a message; `done` is called when the broker has acknowledged it."""
        if not qos:
            self._client.publish(topic, payload, qos=0, retain=retain)
            return
        self._held.append((topic, payload, retain, done or _nothing))
        self._send_held()

    def _send_held(self) -> None:
        while self._held and len(self._in_flight) < self._most_in_flight:
            topic, payload, retain, done = self._held.popleft()
            self._in_flight[self._client.publish(topic, payload, qos=1, retain=retain).mid] = done

    def subscribe(self, topic: str) -> None:
        """Ask for the messages of a topic."""
        self._client.subscribe(topic, qos=1)

    @property
    def in_flight(self) -> int:
        """Count the messages that are not acknowledged, with those that the broker does not allow yet."""
        return len(self._in_flight) + len(self._held)

    def wait(self, seconds: float) -> None:
        """Let paho work until something has happened, or the time is over.

        Raises:
            ConnectionFailed: the connection is gone.
        """
        client = self._client
        connection = client.socket()
        if connection is None:
            raise self._end()
        poll = select.poll()
        poll.register(connection, select.POLLIN | (select.POLLOUT if client.want_write() else 0))
        if self._wake is not None:
            poll.register(self._wake, select.POLLIN)
        # TLS may hold decrypted bytes that poll() does not know of.
        pending = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        ready = dict(poll.poll(0 if pending else seconds * 1000))
        if self._wake is not None and self._wake.fileno() in ready:
            self._wake.drain()
        status = MQTTErrorCode.MQTT_ERR_SUCCESS
        if pending or connection.fileno() in ready:
            status = client.loop_read()
        if status == MQTTErrorCode.MQTT_ERR_SUCCESS and client.want_write():
            status = client.loop_write()
        if status == MQTTErrorCode.MQTT_ERR_SUCCESS:
            status = client.loop_misc()
        if self._refusal is not None or status != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._end()

    def _end(self) -> ConnectionFailed:
        if self._refusal is not None:
            return ConnectionFailed(self._refusal)
        return ConnectionLost(f"the connection to the broker {self._broker} broke")

    def close(self, *, politely: bool = False) -> None:
        """End the connection; politely, so that the broker keeps the last will to itself."""
        if politely:
            with contextlib.suppress(OSError, ValueError):
                self._client.disconnect()
                self._client.loop_write()
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    @property
    def _broker(self) -> str:
        return f"{self._config.host}:{self._config.port}"

    # What paho calls

    def _connected(
        self, _client: Client, _data: object, _flags: object, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._refusal = _refusal_words(self._config, code)
            return
        # paho does not heed what a broker of MQTT 5 allows; whatever is over it would end the connection.
        self._most_in_flight = min(self._most_in_flight, getattr(properties, "ReceiveMaximum", None) or 65535)
        self.is_ready = True

    def _published(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _properties: Properties
    ) -> None:
        done = self._in_flight.pop(mid, None)
        if done is None:
            return  # of QoS 0, which nobody acknowledges
        if code.is_failure:
            # MQTT 5 tells, 3.1.1 does not: without the right to write nothing would ever arrive.
            self._refusal = (
                f"the broker {self._broker} does not take the message: {code}; allow "
                f"{self._config.user or 'anonymous clients'} to write below {self._config.topic}/"
            )
            return
        self.is_proven = True
        done()
        self._send_held()

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._on_message(message.topic, bytes(message.payload))

    def _disconnected(
        self,
        _client: Client,
        _data: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        """Take note of the reason, which a broker may give under MQTT 5."""
        if not flags.is_disconnect_packet_from_server or self._refusal is not None:
            return
        self._refusal = f"the broker {self._broker} ends the connection: {code}"
        if str(code) == "Session taken over":
            self._refusal = (
                f"the broker {self._broker} ends the connection: another client uses the same client id "
                f"{self._client_id}; set another client_id (or topic) in one of the two"
            )


def default_client_id(config: MqttConfig) -> str:
    """Name the client as the contract says."""
    return config.client_id or f"{config.topic.replace('/', '-')}-{socket.gethostname()}"


def _nothing() -> None:
    pass


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return read_small_file(path).decode().strip("\r\n")
    except UnreadableFileError as error:
        raise ConnectionFailed(f"the password file {path} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise ConnectionFailed(f"the password file {path} cannot be read: it is no text") from None


def _tls_context(config: MqttConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if config.ca_file is None else str(config.ca_file))
        context.sslsocket_class = _TlsSocket
        if config.cert_file is not None:
            context.load_cert_chain(config.cert_file, config.key_file)
    except OSError as error:
        files = ", ".join(str(path) for path in (config.ca_file, config.cert_file, config.key_file) if path)
        raise ConnectionFailed(f"the certificates for the broker cannot be used ({files}): {error}") from None
    return context


def _tls_words(config: MqttConfig, error: ssl.SSLError) -> str:
    broker = f"{config.host}:{config.port}"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        advice = "name the CA that signed it with ca_file"
        if "expired" in why:
            advice = "renew it on the broker"
        elif "match" in why or "mismatch" in why.lower():
            advice = "use the host name that is in the certificate"
        return f"the certificate of the broker {broker} is not trusted: {why}; {advice}"
    return (
        f"no TLS with the broker {broker} ({error.reason or error}): is this its port for TLS (usually 8883)?"
    )


def _network_words(config: MqttConfig, error: OSError) -> str:
    broker = f"{config.host}:{config.port}"
    if isinstance(error, ConnectionRefusedError):
        return f"no broker answers at {broker}: is it running, and does it listen on this address?"
    if isinstance(error, socket.gaierror):
        return _unknown_host_words(config)
    if isinstance(error, TimeoutError):
        return f"the broker {broker} does not answer: is it switched on, and in this network?"
    return f"no connection to the broker {broker}: {error.strerror or error}"


def _unknown_host_words(config: MqttConfig) -> str:
    return f"no host is known as {config.host}: check the name of the broker"


def _refusal_words(config: MqttConfig, code: ReasonCode) -> str:
    broker = f"{config.host}:{config.port}"
    name = str(code)
    if name in ("Bad user name or password", "Not authorized"):
        if config.user is None:
            return (
                f"the broker {broker} wants a user and a password: write mqtt://USER@HOST and a password_file"
            )
        return f"the broker {broker} refuses user {config.user}: check the user and its password file"
    return f"the broker {broker} refuses the connection: {name}"
