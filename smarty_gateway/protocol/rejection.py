"""Why something was refused: the reasons and hints that users and programs see.

The words beside a reason are for people and may change; reason and hint are fixed by the contract.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The reasons in the order of the checks; the first that fails is the one reported."""

    MALFORMED = "malformed"
    SECURITY = "security"
    NO_KEY = "no-key"
    AUTHENTICATION = "authentication"
    REPLAY = "replay"
    CHECKSUM = "checksum"
    PLAINTEXT = "plaintext"


class Hint(StrEnum):
    """The best guess at why a GCM tag did not verify."""

    WRONG_ENCRYPTION_KEY = "wrong-encryption-key"
    WRONG_AUTHENTICATION_KEY = "wrong-authentication-key"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Rejection:
    """One frame or telegram that was refused; nothing of its plaintext is in here.

    Attributes:
        offset: where it begins, in bytes from the start of the input.
        size: how many bytes it is, as far as that can be told.
        message: what is wrong and what to do, for a person.
        system_title: of the meter, as far as a frame told it; of plaintext, of the encrypted meter that it
            pretends to be.
    """

    reason: Reason
    offset: int
    size: int
    message: str
    hint: Hint | None = None
    system_title: bytes | None = None
    frame_counter: int | None = None

    def __str__(self) -> str:
        hint = f" hint={self.hint}" if self.hint else ""
        return f"rejected {self.reason} offset={self.offset} {self.message}{hint}"
