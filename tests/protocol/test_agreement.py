"""Where dsmr_parser knows a value too, it agrees with ours, or the difference has its reason here."""

import datetime as dt
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from dsmr_parser import telegram_specifications
from dsmr_parser.parsers import TelegramParser

from smarty_gateway.protocol.decoder import DecodedTelegram, decode
from smarty_gateway.protocol.telegram import parse_telegram
from smarty_gateway.protocol.values import read_hex_text
from vectors.layouts import LAYOUTS, PLAIN_LAYOUTS, QUIRKS

PUBLISHED = Path(__file__).resolve().parents[3] / "shared/vectors/telegrams.json"

RAISES = "dsmr_parser raises InvalidOperation for a number without a star before its unit"
LAST_RELAY = "dsmr_parser matches any medium, so the last relay overwrites the breaker"
CT_RATIO = "dsmr_parser reads the two current limits of 1-1:31.4.0 as a transformer ratio"
EMPTY_CHANNEL = "dsmr_parser makes a device of a channel that has none, with a reading of 0"
EMPTY_ROW = "dsmr_parser gives the row of a month that has not been, with 0 kW"
UNSET_CLOCK = "dsmr_parser dates a failure by a clock that was never set"
NO_LETTER = "dsmr_parser drops a time without S or W"

#: (telegram, what dsmr_parser calls it): why it says something else than we do.
DIFFERENCES = {
    ("luxembourg", "ACTUAL_SWITCH_POSITION"): LAST_RELAY,
    ("luxembourg", "MSN_CT_RATIO"): CT_RATIO,
    ("luxembourg", "MBUS 2 identity"): EMPTY_CHANNEL,
    ("luxembourg", "MBUS 2 reading"): EMPTY_CHANNEL,
    ("luxembourg-summer", "MBUS 1 identity"): EMPTY_CHANNEL,
    ("luxembourg-summer", "MBUS 1 reading"): EMPTY_CHANNEL,
    ("belgium-50217", "BELGIUM_MAXIMUM_DEMAND_13_MONTHS"): EMPTY_ROW,
    ("netherlands-42", "POWER_EVENT_FAILURE_LOG"): UNSET_CLOCK,
    ("quirk-units", "raises"): RAISES,
    ("quirk-time-without-letter", "P1_MESSAGE_TIMESTAMP"): NO_LETTER,
    ("quirk-time-without-letter", "BELGIUM_MAXIMUM_DEMAND_MONTH"): NO_LETTER,
    ("lu-meterlogger-3ph-gas-2026", "ACTUAL_SWITCH_POSITION"): LAST_RELAY,
    ("lu-meterlogger-3ph-gas-2026", "MSN_CT_RATIO"): CT_RATIO,
    ("be-openhab-flu5-nostar", "raises"): RAISES,
    ("nl-42-kaifa-3ph", "POWER_EVENT_FAILURE_LOG"): UNSET_CLOCK,
    ("nl-42-gas-on-channel2", "POWER_EVENT_FAILURE_LOG"): UNSET_CLOCK,
    ("nl-50-iskra", "MBUS 2 identity"): EMPTY_CHANNEL,
    ("nl-50-two-mbus", "MBUS 1 identity"): EMPTY_CHANNEL,
    ("nl-50-two-mbus", "MBUS 1 reading"): EMPTY_CHANNEL,
}


def published() -> list[tuple[str, bytes]]:
    if not PUBLISHED.exists():
        return []
    records = json.loads(PUBLISHED.read_text("utf-8"))
    return [(r["id"], r["telegram_text"].encode("latin-1")) for r in records if r["crc_valid"] is not False]


TELEGRAMS = [(layout.name, layout.text) for layout in (*LAYOUTS, *PLAIN_LAYOUTS, *QUIRKS)] + published()


def specification_for(text: bytes) -> dict[str, Any]:
    """Choose what a user of dsmr_parser would have to choose."""
    by_maker = {
        b"LUX": telegram_specifications.MSN,
        b"FLU": telegram_specifications.BELGIUM_FLUVIUS,
        b"EST": telegram_specifications.SAGEMCOM_T210_D_R,
        b"ELL": telegram_specifications.SWEDEN,
        b"LGF": telegram_specifications.SWEDEN,
        b"SAG": telegram_specifications.EON_HUNGARY,
    }
    chosen: dict[str, Any] | None = by_maker.get(text[1:4].upper())
    if chosen is None and b"1-3:0.2.8(5" in text:
        chosen = telegram_specifications.V5
    if chosen is None:
        is_4 = b"1-3:0.2.8(4" in text or b"0-0:1.0.0(" in text
        chosen = telegram_specifications.V4 if is_4 else telegram_specifications.V2_2
    # The text is already decrypted here.
    return {name: value for name, value in chosen.items() if name != "general_global_cipher"}


def their_values(text: bytes, specification: dict[str, Any]) -> dict[str, Any]:
    parsed = TelegramParser(specification).parse(text.decode("latin-1"))
    found: dict[str, Any] = json.loads(parsed.to_json())
    return found


def our_names(specification: dict[str, Any], readings: DecodedTelegram) -> dict[str, str]:
    """Find, by the OBIS codes, which of our fields each of dsmr_parser's names stands for."""
    by_code = {}
    for name, code in readings.codes.items():
        if not re.match(r"0-[1-9]", code):
            by_code[re.sub(r"\.255$", "", code.partition(":")[2].replace(":", ".").replace("*", "."))] = name
    names = {}
    for known in specification["objects"]:
        found = re.search(r"(\d+\\\.\d+\\\.\d+)", known["obis_reference"])
        if found is not None and (ours := by_code.get(found[1].replace("\\", ""))) is not None:
            names[known["value_name"]] = ours
    return names


def instant(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text).astimezone(dt.UTC) if text else None


_FACTOR = {"Wh": 0.001, "W": 0.001, "varh": 0.001, "var": 0.001}


def agree(ours: object, theirs: dict[str, Any] | list[dict[str, Any]]) -> bool:
    """Compare a value of ours with one of theirs, each in its way of writing."""
    if isinstance(theirs, list):
        return isinstance(ours, tuple) and [row["value"] for row in ours] == [row["value"] for row in theirs]
    if "buffer" in theirs:
        rows = [row["value"] for row in theirs["buffer"]]
        return isinstance(ours, tuple) and [row["duration_s"] for row in ours] == rows
    value = theirs["value"]
    if isinstance(ours, dict):
        same_time = instant(ours["timestamp"]) == instant(theirs["datetime"])
        return bool(ours["value"] == value and same_time)
    if isinstance(ours, str):
        text = "" if value is None else str(value)
        is_time = "T" in ours and "T" in text
        return instant(ours) == instant(text) if is_time else ours in (text, read_hex_text(text))
    number = float(value) * _FACTOR.get(theirs["unit"], 1)
    return isinstance(ours, int | float) and abs(ours - number) < 1e-9


def differences(name: str, text: bytes) -> set[tuple[str, str]]:
    telegram = parse_telegram(text)
    assert telegram is not None
    readings = decode(telegram)
    specification = specification_for(text)
    try:
        theirs = their_values(text, specification)
    except Exception:  # noqa: BLE001 - whatever it raises, it gives no value
        return {(name, "raises")}
    ours = our_names(specification, readings)
    found = {
        (name, n) for n, value in theirs.items() if n in ours and not agree(readings.fields[ours[n]], value)
    }
    by_channel = {device["channel"]: device for device in readings.devices.values()}
    for device in theirs.get("MBUS_DEVICES", []):
        mine = dict(by_channel.get(device["CHANNEL_ID"], {}))
        reading = device.get("MBUS_METER_READING")
        if reading is not None and mine.get("value") != reading["value"]:
            found.add((name, f"MBUS {device['CHANNEL_ID']} reading"))
        identity = device.get("MBUS_EQUIPMENT_IDENTIFIER")
        if identity is not None and mine.get("id") != read_hex_text(identity["value"] or ""):
            found.add((name, f"MBUS {device['CHANNEL_ID']} identity"))
    return found


@pytest.mark.parametrize(("name", "text"), TELEGRAMS, ids=[name for name, _ in TELEGRAMS])
def test_every_value_that_both_know_is_the_same_or_its_difference_is_explained(
    name: str, text: bytes
) -> None:
    logging.disable(logging.CRITICAL)
    try:
        assert differences(name, text) == {key for key in DIFFERENCES if key[0] == name}
    finally:
        logging.disable(logging.NOTSET)


def test_many_values_are_compared() -> None:
    compared = 0
    for _, text in TELEGRAMS:
        telegram = parse_telegram(text)
        assert telegram is not None
        compared += len(our_names(specification_for(text), decode(telegram)))
    assert compared > 100
