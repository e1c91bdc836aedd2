"""What every platform's adapter has to do, shown on the payloads in its folder of `fixtures`.

`form.toml` is the mapping, `good.json` a whole payload as the platform documents it, `expected.json` what it becomes.
`updated.json`: the same response with a comment that came later; or `before.json`, what came before the good one.
Where the platform has it: `partial.json`, no score yet; `deleted.json`, the answers are gone; `offered.json` becomes
`invitation.json`; `asked.json` becomes `fetch.json`.
"""

import json
import re
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from npsflow.agents.intake.delivery import Delivery, Forged, Malformed, Stale, TurnedDown
from npsflow.agents.intake.turning import Entrance
from npsflow.schemas.response import Deletion, Response
from npsflow.schemas.topics import FETCHES, INVITATIONS, RESPONSES
from npsflow.streams.forms import Form, Unmapped, check
from npsflow.streams.reading import read
from npsflow.streams.scores import Scales

from .signing import SECRET, SIGN, SIGNS_A_TIME, Sign

FIXTURES = Path(__file__).parent / "fixtures"
NOW = 1_772_377_331.0
BECOMES = {"good.json": "expected.json", "offered.json": "invitation.json", "asked.json": "fetch.json"}
UNREADABLE = (b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000)


class Conformance:
    """One platform; `sign` as it signs, with a time or without."""

    def __init__(self, folder: Path, sign: Sign, *, signs_a_time: bool) -> None:
        self.folder, self.sign, self.signs_a_time = folder, sign, signs_a_time
        self.signs_the_body = sign(b"a", SECRET, NOW) != sign(b"b", SECRET, NOW)
        self.form = msgspec.convert(tomllib.loads((folder / "form.toml").read_text()), Form)
        self.entrance = Entrance("e", self.form, [SECRET], "a key for customers")
        self.good = self.body("good.json")

    def body(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def versions(self) -> tuple[bytes, bytes]:
        """What the platform sends of one response, the earlier first."""
        if self.has("before.json"):
            return self.body("before.json"), self.good
        return self.good, self.body("updated.json")

    def delivery(self, body: bytes, secret: str = SECRET, now: float = NOW) -> Delivery:
        headers = self.sign(body, secret, now)
        return Delivery({name.lower(): value for name, value in headers.items()}, body)

    def become(self, body: bytes, entrance: Entrance | None = None) -> list[dict[str, Any]]:
        entrance, delivery = entrance or self.entrance, self.delivery(body)
        entrance.verify(delivery, NOW)
        found = []
        for topic, key, value in entrance.records(delivery, NOW):
            made = json.loads(value)
            assert key.decode() == key_of(topic, made)
            found.append(made)
        return found

    def entered(self, key: str = "", **changes: Any) -> Entrance:
        """The entrance with another mapping; `key` makes pseudonyms."""
        return Entrance("e", msgspec.structs.replace(self.form, **changes), [SECRET], key)

    def conforms(self) -> None:
        assert check(self.form) is None
        self._becomes()
        self._accepted()
        self._verified()
        self._unreadable()
        self._unmapped()
        self._updated()
        self._partial()
        self._deleted()
        self._customer()

    def _becomes(self) -> None:
        for sent, wanted in BECOMES.items():
            if sent == "good.json" or self.has(sent):
                found, expected = self.become(self.body(sent)), json.loads(self.body(wanted))
                assert masked(found) == expected
                assert self.become(self.body(sent)) == found  # sent again, it is the same again

    def _accepted(self) -> None:
        for response in self.become(self.good):
            answer, _, warnings = read(json.dumps(response).encode(), Scales())
            assert isinstance(answer, Response)
            assert warnings == ()

    def _verified(self) -> None:
        for secrets in ([SECRET, "bmV3"], ["bmV3", SECRET]):  # while one replaces the other both hold
            for secret in secrets:
                Entrance("e", self.form, secrets, "").verify(self.delivery(self.good, secret), NOW)
        forged = [Delivery({}, self.good), self.delivery(self.good, secret="d3Jvbmc=")]
        signed = self.delivery(self.good).headers
        forged += [Delivery({**signed, name: "\udcff"}, self.good) for name in signed]  # so aiohttp gives the byte ff
        if self.signs_the_body:
            forged.append(Delivery(self.delivery(self.good).headers, self.good + b" "))
        for delivery in forged:
            with pytest.raises(Forged):
                self.entrance.verify(delivery, NOW)
        if self.signs_a_time:
            for late in (-301, 301):
                with pytest.raises(Stale):
                    self.entrance.verify(self.delivery(self.good), NOW + late)

    def _unreadable(self) -> None:
        for body in UNREADABLE:
            with pytest.raises(Malformed):
                self.become(body)
        without = json.loads(self.good)
        for name in without:
            less = json.dumps({n: v for n, v in without.items() if n != name}).encode()
            try:
                self.become(less)
            except (TurnedDown, Unmapped) as error:
                assert "example.com" not in str(error)

    def _unmapped(self) -> None:
        for entrance in (self.entered(scores=[]), self.entered(forms=["other"])):
            with pytest.raises(Unmapped):
                self.become(self.good, entrance)

    def _updated(self) -> None:
        earlier, later = (self.become(body) for body in self.versions())
        for before, after in zip(earlier, later, strict=True):
            assert before["response_id"] == after["response_id"]
            assert version(before) < version(after)
            assert after["comment"] != before.get("comment")

    def _partial(self) -> None:
        """A form of which no score question is answered yet."""
        if self.has("partial.json"):
            assert self.become(self.body("partial.json")) == []
        nowhere = [msgspec.structs.replace(score, question=score.question + "-later") for score in self.form.scores]
        try:
            found = self.become(self.good, self.entered(scores=nowhere))
        except Unmapped:
            return  # the platform tells which questions a form has
        assert found == []

    def _deleted(self) -> None:
        if self.has("deleted.json"):
            for response, good in zip(self.become(self.body("deleted.json")), self.become(self.good), strict=True):
                assert response["response_id"] == good["response_id"]
                assert isinstance(read(json.dumps(response).encode(), Scales())[0], Deletion)

    def _customer(self) -> None:
        """Where the company's own number is not known, the address gives one: the same however it is written."""
        fields = {name: path for name, path in self.form.fields.items() if name != "customer.id"}
        assert "customer.email" in fields
        loud = re.sub(rb"[\w.]+@example\.com", lambda found: found[0].upper(), self.good, flags=re.IGNORECASE)
        ids = {
            response["customer"]["id"]
            for body in (self.good, loud)
            for response in self.become(body, self.entered("a key", fields=fields))
        }
        assert loud != self.good
        assert len(ids) == 1
        assert re.fullmatch("e-[0-9a-f]{32}", ids.pop())
        for response in self.become(self.good, self.entered("", fields=fields)):
            assert "id" not in response["customer"]


def platform(name: str) -> Conformance:
    return Conformance(FIXTURES / name, SIGN[name], signs_a_time=name in SIGNS_A_TIME)


def key_of(topic: str, made: dict[str, Any]) -> str:
    """The key under which this value has to stand."""
    if topic == RESPONSES:
        return f"{made['source']}/{made['response_id']}"
    if topic == INVITATIONS:
        return str(made.get("customer", {}).get("id") or f"{made['source']}/{made['invitation_id']}")
    assert topic == FETCHES
    return f"{made['entrance']}/{made['event_id']}"


def version(response: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(response.get("updated_at") or response["submitted_at"])


def masked(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pseudonyms cannot be written down beforehand: they depend on the key."""
    return [
        made | {"customer": made["customer"] | {"id": "PSEUDONYM"}}
        if str(made.get("customer", {}).get("id", "")).startswith("e-")
        else made
        for made in values
    ]
