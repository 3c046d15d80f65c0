"""Which address shows which page, and what is answered where there is none."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import pytest

from smarty_gateway import __version__
from smarty_gateway.charts.style import STYLE
from smarty_gateway.web.routes import application
from tests.support.site import OWN_NAME, UNNAMED, Site, damage, write_days
from tests.support.views import config_of

PAGES = [
    "/", "/health", "/meters/house/", "/meters/house/?hours=48", "/meters/house/live", "/meters/barn/",
    f"/meters/{UNNAMED}/", "/meters/shed/", "/meters/house/day", "/meters/house/month", "/meters/house/year",
    "/meters/house/day/2026-10-25", "/meters/house/month/2026-10", "/meters/house/year/2026",
    "/meters/shed/year/2099", "/meters/barn/day", "/meters/house/bill", "/meters/barn/bill",
]  # fmt: skip
NOT_FOUND = [
    "/nowhere", "/meters/nobody/", "/meters/HOUSE/", "/meters/nobody/day", "/meters/house/day/2026-02-30",
    "/meters/house/day/1999-12-31", "/meters/house/day/2100-01-01", "/meters/house/day/20261025",
    "/meters/house/day/2026-10", "/meters/house/month/2026-13", "/meters/house/year/%D9%A2%D9%A0%D9%A2%D9%A6",
    "/meters/house/year/today", "/meters/house/week/2026-10", "/meters/house/day/2026-10-25/more",
    f"/meters/{OWN_NAME}/", "/meters/hou%FFse/", "/static/../routes.py", "/static/base.html", "/favicon.ico",
]  # fmt: skip


@pytest.mark.parametrize("address", PAGES)
def test_each_address_shows_its_page(site: Site, address: str) -> None:
    answer = site.ask(address)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Vary"] == "Accept-Language"
    assert OWN_NAME not in answer.text


@pytest.mark.parametrize("address", NOT_FOUND)
def test_an_address_without_a_page_says_so(site: Site, address: str) -> None:
    answer = site.ask(address)
    assert answer.status == 404
    assert "<h1>" in answer.text


@pytest.mark.parametrize("address", ["/", "/nowhere", "/metrics"])
def test_a_header_that_is_no_text_is_no_error(site: Site, address: str) -> None:
    assert site.ask(address, accept_language="fr\xff", accept="\xff").status in {200, 404}


def test_what_is_wrong_is_said_in_the_language_of_the_reader(site: Site) -> None:
    answer = site.ask("/meters/nobody/", accept_language="fr-LU,fr;q=0.9")
    assert '<html lang="fr">' in answer.text
    assert answer.headers["Vary"] == "Accept-Language"


@pytest.mark.slow
@pytest.mark.parametrize("address", PAGES + NOT_FOUND[:4])
def test_every_link_of_a_page_leads_to_something_below_any_path(site: Site, address: str) -> None:
    prefix = "https://a.example/some/path"
    for link in set(re.findall(r'(?:href|src)="([^"#]+)', site.ask(address).text)):
        assert not re.match(r"[a-z]+:|/", link), link
        target = urljoin(prefix + address, unescape(link))
        assert target.startswith(f"{prefix}/"), link
        assert site.ask(target.removeprefix(prefix)).status in {200, 308}, link


@pytest.mark.parametrize("hours", ["0", "25", "-24", "24h", "", "%D9%A2%D9%A4"])
def test_a_question_that_makes_no_sense_is_refused(site: Site, hours: str) -> None:
    assert site.ask(f"/meters/house/?hours={hours}").status == 400


def test_the_first_page_shows_the_only_meter_at_once() -> None:
    site = Site(config=config_of("house"))
    page = site.ask("/meters/house/").text
    assert re.findall("<h1>.*</h1>", site.ask("/").text) == re.findall("<h1>.*</h1>", page)


@pytest.mark.parametrize(
    ("address", "to"),
    [
        ("/meters/house", "/meters/house/"),
        ("/health/", "/health"),
        ("/meters/house/day/2026-10-25/", "/meters/house/day/2026-10-25"),
        ("/meters/house/bill/?x=1", "/meters/house/bill?x=1"),
        ("/api/v1/meters/", "/api/v1/meters"),
    ],
)
def test_a_slash_too_many_or_too_few_leads_to_the_page_below_any_path(
    site: Site, address: str, to: str
) -> None:
    answer = site.ask(address)
    assert answer.status == 308
    prefix = "https://a.example/some/path"
    assert urljoin(prefix + address, answer.headers["Location"]) == prefix + to


def test_no_redirect_leads_to_another_host(site: Site) -> None:
    for address in (
        "//b.example/",
        "//b.example",
        "/\\b.example/",
        "/meters//b.example",
        "/https://b.example/",
    ):
        location = site.ask(address).headers.get("Location", "")
        assert urljoin("https://a.example/", location).startswith("https://a.example/"), address


def test_head_gets_the_headers_of_the_page(site: Site) -> None:
    got, headers = site.ask("/meters/house/live"), site.ask("/meters/house/live", "HEAD")
    assert (headers.status, headers.body) == (200, b"")
    assert headers.headers["Content-Type"] == got.headers["Content-Type"]


@pytest.mark.parametrize("name", ["page.css", "charts.css", "live.js", "charts.js", "icon.svg"])
def test_a_file_with_the_version_in_its_address_is_kept_for_a_year(site: Site, name: str) -> None:
    old, new = site.ask(f"/static/{name}?v=0.0.0"), site.ask(f"/static/{name}?v={__version__}")
    assert old.body == new.body != b""
    assert old.headers["Cache-Control"] == "no-cache"
    assert "max-age=31536000" in new.headers["Cache-Control"]
    assert re.match("text/(css|javascript)|image/svg", new.headers["Content-Type"])


def test_the_styles_of_the_charts_are_those_of_the_pictures(site: Site) -> None:
    assert site.ask("/static/charts.css").text == STYLE


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Return a site whose history is damaged, which is seen only when it is read."""
    folder = tmp_path_factory.mktemp("state")
    write_days(folder)
    damage(folder)
    site = Site(folder)
    site.send()
    return site


@pytest.mark.parametrize(
    "address", ["/", "/meters/house/", "/meters/house/day", "/meters/house/bill", "/health"]
)
def test_a_history_that_is_damaged_costs_only_itself(damaged: Site, address: str) -> None:
    assert damaged.ask(address).status == 200


@pytest.mark.parametrize(
    "address", ["/", "/meters/house/", "/meters/house/year", "/meters/house/bill", "/health"]
)
def test_a_history_that_is_no_database_costs_only_itself(tmp_path: Path, address: str) -> None:
    (tmp_path / "history.sqlite3").write_bytes(b"no database" * 1000)
    assert Site(tmp_path).ask(address).status == 200


@pytest.mark.parametrize("address", ["/", "/meters/house/", "/meters/house/month", "/meters/house/bill"])
def test_without_a_history_the_pages_say_so(address: str) -> None:
    assert Site().ask(address).status == 200


def test_a_watchdog_and_monitoring_are_answered(site: Site) -> None:
    site.send()
    assert (site.ask("/livez").status, site.ask("/livez").body) == (200, b"ok\n")
    answer = site.ask("/healthz")
    assert answer.status == 503
    assert answer.json["outputs"] == {"mqtt": "offline"}


def test_who_has_no_password_learns_no_details(site: Site) -> None:
    unguarded = application(site.state)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/healthz", "QUERY_STRING": ""}
    assert b"".join(unguarded(environ, lambda *_: None)) == b""
