"""Makes the source for an address."""

from smarty_gateway.sources.address import DSMR4_LINE, Address, Kind, LineSettings
from smarty_gateway.sources.recording import RecordingSource
from smarty_gateway.sources.source import Source
from smarty_gateway.sources.tcp import TcpSource


def source_for(address: Address, line: LineSettings | None = None, *, recorded_pace: bool = False) -> Source:
    """Return the source for an address; it is not opened yet.

    Args:
        address: of the source.
        line: speed and framing of a serial port.
        recorded_pace: replay a capture as slowly as it was recorded.
    """
    if address.kind is Kind.TCP:
        return TcpSource(address)
    if address.kind in (Kind.SERIAL, Kind.RFC2217):
        # Its library is loaded only where it is needed.
        from smarty_gateway.sources.serial_port import SerialSource  # noqa: PLC0415

        return SerialSource(address, line or DSMR4_LINE)
    return RecordingSource(address, recorded_pace=recorded_pace)
