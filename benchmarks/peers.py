"""Which of the frames that must be refused does another decoder accept? `python -m benchmarks.peers`.

Runs refused.json through dsmr_parser (its stream buffer and its parser), once with the tag verified
and once the way Home Assistant uses it, with `authentication_key=None`. Cases it cannot be asked
about (crc-only, several meters on one line) are left out.
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
    """Count the telegrams that dsmr_parser accepts in the stream of a case."""
    keys = case["keys"][0]
    buffer = EncryptedTelegramBuffer()
    buffer.append(bytes.fromhex(case["stream"]))
    parser = TelegramParser(telegram_specifications.SAGEMCOM_T210_D_R)
    accepted = 0
    for frame in buffer.get_all():
        try:
            parser.parse(frame, keys["encryption_keys"][0], keys["authentication_key"] if verify else None)
        except Exception:  # noqa: BLE001, S112 - whatever it raises, it has not accepted the frame
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
