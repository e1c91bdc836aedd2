"""Keeps notifiers from connecting to our own network (server-side request forgery).

A name is resolved once for a connection. All its addresses have to be public, and the connection goes to one of them.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import AF_UNSPEC, AddressFamily

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from npsflow.schemas.errors import SettingsError

_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


class NotAllowed(OSError):
    """The address is one of our own network, or no address that may be used."""


class PublicResolver(AbstractResolver):
    """Resolves names as the system does, to public addresses only."""

    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        """Raises NotAllowed if one of the addresses is not public."""
        results = await self._system.resolve(host, port, family)
        for result in results:
            expect_public(result["host"])
        return results

    async def close(self) -> None:
        """Release the system's resolver."""
        await self._system.close()


def expect_allowed(url: URL, *, internal: bool) -> None:
    """Check a URL as written, as literal addresses are never resolved. Raises NotAllowed unless `internal`."""
    if internal:
        return
    if url.scheme != "https" or url.user or not url.host:
        raise NotAllowed("only https addresses without a user are allowed, unless `internal` is set")
    try:
        ip_address(url.host)
    except ValueError:
        return
    expect_public(url.host)


def expect_tls(name: str, url: str, cure: str = "") -> None:
    """Check a URL that a secret is sent to. Raises SettingsError if it is not https, except on this machine."""
    try:
        parsed = URL(url)
    except ValueError:
        raise SettingsError(f"{name} is no URL") from None
    if parsed.scheme != "https" and parsed.host not in ("127.0.0.1", "localhost", "::1"):
        hint = f"; {cure}" if cure else ""
        raise SettingsError(f"{name} is not https: the secret would go in the clear{hint}")


def expect_public(address: str) -> None:
    """Raises NotAllowed if an IP address, or one that is wrapped in it, is not public."""
    if not all(map(_is_public, _with_wrapped(ip_address(address.partition("%")[0])))):
        raise NotAllowed("the address is one of our own network, which `internal` has to allow")


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """IPv6 only if global unicast: all other prefixes are special, and some lead to IPv4."""
    known = isinstance(address, IPv4Address) or address in _UNICAST or address in _NAT64
    return known and address.is_global and not address.is_multicast


def _with_wrapped(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address and the IPv4 addresses that are wrapped in it; an IPv4-mapped one stands for its IPv4 address."""
    if isinstance(address, IPv4Address):
        return [address]
    inner: list[IPv4Address | IPv6Address] = []
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        inner.append(address.sixtofour)
    if address.teredo is not None:
        inner += address.teredo
    if address in _NAT64:
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *inner]
