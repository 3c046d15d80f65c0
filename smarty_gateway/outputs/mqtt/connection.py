"""One connection to a broker: opened, driven and closed by one thread.

paho's own loop fails silently at descriptor 1024. So one thread drives paho's `loop_read`, `loop_write` and
`loop_misc` from a poll() of its own, and each connection has a client of its own. Certificates and host names
are always verified.
"""

import contextlib
import select
import socket
import ssl
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from smarty_gateway.config.credentials import credential_or
from smarty_gateway.config.small_file import UnreadableFileError, read_small_file
from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.certificates import unusable_ca
from smarty_gateway.outputs.mqtt.broker_errors import (
    PUBACK_CODES,
    UNSPECIFIED,
    ConnectionFailed,
    ConnectionLost,
    network_failure,
    no_answer,
    refused_connection,
    refused_message,
    unusable_certificate,
)
from smarty_gateway.outputs.mqtt.supervisor import with_named_broker
from smarty_gateway.outputs.wake import WakePipe

#: Less than the time in which a stop must be done.
_CONNECT_SECONDS: Final = 3.0
#: A broker that is frozen is detected after one and a half times as much.
_KEEP_ALIVE: Final = 30
#: Messages that may wait for their acknowledgement: a broker on a slow link must not be flooded, and all of
#: them are sent again after a lost connection.
_WINDOW: Final = 120


class _Client(Client):
    """Adds what paho keeps private: pings, and reasons that it does not know.

    A broker answers in order, so the PINGRESP to a PINGREQ that follows a message of QoS 0 shows that the
    message has arrived. paho has no public ping: it sends one only after a silence. And it ends the
    connection at a PUBACK whose reason is not in MQTT 5, 3.4.2.1, as 0x95 is not.

    Attributes:
        puback_code: of the PUBACK that is being handled.
    """

    pings_sent = 0
    pings_answered = 0
    puback_code = 0

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        self.puback_code = packet[2] if len(packet) > 2 else 0
        if self.puback_code not in PUBACK_CODES:
            packet[2] = UNSPECIFIED
        return super()._handle_pubackcomp(cmd)

    def _send_pingreq(self) -> MQTTErrorCode:
        self.pings_sent += 1
        return super()._send_pingreq()

    def _handle_pingresp(self) -> MQTTErrorCode:
        self.pings_answered += 1
        return super()._handle_pingresp()

    def ping(self) -> None:
        """Send a PINGREQ unless one is in flight."""
        if self.pings_sent == self.pings_answered:
            self._send_pingreq()


@dataclass(frozen=True, slots=True)
class Will:
    """How `offline` is left behind when a connection breaks; not every broker accepts the best way."""

    topic: str
    qos: int = 1
    retain: bool = True


class _TlsSocket(ssl.SSLSocket):
    """Is closed at once when its handshake fails; paho would leave that to the garbage collector."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - as it is declared
        self.settimeout(_CONNECT_SECONDS)  # before 2.2, paho waits for as long as it keeps alive
        try:
            super().do_handshake(block)
        except BaseException:  # re-raised: whatever ends it, the socket must not stay open
            self.close()
            raise


class Connection:
    """A connection that is being opened, or open.

    Args:
        config: names the broker, or leaves that to Home Assistant's Supervisor.
        will: the topic that gets `offline` when this connection breaks.
        on_message: takes what arrives on subscribed topics.
        wake: ends a `wait`.

    Attributes:
        config: with address, user and password of this connection.
        is_ready: the broker has accepted the connection.
        is_proven: the broker has acknowledged a message.
        window: how many messages may be in flight; the caller keeps to it, and nothing queues here.
        max_packet_size: bytes of the longest packet that the broker accepts, where it says so.
        may_retain: it keeps retained messages; if not, they are sent like others.
        max_qos: what is meant for QoS 1 goes out with QoS 0 where it accepts no more.

    Raises:
        ConnectionFailed: there is no connection.
    """

    def __init__(
        self,
        config: MqttConfig,
        will: Will | None,
        on_message: Callable[[str, bytes], None],
        client_id: str,
        wake: WakePipe | None = None,
    ) -> None:
        config = with_named_broker(config) if config.is_from_supervisor else _with_password(config)
        self.config = config
        self._wake = wake
        self._on_message = on_message
        self._failure: ConnectionFailed | None = None
        self._unacknowledged: dict[int, _InFlight] = {}
        self._unanswered: deque[tuple[int, Callable[[], None]]] = deque()  # QoS 0: which ping covers it
        self.is_ready = False
        self.is_proven = False
        self.window = _WINDOW
        self.max_packet_size: int | None = None
        self.may_retain = True
        self.max_qos = 1
        self._client_id = client_id
        self._client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTv5 if config.version == "5" else MQTTv311,
            reconnect_on_failure=False,
        )
        self._configure(self._client, will)
        try:
            self._client.connect(config.host, config.port, _KEEP_ALIVE)
        except (OSError, UnicodeError) as error:
            raise network_failure(config, error) from None

    def _configure(self, client: _Client, will: Will | None) -> None:
        config = self.config
        client.max_inflight_messages_set(self.window)
        client.connect_timeout = _CONNECT_SECONDS
        if config.user is not None:
            client.username_pw_set(config.user, config.password)
        if config.tls:
            client.tls_set_context(_tls_context(config))
        if will is not None:
            client.will_set(will.topic, "offline", qos=will.qos, retain=will.retain)
        client.on_connect = self._connected
        client.on_publish = self._published
        client.on_message = self._received
        client.on_disconnect = self._disconnected

    def publish(  # noqa: PLR0913 - what MQTT knows of a message, and two answers
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry: int | None = None,
        done: Callable[[], None] = lambda: None,
        refused: Callable[[int], None] | None = None,
    ) -> None:
        """Send a message.

        Args:
            topic: where to.
            payload: what.
            qos: 0 or 1.
            retain: the broker shall keep it.
            expiry: seconds after which a broker of MQTT 5 deletes it; others keep it.
            done: is called when the broker has it: acknowledged it or, with QoS 0, answered a ping behind it.
            refused: is called with the reason code if the broker does not accept it; without, that ends
                the connection.
        """
        qos = min(qos, self.max_qos)
        properties = None
        if expiry is not None and self.config.version == "5":
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho
            properties.MessageExpiryInterval = expiry
        sent = self._client.publish(
            topic, payload, qos=qos, retain=retain and self.may_retain, properties=properties
        )
        if qos:
            self._unacknowledged[sent.mid] = _InFlight(topic, done, refused)
        else:
            self._unanswered.append((self._client.pings_sent + 1, done))

    def subscribe(self, topic: str) -> None:
        """Ask for the messages of a topic."""
        self._client.subscribe(topic, qos=1)

    @property
    def in_flight(self) -> int:
        """The number of messages that are not acknowledged."""
        return len(self._unacknowledged) + len(self._unanswered)

    def wait(self, seconds: float) -> None:
        """Drive the connection until something has happened, or the time is over.

        Raises:
            ConnectionFailed: the connection is gone.
        """
        client = self._client
        if self._unanswered:
            client.ping()
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
        self._take_answers()
        if self._failure is not None or status != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._end()

    def _take_answers(self) -> None:
        while self._unanswered and self._unanswered[0][0] <= self._client.pings_answered:
            self.is_proven = True
            self._unanswered.popleft()[1]()

    def _end(self) -> ConnectionFailed:
        if self._failure is not None:
            return self._failure
        if not self.is_ready:
            return no_answer(self.config)
        return ConnectionLost(f"the connection to the broker {self.config.address} broke")

    def bound_kernel(self, seconds: float) -> None:
        """Make the kernel hand messages on at once, and give the connection up where it cannot (Linux).

        Args:
            seconds: for which the peer's kernel may acknowledge nothing.
        """
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 1)
            # Else one message would wait for the acknowledgement of the one before.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def is_writable(self) -> bool:
        """True if nothing waits here or, after `bound_kernel`, in the kernel: a message goes out at once."""
        connection = self._client.socket()
        if connection is None or self._client.want_write():
            return False
        poll = select.poll()
        poll.register(connection, select.POLLOUT)
        return bool(poll.poll(0))

    def abort(self) -> None:
        """End the connection at once, and discard what the kernel has not sent."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    def close(self, *, politely: bool = False) -> None:
        """End the connection; politely, so that the broker does not send the last will."""
        if politely:
            with contextlib.suppress(OSError, ValueError):
                self._client.disconnect()
                self._client.loop_write()
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    # Callbacks of paho

    def _connected(
        self, _client: Client, _data: object, _flags: object, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.is_failure:
            self._failure = refused_connection(self.config, code)
            return
        # paho ignores what a broker of MQTT 5 allows; whatever exceeds it would end the connection.
        self.window = min(_WINDOW, getattr(properties, "ReceiveMaximum", None) or _WINDOW)
        self.max_packet_size = getattr(properties, "MaximumPacketSize", None)
        self.may_retain = getattr(properties, "RetainAvailable", 1) != 0
        self.max_qos = getattr(properties, "MaximumQoS", 1)
        self.is_ready = True

    def _published(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _properties: Properties
    ) -> None:
        message = self._unacknowledged.pop(mid, None)
        if message is None:
            return  # of QoS 0, which has no acknowledgement
        if not code.is_failure:
            self.is_proven = True
            message.done()
        elif message.refused is not None:
            message.refused(self._client.puback_code)
        else:
            why = refused_message(self.config, message.topic, self._client.puback_code)
            self._failure = ConnectionFailed(why, self._client.puback_code)

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # a broker should not have accepted it; no topic that we subscribe to is like that
        self._on_message(topic, bytes(message.payload))

    def _disconnected(
        self,
        _client: Client,
        _data: object,
        flags: DisconnectFlags,
        code: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        """Keep the reason, which a broker of MQTT 5 may give."""
        if not flags.is_disconnect_packet_from_server or self._failure is not None:
            return
        why = str(code)
        if why == "Session taken over":
            why = (
                f"another client uses the same client id {self._client_id}; set another client_id (or topic) "
                "in one of the two"
            )
        self._failure = ConnectionFailed(
            f"the broker {self.config.address} ends the connection: {why}", code.value
        )


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A message of QoS 1 without its acknowledgement."""

    topic: str
    done: Callable[[], None]
    refused: Callable[[int], None] | None


def default_client_id(config: MqttConfig) -> str:
    """Return the configured client id, else one made from topic and host name."""
    return config.client_id or f"{config.topic.replace('/', '-')}-{socket.gethostname()}"


def packet_size(topic: str, length: int, *, qos: int, version: str, expires: bool = False) -> int:
    """Return the bytes of a PUBLISH packet (MQTT 5, 3.3) for a payload of this length."""
    properties = (version == "5") * (1 + 5 * expires)
    rest = 2 + len(topic.encode()) + (2 if qos else 0) + properties + length
    return 2 + (rest > 127) + (rest > 16_383) + (rest > 2_097_151) + rest


def _with_password(config: MqttConfig) -> MqttConfig:
    path = config.password_file
    if config.user is None or config.password is not None or path is None:
        return config
    try:
        return replace(config, password=read_small_file(credential_or(path)).decode().strip("\r\n"))
    except UnreadableFileError as error:
        raise ConnectionFailed(f"the password file {path} cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise ConnectionFailed(f"the password file {path} cannot be read: it is not text") from None


def _tls_context(config: MqttConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
    except OSError as error:
        raise ConnectionFailed(unusable_ca(config.ca_file, error, "broker")) from None
    context.sslsocket_class = _TlsSocket
    if config.cert_file is not None:
        key = None if config.key_file is None else credential_or(config.key_file)
        try:
            context.load_cert_chain(config.cert_file, key)
        except OSError as error:
            raise unusable_certificate(config, error) from None
    return context
