"""A frame or telegram field by field: offset, bytes, meaning, and what is computed from it.

For people who verify an implementation, or want to know why a frame was rejected. It shows neither keys nor
anything of a rejected plaintext.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from smarty_gateway.protocol.decryption import decrypt, initialisation_vector
from smarty_gateway.protocol.frame import (
    AUTHENTICATED_AND_ENCRYPTED,
    HEADER_MAX,
    FaultyHeader,
    Frame,
    Header,
    cut_frame,
    read_header,
)
from smarty_gateway.protocol.key_ring import LUXEMBOURG_AUTHENTICATION_KEY, KeyRing
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram
from smarty_gateway.protocol.system_title import serial_from_system_title
from smarty_gateway.protocol.telegram import Checksum, checksum_of

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Explained:
    """One field: its offset in the input (None for what was computed), its bytes, name and meaning."""

    offset: int | None
    data: str
    field: str
    meaning: str


def explain(event: Event, data: bytes, keys: KeyRing) -> Iterator[Explained]:
    """Explain the bytes of an event.

    Args:
        event: what came of them.
        data: the bytes, as they were in the input.
        keys: those that were used.
    """
    if data.startswith(b"\xdb"):
        yield from _explain_frame(event.offset, data, keys)
    else:
        yield from _explain_text(event.offset, data, is_shown=isinstance(event, MeterTelegram))
    if isinstance(event, MeterTelegram):
        fields = len(event.decoded.fields) + len(event.decoded.devices)
        outcome = f"accepted, {event.security}: {fields} fields of meter {event.meter_id}"
    else:
        outcome = str(event)
    yield Explained(None, "", "outcome", outcome)


def _explain_frame(offset: int, data: bytes, keys: KeyRing) -> Iterator[Explained]:
    def row(start: int, end: int, field: str, meaning: str) -> Explained:
        return Explained(offset + start, _hex(data[start:end]), field, meaning)

    yield row(0, 1, "tag of the frame", "general-glo-ciphering")
    header = read_header(data[:HEADER_MAX])
    yield row(1, 2, "title length", "must be 08")
    if isinstance(header, FaultyHeader) and header.size == 2:
        yield row(1, 2, "fault", header.message)
        return
    yield row(2, 10, "system title", _title_meaning(data[2:10]))
    if not isinstance(header, Header):
        fault = "the header is cut short" if header is None else header.message
        yield row(10, len(data) if header is None else header.size, "fault", fault)
        return
    content, end = header.size, header.size + header.length
    length = f"{header.length} = 1 + 4 + {header.length - 17} + 12 bytes follow"
    yield row(10, content, "length", length)
    yield row(content, content + 1, "security byte", _security_meaning(header.security))
    if len(data) < end:
        yield row(content + 1, len(data), "fault", f"{end - len(data)} of {end} bytes are missing")
        return
    frame = cut_frame(offset, data[:end], header)
    yield row(content + 1, content + 5, "frame counter", str(frame.frame_counter))
    yield row(content + 5, end - 12, "ciphertext", f"{len(frame.ciphertext)} bytes")
    yield row(end - 12, end, "GCM tag", "")
    nonce = initialisation_vector(frame).hex().upper()
    yield Explained(None, nonce, "nonce", "system title and frame counter")
    yield from _explain_keys(frame, keys)


def _explain_keys(frame: Frame, keys: KeyRing) -> Iterator[Explained]:
    found = keys.keys_for(frame.system_title)
    if not found:
        yield Explained(None, "", "keys", "there is none for this system title")
    for number, key in enumerate(found, 1):
        constant = key.authentication_key.reveal() == LUXEMBOURG_AUTHENTICATION_KEY
        whose = "the Luxembourg constant" if constant else "your own"
        aad = f"{frame.security:02X} and the authentication key, {whose} (17 bytes)"
        yield Explained(None, "", f"AAD, key {number}", aad)
        verifies = decrypt(frame, key) is not None
        policy = f"; the policy is {key.verification.value}"
        result = ("the tag verifies" if verifies else "the tag does not verify") + policy
        yield Explained(None, "", f"check, key {number}", result)


def _explain_text(offset: int, data: bytes, *, is_shown: bool) -> Iterator[Explained]:
    header = data.split(b"\n", 1)[0].rstrip(b"\r")
    yield Explained(
        offset, _hex(header) if is_shown else "", "header line", f"{len(header)} bytes, plaintext"
    )
    # The text of an event ends with its only end line.
    body = data.rindex(b"\n!") + 2
    lines = data[len(header) : body].count(b"\n") - 1
    yield Explained(offset + len(header), "", "lines", f"{lines} between the header and the end")
    checksum = checksum_of(data, body)
    result = {Checksum.RIGHT: "right", Checksum.WRONG: "wrong", Checksum.MISSING: "none is there"}[checksum]
    yield Explained(
        offset + body, data[body:].strip(b" \x00\r\n").decode(), "CRC-16/ARC", f"over {body} bytes: {result}"
    )


def _title_meaning(title: bytes) -> str:
    serial = serial_from_system_title(title)
    return "of another scheme than Luxembourg's" if serial is None else f"stands for serial number {serial}"


def _security_meaning(security: int) -> str:
    if security == AUTHENTICATED_AND_ENCRYPTED:
        return "suite 0, authenticated and encrypted"
    parts = [f"suite {security & 0x0F}"]
    parts += [meaning for bit, meaning in ((0x10, "authenticated"), (0x20, "encrypted")) if security & bit]
    parts += [meaning for bit, meaning in ((0x40, "broadcast key"), (0x80, "compressed")) if security & bit]
    return ", ".join(parts) + "; must be 30"


def _hex(data: bytes) -> str:
    text = data[:_SHOWN].hex(" ").upper()
    return f"{text} …" if len(data) > _SHOWN else text
