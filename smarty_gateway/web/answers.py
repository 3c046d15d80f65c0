"""An answer to a request, and what every answer tells the browser."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

Headers = Sequence[tuple[str, str]]

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors "
)
_ALWAYS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    # Another site can neither embed a chart nor read the API; no answer has a header that allows it (CORS).
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
#: Readings show when somebody is at home; only files that are the same for everybody say otherwise.
_UNLESS_SAID: Final = (("Cache-Control", "no-store"),)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets.

    Attributes:
        status: such as `200 OK`.
    """

    status: str
    headers: Headers
    body: bytes


def plain_answer(status: HTTPStatus, text: str, *headers: tuple[str, str]) -> Answer:
    """Return a sentence instead of a page."""
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return Answer(f"{status.value} {status.phrase}", (kind, *headers), f"{text}\n".encode())


def safe_headers(headers: Iterable[tuple[str, str]], *, is_embedded: bool = False) -> list[tuple[str, str]]:
    """Return the headers of an answer with those that tell the browser what not to do.

    Args:
        headers: of the answer; they cannot replace the others.
        is_embedded: a page of the same host may show this one in a frame, as Home Assistant does.
    """
    policy = _POLICY + ("'self'" if is_embedded else "'none'")
    added = [("Content-Security-Policy", policy), *_ALWAYS]
    taken = {name.lower() for name, _ in added}
    kept = [(name, value) for name, value in headers if name.lower() not in taken]
    said = {name.lower() for name, _ in kept}
    return [*kept, *added, *(header for header in _UNLESS_SAID if header[0].lower() not in said)]
