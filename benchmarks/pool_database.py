"""What a pool asks of PostgreSQL: `python -m benchmarks.pool_database`.

A server of its own, made in TMPDIR, is filled with a reading for each of many meters. Then batches are
written as a worker writes them, of meters in no order; a shard is taken, a lease renewed, and what is older
than `keep_days` deleted. With --json the figures come as one JSON object.

WAL is what the server writes to its log: after each checkpoint the first change of a page logs all of it, so
it is most per row where each row changes another page of the primary key.
"""

import argparse
import os
import random
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final, LiteralString

import psycopg

from benchmarks.brokers import temporary_folder
from benchmarks.figures import Figure, print_figures
from smarty_gateway.config.pool_values import DatabaseConfig
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.pool.database.database import Database
from smarty_gateway.pool.database.rows import Row
from smarty_gateway.protocol.dummy_keys import dummy_key
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.shards import SHARDS, shard_of
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from tests.support.postgresql import PostgresServer

#: Rows in a transaction, and how many rows are written with it.
_BATCHES: Final = ((1, 500), (10, 5_000), (100, 30_000), (500, 60_000))
_START: Final = datetime(2026, 11, 22, tzinfo=UTC)
_FILL: Final[LiteralString] = """
INSERT INTO smarty_reading (title, fingerprint, counter, meter, received, security, reading, stored)
SELECT title, fingerprint, 1, 'SAG1030700000001', now(), 'authenticated', %s, now() - interval '3 days'
FROM smarty_counter
"""
_KNOWN: Final[LiteralString] = """
INSERT INTO smarty_counter (title, fingerprint, shard, highest)
SELECT title, fingerprint, shard, 20000000 FROM unnest(%s::bytea[], %s::text[], %s::smallint[])
AS meters (title, fingerprint, shard)
"""


class Filled:
    """A database that knows many meters and has an old reading of each.

    Args:
        server: on which it is.
        meters: how many.
    """

    def __init__(self, server: PostgresServer, meters: int) -> None:
        login = ("127.0.0.1", server.port, "smarty", "smarty")
        self.titles = [b"SAG" + number.to_bytes(5, "big") for number in range(meters)]
        self.database = Database(DatabaseConfig(*login, server.password_file, keep_days=2))
        self.database.create_tables()
        self.reading = reading()
        self._counter = 20_000_000
        host, port, user, name = login
        password = server.password_file.read_text("utf-8")
        self._own = psycopg.connect(
            host=host, port=port, user=user, dbname=name, password=password, autocommit=True
        )
        fingerprints = [fingerprint(title) for title in self.titles]
        shards = [shard_of(title) for title in self.titles]
        self._own.execute(_KNOWN, [self.titles, fingerprints, shards])
        self._own.execute(_FILL, [self.reading.decode()])
        self._own.execute("VACUUM ANALYZE")

    def close(self) -> None:
        """End both connections."""
        self.database.close()
        self._own.close()

    def ask(self, sql: LiteralString) -> int:
        """Return the number that a statement returns."""
        ((number,),) = self._own.execute(sql)
        return int(number)

    def processor_time(self) -> float:
        """Return the seconds that the server's process for the worker has computed."""
        number = self.ask("SELECT pid FROM pg_stat_activity WHERE application_name = 'smarty-gateway pool'")
        # proc(5): utime and stime are the fields 14 and 15, behind a name in brackets.
        fields = Path(f"/proc/{number}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rows(self, number: int) -> Iterator[Row]:
        """Yield a row of each meter in no order, and then the next of each."""
        while True:
            order = random.Random(self._counter).sample(self.titles, len(self.titles))  # noqa: S311 - no secret
            self._counter += 1
            for title in order[:number]:
                received = _START + timedelta(seconds=10 * self._counter)
                yield Row(
                    title, fingerprint(title), self._counter, shard_of(title), "SAG1030700000001", received,
                    received, "authenticated", self.reading,
                )  # fmt: skip
            number -= len(self.titles)
            if number <= 0:
                return


def fingerprint(title: bytes) -> str:
    """Return one of the length of a genuine one."""
    return title.hex()


def reading() -> bytes:
    """Return the JSON object of a simulated meter of Luxembourg."""
    meter = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
    stream = MeterStream(KeyRing({meter.meter_id: dummy_key(1).hex()}))
    stream.receive_data(meter.frame(_START))
    (telegram,) = (event for event in [stream.next_event()] if isinstance(event, MeterTelegram))
    return to_json_bytes(telegram.as_object())


def writing(filled: Filled) -> list[Figure]:
    """Write batches of several sizes."""
    figures = [Figure("bytes of a reading's JSON text", len(filled.reading))]
    for size, total in _BATCHES:
        rows = list(filled.rows(total))
        before = filled.ask("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        there = filled.processor_time()
        began, worked = time.perf_counter(), time.process_time()
        for start in range(0, total, size):
            filled.database.write(rows[start : start + size])
        seconds, processor = time.perf_counter() - began, time.process_time() - worked
        there = filled.processor_time() - there
        log = filled.ask("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn") - before
        name = f"batches of {size}"
        figures += [
            Figure(f"{name}: rows a second", total / seconds),
            Figure(f"{name}: µs a row", seconds / total * 1e6),
            Figure(f"{name}: µs a row of processor time of the worker", processor / total * 1e6),
            Figure(f"{name}: µs a row of processor time of the server", there / total * 1e6),
            Figure(f"{name}: bytes a row of WAL", log / total),
        ]
    return figures


def room(filled: Filled) -> list[Figure]:
    """Count what a row takes on the disk."""
    count = filled.ask("SELECT count(*) FROM smarty_reading")
    sizes = {
        "the table": filled.ask("SELECT pg_table_size('smarty_reading')"),
        "the primary key": filled.ask("SELECT pg_relation_size('smarty_reading_pkey')"),
        "the index by time of storage": filled.ask("SELECT pg_relation_size('smarty_reading_stored')"),
    }
    figures = [Figure(f"bytes a row of {name}", size / count) for name, size in sizes.items()]
    figures.append(Figure("GB a million rows", sum(sizes.values()) / count / 1e3))
    counters = filled.ask("SELECT pg_total_relation_size('smarty_counter')")
    figures.append(Figure("bytes a meter of its highest counter", counters / len(filled.titles)))
    return figures


def moments(filled: Filled) -> list[Figure]:
    """Take shards, renew them, and delete what is old."""
    database = filled.database
    began = time.perf_counter()
    taken = [database.take_shard(shard, "a") for shard in range(SHARDS)]
    seconds = time.perf_counter() - began
    figures = [
        Figure("meters a shard", sum(len(shard.counters) for shard in taken) / SHARDS),
        Figure("ms to take a shard", seconds / SHARDS * 1e3),
    ]
    held = {shard.shard: shard.epoch for shard in taken}
    began = time.perf_counter()
    for _ in range(100):
        database.renew("a", held)
    figures.append(Figure("ms to renew all shards", (time.perf_counter() - began) * 10))
    began = time.perf_counter()
    counts = [database.tidy() for _ in range(5)]
    figures.append(Figure("rows a second deleted as too old", sum(counts) / (time.perf_counter() - began)))
    return figures


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--meters", type=int, default=300_000, help="that the database knows (300000)")
    args = parser.parse_args()
    with (
        temporary_folder() as folder,
        PostgresServer(folder) as server,
        closing(Filled(server, args.meters)) as filled,
    ):
        steps = (writing, room, moments)
        print_figures([partial(step, filled) for step in steps], as_json=args.json)


if __name__ == "__main__":
    main()
