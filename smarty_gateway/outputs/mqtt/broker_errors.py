"""Why there is no connection to the broker, or a message is not accepted: reason codes, and what to do."""

import socket
import ssl
from typing import Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.protocol.errors import GatewayError

#: Reasons for which a broker of MQTT 5 ends a connection that one message may have given it.
_ABOUT_A_MESSAGE: Final = frozenset({0x80, 0x81, 0x82, 0x83, 0x87, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B})
#: MQTT 5, 3.4.2.1.
PUBACK_CODES: Final = frozenset({0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99})
UNSPECIFIED: Final = 0x80
_NOT_AUTHORIZED: Final = 0x87
_TOPIC_NAME_INVALID: Final = 0x90
_PACKET_TOO_LARGE: Final = 0x95
_PAYLOAD_FORMAT_INVALID: Final = 0x99
#: A message that is refused with one of these would always be.
FINAL_CODES: Final = frozenset({_TOPIC_NAME_INVALID, _PACKET_TOO_LARGE, _PAYLOAD_FORMAT_INVALID})
RETAIN_NOT_SUPPORTED: Final = 0x9A
QOS_NOT_SUPPORTED: Final = 0x9B


class ConnectionFailed(GatewayError):  # noqa: N818 - what happened, not a fault of the program
    """The broker cannot be reached, or refuses; the text says why and what to do.

    Attributes:
        code: the reason code of MQTT 5, where the broker gave one.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code

    @property
    def is_hang_up(self) -> bool:
        """True if a message may be the reason."""
        return self.code in _ABOUT_A_MESSAGE


class ConnectionLost(ConnectionFailed):
    """An open connection ended without a reason."""

    @property
    def is_hang_up(self) -> bool:
        """True if a message may be the reason."""
        return True


def network_failure(config: MqttConfig, error: OSError | UnicodeError) -> ConnectionFailed:
    """Return what an error of `connect` means; a UnicodeError is idna's, for an impossible host name."""
    broker = config.address
    if isinstance(error, ssl.SSLError):
        return ConnectionFailed(_tls_message(broker, error))
    if isinstance(error, socket.gaierror | UnicodeError):
        return ConnectionFailed(f"no host is known as {config.host}: check the name of the broker")
    if isinstance(error, ConnectionRefusedError):
        why = f"no broker answers at {broker}: is it running, and does it listen on this address?"
    elif isinstance(error, TimeoutError):
        why = f"the broker {broker} does not answer: is it switched on, and in this network?"
    else:
        why = f"no connection to the broker {broker}: {error.strerror or error}"
    return ConnectionFailed(why)


def _tls_message(broker: str, error: ssl.SSLError) -> str:
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


def refused_connection(config: MqttConfig, code: ReasonCode) -> ConnectionFailed:
    """Return what the reason code of a CONNACK means."""
    broker = config.address
    if str(code) not in ("Bad user name or password", "Not authorized"):
        why = f"the broker {broker} refuses the connection: {code}"
    elif config.user is None:
        why = (
            f"the broker {broker} requires a user name and a password: write mqtt://USER@HOST and a "
            "password_file"
        )
    else:
        why = f"the broker {broker} refuses user {config.user}: check the user and its password file"
    return ConnectionFailed(why, code.value)


def no_answer(config: MqttConfig) -> ConnectionFailed:
    """Return what it means that a broker closes the connection without a CONNACK."""
    port = "for TLS" if config.tls else "without TLS"
    why = f"the broker {config.address} closes the connection before it accepts it: is this its port {port}"
    if config.version == "5":
        return ConnectionFailed(f"{why}, and does it support MQTT 5?")
    return ConnectionFailed(
        f"{why}? It may also refuse a retained message or QoS 1 as the last will (retain_available and "
        'max_qos in its settings); version: "5" below mqtt: lets it say so'
    )


def refused_message(config: MqttConfig, topic: str, code: int) -> str:
    """Return that the broker does not accept a message, and what to do."""
    advice = "it is tried again"
    if code == _NOT_AUTHORIZED:
        root = config.topic if topic.startswith(f"{config.topic}/") else topic.partition("/")[0]
        advice = f"allow {config.user or 'anonymous clients'} to write below {root}/"
    broker = config.address
    return f"the broker {broker} does not accept the message to {topic}: {reason_text(code)}; {advice}"


def reason_text(code: int) -> str:
    """Return what the reason code of a PUBACK means."""
    if code == _PACKET_TOO_LARGE:
        return "Packet too large"
    if code not in PUBACK_CODES:
        return f"reason 0x{code:02X}"
    return str(ReasonCode(PacketTypes.PUBACK, identifier=code))
