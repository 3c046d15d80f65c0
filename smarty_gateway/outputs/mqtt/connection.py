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
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from paho.mqtt.client import Client, DisconnectFlags, MQTTMessage, MQTTv5, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from smarty_gateway.config.small_file import UnreadableFileError, read_small_file
from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.mqtt.wake import WakePipe
from smarty_gateway.protocol.errors import GatewayError

#: Less than the time in which a stop must be done.
_CONNECT_SECONDS: Final = 3.0
#: A broker that is frozen is found out after one and a half times as much.
_KEEP_ALIVE: Final = 30
#: How many messages may wait for their acknowledgement; Mosquitto's own limit is 20 in the other
#: direction, and a broker on a slow link must not be flooded.
MAX_IN_FLIGHT: Final = 100
#: With telegrams, which have a window of their own, and the goodbye.
_MOST_IN_FLIGHT: Final = MAX_IN_FLIGHT + 50


#: Reasons for which a broker of MQTT 5 ends a connection that one message may have given it.
_ABOUT_A_MESSAGE: Final = frozenset({0x80, 0x81, 0x82, 0x83, 0x87, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B})
_PUBACK_CODES: Final = frozenset({0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99})
_UNSPECIFIED: Final = 0x80
NOT_AUTHORIZED: Final = 0x87
TOPIC_NAME_INVALID: Final = 0x90
PACKET_TOO_LARGE: Final = 0x95
PAYLOAD_FORMAT_INVALID: Final = 0x99
RETAIN_NOT_SUPPORTED: Final = 0x9A
QOS_NOT_SUPPORTED: Final = 0x9B


class ConnectionFailed(GatewayError):  # noqa: N818 - what happened, not a fault of the program
    """The broker cannot be reached, or refuses; the text says why and what to do.

    Attributes:
        code: the reason code of MQTT 5, where the broker gave one.
    """

    def __init__(self, words: str, code: int | None = None) -> None:
        super().__init__(words)
        self.code = code

    @property
    def is_hang_up(self) -> bool:
        """True if a message may be the reason."""
        return self.code in _ABOUT_A_MESSAGE


class ConnectionLost(ConnectionFailed):
    """An open connection ended, and nobody said why."""

    @property
    def is_hang_up(self) -> bool:
        """True if a message may be the reason."""
        return True


class _Client(Client):
    """What paho keeps to itself: pings, and reasons that it does not know.

    A broker answers in order, so the PINGRESP to a PINGREQ that follows a message of QoS 0 says that
    the message was taken. paho has no public ping: it sends one only when all has been silent. And it
    ends the connection at a PUBACK whose reason is not in MQTT 5, 3.4.2.1, as 0x95 is not.

    Attributes:
        puback_code: of the PUBACK that is being handled.
    """

    pings_sent = 0
    pings_answered = 0
    puback_code = 0

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        self.puback_code = packet[2] if len(packet) > 2 else 0
        if self.puback_code not in _PUBACK_CODES:
            packet[2] = _UNSPECIFIED
        return super()._handle_pubackcomp(cmd)

    def _send_pingreq(self) -> MQTTErrorCode:
        self.pings_sent += 1
        return super()._send_pingreq()

    def _handle_pingresp(self) -> MQTTErrorCode:
        self.pings_answered += 1
        return super()._handle_pingresp()

    def ping(self) -> None:
        """Send a PINGREQ unless one is on its way."""
        if self.pings_sent == self.pings_answered:
            self._send_pingreq()


@dataclass(frozen=True, slots=True)
class Will:
    """How `offline` is left behind when a connection breaks; not every broker takes the best way."""

    topic: str
    qos: int = 1
    retain: bool = True


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
        will: the topic that gets `offline` when this connection breaks.
        on_message: takes what comes on subscribed topics.
        wake: ends a `wait`.

    Attributes:
        is_ready: the broker has let us in.
        is_proven: the broker has acknowledged a message.
        max_packet_size: bytes of the longest packet that it takes, where it says so.
        may_retain: it keeps retained messages; without, they are sent like others.
        max_qos: what is meant for QoS 1 goes out with QoS 0 where it takes no more.

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
        self._config = config
        self._client_id = client_id
        self._wake = wake
        self._is_v5 = config.version == "5"
        self._refusal: ConnectionFailed | None = None
        self._in_flight: dict[int, _Waiting] = {}
        self._held: deque[_Waiting] = deque()
        self._unanswered: deque[tuple[int, Callable[[], None]]] = deque()  # and by which ping they will be
        self._most_in_flight = _MOST_IN_FLIGHT
        self._on_message = on_message
        self.is_ready = False
        self.is_proven = False
        self.max_packet_size: int | None = None
        self.may_retain = True
        self.max_qos = 1
        client = _Client(
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
        if will is not None:
            client.will_set(will.topic, "offline", qos=will.qos, retain=will.retain)
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

    def publish(  # noqa: PLR0913 - what MQTT knows of a message, and two answers
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        done: Callable[[], None] | None = None,
        refused: Callable[[int], None] | None = None,
    ) -> None:
        """Send a message.

        Args:
            topic: where to.
            payload: what.
            qos: 0 or 1.
            retain: the broker shall keep it.
            done: is called when the broker has it: acknowledged it or, with QoS 0, answered a ping behind it.
            refused: is called with the reason code if the broker does not take it; without, that ends
                the connection.
        """
        waiting = _Waiting(topic, payload, retain and self.may_retain, done or _nothing, refused)
        if min(qos, self.max_qos):
            self._held.append(waiting)
            self._send_held()
        else:
            self._client.publish(topic, payload, qos=0, retain=waiting.retain)
            self._unanswered.append((self._client.pings_sent + 1, waiting.done))

    def _send_held(self) -> None:
        while self._held and len(self._in_flight) < self._most_in_flight:
            waiting = self._held.popleft()
            sent = self._client.publish(waiting.topic, waiting.payload, qos=1, retain=waiting.retain)
            self._in_flight[sent.mid] = waiting

    def _take_answers(self) -> None:
        while self._unanswered and self._unanswered[0][0] <= self._client.pings_answered:
            self.is_proven = True
            self._unanswered.popleft()[1]()

    def subscribe(self, topic: str) -> None:
        """Ask for the messages of a topic."""
        self._client.subscribe(topic, qos=1)

    @property
    def in_flight(self) -> int:
        """Count the messages that are not acknowledged, with those that the broker does not allow yet."""
        return len(self._in_flight) + len(self._held) + len(self._unanswered)

    def wait(self, seconds: float) -> None:
        """Let paho work until something has happened, or the time is over.

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
        if self._refusal is not None or status != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise self._end()

    def _end(self) -> ConnectionFailed:
        if self._refusal is not None:
            return self._refusal
        if not self.is_ready:
            return ConnectionFailed(_no_answer_words(self._config))
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
            self._refusal = ConnectionFailed(_refusal_words(self._config, code), code.value)
            return
        # paho does not heed what a broker of MQTT 5 allows; whatever is over it would end the connection.
        self._most_in_flight = min(self._most_in_flight, getattr(properties, "ReceiveMaximum", None) or 65535)
        self.max_packet_size = getattr(properties, "MaximumPacketSize", None)
        self.may_retain = getattr(properties, "RetainAvailable", 1) != 0
        self.max_qos = getattr(properties, "MaximumQoS", 1)
        self.is_ready = True

    def _published(
        self, _client: Client, _data: object, mid: int, code: ReasonCode, _properties: Properties
    ) -> None:
        waiting = self._in_flight.pop(mid, None)
        if waiting is None:
            return  # of QoS 0, which nobody acknowledges
        if not code.is_failure:
            self.is_proven = True
            waiting.done()
        elif waiting.refused is not None:
            waiting.refused(self._client.puback_code)
        else:
            why = refused_words(self._config, waiting.topic, self._client.puback_code)
            self._refusal = ConnectionFailed(why, self._client.puback_code)
        self._send_held()

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # a broker should not have taken it; nothing that we ask for is named so
        self._on_message(topic, bytes(message.payload))

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
        why = str(code)
        if why == "Session taken over":
            why = (
                f"another client uses the same client id {self._client_id}; set another client_id (or topic) "
                "in one of the two"
            )
        self._refusal = ConnectionFailed(f"the broker {self._broker} ends the connection: {why}", code.value)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A message of QoS 1 without its acknowledgement."""

    topic: str
    payload: bytes
    retain: bool
    done: Callable[[], None]
    refused: Callable[[int], None] | None


def default_client_id(config: MqttConfig) -> str:
    """Name the client as the contract says."""
    return config.client_id or f"{config.topic.replace('/', '-')}-{socket.gethostname()}"


def packet_size(topic: str, payload: bytes, *, qos: int, version: str) -> int:
    """Return the bytes of a PUBLISH packet (MQTT 5, 3.3)."""
    rest = 2 + len(topic.encode()) + (2 if qos else 0) + (version == "5") + len(payload)
    return 2 + (rest > 127) + (rest > 16_383) + (rest > 2_097_151) + rest


def refused_words(config: MqttConfig, topic: str, code: int) -> str:
    """Say that the broker does not take a message, and what helps."""
    advice = "it is tried again"
    if code == NOT_AUTHORIZED:
        root = config.topic if topic.startswith(f"{config.topic}/") else topic.partition("/")[0]
        advice = f"allow {config.user or 'anonymous clients'} to write below {root}/"
    return (
        f"the broker {config.host}:{config.port} does not take the message to {topic}: {reason_words(code)}; "
        f"{advice}"
    )


def reason_words(code: int) -> str:
    """Return what a reason code of a PUBACK means."""
    if code == PACKET_TOO_LARGE:
        return "Packet too large"
    if code not in _PUBACK_CODES:
        return f"reason 0x{code:02X}"
    return str(ReasonCode(PacketTypes.PUBACK, identifier=code))


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


def _no_answer_words(config: MqttConfig) -> str:
    broker = f"{config.host}:{config.port}"
    port = "for TLS" if config.tls else "without TLS"
    if config.version == "5":
        return (
            f"the broker {broker} hangs up before it lets us in: is this its port {port}, and does it know "
            "MQTT 5?"
        )
    return (
        f"the broker {broker} hangs up before it lets us in: is this its port {port}? It may also refuse a "
        "retained message or QoS 1 as the last will (retain_available and max_qos in its settings); "
        'version: "5" below mqtt: lets it say so'
    )
