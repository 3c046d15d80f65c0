"""The connection to RabbitMQ: one thread, which only moves messages into the inbox and acknowledgements out.

Nothing slow runs here, because a connection without heartbeats ends. There is one channel for each shard,
so that a shard can be given up alone: RabbitMQ then delivers to the next worker what was not acknowledged,
in its order. The queues have a single active consumer: of all workers that subscribe, one gets the messages.
"""

import logging
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Self

import pika
from pika.adapters.select_connection import IOLoop
from pika.exceptions import ChannelClosedByBroker, ChannelClosedByClient

from smarty_gateway.config.password_file import read_password
from smarty_gateway.config.pool_values import PoolConfig, ServerAddress
from smarty_gateway.fault_log import Backoff, Condition, until_it_works
from smarty_gateway.logs import crash_of
from smarty_gateway.outputs.certificates import unusable_ca
from smarty_gateway.pool.cluster.topology import EXCHANGE, queue_of
from smarty_gateway.pool.inbox import PREFETCH, Delivery, Inbox, Subscription
from smarty_gateway.pool.node_errors import why_no_connection, why_no_messages
from smarty_gateway.pool.shared_fault import SharedFault
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.forwarded import MESSAGE_BYTES
from smarty_gateway.protocol.shards import SHARDS

_log = logging.getLogger(__name__)

#: Seconds. A frozen node is noticed after two to four of them, a network that is cut after one.
_HEARTBEAT: Final = 5
_CONNECT_WITHIN: Final = 3.0
#: Seconds for TCP, TLS and the login together.
_OPEN_WITHIN: Final = 6.0
#: Seconds before the attempts once all nodes have failed.
_PAUSES: Final = (0.5, 1.0, 2.0)
#: Seconds after which a worker subscribes to what is another's home, so that this one is first.
STANDBY_AFTER: Final = 3.0
#: Seconds until it subscribes again to a queue that RabbitMQ has refused or taken away.
_REFUSED_AFTER: Final = 5.0
_LOOK_EVERY: Final = 0.25
#: Seconds; a node that hangs up at once must not keep a processor busy.
_AT_ONCE: Final = 0.1


class _UnreadProperties(pika.spec.BasicProperties):  # type: ignore[misc]  # pika has no types
    """The properties of a message, which stay as they came.

    A worker needs none, and pika fails at some that a client may send, such as a time in the year 10**11.
    That would end the connection, and the message would come again with the next one.
    """

    def decode(self, encoded: bytes, offset: int = 0) -> Self:  # noqa: ARG002 - as it is declared
        return self


pika.spec.props[pika.spec.BasicProperties.INDEX] = _UnreadProperties


class Broker:
    """Receives the messages of all shards, as far as RabbitMQ gives them to this worker.

    Args:
        config: nodes, user and password file.
        worker: the name of this worker.
        inbox: takes the messages.
        home: returns the shards that are at home here.
        log_error: takes a line about a fault.

    Attributes:
        node: that it is connected to, for messages; None while there is no connection.
        failure: why its thread has ended, if that was no `stop`.
        beat: when its thread last showed that it lives.
    """

    def __init__(
        self,
        config: PoolConfig,
        worker: str,
        inbox: Inbox,
        home: Callable[[], frozenset[int]],
        log_error: Callable[[str], None],
    ) -> None:
        self._config = config
        self._worker = worker
        self._inbox = inbox
        self._home = home
        self._node_fault = Condition(log_error, cleared=_log.info)
        self._queue_fault = SharedFault[int](log_error, _log.info, "all queues can be read again")
        self._backoff = Backoff(*_PAUSES)
        self._loop = IOLoop()
        self._connection: Any = None
        self._attempts = zlib.crc32(worker.encode())  # so that not all workers begin with the same node
        self._failed = 0
        #: When to subscribe to each shard that is not.
        self._due: dict[int, float] = {}
        self._stopping = False
        self.node: str | None = None
        self.failure: str | None = None
        self.beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        # Its lines are for programmers, and what matters of them is said here.
        logging.getLogger("pika").setLevel(logging.CRITICAL + 1)

    # What other threads call

    @property
    def is_running(self) -> bool:
        """True between the start and the end of its thread."""
        return self._thread.is_alive()

    @property
    def unread(self) -> frozenset[int]:
        """The shards whose queues RabbitMQ has refused or taken away."""
        return self._queue_fault.who

    def start(self) -> None:
        """Connect, and subscribe to all shards."""
        self._thread.start()

    def acknowledge(self, tags: Mapping[Subscription, int]) -> None:
        """Acknowledge the messages of each subscription up to the one with this tag."""
        self._loop.add_callback_threadsafe(partial(self._acknowledge, tags))

    def release(self, subscription: Subscription) -> None:
        """Leave a shard to the next worker, with what was not acknowledged of it."""
        subscription.is_open = False
        self._loop.add_callback_threadsafe(partial(self._end, subscription))

    def stop(self, seconds: float) -> None:
        """Send what was acknowledged before, and end within this many seconds."""
        self._loop.add_callback_threadsafe(self._stop)
        if self._thread.is_alive():
            self._thread.join(seconds)
        if not self._thread.is_alive():
            self._loop.close()

    # The thread

    def _run(self) -> None:
        self._loop.add_callback_threadsafe(self._look)
        self._loop.add_callback_threadsafe(self._connect)
        crash = crash_of(self._loop.start)
        self.node = None
        if not self._stopping:
            self.failure = f"the connection to RabbitMQ has crashed: {crash}"

    def _stop(self) -> None:
        self._stopping = True
        if self._connection is None or self._connection.is_closed:
            self._loop.stop()
        elif not self._connection.is_closing:
            self._connection.close()

    def _look(self) -> None:
        """Show that the thread lives, and subscribe to what is due."""
        self.beat = now = time.monotonic()
        self._loop.call_later(_LOOK_EVERY, self._look)
        if self.node is None or not self._connection.is_open:
            return
        for shard in [shard for shard, due in self._due.items() if due <= now]:
            del self._due[shard]
            self._connection.channel(on_open_callback=partial(self._subscribe, shard))

    # Connections

    @property
    def _address(self) -> ServerAddress:
        return self._config.nodes[self._attempts % len(self._config.nodes)]

    def _connect(self) -> None:
        if self._stopping:
            return
        try:
            parameters = self._parameters(self._address)
        except GatewayError as error:
            self._failed_with(str(error))
            return
        self._connection = pika.SelectConnection(
            parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._not_opened,
            on_close_callback=self._closed,
            custom_ioloop=self._loop,
        )

    def _parameters(self, node: ServerAddress) -> pika.ConnectionParameters:
        file = self._config.password_file
        try:
            password = "" if file is None else read_password(file).decode()
        except UnicodeDecodeError:
            raise GatewayError(f"the password in {file} is not UTF-8; choose another") from None
        return pika.ConnectionParameters(
            node.host,
            node.port,
            self._config.vhost,
            pika.PlainCredentials(node.user or "", password, erase_on_connect=True),
            heartbeat=_HEARTBEAT,
            socket_timeout=_CONNECT_WITHIN,
            stack_timeout=_OPEN_WITHIN,
            ssl_options=pika.SSLOptions(self._context(), node.host) if node.tls else None,
            client_properties={"connection_name": f"smarty-gateway {self._worker}"},
            tcp_options={"TCP_USER_TIMEOUT": _HEARTBEAT * 1000},
        )

    def _context(self) -> ssl.SSLContext:
        ca_file = self._config.ca_file
        try:
            return ssl.create_default_context(cafile=ca_file)
        except OSError as error:
            raise GatewayError(unusable_ca(ca_file, error, "node")) from None

    def _opened(self, connection: pika.SelectConnection) -> None:
        if self._stopping:
            connection.close()
            return
        self.node = self._address.text
        self._failed = 0
        self._backoff.reset()
        (self._node_fault.end if self._node_fault.is_on else _log.info)(f"connected to the node {self.node}")
        now, home = time.monotonic(), self._home()
        self._due = {shard: now if shard in home else now + STANDBY_AFTER for shard in range(SHARDS)}

    def _not_opened(self, _: object, error: BaseException) -> None:
        self._failed_with(why_no_connection(error, self._address, self._config.vhost, self._config.ca_file))

    def _closed(self, _: object, error: BaseException) -> None:
        self.node = None
        self._due = {}
        self._inbox.drop_what_is_over()
        self._not_opened(_, error)

    def _failed_with(self, why: str) -> None:
        """Try the next node, at once unless all of them have failed."""
        if self._stopping:
            self._loop.stop()
            return
        self._node_fault.begin(until_it_works(why), why)
        self._attempts += 1
        self._failed += 1
        pause = self._backoff.next_delay() if self._failed % len(self._config.nodes) == 0 else _AT_ONCE
        self._loop.call_later(pause, self._connect)

    # Channels

    def _subscribe(self, shard: int, channel: Any) -> None:  # noqa: ANN401 - the library's
        subscription = Subscription(shard, channel)
        channel.add_on_close_callback(partial(self._ended, subscription))
        # The queue was deleted, or the node of its leader has died.
        channel.add_on_cancel_callback(lambda _: self.release(subscription))
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(
            queue_of(shard),
            partial(self._delivered, subscription),
            callback=lambda _: self._queue_fault.end(shard),
        )

    def _delivered(
        self, subscription: Subscription, _: object, method: pika.spec.Basic.Deliver, __: object, body: bytes
    ) -> None:
        if not subscription.is_open:
            return
        # RabbitMQ checks who may send to a topic only where the exchange is this one.
        topic = method.routing_key if method.exchange == EXCHANGE else ""
        if not isinstance(topic, str):
            topic = ""  # what is no UTF-8 stays bytes; no topic of an edge is like that
        # What is too long for a message is refused, so the rest of it need not be kept.
        body = body[: MESSAGE_BYTES + 1]
        self._inbox.put(Delivery(subscription, method.delivery_tag, topic, body))

    def _acknowledge(self, tags: Mapping[Subscription, int]) -> None:
        for subscription, tag in tags.items():
            if subscription.channel.is_open:  # not `subscription.is_open`: it may have been released since
                subscription.channel.basic_ack(tag, multiple=True)

    def _end(self, subscription: Subscription) -> None:
        if subscription.channel.is_open:
            subscription.channel.close()

    def _ended(self, subscription: Subscription, _: object, error: BaseException) -> None:
        subscription.is_open = False
        shard, now = subscription.shard, time.monotonic()
        if isinstance(error, ChannelClosedByClient):
            self._due[shard] = now + STANDBY_AFTER
        elif isinstance(error, ChannelClosedByBroker):
            self._due[shard] = now + _REFUSED_AFTER
            self._queue_fault.begin(shard, until_it_works(why_no_messages(error, queue_of(shard))))
        else:
            return  # the connection has ended
        self._inbox.drop_what_is_over()
