"""The files in vectors/ are what the generator beside them makes."""

from fastcrc.crc16 import arc
from hypothesis import given
from hypothesis import strategies as st

from tests.commands import ROOT
from vectors.generate import crc16, files


def test_the_generator_reproduces_every_file() -> None:
    for name, content in files().items():
        assert (ROOT / "vectors" / name).read_bytes() == content


def test_every_file_has_its_generator() -> None:
    lying_there = {path.name for path in (ROOT / "vectors").iterdir() if path.is_file()}
    assert lying_there - set(files()) == {"generate.py"}


@given(st.binary(max_size=300))
def test_the_checksum_of_the_generator_is_that_of_the_gateway(data: bytes) -> None:
    assert crc16(data) == arc(data)
