"""A batch on its way, in a thread of its own: a server may take its time, and readings come meanwhile."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


class Writing:
    """Writes one batch.

    Args:
        write: returns when the server has the batch, or raises why it has not.
        wake: is called then.
    """

    def __init__(self, write: Callable[[], None], wake: Callable[[], None]) -> None:
        self._result = Future[None]()
        work = (write, wake, self._result)
        self._thread = threading.Thread(target=_write, args=work, name="InfluxDB write", daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """True if the server has answered, or will not."""
        return self._result.done()

    def check(self) -> None:
        """Raise why the server has not got the batch."""
        self._result.result()

    def give_up(self, close: Callable[[], None], seconds: float) -> None:
        """Wait this many seconds at most, and close the connection now or when the server has answered."""
        self._result.add_done_callback(lambda _: close())
        self._thread.join(seconds)


def _write(write: Callable[[], None], wake: Callable[[], None], result: Future[None]) -> None:
    try:
        write()
        result.set_result(None)
    except Exception as error:  # noqa: BLE001 - raised again by `check`
        result.set_exception(error)
    wake()
