"""Which meter goes out under a configured name, where an entry names a source but no meter.

The first meter on the source gets the name. A second one is a rival: it is held back until it is clear
whether it replaces the first one or sends beside it.

* A meter whose frames verify takes the name from a plaintext one at once, and never loses it to one.
* A rival waits for two minutes, or three periods of the named meter. If that was silent meanwhile, the rival
  takes the name.
* A rival that is heard while the named meter sends, too, goes out under its own id.

Where an entry names a meter by its `id`, that meter gets the name at once.
"""

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from smarty_gateway.config.values import FORGOTTEN_SECONDS, MeterConfig
from smarty_gateway.gateway.meter import Meter
from smarty_gateway.gateway.sender import Sender, is_header, shown_key
from smarty_gateway.gateway.source_log import SourceLog
from smarty_gateway.history.sample import QUARTER, Sample
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.safe_text import printable
from smarty_gateway.sources.container import configuration_name, is_home_assistant_app
from smarty_gateway.state.store_rows import Holder

_HELD_SECONDS: Final = 120.0
_HELD_PERIODS: Final = 3
#: For each name, whatever `unnamed` says.
_RIVALS_MAX: Final = 50
#: For the history: of each rival a telegram every ten seconds, and those around the quarter hours. With the
#: peaks of 13 months a telegram takes 2.5 kB.
_SAMPLES_MAX: Final = 20
_SAMPLE_SECONDS: Final = 10

SampleOf = Callable[[MeterTelegram, datetime], Sample | None]


@dataclass(slots=True)
class _Rival:
    """Another meter on the source of a named one.

    Attributes:
        since: when it was first heard.
        is_beside: the named meter was heard meanwhile.
        samples: what the history needs of it.
    """

    since: float
    last: float
    is_authenticated: bool
    is_beside: bool = False
    samples: list[Sample] = field(default_factory=list)

    def hold(self, sample: Sample) -> None:
        """Keep a telegram for the history; the one before it goes if it adds nothing."""
        kept = self.samples
        if (
            len(kept) > 1
            and kept[-1].time - kept[-2].time < _SAMPLE_SECONDS
            and kept[-2].time // QUARTER == sample.time // QUARTER
        ):
            del kept[-1]
        kept.append(sample)
        del kept[:-_SAMPLES_MAX]


class Claim(Enum):
    """Whether a meter gets the name of an entry."""

    GRANTED = "granted"
    HELD = "held"  #: not known yet
    REFUSED = "refused"


class NameClaims:
    """The holders of the configured names, and their rivals.

    Args:
        holders: who held the names before.
        sources: logs what concerns a source.
        write: takes other lines.
        sample_of: returns what the history needs of a telegram; None without a history.

    Attributes:
        holders: who holds the names.
    """

    def __init__(
        self,
        holders: Mapping[str, Holder],
        sources: SourceLog,
        write: Callable[[str], None],
        sample_of: SampleOf | None = None,
    ) -> None:
        self.holders = dict(holders)
        self._sources = sources
        self._write = write
        self._sample_of = sample_of
        self._held: list[Sample] = []
        self._rivals: dict[str, dict[str, _Rival]] = {}  # by name, then by key

    def judge(self, meter: Meter, sender: Sender, now: float, *, is_beside: bool = False) -> Claim:
        """Decide whether a sender gets the name of a meter.

        Args:
            meter: the one of the entry.
            sender: another than its holder.
            now: the time.
            is_beside: it goes out under its own id already, because it has sent beside a holder.
        """
        held = self.holders.get(meter.name)
        if held is None or (sender.is_authenticated and not held.is_authenticated):
            return Claim.GRANTED
        if not sender.is_live or held.second == sender.key:  # it was beside the holder in an earlier run
            return Claim.REFUSED
        claim = Claim.REFUSED if is_beside else self._judge_rival(meter, held, sender, now)
        if claim is Claim.REFUSED and held.second is None:
            self.holders[meter.name] = replace(held, second=sender.key)
            self._write(_two_meters(meter.name, sender.shown, sender.source))
        return claim

    def _judge_rival(self, meter: Meter, held: Holder, sender: Sender, now: float) -> Claim:
        rival = self._rival(meter, sender, now)
        if rival is None:
            return Claim.HELD
        rival.last = now
        rival.is_beside = rival.is_beside or (meter.last is not None and meter.last >= rival.since)
        if now - rival.since < max(_HELD_SECONDS, _HELD_PERIODS * meter.period):
            sample = None if self._sample_of is None else self._sample_of(sender.telegram, datetime.now(UTC))
            if sample is not None:
                rival.hold(sample)
            return Claim.HELD
        self._held, rival.samples = rival.samples, []
        if not rival.is_beside and (sender.is_authenticated or not held.is_authenticated):
            return Claim.GRANTED
        return Claim.REFUSED

    def _rival(self, meter: Meter, sender: Sender, now: float) -> _Rival | None:
        """Return a sender as a rival; None if there are too many."""
        rivals = self._rivals.setdefault(meter.name, {})
        rival = rivals.get(sender.key)
        if rival is None and len(rivals) >= _RIVALS_MAX and sender.is_authenticated:
            # Nothing that somebody invented keeps it out.
            rivals.pop(next((key for key, other in rivals.items() if not other.is_authenticated), ""), None)
        if rival is None and len(rivals) >= _RIVALS_MAX:
            self._sources.count_refused(sender.source)
        elif rival is None:
            rival = rivals[sender.key] = _Rival(now, now, sender.is_authenticated)
            self._sources.log_once(
                sender.source,
                f"a second meter, {sender.shown}, sends on the source of {printable(meter.name)}; its "
                "readings are held back for two minutes, to see whether it replaces that meter",
            )
        return rival

    def take_held(self) -> list[Sample]:
        """Return the samples of the sender that was judged last, if it is held back no more."""
        held, self._held = self._held, []
        return held

    def take(self, meter: Meter, sender: Sender) -> Holder | None:
        """Assign the name of a meter to a sender, and return the holder before it."""
        before = self.holders.get(meter.name)
        if before is not None:
            self._write(
                f"{printable(meter.name)} is now meter {sender.shown} (was {shown_key(before.meter)})"
            )
        if is_header(sender.key):
            self._write(_header_only(meter.name))
        self.holders[meter.name] = Holder(sender.key, sender.is_authenticated)
        self._rivals.pop(meter.name, None)
        return before

    def tick(self, now: float) -> None:
        """Forget rivals that were silent for long."""
        for name, rivals in self._rivals.items():
            self._rivals[name] = {
                k: rival for k, rival in rivals.items() if now - rival.last < FORGOTTEN_SECONDS
            }


def holder_warnings(entries: Iterable[MeterConfig], holders: Mapping[str, Holder]) -> list[str]:
    """Return what earlier runs have shown about the meters behind configured names, as warnings."""
    found = []
    for entry in entries:
        held = None if entry.name is None or entry.id is not None else holders.get(entry.name)
        if entry.name is None or held is None:
            continue
        if is_header(held.meter):
            found.append(_header_only(entry.name))
        if held.second is not None:
            sources = ", ".join(source.text for source in entry.sources)
            found.append(_two_meters(entry.name, shown_key(held.second), sources))
    return found


def _header_only(name: str) -> str:
    return (
        f"{printable(name)} sends no serial number, only a header that all meters of its model send; it is "
        "told apart by its source, and in Home Assistant by its name: keep the name"
    )


def _two_meters(name: str, second: str, source: str) -> str:
    replaced = f"stop the gateway and type: smarty-gateway forget {shlex.quote(printable(name))}"
    if is_home_assistant_app():  # which ends with this program
        replaced = "change the name of the entry there, and restart the app"
    return (
        f"{source} brings two meters, {printable(name)} and {printable(second)}: give each an entry with its "
        f"`id` in {configuration_name()}; if the second has replaced the first, {replaced}"
    )
