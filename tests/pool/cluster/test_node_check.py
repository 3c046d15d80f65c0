"""What `pool check` says of nodes, in conditions that no test can bring a real node into."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.config.pool_values import DatabaseConfig, PoolConfig, ServerAddress
from smarty_gateway.pool.cluster.cluster_check import check_cluster
from smarty_gateway.pool.cluster.leaders import is_uneven
from smarty_gateway.pool.cluster.management import ManagementError
from smarty_gateway.pool.declare import declare

GOOD: dict[str, Any] = {
    "name": "rabbit@a",
    "running": True,
    "partitions": [],
    "mem_alarm": False,
    "disk_free_alarm": False,
    "disk_free": 500_000_000_000,
    "disk_free_limit": 2_000_000_000,
    "net_ticktime": 8,
}


class Nodes:
    """A management API that knows nodes and nothing else.

    Attributes:
        answers: what it answers, by the path.
        config: of a pool that asks it.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        nodes = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in two packets would wait 40 ms for the acknowledgement of the first

            def do_GET(self) -> None:
                path = self.path.removeprefix("/api/").partition("?")[0]
                body = json.dumps(nodes.answers.get(path, [])).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        server = ServerAddress("127.0.0.1", self.server.server_port, tls=False, user="worker")
        self.config = PoolConfig((server,), DatabaseConfig("db.example"), Path("keys"), management=(server,))

    def said(self, *nodes: dict[str, Any], version: str = "3.10.8", listeners: tuple[Any, ...] = ()) -> str:
        """Return what check says about nodes that differ from good ones like this."""
        self.answers["nodes"] = [{**GOOD, "name": f"rabbit@{'abcd'[i]}", **n} for i, n in enumerate(nodes)]
        self.answers["overview"] = {"rabbitmq_version": version, "listeners": list(listeners)}
        return "\n".join(finding.text for finding in check_cluster(self.config))


@pytest.fixture(scope="module")
def api() -> Iterator[Nodes]:
    found = Nodes()
    found.thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def nodes(api: Nodes) -> Nodes:
    api.answers.clear()
    return api


@pytest.mark.parametrize(
    ("different", "words"),
    [
        ({"partitions": ["rabbit@b"]}, "the node rabbit@a has lost sight of others"),
        ({"mem_alarm": True}, "the node rabbit@a accepts no messages, because its memory is used up"),
        ({"disk_free_alarm": True}, "the node rabbit@a accepts no messages, because its disk is full"),
        ({"disk_free_limit": 50_000_000}, "goes on until 50 MB of its disk are left"),
        ({"disk_free": 9_000_000_000}, "has 9.0 GB left, but the queues may hold 68.7 GB"),
        ({"net_ticktime": 60}, "notices only after 60 s that another one is cut off"),
        ({"name": "\x1b[2Ja", "running": False}, r"the node \x1b[2Ja does not run"),
    ],
)
def test_what_is_wrong_with_a_node_is_said_once(nodes: Nodes, different: Any, words: str) -> None:  # noqa: ANN401
    assert words not in nodes.said({}, {}, {})
    assert nodes.said(different, {}, {}).count(words) == 1


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "the cluster has 1 node: "),
        (2, "the cluster has 2 nodes: "),
        (3, "3 nodes run"),
        (4, "4 nodes, and"),
    ],
)
def test_the_number_of_nodes_is_judged(nodes: Nodes, count: int, words: str) -> None:
    assert words in nodes.said(*[{}] * count)


def test_listeners_without_tls_are_dangerous_only_where_other_machines_reach_them(nodes: Nodes) -> None:
    def listener(protocol: str, address: str) -> dict[str, Any]:
        return {"node": "rabbit@a", "protocol": protocol, "ip_address": address, "socket_opts": []}

    here = nodes.said({}, {}, {}, listeners=(listener("mqtt", "127.0.0.1"), listener("mqtt/ssl", "::")))
    assert "without TLS" not in here
    assert "the node rabbit@a takes no MQTT" not in here
    assert "the node rabbit@b takes no MQTT" in here
    assert "take mqtt without TLS" in nodes.said({}, {}, {}, listeners=(listener("mqtt", "::"),))


def test_a_version_that_drops_messages_after_some_attempts_needs_a_policy(nodes: Nodes) -> None:
    drops = (
        "RabbitMQ 4.1.0 drops a message after 20 attempts: type `rabbitmqctl set_policy -p / smarty.shards"
    )
    assert drops not in nodes.said({}, {}, {}, version="3.13.7")
    assert drops in nodes.said({}, {}, {}, version="4.1.0")
    with pytest.raises(ManagementError, match=drops):
        list(declare(nodes.config))
    policy = {"name": "x", "pattern": "^smarty", "apply-to": "queues", "priority": 0}
    nodes.answers["policies/%2F"] = [{**policy, "definition": {"delivery-limit": -1}}]
    assert drops not in nodes.said({}, {}, {}, version="4.1.0")
    nodes.answers["policies/%2F"] = [{**policy, "definition": {"delivery-limit": 20}}]
    assert drops in nodes.said({}, {}, {}, version="4.1.0")


@pytest.mark.parametrize(
    ("leaders", "nodes", "expected"),
    [
        ({"a": 22, "b": 21, "c": 21}, 3, False),
        ({"a": 28, "b": 18, "c": 18}, 3, False),
        ({"a": 32, "b": 32}, 3, True),
        ({"a": 64}, 3, True),
        ({"a": 64}, 1, False),
        ({}, 3, False),
    ],
)
def test_leaders_are_moved_only_where_nodes_differ_much(
    leaders: dict[str, int], nodes: int, expected: object
) -> None:
    assert is_uneven(Counter(leaders), nodes) is expected


# Rights, queues and bindings

EDGE_MAY_WRITE: Final = r"^smarty\.raw\.[0-9]{1,2}\.([0-9A-F]{16}|{username}\.[!-~]{1,64})$"


@pytest.mark.parametrize(
    ("name", "rights", "topic", "words"),
    [
        ("edge", ("", "^amq[.]topic$", ""), {}, None),
        ("edge", ("^$", "^amq[.]topic$", "^$"), {"exchange": ""}, "the user edge may send any topic"),
        ("edge.*", ("^$", "^amq[.]topic$", "^$"), {}, "the user edge.* may send any topic"),
        ("edge-a|edge-b", ("^$", "^amq[.]topic$", "^$"), {}, "the user edge-a|edge-b may send any topic"),
        ("edge", ("", "^amq[.]topic$", "^amq[.]topic$"), {}, "the user edge may take frames out of queues"),
    ],
)
def test_rights_of_a_user_are_those_that_the_nodes_give(
    nodes: Nodes, name: str, rights: tuple[str, str, str], topic: dict[str, str], words: str | None
) -> None:
    configure, write, read = rights
    worker = {"user": "worker", "configure": "^$", "write": "^$", "read": "^smarty"}
    nodes.answers["users"] = [{"name": "worker", "tags": ["administrator"]}, {"name": name, "tags": []}]
    nodes.answers["vhosts/%2F/permissions"] = [
        worker,
        {"user": name, "configure": configure, "write": write, "read": read},
    ]
    nodes.answers["vhosts/%2F/topic-permissions"] = [
        {"user": name, "exchange": "amq.topic", "write": EDGE_MAY_WRITE, **topic}
    ]
    said = nodes.said({}, {}, {})
    assert (words or "1 user may send as edges, plaintext below their own names only") in said
    assert "may not read the queues" not in said
    worker["read"] = ""
    assert "the user worker may not read the queues" in nodes.said({}, {}, {})


def test_an_edge_that_may_make_policies_is_named(nodes: Nodes) -> None:
    nodes.answers["users"] = [{"name": "edge", "tags": ["policymaker"]}]
    nodes.answers["vhosts/%2F/permissions"] = [{"user": "edge", "configure": "", "write": "", "read": ""}]
    assert "the user edge may make policies" in nodes.said({}, {}, {})


@pytest.mark.parametrize("destination", ["smarty.shard.5", "amq.topic"])
def test_an_exchange_that_leads_past_the_topic_permissions_is_named(nodes: Nodes, destination: str) -> None:
    def binding(source: str) -> dict[str, str]:
        kind = "exchange" if destination == "amq.topic" else "queue"
        return {
            "source": source,
            "destination": destination,
            "destination_type": kind,
            "routing_key": "smarty.raw.5.#",
        }

    nodes.answers["bindings/%2F"] = [binding(""), binding("amq.topic")]
    assert "leads to" not in nodes.said({}, {}, {})
    nodes.answers["bindings/%2F"].append(binding("amq.direct"))
    assert f"the exchange amq.direct leads to {destination}, too" in nodes.said({}, {}, {})


def test_a_queue_with_an_argument_that_drops_frames_is_named(nodes: Nodes) -> None:
    queue = {"name": "smarty.shard.5", "type": "quorum", "arguments": {"x-message-ttl": 1000}}
    nodes.answers["queues/%2F"] = [queue]
    assert "is there with x-message-ttl 1000, which drops frames" in nodes.said({}, {}, {})


# What is no answer of RabbitMQ

PATHS: Final = (
    "nodes",
    "overview",
    "users",
    "queues/%2F",
    "bindings/%2F",
    "policies/%2F",
    "vhosts/%2F/permissions",
    "vhosts/%2F/topic-permissions",
    "exchanges/%2F/smarty.unrouted/bindings/source",
)
COLUMNS: Final = (
    *("name", "running", "partitions", "mem_alarm", "disk_free_alarm", "disk_free", "disk_free_limit"),
    *("net_ticktime", "rabbitmq_version", "listeners", "node", "protocol", "ip_address", "socket_opts"),
    *("type", "durable", "arguments", "leader", "members", "online", "consumers", "messages"),
    *("message_bytes", "effective_policy_definition", "source", "destination", "destination_type"),
    *("routing_key", "tags", "password_hash", "hashing_algorithm", "user", "configure", "write", "read"),
    *("exchange", "pattern", "apply-to", "definition", "priority"),
)
TEXTS: Final = st.sampled_from(("", "guest", "worker", "smarty.shard.5", "amq.topic", "all", "(", "\x1b[2J"))
SCALARS: Final = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | TEXTS
ANYTHING: Final = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(COLUMNS), inner, max_size=len(COLUMNS))
    ),
    max_leaves=20,
)


@given(answers=st.dictionaries(st.sampled_from(PATHS), ANYTHING))
def test_whatever_answers_is_a_line_of_check(api: Nodes, answers: dict[str, Any]) -> None:
    api.answers = {"nodes": [GOOD], "overview": {"rabbitmq_version": "3.10.8", "listeners": []}, **answers}
    assert all(finding.text.isprintable() for finding in check_cluster(api.config))


@given(answers=st.dictionaries(st.sampled_from(PATHS), ANYTHING))
def test_whatever_answers_leads_to_a_line_of_declare(api: Nodes, answers: dict[str, Any]) -> None:
    api.answers = {"nodes": [GOOD], "overview": {"rabbitmq_version": "3.10.8"}, **answers}
    with pytest.raises(ManagementError) as caught:  # at the latest when it would make something
        list(declare(api.config))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("column", ["name", "running", "partitions"])
def test_an_answer_that_is_not_understood_is_named(nodes: Nodes, column: str) -> None:
    assert f"(`{column}` is missing or of another type)" in nodes.said({column: 7})


def test_a_disk_that_the_node_does_not_watch_is_not_judged(nodes: Nodes) -> None:
    assert "GB left" not in nodes.said({"disk_free": "disk_free_monitoring_disabled"}, {}, {})
