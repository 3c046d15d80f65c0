"""Who may ask for what: the answer for each kind of request."""

import base64
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.config.values import HttpConfig
from smarty_gateway.web.access import IS_KNOWN, Environ, StartResponse, WsgiApp, guarded
from smarty_gateway.web.throttle import Throttle

HOME_ASSISTANT = "172.30.32.2"
PASSWORD = b"correct horse"
PROXY = "192.168.1.5"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors "
)


@dataclass
class Got:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    #: What the application behind was asked; empty where it was not.
    passed: Environ


def page(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"known" if environ[IS_KNOWN] else b"unknown"]


class Gate:
    """An application behind access control."""

    def __init__(
        self,
        password: bytes | None = None,
        http: HttpConfig | None = None,
        *,
        app: WsgiApp = page,
        is_app: bool = False,
    ) -> None:
        self._passed: Environ = {}
        self._app = app
        self._guarded = guarded(self._inner, http or HttpConfig(), password, is_app=is_app)

    def _inner(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self._passed = environ
        return self._app(environ, start_response)

    def ask(
        self, path: str = "/", method: str = "GET", peer: str = "127.0.0.1", **headers: str | None
    ) -> Got:
        """Ask as a client whose headers waitress has read; None leaves one out."""
        self._passed = {}
        environ = {"REMOTE_ADDR": peer, "REQUEST_METHOD": method, "PATH_INFO": path, "REQUEST_URI": path}
        given = {"host": "localhost:8300"} | headers
        environ |= {f"HTTP_{name.upper()}": text for name, text in given.items() if text is not None}
        got: dict[str, Any] = {}

        def start_response(status: str, found: list[tuple[str, str]]) -> None:
            names = [name.lower() for name, _ in found]
            assert len(names) == len(set(names))
            got.update(status=int(status[:3]), headers=dict(found))

        body = b"".join(self._guarded(environ, start_response))
        return Got(**got, body=body, passed=self._passed)


def basic(password: bytes | str, user: str = "anybody") -> str:
    secret = password.encode() if isinstance(password, str) else password
    return "Basic " + base64.b64encode(user.encode() + b":" + secret).decode()


@pytest.fixture(autouse=True)
def named_pi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the machine."""
    monkeypatch.setattr("socket.gethostname", lambda: "Pi.example.org")


def test_every_answer_tells_the_browser_what_not_to_do() -> None:
    headers = Gate().ask().headers
    assert headers == {
        "Content-Type": "text/plain",
        "Content-Length": "5",
        "Content-Security-Policy": POLICY + "'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def test_a_page_decides_how_long_it_is_kept_and_nothing_else() -> None:
    def file(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("cache-control", "max-age=60"), ("content-security-policy", "none")])
        return [b""]

    headers = Gate(app=file).ask().headers
    assert headers["cache-control"] == "max-age=60"
    assert headers["Content-Security-Policy"] == POLICY + "'none'"


ALLOWED_HOSTS = (
    *(
        "localhost",
        "LOCALHOST:8300",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:80",
        "192.168.1.7:8300",
        "8.8.8.8",
    ),
    *("[::1]", "[::1]:8300", "[fd00::7]", "[::ffff:1.2.3.4]:1", "localhost:"),
    *("pi", "pi.local", "PI.LAN:8300", "pi.home.arpa", "pi.fritz.box", "pi.example.org"),
    *("smarty.example", "Smarty.Example.:443"),
)
OTHER_HOSTS = (
    *("evil.example", "127.0.0.1.evil.example", "localhost.evil", "127.0.0.1.nip.io", "xlocalhost"),
    *("pi.evil", "pi.local.evil", "evil.local", "evil.lan", "local", "fritz.box", "1.2.3", "2130706433"),
    *("0x7f000001", "127.0.0.1..", "localhost..", "256.1.1.1", "127.0.0.01", "sub.smarty.example"),
)
ODD_HOSTS = (
    *(None, "", " ", "localhost, localhost", "localhost, evil", "user@localhost", "user:pass@127.0.0.1"),
    *("[::1]evil", "[::1]:80:80", "[::1", "::1", "[]", "[fe80::1%25eth0]", "[1.2.3.4]", "[:::]", "[::g]"),
    *("localhost:port", "localhost:123456", "localhost/", "localhost\\", "local host", "localhost\x00"),
    *("localhost\t", "http://localhost", ".localhost", "-", ":80", "löcalhost", "a" * 254),
)


@pytest.mark.parametrize("host", ALLOWED_HOSTS)
def test_the_page_answers_under_the_names_of_the_machine(host: str) -> None:
    assert Gate(http=HttpConfig(hosts=("smarty.example",))).ask(host=host).status == 200


@pytest.mark.parametrize("host", OTHER_HOSTS)
def test_a_name_that_could_lead_here_by_dns_rebinding_is_refused(host: str) -> None:
    got = Gate(http=HttpConfig(hosts=("smarty.example",))).ask(host=host)
    assert (got.status, got.passed) == (421, {})
    assert b"hosts" in got.body


@pytest.mark.parametrize("host", ODD_HOSTS)
def test_a_host_that_no_browser_sends_is_refused(host: str | None) -> None:
    got = Gate(http=HttpConfig(hosts=("smarty.example",))).ask(host=host)
    assert (got.status, got.passed) == (400, {})


def test_a_host_that_is_too_long_is_refused() -> None:
    assert Gate().ask(host="a" * 100_000).status == 400


@pytest.mark.parametrize("target", ["http://evil.example/", "https://localhost/", "*", "localhost:80", ""])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    """A request with an absolute target names two hosts."""
    gate = Gate()
    environ = {"REMOTE_ADDR": "127.0.0.1", "REQUEST_METHOD": "GET", "PATH_INFO": "/", "REQUEST_URI": target}
    statuses: list[str] = []
    list(gate._guarded({**environ, "HTTP_HOST": "localhost"}, lambda status, _: statuses.append(status)))
    assert statuses == ["400 Bad Request"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_nothing_can_be_changed(method: str) -> None:
    got = Gate().ask(method=method)
    assert (got.status, got.headers["Allow"], got.passed) == (405, "GET, HEAD", {})


def test_head_gets_the_headers_alone() -> None:
    page_headers, got = Gate().ask().headers, Gate().ask(method="HEAD")
    assert (got.status, got.headers, got.body) == (200, page_headers, b"")


def test_another_site_cannot_ask_behind_the_back_of_the_user() -> None:
    gate = Gate()
    hidden = gate.ask("/api/v1/health", sec_fetch_site="cross-site", sec_fetch_mode="no-cors")
    framed = gate.ask(sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="iframe")
    link = gate.ask(sec_fetch_site="cross-site", sec_fetch_mode="navigate", sec_fetch_dest="document")
    own = gate.ask(sec_fetch_site="same-origin", sec_fetch_mode="cors")
    assert [hidden.status, framed.status, link.status, own.status] == [403, 403, 200, 200]


def test_without_a_password_everybody_is_known() -> None:
    assert Gate(http=HttpConfig(is_open=True)).ask(peer="192.168.1.9").body == b"known"


def test_without_credentials_the_browser_is_told_to_ask_for_them() -> None:
    got = Gate(PASSWORD).ask()
    assert (got.status, got.passed) == (401, {})
    assert got.headers["WWW-Authenticate"] == 'Basic realm="smarty-gateway", charset="UTF-8"'


@pytest.mark.parametrize("password", ["correct horse", "päßwört €", "with:colons:", " blank ", "x" * 200])
@pytest.mark.parametrize("user", ["", "admin", "zoë"])
def test_the_password_opens_the_page_with_any_user_name(password: str, user: str) -> None:
    got = Gate(password.encode()).ask(authorization=basic(password, user), peer="192.168.1.9")
    assert (got.status, got.body) == (200, b"known")


@pytest.mark.parametrize(
    "authorization",
    [
        *(basic("Correct horse"), basic("correct horse "), basic(""), basic(b"\xff\xfe")),
        *(
            "",
            "Basic",
            "Basic ",
            "Basic !",
            "Basic \xe9",
            "Basic Y29ycmVjdCBob3JzZQ==",
            "Bearer x",
            "x" * 300,
        ),
        basic(PASSWORD).replace("Basic", "Digest"),
    ],
)
def test_anything_else_does_not_open_it(authorization: str) -> None:
    got = Gate(PASSWORD).ask(authorization=authorization)
    assert (got.status, got.passed) == (401, {})


def test_a_password_is_asked_of_this_machine_and_in_a_trusted_network_too() -> None:
    assert Gate(PASSWORD, http=HttpConfig(is_open=True)).ask(peer="127.0.0.1").status == 401


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Stop the clock of throttling; tests change it."""
    now = [1000.0]
    throttle = partial(Throttle, clock=lambda: now[0])
    monkeypatch.setattr("smarty_gateway.web.access.Throttle", throttle)
    return now


def fail(gate: Gate, times: int, **how: str) -> list[int]:
    return [gate.ask(authorization=basic("wrong"), **how).status for _ in range(times)]


def test_after_five_failures_an_address_waits_a_minute(clock: list[float]) -> None:
    gate = Gate(PASSWORD)
    assert fail(gate, 7) == [401] * 5 + [429] * 2
    clock[0] += 59.5
    waiting = gate.ask(authorization=basic(PASSWORD))
    assert (waiting.status, waiting.headers["Retry-After"], waiting.passed) == (429, "1", {})
    clock[0] += 0.5
    assert gate.ask(authorization=basic(PASSWORD)).status == 200


def test_failures_that_are_a_minute_apart_do_not_add_up(clock: list[float]) -> None:
    gate = Gate(PASSWORD)
    for _ in range(20):
        assert fail(gate, 1) == [401]
        clock[0] += 15


def test_a_success_does_not_give_an_address_new_attempts() -> None:
    """Somebody who guesses may share it with a browser that knows the password."""
    gate = Gate(PASSWORD)
    fail(gate, 4)
    assert gate.ask(authorization=basic(PASSWORD)).status == 200
    assert fail(gate, 2) == [401, 429]


def test_other_addresses_need_not_wait() -> None:
    gate = Gate(PASSWORD)
    fail(gate, 9, peer="192.168.1.66")
    assert gate.ask(authorization=basic(PASSWORD), peer="192.168.1.67").status == 200


def test_a_request_without_credentials_is_no_failure() -> None:
    """A browser asks first without them."""
    gate = Gate(PASSWORD)
    assert [gate.ask().status for _ in range(20)] == [401] * 20
    assert gate.ask(authorization=basic(PASSWORD)).status == 200
    fail(gate, 5)
    assert gate.ask().status == 401


def test_all_addresses_of_one_household_count_as_one() -> None:
    gate = Gate(PASSWORD)
    assert [fail(gate, 1, peer=f"2001:db8:0:1::{n}")[0] for n in range(6)] == [401] * 5 + [429]
    assert fail(gate, 1, peer="2001:db8:0:2::1") == [401]


def test_an_address_counts_as_one_through_both_kinds_of_sockets() -> None:
    gate = Gate(PASSWORD)
    fail(gate, 5, peer="192.168.1.66")
    assert fail(gate, 1, peer="::ffff:192.168.1.66") == [429]
    assert fail(gate, 1, peer="::ffff:192.168.1.67") == [401]


def test_behind_a_proxy_the_last_client_waits_and_not_the_proxy() -> None:
    gate = Gate(PASSWORD, http=HttpConfig(proxies=(PROXY,)))
    attacker = {"peer": PROXY, "x_forwarded_for": "10.0.0.1, 203.0.113.66"}
    assert fail(gate, 6, **attacker) == [401] * 5 + [429]
    # What stands before the last entry was sent by the client.
    assert fail(gate, 1, peer=PROXY, x_forwarded_for="10.9.9.9,203.0.113.66") == [429]
    other = gate.ask(authorization=basic(PASSWORD), peer=PROXY, x_forwarded_for="203.0.113.66, 203.0.113.67")
    assert other.status == 200
    assert fail(gate, 1, peer=PROXY) == [401]


@pytest.mark.parametrize("peer", ["172.18.0.3", "::ffff:172.18.0.3", "fd00::5", "fd00::5%eth0"])
def test_a_network_of_proxies_can_be_named(peer: str) -> None:
    gate = Gate(PASSWORD, http=HttpConfig(proxies=("172.16.0.0/12", "fd00::/8")))
    fail(gate, 5, peer=peer, x_forwarded_for="203.0.113.66")
    assert fail(gate, 1, peer=peer, x_forwarded_for="203.0.113.67") == [401]


def test_who_is_no_proxy_cannot_speak_for_others() -> None:
    gate = Gate(PASSWORD, http=HttpConfig(proxies=(PROXY,)))
    asked = [fail(gate, 1, peer="192.168.1.66", x_forwarded_for=f"10.0.0.{n}")[0] for n in range(6)]
    assert asked == [401] * 5 + [429]


def test_the_table_of_addresses_has_an_end() -> None:
    gate = Gate(PASSWORD)
    fail(gate, 5, peer="10.255.0.1")
    for n in range(1000):
        fail(gate, 1, peer=f"10.0.{n // 250}.{n % 250}")
    assert fail(gate, 1, peer="10.255.0.1") == [401]
    assert len(gate._guarded._throttle._failures) == 1000  # type: ignore[attr-defined] # of the guard


def test_guessing_is_logged_once_and_so_is_its_end(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(PASSWORD)
    fail(gate, 50, peer="192.168.1.66")
    for _ in range(3):
        clock[0] += 30
        gate.ask(authorization=basic(PASSWORD), peer="192.168.1.7")
    assert [record.getMessage() for record in caplog.records] == [
        "http: 192.168.1.66 gave 5 wrong passwords within a minute",
        "http: no wrong password for a minute",
    ]


def test_a_watchdog_needs_no_password() -> None:
    assert Gate(PASSWORD).ask("/livez").status == 200


def test_livez_does_not_say_whether_a_password_is_right() -> None:
    gate = Gate(PASSWORD)
    got = [gate.ask("/livez", authorization=basic(word)) for word in [*["wrong"] * 9, PASSWORD.decode()]]
    assert {(one.status, one.body) for one in got} == {(200, b"unknown")}
    assert gate.ask(authorization=basic(PASSWORD)).status == 200


def test_healthz_knows_who_has_the_password() -> None:
    gate = Gate(PASSWORD)
    assert gate.ask("/healthz").body == b"unknown"
    assert gate.ask("/healthz", authorization=basic("wrong")).body == b"unknown"
    assert gate.ask("/healthz", authorization=basic(PASSWORD)).body == b"known"


def test_healthz_is_no_place_to_guess_the_password() -> None:
    gate = Gate(PASSWORD)
    for _ in range(5):
        gate.ask("/healthz", authorization=basic("wrong"))
    got = gate.ask("/healthz", authorization=basic(PASSWORD))
    assert (got.status, got.body) == (200, b"unknown")
    assert gate.ask(authorization=basic(PASSWORD)).status == 429


@pytest.mark.parametrize(
    "path", ["/livez/", "/livez/x", "/livezx", "/x/livez", "/Livez", "/healthz/x", "/livez\0"]
)
def test_no_other_page_is_for_everybody(path: str) -> None:
    assert Gate(PASSWORD).ask(path).status == 401


def test_home_assistant_asks_under_any_name_and_without_the_password() -> None:
    for password in (None, PASSWORD):
        gate = Gate(password, is_app=True)
        for host in ("evil.example", "[::1]evil", None):
            assert gate.ask(peer=HOME_ASSISTANT, host=host).body == b"known"
        assert gate.ask(peer=f"::ffff:{HOME_ASSISTANT}", host="ha.example").body == b"known"


def test_outside_an_app_the_address_of_home_assistant_means_nothing() -> None:
    assert Gate().ask(peer=HOME_ASSISTANT, host="evil.example").status == 421
    assert Gate(PASSWORD).ask(peer=HOME_ASSISTANT).status == 401


@pytest.mark.parametrize("peer", ["172.30.32.1", "192.168.1.9", "::ffff:192.168.1.9", "fd00::1", "odd"])
def test_as_an_app_others_are_refused_unless_there_is_a_password(peer: str) -> None:
    assert Gate(is_app=True).ask(peer=peer).status == 403
    assert Gate(is_app=True).ask("/livez", peer=peer).status == 403
    assert Gate(PASSWORD, is_app=True).ask(peer=peer).status == 401
    assert Gate(PASSWORD, is_app=True).ask(peer=peer, authorization=basic(PASSWORD)).status == 200


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_as_an_app_the_health_check_of_the_container_is_answered(peer: str) -> None:
    assert Gate(is_app=True).ask("/healthz", peer=peer).body == b"known"
    assert Gate(is_app=True).ask(peer=peer, host="evil.example").status == 421


@pytest.mark.parametrize(
    ("is_embedded", "peer", "path"),
    [
        (True, HOME_ASSISTANT, "/api/hassio_ingress/Ab-_9"),
        (True, PROXY, "/smarty"),
        (False, "192.168.1.9", "/smarty"),
        (False, PROXY, ""),
        (False, PROXY, "/smarty; frame-ancestors *"),
        (False, PROXY, "/smärty"),
        (False, PROXY, "/" + "a" * 5000),
    ],
)
def test_only_home_assistant_and_proxies_may_show_the_page_in_a_frame(
    is_embedded: bool,  # noqa: FBT001 - of the table
    peer: str,
    path: str,
) -> None:
    got = Gate(PASSWORD, is_app=True, http=HttpConfig(proxies=(PROXY,))).ask(peer=peer, x_ingress_path=path)
    assert got.headers["Content-Security-Policy"] == POLICY + ("'self'" if is_embedded else "'none'")


def test_pages_see_no_password_and_nothing_that_a_client_could_make_up() -> None:
    got = Gate(PASSWORD).ask(
        authorization=basic(PASSWORD), forwarded="for=x", x_forwarded_host="evil", x_ingress_path="/x"
    )
    assert got.status == 200
    assert {name for name in got.passed if name.startswith("HTTP_")} == {"HTTP_HOST"}


def failing(environ: Environ, _: StartResponse) -> Iterable[bytes]:
    raise ValueError(environ["PATH_INFO"])


def failing_in_the_middle(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    start_response("200 OK", [])
    yield b"half"
    raise ValueError(environ["PATH_INFO"])


@pytest.mark.parametrize("app", [failing, failing_in_the_middle])
def test_an_error_in_a_page_is_one_line_without_what_the_client_sent(
    app: WsgiApp, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(app=app)
    got = [gate.ask("/s3cret") for _ in range(50)]
    assert {(one.status, one.body) for one in got} == {
        (500, b"Something went wrong. The log of the gateway says where.\n")
    }
    assert got[0].headers["Content-Security-Policy"] == POLICY + "'none'"
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "ValueError in test_access.py" in caplog.text
    assert "s3cret" not in caplog.text


def test_what_a_page_has_opened_is_closed() -> None:
    closed: list[int] = []

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append(1)

    def opening(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return Body([b"a", b"b"])

    assert Gate(app=opening).ask().body == b"ab"
    assert closed == [1]


def test_a_refusal_is_in_the_language_of_the_browser() -> None:
    got = Gate(PASSWORD).ask(accept_language="en")
    assert got.body == b"This page needs the password, with any user name.\n"
    assert got.headers["Content-Type"] == "text/plain; charset=utf-8"


#: Some texts that a header may have, each with the answer to a request that has it; None for any answer.
_HOST = st.one_of(
    st.sampled_from([(host, 0) for host in ALLOWED_HOSTS[:-2]]),
    st.sampled_from([(host, 421) for host in OTHER_HOSTS]),
    st.sampled_from([(host, 400) for host in ODD_HOSTS]),
)
_PEER = st.sampled_from(["127.0.0.1", "::1", "192.168.1.9", "fe80::1%eth0", PROXY, HOME_ASSISTANT, "", "x"])
_CREDENTIALS = st.one_of(st.none(), st.just(basic(PASSWORD)), st.just(basic("wrong")), st.text(max_size=50))
_PATH = st.sampled_from(["/", "/livez", "/healthz", "/metrics", "/livez/", "//", "/\x00", "/..%2f"])
_METHOD = st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "X"])
_HEADERS = st.dictionaries(
    st.sampled_from(
        ["accept_language", "x_forwarded_for", "x_ingress_path", "sec_fetch_mode", "forwarded", "cookie"]
    ),
    st.one_of(st.text(st.characters(max_codepoint=255), max_size=80), st.just("navigate")),
)


@given(
    st.booleans(), st.booleans(), _PEER, _HOST, _CREDENTIALS, _PATH, _METHOD, st.booleans(), _HEADERS
)  # fmt: skip
def test_the_answer_follows_from_the_rules_whatever_is_sent(  # noqa: PLR0913, PLR0917 - all that rules depend on
    is_app: bool,  # noqa: FBT001
    has_password: bool,  # noqa: FBT001
    peer: str,
    host: tuple[str | None, int],
    credentials: str | None,
    path: str,
    method: str,
    is_cross_site: bool,  # noqa: FBT001
    headers: dict[str, str],
) -> None:
    gate = Gate(PASSWORD if has_password else None, is_app=is_app, http=HttpConfig(proxies=(PROXY,)))
    site = {"sec_fetch_site": "cross-site"} if is_cross_site else {}
    got = gate.ask(path, method, peer, host=host[0], authorization=credentials, **site, **headers)

    of_ingress = is_app and peer == HOME_ASSISTANT
    is_stranger = is_app and not has_password and peer not in {HOME_ASSISTANT, "127.0.0.1", "::1"}
    knows = of_ingress or not has_password or credentials == basic(PASSWORD)
    if host[1] and not of_ingress:
        expected = host[1]
    elif is_stranger or (is_cross_site and headers.get("sec_fetch_mode") != "navigate"):
        expected = 403
    elif method not in {"GET", "HEAD"}:
        expected = 405
    else:
        expected = 200 if knows or path in {"/livez", "/healthz"} else 401
    assert got.status == expected
    assert bool(got.passed) == (expected == 200)
    if path != "/livez" and got.passed:
        assert got.passed[IS_KNOWN] == knows
    assert got.headers["Content-Security-Policy"].startswith(POLICY)
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Referrer-Policy"] == "no-referrer"
    assert got.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert got.headers["Cache-Control"] == "no-store"
