"""The ports of a machine are listed by names that last, and a mistyped name leads to the right one."""

from pathlib import Path

import pytest

from smarty_gateway.sources.address import AddressError, parse_address
from smarty_gateway.sources.ports import lacks_folder, lasting_name, ports_instead, serial_ports

FTDI = "serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """Return a folder with three adapters: one with both links, one with one of them, one with none."""
    for name in ("ttyUSB0", "ttyUSB1", "ttyACM0", "ttyS0", "tty1"):
        (tmp_path / name).touch()
    for link, port in (
        (FTDI, "ttyUSB1"),
        ("serial/by-path/pci-0000:00:14.0-usb-0:1:1.0-port0", "ttyUSB1"),
        ("serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0", "ttyUSB0"),
        ("serial/by-id/usb-pulled_out", "ttyUSB7"),
    ):
        (tmp_path / link).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / link).symlink_to(tmp_path / port)
    return tmp_path


def test_each_port_is_listed_once_by_the_name_that_lasts_longest(dev: Path) -> None:
    assert [str(port.relative_to(dev)) for port in serial_ports(dev)] == [
        FTDI,
        "serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0",
        "ttyACM0",
    ]


def test_a_machine_without_ports_has_an_empty_list(tmp_path: Path) -> None:
    assert serial_ports(tmp_path) == []
    assert serial_ports(tmp_path / "missing") == []
    assert ports_instead("/dev/ttyUSB0", tmp_path) == "no serial port is plugged in"


def test_the_lasting_name_of_a_port_without_links_is_its_own(dev: Path) -> None:
    assert lasting_name(dev / "ttyUSB1", dev) == dev / FTDI
    assert lasting_name(dev / "ttyACM0", dev) == dev / "ttyACM0"
    assert lasting_name(dev / "ttyS0", dev) == dev / "ttyS0"


@pytest.mark.parametrize("typed", ["ttyUSB1", "ttyUBS1", "ttyusb1", "{dev}/ttyUSB11", "{dev}/ttyUSB1_"])
def test_a_mistyped_port_leads_to_the_lasting_name_of_the_nearest(dev: Path, typed: str) -> None:
    shown = ports_instead(typed.format(dev=dev), dev)
    assert shown.startswith(f"did you mean {dev / FTDI}? ports that are there: ")
    assert shown.endswith(f", {dev}/ttyACM0")


def test_a_name_unlike_any_port_leads_to_the_list_alone(dev: Path) -> None:
    assert ports_instead("COM3", dev).startswith(f"ports that are there: {dev / FTDI}, ")


def test_many_ports_are_cut_to_one_line(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"ttyUSB{number:02d}").touch()
    assert ports_instead("COM3", tmp_path).endswith(f"{tmp_path}/ttyUSB05 and 54 more")


@pytest.mark.parametrize(
    "text", ["ttyUSB0", "TTYUSB0", "ttyAMA0", "COM3", "com12:", "serial/by-id/usb-a-b", "usb-a"]
)
def test_a_port_without_its_folder_is_no_recording(tmp_path: Path, text: str) -> None:
    assert lacks_folder(text)
    with pytest.raises(AddressError, match="a port is named with its folder, as in /dev/ttyUSB0"):
        parse_address(text, tmp_path)


def test_a_file_that_has_the_name_of_a_port_is_read(tmp_path: Path) -> None:
    (tmp_path / "ttyUSB0").touch()
    assert parse_address("ttyUSB0", tmp_path).path == tmp_path / "ttyUSB0"
