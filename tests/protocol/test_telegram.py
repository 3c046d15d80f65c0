"""A telegram is cut into the lines that its meter wrote, whichever line ends they have."""

import pytest

from smarty_gateway.protocol.telegram import parse_telegram


def lines(text: bytes) -> tuple[str, list[str]]:
    found = parse_telegram(text)
    assert found is not None
    return found.split()


@pytest.mark.parametrize("ends", [
    b"\r\n|\r\n|\r\n|\r\n", b"\n|\n|\n|\n", b"\r\n|\r\n|\r\n|\n", b"\r\n|\r\n|\n|\r\n", b"\r\n|\n|\r\n|\r\n",
    b"\n|\r\n|\r\n|\r\n", b"\n|\n|\n|\r\n", b"\r\n|\n|\n|\n",
])  # fmt: skip
def test_each_line_may_end_with_or_without_a_carriage_return(ends: bytes) -> None:
    header, empty, first, last = ends.split(b"|")
    text = b"/FLU5" + header + empty + b"1-0:1.8.0(1)" + first + b"1-0:2.8.0(2)" + last + b"!\r\n"
    assert lines(text) == ("FLU5", ["1-0:1.8.0(1)", "1-0:2.8.0(2)"])


@pytest.mark.parametrize("at", range(4))
def test_a_carriage_return_inside_a_line_stays_where_all_lines_end_with_both(at: int) -> None:
    whole = [b"/FLU5", b"", b"1-0:1.8.0(1)", b"1-0:2.8.0(2)"]
    whole[at] += b"\rx"
    header, found = lines(b"\r\n".join(whole) + b"\r\n!\r\n")
    # In the last line it cannot be told from a line end of another kind, so all are removed.
    assert [header, *found] == [
        line.decode().replace("\r", "" if at == 3 else "\r").lstrip("/") for line in whole if line
    ]


def test_a_telegram_without_any_line_has_a_header_only() -> None:
    assert lines(b"/FLU5\r\n!\r\n") == ("FLU5", [])
    assert lines(b"/FLU5\n!\n") == ("FLU5", [])
