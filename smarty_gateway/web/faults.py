"""Logs errors of the program while it answers, and nothing of what a client has sent."""

import logging
import traceback
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

#: A line for each place is enough for a bug report; clients can cause an error as often as they like.
_PLACES_MAX: Final = 40


class Faults:
    """Logs each place where an answer failed once."""

    def __init__(self) -> None:
        self._places: set[str] = set()

    def note(self, error: BaseException) -> None:
        """Log an error, without its text: that may repeat what the client sent."""
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"
        place = f"{type(error).__name__} in {where}"
        if place not in self._places and len(self._places) < _PLACES_MAX:
            self._places.add(place)
            _log.error("http: a request failed (%s); this is a bug, please report it", place)
