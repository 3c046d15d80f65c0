"""A key that is wrong, or was changed by the grid operator, leads to its letter and to `doctor`."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.gateway.rejections import Rejections
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.rejection import Hint, Reason, Rejection
from smarty_gateway.sources.address import parse_address
from vectors.building_blocks import HOUSE_KEY, HOUSE_TITLE, frame, telegram

LETTER = "house: compare the key in keys.yaml with the letter of your grid operator. "
CHANGED = "house: no frame has verified for 2 minutes: your grid operator has probably changed the key; "
DOCTOR = "stop this program and type: smarty-gateway doctor /dev/p1 --keys 'my keys.yaml'"


class Meter:
    """The frames of one meter on a port, as the gateway sees them."""

    def __init__(self) -> None:
        address = parse_address("/dev/p1")
        self.state = StateKeeper(Config((MeterConfig((address,), "house", id="SAG1030700012345"),)))
        self.rejections = Rejections(address, self.state, logging.warning, 0.0, "", Path("my keys.yaml"))
        self._stream = MeterStream(
            KeyRing({HOUSE_TITLE: HOUSE_KEY}), self.state.identities, source=address.text
        )
        self._counter = 0

    def fail(self, hint: Hint, now: float) -> None:
        """Send a frame whose tag does not verify."""
        rejection = Rejection(Reason.AUTHENTICATION, 0, 100, "the tag does not verify", hint, HOUSE_TITLE)
        self.rejections.add(rejection, now)

    def verify(self, now: float) -> None:
        """Send a good frame."""
        self._counter += 1
        self._stream.receive_data(frame(telegram("Lux5"), counter=self._counter), now)
        assert isinstance(self._stream.next_event(), MeterTelegram)
        self.rejections.note_accepted(HOUSE_TITLE)


@pytest.fixture
def meter() -> Meter:
    return Meter()


def advice(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """Yield the lines that are not the rejections themselves."""
    yield from (record.message for record in caplog.records if "rejected" not in record.message)


@pytest.mark.parametrize("hint", [Hint.WRONG_ENCRYPTION_KEY, Hint.WRONG_AUTHENTICATION_KEY])
def test_a_wrong_key_leads_to_the_letter_and_to_doctor_once(
    meter: Meter, caplog: pytest.LogCaptureFixture, hint: Hint
) -> None:
    for second in range(0, 600, 10):
        meter.fail(hint, second)
    (line,) = advice(caplog)
    assert line.startswith(LETTER)
    assert line.endswith(DOCTOR)


def test_frames_that_all_fail_for_two_minutes_mean_that_the_key_was_changed(
    meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    meter.verify(0.0)
    for second in range(10, 130, 10):
        meter.fail(Hint.CORRUPT, second)
    assert list(advice(caplog)) == []
    for second in range(130, 900, 10):
        meter.fail(Hint.CORRUPT, second)
    (line,) = advice(caplog)
    assert line.startswith(CHANGED)
    assert line.endswith(DOCTOR)


def test_damaged_frames_among_good_ones_say_nothing_of_the_key(
    meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(0, 1200, 10):
        if second % 100:
            meter.fail(Hint.CORRUPT, second)
        else:
            meter.verify(second)
    assert list(advice(caplog)) == []


def test_a_single_damaged_frame_after_a_long_silence_says_nothing_of_the_key(
    meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    meter.verify(0.0)
    meter.fail(Hint.CORRUPT, 10.0)
    meter.fail(Hint.CORRUPT, 3600.0)
    assert list(advice(caplog)) == []


def test_a_key_that_is_wrong_again_is_said_again(meter: Meter, caplog: pytest.LogCaptureFixture) -> None:
    for start in (0.0, 1000.0):
        meter.verify(start)
        meter.fail(Hint.WRONG_ENCRYPTION_KEY, start + 10)
    assert len(list(advice(caplog))) == 2


def test_invented_meters_write_a_bounded_number_of_lines(
    meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        title = b"SAG" + number.to_bytes(5, "big")
        rejection = Rejection(Reason.AUTHENTICATION, 0, 100, "x", Hint.WRONG_ENCRYPTION_KEY, title)
        meter.rejections.add(rejection, 1.0)
    assert len(list(advice(caplog))) <= 50


@pytest.fixture
def in_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERVISOR_TOKEN", "a token")


@pytest.mark.usefixtures("in_app")
@pytest.mark.parametrize(
    ("reason", "message", "words"),
    [
        (Reason.NO_KEY, "ask for it and add it to keys.yaml", "enter it in the app's Configuration tab"),
        (Reason.NO_KEY, "keys.yaml has an entry", "the app's Configuration tab has an entry"),
        (
            Reason.PLAINTEXT,
            "it must send encrypted frames",
            "as in Belgium, empty its field key",
        ),
    ],
)
def test_in_the_home_assistant_app_a_rejection_leads_to_the_fields_of_its_form(
    meter: Meter, caplog: pytest.LogCaptureFixture, reason: Reason, message: str, words: str
) -> None:
    meter.rejections.add(Rejection(reason, 0, 100, message), 0.0)
    assert words in caplog.text
    assert "keys.yaml" not in caplog.text


@pytest.mark.usefixtures("in_app")
def test_in_the_home_assistant_app_a_wrong_key_leads_to_the_letter_alone(
    meter: Meter, caplog: pytest.LogCaptureFixture
) -> None:
    meter.fail(Hint.WRONG_ENCRYPTION_KEY, 0.0)
    (line,) = advice(caplog)
    tab = "the app's Configuration tab"
    assert line == f"house: compare the key in {tab} with the letter of your grid operator"
