"""One stream of a P1 port, from bytes to verified readings: the extractor finds them, a judge decides."""

from collections.abc import Callable, Container

from smarty_gateway.protocol.candidates import Candidate
from smarty_gateway.protocol.extractor import Extractor
from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.identities import Identities
from smarty_gateway.protocol.judge import Judge, Verdict
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter_decoder import MeterDecoder
from smarty_gateway.protocol.meter_telegram import Event


class MeterStream(Extractor[Verdict, Event]):
    """Reads the stream of one source, which one meter or several may share.

    Args:
        keys: all keys there are; they may be replaced at any time.
        identities: what is known about meters, which several streams may share; it is changed in place.
        source: what the bytes come from, where several streams share `identities`.
        must_be_encrypted: refuse plaintext telegrams even of meters without an entry in `keys`.
        plaintext_ids: the meters to which that does not apply, by meter_id in the form of `fold`.
        on_duplicate: is called with each frame that another stream has accepted a moment ago; such a frame
            is no event.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that streams of one process share or do not
        self,
        keys: KeyRing,
        identities: Identities | None = None,
        *,
        source: str = "",
        must_be_encrypted: bool = False,
        plaintext_ids: Container[str] = (),
        on_duplicate: Callable[[Frame], None] = lambda _: None,
    ) -> None:
        if not isinstance(keys, KeyRing):
            raise TypeError(f"keys are a KeyRing, not {type(keys).__name__}")
        super().__init__()
        self.identities = Identities() if identities is None else identities
        self._checks = Judge(
            keys,
            self.identities,
            MeterDecoder(),
            source=source,
            must_be_encrypted=must_be_encrypted,
            plaintext_ids=plaintext_ids,
            on_duplicate=on_duplicate,
        )

    @property
    def keys(self) -> KeyRing:
        """All keys there are."""
        return self._checks.keys

    @keys.setter
    def keys(self, keys: KeyRing) -> None:
        self._checks.keys = keys

    def _judge(self, candidate: Candidate) -> Verdict:
        return self._checks.judge(candidate, self.last_data)

    def _event_of(self, verdict: Verdict) -> Event | None:
        return self._checks.event_of(verdict)
