"""A client for one HTTP server: one kept connection, everything bounded, TLS verified, no redirects."""

import contextlib
import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from smarty_gateway.outputs.attempts import ConsumerAwayError
from smarty_gateway.outputs.certificates import distrust, unusable_ca
from smarty_gateway.safe_text import printable

#: Bytes of an answer that are read unless more are expected; the rest costs the connection.
_MOST_ANSWER: Final = 100_000
#: Bytes of an answer that messages repeat.
_MOST_WORDS: Final = 200
#: `http.client.RemoteDisconnected` is a ConnectionResetError; over TLS writing ends in an SSLError.
_CLOSED: Final = (BrokenPipeError, ConnectionResetError, ssl.SSLError)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answers; it may be a redirect, which is not followed.

    Attributes:
        body: its beginning, as long as the client allows.
        retry_after: seconds for which the server wants to be left alone; 0 if it does not say.
        date: the server's clock (RFC 9110, 6.6.1), as it is written.
    """

    status: int
    body: bytes
    retry_after: float = 0.0
    date: str | None = None

    @property
    def words(self) -> str:
        """Return status and beginning of the body as one line that a terminal can show."""
        text = self.body[:_MOST_WORDS].decode("utf-8", "replace")
        return printable(" ".join(f"{self.status} {text}".split()))


class HttpClient:
    """Sends requests to a server; a connection is kept for the next one. Not for more than one thread.

    Args:
        program: what the server is, for messages, such as `InfluxDB`.
        host: of the server.
        port: of the server.
        tls: whether it is encrypted; its certificate is verified.
        ca_file: certificates that sign the server's; None for the system's.
        timeout: seconds for the connection, and for each request with its whole answer.
        named_in: the file that has the url, for messages.
        most: bytes of an answer that are read.
    """

    def __init__(  # noqa: PLR0913 - what every HTTP server needs
        self,
        program: str,
        host: str,
        port: int,
        *,
        tls: bool = False,
        ca_file: Path | None = None,
        timeout: float = 10.0,
        named_in: str = "gateway.yaml",
        most: int = _MOST_ANSWER,
    ) -> None:
        self._program = program
        self._host = host
        self._port = port
        self._tls = tls
        self._ca_file = ca_file
        self._timeout = timeout
        self._most = most
        self._url = f"the url in {named_in}"
        self._connection: http.client.HTTPConnection | None = None

    @property
    def name(self) -> str:
        """What messages call the server."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"the {self._program} server {host}:{self._port}"

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request, and return the answer, whatever its status is.

        A request is sent twice where the server closes a kept connection: what it asks for must be the same
        if it is done twice.

        Raises:
            ConsumerAwayError: there is no answer.
        """
        try:
            answer = self._request(method, path, body, headers or {})
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            self.close()
            # Without the cause: its text may hold what was sent.
            raise ConsumerAwayError(f"{self.name} {self._why(error)}") from None
        if self._is_tls_expected(answer):
            raise ConsumerAwayError(f"{self.name} expects TLS: write https:// in {self._url}")
        return answer

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        if self._connection is not None:
            with contextlib.suppress(*_CLOSED):  # the server may close a kept connection at any time
                return self._exchange(self._connection, method, path, body, headers)
            self.close()
        self._connection = self._connected()
        return self._exchange(self._connection, method, path, body, headers)

    def _connected(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        if self._tls:
            connection = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout, context=self._context()
            )
        connection.response_class = _TimedResponse
        connection.connect()
        return connection

    def _context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._ca_file)
        except OSError as error:
            why = unusable_ca(self._ca_file, error, f"{self._program} server")
            raise ConsumerAwayError(why) from None

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        connection.sock.settimeout(self._timeout)
        with contextlib.suppress(*_CLOSED):
            connection.request(method, path, body, dict(headers))
        # A server may answer, as with 413, before it has read everything.
        with connection.getresponse() as response:
            data = response.read(self._most)
            is_whole = response.isclosed() or not response.read(1)
            if not is_whole or response.will_close:
                self.close()
            retry_after = _seconds(response.getheader("Retry-After"))
            return Answer(response.status, data, retry_after, response.getheader("Date"))

    # What is wrong

    def _is_tls_expected(self, answer: Answer) -> bool:
        """True for what Go's and nginx's servers answer to HTTP without TLS."""
        return (
            not self._tls
            and answer.status == http.client.BAD_REQUEST
            and (b"HTTP request to an HTTPS server" in answer.body or b"to HTTPS port" in answer.body)
        )

    def _why(self, error: Exception) -> str:
        """Return the end of a sentence about a server that does not answer."""
        match error:
            case ssl.SSLCertVerificationError():
                distrusted = distrust(error, f"{self._program} server", self._host, self._ca_file)
                why = f"has a certificate that {distrusted}"
            case socket.gaierror() | UnicodeError():
                why = f"is not known by this name: check {self._url}, and the network"
            case ConnectionRefusedError():
                why = f"refuses the connection: start {self._program}, or check {self._url}"
            case TimeoutError():
                why = f"does not answer within {self._timeout:g} s: is it overloaded? Else check {self._url}"
            case ssl.SSLError(reason=reason):
                why = f"has no TLS on this port ({reason}): write http:// in {self._url}"
            case ConnectionResetError() | BrokenPipeError():
                why = f"has closed the connection: check {self._url}, or read the log of {self._program}"
            case OSError(strerror=reason):
                why = f"cannot be reached: {reason or printable(error)}"
            case _:
                why = f"does not answer as a web server does: check {self._url}, and its port"
        return why


class _TimedResponse(http.client.HTTPResponse):
    """An answer that must be complete within the socket's timeout: a server may send a byte now and then."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as its base
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedFile(sock, self.fp.detach()))


class _TimedFile(io.RawIOBase):
    def __init__(self, sock: socket.socket, raw: io.RawIOBase) -> None:
        super().__init__()
        self._sock = sock
        self._raw = raw
        self._until = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - as its base
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if self._sock.fileno() >= 0:  # http.client closes it where no request may follow
            self._sock.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        except ConnectionResetError:  # the end, where the server has not read the whole request
            return 0

    def close(self) -> None:
        self._raw.close()
        super().close()


def _seconds(text: str | None) -> float:
    """Return the seconds of a Retry-After (RFC 9110, 10.2.3); 0 for anything else, such as a date."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 10 else 0.0
