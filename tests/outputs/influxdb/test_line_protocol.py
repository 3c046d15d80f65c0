"""A line says what it is made of, whatever stands in the names and texts of meters and users."""

import math

from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.outputs.influxdb.line_protocol import fields_of, line
from smarty_gateway.safe_text import printable
from tests.support.line_protocol import read_point

#: What has a meaning somewhere in a line is as frequent as everything else.
TEXTS = st.text(st.one_of(st.sampled_from('\\ ,="\n\r\t\0#'), st.characters()), max_size=30)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
FIELDS = st.dictionaries(st.sampled_from("abcdef"), st.one_of(TEXTS, NUMBERS), min_size=1)
TIMES = st.integers(0, 2**33)


@given(TEXTS, FIELDS, TIMES)
def test_no_name_or_text_breaks_out_of_its_place(
    name: str, fields: dict[str, float | str], time: int
) -> None:
    point = read_point(line("smarty", {"meter": name}, fields, time))
    shown = {key: printable(value) if isinstance(value, str) else value for key, value in fields.items()}
    assert (point.measurement, list(point.tags), point.fields, point.time) == (
        "smarty",
        ["meter"],
        shown,
        time,
    )


@given(TEXTS.filter(lambda text: text and "\\" not in text and text.isprintable()))
def test_a_name_without_backslashes_is_the_tag(name: str) -> None:
    assert read_point(line("smarty", {"meter": name}, {"a": 1.0}, 0)).tags == {"meter": name}


def test_a_backslash_inside_a_header_stays() -> None:
    header = "Lux5\\253663629_D"
    point = read_point(line("smarty", {"meter": header}, {"header": header}, 0))
    assert (point.tags["meter"], point.fields["header"]) == (header, header)


@given(st.one_of(st.integers(), st.floats(), st.booleans(), st.sampled_from([10**400, -(10**400)])))
def test_every_number_is_a_float_and_what_is_none_is_left_out(value: float) -> None:
    try:
        is_finite = math.isfinite(value)
    except OverflowError:
        is_finite = False
    fields = fields_of({"x": value, "list": (1,), "none": None, "text": "1"})
    assert fields == ({"x": float(value)} if is_finite else {}) | {"text": "1"}
    assert all(isinstance(each, float | str) for each in fields.values())
