"""gateway.yaml, and the options for a single meter, as frozen and checked values.

What a frame is (encrypted or plain, of which country) is found from the bytes and never configured.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from smarty_gateway.sources.address import Address, LineSettings

#: On one source; an attacker on it can invent no more.
UNNAMED_METERS: Final = 50
#: Seconds of silence after which a meter that nobody configured is forgotten.
FORGOTTEN_SECONDS: Final = 86_400.0
#: How readings are printed.
STDOUT_FORMATS: Final = ("json", "table", "telegram")
DEFAULT_CONFIG_FILES: Final = (Path("gateway.yaml"), Path("/etc/smarty-gateway/gateway.yaml"))


class Pace(StrEnum):
    """How fast a capture is replayed."""

    FULL = "full"
    RECORDED = "recorded"


@dataclass(frozen=True, slots=True)
class MeterConfig:
    """One entry of `meters`.

    Attributes:
        sources: where it is read; several bridges may lead to one meter.
        name: under which its readings go out; None where the meter's own identity names it.
        id: of the meter, where several share a source: its meter_id, serial number or system title.
        encrypted: its plaintext is refused.
        line: of a serial port; None where the usual ones are to be found out.
        pace: of a capture file.
        unnamed: how many meters that no entry names and no key authenticates each source may bring.
    """

    sources: tuple[Address, ...]
    name: str | None = None
    id: str | None = None
    encrypted: bool = False
    line: LineSettings | None = None
    pace: Pace = Pace.FULL
    unnamed: int = UNNAMED_METERS

    @property
    def is_live(self) -> bool:
        """True if it is read from a port, and not from a recording."""
        return any(source.is_live for source in self.sources)


class Style(StrEnum):
    """How Home Assistant is told of entities: one payload a device, or one an entity (Domoticz)."""

    DEVICE = "device"
    ENTITY = "entity"


@dataclass(frozen=True, slots=True)
class HomeAssistantConfig:
    """Discovery by Home Assistant and those that speak its language."""

    prefix: str = "homeassistant"
    style: Style = Style.DEVICE


class Durability(StrEnum):
    """When a telegram goes to disk: if it is not acknowledged in time, or before it is sent."""

    BATCH = "batch"
    EACH = "each"


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """The broker, and what it gets. All files are absolute paths."""

    host: str
    port: int = 1883
    tls: bool = False
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    version: str = "3.1.1"
    client_id: str | None = None
    topic: str = "smarty"
    interval: float = 10.0
    telegrams: bool = False
    values: bool = False
    durability: Durability = Durability.BATCH
    home_assistant: HomeAssistantConfig | None = None


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much of what could not be delivered is kept: the oldest goes first."""

    megabytes: int = 200
    days: int = 30


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `run` needs to know but the keys themselves.

    Attributes:
        keys: the key file, if one is named.
        state: the folder for frame counters and undelivered telegrams, if one is named.
        stdout: the format, None where standard output gets nothing.
    """

    meters: tuple[MeterConfig, ...]
    keys: Path | None = None
    state: Path | None = None
    stdout: str | None = None
    mqtt: MqttConfig | None = None
    limits: StoreLimits = StoreLimits()
