"""What must outlive the process: who the meters are, and what no broker or server has acknowledged yet.

One SQLite file in the state folder (see `state_file`), one connection, and a lock around it. It is for
outages, not for every telegram, because an SD card wears out: callers collect before they write. A commit
waits for the disk (`synchronous=FULL`), so what was written is there after `kill -9` and after a power cut.

    counters      system title, key fingerprint -> the last frame counter that was accepted, on any source
    resets        titles whose counters a user has reset while a gateway runs
    identities    what a telegram calls its meter -> the meter that owns this identity
    holders       configured name -> the meter that is published under it
    unnamed       meters that the configuration does not name, with the source that brought them
    devices       the M-Bus devices that are published for each meter
    undelivered   what waits for each output, in the order of its arrival
    published     retained topics that a broker holds, so that they can be emptied
    put_aside     topics whose messages the broker refuses, with the size of the refused message
    service       for how many seconds gateways have used this file
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from smarty_gateway.config.values import StoreLimits
from smarty_gateway.protocol.counters import BEGINS_ANEW, FrameCounters
from smarty_gateway.protocol.identities import Owner
from smarty_gateway.state.sqlite_file import StateBusyError, transaction
from smarty_gateway.state.state_file import FILE_NAME, Row, StateFile, good_rows
from smarty_gateway.state.store_rows import Holder, PublishedDevice, StoredCounter, Undelivered, UnnamedMeter

#: Of the limit, how much stays after messages were dropped, so that it is not reached again at once.
_SHARE_AFTER_DROP: Final = 0.95
#: With what SQLite needs for a row beside its topic and payload.
_ROW_BYTES: Final = "(length(payload) + length(topic) + 32)"
#: About what a row takes of the file: as many of one size as fit share a page of 4096 bytes, or it fills
#: several; and its entry in the index.
_ROW_SIZE: Final = f"4096 * ({_ROW_BYTES} / 4092 + 1) / max(1, 4088 / {_ROW_BYTES}) + 20"


def holders_in(folder: Path) -> dict[str, Holder]:
    """Return the meters behind configured names without writing anything; {} if they cannot be read."""
    path = folder.absolute() / FILE_NAME
    try:
        if not path.is_file():  # opening a pipe would wait
            return {}
        # SQLite leaves files behind after reading one with a log, unless a gateway has them open anyway.
        how = "mode=ro" if path.with_name(f"{FILE_NAME}-wal").exists() else "immutable=1"
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?{how}", uri=True)) as connection:
            return _holders(connection)
    except (OSError, sqlite3.Error):
        return {}  # no file yet, or another user's, or the gateway will report what is wrong


def _holders(connection: sqlite3.Connection) -> dict[str, Holder]:
    rows = connection.execute("SELECT name, holder, is_authenticated, second FROM holders").fetchall()
    return {
        name: Holder(meter, bool(proven), second)
        for name, meter, proven, second in good_rows("holders", rows)
    }


class Store:
    """The state. Every method may raise sqlite3.Error when the disk is full or broken.

    Attributes:
        path: of the file.
        is_kept: what is written outlives the process.
        notices: what a user should know about the file.
        unsaved_counters: returns the frame counters that changed since they were written. The gateway sets
            it; an output that writes messages writes these in the same transaction.

    Raises:
        StateError: the file cannot be used until somebody does something about it.
        StateBusyError: it is locked, which passes; also at the end of a `with` block that failed by it.
    """

    def __init__(self, folder: Path) -> None:
        self.unsaved_counters: Callable[[], Sequence[StoredCounter]] = tuple
        self._limits: dict[str, StoreLimits] = {}
        self._lock = threading.Lock()
        file = StateFile(folder)
        self.path, self.is_kept, self.notices = file.path, file.is_kept, file.notices
        self._connection = file.connection
        self._opened = time.monotonic()
        try:
            (self._served_before,) = self._connection.execute("SELECT seconds FROM service").fetchone()
            self._seen = self._data_version()
        except sqlite3.Error as error:
            self._connection.close()
            raise StateBusyError(error) from None

    def _data_version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    @property
    def _service_seconds(self) -> float:
        """Age is counted in seconds of service: the clock of a small computer is often wrong at first."""
        return time.monotonic() + self._service_shift

    @property
    def _service_shift(self) -> float:
        """From the monotonic clock to seconds of service."""
        return float(self._served_before) - self._opened

    def _monotonic(self, service_seconds: float) -> float:
        """Return a time of service by the monotonic clock; a crash may have set the service back."""
        return min(service_seconds - self._service_shift, time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.close()
        if isinstance(error, sqlite3.Error):
            raise StateBusyError(error) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _select(self, query: str, *values: object) -> list[Row]:
        with self._lock:
            return self._connection.execute(query, values).fetchall()

    # Who is who

    def counters(self) -> FrameCounters:
        """Return the last frame counters."""
        return FrameCounters({(row.title, row.fingerprint): row.counter for row in self.all_counters()})

    def all_counters(self) -> list[StoredCounter]:
        """Return every row of `counters`."""
        rows = self._select("SELECT title, fingerprint, counter, meter, source FROM counters")
        return [StoredCounter(*row) for row in rows]

    def owners(self) -> dict[str, Owner]:
        """Return the owner of each identity."""
        return dict(self._select("SELECT identity, owner FROM identities"))

    def holders(self) -> dict[str, Holder]:
        """Return the meters behind configured names."""
        with self._lock:
            return _holders(self._connection)

    def unnamed(self) -> list[UnnamedMeter]:
        """Return the meters that the configuration does not name."""
        rows = self._select("SELECT key, name, source, is_authenticated, heard FROM unnamed ORDER BY key")
        return [
            UnnamedMeter(key, name, source, bool(is_authenticated), self._monotonic(heard))
            for key, name, source, is_authenticated, heard in rows
        ]

    def write(self, counters: Iterable[StoredCounter]) -> None:
        """Write counters."""
        with self._lock, transaction(self._connection):
            self._write_counters(counters)

    def _write_counters(self, counters: Iterable[StoredCounter]) -> None:
        self._connection.executemany(
            "INSERT INTO counters VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "counter = max(counter, excluded.counter), meter = excluded.meter, source = excluded.source "
            "WHERE counter < excluded.counter OR meter != excluded.meter OR source != excluded.source",
            [(c.title, c.fingerprint, c.counter, c.meter, c.source) for c in counters],
        )
        self._write_service_seconds()

    def _write_service_seconds(self) -> None:
        self._connection.execute("UPDATE service SET seconds = ?", (self._service_seconds,))

    def write_owners(
        self,
        owners: Mapping[str, Owner],
        holders: Mapping[str, Holder],
        unnamed: Iterable[UnnamedMeter] = (),
    ) -> None:
        """Replace the owners of identities, the holders of names, and the meters without one."""
        shift = self._service_shift
        with self._lock, transaction(self._connection):
            self._connection.execute("DELETE FROM identities")
            self._connection.executemany("INSERT INTO identities VALUES (?, ?)", list(owners.items()))
            self._connection.execute("DELETE FROM holders")
            self._connection.executemany(
                "INSERT INTO holders VALUES (?, ?, ?, ?)",
                [(name, held.meter, held.is_authenticated, held.second) for name, held in holders.items()],
            )
            self._connection.execute("DELETE FROM unnamed")
            self._connection.executemany(
                "INSERT INTO unnamed VALUES (?, ?, ?, ?, ?)",
                [(m.key, m.name, m.source, m.is_authenticated, m.heard + shift) for m in unnamed],
            )
            self._write_service_seconds()

    def reset(self, titles: Iterable[bytes]) -> None:
        """Reset the counters of these titles, also for a gateway that is running."""
        with self._lock, transaction(self._connection):
            for title in titles:
                self._connection.execute(
                    "UPDATE counters SET counter = ? WHERE title = ?", (BEGINS_ANEW, title)
                )
                self._connection.execute("INSERT OR IGNORE INTO resets VALUES (?)", (title,))

    def take_resets(self) -> list[bytes]:
        """Return the titles that were reset since the last call; cheap if there are none."""
        with self._lock:
            version = self._data_version()
            if version == self._seen:
                return []
            with transaction(self._connection):
                rows = self._connection.execute("SELECT title FROM resets").fetchall()
                if rows:
                    self._connection.execute("DELETE FROM resets")
            self._seen = version
        return [title for (title,) in rows]

    def forget_resets(self) -> None:
        """Drop resets from before the start: the counters in the file are reset already."""
        with self._lock:
            self._connection.execute("DELETE FROM resets WHERE EXISTS (SELECT 1 FROM resets)")

    # Undelivered messages

    def add_undelivered(
        self, output: str, messages: Iterable[tuple[str, bytes]], counters: Iterable[StoredCounter] = ()
    ) -> list[int]:
        """Write the topics and payloads of messages, with counters, and return the ids of the messages."""
        now = self._service_seconds
        ids = []
        with self._lock, transaction(self._connection):
            self._write_counters(counters)
            for topic, payload in messages:
                done = self._connection.execute(
                    "INSERT INTO undelivered (topic, payload, stored, output) VALUES (?, ?, ?, ?)",
                    (topic, payload, now, output),
                )
                ids.append(int(done.lastrowid or 0))
        return ids

    def undelivered_after(self, output: str, last_id: int, limit: int) -> list[Undelivered]:
        """Return the oldest messages of an output behind an id, in order."""
        rows = self._select(
            "SELECT id, topic, payload FROM undelivered WHERE output = ? AND id > ? ORDER BY id LIMIT ?",
            output, last_id, limit,
        )  # fmt: skip
        return [Undelivered(*row) for row in rows]

    def count_undelivered(self, output: str) -> int:
        """Return the number of messages that wait for an output."""
        return int(self._select("SELECT count(*) FROM undelivered WHERE output = ?", output)[0][0])

    def delete(self, ids: Sequence[int]) -> None:
        """Delete messages that were acknowledged."""
        with self._lock, transaction(self._connection):
            self._connection.executemany("DELETE FROM undelivered WHERE id = ?", [(i,) for i in ids])

    def limit(self, output: str, limits: StoreLimits) -> None:
        """Set the limits of what may wait for an output, before any output drops what is beyond its own."""
        self._limits[output] = limits

    def drop_beyond(self, output: str) -> int:
        """Drop the oldest messages of an output beyond its limits, and return how many.

        What waits for one output pushes out nothing that waits for another, and the file, which shrinks with
        what it holds, stays below the limits of all. The largest topics lose most, so that no meter can push
        out the messages of another one.
        """
        limits = self._limits[output]
        with self._lock:
            with transaction(self._connection):
                dropped = self._connection.execute(
                    "DELETE FROM undelivered WHERE output = ? AND stored < ?",
                    (output, self._service_seconds - limits.days * 86400),
                ).rowcount
                dropped += self._drop_beyond_size(output, limits.megabytes * 1_000_000)
            if self._pages("page_count") > self._most:
                # By `execute` it would free one page only: it is stepped once where there are no columns.
                self._connection.executescript("PRAGMA incremental_vacuum")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return dropped

    @property
    def _most(self) -> int:
        """How many bytes the file may take."""
        return sum(limits.megabytes for limits in self._limits.values()) * 1_000_000

    def _pages(self, which: str) -> int:
        """Return the size of all pages, or of the free ones, in bytes."""
        (pages,), (size,) = (
            self._connection.execute(f"PRAGMA {name}").fetchone() for name in (which, "page_size")
        )
        return int(pages) * int(size)

    def _drop_beyond_size(self, output: str, most: int) -> int:
        """Drop messages until those of the output, and all pages in use, take no more than they may."""
        used = self._pages("page_count") - self._pages("freelist_count")
        if used <= most:
            return 0
        sizes = dict(
            self._connection.execute(
                f"SELECT topic, sum({_ROW_SIZE}) FROM undelivered WHERE output = ? "  # noqa: S608 - our own names
                "GROUP BY topic",
                (output,),
            ).fetchall()
        )
        own = sum(sizes.values())
        if own <= most and used <= self._most:
            return 0
        taken = own * self._bytes_in_use_per_byte(used)
        if taken <= most:
            return 0
        share = _fair_share(sizes.values(), own * (1 - most * _SHARE_AFTER_DROP / taken))
        return self._drop_oldest(
            output, {topic: size - share for topic, size in sizes.items() if size > share}
        )

    def _bytes_in_use_per_byte(self, used: int) -> float:
        """Return how many bytes in use stand for each byte of a message.

        Other tables and gaps between messages are counted only once the file has reached all limits
        together: those of one output must not push out another.
        """
        waiting = dict(
            self._connection.execute(
                f"SELECT output, sum({_ROW_SIZE}) FROM undelivered GROUP BY output"  # noqa: S608
            ).fetchall()
        )
        ratio = used / max(1, sum(waiting.values()))
        is_full = ratio * sum(waiting.get(output, 0) for output in self._limits) > self._most
        return ratio if is_full else min(ratio, 1.0)

    def _drop_oldest(self, output: str, excess: dict[str, float]) -> int:
        """Drop the oldest messages of each topic until its excess is gone, in one pass over all of them."""
        rows = self._connection.execute(
            f"SELECT id, topic, {_ROW_SIZE} FROM undelivered WHERE output = ? ORDER BY id",  # noqa: S608
            (output,),
        )
        dropped = []
        for row_id, topic, size in rows:
            if excess.get(topic, 0.0) > 0:
                excess[topic] -= size
                dropped.append((row_id,))
        self._connection.executemany("DELETE FROM undelivered WHERE id = ?", dropped)
        return len(dropped)

    # Retained topics, and those that the broker refuses

    def published(self) -> dict[str, str]:
        """Return the retained topics that a broker holds, with their meters; "" for one to be emptied."""
        return dict(self._select("SELECT topic, meter FROM published"))

    def note_published(self, topics: Iterable[str], meter: str) -> None:
        """Record retained topics before they are sent."""
        with self._lock, transaction(self._connection):
            self._connection.executemany(
                "INSERT OR REPLACE INTO published VALUES (?, ?)", [(topic, meter) for topic in topics]
            )

    def note_emptied(self, topics: Iterable[str]) -> None:
        """Delete retained topics that the broker has emptied."""
        with self._lock, transaction(self._connection):
            self._connection.executemany("DELETE FROM published WHERE topic = ?", [(t,) for t in topics])

    def devices(self) -> list[PublishedDevice]:
        """Return the M-Bus devices that are published."""
        rows = self._select("SELECT meter, device, behind, channel, medium, absent_since FROM devices")
        return [
            PublishedDevice(
                meter, device, behind, channel, medium, None if since is None else self._monotonic(since)
            )
            for meter, device, behind, channel, medium, since in rows
        ]

    def write_devices(self, devices: Iterable[PublishedDevice]) -> None:
        """Replace the M-Bus devices that are published."""
        shift = self._service_shift
        rows = [
            (d.meter, d.device, d.behind, d.channel, d.medium,
             None if d.absent_since is None else d.absent_since + shift)
            for d in devices
        ]  # fmt: skip
        with self._lock, transaction(self._connection):
            self._connection.execute("DELETE FROM devices")
            self._connection.executemany("INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._write_service_seconds()

    def put_aside(self) -> dict[str, int]:
        """Return the topics whose messages the broker refuses, with the size of the refused message."""
        return dict(self._select("SELECT topic, size FROM put_aside"))

    def note_put_aside(self, topic: str, size: int | None) -> None:
        """Record that the broker refuses messages of this size; None if it accepts them again."""
        with self._lock, transaction(self._connection):
            self._connection.execute("DELETE FROM put_aside WHERE topic = ?", (topic,))
            if size is not None:
                self._connection.execute("INSERT INTO put_aside VALUES (?, ?)", (topic, size))

    def forget_meter(self, meter: str, topic_beginning: str) -> int:
        """Delete who a meter is and what waits under its topics or its name, and return how many messages.

        Its frame counters stay, or its old frames could be replayed.
        """
        with self._lock, transaction(self._connection):
            self._connection.execute("DELETE FROM holders WHERE name = ?", (meter,))
            self._connection.execute("DELETE FROM unnamed WHERE name = ?", (meter,))
            self._connection.execute("DELETE FROM devices WHERE meter = ?", (meter,))
            self._connection.execute("DELETE FROM identities WHERE owner = ?", (meter,))
            self._connection.execute(
                "DELETE FROM identities WHERE owner IN (SELECT title FROM counters WHERE meter = ?)", (meter,)
            )
            return self._connection.execute(
                "DELETE FROM undelivered WHERE CASE output WHEN 'mqtt' THEN substr(topic, 1, ?) = ? "
                "ELSE topic = ? END",
                (len(topic_beginning), topic_beginning, meter),
            ).rowcount


def _fair_share(sizes: Iterable[int], excess: float) -> float:
    """Return what each topic may keep at most, so that this many bytes go."""
    ordered = sorted(sizes, reverse=True)
    for number, (size, following) in enumerate(zip(ordered, [*ordered[1:], 0], strict=True), 1):
        # Is it enough to cut the largest ones down to the next in size?
        if excess <= number * (size - following):
            return size - excess / number
        excess -= number * (size - following)
    return 0.0
