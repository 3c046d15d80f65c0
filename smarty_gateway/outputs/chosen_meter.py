"""Which readings belong to the meter that an output names."""

from collections.abc import Callable

from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.values import Config
from smarty_gateway.outputs.output import Reading
from smarty_gateway.safe_text import topic_part


def readings_of(config: Config, meter: str | None) -> Callable[[Reading], bool]:
    """Return whether a reading belongs to a meter.

    Args:
        config: of the gateway.
        meter: the name or id of an entry; None stands for all meters, also those that no entry names.

    Raises:
        SettingError: no entry has this name; for ours, `check_consumers` has found that before.
    """
    if meter is None:
        return lambda _: True
    entry = next(
        (each for each in config.meters if topic_part(each.name or each.id or "") == topic_part(meter)), None
    )
    if entry is None:
        raise SettingError("no entry of `meters:` has the name behind `meter:`; write the name of one")
    return lambda reading: (
        reading.is_configured and config.entry_of(reading.meter, reading.telegram.meter_id) is entry
    )
