"""How much of a server one sender may use, and for how long."""

from dataclasses import dataclass

MAX_LINE = 4096
"""Bytes of the first line of a request, and of each header."""

MAX_HEADERS = 64


@dataclass(frozen=True)
class Limits:
    """`rate`: requests a second of one sender. `connections`: in all, and of one sender. `at_once`: requests in work.

    Seconds: for the head of a request from its first byte, for its body, for the whole request until its answer is
    taken, and without any request.
    """

    rate: float = 200.0
    connections: int = 1000
    connections_of_one: int = 100
    at_once: int = 256
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    whole_seconds: float = 30.0
    idle_seconds: float = 75.0  # longer than the 60 that balancers keep connections they do not use
