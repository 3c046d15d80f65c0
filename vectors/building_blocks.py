"""Builds frames and telegrams for the vectors and the tests.

All meters, values and keys are invented. Frames are encrypted with the cryptography library and checksums
computed bit by bit, without code of smarty_gateway, so that the vectors check it independently.
"""

from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

#: Dummy keys: counting bytes, as in the DLMS Green Book.
HOUSE_KEY: Final = bytes(range(0x10, 0x20))
BARN_KEY: Final = bytes(range(0xA0, 0xB0))
AUTHENTICATION_KEY: Final = bytes.fromhex("00112233445566778899AABBCCDDEEFF")
HOUSE_TITLE: Final = bytes.fromhex("5341476770003039")
BARN_TITLE: Final = bytes.fromhex("5341476770003040")


def crc16(data: bytes) -> int:
    """Return the CRC-16/ARC, computed bit by bit (DSMR 5.0.2 P1, clause 6.2)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def telegram(header: str, *lines: str) -> bytes:
    """Write a telegram with a correct CRC; the header is given without its slash."""
    body = "\r\n".join([f"/{header}", "", *lines, "!"]).encode("latin-1")
    return body + f"{crc16(body):04X}\r\n".encode("ascii")


def with_parity(text: bytes) -> bytes:
    """Return text as it is read with eight bits from a port of seven bits and even parity."""
    return bytes(byte | 0x80 if byte.bit_count() % 2 else byte for byte in text)


def length_field(length: int, form: int = 0x82) -> bytes:
    """Write a length in the short form (0), or after 81 or 82."""
    if form == 0x82:
        return b"\x82" + length.to_bytes(2, "big")
    return (b"\x81" if form == 0x81 else b"") + bytes([length])


def frame(
    plaintext: bytes,
    *,
    key: bytes = HOUSE_KEY,
    title: bytes = HOUSE_TITLE,
    counter: int = 1,
    authentication_key: bytes = AUTHENTICATION_KEY,
    form: int = 0x82,
    security: int = 0x30,
) -> bytes:
    """Encrypt a plaintext as a Luxembourg meter does.

    Another security byte than 30 is authenticated as well, so that it is the only fault of the frame.
    """
    counter_bytes = counter.to_bytes(4, "big")
    encryptor = Cipher(AES(key), GCM(title + counter_bytes)).encryptor()
    encryptor.authenticate_additional_data(bytes([security]) + authentication_key)
    ciphertext = encryptor.update(plaintext) + encryptor.finalize()
    content = bytes([security]) + counter_bytes + ciphertext + encryptor.tag[:12]
    return b"\xdb\x08" + title + length_field(len(content), form) + content


def hex_text(text: str) -> str:
    """Write text as hex digits, as in identifiers."""
    return text.encode("ascii").hex().upper()


def time_line(second: int) -> str:
    """Write the line of a time on a winter morning."""
    return f"0-0:1.0.0(260130102{second // 60}{second % 60:02d}W)"


def luxembourg(second: int, energy: float = 1234.567, name: str = "SAG1030700012345") -> bytes:
    """Write a telegram as Luxembourg's meters send it today: three phases and a gas meter."""
    return telegram(
        "Lux5\\253000001_D",
        "1-3:0.2.8(42)",
        time_line(second),
        f"0-0:42.0.0({hex_text(name)})",
        f"1-0:1.8.0({energy:010.3f}*kWh)",
        "1-0:2.8.0(000890.123*kWh)",
        "1-0:3.8.0(000045.678*kvarh)",
        "1-0:4.8.0(000412.002*kvarh)",
        "1-0:1.7.0(01.312*kW)",
        "1-0:2.7.0(00.000*kW)",
        "1-0:3.7.0(00.000*kvar)",
        "1-0:4.7.0(00.154*kvar)",
        "0-0:17.0.0(027.6*kVA)",
        "1-0:9.7.0(01.321*kVA)",
        "1-0:10.7.0(00.000*kVA)",
        "1-1:31.4.0(040*A)(-040*A)",
        "0-0:96.3.10(1)",
        "0-1:96.3.10(0)",
        "0-2:96.3.10(0)",
        "0-0:96.7.21(00012)",
        "1-0:32.32.0(00003)",
        "1-0:52.32.0(00003)",
        "1-0:72.32.0(00002)",
        "1-0:32.36.0(00000)",
        "1-0:52.36.0(00000)",
        "1-0:72.36.0(00000)",
        "0-0:96.13.0()",
        "0-0:96.13.2()",
        "0-0:96.13.3()",
        "0-0:96.13.4()",
        "0-0:96.13.5()",
        "1-0:32.7.0(231.4*V)",
        "1-0:52.7.0(230.2*V)",
        "1-0:72.7.0(229.9*V)",
        "1-0:31.7.0(002*A)",
        "1-0:51.7.0(001*A)",
        "1-0:71.7.0(003*A)",
        "1-0:21.7.0(00.412*kW)",
        "1-0:41.7.0(00.280*kW)",
        "1-0:61.7.0(00.620*kW)",
        "1-0:22.7.0(00.000*kW)",
        "1-0:42.7.0(00.000*kW)",
        "1-0:62.7.0(00.000*kW)",
        "1-0:23.7.0(00.000*kvar)",
        "1-0:43.7.0(00.000*kvar)",
        "1-0:63.7.0(00.000*kvar)",
        "1-0:24.7.0(00.046*kvar)",
        "1-0:44.7.0(00.065*kvar)",
        "1-0:64.7.0(00.043*kvar)",
        "0-1:24.1.0(003)",
        f"0-1:96.1.0({hex_text('GFLO2133031470')})",
        "0-1:24.2.1(260130100000W)(00435.247*m3)",
        "0-1:24.4.0(1)",
        "0-2:24.1.0(007)",
        "0-2:96.1.0()",
        "0-2:24.2.1(632525252525S)(00000.000)",
    )


def luxembourg_of_2018(second: int, name: str = "SAG1030700012352") -> bytes:
    """Write the shorter telegram of older firmware, with values that have no unit."""
    return telegram(
        "Lux5\\253000002_M",
        "1-3:0.2.8(42)",
        time_line(second),
        f"0-0:42.0.0({hex_text(name)})",
        "1-0:1.8.0(000066.950*kWh)",
        "1-0:2.8.0(007425.001*kWh)",
        "1-0:3.8.0(000000.818*kvarh)",
        "1-0:4.8.0(000002.745*kvarh)",
        "1-0:1.7.0(00.000*kW)",
        "1-0:2.7.0(04.250*kW)",
        "1-0:3.7.0(00.000)",
        "1-0:4.7.0(00.007)",
        "0-0:17.0.0(77.376)",
        "0-0:96.3.10(1)",
        "0-0:96.7.21(00069)",
        "0-0:96.13.0()",
        "1-0:31.7.0(006*A)",
        "1-0:51.7.0(006*A)",
        "1-0:71.7.0(006*A)",
    )


def belgium(second: int) -> bytes:
    """Write a telegram of a Belgian meter (e-MUCS 1.7.1) with gas, water and two months of peaks."""
    return telegram(
        "FLU5\\253000003_A",
        "0-0:96.1.4(50217)",
        f"0-0:96.1.1({hex_text('1SAG1100000001')})",
        time_line(second),
        "1-0:1.8.1(000531.250*kWh)",
        "1-0:1.8.2(000640.792*kWh)",
        "1-0:2.8.1(000061.957*kWh)",
        "1-0:2.8.2(000023.548*kWh)",
        "0-0:96.14.0(0001)",
        "1-0:1.4.0(00.351*kW)",
        "1-0:1.6.0(260112183000W)(04.620*kW)",
        "0-0:98.1.0(3)(1-0:1.6.0)(1-0:1.6.0)(251201000000W)(251118191500W)(05.007*kW)"
        "(260101000000W)(251224114500W)(06.130*kW)(632525252525W)(632525252525W)(00.000*kW)",
        "1-0:1.7.0(00.000*kW)",
        "1-0:2.7.0(01.207*kW)",
        "1-0:21.7.0(00.000*kW)",
        "1-0:22.7.0(01.207*kW)",
        "1-0:32.7.0(236.7*V)",
        "1-0:31.7.0(005.10*A)",
        "0-0:96.3.10(1)",
        "0-0:17.0.0(999.9*kW)",
        "1-0:31.4.0(999*A)",
        "0-0:96.13.0()",
        "0-1:24.1.0(003)",
        f"0-1:96.1.1({hex_text('7FLO2119000001')})",
        "0-1:24.4.0(1)",
        "0-1:24.2.3(260130101502W)(00112.384*m3)",
        "0-2:24.1.0(007)",
        f"0-2:96.1.1({hex_text('8SAG1234567890')})",
        "0-2:24.2.1(260130101502W)(00872.234*m3)",
    )


def netherlands(second: int) -> bytes:
    """Write a telegram of a Dutch meter (DSMR 5) with a message and a log of power failures."""
    return telegram(
        "ISK5\\2M550T-0001",
        "1-3:0.2.8(50)",
        time_line(second),
        f"0-0:96.1.1({hex_text('E0044000000000001')})",
        "1-0:1.8.1(002130.115*kWh)",
        "1-0:1.8.2(000245.467*kWh)",
        "1-0:2.8.1(000000.000*kWh)",
        "1-0:2.8.2(000000.000*kWh)",
        "0-0:96.14.0(0002)",
        "1-0:1.7.0(00.111*kW)",
        "1-0:2.7.0(00.000*kW)",
        "0-0:96.7.21(00005)",
        "0-0:96.7.9(00003)",
        "1-0:99.97.0(2)(0-0:96.7.19)(250326095015W)(0000002014*s)(000101000001W)(2147483647*s)",
        "1-0:32.32.0(00001)",
        "1-0:32.36.0(00001)",
        f"0-0:96.13.0({hex_text('Maintenance on 3 February')})",
        "1-0:32.7.0(229.9*V)",
        "1-0:31.7.0(000*A)",
        "1-0:21.7.0(00.111*kW)",
        "1-0:22.7.0(00.000*kW)",
        "0-1:24.1.0(003)",
        f"0-1:96.1.0({hex_text('G0039001900000001')})",
        "0-1:24.2.1(260130102000W)(00246.138*m3)",
    )
