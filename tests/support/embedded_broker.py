"""A broker for machines without Mosquitto: MQTT 3.1.1 and 5, QoS 0 and 1, retained messages, last wills.

It is a process, so that tests can kill and suspend it like Mosquitto. It logs what Mosquitto logs. Retained
messages and sessions, with what these wait for, are in a file and survive it.
"""

import contextlib
import json
import pickle
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

_CONNECT, _PUBLISH, _PUBACK, _SUBSCRIBE, _PING, _DISCONNECT = 1, 3, 4, 8, 12, 14


class _Body:
    """The content of a packet, read from front to end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def text(self) -> bytes:
        return self.take(self.number())

    def skip_properties(self, *, are_there: bool) -> None:
        if are_there:
            self.take(_length(self.byte))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)


def _length(next_byte: Callable[[], int]) -> int:
    length = shift = 0
    while True:
        byte = next_byte()
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return length


def _packet(kind: int, body: bytes) -> bytes:
    length, head = len(body), bytearray([kind])
    while True:
        length, byte = divmod(length, 128)
        head.append(byte | 0x80 if length else byte)
        if not length:
            return bytes(head) + body


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _matches(topic: str, pattern: str) -> bool:
    levels, wanted = topic.split("/"), pattern.split("/")
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(levels) or level not in ("+", levels[at]):
            return False
    return len(levels) == len(wanted)


class _Message(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    is_retained: bool


@dataclass
class _Session:
    """The subscriptions of a client, and by packet id what it has not acknowledged."""

    filters: set[str] = field(default_factory=set)
    waiting: dict[int, _Message] = field(default_factory=dict)
    last_id: int = 0


class _Broker:
    def __init__(self, options: dict[str, Any]) -> None:
        state = Path(options["state"])
        self.lock = threading.RLock()
        self.users: dict[str, str] | None = options["users"]
        self.hangs_up_on: list[str] = options["hangs_up_on"]
        self.answers: dict[str, int] = options["answers"]
        self.retained: dict[str, _Message] = {}
        self.sessions: dict[str, _Session] = {}
        self.clients: dict[str, _Client] = {}
        self._state = state
        if state.exists():
            self.retained, self.sessions = pickle.loads(state.read_bytes())  # noqa: S301 - its own file

    def say(self, words: str) -> None:
        sys.stderr.write(f"{time.time():.3f}: {words}\n")
        sys.stderr.flush()

    def save(self) -> None:
        part = self._state.with_suffix(".part")
        part.write_bytes(pickle.dumps((self.retained, self.sessions)))
        part.replace(self._state)

    def publish(self, message: _Message) -> None:
        with self.lock:
            if message.is_retained and message.payload:
                self.retained[message.topic] = message
            elif message.is_retained:
                self.retained.pop(message.topic, None)
            for name, session in self.sessions.items():
                if any(_matches(message.topic, pattern) for pattern in session.filters):
                    self.deliver(name, session, message._replace(is_retained=False))
            self.save()

    def deliver(self, name: str, session: _Session, message: _Message) -> None:
        session.last_id = session.last_id % 65535 + 1
        if message.qos:
            session.waiting[session.last_id] = message
        if (client := self.clients.get(name)) is not None:
            client.hand_over(session.last_id, message)


class _Client:
    def __init__(self, broker: _Broker, connection: socket.socket) -> None:
        self._broker = broker
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._is_v5 = False
        self._no_properties = b""
        self._name = ""
        self._keeps_session = False
        self._will: _Message | None = None

    def hand_over(self, packet_id: int, message: _Message) -> None:
        head = _string(message.topic.encode()) + (packet_id.to_bytes(2, "big") if message.qos else b"")
        first = 0x30 | message.qos << 1 | message.is_retained
        self._send(_packet(first, head + self._no_properties + message.payload))

    def serve(self) -> None:
        broker = self._broker
        with contextlib.suppress(OSError, EOFError):
            if self._welcome():
                while self._answer():
                    pass
                self._will = None
        with broker.lock:
            if broker.clients.get(self._name) is self:
                del broker.clients[self._name]
                if not self._keeps_session:
                    broker.sessions.pop(self._name, None)
            if self._will is not None:
                broker.publish(self._will)

    def _welcome(self) -> bool:
        kind, data = self._receive()
        body = _Body(data)
        if kind >> 4 != _CONNECT or body.text() != b"MQTT":
            self._broker.say("Client <unknown> disconnected due to protocol error.")
            return False
        self._is_v5 = body.byte() == 5
        self._no_properties = b"\0" if self._is_v5 else b""
        flags = body.byte()
        self._connection.settimeout(body.number() * 1.5 or None)
        body.skip_properties(are_there=self._is_v5)
        self._name = body.text().decode() or f"auto-{id(self)}"
        if flags & 4:
            body.skip_properties(are_there=self._is_v5)
            self._will = _Message(body.text().decode(), body.text(), 1, bool(flags & 0x20))
        user = body.text().decode() if flags & 0x80 else None
        password = body.text().decode() if flags & 0x40 else None
        users = self._broker.users
        if users is not None and (user is None or users.get(user) != password):
            self._will = None
            self._send(_packet(0x20, (b"\0\x87" if self._is_v5 else b"\0\x05") + self._no_properties))
            self._broker.say(f"Client {self._name} disconnected, not authorised.")
            return False
        self._keeps_session = not flags & 2
        self._open_session()
        return True

    def _open_session(self) -> None:
        broker = self._broker
        with broker.lock:
            broker.say(f"New client connected as {self._name}")
            before = broker.clients.get(self._name)
            if before is not None:
                broker.say(f"Client {self._name} already connected, closing old connection.")
                before._connection.shutdown(socket.SHUT_RDWR)
            if not self._keeps_session:
                broker.sessions.pop(self._name, None)
            session = broker.sessions.setdefault(self._name, _Session())
            self._send(_packet(0x20, b"\0\0" + self._no_properties))
            for packet_id, message in session.waiting.items():
                self.hand_over(packet_id, message)
            broker.clients[self._name] = self

    def _answer(self) -> bool:
        """Answer one packet; False at a polite goodbye."""
        first, data = self._receive()
        kind, body = first >> 4, _Body(data)
        broker = self._broker
        if kind == _PUBLISH:
            topic = body.text().decode()
            packet_id = body.take(2) if first & 6 else b""
            body.skip_properties(are_there=self._is_v5)
            payload = body.rest()
            broker.say(f"Received PUBLISH from {self._name} ('{topic}', ... ({len(payload)} bytes))")
            if any(_matches(topic, pattern) for pattern in broker.hangs_up_on):
                raise EOFError
            code = next((code for pattern, code in broker.answers.items() if _matches(topic, pattern)), 0)
            if not code:
                broker.publish(_Message(topic, payload, 1 if packet_id else 0, bool(first & 1)))
            if packet_id:
                self._send(_packet(0x40, packet_id + (bytes([code]) if code else b"")))
        elif kind == _PUBACK:
            with broker.lock:
                broker.sessions[self._name].waiting.pop(body.number(), None)
        elif kind == _SUBSCRIBE:
            self._subscribe(body)
        elif kind == _PING:
            self._send(_packet(0xD0, b""))
        return kind != _DISCONNECT

    def _subscribe(self, body: _Body) -> None:
        packet_id = body.take(2)
        body.skip_properties(are_there=self._is_v5)
        broker, codes = self._broker, b""
        with broker.lock:
            session = broker.sessions[self._name]
            while not body.is_over:
                pattern, _ = body.text().decode(), body.byte()
                session.filters.add(pattern)
                codes += b"\1"
                for message in broker.retained.values():
                    if _matches(message.topic, pattern):
                        broker.deliver(self._name, session, message)
            self._send(_packet(0x90, packet_id + self._no_properties + codes))
            broker.save()

    def _receive(self) -> tuple[int, bytes]:
        first = self._read(1)[0]
        return first, self._read(_length(lambda: self._read(1)[0]))

    def _read(self, count: int) -> bytes:
        data = self._reader.read(count)
        if len(data) < count:
            raise EOFError
        return data

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError), self._broker.lock:  # who is gone finds out while it reads
            self._connection.sendall(data)


def _serve(broker: _Broker, connection: socket.socket, context: ssl.SSLContext | None) -> None:
    try:
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        _Client(broker, connection).serve()
    except OSError as error:
        broker.say(f"Client disconnected: {error}")
    finally:
        connection.close()


def main(options: dict[str, Any]) -> None:
    """Serve until killed, with the options that `tests.support.brokers` writes."""
    context = None
    if options["certificate"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["certificate"], options["key"])
        if options["client_ca"]:
            context.load_verify_locations(options["client_ca"])
            context.verify_mode = ssl.CERT_REQUIRED
    broker = _Broker(options)
    with socket.create_server(("127.0.0.1", options["port"])) as listener:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(broker, connection, context), daemon=True).start()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text("utf-8")))
