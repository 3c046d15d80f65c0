"""How long the sums of five years take, against a plain sum by SQLite: `python -m benchmarks.history`.

The file holds one meter's quarter hours of five years, without a gap, as most days are; the reference power
is set. All times are processor time, and medians of rounds that are run in turn, so that a busy machine slows
all of them alike. The plain sum is one statement that groups the stored rows by days of 24 h: it knows no
change of time, no series and no excess.

With --json the figures are printed as one JSON object.
"""

import argparse
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from benchmarks.figures import Figure, print_figures
from smarty_gateway.history.local_time import end_of
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By
from smarty_gateway.history.sample import QUARTER, REGISTERS
from smarty_gateway.state.history_reader import HistoryReader
from smarty_gateway.state.history_rows import PUT, put
from smarty_gateway.state.history_schema import TABLES, checksum

ROUNDS: Final = 9
ZONE: Final = ZoneInfo("Europe/Luxembourg")
BEGIN: Final = int(datetime(2021, 1, 1, tzinfo=ZONE).timestamp())
END: Final = int(datetime(2026, 1, 1, tzinfo=ZONE).timestamp())
DAY: Final = int(datetime(2025, 6, 15, tzinfo=ZONE).timestamp())
YEAR: Final = int(datetime(2025, 1, 1, tzinfo=ZONE).timestamp())
REFERENCE: Final = ReferencePower(((None, 3000),))
#: The registers that a meter sends, with how fast they grow at most, in Wh a quarter hour.
METERS: Final = {
    "Luxembourg": {"energy_import": 1500, "energy_export": 300},
    "Belgium": {
        "energy_import_tariff_1": 1500,
        "energy_import_tariff_2": 1500,
        "energy_export_tariff_1": 300,
        "energy_export_tariff_2": 300,
    },
}
PLAIN: Final = "SELECT (end - 1) / 96, max(energy_import) - min(energy_import) FROM quarters GROUP BY 1"


def stored_rows(meter: str) -> Iterator[tuple[int | None, ...]]:
    """Yield the rows of five years in the order of the columns."""
    noise = random.Random(15)  # noqa: S311 - repeatable noise, no secret
    registers = dict.fromkeys(METERS[meter], 10_000_000)
    for end in range(BEGIN // QUARTER, END // QUARTER + 1):
        for name, most in METERS[meter].items():
            registers[name] += noise.randrange(most)
        yield end, 1, 1, 90, noise.randrange(9000), 0, *map(registers.get, REGISTERS), None


def create(path: Path, meter: str) -> None:
    """Write five years of a meter into a new file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLES)
        put(connection, "meters", 1, "house", 0)
        put(connection, "series", 1, 1, "meter")
        connection.executemany(
            PUT["quarters"], ((*row, checksum("quarters", row)) for row in stored_rows(meter))
        )
        connection.commit()


def medians(measured: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Run all in turn, and return the medians in ms."""
    times: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(ROUNDS):
        for name, run in measured.items():
            start = time.process_time()
            run()
            times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(found) for name, found in times.items()}


def measure(meter: str) -> list[Figure]:
    """Measure the sums of one meter."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.sqlite3"
        create(path, meter)
        with closing(sqlite3.connect(path)) as connection:
            reader = HistoryReader(connection, ZONE)

            def rows(by: By, first: int, last: int) -> Callable[[], object]:
                return lambda: reader.rows("house", by, first, last, END, REFERENCE)

            found = medians({
                "plain sum": lambda: connection.execute(PLAIN).fetchall(),
                "day": rows(By.DAY, DAY, end_of(By.DAY, DAY, ZONE)),
                "quarters": rows(By.QUARTER, DAY, end_of(By.DAY, DAY, ZONE)),
                "year": rows(By.MONTH, YEAR, END),
                "five years": rows(By.DAY, BEGIN, END),
            })  # fmt: skip
    return [
        Figure(f"{meter}: plain SQL sum of five years by day, ms", found["plain sum"]),
        Figure(f"{meter}: a day, ms", found["day"], most=2),
        Figure(f"{meter}: a day by quarter hour, ms", found["quarters"]),
        Figure(f"{meter}: a year by month, ms", found["year"], most=50),
        Figure(f"{meter}: five years by day, ms", found["five years"], most=250),
        Figure(f"{meter}: five years by day / plain SQL sum", found["five years"] / found["plain sum"]),
    ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    print_figures([lambda: measure("Luxembourg"), lambda: measure("Belgium")], as_json=args.json)


if __name__ == "__main__":
    main()
