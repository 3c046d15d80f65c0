"""Everything that people read is there in French and in German, and the program reads what people wrote."""

from collections.abc import Iterator
from string import Formatter

import pytest
from babel.messages.catalog import Message

from tests.languages.catalogues import (
    COMMAND,
    TRANSLATED,
    collected,
    is_translated,
    mo_data,
    mo_file,
    po_file,
    updated,
    written,
)

pytestmark = pytest.mark.parametrize("code", TRANSLATED)


def messages(code: str) -> list[Message]:
    """Return the messages of a catalogue without its head."""
    return [message for message in written(code) if message.id]


def pairs(code: str) -> Iterator[tuple[str, str]]:
    """Yield each message with each of its translations."""
    for message in messages(code):
        if isinstance(message.id, str):
            yield message.id, str(message.string)
        else:
            yield from ((message.id[1], translation) for translation in message.string or ())


def fields(text: str) -> set[tuple[str, str | None]]:
    """Return the fields of a message with how they are written."""
    return {(name, form) for _, name, form, _ in Formatter().parse(text) if name is not None}


def test_a_catalogue_has_each_message_and_no_other(code: str) -> None:
    known = {message.id for message in messages(code)}
    missing, gone = collected().keys() - known, known - collected().keys()
    assert (missing, gone) == (set(), set()), f"type {COMMAND}, and translate what is new in {po_file(code)}"


def test_each_message_is_translated(code: str) -> None:
    missing = [message.id for message in messages(code) if not is_translated(message)]
    assert missing == [], f"translate these in {po_file(code)}, remove `fuzzy`, and type {COMMAND}"


def test_a_translation_has_the_fields_and_the_blanks_of_its_message(code: str) -> None:
    wrong = [
        (message, translation)
        for message, translation in pairs(code)
        if fields(translation) != fields(message)
        or [text[:1].isspace() for text in (message, message[::-1])]
        != [text[:1].isspace() for text in (translation, translation[::-1])]
    ]
    assert wrong == [], f"correct these in {po_file(code)}, and type {COMMAND}"


def test_the_program_reads_what_people_wrote(code: str) -> None:
    assert mo_file(code).read_bytes() == mo_data(updated(code)), f"type {COMMAND}"
