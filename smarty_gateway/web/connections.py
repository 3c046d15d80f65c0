"""A connection of the HTTP server: waitress with a bound on what one client can take."""

import threading
import time
from http import HTTPStatus
from typing import Any, Final

from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.task import ErrorTask
from waitress.utilities import BadRequest

from smarty_gateway.web.addresses import address_of, owner_of
from smarty_gateway.web.answers import plain_answer, safe_headers

#: No answer waits in a file, and no thread waits for a client: the server limits the memory of all.
BUFFER_BYTES: Final = 1 << 30
#: The longest that a client may take for a request, from the answer to the one before.
_REQUEST_SECONDS: Final = 30.0
#: The longest that it may take to read an answer: 2 MB through a bad mobile network.
_ANSWER_SECONDS: Final = 120.0
#: The first byte of TLS (RFC 8446, 5.1): somebody typed https://.
_TLS: Final = b"\x16"


class _Parser(HTTPRequestParser):
    def received(self, data: bytes) -> int:
        if data.startswith(_TLS) and not self.header_plus and self.body_rcv is None:
            self.error = BadRequest("")
            self.completed = True
            return len(data)
        return super().received(data)

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as error:  # a length of 5,000 digits, an address such as http://[
            raise ParsingError("") from error


class _ErrorTask(ErrorTask):
    def execute(self) -> None:
        """Answer what waitress refuses: without its name, and without repeating what was sent."""
        code = HTTPStatus(self.request.error.code)  # type: ignore[attr-defined] # it is a request
        answer = plain_answer(code, code.phrase)
        self.status = answer.status
        self.response_headers = safe_headers(answer.headers)
        self.set_close_on_finish()
        self.content_length = len(answer.body)
        self.write(answer.body)


class Connection(HTTPChannel):
    """A connection.

    Attributes:
        since: when it was made, or its last answer was; monotonic seconds.
        kept_bytes: of the last answer, until all of it is read.
        owner: whose connection it is.
    """

    parser_class = _Parser
    error_task_class = _ErrorTask
    requests: list[HTTPRequestParser]
    requests_lock: threading.Lock

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - as waitress calls it
        self.since = time.monotonic()
        self.kept_bytes = 0
        super().__init__(*arguments, **options)
        self.owner = owner_of(address_of(str(self.addr[0])))

    @property
    def path(self) -> str:
        """Return which page is asked for; nothing where that could not be read."""
        return str(getattr(self.requests[0], "path", "")) if self.requests else ""

    def is_late(self, now: float) -> bool:
        """True if the client takes too long for its request, or to read its answer."""
        if self.total_outbufs_len:
            return now - self.since > _ANSWER_SECONDS
        return not self.requests and now - self.since > _REQUEST_SECONDS

    def drop_read_answers(self) -> None:
        """Free the memory of an answer that was read; waitress keeps it until the next one."""
        if not self.kept_bytes:
            return
        with self.requests_lock, self.outbuf_lock:
            if not self.requests and not self.total_outbufs_len:
                self.outbufs = [OverflowableBuffer(BUFFER_BYTES)]
                self.kept_bytes = 0

    def received(self, data: bytes) -> bool:
        """Take what the client sent, and hang up on one that asks again before it has the answer."""
        is_taken = super().received(data)
        # No browser does. 500 requests in one packet would fill the memory with answers.
        if len(self.requests) > 1:
            self.handle_close()
        return is_taken

    def write_soon(self, data: bytes) -> int:
        """Send a part of an answer; called by the thread that makes it."""
        count = super().write_soon(data)
        self.kept_bytes += count
        return count

    def service(self) -> None:
        """Make an answer; called by a thread of the server."""
        self.since = time.monotonic()
        self.kept_bytes = 0
        super().service()
        self.since = time.monotonic()
