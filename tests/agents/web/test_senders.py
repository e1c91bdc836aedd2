"""Whose limits apply."""

import pytest

from npsflow.agents.web.senders import Senders

PROXIES = Senders(["10.0.0.0/8", "192.0.2.7", "2001:db8:ffff::/48"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "sender"),
    [
        ("203.0.113.1", [], "203.0.113.1"),
        ("203.0.113.1", ["198.51.100.1"], "203.0.113.1"),  # it is no proxy of ours
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),  # what the sender itself has written does not count
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1,192.0.2.7"], "198.51.100.1"),
        ("10.0.0.1", ["10.1.1.1"], "10.1.1.1"),
        ("10.0.0.1", ["someone"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:1:2:3::4", [], "2001:db8:1:2::/64"),  # a subscriber has all addresses of it
        ("2001:db8:ffff::1", ["2001:db8:1:2:9::9"], "2001:db8:1:2::/64"),
        ("", [], ""),
    ],
)
def test_sender(peer: str, forwarded: list[str], sender: str) -> None:
    assert PROXIES.identify(peer, forwarded) == sender


def test_what_is_no_address_is_no_proxy() -> None:
    assert not PROXIES.is_trusted("")
    with pytest.raises(ValueError, match="my proxy"):
        Senders(["my proxy"])
