"""CRC-16 in the three forms that occur on a P1 port: by fastcrc, or, where that is not installed, in Python.

fastcrc is a dependency of the wheel, but no package of Debian. What is here in its place takes about a
hundred times as long, which a meter that sends a telegram a second does not notice. Names and parameters are
those of the "Catalogue of parametrised CRC algorithms": `arc` is the CRC of a telegram (DSMR 5.0.2 P1,
clause 6.2), `ibm_sdlc` that of an HDLC frame, and `modbus` that of Modbus.
"""

from collections.abc import Callable

arc: Callable[[bytes], int]
ibm_sdlc: Callable[[bytes], int]
modbus: Callable[[bytes], int]


def _crc_of(polynomial: int, start: int, last: int) -> Callable[[bytes], int]:
    """Return a function for one form, in which the lowest bit of each byte comes first.

    Args:
        polynomial: with its highest power in the lowest bit.
        start: what the computation starts from.
        last: what the result is combined with by exclusive or.
    """
    table = []
    for index in range(256):
        step = index
        for _ in range(8):
            step = step >> 1 ^ (polynomial if step & 1 else 0)
        table.append(step)

    def crc_of(data: bytes) -> int:
        crc = start
        for byte in data:
            crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
        return crc ^ last

    return crc_of


try:
    from fastcrc.crc16 import arc, ibm_sdlc, modbus
except ImportError:
    arc = _crc_of(0xA001, 0, 0)
    ibm_sdlc = _crc_of(0x8408, 0xFFFF, 0xFFFF)
    modbus = _crc_of(0xA001, 0xFFFF, 0)
