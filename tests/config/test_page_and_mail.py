"""The settings of the page and of the mail server, what is refused, and what is warned about."""

import contextlib
import socket
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smarty_gateway.config.gateway_file import load_config, read_config
from smarty_gateway.config.listen_address import parse_host, parse_listen_address, parse_network
from smarty_gateway.config.mail_server import Encryption, parse_mail_address, parse_mail_server
from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.values import HttpConfig, MailConfig
from smarty_gateway.config.warnings import warnings

PORT = "meters:\n  - source: /dev/ttyS0\n"
ANYWHERE = ["0.0.0.0:8300", "[::]:8300", "192.168.1.20:8300", "[fd00::1]:80", "[::ffff:127.0.0.1]:8300"]
HERE = ["127.0.0.1:8300", "127.0.0.2:8301", "[::1]:8300", "localhost:9000"]


@pytest.fixture(autouse=True)
def _is_no_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPERVISOR_TOKEN", raising=False)


def load(folder: Path, outputs: str) -> tuple[HttpConfig | None, MailConfig | None]:
    path = folder / "gateway.yaml"
    path.write_text(f"{PORT}outputs:\n{outputs}", "utf-8")
    found = load_config(path).outputs
    return found.http, found.mail


def page(folder: Path, settings: str) -> HttpConfig:
    http, _ = load(folder, f"  http: {settings}\n")
    assert http is not None
    return http


def mail(folder: Path, server: str = "smtps://me@mail.example", more: str = "") -> MailConfig:
    _, found = load(
        folder, f'  mail: {{server: "{server}", from: gateway@example, to: me@example.org{more}}}\n'
    )
    assert found is not None
    return found


def errors(folder: Path, outputs: str) -> list[str]:
    path = folder / "gateway.yaml"
    path.write_text(f"{PORT}outputs:\n{outputs}", "utf-8")
    found = [str(error).removeprefix(f"{path}:") for error in read_config(path)[1]]
    assert not any("hunter" in message for message in found)
    return found


def warned(folder: Path, outputs: str) -> list[str]:
    path = folder / "gateway.yaml"
    path.write_text(f"{PORT}outputs:\n{outputs}", "utf-8")
    return warnings(load_config(path))


# The page


def test_the_page_is_on_this_machine_unless_something_else_is_written(tmp_path: Path) -> None:
    assert page(tmp_path, "true") == page(tmp_path, "{}") == HttpConfig()
    assert HttpConfig().address == "127.0.0.1:8300"
    assert load(tmp_path, "  http: false\n") == (None, None)


def test_all_settings_of_the_page_are_read(tmp_path: Path) -> None:
    found = page(
        tmp_path,
        "{listen: '[::]:80', password_file: web.password, open: false, hosts: [Smarty.example, door], "
        "proxies: [192.168.1.5, 172.16.0.0/12, '::1']}",
    )
    assert found == HttpConfig(
        "::", 80, tmp_path / "web.password", False, ("smarty.example", "door"),  # noqa: FBT003 - as written
        ("192.168.1.5", "172.16.0.0/12", "::1"),
    )  # fmt: skip


def test_lists_may_be_empty_or_a_single_value(tmp_path: Path) -> None:
    assert page(tmp_path, "{hosts: [], proxies: []}") == HttpConfig()
    found = page(tmp_path, "{hosts: smarty.example, proxies: 10.0.0.1}")
    assert (found.hosts, found.proxies) == (("smarty.example",), ("10.0.0.1",))


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:8300", "127.0.0.1:8300"),
        ("[::1]:8300", "[::1]:8300"),
        ("localhost:80", "127.0.0.1:80"),
        (" 127.0.0.1:65535 ", "127.0.0.1:65535"),
    ],
)
def test_an_address_is_read(tmp_path: Path, listen: str, address: str) -> None:
    assert page(tmp_path, f"{{listen: '{listen}'}}").address == address


@pytest.mark.parametrize(
    ("listen", "part"),
    [
        ("8300", "a port needs an address before it"),
        (":8300", "a port needs an address before it"),
        ("127.0.0.1", "the port is missing"),
        ("0.0.0.0", "0.0.0.0:8300 (the whole network)"),  # noqa: S104 - not listened on
        ("::1", "the port is missing"),
        ("[::1]", "the port is missing"),
        ("localhost", "the port is missing"),
        ("http://127.0.0.1:8300/", "without http://"),
        ("127.0.0.1:0", "a port from 1 to 65535"),
        ("127.0.0.1:65536", "a port from 1 to 65535"),
        ("127.0.0.1:http", "a port from 1 to 65535"),
        ("127.0.0.1:\uff18", "a port from 1 to 65535"),
        ("smarty.example:8300", "not a name"),
        ("*:8300", "not a name"),
        ("fd00::1:8300", "the port is missing"),
        ("[127.0.0.1]:8300", "not a name"),
        ("hunter2", "a port from 1 to 65535"),
        ("me:hunter2@0.0.0.0:8300", "not a name"),
    ],
)
def test_anything_else_is_refused_with_what_to_write(tmp_path: Path, listen: str, part: str) -> None:
    (message,) = errors(tmp_path, f"  http: {{listen: '{listen}', open: true}}\n")
    assert message.startswith("4: ")
    assert part in message
    assert "127.0.0.1:8300" in message


@pytest.mark.parametrize("listen", ANYWHERE)
def test_a_page_that_others_can_reach_needs_a_password_or_a_word_that_it_does_not(
    tmp_path: Path, listen: str
) -> None:
    (message,) = errors(tmp_path, f"  http:\n    listen: '{listen}'\n")
    assert message.startswith("5: ")
    assert "`password_file: web.password`" in message
    assert "`open: true`" in message
    assert errors(tmp_path, f"  http: {{listen: '{listen}', open: false}}\n") != []
    assert errors(tmp_path, f"  http: {{listen: '{listen}', open: true}}\n") == []
    assert errors(tmp_path, f"  http: {{listen: '{listen}', password_file: web.password}}\n") == []


@pytest.mark.parametrize("listen", HERE)
def test_a_page_on_this_machine_needs_none(tmp_path: Path, listen: str) -> None:
    assert errors(tmp_path, f"  http: {{listen: '{listen}'}}\n") == []


def test_an_app_of_home_assistant_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERVISOR_TOKEN", "a token")
    assert errors(tmp_path, "  http: {listen: '0.0.0.0:8300'}\n") == []


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("hosts: [http://smarty.example]", "smarty.example"),
        ("hosts: [smarty.example:8300]", "no port"),
        ("hosts: ['*']", "no *"),
        ("hosts: [a..b]", "the name alone"),
        ("hosts: {a: b}", "a list"),
        ("proxies: [proxy.example]", "such as 192.168.1.5"),
        ("proxies: [192.168.1.5/24]", "write 192.168.1.0/24"),
        ("proxies: [10.0.0.1:80]", "such as 192.168.1.5"),
        ("password: hunter2", "`password_file: web.password`"),
        ("open: maybe", "true or false"),
    ],
)
def test_a_fault_of_the_page_is_reported_with_its_line(tmp_path: Path, line: str, part: str) -> None:
    (message,) = errors(tmp_path, f"  http:\n    listen: 127.0.0.1:8300\n    {line}\n")
    assert message.startswith("6: ")
    assert part in message


@pytest.mark.parametrize("value", ["127.0.0.1:8300", "8300", ""])
def test_an_address_in_place_of_the_settings_is_reported_with_what_may_be_there(
    tmp_path: Path, value: str
) -> None:
    (message,) = errors(tmp_path, f"  http: {value}\n")
    assert "write true or false for http, or lines of the form `name: value` below it" in message
    assert "listen, password_file" in message


@given(st.text())
@example("127.0.0.1:8300")
@example("[fe80::1%eth0]:1")
@example("0.0.0.0/33")
@example("0.0.0.1/0")
@example("²:²")
def test_any_text_is_an_address_a_name_a_network_or_refused(text: str) -> None:
    for parse in (parse_listen_address, parse_host, parse_network, parse_mail_server, parse_mail_address):
        with contextlib.suppress(SettingError):
            parse(text)


def test_which_of_password_and_open_counts_is_said(tmp_path: Path) -> None:
    (message,) = warned(tmp_path, "  http: {open: true, password_file: web.password}\n")
    assert "the password counts" in message
    assert warned(tmp_path, "  http: {open: true}\n") == []


def test_a_blank_at_the_end_of_a_password_is_warned_about(tmp_path: Path) -> None:
    file = tmp_path / "web.password"
    file.touch(0o600)
    for password, count in (("two words\n", 0), ("hunter2 \n", 1), (" hunter2", 1)):
        file.write_text(password, "ascii")
        messages = warned(tmp_path, "  http: {password_file: web.password}\n")
        assert len(messages) == count
        assert "hunter2" not in str(messages)


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", None), ("::", None)],  # noqa: S104 - not listened on
)
def test_what_to_type_into_a_browser_is_an_address_or_the_name_of_the_machine(
    host: str, shown: str | None
) -> None:
    assert HttpConfig(host, 8300).url == f"http://{shown or socket.gethostname()}:8300/"


@pytest.mark.parametrize(
    ("page", "url"),
    [
        (HttpConfig("192.168.1.5", 8300), "http://192.168.1.5:8300/"),
        (HttpConfig("fd00::5", 80), "http://[fd00::5]:80/"),
        (HttpConfig("::", hosts=("energy.example", "b")), "http://energy.example:8300/"),
        (HttpConfig("192.168.1.5", hosts=("energy.example",)), "http://energy.example:8300/"),
        (HttpConfig("::"), None),
        (HttpConfig("fe80::1%eth0"), None),
        (HttpConfig(hosts=("energy.example",)), None),
        (HttpConfig("192.168.1.5", hosts=("energy.example",), proxies=("192.168.1.6",)), None),
    ],
)
def test_what_other_machines_open_is_known_only_without_a_proxy(page: HttpConfig, url: str | None) -> None:
    assert page.url_elsewhere == url


# Mail


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("smtps://me@mail.example", ("mail.example", 465, Encryption.TLS, "me")),
        ("smtps://mail.example:1465/", ("mail.example", 1465, Encryption.TLS, None)),
        ("smtps://me@example.org@mail.example", ("mail.example", 465, Encryption.TLS, "me@example.org")),
        ("SMTP://me@mail.example", ("mail.example", 587, Encryption.STARTTLS, "me")),
        ("smtp://mail.example:25", ("mail.example", 25, Encryption.STARTTLS, None)),
        ("smtp://me@localhost", ("localhost", 587, Encryption.STARTTLS, "me")),
        ("smtp://localhost", ("localhost", 25, Encryption.NONE, None)),
        ("smtp://[::1]:2525", ("::1", 2525, Encryption.NONE, None)),
        ("smtp://127.0.0.1:587", ("127.0.0.1", 587, Encryption.NONE, None)),
    ],
)
def test_a_mail_server_is_named_by_its_url(
    tmp_path: Path, server: str, expected: tuple[str, int, Encryption, str | None]
) -> None:
    found = mail(tmp_path, server)
    assert (found.host, found.port, found.encryption, found.user) == expected


def test_all_settings_of_the_mail_are_read(tmp_path: Path) -> None:
    text = (
        "  mail:\n    server: smtps://me@mail.example\n    password_file: mail.password\n"
        "    ca_file: ca.crt\n"
        "    from: gateway@example\n    to: [a@example.org, b.c+d@example.org]\n"
    )
    assert load(tmp_path, text)[1] == MailConfig(
        "mail.example", "gateway@example", ("a@example.org", "b.c+d@example.org"), 465, Encryption.TLS, "me",
        tmp_path / "mail.password", tmp_path / "ca.crt",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("server", "part"),
    [
        ("mail.example", "smtps://USER@HOST"),
        ("mqtts://mail.example", "smtps://USER@HOST"),
        ("smtps://", "smtps://USER@HOST"),
        ("smtps://mail.example/inbox", "nothing more"),
        ("smtps://mail.example:0", "smtps://USER@HOST"),
        ("smtps://mail.example:99999", "1 to 65535"),
        ("smtps://me:hunter2@mail.example", "password_file"),
        ("smtps://me@example.org:hunter2@mail.example", "password_file"),
        ("me:hunter2@mail.example", "smtps://USER@HOST"),
    ],
)
def test_anything_but_the_url_of_a_mail_server_is_refused(tmp_path: Path, server: str, part: str) -> None:
    (message,) = errors(tmp_path, f"  mail: {{from: a@example.org, to: b@example.org, server: '{server}'}}\n")
    assert message.startswith("4: ")
    assert part in message


@pytest.mark.parametrize(
    "address",
    ["me", "me@", "@example.org", "Me <me@example.org>", "a@b@c", "a b@example.org", "a@example..org",
     "a@-example.org", "a,b@example.org", "a@example.org, b@example.org", f"{'a' * 65}@example.org",
     f"a@{'b.' * 130}org", r"a@example.org\r\nBcc: b@example.org", "mailto:a@example.org"],
)  # fmt: skip
@pytest.mark.parametrize("key", ["from", "to"])
def test_an_address_that_cannot_be_one_is_refused(tmp_path: Path, key: str, address: str) -> None:
    other = "from" if key == "to" else "to"
    (message,) = errors(
        tmp_path,
        f'  mail:\n    server: smtps://mail.example\n    {other}: x@example.org\n    {key}: "{address}"\n',
    )
    assert message.startswith("7: ")
    assert "address" in message


def test_a_mail_to_nobody_is_refused(tmp_path: Path) -> None:
    (message,) = errors(tmp_path, "  mail: {server: smtp://localhost, from: a@example.org, to: []}\n")
    assert "to is a list" in message


def test_a_user_without_password_and_a_password_without_user_are_warned_about(tmp_path: Path) -> None:
    rest = "from: a@example.org, to: b@example.org"
    (message,) = warned(tmp_path, f"  mail: {{server: smtps://me@mail.example, {rest}}}\n")
    assert "no password_file" in message
    (message,) = warned(
        tmp_path, f"  mail: {{server: smtps://mail.example, password_file: mail.password, {rest}}}\n"
    )
    assert "smtps://USER@HOST" in message


def test_certificates_that_are_missing_or_not_used_are_warned_about(tmp_path: Path) -> None:
    rest = "from: a@example.org, to: b@example.org, ca_file: ca.crt"
    (message,) = warned(tmp_path, f"  mail: {{server: smtps://mail.example, {rest}}}\n")
    assert message == "mail: ca_file names no file that can be read"
    (tmp_path / "ca.crt").touch()
    (message,) = warned(tmp_path, f"  mail: {{server: smtp://localhost, {rest}}}\n")
    assert "only with TLS" in message
