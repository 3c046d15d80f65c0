"""Redacts the text of a telegram, whole or damaged, and keeps its length, its layout and its faults. No I/O.

The OBIS code of a line says what is in it. A line with an unknown code is masked, because it could hold
anything. Voltages, power factors, limits, states, tariffs, versions and types of devices stay: they
describe the meter, not its owner. A CRC that was right is right again, a wrong one is wrong, a missing one is
missing.
"""

import random
import re
from collections.abc import Callable
from enum import Enum, auto
from itertools import islice
from typing import Final

from smarty_gateway.capture.pseudonyms import Dummies
from smarty_gateway.protocol.checksum import arc
from smarty_gateway.protocol.obis import BY_CODE, MBUS_FIELDS, Form, Kind, MBusField, ObisObject
from smarty_gateway.protocol.telegram import Checksum, checksum_of, repaired


class _Kind(Enum):
    """How the values of a code are redacted."""

    KEPT = auto()
    IDENTIFIER = auto()
    MESSAGE = auto()
    TIME = auto()
    SCALED = auto()
    REGISTER = auto()
    COUNT = auto()
    LIST = auto()  #: times, values that are scaled, and short descriptions of both
    DATED_REGISTER = auto()  #: a list whose last value is a register
    UNKNOWN = auto()


_LINE: Final = re.compile(r"[^\r\n]+")
_CODE: Final = re.compile(r"([0-9]+-[0-9]+:[0-9]+[.:][0-9]+[.:*0-9]*)(?=\()")
_NUMBER: Final = re.compile(
    r"([+-]?)([0-9]{1,15}|[0-9]{1,14}\.[0-9]{1,9})(\*?[A-Za-z][A-Za-z0-9\xb3]{0,5}|\*)?"
)
_SHORT: Final = re.compile(r"[0-9]{0,5}|[0-9]+-[0-9]+:[0-9.]+|[0-9]:[0-9.]+|(?:m3|GJ|k?Wh)")
#: No limit, voltage, state or version is longer; a longer value may be anything.
_KEPT_MAX: Final = 7
_REGISTERS: Final = frozenset({Kind.ENERGY, Kind.REACTIVE_ENERGY, Kind.ENERGY_BALANCE})
_SCALED: Final = frozenset({Kind.POWER, Kind.REACTIVE_POWER, Kind.APPARENT_POWER, Kind.CURRENT})
_IDENTIFIERS: Final = re.compile(r"0-[0-9]+:(?:96\.[12]\.[0-9]+|42\.0\.0)")
#: A line of a message that takes several.
_PIECE_OF_HEX: Final = re.compile(r"\(?[0-9A-Fa-f]*\)?")
_MESSAGES: Final = re.compile(r"0-[0-9]+:96\.13\.[0-9]+")
_VERSION: Final = "0-0:96.1.4"
_MBUS: Final = re.compile(r"0-[1-9][0-9]?:([0-9.]+)")
_BY_FORM: Final = {
    Form.TEXT: _Kind.KEPT,
    Form.HEX_TEXT: _Kind.MESSAGE,
    Form.TIME: _Kind.TIME,
    Form.THRESHOLD: _Kind.KEPT,
    Form.THRESHOLD_PAIR: _Kind.KEPT,
    Form.PEAK: _Kind.LIST,
    Form.PEAK_HISTORY: _Kind.LIST,
    Form.FAILURE_LOG: _Kind.LIST,
}
_BY_MBUS_FIELD: Final = {
    MBusField.DEVICE_TYPE: _Kind.KEPT,
    MBusField.ID: _Kind.IDENTIFIER,
    MBusField.EAN: _Kind.IDENTIFIER,
    MBusField.VALUE: _Kind.DATED_REGISTER,
    MBusField.VALVE_STATE: _Kind.KEPT,
}
#: The decimals of values of the moment, which may be replaced by any others.
_DECIMALS: Final = re.compile(rb"(?<=\.)[0-9]{1,3}(?=\*(?:kW|kvar|kVA|A|V)\))")
#: Three bits each, of which at most 12 are to be cleared.
_ADJUSTED_DIGITS: Final = 12
_BELOW_EIGHT: Final = bytes.maketrans(b"89", b"01")


def redact_telegram(raw: bytes, dummies: Dummies) -> bytes:
    """Redact a text from its slash to the end of its last line; NULs stay where they are."""
    bare = raw.replace(b"\x00", b"").decode("latin-1")
    end = bare.rindex("!") if "!" in bare else len(bare)
    redacted = (_redact_body(bare[:end], dummies) + bare[end:]).encode("latin-1")
    return _with_checksum(raw, _with_nuls(redacted, raw), dummies.rng)


def redact_text(text: bytes, dummies: Dummies) -> bytes:
    """Redact text that is not a whole telegram; the result cannot be taken for one."""
    masked = dummies.masked(text.decode("latin-1")).encode("latin-1")
    return masked.replace(b"/", b".").replace(b"!", b".")


def _redact_body(body: str, dummies: Dummies) -> str:
    """Redact line by line; a line without a code continues the one before."""
    previous = ""
    is_first = True

    def redact(match: re.Match[str]) -> str:
        nonlocal previous, is_first
        line = match[0]
        if is_first:
            is_first = False
            return dummies.header(line)
        code = _CODE.match(line)
        if code is None:
            return _redact_continuation(previous, line, dummies)
        previous = code[1]
        return previous + _redact_values(previous, line[len(previous) :], dummies)

    return _LINE.sub(redact, body)


def _redact_continuation(code: str, line: str, dummies: Dummies) -> str:
    """Redact a line without a code: in DSMR 3.0 a gas register or a message takes several lines."""
    kind = _kind_of(code) if code else _Kind.UNKNOWN
    if kind is _Kind.DATED_REGISTER and line.startswith("("):
        return _redact_values(code, line, dummies)
    if kind is _Kind.MESSAGE and _PIECE_OF_HEX.fullmatch(line):
        return dummies.rest_of_hex(line)
    return dummies.masked(line)


def _redact_values(code: str, rest: str, dummies: Dummies) -> str:
    kind = _kind_of(code)
    if not rest.endswith(")"):
        continues = kind is _Kind.MESSAGE and _PIECE_OF_HEX.fullmatch(rest)  # in the next line
        return dummies.rest_of_hex(rest) if continues else dummies.masked(rest)
    groups = rest[1:-1].split(")(")
    last = len(groups) - 1
    redacted = [
        _redact_value(code, kind, group, dummies, is_last=at == last) for at, group in enumerate(groups)
    ]
    return f"({')('.join(redacted)})"


def _redact_value(code: str, kind: _Kind, text: str, dummies: Dummies, *, is_last: bool) -> str:
    if not text:
        return text
    if kind is _Kind.IDENTIFIER:
        return dummies.identifier(text)
    if kind is _Kind.MESSAGE:
        return dummies.message(text)
    if kind in (_Kind.TIME, _Kind.LIST, _Kind.DATED_REGISTER) and (time := dummies.time(text)) is not None:
        return time
    number = _NUMBER.fullmatch(text)
    if number is None:
        is_kept = kind in (_Kind.LIST, _Kind.DATED_REGISTER) and _SHORT.fullmatch(text)
        return text if is_kept else dummies.masked(text)
    return _redact_number(code, kind, number, dummies, is_last=is_last)


def _redact_number(code: str, kind: _Kind, number: re.Match[str], dummies: Dummies, *, is_last: bool) -> str:
    sign, digits, unit = number[1], number[2], number[3] or ""
    is_short = kind in (_Kind.LIST, _Kind.DATED_REGISTER) and _SHORT.fullmatch(number[0])
    if kind is _Kind.REGISTER or (kind is _Kind.DATED_REGISTER and is_last):
        digits = dummies.register(code, digits)
    elif kind is _Kind.COUNT:
        digits = dummies.count(code, digits)
    elif kind in (_Kind.SCALED, _Kind.LIST, _Kind.DATED_REGISTER) and not is_short:
        digits = dummies.scaled(digits)
    elif not is_short and (kind is not _Kind.KEPT or len(digits) > _KEPT_MAX):
        return dummies.masked(number[0])
    return sign + digits + unit


def _kind_of(code: str) -> _Kind:
    usual = _usual(code)
    found = BY_CODE.get(usual) or BY_CODE.get(re.sub(r"\A1-1:", "1-0:", usual))
    if usual == _VERSION:
        return _Kind.KEPT
    if _IDENTIFIERS.fullmatch(usual) or (found is not None and found.name == "ean"):
        return _Kind.IDENTIFIER
    if _MESSAGES.fullmatch(usual):
        return _Kind.MESSAGE
    if found is not None:
        return _kind_of_object(found)
    mbus = _MBUS.fullmatch(usual)
    field = MBUS_FIELDS.get(mbus[1]) if mbus else None
    return _BY_MBUS_FIELD[field] if field is not None else _Kind.UNKNOWN


def _kind_of_object(found: ObisObject) -> _Kind:
    quantity = found.quantity
    if quantity.form is Form.NUMBER:
        if quantity.kind in _REGISTERS:
            return _Kind.REGISTER
        return _Kind.SCALED if quantity.kind in _SCALED else _Kind.KEPT
    if quantity.form is Form.COUNT:
        return _Kind.COUNT if quantity.kind is Kind.EVENTS else _Kind.KEPT
    return _BY_FORM[quantity.form]


def _usual(code: str) -> str:
    """Write a code as the table does: without the F group, with dots after the medium."""
    medium, _, value = code.partition(":")
    return f"{medium}:{value.replace(':', '.').replace('*', '.').removesuffix('.255')}"


def _with_nuls(bare: bytes, like: bytes) -> bytes:
    """Insert NULs where another text has them."""
    if b"\x00" not in like:
        return bare
    rest = iter(bare)
    return bytes(0 if byte == 0 else next(rest) for byte in like)


# The checksum


def _with_checksum(original: bytes, redacted: bytes, rng: random.Random) -> bytes:
    """Return a redacted text with a CRC that is as right or as wrong as that of the original."""
    at = original.rfind(b"!") + 1
    if not at:
        return redacted
    digits = original[at:].strip(b" \x00\r\n")
    verdict = checksum_of(original, at)
    if not digits or verdict is Checksum.MISSING:
        return redacted
    if verdict is Checksum.WRONG:
        return _with_wrong_digits(redacted, at, digits, rng)
    as_it_is = arc(original[:at]) == int(digits, 16)
    crc_of = arc if as_it_is else lambda body: arc(repaired(body))
    body = redacted[:at]
    if crc_of(body) >= 16 ** len(digits):
        body = _with_crc_below(16 ** len(digits), body, crc_of)
    return body + _write(crc_of(body), digits)[: len(digits)] + redacted[at + len(digits) :]


def _with_crc_below(limit: int, body: bytes, crc_of: Callable[[bytes], int]) -> bytes:
    """Change decimals until the CRC is below a power of two: some meters write it without leading zeros.

    A CRC is linear: flipping a bit of the body flips the same bits of the CRC, whatever the rest is. So flips
    of the lowest three bits of digits below 8 are combined until the CRC's highest bits are 0.
    """
    body = _DECIMALS.sub(lambda match: match[0].translate(_BELOW_EIGHT), body)
    size = 8 * len(body)

    def with_excess(number: int) -> int:
        """Put the bits of the CRC that must become 0 in front of those of a body."""
        return crc_of(number.to_bytes(len(body))) // limit << size | number

    number = int.from_bytes(body)
    best, basis = with_excess(number), list[int]()
    digits = (at for match in _DECIMALS.finditer(body) for at in range(*match.span()))
    for at in islice(digits, _ADJUSTED_DIGITS):
        for bit in range(3):
            change = with_excess(number) ^ with_excess(number ^ 1 << size - 8 * at - 8 + bit)
            for other in basis:
                change = min(
                    change, change ^ other
                )  # Gaussian elimination: clears the highest bit of `other`
            if change >> size:
                basis.append(change)
    for change in basis:
        best = min(best, best ^ change)
    return (best % (1 << size)).to_bytes(len(body))


def _with_wrong_digits(redacted: bytes, at: int, digits: bytes, rng: random.Random) -> bytes:
    while True:
        stated = _write(rng.randrange(16 ** len(digits)), digits)
        changed = redacted[:at] + stated + redacted[at + len(digits) :]
        if stated != digits and checksum_of(changed, at) is Checksum.WRONG:
            return changed


def _write(crc: int, like: bytes) -> bytes:
    size = len(like)
    return (f"{crc:0{size}x}" if like != like.upper() else f"{crc:0{size}X}").encode()
