"""Test vectors as cases that can be run: ours, NIST's GCM files, and the published collections.

Each layout has a reader here that turns it into cases. A case runs the code that also reads real meters;
nothing here decrypts by itself.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, Final

from smarty_gateway.outputs.json_lines import to_json
from smarty_gateway.protocol.decryption import open_gcm
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.explanation import Explained, explain
from smarty_gateway.protocol.key_ring import (
    LUXEMBOURG_AUTHENTICATION_KEY,
    KeyRing,
    MeterKey,
    Secret,
    Verification,
)
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram
from smarty_gateway.protocol.rejection import Rejection
from smarty_gateway.sources.parity import ParityFilter

FORMAT: Final = "smarty-gateway-vectors"
_EXPECTED_LAYOUTS: Final = (
    "expected are files of smarty-gateway (vectors/README.md), NIST's gcmDecrypt128.rsp, and lists of "
    "published frames or telegrams in JSON"
)


class VectorFileError(GatewayError):
    """The file cannot be run; the text is one line that says what was expected."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a case. `fields` explains the frames of a case that failed."""

    got: str
    passed: bool
    fields: tuple[Explained, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a file, and how to run it."""

    id: str
    flags: tuple[str, ...]
    expect: str
    run: Callable[[], Outcome] = field(repr=False)


def load_cases(path: Path) -> list[Case]:
    """Read a file of test vectors.

    Raises:
        VectorFileError: it cannot be read, has another layout, or holds no case.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise VectorFileError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise VectorFileError(f"{path}: not a text file; {_EXPECTED_LAYOUTS}") from None
    try:
        cases = list(_read_cavp(text)) if path.suffix == ".rsp" else list(_read_json(text))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, GatewayError) as error:
        # It deviates from its layout: a missing field, text in the place of hex digits.
        raise VectorFileError(f"{path}: not in its layout ({error!r}); {_EXPECTED_LAYOUTS}") from None
    if not cases:
        raise VectorFileError(f"{path}: it holds no case; {_EXPECTED_LAYOUTS}")
    return cases


def _read_json(text: str) -> Iterator[Case]:
    content = json.loads(text)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        if content["version"] != 1:
            raise ValueError(f"version {content['version']}, and this program knows version 1")
        yield from (_our_case(record) for record in content["cases"])
    elif isinstance(content, list) and content and "frame_hex" in content[0]:
        yield from (_published_frame(record) for record in content)
    elif isinstance(content, list) and content and "telegram_text" in content[0]:
        yield from (_published_telegram(record) for record in content)
    else:
        raise ValueError("no known layout")


# Cases of streams


def _stream_case(  # noqa: PLR0913, PLR0917 - what a case consists of
    name: str,
    flags: tuple[str, ...],
    expect: str,
    keys: KeyRing,
    stream: bytes,
    judge: Callable[[list[Event]], str],
    chunks: Iterable[int] = (),
) -> Case:
    """Return a case that reads a stream; it passes if `judge` returns what is expected."""

    def run() -> Outcome:
        events = _events_of(keys, stream, list(chunks) or [len(stream) or 1])
        got = judge(events)
        if got == expect:
            return Outcome(got, passed=True)
        rows = [
            row
            for event in events
            for row in explain(event, stream[event.offset : event.offset + event.size], keys)
        ]
        return Outcome(got, passed=False, fields=tuple(rows))

    return Case(name, flags, expect, run)


def _events_of(keys: KeyRing, stream: bytes, sizes: list[int]) -> list[Event]:
    """Return what a stream holds, read in chunks of these sizes, over and over."""
    meter, parity = MeterStream(keys), ParityFilter()
    start = 0
    for size in cycle(sizes):
        if start >= len(stream):
            break
        if data := parity.strip(stream[start : start + size]):
            meter.receive_data(data)
        start += size
    if rest := parity.strip(b""):
        meter.receive_data(rest)
    meter.receive_data(b"")
    return list(iter(meter.next_event, None))


def _summary(events: list[Event]) -> str:
    got = ["decoded" if isinstance(event, MeterTelegram) else event.reason.value for event in events]
    return " ".join(got) or "noise"


# Our own format


def _our_case(record: dict[str, Any]) -> Case:
    telegrams, rejections, expect = record["telegrams"], record["rejections"], record["expect"]
    must_not_release = record["must_not_release"]

    def judge(events: list[Event]) -> str:
        found = [
            json.loads(to_json(event.as_object())) for event in events if isinstance(event, MeterTelegram)
        ]
        rejected = [event for event in events if isinstance(event, Rejection)]
        faults = _differences(telegrams, found)
        got = [_rejection(event) for event in rejected]
        if got != rejections:
            faults.append(f"rejections {got} instead of {rejections}")
        released = "".join([*map(to_json, found), *map(str, rejected)])
        faults += [
            "a part of a rejected plaintext was released" for text in must_not_release if text in released
        ]
        if not faults:
            return str(expect)
        reasons = " ".join(sorted({event.reason.value for event in rejected}))
        return f"{reasons or ('decoded' if found else 'noise')}: {'; '.join(faults)}"

    keys, stream = _key_ring(record["keys"]), bytes.fromhex(record["stream"])
    return _stream_case(
        record["id"], tuple(record["flags"]), expect, keys, stream, judge, record.get("chunks", [])
    )


def _rejection(rejection: Rejection) -> dict[str, Any]:
    shown: dict[str, Any] = {"reason": rejection.reason.value, "offset": rejection.offset}
    return shown | ({"hint": rejection.hint.value} if rejection.hint else {})


def _differences(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[str]:
    if len(expected) != len(found):
        return [f"{len(found)} telegrams instead of {len(expected)}"]
    return [
        f"telegram {number}: {name} is {theirs.get(name)!r} instead of {ours.get(name)!r}"
        for number, (ours, theirs) in enumerate(zip(expected, found, strict=True), 1)
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def _key_ring(records: list[dict[str, Any]]) -> KeyRing:
    by_title: dict[bytes, list[MeterKey]] = {}
    others: list[MeterKey] = []
    for record in records:
        keys = [
            MeterKey(
                Secret(bytes.fromhex(key)),
                Secret(bytes.fromhex(record["authentication_key"])),
                Verification(record["verification"]),
            )
            for key in record["encryption_keys"]
        ]
        if record["system_title"] is None:
            others = keys
        else:
            by_title[bytes.fromhex(record["system_title"])] = keys
    return KeyRing(by_title, others)


# Published frames and telegrams (their README explains each `expect`)

_REASON_OF: Final = {
    "ok_tag_but_p1_crc_bad": "checksum",
    "ok_no_aad": "authentication",
    "tag_fail": "authentication",
    "no_key": "no-key",
    "no_auth_key": "no-key",
    "enc_only": "security",
    "auth_only": "security",
    "malformed": "malformed",
}


def _published_frame(record: dict[str, Any]) -> Case:
    frame = bytes.fromhex(record["frame_hex"])
    expect = record["expect"]
    withheld = expect in ("no_key", "no_auth_key") or not record["key_hex"]
    authentication_key = bytes.fromhex(record["auth_key_hex"] or LUXEMBOURG_AUTHENTICATION_KEY.hex())
    keys = KeyRing()
    if not withheld:
        keys = KeyRing({}, [MeterKey(Secret(bytes.fromhex(record["key_hex"])), Secret(authentication_key))])
    plaintext = (record["plaintext"] or "").encode("latin-1")
    # An authentic frame with another APDU in it holds no telegram.
    authentic = "decoded" if plaintext else "malformed"
    reason = authentic if expect == "ok" else _REASON_OF[expect]

    def judge(events: list[Event]) -> str:
        got = _summary(events)
        raw = b"".join(event.raw for event in events if isinstance(event, MeterTelegram))
        return "decoded, but the plaintext differs" if got == "decoded" and raw != plaintext else got

    return _stream_case(record["id"], (expect,), reason, keys, frame, judge)


def _published_telegram(record: dict[str, Any]) -> Case:
    text = record["telegram_text"].encode("latin-1")
    expect = "checksum" if record["crc_valid"] is False else "decoded"
    return _stream_case(record["id"], (record.get("country", "telegram"),), expect, KeyRing(), text, _summary)


# NIST CAVP: sections in brackets, then `Name = value` lines, and FAIL where the tag must not verify

_SETTING: Final = re.compile(r"\[(\w+) = (\d+)\]")
_FIELD: Final = re.compile(r"(\w+) = ?([0-9a-fA-F]*)")


def _read_cavp(text: str) -> Iterator[Case]:
    settings: dict[str, int] = {}
    record: dict[str, str] = {}
    for line in [*text.splitlines(), "Count = 0"]:
        setting, value = _SETTING.fullmatch(line.strip()), _FIELD.fullmatch(line.strip())
        if (setting or line.startswith("Count")) and record:
            # 96 bits of nonce and tag are what general-glo-ciphering has; the others cannot be frames.
            if (settings["Keylen"], settings["IVlen"], settings["Taglen"]) == (128, 96, 96):
                yield _cavp_case(dict(settings), record)
            record = {}
        if setting:
            settings[setting[1]] = int(setting[2])
        elif value:
            record[value[1]] = value[2]
        elif line.strip() == "FAIL":
            record["FAIL"] = ""


def _cavp_case(settings: dict[str, int], record: dict[str, str]) -> Case:
    key, iv, aad, ciphertext, tag = (
        bytes.fromhex(record[name]) for name in ("Key", "IV", "AAD", "CT", "Tag")
    )
    expect = "authentication" if "FAIL" in record else "decrypted"
    expected = None if "FAIL" in record else bytes.fromhex(record["PT"])

    def run() -> Outcome:
        plaintext = open_gcm(key, iv, aad, ciphertext, tag)
        got = "authentication" if plaintext is None else "decrypted"
        passed = plaintext == expected
        return Outcome(got if passed or got != expect else "decrypted, but the plaintext differs", passed)

    sizes = f"PTlen={settings['PTlen']} AADlen={settings['AADlen']}"
    return Case(f"{sizes} Count={record['Count']}", (f"AADlen={settings['AADlen']}",), expect, run)
