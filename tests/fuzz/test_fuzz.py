"""No input that comes through a door breaks a promise of the program; see the modules beside this one."""

import importlib
import random
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from smarty_gateway.capture.redact_telegram import _Kind
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.rejection import Reason
from tests.fuzz import stream
from tests.fuzz.__main__ import DOORS, Run, random_inputs
from tests.fuzz.picker import Picker
from tests.support.commands import ROOT

#: These take some seconds each.
EXAMPLES = {
    "stream": 1500, "key_file": 2000, "config_file": 1500, "hex_dump": 2500, "capture": 1200,
    "state_file": 800, "history_file": 300,
    "broker": 2000,
}  # fmt: skip
INPUTS = st.binary(max_size=60) | st.binary(min_size=60, max_size=600)


def check_of(door: str) -> Callable[[bytes], None]:
    found: Callable[[bytes], None] = importlib.import_module(f"tests.fuzz.{door}").check_one
    return found


@pytest.mark.slow
@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.slow)], ids=["a fifth", "all"])
@pytest.mark.parametrize("door", DOORS)
def test_no_input_through_a_door_breaks_a_promise(door: str, share: int) -> None:
    check_one = check_of(door)

    @settings(
        derandomize=True,
        max_examples=EXAMPLES[door] // share,
        phases=[Phase.generate],  # or a failure takes minutes; `python -m tests.fuzz` goes on from its input
    )
    @given(INPUTS)
    def check(data: bytes) -> None:
        check_one(data)

    check()


@pytest.mark.parametrize(
    ("door", "target", "broken"),
    [
        ("stream", "smarty_gateway.protocol.judge.crc_is_due", lambda _: False),
        ("stream", "smarty_gateway.protocol.extractor.FRAME_PREFIX", b"\xdb\x09"),
        ("stream", "smarty_gateway.protocol.extractor.Extractor._wait", lambda *_, **__: False),
        ("key_file", "smarty_gateway.config.settings.shown", repr),
        ("config_file", "smarty_gateway.config.settings.shown", repr),
        ("hex_dump", "smarty_gateway.sources.hexdump._swapped", bytes),
        ("capture", "smarty_gateway.capture.redact_telegram._kind_of", lambda _: _Kind.KEPT),
        ("capture", "smarty_gateway.sources.capture_format._LINE_MAX", 1 << 30),
        ("history_file", "smarty_gateway.state.history_rows.is_good", lambda *_: True),
    ],
)
def test_a_promise_that_is_broken_on_purpose_is_noticed(
    door: str, target: str, broken: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_one = check_of(door)
    next_input = random_inputs(1)
    monkeypatch.setattr(target, broken)
    with pytest.raises(AssertionError):  # noqa: PT012 - which input it is does not matter
        for _ in range(3000):
            check_one(next_input())


def test_the_streams_hold_telegrams_of_each_kind_and_faults_of_each_reason() -> None:
    next_input = random_inputs(1)
    found: set[object] = set()
    for _ in range(300):
        made = stream._Builder(Picker(next_input())).build()
        for event in stream._read([segment] for segment in made.segments).events:
            found.add(event.security if isinstance(event, MeterTelegram) else event.reason)
    assert found >= {*Reason, "authenticated", "unauthenticated", "plaintext"}


def test_a_run_counts_inputs_and_failures_and_shows_the_first_of_a_kind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse_odd(data: bytes) -> None:
        assert data[0] % 2 == 0

    run = Run("door", refuse_odd, inputs=10, seconds=60.0)
    for number in range(10):
        assert not run.is_over
        run.take(bytes([number]))
    assert run.is_over
    run.report("by hand")
    shown = capsys.readouterr()
    assert shown.out.startswith("door (by hand): 10 inputs in 0 s")
    assert "5 exceptions of 1 kinds" in shown.out
    assert shown.err.count("input: ") == 1
    assert shown.err.endswith("input: 01\n")


def test_a_door_can_be_run_for_longer_by_hand() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "hex_dump", "--random", "--inputs", "20"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    assert done.stdout.startswith(b"hex_dump (random, seed 1): 20 inputs in ")
    assert b" 0 exceptions " in done.stdout


def test_choices_behind_the_end_of_an_input_are_the_first_ones() -> None:
    picker = Picker(b"")
    assert (picker.number(3, 9), picker.choice("ab"), picker.one_in(2), picker.take(4)) == (
        3,
        "a",
        False,
        b"",
    )
    assert b"".join(picker.chunks(bytes(1000))) == bytes(1000)


def test_a_small_change_of_an_input_is_a_small_change_of_the_stream() -> None:
    data = random.Random(2).randbytes(100)
    segments = stream._Builder(Picker(data)).build().segments
    changed = stream._Builder(Picker(data[:-1])).build().segments
    assert segments[0][:50] == changed[0][:50]
