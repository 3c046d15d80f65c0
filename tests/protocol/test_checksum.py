"""The CRCs, with fastcrc and without it."""

import importlib.util
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.protocol import checksum

NAMES = ("arc", "ibm_sdlc", "modbus")


def _without_fastcrc() -> ModuleType:
    """Return the module as it is where fastcrc is not installed."""
    # The measurement of coverage goes by the name of the package.
    name = f"{checksum.__name__}_without_fastcrc"
    spec = importlib.util.spec_from_file_location(name, checksum.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "fastcrc.crc16", None)
        spec.loader.exec_module(module)
    return module


WITHOUT_FASTCRC = _without_fastcrc()


@pytest.mark.parametrize("module", [checksum, WITHOUT_FASTCRC], ids=["as installed", "without fastcrc"])
@pytest.mark.parametrize(("name", "check"), [("arc", 0xBB3D), ("ibm_sdlc", 0x906E), ("modbus", 0x4B37)])
def test_each_crc_has_the_check_value_of_the_catalogue(module: ModuleType, name: str, check: int) -> None:
    assert getattr(module, name)(b"123456789") == check


@given(st.binary(max_size=300))
def test_with_and_without_fastcrc_every_crc_is_the_same(data: bytes) -> None:
    for name in NAMES:
        assert getattr(checksum, name)(data) == getattr(WITHOUT_FASTCRC, name)(data)
