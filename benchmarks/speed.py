"""How long a telegram takes, against the floor and against dsmr_parser: `python -m benchmarks.speed`.

All figures are medians of rounds that are run in turn, so that a busy machine slows all of them alike;
the ratios are what counts. The floor is what cannot be left out: one call of AES-GCM with a tag of 96
bits (cryptography's Cipher; its AESGCM class takes only tags of 128 bits), and the CRC of the same
bytes. The telegrams move as a meter's do from one to the next: time, registers and powers change;
messages, limits, the peaks of past months and the hourly values of other meters stay.

With --json the figures come as one JSON object.
"""

import argparse
import json
import logging
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from dsmr_parser import telegram_specifications
from dsmr_parser.clients.telegram_buffer import EncryptedTelegramBuffer, TelegramBuffer
from dsmr_parser.parsers import TelegramParser
from fastcrc.crc16 import arc

from smarty_gateway.outputs.json_lines import to_json
from smarty_gateway.protocol.candidates import Candidate
from smarty_gateway.protocol.decryption import initialisation_vector, open_gcm
from smarty_gateway.protocol.extractor import Extractor
from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret
from smarty_gateway.protocol.meter import MeterStream, MeterTelegram
from smarty_gateway.protocol.meter_decoder import MeterDecoder
from smarty_gateway.protocol.telegram import parse_telegram
from vectors.building_blocks import (
    AUTHENTICATION_KEY,
    HOUSE_KEY,
    HOUSE_TITLE,
    belgium,
    crc16,
    frame,
    luxembourg,
    netherlands,
)

ROUNDS: Final = 15
TELEGRAMS: Final = 200
AAD: Final = b"\x30" + AUTHENTICATION_KEY
KEYS: Final = KeyRing({HOUSE_TITLE: [MeterKey(Secret(HOUSE_KEY))]})


def moving(texts: Iterable[bytes]) -> list[bytes]:
    """Change every register and power a little from one telegram to the next."""
    moved = []
    for number, text in enumerate(texts):

        def add(match: re.Match[bytes], number: int = number) -> bytes:
            digits = f"{int(match[1].replace(b'.', b'')) + number:0{len(match[1]) - 1}d}"
            return f"({digits[:-3]}.{digits[-3:]}*".encode()

        body = re.sub(rb"(?<=[0-9])\(([0-9]{2,6}\.[1-9][0-9]{2})\*(?=k)", add, text[: text.rindex(b"!") + 1])
        moved.append(body + f"{crc16(body):04X}\r\n".encode())
    return moved


class _Verified:
    verified = True


def chunks_of(data: bytes, size: int) -> list[bytes]:
    """Cut data into chunks, as a source hands them on."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def feed(stream: Extractor[_Verified] | MeterStream, chunks: list[bytes]) -> int:
    """Feed a stream in chunks and take what comes."""
    found = 0
    for chunk in chunks:
        if stream.receive_data(chunk):
            while stream.next_event() is not None:
                found += 1
    return found


def whole(chunks: list[bytes]) -> None:
    """Go the whole way, from bytes to JSON."""
    stream = MeterStream(KEYS)
    found = 0
    for chunk in chunks:
        if stream.receive_data(chunk):
            while isinstance(event := stream.next_event(), MeterTelegram):
                to_json(event.as_object())
                found += 1
    if found != TELEGRAMS:
        raise ValueError(f"{found} telegrams instead of {TELEGRAMS}")


def steps(texts: list[bytes], *, encrypted: bool) -> dict[str, Callable[[], object]]:
    """Give what is measured for one kind of meter: a name, and what does it for all telegrams."""
    frames = [frame(text, counter=number) if encrypted else text for number, text in enumerate(texts)]
    data = b"".join(frames)
    cut: list[Frame] = []

    def judge(candidate: Candidate) -> _Verified:
        if isinstance(candidate, Frame):
            cut.append(candidate)
        return _Verified()

    large, small = chunks_of(data, 4096), chunks_of(data, 1)
    feed(Extractor(judge), large)
    parsed = [telegram for text in texts if (telegram := parse_telegram(text)) is not None]
    stream = MeterStream(KEYS)
    stream.receive_data(data)
    events = iter(stream.next_event, None)
    records = [event.as_object() for event in events if isinstance(event, MeterTelegram)]
    found: dict[str, Callable[[], object]] = {
        "extract": lambda: feed(Extractor(lambda _: _Verified()), large),
        "crc": lambda: [arc(text) for text in texts],
        "lines": lambda: [parse_telegram(text) for text in texts],
        "decode": lambda: list(map(MeterDecoder().decode, parsed)),
        "json": lambda: [to_json(record) for record in records],
        "whole": lambda: whole(large),
        "whole, byte by byte": lambda: whole(small),
        "dsmr_parser": lambda: dsmr_parser(frames, texts[0], encrypted=encrypted),
    }
    if encrypted:
        nonces = [(initialisation_vector(f), f.ciphertext, f.tag) for f in cut]
        found["decrypt"] = lambda: [open_gcm(HOUSE_KEY, iv, AAD, ct, tag) for iv, ct, tag in nonces]
        found["floor"] = lambda: [arc(open_gcm(HOUSE_KEY, iv, AAD, ct, tag) or b"") for iv, ct, tag in nonces]
    return found


def dsmr_parser(frames: list[bytes], example: bytes, *, encrypted: bool) -> None:
    """Let dsmr_parser do the same: buffer, decryption with the tag verified, CRC, parsing, JSON."""
    if encrypted:
        parser = TelegramParser(telegram_specifications.MSN)
        encrypted_buffer = EncryptedTelegramBuffer()
        for data in frames:
            encrypted_buffer.append(data)
            for found in encrypted_buffer.get_all():
                parser.parse(found, HOUSE_KEY.hex(), AUTHENTICATION_KEY.hex()).to_json()
        return
    is_belgian = example.startswith(b"/FLU")
    specification = telegram_specifications.BELGIUM_FLUVIUS if is_belgian else telegram_specifications.V5
    parser = TelegramParser(specification)
    buffer = TelegramBuffer()
    for data in frames:
        buffer.append(data.decode("ascii"))
        for found in buffer.get_all():
            parser.parse(found).to_json()


def median_microseconds(measured: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Run all in turn, many rounds, and give the medians for one telegram."""
    times: dict[str, list[float]] = {name: [] for name in measured}
    for round_number in range(ROUNDS):
        for name, run in measured.items():
            if name == "dsmr_parser" and round_number % 3:
                continue  # slow, and its share of the time is the most even of all
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) / TELEGRAMS * 1e6)
    return {name: statistics.median(found) for name, found in times.items()}


def megabytes_a_second(data: bytes) -> float:
    """Read something that holds no telegram."""
    chunks = chunks_of(data, 4096)
    start = time.perf_counter()
    feed(MeterStream(KEYS), chunks)
    return len(data) / 1e6 / (time.perf_counter() - start)


def seconds_of(*command: str) -> float:
    """Run a command several times, and give the median of its times."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# VmHWM begins anew with the program; ru_maxrss would count what the parent had.
_PEAK: Final = (
    "import sys; from smarty_gateway.cli import main; main(sys.argv[1:]); "
    "lines = open('/proc/self/status').read().splitlines(); "
    "print([int(x.split()[1]) // 1024 for x in lines if x.startswith('VmHWM')][0], file=sys.stderr)"
)


def peak_megabytes(data: bytes, times: int) -> int:
    """Give the peak memory of `decode` on a file that repeats the data so often."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "capture.bin"
        with path.open("wb") as file:
            for _ in range(times):
                file.write(data)
        command = [sys.executable, "-c", _PEAK, "decode", "--format", "json", str(path)]
        done = subprocess.run(command, check=True, capture_output=True)
    return int(done.stderr.splitlines()[-1])


def measure() -> dict[str, dict[str, float]]:
    """Measure everything."""
    logging.disable(logging.CRITICAL)
    seconds = range(TELEGRAMS)
    results = {
        "Luxembourg, encrypted": median_microseconds(steps(moving(map(luxembourg, seconds)), encrypted=True)),
        "Belgium": median_microseconds(steps(moving(map(belgium, seconds)), encrypted=False)),
        "Netherlands 5": median_microseconds(steps(moving(map(netherlands, seconds)), encrypted=False)),
    }
    noise = bytes((i * 7919 + (i >> 3) * 31) % 256 for i in range(4_000_000))
    capture = b"".join(moving(map(belgium, range(100))))
    python = sys.executable
    sample = Path(__file__).resolve().parents[1] / "vectors/sample.bin"
    decode_sample = [python, "-m", "smarty_gateway", "decode", "--format", "telegram", str(sample)]
    results["other"] = {
        "noise, MB/s": megabytes_a_second(noise),
        "start of Python, ms": 1000 * seconds_of(python, "-c", "pass"),
        "import of the core, ms": 1000 * seconds_of(python, "-c", "import smarty_gateway.protocol.meter"),
        "decode, start to end of a small file, ms": 1000
        * seconds_of("sh", "-c", '"$@" || true', "sh", *decode_sample),
        "peak memory of decode, 10 MB, in MB": peak_megabytes(capture, 10_000_000 // len(capture)),
        "peak memory of decode, 100 MB, in MB": peak_megabytes(capture, 100_000_000 // len(capture)),
    }
    return results


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    as_json = parser.parse_args().json
    results = measure()
    if as_json:
        print(json.dumps(results))
        return
    floor = results["Luxembourg, encrypted"]["floor"]
    for kind, figures in results.items():
        print(kind)
        for name, figure in figures.items():
            if kind == "other":
                print(f"  {name:44} {figure:9.1f}")
            else:
                ratios = f"{figure / floor:7.1f} x floor {figures['dsmr_parser'] / figure:7.1f} x dsmr_parser"
                print(f"  {name:24} {figure:9.1f} µs {ratios}")


if __name__ == "__main__":
    main()
