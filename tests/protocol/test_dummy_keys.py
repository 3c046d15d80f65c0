"""The published dummy keys are recognised, and nothing else is taken for one."""

from pathlib import Path

import pytest

from smarty_gateway.config.key_file import load_key_ring
from smarty_gateway.protocol.dummy_keys import holds_only_dummies, is_dummy
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from tests.support.commands import ROOT, SAMPLE_KEYS

SECRET = MeterKey(Secret(bytes(range(0x71, 0x81))))
DUMMY = MeterKey(Secret(bytes(range(16))))
OTHER_AUTHENTICATION = MeterKey(DUMMY.encryption_key, Secret(bytes(range(0x30, 0x40))))


@pytest.mark.parametrize("path", [ROOT / "keys.example.yaml", SAMPLE_KEYS], ids=lambda path: path.name)
def test_each_published_key_file_holds_only_dummies(path: Path) -> None:
    assert holds_only_dummies(load_key_ring(path))


@pytest.mark.parametrize("number", [1, 7, 99_999_999])
def test_the_key_of_a_simulated_meter_is_a_dummy_in_its_own_entry_only(number: int) -> None:
    meter = SimulatedMeter(MeterKind.LUXEMBOURG, number)
    assert meter.title is not None
    assert meter.key is not None
    key = MeterKey(Secret(meter.key))
    assert is_dummy(meter.title, key)
    assert not is_dummy(meter.title[:-1] + b"\xfe", key)


@pytest.mark.parametrize(
    "ring",
    [
        KeyRing(),
        KeyRing(others=[SECRET]),
        KeyRing({"SAG1030700012345": SECRET}, others=[DUMMY]),
        KeyRing({"SAG1030700012345": [DUMMY, SECRET]}),
        KeyRing(others=[OTHER_AUTHENTICATION]),
    ],
    ids=["none", "any", "beside a dummy", "second in an entry", "authentication key"],
)
def test_a_file_with_one_secret_is_not_exempt(ring: KeyRing) -> None:
    assert not holds_only_dummies(ring)
