"""What leaves a worker beside the rows: the product's own outputs, watched, and never waited for."""

from dataclasses import replace
from pathlib import Path

import pytest

from smarty_gateway.config.consumers import FilesConfig
from smarty_gateway.config.pool_file import load_pool_config
from smarty_gateway.config.pool_values import PoolConfig, PoolOutputs
from smarty_gateway.config.values import StdoutConfig
from smarty_gateway.pool.lease import Lease
from smarty_gateway.pool.results import Results, open_store
from smarty_gateway.state.sqlite_file import StateError
from tests.outputs.mqtt.test_pool_output import reading
from tests.support.running import wait_until


@pytest.fixture
def config(tmp_path: Path) -> PoolConfig:
    """Return a pool.yaml with an MQTT broker that is not there."""
    file = tmp_path / "pool.yaml"
    file.write_text(
        "nodes: [amqp://worker@localhost]\n"
        "password_file: amqp.password\n"
        "database: {url: postgresql://smarty@localhost/smarty, password_file: database.password}\n"
        f"keys: {tmp_path}/keys\n"
        f"state: {tmp_path}/state\n"
        "outputs: {mqtt: {url: mqtt://127.0.0.1:1}}\n",
        "utf-8",
    )
    return load_pool_config(file)


def test_readings_reach_the_files_while_the_broker_is_away(config: PoolConfig, tmp_path: Path) -> None:
    folder = tmp_path / "readings"
    outputs = replace(config.outputs, files=FilesConfig(folder, "jsonl"))
    config = replace(config, outputs=outputs)
    with open_store(config, "b") as store:
        results = Results(config, "b", Lease(), store)
        results.start()
        results.publish(reading(1))
        wait_until(lambda: list(folder.rglob("*.jsonl")), "the file")
        assert results.states == {"mqtt": "offline", "files": "ok"}
        assert results.failure is None
        assert results.let_go({1, 2}, 5.0) == {1, 2}
        results.stop(5.0)


def test_no_two_workers_write_or_compress_the_same_file(config: PoolConfig, tmp_path: Path) -> None:
    folder = tmp_path / "readings"
    config = replace(config, outputs=PoolOutputs(files=FilesConfig(folder, "jsonl")))
    for worker in ("a", "b"):
        results = Results(config, worker, Lease(), None)
        results.start()
        results.publish(reading(1))
        wait_until(lambda: list(folder.rglob(f"worker-{worker}/house/*.jsonl")), "the file")  # noqa: B023
        results.stop(5.0)
    assert len(list(folder.rglob("*.jsonl"))) == 2


def test_each_worker_has_a_folder_of_its_own_and_no_two_share_one(config: PoolConfig, tmp_path: Path) -> None:
    with open_store(config, "a"), open_store(config, "b"):
        assert {path.name for path in (tmp_path / "state").iterdir()} == {"worker-a", "worker-b"}
        with pytest.raises(StateError), open_store(config, "a"):
            pass


def test_a_worker_that_keeps_nothing_needs_no_folder(config: PoolConfig, tmp_path: Path) -> None:
    with open_store(replace(config, outputs=PoolOutputs()), "a") as store:
        assert store is None
    assert not (tmp_path / "state").exists()


def test_a_worker_without_mqtt_hands_shards_over_at_once(config: PoolConfig) -> None:
    results = Results(replace(config, outputs=PoolOutputs()), "a", Lease(), None)
    assert results.let_go({3}, 0.0) == {3}


def test_a_pipe_that_nobody_reads_any_more_is_an_end_and_no_failure(
    config: PoolConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close(*_: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("smarty_gateway.outputs.stdout.StdoutOutput.write", close)
    results = Results(replace(config, outputs=PoolOutputs(stdout=StdoutConfig("json"))), "a", Lease(), None)
    results.start()
    results.publish(reading(1))
    wait_until(lambda: results.is_over, "the end")
    assert results.failure is None
    results.stop(5.0)


def test_an_output_that_can_never_work_again_is_a_reason_to_end(
    config: PoolConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("no more files")

    monkeypatch.setattr("smarty_gateway.outputs.stdout.StdoutOutput.write", crash)
    config = replace(config, outputs=PoolOutputs(stdout=StdoutConfig("json")))
    results = Results(config, "a", Lease(), None)
    results.start()
    results.publish(reading(1))
    wait_until(lambda: results.failure, "the failure")
    assert results.failure == "standard output failed: RuntimeError('no more files')"
    results.stop(5.0)
