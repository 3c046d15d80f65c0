"""Whatever a meter with a key, or a listed meter, has its edge send, the rows of its batch can be written.

A telegram that the database refused would come again and again, and nothing else of its shard would.
"""

import random
from collections.abc import Iterator
from itertools import count
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from smarty_gateway.pool.database import tables
from smarty_gateway.pool.database.database import Database
from smarty_gateway.pool.database.rows import TakenShard
from smarty_gateway.pool.held_shard import HeldShard, Judged
from smarty_gateway.pool.inbox import Delivery, Subscription
from smarty_gateway.pool.shard_keys import Keys
from smarty_gateway.protocol.forwarded import Forwarded, pack
from smarty_gateway.protocol.identities import fold
from smarty_gateway.protocol.shards import shard_of
from tests.pool.database.test_database import config_of
from tests.support.postgresql import PostgresServer
from tests.support.streams import sample_keys
from vectors.building_blocks import HOUSE_TITLE, frame, hex_text, telegram

SHARD: Final = shard_of(HOUSE_TITLE)
TITLE: Final = HOUSE_TITLE.hex().upper()
LISTED: Final = "1SAG1100000001"
#: The index of the rows has no room for as much.
NOISE: Final = "".join(random.Random(1).choices(":;<=>?@[]^_`{|}~", k=3000))
CODES: Final = (
    "0-0:1.0.0", "1-3:0.2.8", "0-0:42.0.0", "0-0:96.1.1", "0-0:96.1.0", "0-0:96.1.4", "1-0:1.8.0",
    "0-0:96.13.0", "0-0:96.14.0", "1-0:99.97.0", "0-0:98.1.0", "1-0:1.6.0", "0-0:17.0.0", "0-1:24.1.0",
    "0-1:96.1.0", "0-1:24.2.1", "0-2:24.2.3", "0-1:24.3.0",
)  # fmt: skip
VALUES: Final = (
    "000000000000W", "000101000000S", "991231235959W", "260230102010W", "2601301020", "", "-1", "1e999",
    "9" * 400, "0.000000001*kWh", "-99999999999999999999*kW", "\x00", "\xff\xfe", "\x80\x9f", "\xb2\xb3*kWh",
    "0000", "EDA080", "C080", "FF" * 48, hex_text("a\x00b"), "\x7f", "\x1b[31m", ")(", "(", "1*\x00",
    "\\u0000", "nan", "\\", '"', "1" * 2000, LISTED, hex_text(LISTED), LISTED + NOISE,
    "SAG1030700012345" + NOISE,
)  # fmt: skip
HEADERS: Final = ("Lux5\\253663629_A", "FLU5\\" + LISTED, "ISk5\\2M\x00T382-1", "\xff" * 6, "abc5\\" + NOISE)
ANY_VALUE: Final = st.sampled_from(VALUES) | st.text(st.characters(max_codepoint=255), max_size=20)
ANY_LINE: Final = st.builds(
    lambda code, values: code + "".join(f"({value})" for value in values),
    st.sampled_from(CODES),
    st.lists(ANY_VALUE, min_size=1, max_size=4),
)
ANY_TELEGRAM: Final = st.builds(
    lambda header, lines: telegram(header, *lines), st.sampled_from(HEADERS), st.lists(ANY_LINE, max_size=8)
)
ANY_ARRIVAL: Final = st.sampled_from([0, 1, 1_790_000_000_000, 253_402_300_799_999, 2**63 - 1, 2**64 - 1])
COUNTERS: Final = count(1)


@pytest.fixture(scope="module")
def database(database_server: PostgresServer) -> Iterator[Database]:
    found = Database(config_of(database_server))
    found.create_tables()
    yield found
    found.close()
    database_server.run_sql(f"DROP TABLE {', '.join(tables.TABLES)}")


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.booleans(), ANY_TELEGRAM, ANY_ARRIVAL), min_size=1, max_size=8))
@example([(False, telegram("FLU5\\1", f"0-0:96.1.1({LISTED}{NOISE})"), 1)])
def test_every_telegram_is_refused_or_written(
    database: Database, sent: list[tuple[bool, bytes, int]]
) -> None:
    headers = {fold(header): "edge" for header in HEADERS}
    subscription = Subscription(SHARD, None)
    held = HeldShard(
        subscription,
        TakenShard(SHARD, 1, was_released=True, counters={}),
        Keys(sample_keys(), {fold(LISTED): "edge", **headers}, frozenset()),
        "smarty.raw",
    )
    rows = []
    for is_encrypted, text, arrived in sent:
        data = frame(text, counter=next(COUNTERS)) if is_encrypted and len(text) < 16_000 else text
        sender = TITLE if data.startswith(b"\xdb") else "edge.x"
        delivery = Delivery(subscription, 1, f"smarty.raw.{SHARD}.{sender}", pack([Forwarded(arrived, data)]))
        rows += [judged.row for judged in held.judge(delivery) if isinstance(judged, Judged)]
    assert len(database.write(rows)) == len(rows)
