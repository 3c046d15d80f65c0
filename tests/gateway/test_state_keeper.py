"""What the process knows about meters reaches the disk, and rarely."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.sources.address import Address, Kind
from smarty_gateway.state.store import Store
from tests.support.streams import meter_key
from vectors.building_blocks import frame, luxembourg


def test_a_meter_that_two_sources_bring_by_turns_is_not_written_each_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    config = Config(tuple(MeterConfig((Address(Kind.SERIAL, t, path=Path(t)),)) for t in ("/a", "/b")))
    keys, commits = KeyRing({}, [meter_key()]), set()
    with Store(tmp_path) as store, closing(sqlite3.connect(store.path)) as other:
        keeper = StateKeeper(config, store)
        for counter in range(360):
            now += 10
            source = "/a" if counter // 7 % 2 else "/b"
            stream = MeterStream(keys, keeper.identities, source=source)
            stream.receive_data(frame(luxembourg(1), counter=counter), now)
            telegram = stream.next_event()
            assert isinstance(telegram, MeterTelegram)
            keeper.registry.place(telegram, source, now)
            keeper.tick(now)
            commits |= set(other.execute("PRAGMA data_version"))
        assert keeper.registry.unnamed()[0].source == source
        keeper.save()
        assert store.unnamed()[0].source == source
    # The first one, one for the counter and one for the owners soon after the start, four times the counter.
    assert len(commits) < 12
