"""The sender of a request: the peer's address, or the one that a trusted proxy names."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_Address = IPv4Address | IPv6Address


class Senders:
    """`trusted`: addresses or networks of proxies that write X-Forwarded-For. Raises ValueError for what is neither."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = [ip_network(network, strict=False) for network in trusted]

    def is_trusted(self, peer: str) -> bool:
        """Whether the peer is one of the proxies."""
        address = _address(peer)
        return address is not None and self._is_proxy(address)

    def identify(self, peer: str, forwarded: Iterable[str] = ()) -> str:
        """Whose limits apply. `forwarded`: the X-Forwarded-For headers, in their order.

        Each proxy appends the address that it was called from. The last address that is no trusted proxy is the sender;
        those before it may be made up.
        """
        address = _address(peer)
        if address is None:
            return peer
        for hop in reversed([hop.strip() for header in forwarded for hop in header.split(",")]):
            before = _address(hop) if self._is_proxy(address) else None
            if before is None:
                break
            address = before
        return _subscriber(address)

    def _is_proxy(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _address(text: str) -> _Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _subscriber(address: _Address) -> str:
    """Of IPv6 the /64 network: a subscriber has all of it."""
    return str(address if isinstance(address, IPv4Address) else ip_network((int(address), 64), strict=False))
