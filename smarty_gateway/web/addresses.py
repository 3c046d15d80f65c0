"""The addresses from which clients ask."""

from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address


def address_of(text: str) -> Address | None:
    """Return an IP address; None if it is not one.

    A socket for both kinds of addresses shows one of IPv4 as `::ffff:192.0.2.1`.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def owner_of(address: Address | None) -> object:
    """Return what counts as one client: a household or a server has 2**64 addresses of IPv6 (RFC 6177)."""
    return int(address) >> 64 if isinstance(address, IPv6Address) else address
