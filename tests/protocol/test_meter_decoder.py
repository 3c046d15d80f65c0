"""A decoder that remembers a meter's telegram gives what one without memory gives, and reads less."""

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from smarty_gateway.outputs.json_lines import to_json
from smarty_gateway.protocol.decoder import DecodedTelegram, decode
from smarty_gateway.protocol.meter_decoder import MeterDecoder
from smarty_gateway.protocol.telegram import parse_telegram
from vectors.building_blocks import belgium, luxembourg, luxembourg_of_2018, netherlands, telegram


def decoded(decoder: MeterDecoder, text: bytes) -> DecodedTelegram:
    """Decode a telegram, and check that it comes out as it does without memory."""
    found = parse_telegram(text)
    assert found is not None
    readings, expected = decoder.decode(found), decode(found)
    assert readings == expected
    # Equal is not enough: 1 is 1.0 and True, and JSON shows the order of the fields.
    assert to_json(dict(readings.fields)) == to_json(dict(expected.fields))
    return readings


_LINES = st.sampled_from(
    ["1-0:1.8.0(000006.695*kWh)", "1-0:1.8.0(000006.696*kWh)", "1-0:1.8.0(6.7*m3)", "1-0:1.8.0(7)",
     "1-0:2.8.0(1)",
     "1-1:1.8.0(000006.697*kWh)", "0-0:42.0.0(5341)", "0-0:42.0.0(4142)", "0-0:96.1.1(41)", "0-0:96.1.0(42)",
     "0-0:1.0.0(260130102122W)", "0-0:1.0.0(632525252525W)", "0-0:17.0.0(999.9*kW)", "0-0:17.0.0(27.6*kVA)",
     "1-1:31.4.0(040*A)(-040*A)", "0-1:24.1.0(003)", "0-1:96.1.0(4142)", "0-1:24.2.1(260130100000W)(1.5*m3)",
     "0-1:24.2.1(260130110000W)(2.5*m3)", "0-1:24.3.0(120517020000)(08)(60)(1)(0-1:24.2.1)(m3)",
     "(00124.477)",
     "1-0:1.6.0(260130102122W)(1.2*kW)", "1-0:99.1.0(x)", "stray", "0-0:96.13.0()", "0-0:96.13.0(4142)"]
)  # fmt: skip


@given(st.lists(st.lists(_LINES, max_size=5), max_size=8), st.integers(0, 4))
def test_telegrams_of_any_lines_come_out_as_without_memory(telegrams: list[list[str]], same: int) -> None:
    remembering = MeterDecoder()
    head = [f"1-0:{code}.7.0(00.100*kW)" for code in (1, 2, 21, 22)][:same]
    for lines in telegrams:
        decoded(remembering, telegram("FLU5\\253000003_A", *head, *lines))


# Every way in which a number may be written, be read, or not count.
_ODD_LINES = (
    "0-0:1.0.0(260130102122W)", "1-0:1.8.0(006545766*Wh)", "1-0:1.8.0(000001.000*kWh)",
    "1-1:2.8.0.255(000006.697*kWh)", "1-0:2.8.0(000006.697*kWh)", "1-0:3.8.0(6.7*m3)",
    "1-0:3.8.0(6.7*kvarh)", "1-0:4.8.0(1.5kvarh)", "1-0:1.7.0(0001234*W)", "1-0:2.7.0(1.5)",
    "1-0:21.7.0(12)", "1-0:32.7.0(230.1*V)", "1-0:52.7.0(2301*V)", "1-0:31.7.0(002*A)",
    "0-0:96.14.0(0002)", "0-0:96.7.21(00012)", "0-0:96.7.9(1.5)", "0-0:17.0.0(999.9*kW)",
    "0-0:17.0.0(27.6*kVA)", "1-0:31.4.0(032*A)", "0-0:96.1.4(50217)", "0-0:96.13.0(303132)",
    "0-0:96.1.1(3132)", "1-0:1.6.0(260130102122W)(1.2*kW)", "0-1:24.1.0(003)", "0-1:96.1.0(4142)",
    "0-1:24.2.1(260130100000W)(1.5*m3)", "0-2:24.2.1(260130100000W)(1.5*m3)", "1-0:99.9.9(1)", "(00124.477)",
)  # fmt: skip
# Of each code a line that cannot be read, or that is written in an odd way, and then one that is usual.
_REPEATED_LINES = (
    "1-0:1.8.0(0000001000.5*kWh)", "1-0:1.8.0(000001.0*kWh)", "1-0:2.8.0(1.5*kWh)", "1-0:2.8.0(1.5*kWh)",
    "1-0:1.7.0(-01.5*kW)", "1-0:1.7.0(00.100*kW)", "1-0:2.7.0(-01.5*kW)", "1-0:2.7.0(100*A)",
    "1-0:14.7.0(049.995001*Hz)", "1-0:14.7.0(1)", "1-0:21.7.0(x)", "1-0:21.7.0(1.5*kW)",
    "0-0:1.0.0(632525252525W)", "0-0:1.0.0(260130102122W)", "1-0:3.8.0.255(1)", "1-0:3.8.0(1)",
    "1-0:4.8.0", "(000001.5*kvarh)", "1-0:4.8.0(000002.5*kvarh)", "0-0:96.14.0(0000000001)", "0-0:96.14.0(1)",
)  # fmt: skip
_TEXTS = (
    telegram("FLU5\\253000003_A", *_ODD_LINES),
    telegram("FLU5\\253000003_A", *_ODD_LINES).replace(b"\r\n", b"\n"),
    telegram("FLU5\\253000003_A", *reversed(_ODD_LINES)).replace(b")\r\n1", b")\n1", 3),
    telegram("FLU5\\253000003_A", *_REPEATED_LINES),
    telegram("FLU5\\253000003_A", *reversed(_REPEATED_LINES)),
    luxembourg(1),
    luxembourg_of_2018(1),
    belgium(1),
    netherlands(1),
)


@st.composite
def _changed_digits(draw: st.DrawFn) -> list[bytes]:
    """Write other digits, and now and then other characters, into a telegram, several times."""
    text = draw(st.sampled_from(_TEXTS))
    for at in draw(st.lists(st.integers(1, text.rindex(b"!") - 3), max_size=3)):
        text = text[:at] + draw(st.sampled_from([b"\x00", b"\r", b" "])) + text[at:]
    digits = [at for at, byte in enumerate(text) if chr(byte).isdigit()]
    texts = [text]
    for _ in range(draw(st.integers(1, 4))):
        changed = bytearray(texts[draw(st.integers(0, len(texts) - 1))])
        for at in draw(st.lists(st.sampled_from(digits), max_size=20)):
            changed[at] = draw(st.sampled_from(b"0123456789"))
        for at in draw(st.lists(st.integers(1, text.rindex(b"!") - 3), max_size=1)):
            changed[at] = draw(st.sampled_from(b"09.*()\r\n-:SWkm\x00 "))
        texts.append(bytes(changed))
    return texts


@settings(max_examples=300)
@given(_changed_digits())
@example([telegram("FLU5", "1-0:1.8.0(000000*Wh)"), telegram("FLU5", "1-0:1.8.0(000123*Wh)")])
@example([telegram("FLU5", "0-0:17.0.0(027.6*kVA)"), telegram("FLU5", "0-0:17.0.0(999.9*kVA)")])
@example([telegram("FLU5", "0-0:1.0.0(260130102122W)"), telegram("FLU5", "0-0:1.0.0(632525252525W)")])
@example(
    [
        telegram("FLU5", "1-0:1.8.0(1.5*kWh)", "1-0:1.8.0(1.5*kWh)"),
        telegram("FLU5", "1-0:1.8.0(1.5*kWh)", "1-0:1.8.0(2.5*kWh)"),
    ]
)
def test_telegrams_of_other_digits_come_out_as_without_memory(texts: list[bytes]) -> None:
    remembering = MeterDecoder()
    for text in (texts[0], *texts):
        decoded(remembering, text)


def test_of_a_repeated_code_the_line_that_did_not_count_does_not_count_later_either() -> None:
    for first, second in itertools.pairwise(_REPEATED_LINES):
        decoder = MeterDecoder()
        for digit in b"1157":
            text = second.replace("1", chr(digit))
            decoded(decoder, telegram("FLU5\\253000003_A", first, text))


def test_a_nul_anywhere_in_a_number_line_costs_nothing() -> None:
    line = "1-0:1.8.0(000001.5*kWh)"
    for at in range(len(line) + 1):
        decoder = MeterDecoder()
        for digit in "1157":
            text = line.replace("1.5", f"{digit}.5")
            text = text[:at] + "\x00" + text[at:]
            readings = decoded(decoder, telegram("FLU5\\253000003_A", text))
            assert readings.fields == {"energy_import": float(f"{digit}.5")}


# For each place in a telegram several lines that may stand there in turn.
_PLACES = (
    ("0-0:1.0.0(260130102122W)", "0-0:1.0.0(260130102123W)", "0-0:1.0.0(632525252525W)"),
    ("0-0:96.1.1(41)", "0-0:96.1.1(42)", "0-0:96.1.1()"),
    ("0-0:42.0.0(4142)", "0-0:42.0.0(4143)", "0-0:96.1.0(4143)"),
    ("1-0:1.8.0(000006.695*kWh)", "1-0:1.8.0(000006.696*kWh)", "1-0:1.8.0(6.7*kWh)",
     "1-0:2.8.0(000006.695*kWh)"),
    ("1-0:2.8.0(000001.000*kWh)", "1-0:2.8.0(-00001.000*kWh)", "1-0:2.8.0(-00000.000*kWh)",
     "1-0:2.8.0(000001.000*kWx)", "stray"),
    ("1-0:3.8.0(0000000000012345)", "1-0:3.8.0(1000000000012345)", "1-0:3.8.0(00000000001234.5*kvarh)"),
    ("1-1:1.8.0(000006.697*kWh)", "1-0:1.7.0(00.100*kW)", "1-0:1.7.0(00.101*kW)"),
    ("0-0:17.0.0(999.9*kW)", "0-0:17.0.0(027.6*kW)", "0-0:17.0.0(027.6*kVA)", "0-0:17.0.0(027.7*kVA)"),
    ("1-1:31.4.0(040*A)(-040*A)", "1-1:31.4.0(063*A)(-040*A)", "1-1:31.4.0(999*A)(-040*A)"),
    ("1-0:1.6.0(260130102122W)(1.2*kW)", "1-0:1.6.0(260130103000W)(1.3*kW)",
     "1-0:1.6.0(700101000000W)(1.2*kW)"),
    ("0-0:96.13.0()", "0-0:96.13.0(4142)", "0-0:96.13.0(41)", "0-0:96.13.0(\xa0)", "0-0:96.13.0(4\x001)",
     "0-0:96.13.0(4\r1)"),
    ("1-0:4.8.0(0000000000012345*kvarh)", "1-0:4.8.0(1000000000012345*kvarh)", "1-0:4.8.0(1kvarh)"),
    ("1-0:13.7.0(0.98)", "1-0:13.7.0(0.97)", "1-0:13.7.0(-0.0)"),
    ("0-1:24.1.0(003)", "0-1:24.1.0(007)", "0-1:24.1.0(3)"),
    ("0-1:96.1.0(4142)", "0-1:96.1.0()", "0-1:96.1.0(4143)"),
    ("0-1:24.2.1(260130100000W)(1.5*m3)", "0-1:24.2.1(260130110000W)(2.5*m3)",
     "0-1:24.2.1(260130110000W)(2.5*GJ)",
     "0-1:24.2.1(260130110000W)(2.5)",
     "0-1:24.2.1(632525252525W)(0.0*m3)", "0-1:24.2.1(632525252525W)(0*m3)",
     "0-1:24.2.3(260130110000W)(2.5*m3)"),
    ("0-1:24.2.3(260130100000W)(9.5*m3)", "0-1:24.2.1(260130100000W)(9.6*m3)",
     "0-2:24.2.1(260130100000W)(9.6*GJ)"),
    ("0-3:24.3.0(120517020000)(08)(60)(1)(0-1:24.2.1)(m3)",
     "0-3:24.3.0(120517030000)(08)(60)(1)(0-1:24.2.1)(m3)"),
    ("(00124.477)", "(00124.478)", "", "1-0:99.1.0(x)", "1-0:99.1.0(y)"),
)  # fmt: skip


@st.composite
def _telegrams_in_turn(draw: st.DrawFn) -> list[bytes]:
    """Change a place or two of one meter's telegram after the other's."""
    chosen = [[places[0] for places in _PLACES] for _ in range(3)]
    texts = []
    for _ in range(draw(st.integers(2, 12))):
        meter = draw(st.integers(0, 2))
        for at in draw(st.lists(st.integers(0, len(_PLACES) - 1), max_size=3)):
            chosen[meter][at] = draw(st.sampled_from(_PLACES[at]))
        lines = [line for line in chosen[meter] if line]
        line_end = draw(st.sampled_from(["\r\n"] * 5 + ["\n"]))
        body = f"/FLU5\\{min(meter, 1)}{line_end}{line_end}{line_end.join(lines)}{line_end}!"
        texts.append(f"{body}{line_end}".encode("latin-1"))
    return texts


@settings(max_examples=400)
@given(_telegrams_in_turn())
def test_telegrams_of_several_meters_come_out_as_without_memory(texts: list[bytes]) -> None:
    remembering = MeterDecoder()
    for text in texts:
        decoded(remembering, text)


def test_each_line_that_replaces_another_comes_out_as_without_memory() -> None:
    usual = [places[0] for places in _PLACES]
    for at, places in enumerate(_PLACES):
        for line, other in itertools.permutations(filter(None, places), 2):
            remembering = MeterDecoder()
            for chosen in (line, other, other, line, line, other):
                decoded(remembering, telegram("FLU5", *usual[:at], chosen, *usual[at + 1 :]))


def test_meters_that_take_turns_are_remembered_side_by_side() -> None:
    decoder = MeterDecoder()
    unknown: dict[str, set[int]] = {}
    for second in range(5):
        for name in ("SAG1030700012345", "SAG1030700012346"):
            unknown.setdefault(name, set()).add(id(decoded(decoder, luxembourg(second, name=name)).unknown))
    assert [len(objects) for objects in unknown.values()] == [1, 1]


def test_only_so_many_meters_are_remembered_and_the_oldest_is_dropped() -> None:
    decoder = MeterDecoder()

    def unknown(number: int) -> object:
        return decoded(decoder, telegram("FLU5", f"0-0:96.1.1({number:04d})", "1-0:1.8.0(1.5*kWh)")).unknown

    first = [unknown(number) for number in range(64)]
    assert all(unknown(number) is first[number] for number in range(64))
    unknown(64)
    assert unknown(63) is first[63]
    assert unknown(0) is not first[0]


def test_the_meter_that_was_not_heard_for_longest_is_dropped_first() -> None:
    decoder = MeterDecoder(meters=2)

    def unknown(number: int) -> object:
        return decoded(decoder, telegram("FLU5", f"0-0:96.1.1({number:04d})", "1-0:1.8.0(1.5*kWh)")).unknown

    first, second = unknown(1), unknown(2)
    assert unknown(1) is first
    unknown(3)
    assert unknown(1) is first
    assert unknown(2) is not second


def test_a_line_in_place_of_two_that_a_bare_line_feed_divided_costs_what_the_second_said() -> None:
    decoder = MeterDecoder()
    for lines in ("0-0:96.13.0(41)\n1-0:1.8.0(1.5*kWh)", "0-0:96.13.0(42)"):
        decoded(decoder, telegram("FLU5", lines))


def test_a_telegram_of_very_many_lines_is_not_remembered() -> None:
    decoder = MeterDecoder()
    for count, is_remembered in ((253, True), (254, False)):
        lines = [f"0-0:96.1.1({count:04d})", *[f"1-0:99.{number}.0(x)" for number in range(count - 1)]]
        first, second = (decoded(decoder, telegram("FLU5", *lines)) for _ in range(2))
        assert (first.unknown is second.unknown) is is_remembered


def test_of_a_meter_that_goes_on_as_before_only_the_lines_that_differ_are_read() -> None:
    for make in (luxembourg, luxembourg_of_2018, belgium, netherlands):
        decoder = MeterDecoder()
        decoded(decoder, make(0))
        first = decoded(decoder, make(1))
        second = decoded(decoder, make(2))
        assert second.fields != first.fields
        # What was not read anew is the very same object.
        assert second.devices is first.devices
        assert second.unknown is first.unknown


@pytest.mark.parametrize(
    "text",
    [" 00006.695", "+00006.695", "-00006.695", "0000_6.695", "00000006.7", "0000006695", "000006,695",
     "000006.6e5", "000000.nan", "000006.69\x00", "000006.69)"],
)  # fmt: skip
def test_where_digits_moved_nothing_but_digits_is_read(text: str) -> None:
    decoder = MeterDecoder()
    for number in ("000006.695", "000006.696", "000006.697", text, "000006.698"):
        decoded(decoder, telegram("FLU5", "0-0:96.1.1(41)", f"1-0:1.8.0({number}*kWh)"))


def test_the_register_of_each_of_two_devices_moves_by_itself() -> None:
    decoder = MeterDecoder()
    for gas, water in ((1, 1), (1, 2), (2, 2), (3, 3)):
        lines = [f"0-1:24.2.1(260130100000W)({gas}*m3)", f"0-2:24.2.1(260130100000W)({water}*m3)"]
        found = decoded(decoder, telegram("FLU5", "0-1:24.1.0(003)", "0-2:24.1.0(007)", *lines))
        assert [device["value"] for device in found.devices.values()] == [gas, water]


def test_a_clock_that_is_not_set_any_more_gives_no_time() -> None:
    decoder = MeterDecoder()
    for time in ("260130102122W", "260130102132W", "260130102142W", "632525252525W", "260130102152W"):
        readings = decoded(decoder, telegram("FLU5", f"0-0:1.0.0({time})", "1-0:1.8.0(1.5*kWh)"))
        assert ("timestamp" in readings.fields) is (time[0] == "2")


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("0-0:17.0.0(027.6*kVA)", "0-0:17.0.0(3*kVA)"),
        ("1-1:31.4.0(040*A)(-040*A)", "1-1:31.4.0(063*A)(63*A)"),
        ("1-0:1.6.0(260130102122W)(1.2*kW)", "1-0:1.6.0(260130103000W)(12*kW)"),
        ("0-0:96.13.0()", "0-0:96.13.0(4142)"),
        ("0-1:24.2.1(260130100000W)(1.5*m3)", "0-1:24.2.1(260130103000W)(12*m3)"),
    ],
)
def test_a_line_of_any_kind_may_take_another_value_without_the_others_being_read(
    line: str, other: str
) -> None:
    decoder = MeterDecoder()
    first = decoded(decoder, telegram("FLU5", "0-0:96.1.1(41)", line))
    second = decoded(decoder, telegram("FLU5", "0-0:96.1.1(41)", other))
    assert second.unknown is first.unknown
    assert (second.fields, second.devices) != (first.fields, first.devices)


def test_numbers_in_other_units_move_as_well() -> None:
    decoder = MeterDecoder()
    lines = "1-0:1.8.0(006545766*Wh)", "1-0:1.7.0(000000286*W)", "1-0:2.7.0(1.5)"
    first = [decoded(decoder, telegram("EST5", *lines)) for _ in range(2)][1]
    second = decoded(
        decoder, telegram("EST5", "1-0:1.8.0(006545770*Wh)", "1-0:1.7.0(000000300*W)", "1-0:2.7.0(2.5)")
    )
    assert second.unknown is first.unknown
    assert second.fields == {"energy_import": 6545.77, "power_import": 0.3, "power_export": 2.5}
