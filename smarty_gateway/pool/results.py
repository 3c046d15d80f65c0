"""What leaves a worker beside the rows: the product's own outputs, for readings that are new in the database.

An output never delays the worker, and none of them is needed: what one cannot take in time is dropped there,
with a line, and is in the database.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Final

from smarty_gateway.config.consumers import FilesConfig
from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.outputs.mqtt.pool_states import Shards
from smarty_gateway.outputs.output import PoolReading
from smarty_gateway.outputs.stdout import StdoutOutput
from smarty_gateway.state.state_file import FolderLock, state_folder
from smarty_gateway.state.store import Store

if TYPE_CHECKING:
    from smarty_gateway.outputs.threaded import ThreadedOutput

#: Seconds without a sign of life after which an output hangs.
_HANGS_AFTER: Final = 300.0
#: As `files.day_files` makes its folders.
_FOLDER_MODE: Final = 0o750


@contextmanager
def open_store(config: PoolConfig, worker: str) -> Iterator[Store | None]:
    """Open what keeps undelivered telegrams, in a folder of this worker's own; None where nothing is kept.

    Raises:
        StateError: it cannot be used, or another process is this worker.
    """
    if config.outputs.mqtt is None and config.outputs.influxdb is None:
        yield None
        return
    folder = state_folder(config.state) / _folder_name(worker)
    with closing(FolderLock(folder)), Store(folder) as store:
        yield store


class Results:
    """The outputs of a worker.

    Args:
        config: names them.
        worker: the name of this worker.
        shards: says what may be published, as `Lease` does.
        store: see `open_store`.
    """

    def __init__(self, config: PoolConfig, worker: str, shards: Shards, store: Store | None) -> None:
        self._mqtt = None
        self._outputs: list[ThreadedOutput] = []
        gateway, outputs = config.as_gateway, config.outputs
        if outputs.stdout is not None:
            self._outputs.append(StdoutOutput(outputs.stdout.format))
        if outputs.mqtt is not None and store is not None:
            from smarty_gateway.outputs.mqtt.pool_output import PoolMqttOutput  # noqa: PLC0415 - loads paho

            self._mqtt = PoolMqttOutput(outputs.mqtt, gateway.limits, store, worker, shards)
            self._outputs.append(self._mqtt)
        if outputs.influxdb is not None and store is not None:
            from smarty_gateway.outputs.influxdb.output import InfluxOutput  # noqa: PLC0415 - loads ssl

            self._outputs.append(InfluxOutput(gateway, outputs.influxdb, store))
        if outputs.files is not None:
            from smarty_gateway.outputs.files.output import FilesOutput  # noqa: PLC0415 - loads compressors

            self._outputs.append(FilesOutput(gateway, _of_worker(outputs.files, worker)))

    def start(self) -> None:
        """Start the threads of all outputs."""
        for output in self._outputs:
            output.start()

    def publish(self, reading: PoolReading) -> None:
        """Hand on a reading that is new in the database; never waits."""
        for output in self._outputs:
            output.publish(reading)

    def let_go(self, shards: Collection[int], seconds: float) -> frozenset[int]:
        """Publish no more states of these shards, and wait until those that went out have arrived.

        Returns:
            The shards that may be given to another worker at once. Of the others a state may still be on its
            way: they must not be marked as released in the database.
        """
        return frozenset(shards) if self._mqtt is None else self._mqtt.let_go(shards, seconds)

    @property
    def states(self) -> Mapping[str, str]:
        """The state of each output in one word, by its name; any thread may ask."""
        return {output.name: output.state for output in self._outputs}

    @property
    def dropped(self) -> Mapping[str, int]:
        """What each output could not take in time, by its name; any thread may ask."""
        return {output.name: output.dropped for output in self._outputs}

    @property
    def is_over(self) -> bool:
        """True if nobody reads standard output any more; the worker then ends."""
        return any(output.is_over for output in self._outputs)

    @property
    def failure(self) -> str | None:
        """Why an output can never work again; the worker then ends with this line."""
        for output in self._outputs:
            if output.failure is not None:
                return output.failure
            if output.beat is not None and time.monotonic() - output.beat > _HANGS_AFTER:
                return f"the output {output.name} hangs"
        return None

    def stop(self, seconds: float) -> None:
        """End all outputs at once, within this many seconds."""
        threads = [Thread(target=output.stop, args=(seconds,), daemon=True) for output in self._outputs]
        for thread in threads:
            thread.start()
        until = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))


def _folder_name(worker: str) -> str:
    return f"worker-{worker}"


def _of_worker(files: FilesConfig, worker: str) -> FilesConfig:
    """Return the files of one worker: two that compress the same file could destroy it."""
    with suppress(OSError):  # the output says what is wrong
        files.folder.mkdir(_FOLDER_MODE)
    return replace(files, folder=files.folder / _folder_name(worker))
