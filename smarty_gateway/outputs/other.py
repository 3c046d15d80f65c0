"""Makes the outputs of other packages, and keeps the gateway safe from their errors.

They get what ours get, and may have faults that nobody has seen yet. Only the base classes of ours are taken,
since they hold that no output delays a reader. What is called by threads of the gateway is guarded here.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from smarty_gateway.config.other_outputs import ERRORS, OtherOutput, error_text
from smarty_gateway.config.values import Config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.outputs.threaded import ThreadedOutput
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable

T = TypeVar("T")
#: Characters of a state, which goes to the page, to JSON and to the log.
_STATE_MAX: Final = 100
#: Characters of a failure, which may hold the error of another package.
_FAILURE_MAX: Final = 300


class OtherOutputError(GatewayError):
    """An output of another package cannot be made; the text is one line."""

    exit_status = ExitStatus.UNUSABLE_FILE


def made_output(config: Config, other: OtherOutput) -> "GuardedOutput":
    """Return an output of another package.

    Raises:
        OtherOutputError: the package does not make one.
    """
    where = f"outputs: {other.name}: {other.package}"
    try:
        made = other.kind.make(other.settings, config)
    except GatewayError as error:
        raise OtherOutputError(printable(f"{where}: {error}")) from None
    except ERRORS as error:
        raise OtherOutputError(
            f"{where} cannot start it ({error_text(error)}); compare its settings with its documentation"
        ) from None
    if not isinstance(made, ThreadedOutput):
        raise OtherOutputError(f"{where} makes no QueuedOutput or ThreadedOutput; tell its author")
    return GuardedOutput(other.name, made)


class GuardedOutput:
    """An output whose errors end the gateway with a reason, and never with a thread of the gateway.

    Args:
        name: in the configuration; it takes the place of the one that the package gives it.
    """

    def __init__(self, name: str, output: ThreadedOutput) -> None:
        self.name = name
        self._output = output
        self._failure: str | None = None

    @property
    def state(self) -> str:
        """Its state, of bounded length and without control characters."""
        text = self._try(lambda: str(self._output.state)[:_STATE_MAX], instead="failed")
        return printable(text)[:_STATE_MAX]

    @property
    def is_busy(self) -> bool:
        """True while it still delivers."""
        return self._failure is None and self._try(lambda: self._output.is_busy, instead=False)

    @property
    def beat(self) -> float | None:
        """When its thread last showed that it lives."""
        return self._output.beat

    @property
    def is_over(self) -> bool:
        """True if nobody reads it any more."""
        return self._output.is_over

    @property
    def failure(self) -> str | None:
        """Why it can never work again."""
        failure = self._failure or self._output.failure
        return None if failure is None else failure[:_FAILURE_MAX]

    def start(self) -> None:
        """Start its thread."""
        self._try(self._output.start, instead=None)

    def publish(self, reading: Reading) -> None:
        """Hand a reading to it."""
        self._try(lambda: self._output.publish(reading), instead=None)

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Hand the health of meters and gateway to it."""
        self._try(lambda: self._output.report(health, gateway), instead=None)

    def forget(self, meter: str) -> None:
        """Remove a meter that is gone."""
        self._try(lambda: self._output.forget(meter), instead=None)

    def stop(self, seconds: float) -> None:
        """End its thread."""
        self._try(lambda: self._output.stop(seconds), instead=None)

    def _try(self, call: Callable[[], T], *, instead: T) -> T:
        try:
            return call()
        except BaseException as error:  # noqa: BLE001 - of another package; Ctrl-C is a signal that is handled
            self._failure = self._failure or f"the output {self.name} failed: {error_text(error)}"
            return instead
