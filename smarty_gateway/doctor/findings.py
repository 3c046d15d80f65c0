"""The findings of `doctor`: what each says about one source, and what it advises.

One short paragraph says what was observed, a second one what to do. The text is for readers who never
saw a serial port, and may change; the codes are for programs, and stay. What can be said without the values
of a meter is in `kinds.py`; findings about keys are in `key_findings.py`.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from smarty_gateway.doctor.finding import Finding, counted, make_finding
from smarty_gateway.doctor.kinds import KINDS, Code
from smarty_gateway.safe_text import without_keys
from smarty_gateway.sources.address import DSMR2_LINE, LineSettings

#: How the values that a meter does not send can be had, by country.
_ENABLING: Final = {
    "Luxembourg": "Your grid operator (DSO) can enable these; ask it for the full list of P1 values, and "
    "for the M-Bus values if you have a gas meter (they are off by default).",
    "Belgium": "A gas meter appears once the DSO has coupled it with the electricity meter; values per phase "
    "came with e-MUCS 1.5, and older meters get them by an update from the DSO.",
    None: "Ask your grid operator (DSO) about these.",
}

#: pyserial wraps the system's message about a device that is not a serial port.
_OF_PYSERIAL: Final = re.compile(r"Could not configure port: \(\d+, '(.*)'\)")


# Nothing came, or not enough


def silent(source: str, seconds: float | None, lines: Sequence[LineSettings], *, is_serial: bool) -> Finding:
    """Nothing came. None for the seconds stands for a recording."""
    if seconds is None:
        return make_finding("empty-recording", f"{source} is empty: nothing was recorded.")
    tried = f" (tried {', '.join(map(str, lines))})" if is_serial and len(lines) > 1 else ""
    too_short = " That is short: meters in Luxembourg send only every 10 s." if seconds < 11 else ""
    text = f"Nothing came from {source} in {seconds:.0f} s{tried}.{too_short}"
    return make_finding("silent" if is_serial else "silent-bridge", text)


def too_short(*, is_live: bool) -> Finding:
    """Only a part of a telegram came, and nothing is wrong with it."""
    return make_finding(
        "too-short",
        f"{'Only' if is_live else 'The recording holds only'} a part of a telegram"
        f"{' came' if is_live else ''}, and nothing in it looks wrong.",
    )


def unreadable_lines(count: int | None) -> Finding:
    """A capture or hex dump was changed on its way. None stands for all lines of a capture."""
    text = "This is a capture, but none of its lines begins as it was written, so none can be read."
    if count is not None:
        skipped = f"{counted(count, 'line')} of this recording cannot be read and {_was(count)} skipped"
        text = f"{skipped}, so telegrams are missing or look damaged."
    return make_finding("unreadable-lines", text)


def configuration(path: Path, errors: Sequence[str]) -> Finding:
    """The configuration has faults; what could be read of it was used."""
    return make_finding(
        "configuration",
        without_keys(
            f"{path} has {counted(len(errors), 'fault')}, and `run` will not start with it. "
            f"{'The fault' if len(errors) == 1 else 'The first'}: {errors[0]}"
        ),
        without_keys(
            f"List all faults with: smarty-gateway check --config {shlex.quote(str(path))} (doctor used "
            "what can be read of it, and otherwise looked for keys.yaml in the usual places)."
        ),
    )


# Wrong signal


def inverted(how: str) -> Finding:
    """The signal is inverted."""
    return make_finding("inverted", f"The signal is inverted: the bytes are {how}.")


def line_settings_found(line: LineSettings, usual: LineSettings, *, is_configured: bool) -> Finding:
    """Telegrams came through at other settings than the usual ones."""
    text = f"The meter sends at {line}, not at the usual {usual}."
    if is_configured:
        return make_finding("found-line-settings", text, "Nothing needs to be done: gateway.yaml says so.")
    keys = f"`speed: {line.speed}` and `framing: {line.framing}` in the meter's entry in gateway.yaml."
    if line == DSMR2_LINE:
        begin = (
            "`run` finds these settings as well, so nothing needs to be done. To make it start faster, write"
        )
        return make_finding("found-line-settings", text, f"{begin} {keys}")
    begin = "`run` does not try these settings by itself. Write"
    return make_finding("unusual-line-settings", text, f"{begin} {keys}")


def line_settings_guessed(how: str, line: LineSettings) -> Finding:
    """The bytes show that they were read at wrong settings."""
    return make_finding(
        "line-settings",
        f"Speed or parity is wrong: {how}.",
        f"Set the port, or the bridge, to {line} (meters of DSMR 2.2 and 3.0), and record or listen again. "
        "Newer meters send at 115200 8N1.",
    )


def parity_read_as_eight_bits(line: LineSettings) -> Finding:
    """Telegrams came through though each character carries a parity bit."""
    return make_finding(
        "parity-bit",
        "The meter sends seven bits and a parity bit, and the port reads eight bits.",
        f"The gateway copes with that. To be right, set the port to the framing {line.framing}.",
    )


def not_p1(name: str) -> Finding:
    """Another protocol was recognised."""
    return make_finding("not-p1", f"This is not a P1 port: the bytes are {name}.")


def odd_content(count: int) -> Finding:
    """Frames that verify, and hold something else than telegrams."""
    found = counted(count, "frame is", "frames are")
    return make_finding(
        "odd-content",
        f"{found} authentic, but without a P1 telegram inside.",
        "The key is right. The meter sends another kind of data in these frames, which this program cannot "
        "read; tell its authors which meter it is.",
    )


def garbage(size: int, lines: Sequence[LineSettings], *, is_live: bool) -> Finding:
    """Bytes that nothing explains."""
    tried = f" at {', '.join(map(str, lines))}" if lines else ""
    again = "" if is_live else " If this is a recording of a port, make it with `smarty-gateway capture`."
    longer = "That is less than a telegram, so listen longer first, 25 s. " if size < 1200 else ""
    return make_finding(
        "garbage",
        f"{counted(size, 'byte')} came{tried}, without any telegram or encrypted frame.",
        f"{longer}The likely causes: a cable that does not invert the signal as P1 needs it; a cable that is "
        "too long or has no pull-up resistor; another speed than 115200 8N1 (9600 7E1 for old Dutch meters); "
        f"a port that belongs to another device.{again}",
    )


# The port


def cannot_open(code: Code, source: str, message: str) -> Finding:
    """The source could not be opened; the message says why and what to do."""
    observed = {
        Code.BUSY: f"{source} is in use.",
        Code.MISSING: f"{source} cannot be reached.",
        Code.PERMISSION: f"You have no permission to read {source}.",
    }.get(code, f"{source} cannot be used.")
    message = _OF_PYSERIAL.sub(r"\1", message)
    advice = message[:1].upper() + message[1:] + ("" if message.endswith("?") else ".")
    if code is Code.UNFIT:
        advice += f" {KINDS['unfit'].advice}"
    if code is Code.BUSY:
        advice += " If it is smarty-gateway itself: systemctl stop smarty-gateway, and start it afterwards."
    return make_finding(code.value, observed, advice)


def lost(source: str, count: int, message: str) -> Finding:
    """The source went away while doctor listened."""
    return make_finding(
        "lost",
        f"{source} went away {counted(count, 'time')} while doctor listened.",
        f"The last message: {message}. {KINDS['lost'].advice}",
    )


def key_file_mode(path: Path) -> Finding:
    """Others can read the key file."""
    return make_finding(
        "key-file-mode",
        f"Others on this machine can read the keys in {path}, and `run` will not start with it.",
        f"Type: chmod 600 {shlex.quote(str(path))}",
    )


def plaintext(count: int) -> Finding:
    """An encrypted meter that sends plaintext."""
    return make_finding(
        "plaintext",
        f"{counted(count, 'telegram')} came as plaintext from a meter that is known to encrypt. They prove "
        "nothing: anyone could have written them.",
    )


def needlessly_unauthenticated(entry: str) -> Finding:
    """Readings that are accepted by their CRC alone, though their tags verify."""
    return make_finding(
        "needless-crc-only",
        f"The readings are unauthenticated, as crc-only in the entry {entry} asks: anyone who can send on "
        "this line can forge them. That is not needed, because the tags verify.",
    )


def unauthenticated(reading: str, entry: str, *, default_fits: bool) -> Finding:
    """Readings that are accepted by their CRC alone, and no tag verifies.

    Args:
        reading: what the meter sends, as a sentence.
        entry: of keys.yaml.
        default_fits: True if Luxembourg's authentication key would verify them.
    """
    how = (
        "The frames verify with the public authentication key of Luxembourg, which is the default: remove "
        f"the lines authentication_key and verification from the entry {entry}."
        if default_fits
        else "Ask your grid operator (DSO) for the authentication key of this meter (in Austria it comes "
        f"with the encryption key and may be called AK), write it to the entry {entry} as "
        "authentication_key, and remove `verification: crc-only`. In Luxembourg all use the default."
    )
    return make_finding(
        "unauthenticated",
        f"{reading} The readings are accepted because of `verification: crc-only`, but they are not "
        "verified: the authentication key is not the meter's, so anyone who can send on this line can forge "
        "them.",
        how,
    )


# A meter that is read


def healthy(description: str, missing: Sequence[str], country: str | None, *, alone: bool) -> Finding:
    """Nothing is wrong with this meter.

    Args:
        description: what it sends, as a sentence.
        missing: what meters of its kind can send, and this one does not.
        country: of the meter, as far as it is known.
        alone: True if there is no other finding.
    """
    advice = KINDS["healthy"].advice if alone else "These readings can be used."
    if missing:
        advice += f" The meter does not send: {', '.join(missing)}. {_ENABLING.get(country, _ENABLING[None])}"
    return make_finding("healthy", description, advice)


# Damage


def damaged(bit_errors: int, short: int, unclear: int, good: int) -> Finding:
    """Telegrams that arrived damaged."""
    parts = []
    if bit_errors:
        parts.append(f"{bit_errors} with bit errors, at full length")
    if short:
        parts.append(f"{short} with lost bytes")
    if unclear:
        parts.append(f"{unclear} with damage of an unknown kind")
    advice = (
        "Bit errors come from the cable: use a shorter one (3 m is safe, 10 m is a lot), no splitter, an "
        "adapter with a pull-up resistor, and keep it away from power lines."
    )
    if short > bit_errors:
        advice = (
            "Bytes get lost where a computer or bridge does not keep up: try another USB port without a hub, "
            "end programs that read the same port, and on an ESP use its hardware serial port with a larger "
            "buffer."
        )
    count = bit_errors + short + unclear
    return make_finding(
        "damaged",
        f"{counted(count, 'telegram')} arrived damaged: {', '.join(parts)}. {_others(good)} arrived intact.",
        advice,
    )


def truncated(count: int, size: int | None, good: int) -> Finding:
    """Telegrams that were cut. `size` if all were cut to the same."""
    same = f", each after {size:,} bytes" if size is not None and count > 1 else ""
    extra = f" A buffer of {size:,} bytes is too small: some telegrams have 2,000." if same else ""
    return make_finding(
        "truncated",
        f"{counted(count, 'telegram')} {_was(count)} cut short{same}. {_others(good)} arrived intact.",
        "Something between meter and computer stops too early: a bridge with a small buffer, a data request "
        f"line that is released, a loose plug.{extra} The meter needs that line for up to 8 s at a time.",
    )


def wrong_checksum(count: int) -> Finding:
    """The frame is authentic and its telegram's CRC is wrong."""
    return make_finding(
        "checksum",
        f"{counted(count, 'frame is', 'frames are')} authentic, but the CRC of the telegram inside is wrong.",
        "Cable and key are right: the meter itself wrote the wrong CRC. Tell the DSO if this continues.",
    )


def _others(good: int) -> str:
    return counted(good, "other") if good else "None"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"
