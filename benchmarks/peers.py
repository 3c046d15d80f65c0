"""Counts the frames of refused.json that dsmr_parser accepts: `python -m benchmarks.peers`.

Its stream buffer and its parser run once with the tag verified, and once as Home Assistant uses them, with
`authentication_key=None`. Cases that they do not support (crc-only, no key) are left out.
"""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from dsmr_parser import telegram_specifications
from dsmr_parser.clients.telegram_buffer import EncryptedTelegramBuffer
from dsmr_parser.parsers import TelegramParser

VECTORS = Path(__file__).resolve().parents[1] / "vectors/refused.json"


def accepted_by_dsmr_parser(case: dict[str, Any], *, verify: bool) -> int:
    """Return how many telegrams dsmr_parser accepts in the stream of a case."""
    keys = case["keys"][0]
    buffer = EncryptedTelegramBuffer()
    buffer.append(bytes.fromhex(case["stream"]))
    parser = TelegramParser(telegram_specifications.SAGEMCOM_T210_D_R)
    accepted = 0
    for frame in buffer.get_all():
        try:
            parser.parse(frame, keys["encryption_keys"][0], keys["authentication_key"] if verify else None)
        except Exception:  # noqa: BLE001, S112 - any exception means that it rejected the frame
            continue
        accepted += 1
    return accepted


def main() -> None:
    """Print a table by flag."""
    logging.disable(logging.CRITICAL)
    cases = [
        case
        for case in json.loads(VECTORS.read_text("utf-8"))["cases"]
        if case["keys"] and case["keys"][0]["verification"] == "required"
    ]
    asked: Counter[str] = Counter()
    accepted: Counter[tuple[str, bool]] = Counter()
    for case in cases:
        for flag in ("all", *case["flags"]):
            asked[flag] += 1
            for verify in (True, False):
                accepted[flag, verify] += accepted_by_dsmr_parser(case, verify=verify) > len(
                    case["telegrams"]
                )
    print(f"{'flag':22} {'cases':>6} {'accepted with tag':>18} {'accepted without':>17}")
    for flag in sorted(asked):
        print(f"{flag:22} {asked[flag]:6} {accepted[flag, True]:18} {accepted[flag, False]:17}")


if __name__ == "__main__":
    main()
