"""A sentence is an English text for the command line, and has all that a translation needs."""

from datetime import date
from decimal import Decimal

from smarty_gateway.history.sentences import Sentence


def test_a_sentence_is_its_english_text() -> None:
    assert Sentence("{level:g} kW since {day}", level=7.0, day=date(2026, 1, 2)) == "7 kW since 2026-01-02"


def test_several_values_are_listed() -> None:
    inner = Sentence("price {name}", name="night")
    assert Sentence("Doubtful: {all}.", all=(inner, "VAT")) == "Doubtful: price night, VAT."


def test_a_value_is_never_read_as_a_form() -> None:
    assert Sentence("Tariff {file}.", file="{0}{name}") == "Tariff {0}{name}."


def test_a_sentence_keeps_form_and_values() -> None:
    sentence = Sentence("{cost:.2f} EUR", cost=Decimal("1.005"))
    assert (sentence.form, sentence.values) == ("{cost:.2f} EUR", {"cost": Decimal("1.005")})
