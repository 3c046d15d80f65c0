"""The values of a telegram as tables: phases, M-Bus devices, and all others."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from smarty_gateway.outputs.labels import label_of
from smarty_gateway.outputs.output import Reading
from smarty_gateway.pages.moments import iso_moment
from smarty_gateway.pages.public_names import public_devices, public_record
from smarty_gateway.pages.sections import Table, TableRow
from smarty_gateway.pages.site import View
from smarty_gateway.protocol.obis import BY_NAME, MONTH_END, MONTH_END_VALUES, Form
from smarty_gateway.safe_text import printable

_PHASES: Final = ("l1", "l2", "l3")
_OF_PHASES: Final = ("power_import", "power_export", "voltage", "current")
#: The first table has them.
_SHOWN: Final = {
    "power_import", "power_export", "timestamp",
    *(f"{name}_{phase}" for name in _OF_PHASES for phase in _PHASES),
}  # fmt: skip

#: What meters send of these units, zeros at the end included; limits are round numbers.
_DECIMALS: Final = dict.fromkeys(("kW", "kWh", "kvar", "kvarh", "kVA", "m³"), 3)
_SWITCHES: Final = ("breaker_state", "relay_1_state", "relay_2_state", "relay_3_state", "relay_4_state")

Fields = Mapping[str, Any]


def net_power(fields: Fields, suffix: str = "") -> float | None:
    """Return import less export in kW; None if neither is known.

    Args:
        fields: of the JSON object.
        suffix: of a phase, such as `_l1`.
    """
    powers = [fields.get(f"{name}{suffix}") for name in ("power_import", "power_export")]
    return None if powers == [None, None] else (powers[0] or 0) - (powers[1] or 0)


def phases(view: View, fields: Fields) -> Table | None:
    """Return power, voltage and current of each phase, as far as the meter sends them."""
    _, language = view.language.gettext, view.language
    columns = (
        (_("Power"), [language.quantity(net_power(fields, f"_{phase}"), 3, "kW") for phase in _PHASES]),
        (_("Voltage"), _column(view, "voltage", fields, "V")),
        (_("Current"), _column(view, "current", fields, "A")),
    )
    known = [(head, cells) for head, cells in columns if any(cells)]
    rows = [
        TableRow([phase.upper(), *(cells[place] for _head, cells in known)])
        for place, phase in enumerate(_PHASES)
        if any(cells[place] for _head, cells in known)
    ]
    if not rows:
        return None
    return Table(_("Phases"), [_("Phase"), *(head for head, _cells in known)], rows)


def devices(view: View, reading: Reading) -> Table | None:
    """Return the newest values of the M-Bus devices, each with its time."""
    _ = view.language.gettext
    found = public_devices(reading.telegram.decoded.devices)
    rows = [
        TableRow(
            [
                _("{kind} ({name})").format(kind=_(label_of(key)), name=device["name"]),
                _with_unit(view, device["value"], str(device.get("unit", ""))),
                iso_moment(view, device["timestamp"]) if "timestamp" in device else "",
            ]
        )
        for key, device in found.items()
        if "value" in device
    ]
    return Table(_("Gas, water, heat"), [_("Meter"), _("Reading"), _("Read at")], rows) if rows else None


def others(view: View, reading: Reading) -> Table | None:
    """Return all values of a telegram that no other table has."""
    _ = view.language.gettext
    record = public_record(reading, "")
    rows = [
        TableRow([label, value])
        for name, found in record.items()
        if name in BY_NAME and name not in _SHOWN and found != ""
        for label, value in _lines(view, name, found)
    ]
    caption = _("All other values of the telegram")
    return Table(caption, [_("Value"), _("Reading")], rows, is_folded=True) if rows else None


def _lines(view: View, name: str, found: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - of JSON
    """Yield label and value of one field; a list and an object are several."""
    _ = view.language.gettext
    label, unit = _(label_of(name)), BY_NAME[name].quantity.unit or ""
    if name == MONTH_END and isinstance(found, Mapping):
        yield label, iso_moment(view, found["timestamp"])
        for inner, unit_of_inner in MONTH_END_VALUES.items():
            inner_label = _("{label}, end of last month").format(label=_(label_of(inner)))
            yield inner_label, _with_unit(view, found[inner], unit_of_inner)
    elif isinstance(found, Mapping):
        yield label, _with_unit(view, found["value"], unit)
        yield (
            _("{label}, time").format(label=label),
            iso_moment(view, found["timestamp"]),
        )
    elif isinstance(found, tuple | list):
        for item in found:
            at = iso_moment(view, item.get("timestamp") or item["end"])
            number = item["value"] if "value" in item else item["duration_s"]
            yield _("{label}, {time}").format(label=label, time=at), _with_unit(view, number, unit)
    elif BY_NAME[name].quantity.form is Form.TIME:
        yield label, iso_moment(view, str(found))
    elif name in _SWITCHES:
        states = {0: _("disconnected"), 1: _("connected"), 2: _("ready for reconnection")}
        yield label, states.get(found, printable(found))
    elif BY_NAME[name].quantity.form in {Form.THRESHOLD, Form.THRESHOLD_PAIR}:
        yield label, _exact(view, found, unit, 0)
    else:
        yield label, _with_unit(view, found, unit)


def _column(view: View, name: str, fields: Fields, unit: str) -> list[str]:
    """Return one quantity of all phases, each with as many decimals as the most exact one."""
    values = [fields.get(f"{name}_{phase}") for phase in _PHASES]
    least = max(_decimals(value) for value in values)
    return ["" if value is None else _exact(view, value, unit, least) for value in values]


def _with_unit(view: View, value: Any, unit: str) -> str:  # noqa: ANN401 - of JSON
    return _exact(view, value, unit, _DECIMALS.get(unit, 0))


def _exact(view: View, value: Any, unit: str, least: int) -> str:  # noqa: ANN401 - of JSON
    """Return a value with its unit, no less exact than the meter sent it."""
    if not isinstance(value, int | float):
        return printable(value)
    decimals = max(_decimals(value), least)
    return view.language.quantity(value, decimals, unit) if unit else view.language.number(value, decimals)


def _decimals(value: object) -> int:
    return len(repr(value).partition(".")[2]) if isinstance(value, float) else 0
