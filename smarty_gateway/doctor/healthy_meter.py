"""What `doctor` tells of a sound meter: whose it is, what it sends, and what its DSO has not enabled.

All of it is read from telegrams that were accepted. Where they do not tell, nothing is said.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from smarty_gateway.doctor.findings import Code, Finding, times
from smarty_gateway.protocol.decoder import DecodedTelegram
from smarty_gateway.protocol.meter import MeterTelegram, Security

#: What the first line of a telegram begins with: three letters that are the maker's or the country's.
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
        securities: how far they were proven.
        count: how many.
        period: the shortest time between two, by the meter's clock, or by their arrival where it sends none.
    """

    last: MeterTelegram
    count: int = 0
    securities: set[Security] = field(default_factory=set)
    period: timedelta | None = None
    _stamp: datetime | None = None
    _arrived: float | None = None

    def add(self, telegram: MeterTelegram, now: float | None) -> None:
        """Take note of a telegram.

        Args:
            telegram: one that was accepted.
            now: when it arrived, None where there is no clock.
        """
        self.last = telegram
        self.count += 1
        self.securities.add(telegram.security)
        stamp = _time_of(telegram)
        if stamp is not None and self._stamp is not None:
            self._note_gap(stamp - self._stamp)
        elif stamp is None and now is not None and self._arrived is not None:
            self._note_gap(timedelta(seconds=round(now - self._arrived)))
        self._stamp, self._arrived = stamp, now

    def _note_gap(self, gap: timedelta) -> None:
        # Telegrams get lost, so the shortest is the period.
        if gap > timedelta(0) and (self.period is None or gap < self.period):
            self.period = gap

    @property
    def country(self) -> str | None:
        """Name the country, None if the telegram does not tell."""
        return country_of(self.last.decoded)

    @property
    def phases(self) -> int:
        """Count the phases that the telegram speaks of."""
        return phases_of(self.last.decoded)

    def as_object(self) -> dict[str, Any]:
        """Give what programs may want to know."""
        title = self.last.system_title
        return {
            "meter_id": self.last.meter_id,
            "system_title": None if title is None else title.hex().upper(),
            "country": self.country,
            "p1_version": self.last.decoded.fields.get("p1_version"),
            "security": sorted(security.value for security in self.securities),
            "telegrams": self.count,
            "period_seconds": None if self.period is None else self.period.total_seconds(),
            "phases": self.phases or None,
            "devices": {name: device.get("id", "") for name, device in self.last.decoded.devices.items()},
            "not_sent": missing_from(self.last.decoded),
        }

    def interrupt(self) -> None:
        """Take note that a telegram was missed, so that the next gap is not its period."""
        self._stamp = self._arrived = None

    def finding(self, *, alone: bool) -> Finding:
        """Say that this meter is read well, and what it does not send.

        Args:
            alone: whether nothing else was found.
        """
        words = self._description(f"The meter {self.last.meter_id} is read well")
        return Finding(Code.HEALTHY, words, self._advice(alone=alone))

    def unproven_finding(self, entry: str, *, default_fits: bool) -> Finding:
        """Say that the readings count with their CRC alone, and that no tag verifies.

        Args:
            entry: of keys.yaml.
            default_fits: whether Luxembourg's authentication key would verify them.
        """
        how = (
            "The frames verify with the public authentication key of Luxembourg, which is the default: take "
            f"the lines authentication_key and verification out of the entry {entry}."
            if default_fits
            else "Ask your grid operator (DSO) for the authentication key of this meter (in Austria it comes "
            f"with the encryption key and may be called AK), write it to the entry {entry} as "
            "authentication_key, and take `verification: crc-only` out. In Luxembourg all use the default."
        )
        return Finding(
            Code.UNAUTHENTICATED,
            f"{self._description(f'The meter {self.last.meter_id} is read')} The readings pass, because of "
            "`verification: crc-only`, but they are not verified: the authentication key is not the meter's, "
            "so whoever can send on this line can forge them.",
            how,
        )

    def _description(self, begin: str) -> str:
        """Say what this meter sends, in one sentence."""
        decoded = self.last.decoded
        words = [
            f"{begin}: {times(self.count, 'telegram')}",
            ", ".join(filter(None, [self.country or "country not recognised", _version(decoded)])),
            " and ".join(_SECURITIES[security] for security in sorted(self.securities)),
        ]
        if self.period is not None:
            words.append(f"one every {self.period.total_seconds():g} s")
        if self.phases:
            words.append(times(self.phases, "phase"))
        devices = [
            f"{_plain(name)} {device.get('id', '')}".strip() for name, device in decoded.devices.items()
        ]
        words.append(f"M-Bus devices: {', '.join(devices)}" if devices else "no M-Bus device")
        return "; ".join(words) + "."

    def _advice(self, *, alone: bool) -> str:
        missing = missing_from(self.last.decoded)
        words = "Nothing is wrong. Start `smarty-gateway run`." if alone else "These readings can be used."
        if not missing:
            return words
        words += f" It does not send: {', '.join(map(_plain, missing))}."
        if self.country == "Luxembourg":
            return (
                f"{words} Your grid operator (DSO) can enable these; ask it for the full list of P1 values, "
                "and for the M-Bus values if you have a gas meter (they are off by default)."
            )
        if self.country == "Belgium":
            return (
                f"{words} A gas meter appears once the DSO has coupled it with the electricity meter; "
                "values per phase came with e-MUCS 1.5, older meters get them by an update of the DSO."
            )
        return f"{words} Ask your grid operator (DSO) about what you miss."


def country_of(decoded: DecodedTelegram) -> str | None:
    """Name the country of a telegram, None if it does not tell."""
    found = _COUNTRIES.get(decoded.header[:3])
    if found is None and decoded.header.startswith("SAG5SAG-METER"):
        return "Hungary"
    version = str(decoded.fields.get("p1_version", ""))
    if found is None and version in _DUTCH_VERSIONS:
        return "the Netherlands"
    return "Belgium" if found is None and version.startswith("502") and len(version) == 5 else found


def phases_of(decoded: DecodedTelegram) -> int:
    """Count the phases of which a telegram tells anything."""
    return sum(any(f"{name}_{phase}" in decoded.fields for name in _PHASE_FIELDS) for phase in _PHASES)


def missing_from(decoded: DecodedTelegram) -> list[str]:
    """Name what meters of this kind can send, and this one does not."""
    wanted = {
        "voltage": "voltage_l1",
        "current": "current_l1",
        "power_per_phase": "power_import_l1",
    }
    missing = [name for name, code in wanted.items() if code not in decoded.fields]
    return missing if "gas" in decoded.devices else [*missing, "gas"]


def _version(decoded: DecodedTelegram) -> str:
    """Write the version as the specifications name themselves."""
    version = str(decoded.fields.get("p1_version", ""))
    if len(version) == 2:
        return f"P1 version {version[0]}.{version[1]}"
    if len(version) == 5:
        return f"e-MUCS {version[3]}.{version[4]}"
    return f"P1 version {version}" if version else ""


def _time_of(telegram: MeterTelegram) -> datetime | None:
    stamp = telegram.decoded.fields.get("timestamp")
    try:
        return datetime.fromisoformat(stamp) if isinstance(stamp, str) else None
    except ValueError:
        return None


def _plain(name: str) -> str:
    return name.replace("_", " ")
