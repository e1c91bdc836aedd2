"""Whom records are about, however an address is written."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from npsflow.agents.cases.persons import Mentions, Neighbours, Person, Search, address, person_in
from npsflow.schemas import codec
from npsflow.schemas.headers import Headers


@dataclass
class Kept:
    """A record as Kafka keeps it."""

    value: bytes | None
    key: bytes | None = None
    topic: str = "t"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    headers: Headers = field(default_factory=list)


def answered(number: int, customer: dict[str, Any] | None) -> Kept:
    fields = {"source": "s", "response_id": f"r-{number}", "customer": customer}
    return Kept(codec.dumps(fields), f"s/r-{number}".encode())


@pytest.mark.parametrize(
    "written",
    ["ann@bücher.example", " ANN@Bücher.Example ", "Ann Example <ann@bücher.example>", "mailto:ann@BÜCHER.example",
     "ann@xn--bcher-kva.example", "ann@bu\u0308cher.example"],
)  # fmt: skip
def test_one_address_in_many_spellings(written: str) -> None:
    assert address(written) == "ann@xn--bcher-kva.example"
    search = Search([written])
    search.see(answered(1, {"id": "C-1", "email": "Ann@Bücher.Example"}), as_received=False)
    search.see(answered(2, {"id": "C-2", "email": "joann@bücher.example"}), as_received=False)
    search.see(answered(3, {"email": "<ann@xn--bcher-kva.example>"}), as_received=False)
    assert (search.known, dict(search.customers)) == ({written}, {"C-1": 1, "s/r-3": 1})


def test_what_no_domain_is_an_address_all_the_same() -> None:
    assert address(f"ann@{'ü' * 99}.example") == f"ann@{'ü' * 99}.example"


@pytest.mark.parametrize(
    ("fields", "person"),
    [
        ({"customer": {"name": "Ann Example"}}, Person("", "", "", "Ann Example")),
        ({"customer_id": "C-1", "name": "Ann Example"}, Person("C-1", "", "", "Ann Example")),
        ({"customer": {"id": "C-1", "email": "A@b.example", "phone": "1"}}, Person("C-1", "a@b.example", "1")),
        ({"customer_id": "C-1", "email": "A@b.example", "phone": "1"}, Person("C-1", "a@b.example", "1")),
        ({"source": "s", "response_id": "r", "customer": {"email": 7}}, Person("s/r", "", "")),
        ({"source": "s", "invitation_id": "i", "customer": "Ann"}, Person("s/i", "", "")),
        ({"source": "s", "email": "no address"}, Person("", "", "")),
        (["a@b.example"], Person("", "", "")),
    ],
)
def test_whom_a_value_is_about(fields: Any, person: Person) -> None:
    assert person_in(fields) == person


def test_a_customer_is_known_only_by_what_names_one() -> None:
    """Not by a word that stands somewhere, which a short id or a name of an agent would."""
    search = Search(["7", "anna", "C-1", "s/r-1", "C-9"])
    search.see(
        Kept(codec.dumps({"customer_id": "C-2", "score": 7, "agent_id": "anna", "comment": "C-9"})), as_received=False
    )
    assert search.known == set()
    search.see(answered(1, {"id": "C-1"}), as_received=False)
    search.see(answered(1, None), as_received=False)
    search.see(Kept(b"\x93", b"customer:C-9"), as_received=False)
    assert search.known == {"C-1", "s/r-1", "C-9"}
    search.see(Kept(b"member=anna&email=x"), as_received=True)
    assert search.known == {"C-1", "s/r-1", "C-9", "anna"}


def test_whole_words_plain_and_escaped() -> None:
    mentions = Mentions(['C/1"', "ann@example.com"])
    assert mentions.in_record(Kept(rb'{"id":"C\/1\""}'))
    assert mentions.in_record(Kept(rb'{"to":"\u0041nn@Example.com"}'))
    assert not mentions.in_record(Kept(b'{"to":"joann@example.com"}'))


def test_what_is_near() -> None:
    known = Neighbours()
    for number, name in enumerate(["C-4711", "c-9", "C-47110", "other"]):
        known.see(answered(number, {"id": name, "email": f"{name}@Example.com"}))
    known.see(Kept(None, b"customer:C-4712"))
    assert "C-4711" in known.near("C-4171")
    assert known.near("C-9") == ["c-9"]
    assert known.near("OTHER@exmaple.com") == ["other@example.com"]
    assert known.near("nobody at all") == []


@pytest.mark.parametrize(
    ("comment", "found"),
    [
        ("Zoë Example has a new router", True), ("zoë\u00a0 EXAMPLE, too", True), ("call +31 (6) 12 34 56 78", True),
        ("wrote to ZOE@example.com", True), ("C-1 is told", True), ("Zoë is told", False), ("an Example", False),
        ("Zoë Examples", False), ("C-12 is told", False),
    ],
)  # fmt: skip
def test_texts_of_nobody_mention_customers_by_whatever_is_known_of_them(comment: str, found: bool) -> None:
    customer = {"id": "C-1", "name": "Zoe\u0308 Example", "email": "zoe@example.com", "phone": "+31 6 12345678"}
    for names in ["C-1"], ["zoe@example.com", "C-1"]:
        search = Search(names)
        search.see(answered(1, customer), as_received=False)
        for value in codec.dumps({"comment": comment}), json.dumps({"comment": comment}).encode():
            assert search.mentions().in_record(Kept(value)) is found
