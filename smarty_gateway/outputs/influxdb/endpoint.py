"""The write endpoint of a server: `/write` of InfluxDB 1, `/api/v2/write` of 2 and 3."""

import base64
import gzip
import json
import re
import shlex
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from smarty_gateway.config.consumers import InfluxConfig
from smarty_gateway.config.password_file import PasswordFileError, read_password
from smarty_gateway.outputs.attempts import ConsumerAwayError
from smarty_gateway.outputs.http_client import Answer, HttpClient
from smarty_gateway.safe_text import printable

#: Seconds for an answer; a server that needs longer counts as away.
_TIMEOUT: Final = 10.0
#: The one answer that says so in all versions; a web server that is not InfluxDB may answer 200 to anything.
_WRITTEN: Final = 204
#: A server that wants to be left alone longer is asked again nevertheless.
_LONGEST_REST: Final = 300.0
#: Lines compress well at once, and small computers are slow.
_GZIP_LEVEL: Final = 1
_MOST_WORDS: Final = 200


class RefusedError(Exception):
    """The server does not accept this batch; the text is a sentence about that."""


class TooLargeError(RefusedError):
    """The server accepts smaller batches only."""


class BusyError(ConsumerAwayError):
    """The server asks for a pause.

    Attributes:
        seconds: how long it should last at least.
    """

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = min(seconds, _LONGEST_REST)


class WriteEndpoint:
    """Writes batches. Not for more than one thread.

    Args:
        influx: which server, and who we are there.
        timeout: seconds for an answer.
    """

    def __init__(self, influx: InfluxConfig, timeout: float = _TIMEOUT) -> None:
        self._influx = influx
        self._client = HttpClient(
            "InfluxDB", influx.host, influx.port, tls=influx.tls, ca_file=influx.ca_file, timeout=timeout
        )
        self._login: str | None = None

    def write(self, lines: bytes) -> None:
        """Write a batch; one that is written twice is the same as one that is written once.

        Raises:
            ConsumerAwayError: it must be written again later.
            RefusedError: the server does not accept it; a TooLargeError if it may accept a smaller one.
        """
        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Encoding": "gzip",
            "User-Agent": "smarty-gateway",
        }
        if self._login is None:
            self._login = self._authorization()
        if self._login:
            headers["Authorization"] = self._login
        body = gzip.compress(lines, _GZIP_LEVEL, mtime=0)
        answer = self._client.request("POST", self._path, body, headers)
        if answer.status != _WRITTEN:
            self._raise_for(answer)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @property
    def _path(self) -> str:
        influx = self._influx
        if influx.bucket is None:
            return "/write?" + urlencode({"db": influx.database or "", "precision": "s"})
        org = {} if influx.org is None else {"org": influx.org}
        return "/api/v2/write?" + urlencode({**org, "bucket": influx.bucket, "precision": "s"})

    def _authorization(self) -> str:
        """Return the header; an empty one where everybody may write."""
        influx = self._influx
        try:
            if influx.token_file is not None:
                return f"Token {_token(influx.token_file)}"
            if influx.user is not None and influx.password_file is not None:
                login = influx.user.encode() + b":" + read_password(influx.password_file)
                return f"Basic {base64.b64encode(login).decode('ascii')}"
        except PasswordFileError as error:
            raise ConsumerAwayError(str(error)) from None
        return ""

    def _raise_for(self, answer: Answer) -> None:
        status, name, words = answer.status, self._client.name, _words(answer)
        if status == 401:
            self._login = None  # the file is read again, as somebody may correct it
            raise ConsumerAwayError(f"{name} refuses {self._who} (401): {self._how_to_log_in}")
        if status == 404:
            raise ConsumerAwayError(f"{name} {self._what_is_missing(words)}")
        if status == 413:
            raise TooLargeError(f"{name} does not accept a reading of this size ({words})")
        if status in (429, 503):
            raise BusyError(f"{name} has no time ({words}): is it overloaded?", answer.retry_after)
        if 400 <= status < 500:
            raise RefusedError(f"{name} refuses readings ({words}){self._what_to_do(status, words)}")
        if 200 <= status < 300:
            raise ConsumerAwayError(
                f"{name} does not answer as InfluxDB does ({words}): check the url in gateway.yaml"
            )
        if 300 <= status < 400:
            raise ConsumerAwayError(
                f"{name} sends elsewhere ({status}): write the address of InfluxDB itself as url in "
                "gateway.yaml"
            )
        raise ConsumerAwayError(f"{name} cannot write ({words}): read the log of InfluxDB")

    @property
    def _who(self) -> str:
        if self._influx.token_file is not None:
            return "the token"
        return "us without a login" if self._influx.user is None else f"user {printable(self._influx.user)}"

    @property
    def _how_to_log_in(self) -> str:
        influx = self._influx
        if influx.token_file is not None:
            return f"write a token that may write to bucket {influx.bucket} into {influx.token_file}"
        if influx.bucket is not None:
            return "write a token into a file and name that as token_file in gateway.yaml"
        if influx.password_file is not None:
            return f"check the user and the password in {influx.password_file}"
        return "name a user and a password_file in gateway.yaml"

    def _what_to_do(self, status: int, words: str) -> str:
        if status == 403:
            return f": give {self._who} the right to write"
        if "field type conflict" in words:
            return ": another program has written this field in another form; use a database for this alone"
        return ""

    def _what_is_missing(self, words: str) -> str:
        influx = self._influx
        if "page not found" in words:
            versions = "2 and 3 have a bucket" if influx.bucket is None else "1 has a database"
            return f"is of another version ({words}): InfluxDB {versions}; else check the url in gateway.yaml"
        if influx.bucket is None:
            database = influx.database or ""
            quoted = '"' + database.replace("\\", r"\\").replace('"', r"\"") + '"'
            name = database if re.fullmatch(r"[A-Za-z_]\w*", database, re.ASCII) else quoted
            command = f"influx -execute {shlex.quote(f'CREATE DATABASE {name}')}"
            what = f"database {database}"
        else:
            org = "" if influx.org is None else f" --org {shlex.quote(influx.org)}"
            command = f"influx bucket create --name {shlex.quote(influx.bucket)}{org}"
            what = f"bucket {influx.bucket}" + ("" if influx.org is None else f" of org {influx.org}")
        return printable(f"has no {what} ({words}): type {command}, or check the url in gateway.yaml")


def _token(path: Path) -> str:
    token = read_password(path, "token_file").strip()
    if not re.fullmatch(rb"[!-~]+", token):
        raise PasswordFileError(
            f"{path}: a token is one word of ASCII characters; write nothing else into it"
        )
    return token.decode("ascii")


def _words(answer: Answer) -> str:
    """Return what the server says; InfluxDB wraps it in JSON."""
    try:
        found = json.loads(answer.body)
        text = found.get("error") or found["message"]
    except (ValueError, AttributeError, LookupError, RecursionError):
        return answer.words
    return printable(" ".join(f"{answer.status} {str(text)[:_MOST_WORDS]}".split()))
