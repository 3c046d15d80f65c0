"""A telegram that passed every check, and how far it is proven."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from smarty_gateway.protocol.decoder import DecodedTelegram
from smarty_gateway.protocol.rejection import Rejection


class Security(StrEnum):
    """How far a telegram is proven; it travels with every reading."""

    AUTHENTICATED = "authenticated"  #: the GCM tag verified
    UNAUTHENTICATED = "unauthenticated"  #: decrypted with crc-only, as the user asked
    PLAINTEXT = "plaintext"  #: never encrypted


@dataclass(frozen=True, eq=False)
class MeterTelegram(Mapping[str, Any]):
    """A telegram that passed every check.

    As a mapping it is the JSON object (docs/reference.md, "The JSON object"): `telegram["energy_import"]`,
    `dict(telegram)`. What it hands out is a copy, so nothing can change a telegram. It equals a mapping
    that has the same values, and another telegram whose attributes are the same; like a dict it has no hash.

    Attributes:
        offset: where its frame begins, in bytes from the start of the input.
        size: the size of the frame, or of the text of a plaintext telegram.
        raw: the plaintext as the meter wrote it, from the slash to the end of the last line.
        decoded: the values and their OBIS codes, for this project's own modules.
        security: how the telegram was verified.
        system_title: of the frame that carried it; None for a plaintext telegram.
        frame_counter: likewise.
        has_foreign_identity: the identity in it belongs to another meter, so it does not name this one.
    """

    offset: int
    size: int
    raw: bytes
    decoded: DecodedTelegram
    security: Security
    system_title: bytes | None = None
    frame_counter: int | None = None
    has_foreign_identity: bool = False

    @property
    def meter_id(self) -> str:
        """The identity in the telegram, else the system title, else the header."""
        if self.decoded.identity is not None and not self.has_foreign_identity:
            return self.decoded.identity
        if self.system_title is not None:
            return self.system_title.hex().upper()
        return self.decoded.header

    @property
    def timestamp(self) -> datetime | None:
        """The meter's own time with its offset; None if the meter sends none, or not whether it is summer."""
        text = self.decoded.fields.get("timestamp")
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
        return None if time is None or time.tzinfo is None else time

    @property
    def is_header_only(self) -> bool:
        """True if only the header, which names a model, tells this meter from others."""
        return self.decoded.identity is None and self.system_title is None

    def as_object(self, meter: str | None = None) -> dict[str, Any]:
        """Return the JSON object; its inner objects are shared with other telegrams and must not be changed.

        Args:
            meter: the configured name; the meter_id where there is none.
        """
        decoded, meter_id = self.decoded, self.meter_id
        fields = decoded.fields
        result: dict[str, Any] = {"meter": meter or meter_id, "meter_id": meter_id}
        if self.system_title is not None:
            result["system_title"] = self.system_title.hex().upper()
        if "timestamp" in fields:
            result["timestamp"] = fields["timestamp"]
        result["security"] = self.security.value
        if self.frame_counter is not None:
            result["frame_counter"] = self.frame_counter
        result["header"] = decoded.header
        result |= fields
        result |= decoded.devices
        if decoded.unknown:
            result["unknown"] = decoded.unknown
        return result

    @cached_property
    def _object(self) -> dict[str, Any]:
        return self.as_object()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a value of JSON
        return _copy_of(self._object[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._object)

    def __len__(self) -> int:
        return len(self._object)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MeterTelegram):
            return all(getattr(self, field.name) == getattr(other, field.name) for field in fields(self))
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment] # as Python has it for what is compared by value


def _copy_of(value: Any) -> Any:  # noqa: ANN401 - a value of JSON
    if isinstance(value, Mapping):
        return {name: _copy_of(inner) for name, inner in value.items()}
    return [_copy_of(inner) for inner in value] if isinstance(value, list | tuple) else value


Event = MeterTelegram | Rejection
