"""What a user writes as a source is understood, or refused in words that say what to write instead."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.sources.address import Address, AddressError, Kind, parse_address


@pytest.mark.parametrize(
    ("text", "kind", "host", "port", "shown"),
    [
        ("tcp://192.168.1.20:2001", Kind.TCP, "192.168.1.20", 2001, "tcp://192.168.1.20:2001"),
        ("socket://bridge:2001", Kind.TCP, "bridge", 2001, "tcp://bridge:2001"),
        ("TCP://Bridge.example:1", Kind.TCP, "bridge.example", 1, "tcp://bridge.example:1"),
        ("tcp://bridge:65535/", Kind.TCP, "bridge", 65535, "tcp://bridge:65535"),
        ("tcp://[fd00::1]:2001", Kind.TCP, "fd00::1", 2001, "tcp://[fd00::1]:2001"),
        ("rfc2217://bridge:4000", Kind.RFC2217, "bridge", 4000, "rfc2217://bridge:4000"),
        ("  tcp://bridge:2001\n", Kind.TCP, "bridge", 2001, "tcp://bridge:2001"),
    ],
)
def test_a_url_names_a_host_and_a_port(text: str, kind: Kind, host: str, port: int, shown: str) -> None:
    address = parse_address(text)
    assert (address.kind, address.host, address.port, str(address)) == (kind, host, port, shown)
    assert address.is_live


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a source is missing"),
        ("   ", "a source is missing"),
        ("http://bridge:80", "starts with tcp://"),
        ("mqtt://bridge:1883", "starts with tcp://"),
        ("tcp://bridge", "the port is required"),
        ("tcp://:2001", "HOST:PORT"),
        ("tcp://bridge:0", "the port is required"),
        ("tcp://bridge:65536", "from 1 to 65535"),
        ("tcp://bridge:serial", "from 1 to 65535"),
        ("tcp://[fd00::1:2001", "HOST:PORT"),
        ("tcp://bridge:2001/p1", "HOST:PORT"),
        ("tcp://bridge:2001?raw", "HOST:PORT"),
        ("tcp://bridge:2001#raw", "HOST:PORT"),
        ("tcp://user@bridge:2001", "no user and no password"),
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_with_the_form_to_write(text: str, words: str) -> None:
    with pytest.raises(AddressError, match=words):
        parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "tcp://user:swordfish@bridge:2001",
        "tcp://user:swordfish@bridge:99999",
        "http://user:swordfish@bridge:80",
    ],
)
def test_a_password_in_a_url_is_not_repeated(text: str) -> None:
    with pytest.raises(AddressError) as refused:
        parse_address(text)
    assert "swordfish" not in str(refused.value)


def test_a_dash_is_standard_input() -> None:
    address = parse_address(" - ")
    assert address.kind is Kind.STDIN
    assert not address.is_live


def test_a_character_device_is_a_port() -> None:
    assert parse_address("/dev/null").kind is Kind.SERIAL


def test_a_file_is_a_recording(tmp_path: Path) -> None:
    (tmp_path / "monday.bin").write_bytes(b"")
    address = parse_address(str(tmp_path / "monday.bin"))
    assert address.kind is Kind.FILE
    assert not address.is_live


def test_a_path_that_is_not_there_is_a_port_to_come(tmp_path: Path) -> None:
    address = parse_address("adapter", tmp_path)
    assert (address.kind, address.path) == (Kind.SERIAL, tmp_path / "adapter")


@pytest.mark.parametrize(
    "name",
    [
        "serial/by-id/usb-FTDI_FT232R-if00-port9",
        "serial/by-id/usb-Prolific_Technology_Inc._USB-Serial_Controller-if00-port9",
        "serial/by-path/platform-fd500000.pcie-pci-0000:01:00.0-usb-0:1.3:1.0-port9",
    ],
)
def test_a_device_that_is_not_plugged_in_is_a_port_whatever_its_name(name: str) -> None:
    assert parse_address(f"/dev/{name}").kind is Kind.SERIAL


def test_a_recording_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match=r"monday\.bin: no such file"):
        parse_address("monday.bin", tmp_path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AddressError, match="is a folder"):
        parse_address(str(tmp_path))


def test_a_relative_path_counts_from_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "monday.bin").write_bytes(b"")
    assert parse_address("monday.bin", tmp_path).path == tmp_path / "monday.bin"


def test_without_such_a_file_it_counts_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_address("adapter").text == str(tmp_path / "adapter")


def test_a_tilde_is_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_address("~/adapter", Path("/elsewhere")).path == tmp_path / "adapter"


def test_the_folder_of_a_user_who_is_not_there_is_refused() -> None:
    with pytest.raises(AddressError):
        parse_address("~no-such-user-here/adapter")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("tcp://bridge:2001", "TCP://BRIDGE:2001", True),
        ("tcp://bridge:2001", "rfc2217://bridge:2001", True),
        ("tcp://bridge:2001", "tcp://bridge:2002", False),
        ("adapter", "/dev/../dev/null", True),
        ("adapter", "/dev/zero", False),
        ("-", " - ", True),
        ("-", "adapter", False),
    ],
)
def test_two_names_of_one_port_have_one_identity(tmp_path: Path, one: str, other: str, *, same: bool) -> None:
    (tmp_path / "adapter").symlink_to("/dev/null")
    identities = parse_address(one, tmp_path).identity, parse_address(other, tmp_path).identity
    assert (identities[0] == identities[1]) is same


def test_the_identity_of_an_adapter_follows_it_when_it_is_plugged_in_anew(tmp_path: Path) -> None:
    link = tmp_path / "adapter"
    address = parse_address(str(link))
    link.symlink_to("/dev/null")
    assert address.identity == ("path", os.path.realpath("/dev/null"))


@given(st.text() | st.text().map("tcp://{}".format) | st.text().map("tcp://bridge:{}".format))
def test_whatever_is_written_is_an_address_or_refused(text: str) -> None:
    with contextlib.suppress(AddressError):
        assert isinstance(parse_address(text), Address)
