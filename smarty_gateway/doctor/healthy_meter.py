"""Describes a meter whose telegrams were accepted: its country, what it sends, and what it does not."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from smarty_gateway.doctor import findings
from smarty_gateway.doctor.finding import Finding, counted
from smarty_gateway.protocol.decoder import DecodedTelegram
from smarty_gateway.protocol.meter_telegram import MeterTelegram, Security

#: By the first letters of a header, which name the maker or the country.
_COUNTRIES: Final = {"Lux": "Luxembourg", "FLU": "Belgium", "EST": "Austria", "EGM": "Poland"}
_DUTCH_VERSIONS: Final = ("40", "42", "50")
_PHASES: Final = ("l1", "l2", "l3")
_PHASE_FIELDS: Final = ("voltage", "current", "power_import", "voltage_sags")
_SECURITIES: Final = {
    Security.AUTHENTICATED: "encrypted, and every telegram verified",
    Security.UNAUTHENTICATED: "encrypted, not authenticated",
    Security.PLAINTEXT: "not encrypted",
}


@dataclass(slots=True)
class SeenMeter:
    """A meter from which telegrams were accepted.

    Attributes:
        last: the last of them.
        securities: how they were verified.
        count: how many.
        period: the shortest time between two, by the meter's clock, or by their arrival if it sends no time.
    """

    last: MeterTelegram
    count: int = 0
    securities: set[Security] = field(default_factory=set)
    period: timedelta | None = None
    _stamp: datetime | None = None
    _arrived: float | None = None

    def add(self, telegram: MeterTelegram, now: float | None) -> None:
        """Record a telegram that was accepted; `now` is None for a recording."""
        self.last = telegram
        self.count += 1
        self.securities.add(telegram.security)
        stamp = telegram.timestamp
        if stamp is not None and self._stamp is not None:
            self._note_gap(stamp - self._stamp)
        elif stamp is None and now is not None and self._arrived is not None:
            self._note_gap(timedelta(seconds=round(now - self._arrived)))
        self._stamp, self._arrived = stamp, now

    def _note_gap(self, gap: timedelta) -> None:
        # Telegrams get lost, so the shortest is the period.
        if gap > timedelta(0) and (self.period is None or gap < self.period):
            self.period = gap

    def as_object(self) -> dict[str, Any]:
        """Return the summary of this meter, for programs."""
        decoded = self.last.decoded
        title = self.last.system_title
        return {
            "meter_id": self.last.meter_id,
            "system_title": None if title is None else title.hex().upper(),
            "country": country_of(decoded),
            "p1_version": decoded.fields.get("p1_version"),
            "security": sorted(security.value for security in self.securities),
            "telegrams": self.count,
            "period_seconds": None if self.period is None else self.period.total_seconds(),
            "phases": phases_of(decoded) or None,
            "devices": {name: device.get("id", "") for name, device in decoded.devices.items()},
            "not_sent": missing_from(decoded),
        }

    def interrupt(self) -> None:
        """Record that a telegram was missed, so the next gap is longer than the period."""
        self._stamp = self._arrived = None

    def finding(self, *, alone: bool) -> Finding:
        """Return the finding that this meter is read; `alone` if there is no other."""
        decoded = self.last.decoded
        missing = [_plain(name) for name in missing_from(decoded)]
        description = self._description("works")
        return findings.healthy(description, missing, country_of(decoded), alone=alone)

    def unproven_finding(self, entry: str, *, default_fits: bool) -> Finding:
        """Return the finding that the readings are accepted by their CRC alone, and no tag verifies.

        Args:
            entry: of keys.yaml.
            default_fits: True if Luxembourg's authentication key would verify them.
        """
        return findings.unauthenticated(self._description("can be read"), entry, default_fits=default_fits)

    def _description(self, verdict: str) -> str:
        decoded = self.last.decoded
        parts = [
            f"The meter {self.last.meter_id} {verdict}: {counted(self.count, 'telegram')}",
            ", ".join(filter(None, [country_of(decoded) or "country not recognised", _version(decoded)])),
            " and ".join(_SECURITIES[security] for security in sorted(self.securities)),
        ]
        if self.period is not None:
            parts.append(f"one every {self.period.total_seconds():g} s")
        if phases := phases_of(decoded):
            parts.append(counted(phases, "phase"))
        devices = [
            f"{_plain(name)} {device.get('id', '')}".strip() for name, device in decoded.devices.items()
        ]
        parts.append(f"M-Bus devices: {', '.join(devices)}" if devices else "no M-Bus device")
        return "; ".join(parts) + "."


def country_of(decoded: DecodedTelegram) -> str | None:
    """Return the country of a meter, None if its telegram does not show it."""
    found = _COUNTRIES.get(decoded.header[:3])
    if found is None and decoded.header.startswith("SAG5SAG-METER"):
        return "Hungary"
    version = str(decoded.fields.get("p1_version", ""))
    if found is None and version in _DUTCH_VERSIONS:
        return "the Netherlands"
    return "Belgium" if found is None and version.startswith("502") and len(version) == 5 else found


def phases_of(decoded: DecodedTelegram) -> int:
    """Return how many phases a telegram has values for."""
    return sum(any(f"{name}_{phase}" in decoded.fields for name in _PHASE_FIELDS) for phase in _PHASES)


def missing_from(decoded: DecodedTelegram) -> list[str]:
    """Return what meters of this kind can send, and this one does not."""
    wanted = {
        "voltage": "voltage_l1",
        "current": "current_l1",
        "power_per_phase": "power_import_l1",
    }
    missing = [name for name, code in wanted.items() if code not in decoded.fields]
    return missing if "gas" in decoded.devices else [*missing, "gas"]


def _version(decoded: DecodedTelegram) -> str:
    """Write the version as the specifications write it."""
    version = str(decoded.fields.get("p1_version", ""))
    if len(version) == 2:
        return f"P1 version {version[0]}.{version[1]}"
    if len(version) == 5:
        return f"e-MUCS {version[3]}.{version[4]}"
    return f"P1 version {version}" if version else ""


def _plain(name: str) -> str:
    return name.replace("_", " ")
