"""The retained topics that the broker holds, and which meter each belongs to; kept over restarts."""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from smarty_gateway.config.values import TAKEN_NAMES
from smarty_gateway.state.store import Store

#: Owns what must be emptied, until the broker has acknowledged that.
NOBODY: Final = ""
#: Owns the topics of the gateway itself; no meter has this name.
GATEWAY: Final = TAKEN_NAMES[0]


class RetainedTopics:
    """Retained topics with their owners, in memory and in the store.

    A full disk is reported elsewhere; what is recorded in memory then holds for this run.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owners: dict[str, str] = {}
        self._topics_of: dict[str, dict[str, None]] = {}  # a thousand meters may have 50 topics each
        for topic, name in store.published().items():
            self._own(topic, name)
        self._emptied: list[str] = []

    @property
    def names(self) -> set[str]:
        """The names of all meters that own a topic."""
        return self._topics_of.keys() - {NOBODY, GATEWAY}

    @property
    def retired(self) -> list[str]:
        """The topics that must be emptied."""
        return self.of(NOBODY)

    def items(self) -> list[tuple[str, str]]:
        """Return all topics with their owners."""
        return list(self._owners.items())

    def of(self, name: str) -> list[str]:
        """Return the topics of one meter."""
        return list(self._topics_of.get(name, ()))

    def note(self, name: str, topics: Iterable[str]) -> None:
        """Record what is about to be sent; a topic belongs to the meter that published it last."""
        new = [topic for topic in topics if self._owners.get(topic) != name]
        if new:
            for topic in new:
                self._own(topic, name)
            with suppress(sqlite3.Error):
                self._store.note_published(new, name)

    def retire(self, topics: Iterable[str]) -> None:
        """Record that topics must be emptied, even if broker or process is gone before that is done."""
        self.note(NOBODY, topics)

    def note_emptied(self, topic: str) -> None:
        """Record that the broker has emptied a topic, unless a meter has used it again since."""
        if self._owners.get(topic) == NOBODY:
            self._disown(topic)
            self._emptied.append(topic)

    def save(self) -> None:
        """Remove what was emptied from the store: many at once, as a change of style empties thousands."""
        emptied = [topic for topic in self._emptied if topic not in self._owners]
        self._emptied.clear()
        if emptied:
            with suppress(sqlite3.Error):
                self._store.note_emptied(emptied)

    def _own(self, topic: str, name: str) -> None:
        if topic in self._owners:
            self._disown(topic)
        self._owners[topic] = name
        self._topics_of.setdefault(name, {})[topic] = None

    def _disown(self, topic: str) -> None:
        name = self._owners.pop(topic)
        topics = self._topics_of[name]
        del topics[topic]
        if not topics:
            del self._topics_of[name]
