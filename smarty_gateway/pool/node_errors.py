"""Why there is no connection to a node, or no messages of a queue, and what to do."""

import socket
import ssl
from pathlib import Path
from typing import Final

from pika import exceptions

from smarty_gateway.config.pool_values import ServerAddress
from smarty_gateway.outputs.certificates import distrust

_ACCESS_REFUSED: Final = 403
_NOT_FOUND: Final = 404
_NOT_ALLOWED: Final = 530
_NO_LOGIN: Final = (exceptions.ProbableAuthenticationError, exceptions.AuthenticationError)


def why_no_connection(error: BaseException, node: ServerAddress, vhost: str, ca_file: Path | None) -> str:
    """Return why a node cannot be reached, or has ended the connection."""
    cause = _cause(error)
    if isinstance(cause, exceptions.AMQPError):
        return f"the node {node.text} {_refusal(cause, node, vhost)}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate of the node {node.text} {distrust(cause, 'node', node.host, ca_file)}"
    if isinstance(cause, socket.gaierror | UnicodeError):
        return f"no host is known as {node.host}: check the name of the node in pool.yaml"
    if isinstance(cause, ConnectionRefusedError):
        return f"no node answers at {node.text}: is RabbitMQ running, and does it listen on this address?"
    if isinstance(cause, ssl.SSLError):
        return f"no TLS with the node {node.text}: check url and port in pool.yaml"
    why = cause.strerror if isinstance(cause, OSError) and not isinstance(cause, TimeoutError) else None
    return f"no connection to the node {node.text}: {why or 'it does not answer; is it in this network?'}"


def _refusal(error: exceptions.AMQPError, node: ServerAddress, vhost: str) -> str:
    """Return what a node does that has answered."""
    code = error.reply_code if isinstance(error, exceptions.ConnectionClosedByBroker) else None
    if code == _NOT_ALLOWED or isinstance(error, exceptions.ProbableAccessDeniedError):
        return f"does not let user {node.user} into the virtual host {vhost}: check `vhost` and permissions"
    if code == _ACCESS_REFUSED or isinstance(error, _NO_LOGIN):
        return f"refuses user {node.user}: check the user in the url, and the password in password_file"
    if code is not None:
        return f"has ended the connection: {error.reply_text}"
    if isinstance(error, exceptions.IncompatibleProtocolError):
        return "does not speak AMQP: check url and port in pool.yaml"
    return "does not answer: is it running, and in this network?"


def why_no_messages(error: BaseException, queue: str) -> str:
    """Return why the messages of a queue stay away."""
    if isinstance(error, exceptions.ChannelClosedByBroker) and error.reply_code == _NOT_FOUND:
        return f"there is no queue {queue}; type: smarty-gateway pool declare"
    if isinstance(error, exceptions.ChannelClosedByBroker) and error.reply_code == _ACCESS_REFUSED:
        return f"the user of the workers may not read the queue {queue}; type: smarty-gateway pool check"
    return f"no messages of the queue {queue}: {error}"


def _cause(error: BaseException) -> BaseException:
    """Return the error inside the errors of the library, each of which wraps another."""
    inner = getattr(error, "exception", None) or (getattr(error, "exceptions", None) or [None])[-1]
    return _cause(inner) if isinstance(inner, BaseException) else error
