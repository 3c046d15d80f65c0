"""`report` writes and mails what `history show` prints."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from smarty_gateway.config.extras import installation
from smarty_gateway.pages.site import environment
from tests.support.brokers import Authority, free_port
from tests.support.commands import ROOT, SAMPLE_KEYS, smarty_gateway
from tests.support.histories import boundaries, second_of, write_history
from tests.support.mail_server import PASSWORD, USER, MailServer

AUTUMN = second_of("2026-10-25")
MONTH = ("--month", "2026-10")
METERS = "meters: [{name: house, source: /dev/ttyS0, reference_power: 3, tariff: lu}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a configuration, and the history of the day on which clocks are set back."""
    (tmp_path / "gateway.yaml").write_text(METERS, "utf-8")
    write_history(tmp_path / "state", "house", boundaries(AUTUMN, 100, energy=800, export=50))
    return tmp_path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Make a CA."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def server(authority: Authority, folder: Path) -> Iterator[MailServer]:
    """Start a mail server that the configuration names."""
    with MailServer(authority.issue("server")) as found:
        configure(folder, f"smtps://{USER}@localhost:{found.port}", authority.file)
        yield found


def configure(folder: Path, url: str, ca_file: Path) -> None:
    """Name a mail server in the configuration."""
    password = folder / "mail.password"
    password.write_text(f"{PASSWORD}\n", "ascii")
    password.chmod(0o600)
    settings = (
        "from: gateway@example.org, to: [me@example.org, you@example.org], password_file: mail.password"
    )
    output = f"outputs:\n  mail: {{server: {url!r}, ca_file: {ca_file}, {settings}}}\n"
    (folder / "gateway.yaml").write_text(METERS + output, "utf-8")


def report(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    done = smarty_gateway("report", *arguments, "--state", "state", folder=folder)
    assert PASSWORD.encode() not in done.stdout + done.stderr
    return done


def printed(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Return what `history show` prints."""
    done = smarty_gateway("history", *arguments, "--format", "json", "--state", "state", folder=folder)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Page(HTMLParser):
    """Collects of HTML what a reader sees in cells, and whatever may ask another host."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self._is_cell = False
        self.feed(html)
        self.cells = [" ".join(cell.split()) for cell in self.cells]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a tag."""
        self.tags.append(tag)
        self.sources += [str(value) for name, value in attrs if name in {"src", "href", "data", "action"}]
        self._is_cell = tag in {"td", "th", "dd", "b"}
        if self._is_cell:
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        """Take a text."""
        if self._is_cell:
            self.cells[-1] += data


def test_without_a_range_it_is_the_last_whole_day(folder: Path) -> None:
    done = report(folder)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"nothing is known of 20" in done.stderr
    assert b"the history holds house from 2026-10-25 00:00 to 2026-10-26 00:00" in done.stderr
    assert list(folder.glob("*.html")) == []


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("--day", "2026-10-25"), "house-2026-10-25.html"),
        (MONTH, "house-2026-10.html"),
        (("house", "--year", "2026"), "house-2026.html"),
        (("--month", "2026-10", "--output", "october.html"), "october.html"),
    ],
    ids=["day", "month", "year", "named"],
)
def test_a_report_is_one_file_that_is_named_after_meter_and_date(
    folder: Path, arguments: tuple[str, ...], name: str
) -> None:
    done = report(folder, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", f"{name} is written\n".encode())
    page = Page((folder / name).read_text("utf-8"))
    assert "svg" in page.tags
    assert {"script", "link", "img", "a"} & set(page.tags) == set()
    assert page.sources == []


def test_a_report_shows_the_name_of_the_configuration_and_its_file_has_that_of_topics(folder: Path) -> None:
    (folder / "gateway.yaml").write_text(METERS.replace("house", "summer house"), "utf-8")
    write_history(folder / "state", "summer_house", boundaries(AUTUMN, 100))
    assert report(folder, "summer_house", *MONTH).returncode == 0
    assert "<h1>summer house, October 2026</h1>" in (folder / "summer_house-2026-10.html").read_text("utf-8")


def test_a_report_asks_no_other_host_also_not_from_its_styles(folder: Path) -> None:
    html = report(folder, *MONTH, "--output", "-").stdout.decode()
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/)", html)
    assert "default-src 'none'" in html


def test_a_report_has_the_numbers_that_history_show_prints(folder: Path) -> None:
    page = Page(report(folder, "--day", "2026-10-25", "--output", "-").stdout.decode())
    rows = printed(folder, "house", "--day", "2026-10-25")
    assert len(rows) == 100
    for row in rows:
        assert f"{row['import']:.3f}" in page.cells
    (day,) = printed(folder, "house", "--day", "2026-10-25", "--by", "day")
    for name in ("import", "export", "excess"):
        assert f"{day[name]:.3f} kWh" in page.cells


def test_a_month_has_what_a_bill_names(folder: Path) -> None:
    cells = Page(report(folder, *MONTH, "--output", "-").stdout.decode()).cells
    (cost,) = printed(folder, "house", *MONTH, "--cost", "--by", "month")
    assert f"{cost['cost_added']:.2f} EUR" in cells
    (peak,) = printed(folder, "peaks", *MONTH)
    assert f"{peak['power']:.3f}" in cells


def test_a_month_has_the_registers_at_its_beginning_and_its_end(folder: Path) -> None:
    begin, end = second_of("2026-10-01"), second_of("2026-11-01")
    write_history(folder / "state", "barn", boundaries(begin, (end - begin) // 900 + 50))
    cells = Page(report(folder, "barn", *MONTH, "--output", "-").stdout.decode()).cells
    rows = printed(folder, "registers", "barn", "--from", "2026-10-01", "--to", "2026-11-02")
    first, last = rows[0]["import"], rows[-1]["import"]
    pairs = list(pairwise(cells))
    assert ("Thu 1 Oct 2026 00:00", f"{first:.3f}") in pairs
    assert ("Sun 1 Nov 2026 00:00", f"{last:.3f}") in pairs


@pytest.mark.parametrize(("name", "begin"), [("a.svg", b"<svg"), ("a.png", b"\x89PNG\r\n\x1a\n")])
def test_a_report_of_one_meter_can_be_a_picture(folder: Path, name: str, begin: bytes) -> None:
    assert report(folder, *MONTH, "--output", name).returncode == 0
    assert (folder / name).read_bytes().startswith(begin)
    assert report(folder, *MONTH, "--output", name).returncode == 0  # it may replace itself
    write_history(folder / "state", "garage", boundaries(AUTUMN, 100))
    done = report(folder, *MONTH, "--output", name)
    assert (done.returncode, done.stderr) == (
        2,
        b"smarty-gateway: a picture shows one meter; name one of: garage, house\n",
    )


def test_all_meters_are_reported_that_have_something_and_what_is_simulated_says_so(folder: Path) -> None:
    write_history(folder / "state", "garage", boundaries(AUTUMN, 100), is_simulated=True)
    write_history(folder / "state", "barn", boundaries(AUTUMN - 40 * 86_400, 10))
    assert report(folder, *MONTH).stderr == b"report-2026-10.html is written\n"
    html = (folder / "report-2026-10.html").read_text("utf-8")
    assert re.findall(r'<h2 class="meter">(.*?)</h2>', html) == ["garage", "house"]
    assert html.count("Simulated: nobody has measured this.") == 1


def test_a_meter_without_a_name_is_not_shown_by_its_serial_number(folder: Path) -> None:
    write_history(folder / "state", "SAG1030700012345", boundaries(AUTUMN, 100))
    assert report(folder, "SAG1030700012345", *MONTH).stderr == b"electricity-2345-2026-10.html is written\n"
    assert "0700012345" not in (folder / "electricity-2345-2026-10.html").read_text("utf-8")


@pytest.mark.parametrize("name", ["mine.html", "mine.svg", "mine.png"])
def test_no_file_is_replaced_that_is_no_report(folder: Path, name: str) -> None:
    (folder / name).write_text("<p>my own page", "ascii")
    done = report(folder, *MONTH, "--output", name)
    assert done.returncode == 2
    assert f"{name} is there, and is no report: remove it, or choose another file" in done.stderr.decode()
    assert (folder / name).read_text("ascii") == "<p>my own page"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("--day", "today", "--last", "month"), 2, "only one of --day, --month, --year and --last"),
        (("--day", "today", *MONTH), 2, "only one of --day, --month, --year and --last"),
        (("--month", "2026-13"), 2, "--month '2026-13' is not a month such as 2026-10"),
        (("--last", "week"), 2, "invalid choice: 'week'"),
        (("--language", "nl"), 2, "invalid choice: 'nl'"),
        ((*MONTH, "--output", "a.pdf"), 2, "nor a .png file, nor -; for a PDF print the .html file"),
        ((*MONTH, "--output", "missing/a.html"), 2, "missing/a.html cannot be written: No such file"),
        (("hous",), 2, "did you mean house?"),
        (("--from", "2026-10-25"), 2, "no option --from"),
        (("--password", "secret"), 2, "a password is never an argument"),
        ((*MONTH, "--mail"), 78, "--mail needs a mail server; write below outputs: in gateway.yaml: mail: {"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_one_line_that_says_what_to_type(
    folder: Path, arguments: tuple[str, ...], status: int, words: str
) -> None:
    done = report(folder, *arguments)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (status, b"", 1)
    assert words in done.stderr.decode()


def test_what_to_write_for_a_mail_server_is_a_good_configuration(folder: Path) -> None:
    found = re.search(r"mail: \{.*?\}", report(folder, *MONTH, "--mail").stderr.decode())
    assert found is not None
    password = folder / "mail.password"
    password.write_text("secret", "ascii")
    password.chmod(0o600)
    (folder / "gateway.yaml").write_text(f"{METERS}outputs:\n  {found[0]}\n", "utf-8")
    assert b"mail" not in smarty_gateway("check", folder=folder).stderr


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "en"),
        ({"LANG": "de_LU.UTF-8"}, "de"),
        ({"LANG": "de_LU.UTF-8", "LC_MESSAGES": "fr_FR"}, "fr"),
        ({"LANG": "de_LU.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "pt_PT@euro"}, "en"),
    ],
    ids=str,
)
def test_the_language_is_that_of_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], code: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert f'<html lang="{code}">' in report(folder, *MONTH, "--output", "-").stdout.decode()
    assert '<html lang="fr">' in report(folder, *MONTH, "--output", "-", "--language", "fr").stdout.decode()


def parts(message: EmailMessage) -> tuple[str, str, bytes]:
    """Return text, HTML and picture of a mail."""
    text, related = message.iter_parts()
    html, picture = related.iter_parts()
    assert isinstance(picture, EmailMessage)
    assert f'"cid:{picture["Content-ID"][1:-1]}"' in html.get_content()
    return text.get_content(), html.get_content(), picture.get_content()


def test_a_mail_has_the_numbers_that_history_show_prints_as_text_as_html_and_as_a_picture(
    folder: Path, server: MailServer
) -> None:
    done = report(folder, "--day", "2026-10-25", "--mail")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr == b"the report is sent to me@example.org, you@example.org\n"
    assert list(folder.glob("*.html")) == []
    mail = server.read_mail()
    text, html, picture = parts(mail)
    assert picture.startswith(b"\x89PNG")
    (day,) = printed(folder, "house", "--day", "2026-10-25", "--by", "day")
    values = [f"{day[name]:.3f} kWh" for name in ("import", "export", "excess")]
    assert mail["Subject"] == f"house, Sun 25 Oct 2026: Import {values[0]}"
    beginning = "\n".join(text.replace("\r", "").splitlines()[:8])
    assert all(value in beginning for value in values)
    assert all(value in Page(html).cells for value in values)
    assert max(map(len, text.splitlines())) <= 78
    for row in printed(folder, "house", "--day", "2026-10-25", "--by", "hour"):
        assert f"{row['import']:.3f}" in text


def test_the_html_of_a_mail_has_nothing_that_mail_programs_remove(folder: Path, server: MailServer) -> None:
    report(folder, *MONTH, "--mail")
    page = Page(parts(server.read_mail())[1])
    assert {"style", "svg", "script", "link"} & set(page.tags) == set()
    assert all(source.startswith("cid:") for source in page.sources)


def test_a_mail_and_a_file_can_be_made_at_once(folder: Path, server: MailServer) -> None:
    assert report(folder, *MONTH, "--mail", "--output", "october.html").returncode == 0
    assert (folder / "october.html").exists()
    assert len(server.mails) == 1


def test_a_time_of_which_nothing_is_known_is_not_mailed(folder: Path, server: MailServer) -> None:
    done = report(folder, "--day", "2026-10-20", "--mail")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"nothing is known of 2026-10-20" in done.stderr
    assert server.mails == []


def test_a_recipient_that_is_refused_is_said_and_the_others_get_the_mail(
    folder: Path, authority: Authority
) -> None:
    with MailServer(authority.issue("server"), refuses={"you@example.org": "550 no such user"}) as server:
        configure(folder, f"smtps://{USER}@localhost:{server.port}", authority.file)
        done = report(folder, *MONTH, "--mail")
    assert done.stderr.decode().splitlines() == [
        "the report is sent to me@example.org",
        f"the mail server localhost:{server.port} accepts no mail to you@example.org: 550 no such user",
    ]
    assert done.returncode == 0


def test_a_mail_server_that_is_away_is_exit_status_1_so_that_a_timer_tries_again(
    folder: Path, authority: Authority
) -> None:
    configure(folder, f"smtps://{USER}@localhost:{free_port()}", authority.file)
    done = report(folder, *MONTH, "--mail")
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"refuses the connection: check server: below mail: in gateway.yaml" in done.stderr


def test_without_cairo_a_mail_has_no_picture_and_says_so(
    folder: Path, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cairosvg", None)
    done = report(folder, *MONTH, "--mail")
    assert done.returncode == 0
    line = f"the mail has no picture: pictures need the extra plot; type: {installation('plot')}\n"
    assert line.encode() in done.stderr
    text, html = server.read_mail().iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert "<img" not in html.get_content()


def test_a_password_that_systemd_passes_takes_the_place_of_a_file_that_only_root_reads(
    folder: Path, server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = folder / "credentials"
    credentials.mkdir()
    (folder / "mail.password").rename(credentials / "mail.password")
    assert report(folder, *MONTH, "--mail").returncode == 78
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert report(folder, *MONTH, "--mail").returncode == 0
    assert len(server.mails) == 1


def test_the_gateway_runs_without_the_password_of_the_mail_server(folder: Path) -> None:
    mail = "{server: 'smtps://me@localhost', password_file: missing, from: a@b.example, to: a@b.example}"
    meters = f"meters: [{{name: house, source: {ROOT}/vectors/sample.bin}}]\nkeys: sample.keys.yaml\n"
    Path(shutil.copy(SAMPLE_KEYS, folder / "sample.keys.yaml")).chmod(0o600)
    (folder / "gateway.yaml").write_text(f"{meters}outputs:\n  stdout: {{}}\n  mail: {mail}\n", "utf-8")
    done = smarty_gateway("run", "--state", "run", folder=folder)
    assert done.returncode == 0
    assert b"energy_import" in done.stdout
    done = smarty_gateway("check", folder=folder)
    assert done.returncode == 78
    assert b"mail: the password_file cannot be read" in done.stderr


def test_without_the_extra_one_line_says_what_to_type(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    environment.cache_clear()
    done = report(folder, *MONTH)
    assert (done.returncode, done.stdout) == (2, b"")
    line = f"smarty-gateway: reports need the extra web; type: {installation('web', 'plot')}\n"
    assert done.stderr == line.encode()
    assert list(folder.glob("*.html")) == []
