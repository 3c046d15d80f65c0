r"""Manufacturer and model of a meter, from what identifies it. Pure.

The header begins with three letters of the manufacturer and a digit for the baud rate, then `\` and the model
(IEC 62056-21, 6.3.2). Operators put letters of their own there (`Lux5`, `FLU5`), so the system title and the
serial number, which name the manufacturer too, come first.
"""

import re
from collections.abc import Iterator
from typing import Final

from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.safe_text import printable

#: Letters of the FLAG Association, as far as meters with a P1 port use them; Fluvius is an operator.
_MAKERS: Final = {
    "ADN": "Aidon",
    "ELS": "Elster",
    "FLO": "Flonidan",
    "FLU": "Fluvius",
    "ISK": "Iskraemeco",
    "ITR": "Itron",
    "KAM": "Kamstrup",
    "KFM": "Kaifa",
    "KMP": "Kamstrup",
    "LGB": "Landis+Gyr",
    "LGF": "Landis+Gyr",
    "LGZ": "Landis+Gyr",
    "SAG": "Sagemcom",
    "XMX": "Xemex",
    "ZIV": "ZIV",
}
#: `SAG1030700012345`, or with a letter or digit for the medium: `1SAG1100000001`, `GFLO2133031470`.
_SERIAL: Final = re.compile(r"[0-9A-Z]?([A-Z]{3})[0-9]{4}")
_HEADER: Final = re.compile(r"([A-Za-z]{3})[0-9]\\?")


def maker_of(telegram: MeterTelegram) -> str | None:
    """Return the manufacturer of a meter; None if it is not known."""
    return next(filter(None, map(_MAKERS.get, _letters_of(telegram))), None)


def maker_of_serial(serial: str) -> str | None:
    """Return the manufacturer that a serial number names; None if it names none that is known."""
    found = _SERIAL.match(serial)
    return None if found is None else _MAKERS.get(found[1])


def model_of(telegram: MeterTelegram) -> str:
    """Return the model, as the header names it."""
    header = telegram.decoded.header
    return printable(_HEADER.sub("", header, count=1) or header)


def _letters_of(telegram: MeterTelegram) -> Iterator[str]:
    if telegram.system_title is not None:
        yield telegram.system_title[:3].decode("latin-1")
    if found := _SERIAL.match(telegram.meter_id):
        yield found[1]
    yield telegram.decoded.header[:3].upper()
