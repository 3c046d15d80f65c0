"""Why there is no connection to the broker, or a message is not accepted: reason codes, and what to do."""

import socket
import ssl
from typing import Final

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.certificates import distrust
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
#: Where Home Assistant's users find their broker.
MOSQUITTO_APP: Final = "Mosquitto broker in Settings > Apps"
_START_IT: Final = f"start the app {MOSQUITTO_APP}"
_READ_ITS_LOG: Final = f"read the log of the app {MOSQUITTO_APP}"


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


class ConnectionUnanswered(ConnectionFailed):
    """The broker closed a connection that it had neither accepted nor refused."""


class ConnectionGivenUp(ConnectionFailed):
    """This side has ended the connection on purpose; the broker is not to blame."""


def network_failure(config: MqttConfig, error: OSError | UnicodeError) -> ConnectionFailed:
    """Return what an error of `connect` means; a UnicodeError is idna's, for an impossible host name."""
    if config.is_from_supervisor:
        return _named_failure(config, *_named_fault(error))
    broker = config.address
    if isinstance(error, ssl.SSLCertVerificationError):
        why = distrust(error, "broker", config.host, config.ca_file)
        return ConnectionFailed(f"the certificate of the broker {broker} {why}")
    if isinstance(error, socket.gaierror | UnicodeError):
        return ConnectionFailed(f"no host is known as {config.host}: check the name of the broker")
    if isinstance(error, ConnectionRefusedError):
        why = f"no broker answers at {broker}: is it running, and does it listen on this address?"
    elif isinstance(error, TimeoutError):
        why = f"the broker {broker} does not answer: is it switched on, and in this network?"
    elif isinstance(error, ssl.SSLError | ConnectionResetError | BrokenPipeError):  # in the handshake
        reason = getattr(error, "reason", None) or error.strerror
        why = (
            f"no TLS with the broker {broker} ({reason}): if this is its port without TLS (usually 1883), "
            "write mqtt:// in the url, else the port that has TLS (usually 8883)"
        )
    else:
        why = f"no connection to the broker {broker}: {error.strerror or error}"
    return ConnectionFailed(why)


def unusable_certificate(config: MqttConfig, error: OSError) -> ConnectionFailed:
    """Return why the certificate of the gateway cannot be used."""
    files = f"cert_file {config.cert_file}"
    if config.key_file is not None:
        files += f" and key_file {config.key_file}"
    if not isinstance(error, ssl.SSLError):
        why = f"cannot be read: {error.strerror}"
    elif error.reason == "KEY_VALUES_MISMATCH":
        why = "do not belong together: name the key that was made for this certificate"
    else:
        why = "hold no certificate with its private key: both must be PEM files, which begin with -----BEGIN"
    return ConnectionFailed(f"{files} {why}")


def refused_connection(config: MqttConfig, code: ReasonCode) -> ConnectionFailed:
    """Return what the reason code of a CONNACK means."""
    if config.is_from_supervisor:
        why = f"refuses the login that came with its name ({code})"
        return _named_failure(config, why, f"restart the app {MOSQUITTO_APP}", code.value)
    broker = config.address
    if str(code) not in ("Bad user name or password", "Not authorized"):
        why = f"the broker {broker} refuses the connection: {code}"
    elif config.user is None:
        why = (
            f"the broker {broker} requires a user name and a password: write the user into the url as "
            "USER@HOST, and name a password_file (--mqtt-password-file on the command line, broker_password "
            "in the app of Home Assistant)"
        )
    elif config.password is None:
        why = (
            f"the broker {broker} refuses user {config.user} without a password: write it into a file and "
            "name that as password_file (--mqtt-password-file on the command line)"
        )
    else:
        file = config.password_file
        password = "broker_password" if file is None else f"its password file {file}"
        why = f"the broker {broker} refuses user {config.user}: check the user and {password}"
    return ConnectionFailed(why, code.value)


def no_answer(config: MqttConfig) -> ConnectionUnanswered:
    """Return what it means that a broker closes the connection without a CONNACK."""
    if config.is_from_supervisor:
        failed = _named_failure(config, "closes the connection before it accepts it", _READ_ITS_LOG)
        return ConnectionUnanswered(str(failed))
    if not config.tls:
        port = "if this is its port for TLS (usually 8883), write mqtts:// in the url"
    elif config.cert_file is None:
        port = "if it requires a certificate of its clients, name one with cert_file and key_file"
    else:
        port = f"check that it accepts the certificate in {config.cert_file}"
    if config.version == "5":
        other = 'else remove version: "5" below mqtt:, which it may not support'
    else:
        other = (
            'else write version: "5" below mqtt:, so that it says why (retain_available or max_qos in its '
            "settings may be the reason)"
        )
    return ConnectionUnanswered(
        f"the broker {config.address} closes the connection before it accepts it: {port}; {other}"
    )


def _named_fault(error: OSError | UnicodeError) -> tuple[str, str]:
    """Return why a broker that Home Assistant names is not connected, and what to do."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"has a certificate that this app does not trust ({error.verify_message})",
            "write a gateway.yaml with its url and ca_file, and name that as `configuration`",
        )
    if isinstance(error, socket.gaierror | UnicodeError):
        return "is not known by this name", _START_IT
    if isinstance(error, TimeoutError):
        return "does not answer", _START_IT
    return f"cannot be reached ({getattr(error, 'reason', None) or error.strerror or error})", _START_IT


def _named_failure(config: MqttConfig, why: str, advice: str, code: int | None = None) -> ConnectionFailed:
    return ConnectionFailed(f"the broker {config.address}, which Home Assistant names, {why}: {advice}", code)


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
