"""Which readings belong to the meter that an output names."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.values import Config
from smarty_gateway.outputs.output import Reading
from smarty_gateway.protocol.meter_telegram import Security
from smarty_gateway.safe_text import topic_part

#: A meter that was silent for so long may have been replaced.
_SILENT: Final = timedelta(hours=1)


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


def readings_of_one() -> Callable[[Reading], bool]:
    """Return whether a reading belongs to the one meter that a place serves, where no entry names any.

    That is the first one, until it is silent. A meter whose frames verify takes the place of one that sends
    plaintext, and never loses it to such a one.
    """
    newest: Reading | None = None

    def belongs(reading: Reading) -> bool:
        nonlocal newest
        if newest is None or newest.meter == reading.meter:
            newest = reading
        is_proven, was_proven = (
            each.telegram.security is Security.AUTHENTICATED for each in (reading, newest)
        )
        is_silent = reading.received - newest.received > _SILENT
        if is_proven > was_proven or (is_silent and is_proven >= was_proven):
            newest = reading
        return newest is reading

    return belongs
