"""The keys of all customers in memory, made from the records of `customer-keys`. Pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from npsflow.agents.sealing.cipher import VARIABLE, NotOpened, open_content
from npsflow.schemas import codec
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.sealed import MARK, PATTERN

ERASED = "erased"
"""What a token becomes whose key is gone."""

_MARK = MARK.encode()
_TOKEN = re.compile(PATTERN.encode())
_LOCKED = b""  # in place of a secret that is wrapped by one that this process does not have


class Key(NamedTuple):
    """`at`: when it was last written, in ms."""

    id: str
    secret: bytes
    at: int

    def __repr__(self) -> str:
        return f"Key({self.id!r}, …)"


class KeyTable:
    """Keys by their ids and by customer; of several keys of a customer that with the smallest id seals."""

    def __init__(self) -> None:
        self._keys: dict[str, tuple[bytes, int]] = {}
        self._ids: dict[str, str | tuple[str, ...]] = {}  # nearly all customers have one

    def put(self, customer: str, key_id: str, secret: bytes | None, at: int) -> None:
        """Take a key; None for one that is wrapped by a secret that is not here."""
        self._keys[key_id] = secret or _LOCKED, at
        if customer and key_id not in (ids := self.ids(customer)):
            self._ids[customer] = tuple(sorted((*ids, key_id))) if ids else key_id

    def remove(self, customer: str, key_id: str) -> None:
        """Forget a key."""
        self._keys.pop(key_id, None)
        left = tuple(id_ for id_ in self.ids(customer) if id_ != key_id)
        if left:
            self._ids[customer] = left[0] if len(left) == 1 else left
        else:
            self._ids.pop(customer, None)

    def ids(self, customer: str) -> tuple[str, ...]:
        """The ids of all keys of a customer, the smallest first."""
        ids = self._ids.get(customer, ())
        return (ids,) if isinstance(ids, str) else ids

    def find(self, customer: str) -> Key | None:
        """The key that seals texts of a customer. Raises SettingsError where it is wrapped by another secret."""
        for key_id in self.ids(customer):
            return Key(key_id, self._secret(key_id), self._keys[key_id][1])
        return None

    def has(self, key_id: str) -> bool:
        """Whether there is a key with this id."""
        return key_id in self._keys

    def all_keys(self) -> list[tuple[str, Key]]:
        """Every key, with its customer, "" for one of none. Raises SettingsError as `find`."""
        customers = {key_id: customer for customer in self._ids for key_id in self.ids(customer)}
        return [(customers.get(id_, ""), Key(id_, self._secret(id_), at)) for id_, (_, at) in self._keys.items()]

    def __len__(self) -> int:
        return len(self._keys)

    def open(self, data: bytes) -> bytes:
        """JSON, or a token alone, with the texts in place of tokens. Raises SettingsError as `find`.

        A token alone becomes the bytes that were sealed, one within JSON a text there.
        """
        if _MARK not in data:
            return data
        if (alone := _TOKEN.fullmatch(data)) is not None:
            return self._text(alone)
        return _TOKEN.sub(lambda token: _in_json(self._text(token)), data)

    def _text(self, token: re.Match[bytes]) -> bytes:
        key_id = token[1].decode()
        if key_id not in self._keys:
            return ERASED.encode()
        try:
            return open_content(token[2], self._secret(key_id))
        except NotOpened:  # a customer may write what looks like a token
            return ERASED.encode()

    def _secret(self, key_id: str) -> bytes:
        secret = self._keys[key_id][0]
        if secret == _LOCKED:
            raise SettingsError(
                f"keys of customers are wrapped by a secret that is not here: set {VARIABLE} as when they were made"
            )
        return secret


def has_tokens(data: bytes | None) -> bool:
    """Whether there may be a token in it."""
    return data is not None and _MARK in data


def key_ids(data: bytes) -> Iterable[str]:
    """The ids of the keys of all tokens in it."""
    return (token[1].decode() for token in _TOKEN.finditer(data))


def alone(data: bytes | None) -> str | None:
    """The id of the key of a token that is all there is; None for anything else."""
    token = _TOKEN.fullmatch(data) if data is not None and data.startswith(_MARK) else None
    return None if token is None else token[1].decode()


def _in_json(text: bytes) -> bytes:
    return codec.dumps(text.decode(errors="replace"))[1:-1]
