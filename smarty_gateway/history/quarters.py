"""The quarter hour: telegrams of one meter in, the registers at its boundaries out."""

from collections.abc import Iterable

from smarty_gateway.history.boundary import Boundary, Notice, SetBack
from smarty_gateway.history.sample import DeviceValue, Registers, Sample


class QuarterTracker:
    """Turns the telegrams of one name, in the order of their arrival, into boundaries.

    Args:
        plausible_power: in W; a register that grows faster is not believed.
        newest: the newest boundary that is stored, where the history goes on.
        devices: the newest stored values of M-Bus devices, also of those that are gone.

    Attributes:
        start: the newest boundary that is known, in this run or an earlier one; None before the first.
        sample: the newest telegram that counted in this run; None before it.
    """

    def __init__(
        self, plausible_power: int, newest: Boundary | None = None, devices: Iterable[DeviceValue] = ()
    ) -> None:
        self.start: Boundary | None = newest
        self.sample: Sample | None = None

    def add(self, sample: Sample) -> list[Boundary | SetBack | Notice]:
        """Take a telegram, and return what has become known by it, in order.

        A boundary that was returned before may come again, with newer values of M-Bus devices.
        """
        raise NotImplementedError

    def finish(self) -> list[Boundary | SetBack | Notice]:
        """Return what is known of the newest boundary's devices: the process stops."""
        raise NotImplementedError

    @property
    def running(self) -> Registers | None:
        """The registers at the beginning of the running quarter; None if they are not known."""
        raise NotImplementedError
