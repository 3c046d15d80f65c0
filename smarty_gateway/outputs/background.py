"""Work that may take a minute, such as a question to a name server, in a thread of its own.

The thread of an output must take readings and show that it lives meanwhile, and a stop must not wait.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Task(Generic[T]):
    """A piece of work that has begun.

    Args:
        name: of the thread.
        work: returns the result, or raises.
        wake: is called at the end.
    """

    def __init__(self, name: str, work: Callable[[], T], wake: Callable[[], None]) -> None:
        self._result = Future[T]()
        self._thread = threading.Thread(target=_do, args=(work, wake, self._result), name=name, daemon=True)
        self._thread.start()

    @property
    def is_done(self) -> bool:
        """True at its end."""
        return self._result.done()

    def result(self) -> T:
        """Return the result, or raise what the work has raised."""
        return self._result.result()

    def then(self, do: Callable[[], None]) -> None:
        """Call a function once the work is done, in its thread, or now if it is."""
        self._result.add_done_callback(lambda _: do())

    def wait(self, seconds: float) -> None:
        """Wait for the end of the thread, for this many seconds at most."""
        self._thread.join(seconds)


def _do(work: Callable[[], T], wake: Callable[[], None], result: Future[T]) -> None:
    try:
        result.set_result(work())
    except Exception as error:  # noqa: BLE001 - raised again by `result`
        result.set_exception(error)
    wake()
