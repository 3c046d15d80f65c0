"""Listens to a port in a thread of its own: what comes from it, and whether a key opens it.

`Diagnosis` judges the bytes as `doctor` does. The last of them are kept, so that a key can be tried on what
was heard before it was typed.
"""

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from smarty_gateway.doctor.diagnosis import Diagnosis
from smarty_gateway.doctor.finding import Finding, entry_name
from smarty_gateway.doctor.healthy_meter import country_of
from smarty_gateway.doctor.line_search import LINES_TO_TRY
from smarty_gateway.logs import crash_of
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram
from smarty_gateway.setup.ports import program_using
from smarty_gateway.sources.address import DSMR4_LINE, Address, Kind
from smarty_gateway.sources.opening import source_for
from smarty_gateway.sources.source import Cause, Source, SourceLost

_LOOK_SECONDS: Final = 0.2
_REOPEN_SECONDS: Final = 0.5
_CLOSE_SECONDS: Final = 5.0
#: Fifty frames, or a minute of a Belgian meter.
_KEPT_BYTES: Final = 65536


class Trial(NamedTuple):
    """What keys make of the bytes that came so far.

    Attributes:
        telegram: the last one that was accepted.
        failed: frames that were not.
        finding: the first fault that `doctor` names, or what else it says first.
    """

    telegram: MeterTelegram | None
    failed: int
    finding: Finding


class Listener:
    """Listens to one source from now until it is closed.

    Args:
        address: of the source.
        keys: those that are known.
        news: is set at everything that happens.

    Attributes:
        telegram: the last one that was accepted with the known keys.
        title: the system title of the first encrypted frame.
        lost: why the source cannot be read; None while it can.
        line: the settings of a serial port at which it listens.
    """

    def __init__(self, address: Address, keys: KeyRing, news: threading.Event) -> None:
        self.address = address
        self.telegram: MeterTelegram | None = None
        self.title: bytes | None = None
        self.lost: SourceLost | None = None
        self._news = news
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._kept = 0
        self._diagnosis = self._new_diagnosis(keys, is_serial=address.kind is Kind.SERIAL)
        self.line = DSMR4_LINE
        self._changes = 0  # of `line`
        self._has_opened = False
        self._thread = threading.Thread(target=self._run, name=f"listen {address}", daemon=True)
        self._thread.start()

    @property
    def is_recognised(self) -> bool:
        """True if a meter sends here, whether or not its key is known."""
        return self.telegram is not None or self.title is not None

    def is_settled(self, seconds: float) -> bool:
        """True if a longer wait would say no more.

        Args:
            seconds: how long to listen to a silent source; other line settings get this time again.
        """
        if self.is_recognised or self.lost is not None:
            return True
        more = min(len(LINES_TO_TRY), max(self._changes, 1 if self._diagnosis.size else 0))
        return time.monotonic() - self._began >= seconds * (1 + more)

    def heard(self) -> str:
        """Return in a few words what comes from here."""
        lost, telegram, title = self.lost, self.telegram, self.title
        if lost is not None and lost.cause is Cause.BUSY:
            user = program_using(self.address.path)
            return f"busy: {user or 'another program'} reads it"
        if lost is not None:
            return str(lost)
        meters = []
        if telegram is not None:
            country = country_of(telegram.decoded)
            is_plain = telegram.system_title is None
            secret = "not encrypted" if is_plain else "encrypted, and keys.yaml has its key"
            meters.append(f"meter {telegram.meter_id}{f' ({country})' if country else ''}, {secret}")
        if title is not None and (telegram is None or telegram.system_title != title):
            name = entry_name(title)
            meters.append(f"meter {name}{' (Luxembourg)' if name.startswith('SAG') else ''}, encrypted")
        if meters:
            return "; ".join(meters)
        if not self._diagnosis.size:
            return f"nothing in {time.monotonic() - self._began:.0f} s"
        return self.finding().text

    def finding(self) -> Finding:
        """Return what `doctor` says about this source first."""
        with self._lock:
            self._take_all(self._diagnosis.finish(time.monotonic() - self._began, at_end=False))
            return self._diagnosis.findings()[0]

    def try_keys(self, keys: KeyRing, title: bytes | None = None) -> Trial:
        """Read what came so far with other keys.

        Args:
            keys: to read with.
            title: of the meter whose frames count; None if those of all meters do. What another meter on
                the port sends proves nothing about a key.
        """
        with self._lock:
            chunks = list(self._chunks)
        diagnosis = self._new_diagnosis(keys)
        now = time.monotonic()
        events: list[Event] = []
        for at, data in [*chunks, (now, b"")]:
            events += diagnosis.receive(data, at)
        events += diagnosis.finish(now - self._began, at_end=False)
        events = [event for event in events if title is None or event.system_title == title]
        telegrams = [event for event in events if isinstance(event, MeterTelegram)]
        failed = sum(
            not isinstance(event, MeterTelegram) and event.system_title is not None for event in events
        )
        findings = diagnosis.findings()
        fault = next((finding for finding in findings if finding.is_fault), findings[0])
        return Trial(telegrams[-1] if telegrams else None, failed, fault)

    def close(self) -> None:
        """Stop listening, and free the port for `run`."""
        self._closing.set()
        self._thread.join(_CLOSE_SECONDS)

    def _new_diagnosis(self, keys: KeyRing, *, is_serial: bool = False) -> Diagnosis:
        return Diagnosis(str(self.address), keys, is_live=True, is_serial=is_serial)

    def _run(self) -> None:
        if crash := crash_of(self._listen):
            self.lost = SourceLost(f"listening failed: {crash}")
            self._news.set()

    def _listen(self) -> None:
        if self.address.kind is Kind.SERIAL and (user := program_using(self.address.path)) is not None:
            # Not every program locks its port, and two readers get half of the bytes each.
            self._lose(SourceLost(f"{user} reads it", Cause.BUSY))
            return
        while not self._closing.is_set():
            source = source_for(self.address, self.line)
            try:
                source.open()
                self._read(source)
            except SourceLost as lost:
                self._lose(lost)
                self._closing.wait(_REOPEN_SECONDS)
            finally:
                source.close()

    def _lose(self, lost: SourceLost) -> None:
        if self.lost is None:
            with self._lock:
                self._diagnosis.note_lost(lost, while_listening=self._has_opened)
        self.lost = lost
        self._news.set()

    def _read(self, source: Source) -> None:
        """Read until the end, or until other line settings are to be tried."""
        with self._lock:
            self._diagnosis.begin_listening(time.monotonic())
        self.lost, self._has_opened = None, True
        while not self._closing.is_set():
            data = source.read(_LOOK_SECONDS)
            now = time.monotonic()
            with self._lock:
                other = self._diagnosis.next_line(now)
                if other is None:
                    self._take(data, now)
                    other = self._diagnosis.next_line(now)
                if other is not None:
                    self.line = other
                    self._changes += 1
                    self._chunks.clear()
                    self._kept = 0
                    return

    def _take(self, data: bytes, now: float) -> None:
        if data:
            self._chunks.append((now, data))
            self._kept += len(data)
            while self._kept > _KEPT_BYTES:
                self._kept -= len(self._chunks.popleft()[1])
        self._take_all(self._diagnosis.receive(data, now))

    def _take_all(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, MeterTelegram):
                self.telegram = event
            self.title = self.title or event.system_title
            self._news.set()
