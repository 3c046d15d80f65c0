"""Why a frame or telegram was rejected: the reasons and hints that users and programs see.

Reasons and hints are fixed (docs/reference.md, "What is accepted, what is rejected, what is noise"); the
message beside them is for people and may change.
"""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """The reasons in the order of the checks; the first that fails is reported."""

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
    """One frame or telegram that was rejected; it holds nothing of its plaintext.

    Attributes:
        offset: where it begins, in bytes from the start of the input.
        size: in bytes, as far as it is known.
        message: what is wrong and what to do, for a person.
        system_title: of the meter, if a frame stated it; for plaintext, of the encrypted meter whose identity
            it carries.
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
