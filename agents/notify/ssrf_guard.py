"""Addresses that a notifier may connect to: not those of our own network, whatever a name resolves to.

A name is resolved once for a connection, every address it has must be public, and the connection goes to one of these.
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
    """The address is one of our own network, or none."""


class Guarded(AbstractResolver):
    """Resolves as the system does. Raises NotAllowed."""

    def __init__(self) -> None:
        self._system = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        found = await self._system.resolve(host, port, family)
        for one in found:
            expect_public(one["host"])
        return found

    async def close(self) -> None:
        await self._system.close()


def expect_allowed(url: URL, *, internal: bool) -> None:
    """An address as it is written: literal ones are not resolved. Raises NotAllowed."""
    if internal:
        return
    if url.scheme != "https" or url.user or not url.host:
        raise NotAllowed("only https addresses without a user are allowed, unless `internal` is set")
    try:
        ip_address(url.host)
    except ValueError:
        return
    expect_public(url.host)


def expect_tls(what: str, url: str) -> None:
    """Of an address to which a secret goes, or that is one: only this machine may be without. Raises SettingsError."""
    try:
        found = URL(url)
    except ValueError:
        raise SettingsError(f"{what} is no URL") from None
    if found.scheme != "https" and found.host not in ("127.0.0.1", "localhost", "::1"):
        raise SettingsError(f"{what} is not https: the secret would go in the clear")


def expect_public(address: str) -> None:
    """Raises NotAllowed."""
    if not all(_public(one) for one in _meant(ip_address(address.partition("%")[0]))):
        raise NotAllowed("the address is one of our own network, which `internal` has to allow")


def _public(address: IPv4Address | IPv6Address) -> bool:
    """Of IPv6 only global unicast: all other prefixes are special, and some lead to IPv4 in ways of their own."""
    usual = isinstance(address, IPv4Address) or address in _UNICAST or address in _NAT64
    return usual and address.is_global and not address.is_multicast


def _meant(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address and those that are wrapped in it."""
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
