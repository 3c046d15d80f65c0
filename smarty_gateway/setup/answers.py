"""What the options of the command answer, so that it is not asked."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

NAME: Final = "house"  #: of the meter, by default
#: Here `service install` expects the files (docs/systemd.md).
SERVICE_FOLDER: Final = Path("/etc/smarty-gateway")
UNKNOWN_POWER: Final = "not known"  #: what stands for no reference power
GATEWAY_FILE: Final = "gateway.yaml"
KEY_FILE: Final = "keys.yaml"
PASSWORD_FILE: Final = "mqtt.password"  # noqa: S105 - the name of a file
PAGE_PASSWORD_FILE: Final = "web.password"  # noqa: S105 - likewise


class Existing(StrEnum):
    """What becomes of a gateway.yaml that is there."""

    KEEP = "keep"
    ADD = "add"
    REPLACE = "replace"


class Page(StrEnum):
    """Who can open the page."""

    HERE = "here"
    NETWORK = "network"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Answers:
    """The options; None where one was not given."""

    folder: Path
    dev: Path
    seconds: float
    port: str | None = None
    name: str | None = None
    reference_power: str | None = None
    key_file: Path | None = None
    broker: str | None = None
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    home_assistant: bool | None = None
    page: Page | None = None
    page_password_file: Path | None = None
    existing: Existing | None = None
