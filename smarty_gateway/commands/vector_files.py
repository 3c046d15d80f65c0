"""Test vectors as cases that can be run: ours, NIST's GCM files, and the published collections.

Each layout has a reader here that turns it into cases with one way to run them. What a case runs is
the code that also serves real meters; nothing in here decrypts by itself.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
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
from smarty_gateway.protocol.meter import Event, MeterStream, MeterTelegram
from smarty_gateway.protocol.rejection import Rejection

FORMAT: Final = "smarty-gateway-vectors"
_EXPECTED_LAYOUTS: Final = (
    "expected are files of smarty-gateway (vectors/README.md), NIST's gcmDecrypt128.rsp, and lists of "
    "published frames or telegrams in JSON"
)


class VectorFileError(GatewayError):
    """The file is none that can be run; the text is one line that says what was expected."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case gave. `fields` explains its frames, for a case that failed."""

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
        VectorFileError: it cannot be read, is of another layout, or holds no case.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise VectorFileError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise VectorFileError(f"{path}: this is no text file; {_EXPECTED_LAYOUTS}") from None
    try:
        cases = list(_read_cavp(text)) if path.suffix == ".rsp" else list(_read_json(text))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, GatewayError) as error:
        # Whatever is not as its layout has it: a missing field, text in the place of hex digits.
        raise VectorFileError(
            f"{path}: not as its layout should be ({error!r}); {_EXPECTED_LAYOUTS}"
        ) from None
    if not cases:
        raise VectorFileError(f"{path}: no case in it; {_EXPECTED_LAYOUTS}")
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


# Running a stream


def _run_stream(keys: KeyRing, stream: bytes, chunks: Iterable[int]) -> list[Event]:
    meter = MeterStream(keys)
    sizes = list(chunks) or [len(stream) or 1]
    events: list[Event] = []
    start = turn = 0
    while start < len(stream):
        size = sizes[turn % len(sizes)]
        meter.receive_data(stream[start : start + size])
        events += _drain(meter)
        start, turn = start + size, turn + 1
    meter.receive_silence()
    events += _drain(meter)
    return events


def _drain(meter: MeterStream) -> Iterator[Event]:
    while (event := meter.next_event()) is not None:
        yield event


def _explained(events: Iterable[Event], stream: bytes, keys: KeyRing) -> tuple[Explained, ...]:
    return tuple(
        row
        for event in events
        for row in explain(event, stream[event.offset : event.offset + event.size], keys)
    )


# Our own format


def _our_case(record: dict[str, Any]) -> Case:
    keys = _key_ring(record["keys"])
    stream = bytes.fromhex(record["stream"])
    telegrams, rejections = record["telegrams"], record["rejections"]
    must_not_release = record["must_not_release"]
    expect = record["expect"]
    chunks = record.get("chunks", [])

    def run() -> Outcome:
        events = _run_stream(keys, stream, chunks)
        found = [
            json.loads(to_json(event.as_object())) for event in events if isinstance(event, MeterTelegram)
        ]
        refused = [event for event in events if not isinstance(event, MeterTelegram)]
        faults = _differences(telegrams, found)
        said = [_rejection(event) for event in refused]
        if said != rejections:
            faults.append(f"rejections {said} instead of {rejections}")
        released = "".join([*map(to_json, found), *map(str, refused)])
        faults += [
            "a part of a refused plaintext was released" for text in must_not_release if text in released
        ]
        if not faults:
            return Outcome(expect, passed=True)
        got = " ".join(sorted({r.reason.value for r in refused})) or ("decoded" if found else "noise")
        return Outcome(f"{got}: {'; '.join(faults)}", passed=False, fields=_explained(events, stream, keys))

    return Case(record["id"], tuple(record["flags"]), expect, run)


def _rejection(refused: Rejection) -> dict[str, Any]:
    said: dict[str, Any] = {"reason": refused.reason.value, "offset": refused.offset}
    return said | ({"hint": refused.hint.value} if refused.hint else {})


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


# Published frames and telegrams (their README says what each `expect` means)

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
    # An authentic frame with another APDU in it is no telegram.
    authentic = "decoded" if plaintext else "malformed"
    reason = authentic if expect == "ok" else _REASON_OF[expect]

    def run() -> Outcome:
        events = _run_stream(keys, frame, [])
        got = _summary(events)
        passed = got == reason
        if passed and reason == "decoded":
            raw = b"".join(event.raw for event in events if isinstance(event, MeterTelegram))
            passed = raw == plaintext
            got = got if passed else "decoded, and the plaintext is another"
        return Outcome(got, passed, () if passed else _explained(events, frame, keys))

    return Case(record["id"], (expect,), reason, run)


def _published_telegram(record: dict[str, Any]) -> Case:
    text = record["telegram_text"].encode("latin-1")
    expect = "checksum" if record["crc_valid"] is False else "decoded"

    def run() -> Outcome:
        events = _run_stream(KeyRing(), text, [])
        got = _summary(events)
        return Outcome(got, got == expect, () if got == expect else _explained(events, text, KeyRing()))

    return Case(record["id"], (record.get("country", "telegram"),), expect, run)


def _summary(events: list[Event]) -> str:
    said = ["decoded" if isinstance(event, MeterTelegram) else event.reason.value for event in events]
    return " ".join(said) or "noise"


# NIST CAVP: sections in brackets, then `Name = value` lines, and FAIL where the tag must not verify

_SETTING: Final = re.compile(r"\[(\w+) = (\d+)\]")
_FIELD: Final = re.compile(r"(\w+) = ?([0-9a-fA-F]*)")


def _read_cavp(text: str) -> Iterator[Case]:
    settings: dict[str, int] = {}
    record: dict[str, str] = {}
    for line in [*text.splitlines(), "Count = 0"]:
        setting, value = _SETTING.fullmatch(line.strip()), _FIELD.fullmatch(line.strip())
        if (setting or line.startswith("Count")) and record:
            # 96 bits of nonce and tag are what general-glo-ciphering has; the others are no frames.
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
        return Outcome(got if passed or got != expect else "decrypted, and the plaintext is another", passed)

    sizes = f"PTlen={settings['PTlen']} AADlen={settings['AADlen']}"
    return Case(f"{sizes} Count={record['Count']}", (f"AADlen={settings['AADlen']}",), expect, run)
