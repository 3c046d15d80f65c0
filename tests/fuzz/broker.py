"""What a broker sends: a connection survives any answer or ends with its one error."""

import socket
from dataclasses import replace
from functools import partial
from typing import Final

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed
from smarty_gateway.outputs.mqtt.connection import Connection, Will
from tests.fuzz.folder import FOLDER
from tests.fuzz.picker import Picker
from tests.fuzz.secrets import PASSWORD, assert_no_secret

_CONNECT_REFUSALS: Final = (0x80, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x95, 0x97, 0x9A, 0x9B, 0x9F)
_CONNECT_REFUSALS_3: Final = (1, 2, 3, 4, 5, 6, 0x80, 0xFF)
_PUBLISH_CODES: Final = (0x00, 0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
_DISCONNECT_CODES: Final = (
    0x00,
    0x81,
    0x82,
    0x87,
    0x89,
    0x8B,
    0x8D,
    0x8E,
    0x90,
    0x93,
    0x94,
    0x95,
    0x98,
    0x9C,
    0xA1,
)
_TOPICS: Final = (
    b"homeassistant/status",
    b"smarty/house/state",
    b"",
    b"a/b",
    "é".encode(),
    b"\xff\xfe",
    b"a\x00b",
    b"x" * 3000,
)
_PAYLOADS: Final = (b"online", b"offline", b"", b"\x00\xff", b"x" * 5000)
#: Receive Maximum, Maximum QoS, Retain Available, Maximum Packet Size, client identifier, reason string.
_PROPERTIES: Final = (
    b"\x21\x00\x01", b"\x21\xff\xff", b"\x24\x00", b"\x24\x01", b"\x25\x00", b"\x25\x01",
    b"\x27\x00\x00\x00\x10",
    b"\x27\x00\x00\x00\x01", b"\x12\x00\x02me", b"\x1f\x00\x04no\x0a!",
)  # fmt: skip
_MOST: Final = 12


def check_one(data: bytes) -> None:
    """Raise an exception if a broker that sends this brings anything else than the error of a connection."""
    picker = Picker(data)
    config = replace(_CONFIG, version=picker.choice(("3.1.1", "5")))
    broker = _Script(picker, is_v5=config.version == "5")
    dialogue: _Dialogue | None = None
    try:
        dialogue = _Dialogue(config)
        dialogue.hear(broker.greeting())
        for step in picker.items(_MOST, lambda: picker.number(0, 3)):
            if step == 0:
                dialogue.publish(picker)
            else:
                dialogue.hear(broker.packet())
    except ConnectionFailed as failed:
        assert str(failed).isprintable(), "an error is more than one line"
        assert_no_secret(str(failed))
    finally:
        if dialogue is not None:
            dialogue.close()


class _Script:
    """Writes the packets of a broker: right in their layout, with any content."""

    def __init__(self, picker: Picker, *, is_v5: bool) -> None:
        self._picker = picker
        self._is_v5 = is_v5

    def greeting(self) -> bytes:
        """Return the answer to CONNECT, which most brokers begin with."""
        if self._picker.one_in(10):
            return self.packet()
        if self._picker.one_in(3):
            refusal = self._picker.choice(_CONNECT_REFUSALS if self._is_v5 else _CONNECT_REFUSALS_3)
            return self._connack(refusal)
        return self._connack(0)

    def packet(self) -> bytes:
        """Return any packet that a broker may send, or may not at this moment."""
        picker = self._picker
        kinds = (
            self._puback, self._publish, self._puback, self._publish, self._suback, self._disconnect,
            lambda: b"\xd0\x00", lambda: self._connack(0), self._other,
        )  # fmt: skip
        return picker.choice(kinds)()

    def _connack(self, code: int) -> bytes:
        return _packet(
            0x20,
            bytes([self._picker.number(0, 1), code]) + self._properties(self._picker.choice(_PROPERTIES)),
        )

    def _puback(self) -> bytes:
        code = self._picker.choice(_PUBLISH_CODES) if self._is_v5 else 0
        return _packet(
            0x40, self._message_id() + (bytes([code]) + self._properties(b"") if self._is_v5 else b"")
        )

    def _publish(self) -> bytes:
        picker = self._picker
        qos = picker.number(0, 2)
        topic = picker.choice(_TOPICS)
        head = len(topic).to_bytes(2, "big") + topic + (self._message_id() if qos else b"")
        kind = 0x30 | qos << 1 | picker.number(0, 1)
        return _packet(kind, head + self._properties(b"") + picker.choice(_PAYLOADS))

    def _suback(self) -> bytes:
        codes = bytes([self._picker.choice((0, 1, 0x80))])
        return _packet(0x90, self._message_id() + self._properties(b"") + codes)

    def _disconnect(self) -> bytes:
        code = self._picker.choice(_DISCONNECT_CODES)
        return _packet(0xE0, bytes([code]) + self._properties(b"\x1f\x00\x02no") if self._is_v5 else b"")

    def _other(self) -> bytes:
        """PUBREC, PUBREL and PUBCOMP of the QoS that is never used."""
        return _packet(self._picker.choice((0x50, 0x62, 0x70)), self._message_id())

    def _message_id(self) -> bytes:
        return self._picker.choice((1, 2, 3, 4, 5, 0, 0xFFFF)).to_bytes(2, "big")

    def _properties(self, properties: bytes) -> bytes:
        if not self._is_v5:
            return b""
        chosen = properties if self._picker.one_in(3) else b""
        return bytes([len(chosen)]) + chosen


def _packet(kind: int, body: bytes) -> bytes:
    length, head = len(body), bytearray([kind])
    while True:
        length, byte = divmod(length, 128)
        head.append(byte | 0x80 if length else byte)
        if not length:
            return bytes(head) + body


# The connection, and the other end of its socket: one thread is enough, for the system takes in what is sent.


class _Dialogue:
    """A connection, and a peer that says what it is told to."""

    def __init__(self, config: MqttConfig) -> None:
        self.connection = Connection(config, Will("smarty/status"), self._received, "fuzz")
        self._peer, _ = _LISTENER.accept()
        # A reset leaves nothing behind, or thousands of connections would use up all ports.
        self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self._acknowledged: list[int] = []
        self._sent = 0

    def publish(self, picker: Picker) -> None:
        """Send a message, or subscribe to a topic."""
        if picker.one_in(4):
            self.connection.subscribe("homeassistant/status")
            return
        qos = picker.number(0, 1)
        done = partial(self._acknowledged.append, self._sent)
        self.connection.publish("smarty/house/state", b"{}", qos=qos, retain=picker.one_in(2), done=done)
        self._sent += 1

    def hear(self, packet: bytes) -> None:
        """Send a packet from the broker, and read it."""
        self._peer.sendall(packet)
        for _ in range(3):  # it reads a packet at a time, answers it, and sends what that allows
            self.connection.wait(0.0)
        assert len(set(self._acknowledged)) == len(self._acknowledged), "a message is done twice"
        assert 0 <= self.connection.in_flight + len(self._acknowledged) <= self._sent

    def close(self) -> None:
        """End both sides."""
        self._peer.close()
        self.connection.close()

    def _received(self, topic: str, payload: bytes) -> None:
        assert isinstance(topic, str)
        assert isinstance(payload, bytes)


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def _config(port: int) -> MqttConfig:
    password_file = FOLDER / "mqtt.password"
    password_file.write_text(PASSWORD, "utf-8")
    return MqttConfig("127.0.0.1", port, user="me", password_file=password_file)


_LISTENER: Final = _listener()
_CONFIG: Final = _config(_LISTENER.getsockname()[1])
