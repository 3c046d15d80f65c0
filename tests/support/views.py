"""What the page shows, as the gateway would have it: readings of simulated meters, histories, views."""

# ruff: noqa: ANN401 - what a test changes is of any type

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.history.rows import Peak
from smarty_gateway.history.running_quarter import RunningQuarter, Totals
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.languages.language import language_of
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.pages.site import NoHistory, ShownMeter, View
from smarty_gateway.pages.snapshots import Availability, GatewayNow, MeterNow, PowerCurve
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from smarty_gateway.simulator.year import boundaries
from smarty_gateway.sources.address import parse_address
from smarty_gateway.state.history_access import opened_history
from tests.support.histories import ZONE, second_of, write_history
from tests.support.streams import meter_key, read, telegrams

#: Six minutes and twenty seconds of a quarter hour have passed.
NOW: Final = second_of("2026-11-21T18:51:20")


def reading_of(
    kind: MeterKind = MeterKind.LUXEMBOURG, *, name: str = "house", at: int = NOW - 3, **values: Any
) -> Reading:
    """Return what a simulated meter sent at a time, as an output gets it.

    Args:
        kind: of the meter.
        name: of the meter.
        at: UTC seconds.
        values: of the reading, such as `quarter`.
    """
    meter, moment = SimulatedMeter(kind, 1), datetime.fromtimestamp(at, UTC)
    keys = KeyRing({} if meter.title is None or meter.key is None else {meter.title: [meter_key(meter.key)]})
    (telegram,) = telegrams(read(meter.frame(moment), keys))
    return Reading(name, telegram, moment, **values)


def quarter_of(at: int = NOW - 3, **values: Any) -> RunningQuarter:
    """Return the running quarter hour of a house with a reference power of 3 kW.

    Args:
        at: UTC seconds of the newest telegram.
        values: others than these.
    """
    start = at - at % QUARTER
    totals = Totals(250.0, 2_750.0, 41_000.0, 9_412, 3_208, 1.0, None)
    known: dict[str, Any] = {
        "energy": 310.0, "power": 1_412, "reference": 3_000.0, "limit": 3_000.0,
        "peak": Peak(202611, second_of("2026-11-17T18:30"), 5_012.0), "totals": totals,
    }  # fmt: skip
    return RunningQuarter(ZONE, start, at - start, **known | values)


def meter_now(name: str = "house", reading: Reading | None = None, **values: Any) -> MeterNow:
    """Return a meter that is read: online if there is a reading, starting otherwise."""
    state = Availability.STARTING if reading is None else Availability.ONLINE
    last = None if reading is None else reading.received
    health = Health(telegrams=0 if reading is None else 4_711, last_telegram=last, is_connected=True)
    known: dict[str, Any] = {"is_expected": True, "availability": state, "reading": reading, "health": health}
    return MeterNow(name, name, **known | values)


def gateway_now(*meters: MeterNow, **values: Any) -> GatewayNow:
    """Return a gateway that runs for two days, with all well."""
    known: dict[str, Any] = {
        "version": "1.2.3", "started": datetime.fromtimestamp(NOW, UTC) - timedelta(days=2),
        "is_alive": True, "counters_kept": True, "history_kept": True,
        "outputs": {"mqtt": "ok", "http": "ok"},
    }  # fmt: skip
    return GatewayNow(meters=meters, **known | values)


def config_of(*names: str, **values: Any) -> Config:
    """Return a configuration with a meter for each name.

    Args:
        names: of the meters.
        values: of each entry, such as `reference_power`.
    """
    address = parse_address("tcp://127.0.0.1:2001")
    return Config(tuple(MeterConfig((address,), name=name, **values) for name in names))


@contextmanager
def view_of(
    gateway: GatewayNow,
    *,
    folder: Path | None = None,
    config: Config | None = None,
    language: str = "en",
    root: str = "",
) -> Iterator[View]:
    """Open what a page shows.

    Args:
        gateway: at the time `NOW`.
        folder: the state folder with the history; None without one.
        config: by default it names the meters of the gateway.
        language: its code.
        root: leads from the page to the first one.
    """
    config = config_of(*(meter.own_name for meter in gateway.meters)) if config is None else config
    with ExitStack() as stack:
        history = None if folder is None else stack.enter_context(opened_history(folder, config, NOW))
        why = NoHistory.OFF if folder is None else None
        yield View(language_of(language), root, gateway, PublicNames(config), history, NOW, ZONE, why)


def shown(view: View, name: str = "house") -> ShownMeter:
    """Return a meter of a view."""
    meter = view.meter(name)
    assert meter is not None, name
    return meter


def write_year(folder: Path, name: str = "house", days: int = 400, *, is_simulated: bool = False) -> None:
    """Write a history of a simulated house that ends at `NOW`, with gaps; it takes a second."""
    last = NOW - NOW % QUARTER
    span = range(last - days * 86_400, last)
    meter = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
    found = boundaries(meter, 0, ZONE, span, has_gaps=True)
    write_history(folder, name, found, is_simulated=is_simulated)


def curve_of(watts: Sequence[int | None] = (), step: int = 10) -> PowerCurve:
    """Return a curve that ends at `NOW`."""
    return PowerCurve(NOW - len(watts) * step, step, watts)
