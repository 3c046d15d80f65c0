"""How long a telegram takes, against the floor and against dsmr_parser: `python -m benchmarks.speed`.

All times are processor time, and medians of rounds that are run in turn, so that a busy machine slows all
of them alike; the ratios are what counts. The floor is what cannot be left out: one call of AES-GCM with
a tag of 96 bits (cryptography's Cipher; its AESGCM class takes only tags of 128 bits), and the CRC of the
same bytes. The telegrams move as a meter's do from one to the next: time, registers and powers change;
messages, limits, the peaks of past months and the hourly values of other meters stay.

`--before FOLDER` compares chunks and floods with another version of the gateway, whose sources are in that
folder: both are run in turn by this same file. With --json the figures come as one JSON object.
"""

import argparse
import importlib
import json
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from dsmr_parser import telegram_specifications
from dsmr_parser.clients.telegram_buffer import EncryptedTelegramBuffer, TelegramBuffer
from dsmr_parser.parsers import TelegramParser

from smarty_gateway.outputs.json_lines import to_json
from smarty_gateway.protocol.candidates import Candidate
from smarty_gateway.protocol.checksum import arc
from smarty_gateway.protocol.decryption import initialisation_vector, open_gcm
from smarty_gateway.protocol.extractor import Extractor
from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_decoder import MeterDecoder
from smarty_gateway.protocol.meter_telegram import MeterTelegram
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
CHUNK_SIZES: Final = (1, 16, 64, 256, 4096)


def _key_ring() -> Any:  # noqa: ANN401 - that of the version which is measured
    try:
        module = importlib.import_module("smarty_gateway.protocol.key_ring")
    except ImportError:  # an older version, measured by --before
        module = importlib.import_module("smarty_gateway.protocol.keyring")
    return module.KeyRing({HOUSE_TITLE: [module.MeterKey(module.Secret(HOUSE_KEY))]})


KEYS: Final = _key_ring()
_probe: Any = MeterStream(KEYS)
#: Older versions, measured by --before, return whether an event is possible, and are asked only then.
ANSWERS: Final = _probe.receive_data(b"x") is not None


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


def decrypt_in_one_call(iv: bytes, ciphertext: bytes, tag: bytes) -> bytes:
    """Decrypt through cryptography's Cipher, the plain way for a tag of 96 bits."""
    decryptor = Cipher(AES(HOUSE_KEY), GCM(iv, tag, min_tag_length=12)).decryptor()
    decryptor.authenticate_additional_data(AAD)
    return decryptor.update(ciphertext) + decryptor.finalize()


def chunks_of(data: bytes, size: int) -> list[bytes]:
    """Cut data into chunks, as a source hands them on."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def events_of(stream: Any, chunks: list[bytes]) -> Iterator[Any]:  # noqa: ANN401 - of any version
    """Feed a stream in chunks, and yield what comes."""
    if not ANSWERS:
        for chunk in chunks:
            stream.receive_data(chunk)
            while (event := stream.next_event()) is not None:
                yield event
        return
    for chunk in chunks:
        if stream.receive_data(chunk):
            while (event := stream.next_event()) is not None:
                yield event


def whole(chunks: list[bytes]) -> None:
    """Go the whole way, from bytes to JSON."""
    found = 0
    for event in events_of(MeterStream(KEYS), chunks):
        to_json(event.as_object())
        found += 1
    if found != TELEGRAMS:
        raise ValueError(f"{found} telegrams instead of {TELEGRAMS}")


def steps(texts: list[bytes], *, encrypted: bool) -> dict[str, Callable[[], object]]:
    """Return what is measured for one kind of meter: a name, and what does it for all telegrams."""
    frames = [frame(text, counter=number) if encrypted else text for number, text in enumerate(texts)]
    data = b"".join(frames)
    cut: list[Frame] = []

    class Extracting(Extractor[_Verified, Candidate]):
        def _judge(self, candidate: Candidate) -> _Verified:
            if isinstance(candidate, Frame):
                cut.append(candidate)
            return _Verified()

        def _event_of(self, verdict: _Verified) -> None:
            pass

    large, small = chunks_of(data, 4096), chunks_of(data, 1)
    deque(events_of(Extracting(), large), maxlen=0)
    parsed = [telegram for text in texts if (telegram := parse_telegram(text)) is not None]
    stream = MeterStream(KEYS)
    stream.receive_data(data)
    events = iter(stream.next_event, None)
    records = [event.as_object() for event in events if isinstance(event, MeterTelegram)]
    found: dict[str, Callable[[], object]] = {
        "extract": lambda: deque(events_of(Extracting(), large), maxlen=0),
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
        found["floor"] = lambda: [arc(decrypt_in_one_call(*nonce)) for nonce in nonces]
    return found


def dsmr_parser(frames: list[bytes], example: bytes, *, encrypted: bool) -> None:
    """Do the same with dsmr_parser: buffer, decryption with the tag verified, CRC, parsing, JSON."""
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
    """Run all in turn, many rounds, and return the medians for one telegram."""
    times: dict[str, list[float]] = {name: [] for name in measured}
    for round_number in range(ROUNDS):
        for name, run in measured.items():
            if name == "dsmr_parser" and round_number % 3:
                continue  # slow, and its share of the time is the most even of all
            start = time.thread_time()
            run()
            times[name].append((time.thread_time() - start) / TELEGRAMS * 1e6)
    return {name: statistics.median(found) for name, found in times.items()}


def megabytes_a_second(data: bytes) -> float:
    """Read something that holds no telegram."""
    chunks = chunks_of(data, 4096)
    times = []
    for _ in range(5):
        start = time.thread_time()
        deque(events_of(MeterStream(KEYS), chunks), maxlen=0)
        times.append(time.thread_time() - start)
    return len(data) / 1e6 / statistics.median(times)


def by_chunk_size() -> dict[str, float]:
    """Measure the whole way for chunks of several sizes: microseconds a telegram."""
    frames = [
        frame(text, counter=number) for number, text in enumerate(moving(map(luxembourg, range(TELEGRAMS))))
    ]
    streams = {"Luxembourg": b"".join(frames), "Belgium": b"".join(moving(map(belgium, range(TELEGRAMS))))}

    def run(data: bytes, size: int) -> Callable[[], None]:
        chunks = chunks_of(data, size)
        return lambda: whole(chunks)

    return median_microseconds({
        f"{name}, {size:4} bytes a chunk, µs": run(data, size)
        for name, data in streams.items()
        for size in CHUNK_SIZES
    })  # fmt: skip


def by_flood() -> dict[str, float]:
    """Measure streams that hold no telegram: megabytes a second."""
    header = b"\xdb\x08" + HOUSE_TITLE
    nested = b"".join(header + b"\x82" + (15400 - 15 * i).to_bytes(2, "big") + b"\x30" for i in range(500))
    floods = {
        "noise": bytes((i * 7919 + (i >> 3) * 31) % 256 for i in range(1_000_000)),
        "packed false headers": (header + b"\x82\x40\x00\x30") * 15_000,
        "headers packed as tightly as can be": b"\xdb\x08A\x82\x10\x00\x30" * 20_000,
        "nested headers": (nested + bytes(8500)) * 10,
        "many tiny texts": b"/ABC/DEF/GHI\r\n!1234\r\n" * 15_000,
        "slashes without end": b"/" * 300_000,
        "slashes before end lines": (b"/A" * 8180 + b"\n!1234\r\n") * 20,
    }
    return {f"{name}, MB/s": megabytes_a_second(flood) for name, flood in floods.items()}


def compare(before: Path, *, as_json: bool) -> None:
    """Print chunks and floods of the version in a folder beside the present one."""
    folders = {"before": before, "now": Path(__file__).resolve().parents[1]}
    figures: dict[str, dict[str, list[float]]] = {}
    for _ in range(3):
        for version, folder in folders.items():
            done = subprocess.run(
                [sys.executable, __file__, "--short", "--json"],
                check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(folder)},
            )  # fmt: skip
            for name, figure in json.loads(done.stdout).items():
                figures.setdefault(name, {}).setdefault(version, []).append(figure)
    medians = {
        name: {version: statistics.median(found) for version, found in each.items()}
        for name, each in figures.items()
    }
    if as_json:
        print(json.dumps(medians))
        return
    for name, each in medians.items():
        ratio = each["now"] / each["before"]
        print(f"{name:48} before {each['before']:9.2f} now {each['now']:9.2f} {ratio:6.2f} x")


def seconds_of(*command: str) -> float:
    """Run a command several times, and return the median of its times."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


# VmHWM starts from 0 with the program; ru_maxrss would count what the parent had.
_PEAK: Final = (
    "import sys; from smarty_gateway.cli import main; main(sys.argv[1:]); "
    "lines = open('/proc/self/status').read().splitlines(); "
    "print([int(x.split()[1]) // 1024 for x in lines if x.startswith('VmHWM')][0], file=sys.stderr)"
)


def peak_megabytes(data: bytes, times: int) -> int:
    """Return the peak memory of `decode` on a file that repeats the data this many times."""
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
    capture = b"".join(moving(map(belgium, range(100))))
    python = sys.executable
    sample = Path(__file__).resolve().parents[1] / "vectors/sample.bin"
    decode_sample = [python, "-m", "smarty_gateway", "decode", "--format", "telegram", str(sample)]
    results["chunks"] = by_chunk_size()
    results["floods"] = by_flood()
    results["other"] = {
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
    parser.add_argument("--short", action="store_true", help="chunks and floods only")
    parser.add_argument(
        "--before", type=Path, metavar="FOLDER", help="compare with the version in this folder"
    )
    args = parser.parse_args()
    if args.before is not None:
        compare(args.before.resolve(), as_json=args.json)
        return
    if args.short:
        logging.disable(logging.CRITICAL)
        figures = by_chunk_size() | by_flood()
        print(json.dumps(figures) if args.json else _table(figures))
        return
    results = measure()
    if args.json:
        print(json.dumps(results))
        return
    floor = results["Luxembourg, encrypted"]["floor"]
    for kind, figures in results.items():
        print(kind)
        if "dsmr_parser" not in figures:
            print(_table(figures))
            continue
        for name, figure in figures.items():
            ratios = f"{figure / floor:7.1f} x floor {figures['dsmr_parser'] / figure:7.1f} x dsmr_parser"
            print(f"  {name:24} {figure:9.1f} µs {ratios}")


def _table(figures: dict[str, float]) -> str:
    return "\n".join(f"  {name:48} {figure:9.2f}" for name, figure in figures.items())


if __name__ == "__main__":
    main()
