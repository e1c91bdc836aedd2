"""What every platform's adapter has to do, shown on the payloads in its folder of `fixtures`.

`form.toml` is the mapping, `good.json` a whole payload as the platform documents it, `expected.json` what it becomes;
`deleted.json`, where the platform says that answers are gone. Where its payloads hold none, `answers.json` is what its
API says, by path and query, to the question in `fetch.json` that a payload becomes.
"""

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from npsflow.agents.intake import platforms
from npsflow.agents.intake.api import Api, Never, Unanswered
from npsflow.agents.intake.delivery import Delivery, Forged, Malformed, Stale, TurnedDown
from npsflow.agents.intake.turning import Entrance, Record
from npsflow.schemas.response import Deletion, Response
from npsflow.schemas.topics import FETCHES, RESPONSES
from npsflow.streams.forms import Form, Unmapped, check
from npsflow.streams.reading import read
from npsflow.streams.scores import Scales

from .signing import ENVELOPE, SECRET, TOKEN_IN_ADDRESS, Sign

FIXTURES = Path(__file__).parent / "fixtures"
NOW = 1_772_377_331.0


class Told(Api):
    """An API that says what is in `answers`, without a network."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._told = answers

    async def get(self, *path: str, **query: str) -> dict[str, Any]:
        asked = "?".join(filter(None, ("/".join(path), "&".join(f"{name}={value}" for name, value in query.items()))))
        if asked not in self._told:
            raise Never("it answers 404")
        answer: dict[str, Any] = self._told[asked]
        return answer


class Conformance:
    """One platform; `sign` as it signs, with a time or without."""

    def __init__(self, folder: Path, sign: Sign, *, signs_a_time: bool) -> None:
        self.folder, self.sign, self._signs_a_time = folder, sign, signs_a_time
        self.form = msgspec.convert(tomllib.loads((folder / "form.toml").read_text()), Form)
        self.entrance = Entrance("e", self.form, [SECRET], "a key for customers")
        self.good = (folder / "good.json").read_bytes()
        answers = folder / "answers.json"
        self.answers: dict[str, Any] = json.loads(answers.read_text()) if answers.exists() else {}

    def delivery(self, body: bytes, secret: str = SECRET, now: float = NOW) -> Delivery:
        if (enveloped := ENVELOPE.get(self.form.platform)) is not None:
            body = enveloped(body, secret)
        headers = self.sign(body, secret, now)
        query = {"token": secret} if self.form.platform in TOKEN_IN_ADDRESS else {}
        return Delivery({name.lower(): value for name, value in headers.items()}, body, query)

    def become(self, body: bytes, entrance: Entrance | None = None) -> list[dict[str, Any]]:
        entrance, delivery = entrance or self.entrance, self.delivery(body)
        entrance.verify(delivery, NOW)
        found = []
        for record in entrance.records(delivery, NOW):
            for topic, key, value in self.answered(entrance, record):
                assert topic == RESPONSES
                response = json.loads(value)
                assert key == f"{response['source']}/{response['response_id']}".encode()
                found.append(response)
        return found

    def answered(self, entrance: Entrance, record: Record) -> list[Record]:
        """The same, or what its fetch gives."""
        answers = platforms.named(self.form.platform).answers
        if answers is None or record.topic != FETCHES:
            return [record]
        sent = asyncio.run(answers.get(Told(self.answers), json.loads(record.value)["ids"]))
        return [made for one in sent for made in entrance.responses(one)]

    def conforms(self) -> None:
        assert check(self.form) is None
        self._good()
        self._verified()
        self._unreadable()
        self._unmapped()
        self._partial()
        self._deleted()
        self._asked()

    def _good(self) -> None:
        found, expected = self.become(self.good), json.loads((self.folder / "expected.json").read_text())
        for response, wanted in zip(found, expected, strict=True):
            if wanted.get("customer", {}).get("id") == "PSEUDONYM":
                wanted["customer"]["id"] = response["customer"]["id"]
                assert response["customer"]["id"].startswith("e-")
        assert found == expected
        assert self.become(self.good) == found  # sent again, it is the same again
        for response in found:
            answer, _, warnings = read(json.dumps(response).encode(), Scales())
            assert isinstance(answer, Response)
            assert warnings == ()

    def _verified(self) -> None:
        for secrets in ([SECRET, "bmV3"], ["bmV3", SECRET]):  # while one replaces the other both hold
            Entrance("e", self.form, secrets, "").verify(self.delivery(self.good), NOW)
        forged = [
            Delivery({}, self.good),
            self.delivery(self.good, secret="d3Jvbmc="),
            Delivery(self.delivery(self.good).headers, self.good + b" "),
        ]
        for delivery in forged:
            with pytest.raises(Forged):
                self.entrance.verify(delivery, NOW)
        if self._signs_a_time:
            for late in (-301, 301):
                with pytest.raises(Stale):
                    self.entrance.verify(self.delivery(self.good), NOW + late)

    def _unreadable(self) -> None:
        for body in (b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000):
            with pytest.raises(Malformed):
                self.become(body)
        without = json.loads(self.good)
        for name in without:
            less = json.dumps({n: v for n, v in without.items() if n != name}).encode()
            try:
                self.become(less)
            except (TurnedDown, Unmapped, Unanswered) as error:
                assert "example.com" not in str(error)

    def _unmapped(self) -> None:
        for form in (
            msgspec.structs.replace(self.form, scores=[]),
            msgspec.structs.replace(self.form, forms=["other"]),
        ):
            with pytest.raises(Unmapped):
                self.become(self.good, Entrance("e", form, [SECRET], ""))

    def _partial(self) -> None:
        """A form of which no score question is answered yet."""
        nowhere = [msgspec.structs.replace(score, question=score.question + "-later") for score in self.form.scores]
        try:
            found = self.become(
                self.good, Entrance("e", msgspec.structs.replace(self.form, scores=nowhere), [SECRET], "")
            )
        except Unmapped:
            return  # the platform tells which questions a form has
        assert found == []

    def _deleted(self) -> None:
        path = self.folder / "deleted.json"
        if path.exists():
            for response, good in zip(self.become(path.read_bytes()), self.become(self.good), strict=True):
                assert response["response_id"] == good["response_id"]
                assert isinstance(read(json.dumps(response).encode(), Scales())[0], Deletion)

    def _asked(self) -> None:
        """Where answers are fetched, each event is asked for under a key of its own."""
        path = self.folder / "fetch.json"
        assert path.exists() == bool(self.answers) == (platforms.named(self.form.platform).answers is not None)
        if path.exists():
            (record,) = self.entrance.records(self.delivery(self.good), NOW)
            expected = json.loads(path.read_text())
            assert (record.topic, json.loads(record.value)) == (FETCHES, expected | {"asked_at": int(NOW * 1000)})
            assert record.key == f"e/{expected['event_id']}".encode()
