"""Sentences, times and names of the history in the reader's language."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from gettext import NullTranslations
from typing import Final

import pytest

from smarty_gateway.history.rows import By
from smarty_gateway.history.sentences import Sentence
from smarty_gateway.languages.language import Language, language_of
from smarty_gateway.pages.history_words import (
    address_of,
    device_name,
    percent,
    register_name,
    time_of,
    title_of,
    translated,
)
from tests.support.histories import ZONE, second_of


class Translations(NullTranslations):
    """A catalogue of two sentences."""

    def gettext(self, message: str) -> str:
        """Return a message in German."""
        return {
            "{level:g} kW costs {cost:.2f}: {reasons}.": "{cost:.2f} kostet {level:g} kW: {reasons}.",
            "since {day}": "seit {day}",
        }.get(message, message)


GERMAN: Final[Language] = replace(language_of("de"), translations=Translations())
ENGLISH: Final = language_of("en")


def test_a_sentence_is_translated_with_all_that_is_inside() -> None:
    sentence = Sentence(
        "{level:g} kW costs {cost:.2f}: {reasons}.",
        level=4.5,
        cost=Decimal("12.345"),
        reasons=(Sentence("since {day}", day=date(2026, 11, 21)), "lu 1.5"),
    )
    day = GERMAN.day(date(2026, 11, 21))
    assert translated(sentence, GERMAN) == f"12,34 kostet 4,5 kW: seit {day}, lu 1.5."


def test_a_share_in_a_sentence_is_written_like_any_other() -> None:
    sentence = Sentence("{covered:.0%} is known", covered=0.85)
    assert translated(sentence, ENGLISH) == "85\u00a0% is known"


def test_any_other_text_stays() -> None:
    assert translated("1.5 {x}", GERMAN) == "1.5 {x}"


@pytest.mark.parametrize(
    ("by", "title", "address"),
    [
        (By.DAY, "Sat 21 Nov 2026", "day/2026-11-21"),
        (By.MONTH, "November 2026", "month/2026-11"),
        (By.YEAR, "2026", "year/2026"),
    ],
)
def test_a_span_has_a_title_and_an_address(by: By, title: str, address: str) -> None:
    day = date(2026, 11, 21)
    assert (title_of(by, day, ENGLISH), address_of(by, day)) == (title, address)


def test_a_time_has_its_offset_in_the_repeated_hour_only() -> None:
    first = second_of("2026-10-25T02:15")
    times = [time_of(first + hours * 3600, ZONE, ENGLISH) for hours in (-1, 0, 1, 2)]
    assert times == ["01:15", "02:15 +02:00", "02:15 +01:00", "03:15"]


def test_a_share_is_rounded_down_so_that_all_is_all() -> None:
    assert (percent(0.99999, ENGLISH), percent(1.0, GERMAN)) == ("99.9\u00a0%", "100,0\u00a0%")


@pytest.mark.parametrize(
    ("column", "name"),
    [("gas", "Gas"), ("gas_2", "Gas 2"), ("warm_water", "Warm water"), ("device_15", "device_15")],
)
def test_a_device_is_named_by_what_it_counts(column: str, name: str) -> None:
    assert device_name(column, ENGLISH) == name


@pytest.mark.parametrize(
    ("register", "name"),
    [
        ("import", "Import"),
        ("export_t2", "Export tariff 2"),
        ("reactive_import", "Reactive import"),
        ("energy_combined", "energy_combined"),
    ],
)
def test_a_register_is_named_in_words(register: str, name: str) -> None:
    assert register_name(register, ENGLISH) == name
