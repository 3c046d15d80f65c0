"""Numbers and dates are written as people of each language write them, and browsers get theirs."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from babel.dates import format_skeleton, get_month_names
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.languages.language import CODES, accepted_language, language_of

DAYS = [date(2026, 1, 1) + timedelta(days=day) for day in range(365)]


@pytest.mark.parametrize("code", ["fr", "de"])
def test_dates_are_those_of_cldr(code: str) -> None:
    language = language_of(code)
    assert [language.day(day) for day in DAYS] == [
        format_skeleton("yMMMEd", day, locale=code) for day in DAYS
    ]
    assert language.month_names() == tuple(get_month_names("wide", locale=code).values())


def test_english_dates_have_the_day_before_the_month() -> None:
    english = language_of("en")
    assert english.day(date(2026, 11, 21)) == "Sat 21 Nov 2026"
    assert english.month(date(2026, 11, 21)) == "November 2026"


@pytest.mark.parametrize(
    ("value", "decimals", "english", "german"),
    [
        (None, 3, "", ""),
        (1.5, 2, "1.50", "1,50"),
        (-1.25, 1, "\u22121.2", "\u22121,2"),
        (-0.0004, 3, "0.000", "0,000"),
        (9999, 0, "9999", "9999"),
        (Decimal("12345.678"), 3, "12\u202f345.678", "12\u202f345,678"),
        (-1234567, 0, "\u22121\u202f234\u202f567", "\u22121\u202f234\u202f567"),
    ],
)
def test_a_number_has_the_decimal_sign_of_its_language(
    value: float | Decimal | None, decimals: int, english: str, german: str
) -> None:
    assert language_of("en").number(value, decimals) == english
    assert language_of("de").number(value, decimals) == german


def test_a_number_and_its_unit_stay_in_one_line() -> None:
    assert language_of("fr").quantity(Decimal("0.5"), 3, "kW") == "0,500\u00a0kW"
    assert language_of("fr").quantity(None, 3, "kW") == ""


def test_times_have_two_digits_everywhere() -> None:
    at = datetime(2026, 11, 21, 7, 5, 9, tzinfo=UTC)
    assert {language_of(code).time(at) for code in CODES} == {"07:05"}
    assert {language_of(code).time(at, seconds=True) for code in CODES} == {"07:05:09"}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("fr-LU,fr;q=0.9,de;q=0.5", "fr"),
        ("de-DE;q=0.5, fr;q=0.9", "fr"),
        ("lb, de;q=0.8, en;q=0.5", "de"),
        ("nl-BE, nl", "en"),
        ("fr;q=0, de;q=0.1", "de"),
        ("fr;q=0", "en"),
        ("fr;q=nan", "en"),
        ("", "en"),
        ("*", "en"),
    ],
)
def test_a_browser_gets_the_language_that_it_prefers(header: str, code: str) -> None:
    assert accepted_language(header).code == code


@given(st.text(max_size=60))
def test_any_header_gets_some_language(header: str) -> None:
    assert accepted_language(header).code in CODES


def test_a_language_that_is_not_there_is_english() -> None:
    assert language_of("../../etc").code == "en"
