"""Text of a meter, a file or a user goes to topics, ids and terminals, and harms none of them."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smarty_gateway.protocol.key_text import HEX_SEPARATORS
from smarty_gateway.safe_text import object_id, printable, topic_part, without_keys

#: Any text, with surrogates, and with what hypothesis would seldom try.
TEXTS = st.text(
    st.one_of(
        st.characters(), st.characters(categories=["Cc", "Cs", "Zs"]), st.sampled_from("/+#$\ufdd0\ufffe")
    )
)


@given(TEXTS)
@example("")
@example("\U0010ffff")
@example("é" * 100)
def test_any_name_becomes_a_legal_level_of_a_topic(name: str) -> None:
    """By MQTT 3.1.1, 4.7.3 and 1.5.3, with everything that a server may close the connection for."""
    part = topic_part(name)
    assert 1 <= len(part) <= 64
    assert part.encode("utf-8")
    assert not set(part) & set("/+#$")
    for character in part:
        assert not character.isspace()
        assert unicodedata.category(character) not in ("Cc", "Cs")
        assert not 0xFDD0 <= ord(character) <= 0xFDEF
        assert ord(character) & 0xFFFE != 0xFFFE


@given(st.text("abcXYZ019-_.éß日:", min_size=1, max_size=64))
def test_a_name_that_is_legal_stays_as_it_is(name: str) -> None:
    assert topic_part(name) == name


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("a b/c+d#e", "a_b_c_d_e"),
        ("$SYS", "_SYS"),
        ("a\x00\x85\u2003z", "a___z"),
        ("", "_"),
        ("ab" * 99, "ab" * 32),
    ],
)
def test_what_is_not_legal_becomes_an_underscore(name: str, part: str) -> None:
    assert topic_part(name) == part


@given(TEXTS)
def test_any_text_can_be_a_part_of_an_id(text: str) -> None:
    assert len(object_id(text)) == len(text)
    assert not set(object_id(text)) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


@given(TEXTS)
@example("\x1b[2J\x9b31m\x07\r\n\u202e")
def test_any_text_can_be_shown(text: str) -> None:
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("text", "shown"), [("42 m³ · €", "42 m³ · €"), ("a\x1b\x9b", "a\\x1b\\x9b"), (7, "7")]
)
def test_what_cannot_be_seen_is_shown_escaped_and_nothing_else(text: object, shown: str) -> None:
    assert printable(text) == shown


@given(
    digits=st.text("0123456789abcdefABCDEF", min_size=24, max_size=40),
    group=st.integers(1, 40),
    separator=st.sampled_from(["", " ", ":", "-", ", ", " 0x", "\\x", "\xa0", "\u2011", "\u200b"]),
    before=st.sampled_from(["", "decode: ", "'", "mqtt://", "/home/me/"]),
    behind=st.sampled_from(["", ": No such file", "'", ".bin", f" {'5f' * 32}"]),
)
def test_a_key_in_an_error_is_not_shown_however_it_is_written(
    digits: str, group: int, separator: str, before: str, behind: str
) -> None:
    key = separator.join(digits[at : at + group] for at in range(0, len(digits), group))
    shown = without_keys(f"{before}{key}{behind}")
    assert digits not in HEX_SEPARATORS.sub("", shown)
    assert "a key is never an argument" in shown
    assert ("5f" * 32 in behind) == ("5f" * 32 in shown)


@pytest.mark.parametrize(
    "typed", [["0F1E2D3C 4B5A6978", "8796A5B4"], ["--keys=0F1E2D3C", "4B5A6978", "8796A5B4"]]
)
def test_no_part_of_a_key_that_is_several_arguments_is_shown(typed: list[str]) -> None:
    for part in ("0F1E2D3C", "4B5A6978", "8796A5B4"):
        assert part not in without_keys(f"{part}: No such file", typed)
    assert without_keys("beef: No such file", [*typed, "--", "beef"]) == "beef: No such file"


def test_words_without_a_key_stay_as_they_are() -> None:
    words = "/home/me/recording of 2026-11-21 07-30.bin: No such file"
    assert without_keys(words, ["decode", words, "--seed", "123456789"]) == words
