"""The output `files`: every reading in a file, one a day and meter, for people who keep everything."""

import errno
import os
import time
from pathlib import Path
from typing import Final

from smarty_gateway.config.clock_sync import is_synchronised
from smarty_gateway.config.consumers import FilesConfig
from smarty_gateway.config.time_zone import zone_of
from smarty_gateway.config.values import Config
from smarty_gateway.history.local_time import local_date
from smarty_gateway.history.registers import seconds_of
from smarty_gateway.outputs.attempts import Attempts, ConsumerAwayError
from smarty_gateway.outputs.files.day_files import DayFiles
from smarty_gateway.outputs.files.packed_files import PackedFiles
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.queued import QueuedOutput

_DAY: Final = 86_400
#: Seconds after which a write that has not returned counts as slow, as on a network disk that is away.
_SLOW: Final = 10.0
#: What may be wrong with one file or folder while the others can be written.
_OF_ONE_METER: Final = frozenset(
    {
        errno.EACCES, errno.EEXIST, errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
        errno.ENOTDIR, errno.ENXIO, errno.EPERM, errno.ESPIPE,
    }
)  # fmt: skip
_ADVICE: Final = {
    errno.EACCES: "make it writable for the gateway's user",
    errno.EDQUOT: "make room, or name another folder",
    errno.EFBIG: "make room, or name another folder",
    errno.ELOOP: "a symbolic link stands in the place of a file; remove it",
    errno.ENOENT: "make the folder in which it shall be; a disk may not be mounted",
    errno.ENOSPC: "make room, or name another folder",
    errno.ENOTDIR: "a file stands where a folder should be; move it away",
    errno.EEXIST: "a file stands where a folder should be; move it away",
    errno.EROFS: "name a folder that the gateway may write, such as /var/lib/smarty-gateway/telegrams",
}


class FilesOutput(QueuedOutput):
    """Writes each reading to the file of its day and meter, and compresses old files meanwhile."""

    #: A disk that fails, or one on the network, may keep a write waiting for minutes.
    may_stall = True

    def __init__(self, config: Config, files: FilesConfig) -> None:
        super().__init__("files", "the files output")
        self._folder = files.folder
        self._zone = zone_of(config)
        self._files = DayFiles(files.folder, files.format)
        self._packed = PackedFiles(files.folder, files.compress_after, self._zone, self._files.is_in_use)
        self._away: dict[str, Attempts] = {}
        self._began: float | None = None

    @property
    def state(self) -> str:
        """Return in one word how it works."""
        state, began = super().state, self._began
        if state != "ok":
            return state
        if self._away:
            return "offline"
        return "slow" if began is not None and time.monotonic() - began > _SLOW else "ok"

    def forget(self, meter: str) -> None:
        """Forget a meter; its files stay."""
        self._files.forget(meter)
        self._away.pop(meter, None)

    def write(self, reading: Reading) -> None:
        """Write a reading; a meter whose own file cannot be written hinders no other."""
        away, now = self._away.get(reading.meter), time.monotonic()
        if away is not None and away.seconds_left(now):
            away.note_dropped()
            return
        self._began = now
        try:
            self._files.append(reading, self._day_of(reading))
        except OSError as error:
            why = _words(error, self._folder)
            if error.errno not in _OF_ONE_METER or not _is_writable(self._folder):
                raise ConsumerAwayError(why) from None
            away = self._away.setdefault(
                reading.meter, Attempts(f"the files output writes {reading.meter} again")
            )
            away.note_dropped()
            away.note_failure(f"{self.label}: {why}", now)
        else:
            if away is not None:
                away.note_success()
                self._away.pop(reading.meter, None)
        finally:
            self._began = None

    def work_aside(self) -> bool:
        """Compress a piece of an old file."""
        self._began = time.monotonic()
        try:
            return self._packed.step()
        finally:
            self._began = None

    def close(self) -> None:
        """Remove a compressed file that is not complete."""
        self._packed.close()

    def _day_of(self, reading: Reading) -> str:
        """Return the local day of a reading: by the meter's clock, unless that of the gateway is better."""
        arrived = int(reading.received.timestamp())
        fields = reading.telegram.decoded.fields
        read = seconds_of(fields.get("timestamp"), reading.received, self._zone)
        is_odd = read is not None and reading.is_live and abs(arrived - read) > _DAY
        if read is None or (is_odd and is_synchronised()):
            read = arrived
        return local_date(read, self._zone).isoformat()


def _words(error: OSError, folder: Path) -> str:
    path = folder if error.filename is None else error.filename
    advice = _ADVICE.get(error.errno or 0)
    return f"{path}: {error.strerror}{f' ({advice})' if advice else ''}"


def _is_writable(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
