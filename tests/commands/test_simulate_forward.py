"""`simulate --forward`: edges that send what their meters make to the nodes of a pool."""

import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from smarty_gateway.config.key_folder import KeyFolder
from smarty_gateway.protocol.forwarded import Forwarded, unpack
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.shards import SHARDS
from tests.support.brokers import Broker, Subscriber, free_port
from tests.support.commands import LIMIT, environment, smarty_gateway
from tests.support.running import wait_until
from tests.support.streams import drain, telegrams


def simulate(folder: Path, *arguments: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "smarty_gateway", "simulate", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=environment(),
    )


def frames(subscriber: Subscriber) -> list[tuple[str, Forwarded]]:
    """Return the frames that arrived so far, each with its topic."""
    return [(each.topic, frame) for each in list(subscriber.messages) for frame in unpack(each.payload)]


def wrong(folder: Path, *arguments: object) -> str:
    """Run it with wrong arguments, and return the one line that says what is wrong."""
    done = smarty_gateway("simulate", "--seconds", 0, *arguments, folder=folder)
    assert not done.stdout
    (line,) = done.stderr.decode().splitlines()
    return line


def test_each_edge_sends_the_frames_of_its_meter_to_the_shard_with_its_key(
    broker: Broker, tmp_path: Path
) -> None:
    with Subscriber(broker, "smarty/raw/#") as subscriber:
        done = smarty_gateway(
            *("simulate", "--forward", broker.url, "--meters", 3, "--period", 1, "--seconds", 1),
            *("--write-keys", "keys", "--journal", "journal"),
            folder=tmp_path,
        )
        assert done.returncode == 0
        counts = done.stdout.decode().splitlines()[1].split()
        assert counts[0] == counts[3]
        journal = (tmp_path / "journal").read_text().splitlines()
        assert len(journal) == int(counts[0]) >= 3
        wait_until(
            lambda: sum(len(unpack(each.payload)) for each in subscriber.messages) >= len(journal), "all"
        )
    keys = KeyFolder(tmp_path / "keys")
    found = []
    for topic, frame in frames(subscriber):
        *_, shard, title = topic.split("/")
        stream = MeterStream(keys.load(int(shard)))
        stream.receive_data(frame.data)
        (telegram,) = telegrams(drain(stream))
        found.append(f"{title} {telegram.frame_counter}")
    assert sorted(found) == sorted(journal)


def test_frames_wait_for_a_node_and_then_go_out_together(broker: Broker, tmp_path: Path) -> None:
    broker.stop()
    journal = tmp_path / "journal"
    process = simulate(tmp_path, "--forward", broker.url, "--period", 1, "--journal", journal)
    wait_until(lambda: journal.exists() and len(journal.read_text().splitlines()) >= 2, "two frames")
    broker.start()
    with Subscriber(broker, "smarty/raw/#") as subscriber:
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=LIMIT)[1] == b""
        wait_until(lambda: subscriber.messages, "a message")
    assert process.returncode == 0
    assert len(unpack(subscriber.messages[0].payload)) >= 2


def test_an_edge_goes_on_to_the_next_node_where_one_does_not_answer(broker: Broker, tmp_path: Path) -> None:
    nobody = f"mqtt://127.0.0.1:{free_port()}"
    urls = ("--forward", nobody, "--forward", broker.url)
    done = smarty_gateway("simulate", *urls, "--meters", 2, "--period", 1, "--seconds", 1, folder=tmp_path)
    assert done.returncode == 0
    assert len(set(broker.received())) == 2


def test_a_folder_of_key_files_is_for_its_owner_only(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    arguments = ("--forward", url, "--meters", 200, "--seconds", 0, "--write-keys", "keys")
    process = simulate(tmp_path, *arguments)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate(timeout=LIMIT)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    folder = KeyFolder(tmp_path / "keys")
    rings = [folder.load(shard) for shard in range(SHARDS)]
    assert sum(len(ring.entries()) for ring in rings) == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--forward", "http://host"), "mqtt://HOST"),
        (("--forward", "mqtt://user:word@host"), "--password-file"),
        (("--forward", "mqtt://host", "--kind", "belgium"), "--kind belgium"),
        (("--forward", "mqtt://host", "--fault", "cut"), "leave out --fault"),
        (("--forward", "mqtt://host", "--speed", "2"), "leave out --speed"),
        (("--forward", "mqtt://host", "--journal", "nowhere/x"), "name another file"),
        (("--forward", "mqtts://host", "--ca-file", "nowhere"), "--ca-file nowhere"),
        (("--forward", "mqtt://host", "--password-file", "nowhere"), "password_file"),
        (("--journal", "x"), "add --forward URL"),
    ],
)
def test_wrong_arguments_of_edges_are_one_clear_line(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    assert words in wrong(tmp_path, *arguments)
    assert not list(tmp_path.iterdir())
