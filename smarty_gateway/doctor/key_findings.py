"""The findings of `doctor` about keys and encrypted frames; `findings.py` has all others."""

from collections.abc import Sequence

from smarty_gateway.doctor.finding import ANY, Finding, counted, entry_name, make_finding, name_of
from smarty_gateway.doctor.kinds import LUXEMBOURG_CONTACTS
from smarty_gateway.protocol.key_text import is_typo
from smarty_gateway.protocol.system_title import serial_from_system_title


def no_key(title: bytes) -> Finding:
    """Encrypted frames, and no key at all."""
    name = entry_name(title)
    return make_finding(
        "no-key",
        f"{_encrypted_frames(title)}, and there is no key for it. Cable and port work.",
        f"Compare the serial number with the one printed on the meter. Ask your grid operator (DSO) for the "
        f"P1 encryption key of {name}, 32 hex digits; it may take some days. {LUXEMBOURG_CONTACTS} Then "
        "write a file keys.yaml with the line `keys:` and, below it and two blanks to the right, the line "
        f"`{name}: KEY`, and type: chmod 600 keys.yaml",
    )


def forwarded(title: bytes) -> Finding:
    """Encrypted frames on an edge, whose keys only the pool has."""
    return make_finding(
        "forwarded",
        f"{_encrypted_frames(title)}. Cable and port work. There is no key for it here, and none is needed: "
        "`run` forwards the frames to a pool, which has the keys.",
        f"Nothing needs to be done here. The pool must have the key of {entry_name(title)}: it refuses "
        "frames without a key, and they are lost.",
    )


def _encrypted_frames(title: bytes) -> str:
    serial = serial_from_system_title(title)
    stands_for = f", which stands for the serial number {serial}" if serial else ""
    return f"Encrypted frames come from a meter with the system title {title.hex().upper()}{stands_for}"


def no_entry(title: bytes, others: Sequence[str]) -> Finding:
    """A key file with entries, none for this meter, and none that fits."""
    return make_finding(
        "other-meter",
        f"The frames come from the meter {name_of(title)}. The key file has "
        f"{'an entry' if len(others) == 1 else 'entries'} for {', '.join(others)}, none for this one, and no "
        "key in it opens the frames.",
        f"Compare the serial number with the one printed on the meter this cable is plugged into. If it is "
        f"{entry_name(title)}, ask your grid operator (DSO) for its key; if the entry has a typo, correct "
        f"it. {LUXEMBOURG_CONTACTS}",
    )


def opened_by_other(title: bytes, opener: str, own: str | None) -> Finding:
    """The key of another entry opens the frames of this meter.

    Args:
        title: of the meter.
        opener: the entry with the key.
        own: the entry of the meter, which may be `any`; None if it has none.
    """
    name = entry_name(title)
    text = f"The frames come from the meter {name_of(title)}, but in the key file their key is under {opener}"
    rename = f"Change the name of that entry from {opener} to {name}."
    if own in (None, ANY) and is_typo(opener, name):
        return make_finding("serial-typo", f"{text}, which is nearly the same: a typo.", rename)
    if own is None:
        return make_finding("other-entry", f"{text}; there is no entry for {name}.", rename)
    if own == ANY:
        return make_finding("other-entry", f"{text}; for {name} there is only the entry {ANY}.", rename)
    return make_finding(
        "other-entry",
        f"{text}, not under {own}.",
        f"The keys of two entries are probably swapped: put the key of {opener} under {name}.",
    )


def serial_typo(title: bytes, entry: str) -> Finding:
    """An entry has nearly the serial number of this meter, and its key does not open the frames either."""
    name = entry_name(title)
    return make_finding(
        "serial-typo",
        f"The frames come from the meter {name_of(title)}. The key file has an entry for {entry}, which is "
        "nearly the same: probably a typo. Its key does not open the frames either.",
        f"Compare the serial number with the one printed on the meter. If it is {name}, change the name of "
        f"that entry from {entry} to {name}, and compare the key with the letter or page of your grid "
        "operator (DSO) as well.",
    )


def dummy_key(title: bytes, entry: str) -> Finding:
    """The key of the meter is that of an example, and does not open the frames."""
    name = entry_name(title)
    what = f"the entry {entry}" + (" of the key file is for it, and" if entry == ANY else "")
    return make_finding(
        "dummy-key",
        f"The frames come from the meter {name_of(title)}, and {what} holds a published dummy key, which "
        "opens no real meter.",
        f"Ask your grid operator (DSO) for the P1 encryption key of {name}, 32 hex digits. "
        f"{LUXEMBOURG_CONTACTS} Then replace the dummy by the line `{name}: KEY`.",
    )


def wrong_encryption_key(title: bytes, entry: str, count: int) -> Finding:
    """No key opens the frames."""
    return make_finding(
        "wrong-encryption-key",
        f"{counted(count, 'undamaged frame')} came from the meter {name_of(title)}, and the key in the entry "
        f"{entry} does not open them.",
    )


def new_key(title: bytes, entry: str, count: int) -> Finding:
    """Frames verified, and then the key opened no more of them."""
    return make_finding(
        "new-key",
        f"The meter {name_of(title)} probably got a new key: the one in the entry {entry} opened its frames "
        f"at first, but not the last {count:,}, which look undamaged.",
    )


def older_key(title: bytes, entry: str, count: int) -> Finding:
    """Frames did not open, and then the key opened all."""
    return make_finding(
        "older-key",
        f"The key in the entry {entry} opens the frames of the meter {name_of(title)}, but not the first "
        f"{count:,}: they probably came before the meter got this key.",
    )


def key_order(title: bytes, entry: str, number: int, rejected: int) -> Finding:
    """A key after the first of an entry is in use; `rejected` frames came under one that was dropped."""
    text = f"Frames of the meter {name_of(title)} open with key number {number} of the entry {entry}"
    if not rejected:
        return make_finding("key-to-come", f"{text}, and none with the first.")
    frames = counted(rejected, "frame is", "frames are")
    return make_finding("key-order", f"{text}, but {frames} rejected because a key before it was used.")


def wrong_authentication_key(title: bytes, entry: str, count: int) -> Finding:
    """The encryption key is right, the tag does not verify."""
    return make_finding(
        "wrong-authentication-key",
        f"The encryption key of the meter {name_of(title)} is right, but its authentication key is not "
        f"({counted(count, 'frame')}).",
        f"If the entry {entry} has a line authentication_key, remove it: all meters in Luxembourg use the "
        "same public key, which is the default. Elsewhere, as in Austria, ask the DSO for it. If nobody "
        "knows it, `verification: crc-only` in the entry accepts the readings unauthenticated.",
    )


def other_security(security: Sequence[int], count: int) -> Finding:
    """Frames with another security byte."""
    shown = ", ".join(f"{byte:02X}" for byte in security)
    return make_finding(
        "other-security",
        f"{counted(count, 'frame has', 'frames have')} the security byte {shown} instead of 30, so they are "
        "not encrypted and authenticated as those of a P1 port.",
    )


def replay(name: str, count: int) -> Finding:
    """Frame counters that did not rise."""
    authentic = "is authentic, but its" if count == 1 else "are authentic, but their"
    return make_finding(
        "replay",
        f"{counted(count, 'frame')} of the meter {name} {authentic} frame counter did not rise: such frames "
        "came before.",
    )
