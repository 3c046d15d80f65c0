"""The kinds of findings of `doctor`, as data: what a user sees, what it means, what to do.

`findings.py` and `key_findings.py` make the findings of these kinds, with the values of one meter in them. A
page of symptoms is made from the same data:

    for kind in KINDS.values():
        print(kind.id, kind.code, kind.is_fault, kind.symptom, kind.meaning, kind.advice)

Symptom, meaning and advice are plain sentences; between backticks is what the user types or reads. Kinds with
one code differ in their cause. The codes are for programs and stay; ids and sentences may change.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Luxmetering P1 specification 1.1.3, table 1.1.
LUXEMBOURG_CONTACTS: Final = (
    "In Luxembourg: Creos: info@creos.net, or its customer portal; Diekirch: smarty@diekirch.lu; Dudelange: "
    "smartmeter@dudelange.lu; Electris: technique@electris.lu; Ettelbruck: sive@ettelbruck.lu; Sudgaz: "
    "distribution@sudgaz.lu; Sudstroum: backoffice@sudstroum.lu."
)


class Code(StrEnum):
    """The names by which programs recognise a finding."""

    SILENT = "silent"
    INVERTED = "inverted"
    LINE_SETTINGS = "line-settings"
    GARBAGE = "garbage"  #: bytes that nothing explains
    BUSY = "busy"
    MISSING = "missing"
    PERMISSION = "permission"
    UNFIT = "unfit"  #: the source is not a serial port
    LOST = "lost"  #: the source went away while doctor listened
    NO_KEY = "no-key"
    FORWARDED = "forwarded"  #: there is no key here, but a pool has it
    DUMMY_KEY = "dummy-key"  #: the key is that of an example, and the meter has another
    WRONG_ENCRYPTION_KEY = "wrong-encryption-key"
    WRONG_AUTHENTICATION_KEY = "wrong-authentication-key"
    KEY_ORDER = "key-order"  #: the key in use is not the first of its entry
    KEY_FILE_MODE = "key-file-mode"  #: others can read the key file
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
class FindingKind:
    """One kind of finding.

    Attributes:
        code: for programs.
        symptom: what the user sees, in the user's words.
        meaning: why that is so.
        advice: what to do; empty if nothing is to be done.
        is_fault: True if something must change; `doctor` exits with 1 then.
        name: distinguishes kinds with the same code.
    """

    code: Code
    symptom: str
    meaning: str
    advice: str
    is_fault: bool = True
    name: str = ""

    @property
    def id(self) -> str:
        """Its own name; the code where it is the only kind with that code."""
        return self.name or self.code.value


KINDS: Final[dict[str, FindingKind]] = {
    kind.id: kind
    for kind in (
        # Nothing comes
        FindingKind(
            Code.SILENT,
            "Nothing comes from the meter: no reading, not a single byte.",
            "The port is open, but the meter does not send, or the cable does not carry what it sends.",
            "Check the cable first: is it in the socket marked P1 (not S1), and pushed in fully? Then check "
            "the data request line: the meter sends only while pin 2 of its socket gets the 5 V of pin 1; a "
            "P1 cable connects the two, a home-made one may not. Then check that the port is open. In "
            "Luxembourg it sends encrypted data every 10 s; if cable and request line are right, ask your "
            "grid operator (DSO) whether the port is enabled. In Flanders it is closed until you open it on "
            "mijn.fluvius.be, and may close again after a year or a move; while it is closed, even its 5 V "
            "is off. In Wallonia and Brussels ask ORES, RESA or Sibelga.",
        ),
        FindingKind(
            Code.SILENT,
            "A bridge in the network is connected, but nothing comes from it.",
            "The network works. The bridge gets nothing from the meter, or does not pass it on.",
            "Check that the bridge itself works, and that its cable is in the meter's P1 socket (not S1). "
            "Then check the data request line and whether the port is open, as for a cable.",
            name="silent-bridge",
        ),
        FindingKind(
            Code.SILENT,
            "A recording is empty.",
            "Nothing came while it was made.",
            "Record again for at least 25 s, or run doctor on the port itself to see why it is silent.",
            name="empty-recording",
        ),
        FindingKind(
            Code.TOO_SHORT,
            "Doctor finds only a part of a telegram.",
            "It listened, or the recording lasts, for less time than the meter needs for a telegram.",
            "Listen or record for longer, at least 25 s: a meter in Luxembourg sends every 10 s.",
        ),
        # The port
        FindingKind(
            Code.MISSING,
            "The port is not there, or the bridge does not answer.",
            "The adapter is not plugged in or has another name, or the bridge is off or has another address.",
            "Plug the adapter in, and compare its name with those in /dev/serial/by-id: the names there "
            "last, while ttyUSB0 may be another adapter after a restart. For a bridge check power, address "
            "and port.",
        ),
        FindingKind(
            Code.BUSY,
            "The port is in use.",
            "Another program reads the port, and two readers would each get half of every telegram.",
            "Find the program with `fuser -v PORT` and end it. If it is smarty-gateway itself: `systemctl "
            "stop smarty-gateway`, and start it afterwards.",
        ),
        FindingKind(
            Code.PERMISSION,
            "There is no permission to read the port.",
            "The port belongs to a group of which your user is no member, on most systems `dialout`.",
            "Type `sudo usermod -aG dialout $USER`, then log in again.",
        ),
        FindingKind(
            Code.UNFIT,
            "The port is not a serial port, or does not support its settings.",
            "The name belongs to something else, or the adapter is not capable of this speed.",
            "Name the port of the P1 adapter; `ls /dev/serial/by-id` lists the ports.",
        ),
        FindingKind(
            Code.LOST,
            "The port or the bridge goes away and comes back.",
            "The adapter loses its power or contact, or the bridge closes the connection.",
            "Check plug, hub and power of the adapter or bridge, and end other programs that read the same "
            "port.",
        ),
        # Bytes without telegrams
        FindingKind(
            Code.INVERTED,
            "Bytes come, but they are garbage, often with a home-made cable.",
            "The signal of a P1 port is inverted, and nothing inverts it back, or two parts do.",
            "The signal of a P1 port is inverted, and the cable or the adapter must invert it back. Use a "
            "cable made for P1 (its chip is set to inverted), invert RXD of an FTDI chip with FT_PROG or "
            "ftdi_eeprom, or add a transistor with a pull-up resistor. If the cable inverts already, "
            "something behind it inverts a second time: switch that off (on an ESP the `inverted` option of "
            "its serial port).",
        ),
        FindingKind(
            Code.LINE_SETTINGS,
            "Bytes come, but they are garbage: the meter is older, or the bridge has other settings.",
            "Speed or parity of the port is wrong.",
            "Set the port, or the bridge, to 9600 7E1 for meters of DSMR 2.2 and 3.0. Newer meters send at "
            "115200 8N1.",
        ),
        FindingKind(
            Code.LINE_SETTINGS,
            "Doctor reads the meter, but `run` gets nothing but garbage.",
            "The meter sends at settings that `run` does not try by itself.",
            "Write `speed` and `framing` in the meter's entry in gateway.yaml, as doctor shows them.",
            name="unusual-line-settings",
        ),
        FindingKind(
            Code.LINE_SETTINGS,
            "The first reading takes a while after each start.",
            "The meter sends at settings that `run` finds by itself, but not first.",
            "Nothing needs to be done. To make it start faster, write `speed` and `framing` in the meter's "
            "entry in gateway.yaml.",
            is_fault=False,
            name="found-line-settings",
        ),
        FindingKind(
            Code.LINE_SETTINGS,
            "Doctor says that the meter sends seven bits and a parity bit.",
            "The port reads eight bits, of which the eighth is the parity.",
            "The gateway copes with that. To be right, set the port to the framing 7E1.",
            is_fault=False,
            name="parity-bit",
        ),
        FindingKind(
            Code.NOT_P1,
            "Bytes come, but they are not a P1 telegram.",
            "The cable is in another socket, or the meter or bridge sends another protocol.",
            "Use the meter's P1 socket, and the address of the P1 reader itself. Meters that send this "
            "protocol need a program made for it.",
        ),
        FindingKind(
            Code.NOT_P1,
            "The key is right, but there is no reading.",
            "The meter sends another kind of data in its frames, which this program cannot read.",
            "Tell the authors of this program which meter it is.",
            name="odd-content",
        ),
        FindingKind(
            Code.GARBAGE,
            "Bytes come, but neither a telegram nor an encrypted frame is in them.",
            "The cable does not invert the signal as P1 needs it; it is too long or has no pull-up resistor; "
            "the speed is another than 115200 8N1 (9600 7E1 for old Dutch meters); or the port belongs to "
            "another device.",
            "Check the cable, and listen for at least 25 s. If this is a recording of a port, make it with "
            "`smarty-gateway capture`.",
        ),
        FindingKind(
            Code.UNREADABLE_LINES,
            "A capture or hex dump that was sent to you cannot be read, or telegrams are missing from it.",
            "A mail program or a forum has probably wrapped or quoted (>) the lines.",
            "Attach the file itself, zipped if necessary, not its text, and run doctor on that.",
        ),
        # Keys
        FindingKind(
            Code.NO_KEY,
            "`rejected no-key`: the meter sends, but there is no reading.",
            "The meter encrypts, as all do in Luxembourg, and there is no key for it. Cable and port work.",
            "Ask your grid operator (DSO) for the P1 encryption key of the meter, 32 hex digits; it may take "
            f"some days. {LUXEMBOURG_CONTACTS} Then write it into keys.yaml, and type: `chmod 600 keys.yaml`",
        ),
        FindingKind(
            Code.FORWARDED,
            "Doctor says that there is no key for a meter, and that none is needed.",
            "The gateway is an edge: it forwards encrypted frames to a pool, which has the keys. Cable and "
            "port work.",
            "Nothing needs to be done here. The pool must have the key of this meter: it refuses frames "
            "without a key, and they are lost.",
            is_fault=False,
        ),
        FindingKind(
            Code.DUMMY_KEY,
            "`rejected authentication`, and keys.yaml is still that of an example.",
            "The key is a published dummy. It opens no real meter.",
            "Replace the dummy by the P1 encryption key of your meter. Your grid operator (DSO) has it. "
            f"{LUXEMBOURG_CONTACTS}",
        ),
        FindingKind(
            Code.OTHER_METER,
            "`rejected no-key`, although the key is in keys.yaml: the serial number may have a typo.",
            "The serial number in keys.yaml differs from that of the meter in one or two digits.",
            "Compare the serial number with the one printed on the meter, and correct the entry.",
            name="serial-typo",
        ),
        FindingKind(
            Code.OTHER_METER,
            "`rejected no-key`, although keys.yaml has a key.",
            "The key file has no entry for this meter, and no key in it opens the frames.",
            "Compare the serial number with the one printed on the meter this cable is plugged into. If it "
            "is the meter's, ask your grid operator (DSO) for its key; if the entry has a typo, correct it. "
            f"{LUXEMBOURG_CONTACTS}",
        ),
        FindingKind(
            Code.OTHER_METER,
            "`rejected no-key` or `rejected authentication`, and keys.yaml has several entries.",
            "The key of this meter is in the entry of another one.",
            "Put each key under the serial number of its own meter.",
            name="other-entry",
        ),
        FindingKind(
            Code.WRONG_ENCRYPTION_KEY,
            "`rejected authentication … hint=wrong-encryption-key`, or every frame is rejected with "
            "`hint=corrupt`.",
            "The key does not open the frames, and they are not damaged. It has a typo, belongs to another "
            "meter, or the operator has changed it: where every frame fails for a while, a new key is more "
            "likely than bit errors.",
            "If the meter was read before, the operator has probably changed the key, or the meter was "
            "replaced: ask your grid operator (DSO) for the new key. Otherwise compare the key with the "
            "letter or page of the DSO, digit by digit: a 0 for an O, an 8 for a B, two digits swapped. It "
            "must be the P1 encryption key (GUEK) of this very meter.",
        ),
        FindingKind(
            Code.WRONG_ENCRYPTION_KEY,
            "The meter was read for a long time, and now every frame is rejected.",
            "The operator has probably changed the key: frames opened at first, and the last ones do not, "
            "although they look undamaged.",
            "Ask your grid operator (DSO) for the new P1 encryption key of this meter, and write it before "
            "the old one, as a list: `encryption_key: [NEW, OLD]`. The old one is dropped once a frame "
            "verifies under the new one.",
            name="new-key",
        ),
        FindingKind(
            Code.WRONG_ENCRYPTION_KEY,
            "The beginning of a recording cannot be read, the rest can.",
            "Its first frames probably came before the meter got this key.",
            "New frames need nothing. To read the old frames as well, write the old key after the new one, "
            "as a list: `encryption_key: [NEW, OLD]`",
            is_fault=False,
            name="older-key",
        ),
        FindingKind(
            Code.KEY_ORDER,
            "Frames are rejected, although the list of keys holds the right one.",
            "The keys are in the wrong order: once a frame verifies under a key, those after it are dropped.",
            "Put the newest key first, and remove those that the meter no longer uses.",
        ),
        FindingKind(
            Code.KEY_ORDER,
            "Doctor says that a key after the first of an entry is in use.",
            "The meter has yet to get the first key, or the keys are in the wrong order.",
            "If the meter has yet to get the first key, all is well. Otherwise put the newest key first, and "
            "remove those that the meter no longer uses: once a frame verifies under a key, the keys after "
            "it are dropped.",
            is_fault=False,
            name="key-to-come",
        ),
        FindingKind(
            Code.WRONG_AUTHENTICATION_KEY,
            "`rejected authentication … hint=wrong-authentication-key`.",
            "The encryption key is right, but the authentication key (GAK) is not.",
            "If the entry has a line authentication_key, remove it: all meters in Luxembourg use the same "
            "public key, which is the default. Elsewhere, as in Austria, ask the DSO for it. If nobody knows "
            "it, `verification: crc-only` in the entry accepts the readings unauthenticated.",
        ),
        FindingKind(
            Code.KEY_FILE_MODE,
            "`run` does not start: others on this machine can read the keys.",
            "The permissions of the key file let other users read it.",
            "Type `chmod 600 keys.yaml`.",
        ),
        FindingKind(
            Code.UNAUTHENTICATED,
            "Readings arrive, but `security` says `unauthenticated`.",
            "They are accepted because of `verification: crc-only`, and the authentication key is not the "
            "meter's. Anyone who can send on this line can forge them.",
            "Ask your grid operator (DSO) for the authentication key of this meter (in Austria it comes with "
            "the encryption key and may be called AK or GAK), write it to the entry as authentication_key, "
            "and remove `verification: crc-only`. In Luxembourg all use the default.",
        ),
        FindingKind(
            Code.UNAUTHENTICATED,
            "Readings arrive, but `security` says `unauthenticated`, though the keys are right.",
            "The entry in keys.yaml says `verification: crc-only`. That is not needed, because the frames "
            "verify.",
            "Remove `verification: crc-only` from the entry.",
            is_fault=False,
            name="needless-crc-only",
        ),
        FindingKind(
            Code.OTHER_SECURITY,
            "`rejected security`.",
            "The frames are not encrypted and authenticated as those of a P1 port.",
            "If this is a Luxembourg meter, tell its DSO and the authors of this program. Meters of other "
            "countries send such frames with other content, which needs another program.",
        ),
        FindingKind(
            Code.PLAINTEXT,
            "`rejected plaintext`.",
            "An encrypted meter sends plaintext, which proves nothing: anyone could have written it.",
            "Ask your grid operator (DSO) whether it switched the encryption off. If so, remove the meter's "
            "entry from keys.yaml, and `encrypted: true` from gateway.yaml. If not, find out who feeds this "
            "port.",
        ),
        FindingKind(
            Code.REPLAY,
            "`rejected replay`.",
            "Frames come that came before: their frame counter did not rise.",
            "Look for the cause of the repetition: a bridge or a recording that repeats itself, two "
            "recordings in one file, two programs that feed one port. If your grid operator (DSO) has reset "
            "the meter, accept that with: `smarty-gateway reset-counter METER`",
        ),
        # Damage
        FindingKind(
            Code.DAMAGED,
            "Some telegrams are missing: `rejected checksum`, or `rejected authentication … hint=corrupt` "
            "now and then.",
            "Telegrams arrive damaged, with bit errors or lost bytes.",
            "Bit errors come from the cable: use a shorter one (3 m is safe, 10 m is a lot), no splitter, an "
            "adapter with a pull-up resistor, and keep it away from power lines. Bytes get lost where a "
            "computer or bridge does not keep up: try another USB port without a hub, end programs that read "
            "the same port, and on an ESP use its hardware serial port with a larger buffer.",
        ),
        FindingKind(
            Code.TRUNCATED,
            "Telegrams are cut short: `rejected malformed`.",
            "Something between meter and computer stops too early.",
            "Look for a bridge with a small buffer, a data request line that is released, a loose plug. The "
            "meter needs that line for up to 8 s at a time.",
        ),
        FindingKind(
            Code.CHECKSUM,
            "`rejected checksum` in frames that are authentic.",
            "Cable and key are right: the meter itself wrote a wrong CRC.",
            "Tell the DSO if this continues.",
        ),
        # The rest
        FindingKind(
            Code.CONFIGURATION,
            "`run` does not start: gateway.yaml has a fault.",
            "The file has a wrong key or value, or is not valid YAML.",
            "List all faults with: `smarty-gateway check`",
        ),
        FindingKind(
            Code.HEALTHY,
            "Doctor says that the meter works.",
            "Telegrams come and are verified as far as the meter can prove them.",
            "Nothing is wrong. Start `smarty-gateway run`.",
            is_fault=False,
        ),
    )
}
