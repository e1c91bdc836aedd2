"""Whom records are about: found by id or e-mail address, however that is written, and what was found near."""

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from difflib import get_close_matches
from functools import cached_property
from typing import Any, NamedTuple

from npsflow.schemas import codec
from npsflow.streams.stage import Record

_WITH_NAME = re.compile(r"[^<]*<\s*([^<>]+@[^<>]+?)\s*>\s*")
_STATE = "customer:"  # what recover writes before the name of a customer in keys of its changelog
_BETWEEN_DIGITS = r"[\s().+/-]*"
_PHONE, _SHORTEST_PHONE = 9, 7  # digits
_PERSONAL = ("id", "email", "phone", "name")
_NEAR = 0.75  # how much of two names has to be alike, from 0 to 1
_MOST_NEAR = 3


def is_address(name: str) -> bool:
    """Whether a name is an e-mail address; ids of customers hold no `@`."""
    return "@" in name


def address(text: str) -> str:
    """An e-mail address as it is compared: `ann@example.com` of `Ann <ANN@Example.com>` or `mailto:ann@example.com`."""
    text = unicodedata.normalize("NFC", text).strip()
    if named := _WITH_NAME.fullmatch(text):
        text = named[1]
    local, at, domain = text.lower().removeprefix("mailto:").strip().rpartition("@")
    try:
        return local + at + (domain if domain.isascii() else domain.encode("idna").decode())
    except UnicodeError:
        return local + at + domain


class Person(NamedTuple):
    """Whom a record is about. `key`: the customer's id, else `source/response_id`, "" if it says neither."""

    key: str
    address: str
    phone: str
    name: str = ""


def person_in(fields: Any) -> Person:
    """The person in the JSON of a response, an invitation, an event or a case."""
    if not isinstance(fields, dict):
        return Person("", "", "")
    customer = fields.get("customer")
    if not isinstance(customer, dict):
        customer = {name: fields.get(f"customer_{name}" if name == "id" else name) for name in _PERSONAL}
    id_, email, phone, name = (value if isinstance(value := customer.get(each), str) else "" for each in _PERSONAL)
    source, number = fields.get("source"), fields.get("response_id") or fields.get("invitation_id")
    anonymous = f"{source}/{number}" if isinstance(source, str) and isinstance(number, str) else ""
    return Person(id_ or anonymous, address(email) if is_address(email) else "", phone, name)


class Mentions:
    """Whether a record holds one of these names as a whole word, plain or as JSON writes it; addresses in any case.

    Of `phones` the last nine digits are looked for, whatever stands between them. `people`: names of persons; those of
    one word are looked for nowhere, as they are many persons' names.
    """

    def __init__(self, names: Iterable[str], phones: Iterable[str] = (), people: Iterable[str] = ()) -> None:
        words = {form for name in names for written in _spellings(name) for form in (written, _in_json(written))}
        folded = [(f"(?i:{re.escape(word)})" if is_address(word) else re.escape(word)) for word in sorted(words)]
        folded += [_words(name) for name in people if len(name.split()) > 1]
        numbers = [_digits(phone) for phone in phones]
        self._pattern = re.compile(
            "|".join([f"(?<![A-Za-z0-9])(?:{'|'.join(folded)})(?![A-Za-z0-9])", *filter(None, numbers)])
        )

    def in_record(self, record: Record) -> bool:
        """Whether key, value or a header holds one."""
        texts = [record.key, record.value, *(value for _, value in record.headers)]
        return any(text is not None and self._pattern.search(_plain(text)) for text in texts)


def _digits(phone: str) -> str:
    """A pattern, "" for what is too short to tell one from another."""
    digits = re.sub(r"[^0-9]", "", phone)[-_PHONE:]
    return _BETWEEN_DIGITS.join(digits) + "(?![0-9])" if len(digits) >= _SHORTEST_PHONE else ""


def _words(name: str) -> str:
    """A pattern of a person's name, with whatever blanks between its parts."""
    parts = unicodedata.normalize("NFC", name).split()
    return "(?i:" + r"\s+".join(f"(?:{re.escape(part)}|{re.escape(_in_json(part))})" for part in parts) + ")"


def _spellings(name: str) -> set[str]:
    if not is_address(name):
        return {name}
    local, _, domain = address(name).rpartition("@")
    with suppress(UnicodeError):
        return {name, f"{local}@{domain}", f"{local}@{domain.encode().decode('idna')}"}
    return {name, f"{local}@{domain}"}


def _in_json(text: str) -> str:
    return codec.encode(text)[1:-1].decode()


def _plain(text: bytes) -> str:
    r"""JSON without escapes that it does not need, as \u0041 or \/; other text as it is."""
    if b"\\" in text:
        with suppress(codec.NotJson):
            text = codec.dumps(codec.loads(text))
    plain = text.decode(errors="replace")
    return plain if plain.isascii() else unicodedata.normalize("NFC", plain)


class Search:
    """Looks for customers in all records that it is shown. `names`: ids and e-mail addresses.

    `known`: those of the names that a record is about. `customers`: how many records were about each customer who has
    one of the addresses. `addresses`, `phones`, `people`: of customers whose id or address is one of the names.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.names = frozenset(names)
        self.known: set[str] = set()
        self.customers: Counter[str] = Counter()
        self.addresses: set[str] = set()
        self.phones: set[str] = set()
        self.people: set[str] = set()
        self._mentions = {name: Mentions([name]) for name in names}
        self._any = Mentions(names)
        self._addresses = {address(name): name for name in names if is_address(name)}

    def mentioned_in(self, record: Record) -> bool:
        """Whether a record mentions any of the names."""
        return self._any.in_record(record)

    def mentions(self) -> Mentions:
        """What mentions the customers in whatever way is known, for texts that are about nobody in particular."""
        return Mentions([*self.names, *self.addresses], self.phones, self.people)

    def see(self, record: Record, *, as_received: bool) -> None:
        """Take a record. One that is kept `as_received` is about everybody whom it mentions."""
        if not self.mentioned_in(record):
            return
        key = (record.key or b"").decode(errors="replace").removeprefix(_STATE)
        person = person_in(_json(record.value))
        self.known |= {key, person.key} & self._mentions.keys()
        name = self._addresses.get(person.address)
        if person.key in self._mentions or name is not None:
            self.addresses |= {person.address} - {""}
            self.phones |= {person.phone} - {""}
            self.people |= {person.name} - {""}
        if name is not None:
            self.known.add(name)
            if person.key:
                self.customers[person.key] += 1
        if as_received:
            self.known |= {name for name, mentions in self._mentions.items() if mentions.in_record(record)}


class Neighbours:
    """The ids and addresses that there are, of which some may be what was meant."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._addresses: set[str] = set()

    def see(self, record: Record) -> None:
        """Take a record, of any topic but that of dead letters."""
        key = (record.key or b"").decode(errors="replace")
        person = person_in(_json(record.value))
        self._ids |= {person.key, key.removeprefix(_STATE) if key.startswith(_STATE) else ""} - {""}
        self._addresses |= {person.address} - {""}

    def near(self, name: str) -> list[str]:
        """Those most like a name, the most alike first."""
        candidates = self._by_folded[is_address(name)]
        folded = (address(name) if is_address(name) else name).casefold()
        alike = get_close_matches(folded, candidates, _MOST_NEAR, _NEAR)
        return [original for like in alike for original in candidates[like] if original != name][:_MOST_NEAR]

    @cached_property
    def _by_folded(self) -> dict[bool, dict[str, list[str]]]:
        """Ids (False) and addresses (True) by how they are compared."""
        found: dict[bool, dict[str, list[str]]] = {False: {}, True: {}}
        for is_one, names in (False, self._ids), (True, self._addresses):
            for name in sorted(names):
                found[is_one].setdefault(name.casefold(), []).append(name)
        return found


def _json(value: bytes | None) -> Any:
    try:
        return codec.loads(value or b"")
    except codec.NotJson:
        return None
