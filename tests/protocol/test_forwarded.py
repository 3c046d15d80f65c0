"""What an edge packs comes out of the message as it was, and nothing else is taken for a message."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smarty_gateway.protocol.forwarded import (
    MESSAGE_BYTES,
    MOST_BYTES,
    Forwarded,
    ForwardedFormatError,
    join,
    pack,
    unpack,
)

FORWARDED = st.builds(Forwarded, st.integers(0, 2**64 - 1), st.binary(min_size=1, max_size=80))
GOOD = pack([Forwarded(1_769_765_000_123, b"abc")])


@given(st.lists(FORWARDED, max_size=5))
@example([Forwarded(0, bytes(MOST_BYTES)), Forwarded(2**64 - 1, b"x")])
def test_what_was_packed_comes_out_as_it_was(forwarded: list[Forwarded]) -> None:
    assert unpack(pack(forwarded)) == forwarded


@given(st.lists(st.lists(FORWARDED, max_size=3), max_size=4))
def test_joined_messages_hold_what_each_held_in_the_same_order(messages: list[list[Forwarded]]) -> None:
    assert unpack(join(map(pack, messages))) == [each for message in messages for each in message]


def test_the_form_is_the_one_that_other_programs_rely_on() -> None:
    assert GOOD.hex() == "01" + f"{1_769_765_000_123:016x}" + "00000003" + "616263"


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (b"", "version"),
        (b"\x02" + GOOD[1:], "version"),
        (GOOD[:12], "cut short"),
        (GOOD[:-1], "length"),
        (GOOD + b"x", "cut short"),
        (b"\x01" + bytes(12), "length"),
        (b"\x01" + bytes(8) + (MOST_BYTES + 1).to_bytes(4, "big") + bytes(MOST_BYTES + 1), "length"),
        (GOOD * (MESSAGE_BYTES // len(GOOD) + 1), "longer"),
    ],
)
def test_a_message_of_another_form_is_refused_as_a_whole(message: bytes, what: str) -> None:
    with pytest.raises(ForwardedFormatError, match=what):
        unpack(message)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_bytes_raise_anything_else(noise: bytes, behind: bytes) -> None:
    for message in (noise, b"\x01" + noise, GOOD + noise, GOOD[: len(noise)] + behind):
        with suppress(ForwardedFormatError):
            assert pack(unpack(message)) == message
