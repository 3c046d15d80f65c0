"""Checks what gateway.yaml says about meters: their names, and those that share a source.

Each message names the other place that it is about, in the words of the file: the options of the app of Home
Assistant are checked here, too.
"""

import re
from typing import Any

from smarty_gateway.config.settings import Section
from smarty_gateway.config.yaml_file import YamlFile
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.system_title import system_title_from_serial
from smarty_gateway.safe_text import object_id, topic_part
from smarty_gateway.sources.address import Address, Kind

#: Sections with the keys of `MeterConfig`, or some of them.
_Meters = list[Section[Any]]


def check_meters(file: YamlFile, meters: _Meters) -> None:
    """Check the meters among each other, and give those on one source the settings that one has for it."""
    _check_names(file, meters)
    usable = [meter for meter in meters if "source" in meter.values]
    for meter in usable:
        _check_settings(file, meter)
    for sharing in _by_source(usable):
        _check_sharing(file, sharing)


def _check_names(file: YamlFile, meters: _Meters) -> None:
    first: dict[str, tuple[Section[Any], str]] = {}
    for meter in meters:
        # A meter without a name is published under its id.
        key = "name" if "name" in meter.nodes else "id"
        if key not in meter.values:
            continue
        # Ids of Home Assistant distinguish fewer names than topics do.
        own_id = object_id(topic_part(meter.values[key])).casefold()
        other, other_key = first.setdefault(own_id, (meter, key))
        # The same id twice on one source is found by `_check_id`.
        is_same_id = key == other_key == "id" and _identity(meter.values[key]) == _identity(other.values[key])
        if other is not meter and not (is_same_id and _identities(meter) & _identities(other)):
            alike = f"is that of {other.where(other_key)}, or becomes it in topics and Home Assistant ids"
            rule = "only letters a to z in either case, digits, - and _ count there"
            file.note(meter.nodes[key], f"this {key} {alike} ({rule}); give each meter another name")


def _check_settings(file: YamlFile, meter: Section[Any]) -> None:
    found = {source.kind for source in meter.values["source"]}
    for key, kinds, where in (
        ("speed", {Kind.SERIAL, Kind.RFC2217}, "a serial port or rfc2217://"),
        ("framing", {Kind.SERIAL, Kind.RFC2217}, "a serial port or rfc2217://"),
        ("pace", {Kind.FILE}, "a recording"),
    ):
        if key in meter.nodes and not found <= kinds:
            file.note(meter.nodes[key], f"{key} is for {where} only; remove this line")
    _check_plausible_power(file, meter)


def _check_plausible_power(file: YamlFile, meter: Section[Any]) -> None:
    plausible, reference = (meter.values.get(key) for key in ("plausible_power", "reference_power"))
    if plausible is not None and reference is not None:
        highest = max((power for _, power in reference.levels), default=0)
        if plausible * 1000 <= highest:
            advice = f"write more than the reference power of {highest / 1000:g} kW"
            file.note(meter.nodes["plausible_power"], f"the history would believe no peak; {advice}")


def _check_sharing(file: YamlFile, sharing: _Meters) -> None:
    """Check the meters on one source, and give each the settings that one of them has for it."""
    ids: dict[bytes | str, str] = {}
    for meter in sharing if len(sharing) > 1 else []:
        _check_id(file, meter, sharing, ids)
    for key in ("speed", "framing", "pace", "unnamed"):
        having = [meter for meter in sharing if key in meter.values]
        for meter in having[1:]:
            if meter.values[key] != having[0].values[key]:
                file.note(meter.nodes[key], f"{having[0].where(key)} has another {key} for the same source")
        for meter in sharing if having else []:
            meter.values[key] = having[0].values[key]


def _check_id(file: YamlFile, meter: Section[Any], sharing: _Meters, ids: dict[bytes | str, str]) -> None:
    """Check that a meter can be told from those with which it shares a source."""
    node = meter.nodes["source"]
    place = next(other for other in sharing if other is not meter).where("source")
    kind, first = _shared_source(meter, sharing).kind, _shared_source(sharing[0], sharing).kind
    if kind is Kind.STDIN:
        if meter is not sharing[0]:
            file.note(node, f"standard input serves one meter only, that of {place}")
    elif kind is not first:
        file.note(node, f"this is the same host and port as in {place}; name it in the same way")
    elif "id" not in meter.nodes:
        advice = "write another, or the id of each meter on it (its serial number, for example)"
        file.note(node, f"{place} has the same source; {advice}")
    elif "id" in meter.values:
        identity = _identity(meter.values["id"])
        if identity in ids:
            file.note(meter.nodes["id"], f"{ids[identity]} has this id for the same source")
        ids.setdefault(identity, meter.where("id"))


def _identities(meter: Section[Any]) -> set[object]:
    """Return what is behind the sources of a meter: two names of one port are equal."""
    return {source.identity for source in meter.values.get("source", ())}


def _shared_source(meter: Section[Any], sharing: _Meters) -> Address:
    """Return the source of this meter that the others have, too."""
    shared = set.intersection(*map(_identities, sharing))
    sources: tuple[Address, ...] = meter.values["source"]
    return next(source for source in sources if source.identity in shared)


def _by_source(meters: _Meters) -> list[_Meters]:
    groups: dict[object, _Meters] = {}
    for meter in meters:
        for identity in _identities(meter):
            groups.setdefault(identity, []).append(meter)
    return list(groups.values())


def _identity(text: str) -> bytes | str:
    """Return which meter an id names: a serial number and its system title are the same."""
    try:
        return system_title_from_serial(text)
    except KeyFormatError:
        is_title = re.fullmatch(r"[0-9A-Fa-f]{16}", text)
        return bytes.fromhex(text) if is_title else text.casefold()
