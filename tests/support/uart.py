"""A serial line, bit by bit: the bytes that a UART reads if polarity or speed are wrong.

Without code of smarty_gateway, so that it checks `signal_faults` independently.
"""

from collections.abc import Sequence


def line(data: bytes, *, idle: int = 40, pause: int = 0) -> list[int]:
    """Return the levels on a line of eight bits and no parity, idle before and after.

    Args:
        data: the bytes that are sent.
        idle: the length of the idle times, in bits.
        pause: the bits between two characters.
    """
    levels = [1] * idle
    for byte in data:
        levels += [0, *(byte >> bit & 1 for bit in range(8)), 1, *[1] * pause]
    return levels + [1] * idle


def inverted(levels: Sequence[int]) -> list[int]:
    """Invert a line."""
    return [1 - level for level in levels]


def at_other_speed(levels: Sequence[int], ratio: float) -> list[int]:
    """Return the levels as sampled by a receiver that is faster by this ratio (above 1), or slower."""
    return [levels[int((at + 0.5) / ratio)] for at in range(int(len(levels) * ratio))]


def receive(levels: Sequence[int], *, waits_for_fall: bool = True) -> bytes:
    """Return the bytes that a UART reads from a line.

    Args:
        levels: one for each of the receiver's bits.
        waits_for_fall: after a missing stop bit, wait for the line to rise and fall (most microcontrollers
            and USB adapters), or take it as a start bit (16550).
    """
    found = bytearray()
    at = _next(levels, 0, 1)
    while True:
        at = _next(levels, at, 0)
        if at + 10 > len(levels):
            return bytes(found)
        found.append(sum(levels[at + 1 + bit] << bit for bit in range(8)))
        is_break = not any(levels[at + 1 : at + 9])
        at += 9
        if not levels[at] and (waits_for_fall or is_break):
            at = _next(levels, at, 1)


def _next(levels: Sequence[int], at: int, level: int) -> int:
    while at < len(levels) and levels[at] != level:
        at += 1
    return at
