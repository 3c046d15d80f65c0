"""The state file: it is used, put aside or refused with a reason, and what is read of it is sound."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

from smarty_gateway.config.source import parse_source
from smarty_gateway.config.values import MeterConfig, StoreLimits
from smarty_gateway.gateway.meter_registry import MeterRegistry
from smarty_gateway.outputs.mqtt.devices import MbusDevices
from smarty_gateway.outputs.mqtt.retained import RetainedTopics
from smarty_gateway.outputs.outbox import Outbox
from smarty_gateway.protocol.identities import Identities
from smarty_gateway.state.sqlite_file import StateError
from smarty_gateway.state.state_file import FILE_NAME, VERSION
from smarty_gateway.state.store import Store
from smarty_gateway.state.store_rows import Holder, PublishedDevice, StoredCounter, UnnamedMeter
from tests.fuzz.folder import FOLDER
from tests.fuzz.picker import Picker
from tests.support.streams import read, sample_keys
from vectors.building_blocks import BARN_TITLE, HOUSE_TITLE, frame, telegram

_FOLDER: Final = FOLDER / "state"
_SOURCE: Final = "/dev/ttyUSB0"
_FRAME: Final = frame(telegram("Lux5\\253000001_D", "1-3:0.2.8(42)"), counter=0xFFFF_FFFF)
#: What SQLite lets stand in any column.
_VALUES: Final = (
    "NULL", "-1", "0", "1", "5", "4294967295", "4294967296", "9223372036854775807",
    "-9223372036854775808", "1.5",
    "1e400", "'house'", "''", f"'{_SOURCE}'", f"x'{HOUSE_TITLE.hex()}'", "x''", "x'ff'",
    "CAST(x'ff' AS TEXT)",
    "CAST(x'610062' AS TEXT)", "'mqtt'", "'influxdb'", "'forward'",
    "'smarty/house/state'", "'smarty/+/state'", "'a#'", "char(10)", "char(55296)",
    "char(65535)", "'x5'", "zeroblob(100000)", "replace(hex(zeroblob(40000)), '00', 'ab')", "1700000000.5",
)  # fmt: skip
_STATEMENTS: Final = (
    "DROP TABLE {table}", "ALTER TABLE {table} RENAME TO old", "CREATE TABLE other (a)",
    "PRAGMA user_version={number}",
    "ALTER TABLE {table} ADD COLUMN more",
    "CREATE TRIGGER t BEFORE DELETE ON {table} BEGIN SELECT RAISE(FAIL, ''); END",
    "CREATE VIEW v AS SELECT 1", "PRAGMA journal_mode=DELETE", "DELETE FROM {table}",
    "PRAGMA application_id={number}",
)  # fmt: skip


def check_one(data: bytes) -> None:
    """Raise an exception if a state file made of this is not dealt with as it should be."""
    picker = Picker(data)
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir()
    path = _FOLDER / FILE_NAME
    kind = picker.number(0, 4)
    if kind == 0:
        path.write_bytes(_with_flipped_bytes(picker, _GOOD))
    elif kind == 1:
        path.write_bytes(_GOOD[: picker.number(0, len(_GOOD))] + picker.take(picker.number(0, 20)))
        path.with_name(path.name + "-wal").write_bytes(picker.take(100))
    else:
        path.write_bytes(_GOOD)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for _ in range(picker.number(1, 5)):
                with suppress(sqlite3.Error):
                    connection.execute(_statement(picker))
    _use_all()


def _with_flipped_bytes(picker: Picker, file: bytes) -> bytes:
    flipped = bytearray(file)
    for _ in range(picker.number(1, 8)):
        # The header and what describes the tables is in the first page, and rows are at the ends of pages.
        at = picker.choice(
            (picker.number(0, 199), picker.number(0, len(file) - 1), 4095 - picker.number(0, 255))
        )
        flipped[at] ^= 1 << picker.number(0, 7)
    return bytes(flipped)


# What of the store is asked, and what it promises. It is all in the functions from here on.

_TABLES: Final = {
    "counters": "title, fingerprint, counter, meter, source",
    "resets": "title",
    "identities": "identity, owner",
    "holders": "name, holder, is_authenticated, second",
    "unnamed": "key, name, source, is_authenticated, heard",
    "devices": "meter, device, behind, channel, medium, absent_since",
    "put_aside": "topic, size",
    "service": "seconds",
    "undelivered": "topic, payload, stored, output",
    "published": "topic, meter",
}


def _good_file() -> bytes:
    """Return a state file with some rows in each table."""
    folder = FOLDER / "good-state"
    with Store(folder) as store:
        counters = [
            StoredCounter(title, "0123456789abcdef", 5, "house", _SOURCE)
            for title in (HOUSE_TITLE, BARN_TITLE)
        ]
        messages = [(f"smarty/house/telegram{number}", b"{}") for number in range(20)]
        store.add_undelivered("mqtt", messages, counters)
        store.add_undelivered("forward", [("smarty/raw/1/5341476770003039", b"\x01")])
        store.add_undelivered("influxdb", [("E3", b"power_import=1.5"), ("barn", b"power_import=0")])
        store.note_published(["smarty/house/state", "smarty/house/health"], "house")
        store.note_put_aside("smarty/barn/state", 9000)
        unnamed = [UnnamedMeter("e3", "E3", _SOURCE, is_authenticated=False, heard=0.0)]
        holders = {"barn": Holder("e2", is_authenticated=False)}
        store.write_owners({"e1": HOUSE_TITLE, "e2": "barn"}, holders, unnamed)
        store.write_devices([PublishedDevice("house", "G1", "e1", 1, "gas", 0.0)])
        store.reset([HOUSE_TITLE])
    return (folder / FILE_NAME).read_bytes()


def _statement(picker: Picker) -> str:
    table = picker.choice(list(_TABLES))
    if picker.one_in(3):
        return picker.choice(_STATEMENTS).format(
            table=table, number=picker.choice((0, VERSION, VERSION + 1, -1))
        )
    columns = _TABLES[table]
    values = ", ".join(picker.choice(_VALUES) for _ in columns.split(","))
    if picker.one_in(2):
        name = picker.choice(columns.split(", "))
        return f"UPDATE {table} SET {name} = {picker.choice(_VALUES)}"  # noqa: S608 - wrong on purpose
    return f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({values})"  # noqa: S608 - likewise


def _use_all() -> None:
    try:
        store = Store(_FOLDER)
    except StateError as error:
        assert str(error).isprintable(), "an error is more than one line"
        return
    with store:
        for use in _USES:
            with suppress(sqlite3.Error):  # which every method may raise
                use(store)


def _use_counters(store: Store) -> None:
    rows = store.all_counters()
    for row in rows:
        for text in (row.source, row.fingerprint, row.meter):
            assert isinstance(text, str)
        assert isinstance(row.title, bytes)
        assert len(row.title) == 8
        assert isinstance(row.counter, int)
        assert -1 <= row.counter < 1 << 32
    read(_FRAME, sample_keys(), store.counters())
    store.write(rows)
    store.reset({row.title for row in rows})


def _use_identities(store: Store) -> None:
    owners, holders = store.owners(), store.holders()
    table = Identities(store.counters(), owners)
    for identity, owner in owners.items():
        assert isinstance(identity, str)
        assert isinstance(owner, str) or len(owner) == 8
        table.claim("barn", [identity], _SOURCE)
    for name, held in holders.items():
        assert isinstance(name, str)
        assert isinstance(held.meter, str)
        assert held.second is None or isinstance(held.second, str)
    unnamed = store.unnamed()
    MeterRegistry([MeterConfig((parse_source(_SOURCE),))], table, print, holders=holders, unnamed=unnamed)
    store.write_owners(table.owners(), holders, unnamed)
    for topic, size in store.put_aside().items():
        _check_topic(topic)
        assert size >= 0
        store.note_put_aside(topic, None)


def _use_resets(store: Store) -> None:
    for title in store.take_resets():
        assert isinstance(title, bytes)
    store.forget_resets()


def _use_published(store: Store) -> None:
    published = RetainedTopics(store)
    topics = [topic for topic, _ in published.items()]
    for topic in topics:
        _check_topic(topic)
    for name in published.names:
        assert isinstance(name, str)
        assert isinstance(published.of(name), list)
    published.note("barn", ["smarty/barn/state"])
    published.retire(topics)
    for topic in published.retired:
        published.note_emptied(topic)
    published.save()
    devices = MbusDevices(store.devices())
    devices.take({"gas": {"channel": 1, "id": "G2"}}, 0.0)
    store.write_devices(devices.stored("house", "e1"))
    store.forget_meter("house", "smarty/house/")


def _use_undelivered(store: Store) -> None:
    for output in ("mqtt", "influxdb", "forward"):
        outbox = Outbox(store, StoreLimits(), output, "the consumer")
        outbox.tick(0.0)
        while (waiting := outbox.next_to_send()) is not None:
            assert isinstance(waiting.topic, str)
            if output != "influxdb":
                _check_topic(waiting.topic)
            assert isinstance(waiting.payload, bytes)
            assert isinstance(waiting.id, int)
            outbox.remove(waiting)
        outbox.add("smarty/house/telegram", b"{}", 1.0)
        outbox.close(2.0)


def _check_topic(topic: object) -> None:
    """Raise an exception if a broker would hang up on this."""
    assert isinstance(topic, str)
    assert topic
    assert not re.search("[+#\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", topic), "not a valid topic"
    assert len(topic.encode()) < 1 << 16


_USES: Final[tuple[Callable[[Store], None], ...]] = (
    _use_counters,
    _use_identities,
    _use_resets,
    _use_published,
    _use_undelivered,
)
_GOOD: Final = _good_file()
