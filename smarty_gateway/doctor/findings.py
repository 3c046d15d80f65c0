"""What `doctor` says: the code of each finding, and its words.

One short paragraph says what is seen, a second one what to do. The words are for people who never saw
a serial port and may change; the codes are for programs and stay.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from smarty_gateway.protocol.system_title import serial_from_system_title
from smarty_gateway.safe_text import without_keys
from smarty_gateway.sources.address import DSMR2_LINE, LineSettings

#: Luxmetering P1 specification 1.1.3, table 1.1.
DSO_CONTACTS: Final = (
    "Creos: info@creos.net, or its customer portal",
    "Diekirch: smarty@diekirch.lu",
    "Dudelange: smartmeter@dudelange.lu",
    "Electris: technique@electris.lu",
    "Ettelbruck: sive@ettelbruck.lu",
    "Sudgaz: distribution@sudgaz.lu",
    "Sudstroum: backoffice@sudstroum.lu",
)

#: pyserial wraps what the system says about a device that is no port.
_OF_PYSERIAL: Final = re.compile(r"Could not configure port: \(\d+, '(.*)'\)")


class Code(StrEnum):
    """What programs recognise a finding by."""

    SILENT = "silent"
    INVERTED = "inverted"
    LINE_SETTINGS = "line-settings"
    GARBAGE = "garbage"  #: bytes that are nothing that is known
    BUSY = "busy"
    MISSING = "missing"
    PERMISSION = "permission"
    UNFIT = "unfit"  #: what is there is no port
    LOST = "lost"  #: the source went away while it was listened to
    NO_KEY = "no-key"
    WRONG_ENCRYPTION_KEY = "wrong-encryption-key"
    WRONG_AUTHENTICATION_KEY = "wrong-authentication-key"
    KEY_ORDER = "key-order"  #: the key in use is not the first of its entry
    OTHER_METER = "other-meter"
    OTHER_SECURITY = "other-security"  #: frames that are not secured as Luxembourg's are
    DAMAGED = "damaged"
    TRUNCATED = "truncated"
    REPLAY = "replay"
    PLAINTEXT = "plaintext"
    CHECKSUM = "checksum"  #: the meter itself sends a telegram with a wrong CRC
    UNAUTHENTICATED = "unauthenticated"  #: accepted under `crc-only`
    NOT_P1 = "not-p1"
    TOO_SHORT = "too-short"  #: only a part of a telegram came
    UNREADABLE_LINES = "unreadable-lines"  #: of a capture or hex dump
    CONFIGURATION = "configuration"  #: gateway.yaml has faults
    HEALTHY = "healthy"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found out.

    Attributes:
        text: what is seen.
        advice: what to do; empty where nothing is to be done.
    """

    code: Code
    text: str
    advice: str


def name_of(title: bytes) -> str:
    """Name a meter by what is printed on it, and by its system title."""
    serial = serial_from_system_title(title)
    shown = title.hex().upper()
    return f"with the system title {shown}" if serial is None else f"{serial} (system title {shown})"


def entry_name(title: bytes | None) -> str:
    """Name an entry of keys.yaml as a user would look for it."""
    if title is None:
        return "any"
    return serial_from_system_title(title) or title.hex().upper()


def times(count: int, one: str, many: str = "") -> str:
    """Write a number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


# Nothing at all


def silent(source: str, seconds: float | None, line: Sequence[LineSettings], *, is_serial: bool) -> Finding:
    """Nothing came. None for the seconds stands for a recording."""
    if seconds is None:
        return Finding(
            Code.SILENT,
            f"{source} is empty: nothing was recorded.",
            "Record again for at least 25 s, or run doctor on the port itself: it says why that is silent.",
        )
    tried = f" (listened at {', '.join(map(str, line))})" if is_serial and len(line) > 1 else ""
    too_short = " That is short: meters in Luxembourg speak only every 10 s." if seconds < 11 else ""
    first = (
        "Look at the cable first: is it in the socket marked P1 (not S1), and pushed in to its end?"
        if is_serial
        else "Look whether the bridge itself is alive, and whether its cable is in the meter's P1 socket."
    )
    return Finding(
        Code.SILENT,
        f"Nothing at all came from {source} in {seconds:.0f} s{tried}.{too_short}",
        f"{first} Then the data request line: the meter speaks only while pin 2 of its socket gets the 5 V "
        "of pin 1; a P1 cable connects the two, a home-made one may not. Then the port itself. In "
        "Luxembourg it speaks, encrypted, every 10 s; if cable and request line are right, ask your grid "
        "operator (DSO) whether the port is enabled. In Flanders it is closed until you open it on "
        "mijn.fluvius.be, and may close again after a year or a move; while it is closed even its 5 V is "
        "off. In Wallonia and Brussels ask ORES, RESA or Sibelga.",
    )


def too_short(seconds: float | None) -> Finding:
    """Less than a telegram came, and nothing is wrong with it."""
    where = "The recording holds" if seconds is None else "What came is"
    return Finding(
        Code.TOO_SHORT,
        f"{where} only a part of a telegram, and nothing in it looks wrong.",
        "Listen or record for longer, at least 25 s: a meter in Luxembourg speaks every 10 s.",
    )


def unreadable_lines(count: int | None) -> Finding:
    """A capture or hex dump was changed on its way. None stands for all lines of a capture."""
    text = "This is a capture, but its lines do not begin as they were written, so none can be read."
    if count is not None:
        skipped = f"{times(count, 'line')} of this recording cannot be read and {_was(count)} skipped"
        text = f"{skipped}, so that telegrams are missing or look damaged."
    return Finding(
        Code.UNREADABLE_LINES,
        text,
        "A mail program or a forum has probably wrapped or quoted (>) the lines. Attach the file itself, if "
        "need be zipped, not its text, and run doctor on that.",
    )


def configuration(path: Path, errors: Sequence[str]) -> Finding:
    """The configuration has faults; it was used as far as it could be read."""
    return Finding(
        Code.CONFIGURATION,
        without_keys(
            f"{path} has {times(len(errors), 'fault')}, and `run` will not start with it. "
            f"{'It is this' if len(errors) == 1 else 'The first'}: {errors[0]}"
        ),
        without_keys(
            f"See all that is wrong with: smarty-gateway check --config {shlex.quote(str(path))} (doctor "
            "went on with what can be read of it, and else with the usual places of keys.yaml)."
        ),
    )


# Wrong signal


def inverted(how: str) -> Finding:
    """The line is upside down."""
    return Finding(
        Code.INVERTED,
        f"The signal is inverted: what comes is {how}.",
        "A P1 port sends upside down, and the cable or the adapter must turn that round. Use a cable made "
        "for P1 (its chip is set to inverted), invert RXD of an FTDI chip with FT_PROG or ftdi_eeprom, or "
        "put a transistor with a pull-up resistor between. If the cable inverts already, something behind "
        "it does so a second time: switch that off (on an ESP the `inverted` option of its serial port).",
    )


def line_settings_found(line: LineSettings, usual: LineSettings) -> Finding:
    """Telegrams came through at other settings than the usual ones."""
    begin = "For `run`, which does not try these settings by itself, write"
    if line == DSMR2_LINE:
        begin = "Nothing needs to be done for `run`, which finds that too. To be quicker, write"
    return Finding(
        Code.LINE_SETTINGS,
        f"The meter speaks at {line}, not at the usual {usual}: there its telegrams come through.",
        f"{begin} `speed: {line.speed}` and `framing: {line.framing}` to the meter's entry in gateway.yaml.",
    )


def line_settings_guessed(how: str, line: LineSettings) -> Finding:
    """The bytes tell that they were read at wrong settings."""
    return Finding(
        Code.LINE_SETTINGS,
        f"Speed or parity is wrong: {how}.",
        f"Set the port, or the bridge, to {line} (meters of DSMR 2.2 and 3.0), and record or listen again. "
        "Newer meters speak at 115200 8N1.",
    )


def parity_read_as_eight_bits(line: LineSettings) -> Finding:
    """Telegrams came through though each character carries a parity bit."""
    return Finding(
        Code.LINE_SETTINGS,
        "The meter sends seven bits and a parity bit, and the port reads eight bits.",
        f"The gateway copes with that. To be right, set the port to the framing {line.framing}.",
    )


def not_p1(name: str) -> Finding:
    """Another protocol was recognised."""
    return Finding(
        Code.NOT_P1,
        f"This is no P1 port: what comes is {name}.",
        "Use the meter's P1 socket, and the address of the P1 reader itself. Meters that send this protocol "
        "need a program made for it.",
    )


def odd_content(count: int) -> Finding:
    """Frames that verify, with something else than telegrams in them."""
    return Finding(
        Code.NOT_P1,
        f"{times(count, 'frame is', 'frames are')} authentic, and what they hold is no P1 telegram.",
        "The key is right. The meter sends another kind of data in these frames, which this program cannot "
        "read; tell its authors which meter it is.",
    )


def garbage(size: int, lines: Sequence[LineSettings], *, is_live: bool) -> Finding:
    """Bytes that look like nothing."""
    tried = f" at {', '.join(map(str, lines))}" if lines else ""
    again = "" if is_live else " If this is a recording of a port, make it with `smarty-gateway capture`."
    longer = "That is less than a telegram, so listen longer first, 25 s. " if size < 1200 else ""
    return Finding(
        Code.GARBAGE,
        f"{times(size, 'byte')} came{tried}, and nothing in them is a telegram or an encrypted frame.",
        f"{longer}The likely causes: a cable that does not invert the signal as P1 needs it; a cable that is "
        "too long or has no pull-up resistor; another speed than 115200 8N1 (9600 7E1 for old Dutch meters); "
        f"a port that belongs to another device.{again}",
    )


# The port


def cannot_open(code: Code, source: str, words: str) -> Finding:
    """The source could not be opened; the words say why and what to do."""
    seen = {
        Code.BUSY: f"{source} is in use.",
        Code.MISSING: f"{source} cannot be reached.",
        Code.PERMISSION: f"{source} may not be read by you.",
    }.get(code, f"{source} cannot be used.")
    words = _OF_PYSERIAL.sub(r"\1", words)
    advice = words[:1].upper() + words[1:] + ("" if words.endswith("?") else ".")
    if code is Code.UNFIT:
        advice += " Name the port of the P1 adapter; ls /dev/serial/by-id shows which ports there are."
    if code is Code.BUSY:
        advice += " If it is smarty-gateway itself: systemctl stop smarty-gateway, and start it afterwards."
    return Finding(code, seen, advice)


def lost(source: str, count: int, words: str) -> Finding:
    """The source went away while it was listened to."""
    return Finding(
        Code.LOST,
        f"{source} went away {times(count, 'time')} while doctor listened.",
        f"What was seen last: {words}. Look at plug, hub and power of the adapter or bridge, and end other "
        "programs that read the same port.",
    )


# Keys


def no_key(title: bytes) -> Finding:
    """Encrypted frames, and no key at all."""
    serial = serial_from_system_title(title)
    name = serial or title.hex().upper()
    stands_for = f", which stands for the serial number {serial}" if serial else ""
    return Finding(
        Code.NO_KEY,
        f"Encrypted frames come from a meter with the system title {title.hex().upper()}{stands_for}, and "
        "there is no key for it. Cable and port are in order.",
        f"Compare the serial number with the one printed on the meter. Ask your grid operator (DSO) for the "
        f"P1 encryption key of {name}, 32 hex digits; it may take some days. In Luxembourg: "
        f"{'; '.join(DSO_CONTACTS)}. Then write a file keys.yaml with the two lines `keys:` and "
        f"`  {name}: ` with the key behind it, and type: chmod 600 keys.yaml",
    )


def no_entry(title: bytes, others: Sequence[str]) -> Finding:
    """A key file with entries, none for this meter, and none that fits."""
    name = serial_from_system_title(title) or title.hex().upper()
    return Finding(
        Code.OTHER_METER,
        f"The frames come from the meter {name_of(title)}. The key file has "
        f"{'an entry' if len(others) == 1 else 'entries'} for {', '.join(others)}, none for this one, and no "
        "key in it opens the frames.",
        f"Compare the serial number with the one printed on the meter this cable is plugged into. If it is "
        f"{name}, ask your grid operator (DSO) for its key; if the entry has a slip of the pen, mend it. "
        f"In Luxembourg: {'; '.join(DSO_CONTACTS)}.",
    )


def opened_by_other(title: bytes, opener: str, own: str | None) -> Finding:
    """The key of another entry opens the frames of this meter."""
    name = serial_from_system_title(title) or title.hex().upper()
    text = f"The frames come from the meter {name_of(title)}; the key that opens them stands under {opener}"
    if own is None:
        return Finding(
            Code.OTHER_METER,
            f"{text} in the key file; there is no entry for {name}.",
            f"Change the name of that entry from {opener} to {name}.",
        )
    return Finding(
        Code.OTHER_METER,
        f"{text} in the key file, not under {own}.",
        f"The keys of two entries were probably exchanged: put the key of {opener} under {name}.",
    )


def wrong_encryption_key(title: bytes, entry: str, count: int) -> Finding:
    """No key opens the frames."""
    return Finding(
        Code.WRONG_ENCRYPTION_KEY,
        f"{times(count, 'frame')} came whole from the meter {name_of(title)}, and the key in the entry "
        f"{entry} does not open them.",
        "Compare the key with the letter or page of your grid operator (DSO), digit by digit: a 0 for an O, "
        "an 8 for a B, two digits exchanged. It must be the P1 encryption key of this very meter, not of one "
        "that was replaced. If it is the same, ask the DSO: the meter may have got a new key.",
    )


def new_key(title: bytes, entry: str, count: int) -> Finding:
    """Frames verified, and then the key opened none any more."""
    return Finding(
        Code.WRONG_ENCRYPTION_KEY,
        f"The meter {name_of(title)} probably got a new key: the one in the entry {entry} opened its frames, "
        f"and does not open the last {count:,}, which came whole and one after the other.",
        "Ask your grid operator (DSO) for the new P1 encryption key of this meter, and write it before the "
        "old one, as a list: encryption_key: [NEW, OLD]. The old one retires by itself.",
    )


def older_key(title: bytes, entry: str, count: int) -> Finding:
    """Frames did not open, and then the key opened all."""
    return Finding(
        Code.WRONG_ENCRYPTION_KEY,
        f"The key in the entry {entry} opens the frames of the meter {name_of(title)}, but not the first "
        f"{count:,}: they probably came before the meter got this key.",
        "Nothing needs to be done for what comes from now on. To read the old frames as well, write the old "
        "key behind the new one, as a list: encryption_key: [NEW, OLD]",
    )


def key_order(title: bytes, entry: str, number: int, refused: int) -> Finding:
    """A key behind the first of an entry is in use; `refused` frames came under a retired one."""
    text = f"Frames of the meter {name_of(title)} open with key number {number} of the entry {entry}"
    if refused:
        text += f", and {times(refused, 'frame is', 'frames are')} refused because a key before it was used"
    else:
        text += ", and none with the first"
    return Finding(
        Code.KEY_ORDER,
        f"{text}.",
        "Put the newest key first, and take out those that the meter does not use any more: with the first "
        "frame under a key, those behind it retire. Only if the meter has yet to get the first key, all is "
        "as it should be.",
    )


def wrong_authentication_key(title: bytes, entry: str, count: int) -> Finding:
    """The encryption key is right, the tag does not verify."""
    return Finding(
        Code.WRONG_AUTHENTICATION_KEY,
        f"The encryption key of the meter {name_of(title)} is right, but its authentication key is not "
        f"({times(count, 'frame')}).",
        f"If the entry {entry} has a line authentication_key, take it out: meters in Luxembourg all use the "
        "same public one, which is the default. Elsewhere, as in Austria, ask the DSO for it. If nobody can "
        "tell, `verification: crc-only` in the entry accepts the readings unauthenticated.",
    )


def other_security(security: Sequence[int], count: int) -> Finding:
    """Frames whose security byte is another one."""
    shown = ", ".join(f"{byte:02X}" for byte in security)
    return Finding(
        Code.OTHER_SECURITY,
        f"{times(count, 'frame has', 'frames have')} the security byte {shown} instead of 30: not encrypted "
        "and authenticated as a P1 port does it.",
        "If this is a Luxembourg meter, tell its DSO and the authors of this program. Meters of other "
        "countries send such frames with other content, which needs another program.",
    )


def replay(name: str, count: int) -> Finding:
    """Frame counters that did not rise."""
    return Finding(
        Code.REPLAY,
        f"{times(count, 'frame')} of the meter {name} came again: the frame counter did not rise. "
        f"{'It is' if count == 1 else 'They are'} authentic, and came before.",
        "Look for what sends twice: a bridge or a recording that repeats itself, two recordings in one file, "
        "two programs that feed one port. If the meter was replaced or its counter set back, accept that "
        "with: smarty-gateway reset-counter METER",
    )


def plaintext(count: int) -> Finding:
    """An encrypted meter that sends plaintext."""
    return Finding(
        Code.PLAINTEXT,
        f"{times(count, 'telegram')} came as plaintext from a meter that is known to encrypt. They prove "
        "nothing: anyone could have written them.",
        "Ask your grid operator (DSO) whether it switched the encryption off. If so, take the meter's entry "
        "out of keys.yaml, and `encrypted: true` out of gateway.yaml. If not, find out who feeds this port.",
    )


def needlessly_unauthenticated(entry: str) -> Finding:
    """Readings that count with their CRC alone, though their tags verify."""
    return Finding(
        Code.UNAUTHENTICATED,
        f"The readings are unauthenticated, as the entry {entry} asks with crc-only: whoever can send on "
        "this line can forge them. That is not needed, for the frames verify.",
        "Take `verification: crc-only` out of the entry.",
    )


# Damage


def _others(whole: int) -> str:
    return times(whole, "other") if whole else "None"


def damaged(bit_errors: int, short: int, unclear: int, whole: int) -> Finding:
    """Telegrams that arrived damaged."""
    parts = []
    if bit_errors:
        parts.append(f"{bit_errors} with bits that turned over, at full length")
    if short:
        parts.append(f"{short} with bytes that were lost")
    if unclear:
        parts.append(f"{unclear} of which it cannot be told how")
    count = bit_errors + short + unclear
    advice = (
        "Bits turn over on the cable: use a shorter one (3 m is safe, 10 m is a lot), no splitter, an "
        "adapter with a pull-up resistor, and keep it away from power lines."
    )
    if short > bit_errors:
        advice = (
            "Bytes get lost where a computer or bridge does not keep up: try another USB port without a hub, "
            "end programs that read the same port, and on an ESP use its hardware serial port with a larger "
            "buffer."
        )
    how = ", ".join(parts)
    return Finding(
        Code.DAMAGED,
        f"{times(count, 'telegram')} arrived damaged: {how}. {_others(whole)} came whole.",
        advice,
    )


def truncated(count: int, size: int | None, whole: int) -> Finding:
    """Telegrams that were cut. `size` where all were cut to the same."""
    same = f", each after {size:,} bytes" if size is not None and count > 1 else ""
    extra = f" A buffer of {size:,} bytes is too small: some telegrams have 2,000." if same else ""
    return Finding(
        Code.TRUNCATED,
        f"{times(count, 'telegram')} {_was(count)} cut short{same}. {_others(whole)} came whole.",
        "Something between meter and computer stops too early: a bridge with a small buffer, a data request "
        f"line that is let go, a loose plug.{extra} The meter needs the line for up to 8 s at a time.",
    )


def wrong_checksum(count: int) -> Finding:
    """The frame is authentic and its telegram's CRC is wrong."""
    return Finding(
        Code.CHECKSUM,
        f"{times(count, 'frame is', 'frames are')} authentic, but the CRC of the telegram inside is wrong.",
        "That is no fault of cable or key: the meter itself wrote it so. Tell the DSO if it goes on.",
    )
