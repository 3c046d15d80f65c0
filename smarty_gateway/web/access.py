"""Who may ask for what: checked before any page sees a request, and said to the browser with each answer."""

import base64
import re
from collections.abc import Callable, Iterable
from hashlib import sha256
from hmac import compare_digest
from http import HTTPStatus
from ipaddress import IPv4Address, ip_network
from typing import Any, Final

from smarty_gateway.config.values import HttpConfig
from smarty_gateway.languages.language import accepted_language
from smarty_gateway.web.addresses import Address, address_of
from smarty_gateway.web.answers import Answer, plain_answer, safe_headers
from smarty_gateway.web.faults import Faults
from smarty_gateway.web.hosts import HostNames
from smarty_gateway.web.throttle import Throttle

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environ, StartResponse], Iterable[bytes]]

#: In the environment of a request: who asked gave the password, or needed none.
IS_KNOWN: Final = "smarty.is_known"
#: Answered without the password: these say no more than whether all is well.
_FOR_EVERYBODY: Final = ("/livez", "/healthz")
#: Home Assistant's ingress, which has checked the user; in the network of its apps only.
_HOME_ASSISTANT: Final = IPv4Address("172.30.32.2")
_INGRESS_PATH: Final = re.compile(r"[A-Za-z0-9/_-]{1,200}")
#: What clients may have made up, and a password; no page needs them.
_NOT_FOR_PAGES: Final = ("HTTP_AUTHORIZATION", "HTTP_FORWARDED", "HTTP_X_")


def guarded(app: WsgiApp, http: HttpConfig, password: bytes | None, *, is_app: bool) -> WsgiApp:
    """Return an application that answers only who may ask.

    Args:
        app: answers the others.
        http: says who may.
        password: asked of everybody, also where the network is trusted; None where none is needed.
        is_app: the gateway runs as an app of Home Assistant.
    """
    return _Guard(app, http, password, is_app=is_app)


class _Guard:
    def __init__(self, app: WsgiApp, http: HttpConfig, password: bytes | None, *, is_app: bool) -> None:
        self._app = app
        self._hosts = HostNames(http.hosts)
        self._proxies = tuple(map(ip_network, http.proxies))
        self._password = None if password is None else sha256(password).digest()
        self._is_app = is_app
        self._throttle = Throttle()
        self._faults = Faults()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        peer = address_of(environ["REMOTE_ADDR"])
        is_home_assistant = self._is_app and peer == _HOME_ASSISTANT
        answer = self._refusal(environ, peer, is_home_assistant=is_home_assistant) or self._answer(environ)
        is_embedded = (is_home_assistant or self._is_proxy(peer)) and (
            _INGRESS_PATH.fullmatch(environ.get("HTTP_X_INGRESS_PATH", "")) is not None
        )
        headers = safe_headers(answer.headers, is_embedded=is_embedded)
        if "content-length" not in {name.lower() for name, _ in headers}:
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(answer.status, headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else answer.body]

    def _refusal(self, environ: Environ, peer: Address | None, *, is_home_assistant: bool) -> Answer | None:
        """Return the answer to who may not ask; None for the others."""
        _ = accepted_language(environ.get("HTTP_ACCEPT_LANGUAGE", "")).gettext
        host = None if is_home_assistant else self._hosts.refusal(environ.get("HTTP_HOST"))
        # An absolute target would name a second host (RFC 9112, 3.2.2); browsers send those to proxies only.
        if host is HTTPStatus.BAD_REQUEST or not environ["REQUEST_URI"].startswith("/"):
            return plain_answer(HTTPStatus.BAD_REQUEST, _("The request does not say which host it is for."))
        if host is not None:
            return plain_answer(
                host,
                _(
                    "The gateway does not answer under this name. Use its IP address, or add the name to "
                    "`hosts` below `http` in gateway.yaml (pool.yaml for a worker)."
                ),
            )
        if self._is_app and self._password is None and not (is_home_assistant or _is_loopback(peer)):
            return plain_answer(
                HTTPStatus.FORBIDDEN,
                _("Open this page in Home Assistant, or set `password_file` of the output `http`."),
            )
        # Another site could measure how long an answer takes, or keep the gateway busy, also with frames that
        # stay empty. Links are welcome.
        if environ.get("HTTP_SEC_FETCH_SITE") == "cross-site" and (
            environ.get("HTTP_SEC_FETCH_MODE") != "navigate"
            or environ.get("HTTP_SEC_FETCH_DEST", "document") != "document"
        ):
            return plain_answer(HTTPStatus.FORBIDDEN, _("Other sites may not use this page."))
        if environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return plain_answer(
                HTTPStatus.METHOD_NOT_ALLOWED, _("Nothing can be changed here."), ("Allow", "GET, HEAD")
            )
        environ[IS_KNOWN] = is_home_assistant or self._password is None
        return None if environ[IS_KNOWN] else self._login(environ, self._client(environ, peer), _)

    def _login(self, environ: Environ, client: Address | None, _: Callable[[str], str]) -> Answer | None:
        """Find out whether the password was given; return what to answer where it was not."""
        credentials = environ.get("HTTP_AUTHORIZATION")
        path, wait = environ["PATH_INFO"], 0
        # A browser asks first without a password, so that is no failure.
        if credentials is not None and path != "/livez":
            given = _password_of(credentials)
            is_right = given is not None and compare_digest(sha256(given).digest(), self._password or b"")
            wait = self._throttle.attempt(client, is_right=is_right)
            environ[IS_KNOWN] = is_right and not wait
        if environ[IS_KNOWN] or path in _FOR_EVERYBODY:
            return None
        if wait:
            return plain_answer(
                HTTPStatus.TOO_MANY_REQUESTS,
                _("Five wrong passwords: wait a minute."),
                ("Retry-After", str(wait)),
            )
        return plain_answer(
            HTTPStatus.UNAUTHORIZED,
            _("This page needs the password, with any user name."),
            ("WWW-Authenticate", 'Basic realm="smarty-gateway", charset="UTF-8"'),
        )

    def _client(self, environ: Environ, peer: Address | None) -> Address | None:
        """Return who asks: behind a proxy, the one that connected to it; nobody can forge the last entry."""
        if self._is_proxy(peer):
            last = environ.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2]
            return address_of(last.strip()) or peer
        return peer

    def _is_proxy(self, peer: Address | None) -> bool:
        return peer is not None and any(peer in network for network in self._proxies)

    def _answer(self, environ: Environ) -> Answer:
        """Return what the application answers."""
        passed = {name: value for name, value in environ.items() if not name.startswith(_NOT_FOR_PAGES)}
        try:
            return _answer_of(self._app, passed)
        except Exception as error:  # noqa: BLE001 - a bug in one page must not take the others with it
            self._faults.note(error)
            _ = accepted_language(environ.get("HTTP_ACCEPT_LANGUAGE", "")).gettext
            return plain_answer(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                _("Something went wrong. The log of the gateway says where."),
            )


def _answer_of(app: WsgiApp, environ: Environ) -> Answer:
    """Return an answer as a whole, so that an error in its middle is still an answer."""
    status, headers = "", list[tuple[str, str]]()

    def start_response(given: str, its_headers: list[tuple[str, str]], _: object = None) -> None:
        nonlocal status, headers
        status, headers = given, its_headers

    parts = app(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    return Answer(status, headers, body)


def _password_of(authorization: str) -> bytes | None:
    """Return the password in the header of RFC 7617; None if it has another form."""
    scheme, _, credentials = authorization.partition(" ")
    try:
        _, colon, password = base64.b64decode(credentials.strip(), validate=True).partition(b":")
    except ValueError:
        return None
    return password if colon and scheme.lower() == "basic" else None


def _is_loopback(address: Address | None) -> bool:
    return address is not None and address.is_loopback
