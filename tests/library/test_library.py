"""The public Python API, used as its users do: by the names in `smarty_gateway.__all__`."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import smarty_gateway
from smarty_gateway import KeyFormatError, KeyRing, MeterTelegram, Rejection, Security
from smarty_gateway.protocol.key_ring import KeyEntry
from tests.support.commands import SAMPLE, SAMPLE_KEYS
from tests.support.commands import smarty_gateway as command
from vectors.building_blocks import BARN_KEY, HOUSE_KEY, belgium, frame, luxembourg

SERIAL = "SAG1030700012345"
TITLE = bytes.fromhex("5341476770003039")
KEY = HOUSE_KEY.hex()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return the keys of the sample, in a file that only its owner can read."""
    path = tmp_path / "keys.yaml"
    path.write_bytes(SAMPLE_KEYS.read_bytes())
    path.chmod(0o600)
    return path


def one(data: bytes, keys: Mapping[str, KeyEntry] | None = None) -> MeterTelegram:
    (telegram,) = smarty_gateway.read(data, keys=keys)
    return telegram


def test_a_telegram_does_not_claim_to_be_hashable() -> None:
    telegram = one(belgium(1))
    assert not isinstance(telegram, Hashable)
    with pytest.raises(TypeError, match="unhashable"):
        hash(telegram)


@pytest.mark.parametrize("data", ["x", "", [1, 2], None], ids=repr)
def test_a_stream_takes_bytes_only(data: object) -> None:
    with pytest.raises(TypeError, match=f"data are bytes, not {type(data).__name__}"):
        smarty_gateway.MeterStream(smarty_gateway.KeyRing()).receive_data(data)  # type: ignore[arg-type] # on purpose


def test_every_public_name_is_there() -> None:
    assert {name for name in smarty_gateway.__all__ if getattr(smarty_gateway, name).__doc__} == set(
        smarty_gateway.__all__
    )
    assert set(smarty_gateway.__all__) <= set(dir(smarty_gateway))


def test_no_other_name_is_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'raed'"):
        smarty_gateway.raed  # type: ignore[attr-defined]  # noqa: B018 - the access is the test


def test_importing_the_package_loads_nothing_else() -> None:
    code = "import importlib, sys; a = set(sys.modules); import smarty_gateway; print(*set(sys.modules) - a)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "smarty_gateway\n"


def test_a_recording_gives_what_decode_prints(keys: Path) -> None:
    printed = command("decode", "--keys", keys, SAMPLE).stdout.splitlines()
    found = [dict(telegram) for telegram in smarty_gateway.read(SAMPLE, keys=keys)]
    assert found == [json.loads(line) for line in printed]


@pytest.mark.parametrize(
    "form", ["path as text", "path", "bytes", "bytearray", "single bytes", "file", "hex"]
)
def test_the_input_may_have_many_forms(form: str, keys: Path) -> None:
    data = SAMPLE.read_bytes()
    with SAMPLE.open("rb") as file:
        forms: dict[str, Any] = {
            "path as text": str(SAMPLE),
            "path": SAMPLE,
            "bytes": data,
            "bytearray": bytearray(data),
            "single bytes": (data[at : at + 1] for at in range(len(data))),
            "file": file,
            "hex": data.hex(" ").encode(),
        }
        assert len(list(smarty_gateway.read(forms[form], keys=str(keys)))) == 9


def test_a_capture_is_read(tmp_path: Path, keys: Path) -> None:
    command("capture", SAMPLE, tmp_path / "sample.capture", "--keys", keys)
    assert len(list(smarty_gateway.read(tmp_path / "sample.capture", keys=keys))) == 9


def test_no_more_is_read_than_the_next_telegram_needs() -> None:
    asked = []

    def chunks() -> Iterator[bytes]:
        for number in range(3):
            asked.append(number)
            yield frame(luxembourg(number), counter=number + 1)

    reader = smarty_gateway.read(chunks(), keys={SERIAL: KEY})
    assert asked == []
    next(reader)
    assert asked == [0]


def test_a_frame_that_ends_like_the_beginning_of_a_text_with_parity_bits_does_not_wait_for_the_next() -> None:
    ended = next(data for data in (frame(luxembourg(1), counter=n) for n in range(5000)) if data[-1] == 0xAF)

    def chunks() -> Iterator[bytes]:
        yield ended
        pytest.fail("more was read than the frame")

    assert next(smarty_gateway.read(chunks(), keys={SERIAL: KEY})).size == len(ended)


def test_a_reading_is_a_mapping_that_has_the_values_of_the_json_object() -> None:
    reading = one(frame(luxembourg(1)), {SERIAL: KEY})
    assert reading["meter_id"] == SERIAL
    assert reading["energy_import"] == dict(reading)["energy_import"]
    assert reading.get("voltage_l9") is None
    assert "security" in reading
    assert len(reading) == len(list(reading)) == len(dict(reading))
    assert json.loads(json.dumps(dict(reading))) == dict(reading)


def test_a_reading_has_attributes_with_types() -> None:
    reading = one(frame(luxembourg(1), counter=7), {SERIAL: KEY})
    assert reading.security is Security.AUTHENTICATED
    assert str(reading.security) == "authenticated"
    assert (reading.meter_id, reading.system_title, reading.frame_counter) == (SERIAL, TITLE, 7)
    assert reading.raw == luxembourg(1)


def test_the_timestamp_is_aware() -> None:
    reading = one(frame(luxembourg(1)), {SERIAL: KEY})
    assert reading.timestamp == datetime.fromisoformat(reading["timestamp"])
    assert reading.timestamp is not None
    assert reading.timestamp.utcoffset() == timedelta(hours=1)


def test_an_unset_clock_is_no_timestamp() -> None:
    text = b"/FLU5\\253770234_A\r\n\r\n0-0:1.0.0(632525252525S)\r\n1-0:1.7.0(00.100*kW)\r\n!"
    assert one(text + b"%04X\r\n" % crc(text)).timestamp is None


def test_a_time_that_does_not_say_whether_it_is_summer_is_no_timestamp() -> None:
    text = b"/FLU5\\253770234_A\r\n\r\n0-0:1.0.0(260130102122)\r\n1-0:1.7.0(00.100*kW)\r\n!"
    reading = one(text + b"%04X\r\n" % crc(text))
    assert reading.timestamp is None
    assert reading["timestamp"] == "2026-01-30T10:21:22"


def test_a_reading_equals_the_dict_of_its_values() -> None:
    reading = one(belgium(1))
    assert reading == dict(reading)
    assert reading != dict(reading) | {"energy_import_tariff_1": 0}
    assert reading != "belgium"


def test_readings_with_the_same_values_from_two_places_differ() -> None:
    first, second = smarty_gateway.read(belgium(1) * 2)
    assert dict(first) == dict(second)
    assert first != second
    assert first == one(belgium(1))


def test_a_reading_has_no_hash_as_a_dict_has_none() -> None:
    reading = one(belgium(1))
    assert not isinstance(reading, Hashable)
    with pytest.raises(TypeError, match="unhashable"):
        hash(reading)


def crc(text: bytes) -> int:
    """Compute CRC-16/ARC bit by bit (DSMR 5.0.2 P1, 5.2)."""
    value = 0
    for byte in text:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def test_nothing_can_change_a_reading() -> None:
    first, second = smarty_gateway.read(
        frame(luxembourg(1), counter=1) + frame(luxembourg(2), counter=2), keys={SERIAL: KEY}
    )
    with pytest.raises(AttributeError):
        first.security = Security.PLAINTEXT  # type: ignore[misc]
    value = second["gas"]["value"]
    first["gas"]["value"] = dict(first)["gas"]["value"] = 0
    assert first["gas"]["value"] != 0
    assert second["gas"]["value"] == value


def test_rejections_are_counted_by_reason() -> None:
    reader = smarty_gateway.read(frame(luxembourg(1)) * 2, keys={SERIAL: KEY})
    assert len(list(reader)) == reader.accepted == 1
    assert dict(reader.rejected) == {"replay": 1}


def test_rejections_go_to_the_function_for_them() -> None:
    refused: list[Rejection] = []
    assert list(smarty_gateway.read(frame(luxembourg(1)), on_rejection=refused.append)) == []
    assert [(rejection.reason, rejection.offset, rejection.hint) for rejection in refused] == [
        ("no-key", 0, None)
    ]
    assert str(refused[0]).startswith("rejected no-key offset=0 ")


@pytest.mark.parametrize("source", [None, 7, 1.5, object()])
def test_a_wrong_type_of_input_fails_at_once(source: object) -> None:
    with pytest.raises(TypeError, match="the input is a path, bytes or an iterable of bytes, not "):
        smarty_gateway.read(source)  # type: ignore[arg-type]


def test_text_where_bytes_are_due_is_refused() -> None:
    with pytest.raises(TypeError, match="the input yields bytes, not str"):
        next(smarty_gateway.read(["DB08"]))  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"keys": 7}, "keys are a path, a KeyRing or a mapping, not int"),
        ({"keys": [KEY]}, "keys are a path, a KeyRing or a mapping, not list"),
        ({"keys": {SERIAL: 7}}, "a key is hex text or 16 bytes, not int"),
        ({"keys": {7: KEY}}, "a meter is named by text or by 8 bytes, not by int"),
        ({"keys": {SERIAL: {"encryption_key": KEY}}}, "which load_keys reads"),
        ({"keys": {SERIAL: [7]}}, "a key is hex text or 16 bytes, not int"),
        ({"on_rejection": 7}, "on_rejection is a function, not int"),
    ],
)
def test_a_wrong_type_of_argument_fails_at_once(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        smarty_gateway.read(b"", **wrong)


@pytest.mark.parametrize("keys", [None, 7, "keys.yaml", {SERIAL: KEY}])
def test_a_stream_needs_a_key_ring_at_once(keys: object) -> None:
    with pytest.raises(TypeError, match="keys are a KeyRing, not "):
        smarty_gateway.MeterStream(keys)  # type: ignore[arg-type]


def test_a_path_that_no_system_has_is_an_input_error() -> None:
    with pytest.raises(smarty_gateway.InputError, match=r"'a\\x00b' is not a path"):
        next(smarty_gateway.read("a\0b"))


def test_an_input_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(smarty_gateway.InputError, match=r"missing\.bin: No such file"):
        next(smarty_gateway.read(tmp_path / "missing.bin"))
    with pytest.raises(smarty_gateway.InputError, match="is a folder"):
        next(smarty_gateway.read(tmp_path))


def test_a_key_file_that_cannot_be_used_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(f"keys:\n  {SERIAL}: 0F1E\n", "ascii")
    (tmp_path / "keys.yaml").chmod(0o600)
    with pytest.raises(smarty_gateway.KeyFileError, match=r"keys\.yaml:2: .*32 hex digits"):
        smarty_gateway.read(b"", keys=tmp_path / "keys.yaml")


def test_an_error_of_a_key_file_comes_from_another_process_unchanged(tmp_path: Path) -> None:
    (tmp_path / "keys.yaml").write_text(f"keys:\n  {SERIAL}: 0F1E\n", "ascii")
    (tmp_path / "keys.yaml").chmod(0o600)
    with pytest.raises(smarty_gateway.KeyFileError) as caught:
        smarty_gateway.load_keys(tmp_path / "keys.yaml")
    copied = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert type(copied) is smarty_gateway.KeyFileError
    assert str(copied) == str(caught.value)


@pytest.mark.parametrize("load", [smarty_gateway.load_keys, lambda keys: smarty_gateway.read(b"", keys=keys)])
def test_a_key_file_that_others_can_read_causes_a_warning(keys: Path, load: Callable[[Path], object]) -> None:
    keys.write_text(f"keys:\n  {SERIAL}: {'5F' * 16}\n", "ascii")
    keys.chmod(0o644)
    with pytest.warns(UserWarning, match="chmod 600") as caught:
        load(keys)
    assert [warning.filename for warning in caught] == [__file__]  # the caller's line


@pytest.mark.parametrize("name", [SERIAL, "sag 103 07 00012345", TITLE.hex(), "0x" + TITLE.hex(), "any"])
@pytest.mark.parametrize(
    "key", [KEY, KEY.upper(), HOUSE_KEY.hex(" "), HOUSE_KEY.hex(":"), HOUSE_KEY, "0x" + KEY]
)
def test_keys_are_as_tolerant_as_the_key_file(name: str, key: str | bytes) -> None:
    assert one(frame(luxembourg(1)), {name: key}).security is Security.AUTHENTICATED


def test_a_meter_may_be_named_by_the_bytes_of_its_system_title() -> None:
    (reading,) = smarty_gateway.read(frame(luxembourg(1)), keys={TITLE: HOUSE_KEY})
    assert reading.meter_id == SERIAL


def test_a_meter_may_have_two_keys() -> None:
    assert one(frame(luxembourg(1)), {SERIAL: [BARN_KEY, KEY]}).security is Security.AUTHENTICATED


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({SERIAL: KEY[:-1]}, "meter SAG1030700012345: a key has 32 hex digits, this one has 31"),
        ({SERIAL: HOUSE_KEY[:-1]}, "meter SAG1030700012345: a key has 16 bytes, this one has 15"),
        ({"any": KEY[:-1] + "O"}, "the entry `any`: .*the letter O for a zero"),
        ({SERIAL: "00112233445566778899AABBCCDDEEFF"}, "this is the authentication key, which is public"),
        ({SERIAL: KEY, TITLE.hex(): KEY}, "meter SAG1030700012345 has two entries"),
        ({SERIAL: []}, "meter SAG1030700012345: no key is written here"),
        ({"any": KEY, "ANY": KEY}, "the entry `any` has two entries"),
        ({KEY: SERIAL}, "a meter is named by its serial number"),
        ({TITLE[:-1]: KEY}, "a system title has 8 bytes, this one has 7"),
    ],
)
def test_keys_are_refused_as_in_the_key_file_and_never_shown(entries: dict[Any, Any], message: str) -> None:
    with pytest.raises(KeyFormatError, match=message) as caught:
        KeyRing(entries)
    assert KEY[:8] not in str(caught.value).lower()


@pytest.mark.parametrize("others", [7, [7], KEY, [KEY[:-1]], HOUSE_KEY])
def test_keys_for_other_meters_are_checked_too(others: Any) -> None:  # noqa: ANN401 - of a wrong type
    with pytest.raises((TypeError, KeyFormatError)):
        KeyRing(others=others)


def test_keys_are_a_mapping() -> None:
    with pytest.raises(TypeError, match="keys are a mapping of serial numbers to keys, not str"):
        KeyRing(f"{SERIAL}: {KEY}")  # type: ignore[arg-type]


def test_all_errors_have_one_root() -> None:
    for error in (smarty_gateway.InputError, smarty_gateway.KeyFileError, smarty_gateway.KeyFormatError):
        assert issubclass(error, smarty_gateway.GatewayError)


def test_plaintext_needs_no_key() -> None:
    assert one(belgium(1)).security is Security.PLAINTEXT
