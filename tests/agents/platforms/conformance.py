"""What the webhook and the answers of every platform have to do, shown on the payloads in its folder of `fixtures`.

`form.toml` is the mapping, `good.json` a whole payload as the platform documents it, `expected.json` what it becomes.
`updated.json`: the same response with a comment that came later; or `before.json`, what came before the good one.
Where the platform has it: `partial.json`, no score yet; `deleted.json`, the answers are gone; `offered.json` becomes
`invitation.json`; `asked.json` becomes `fetch.json`. Where its payloads hold no answers, `good.json` becomes that, and
`answers.json` is what its API answers, by path and query; `updated_answers.json` what it answers later. `export/`: see
exports.py.
"""

import asyncio
import json
import re
import tomllib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from npsflow.agents import platforms
from npsflow.agents.intake.endpoint import Endpoint
from npsflow.agents.platforms.protocol import Delivery, FetchError, Forged, Malformed, Permanent, Rejected, Stale
from npsflow.schemas.response import Deletion, Response
from npsflow.schemas.topics import FETCHES, INVITATIONS, RESPONSES
from npsflow.streams.classify.parsing import read
from npsflow.streams.intake import recipes
from npsflow.streams.intake.entrance import Entrance, KeyedRecord
from npsflow.streams.intake.mapping import FormMapping, Unmapped, check
from npsflow.streams.scoring.scores import Scales

from .signing import ENVELOPE, SECRET, SIGN, SIGNS_A_TIME, TOKEN_IN_ADDRESS, UNSIGNED, Sign

FIXTURES = Path(__file__).parent / "fixtures"
NOW = 1_772_377_331.0
BECOMES = {"good.json": "expected.json", "offered.json": "invitation.json", "asked.json": "fetch.json"}
UNREADABLE = (b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000)


class CannedApi:
    """An API that answers what is in `answers`, without a network."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self._answers = answers

    async def get(self, *path: str, **query: str) -> dict[str, Any]:
        request = "?".join(filter(None, ("/".join(path), "&".join(f"{name}={value}" for name, value in query.items()))))
        if request not in self._answers:
            raise Permanent("it answers 404")
        answer: dict[str, Any] = self._answers[request]
        return answer


class Conformance:
    """One platform; `sign` as it signs, with a time or without."""

    def __init__(self, folder: Path, sign: Sign, *, signs_a_time: bool) -> None:
        self.folder, self.sign, self.signs_a_time = folder, sign, signs_a_time
        self.signs_the_body = sign(b"a", SECRET, NOW) != sign(b"b", SECRET, NOW)
        written = tomllib.loads((folder / "form.toml").read_text())
        self.form = msgspec.convert(recipes.completed(written), FormMapping)
        self.endpoint = endpoint(self.form, "a key for customers")
        self.fetched = platforms.by_name(self.form.platform).answers
        self.good = self.body("good.json")
        self.answers = self._answers("answers.json")

    def body(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def _answers(self, name: str) -> dict[str, Any]:
        return json.loads(self.body(name)) if self.has(name) else {}

    def versions(self) -> tuple[bytes, bytes]:
        """What the platform sends of one response, the earlier first."""
        if self.has("before.json"):
            return self.body("before.json"), self.good
        return self.good, self.body("updated.json")

    def delivery(self, body: bytes, secret: str = SECRET, now: float = NOW) -> Delivery:
        body = self.enveloped(body, secret)
        headers = self.sign(body, secret, now)
        return Delivery({name.lower(): value for name, value in headers.items()}, body, self.query(secret))

    def enveloped(self, body: bytes, secret: str = SECRET) -> bytes:
        """As it is sent, where that is not the JSON of the fixture."""
        envelope = ENVELOPE.get(self.form.platform)
        return body if envelope is None else envelope(body, secret)

    def query(self, secret: str = SECRET) -> dict[str, str]:
        """Of the address, where the platform can sign nothing."""
        return {"token": secret} if self.form.platform in TOKEN_IN_ADDRESS else {}

    def become(self, body: bytes, endpoint: Endpoint | None = None) -> list[dict[str, Any]]:
        endpoint, delivery = endpoint or self.endpoint, self.delivery(body)
        endpoint.verify(delivery, NOW)
        found = []
        for record in endpoint.records(delivery, NOW):
            for topic, key, value, _ in self._answered(endpoint.entrance, record):
                made = json.loads(value or b"")
                assert (key or b"").decode() == key_of(topic, made)
                found.append(made)
        return found

    def _answered(self, entrance: Entrance, record: KeyedRecord) -> list[KeyedRecord]:
        """The same, or what its fetch gives."""
        if self.fetched is None or not self.answers or record.topic != FETCHES:
            return [record]
        sent = asyncio.run(self.fetched.fetch(CannedApi(self.answers), json.loads(record.value or b"")["ids"]))
        return [made for submission in sent for made in entrance.records(submission, NOW)]

    def changed(self, key: str = "", **changes: Any) -> Endpoint:
        """The endpoint with another mapping; `key` makes pseudonyms."""
        return endpoint(msgspec.structs.replace(self.form, **changes), key)

    def conforms(self) -> None:
        assert check(self.form) is None
        self._becomes()
        self._asked()
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

    def _asked(self) -> None:
        """Where answers are fetched, each event is asked for under a key of its own."""
        assert (self.fetched is not None) == bool(self.answers or self.has("asked.json"))
        if self.answers:
            (record,) = self.endpoint.records(self.delivery(self.good), NOW)
            expected = json.loads(self.body("fetch.json"))
            assert (record.topic, json.loads(record.value or b"")) == (
                FETCHES,
                expected | {"asked_at": int(NOW * 1000)},
            )
            assert record.key == f"e/{expected['event_id']}".encode()

    def _accepted(self) -> None:
        for response in self.become(self.good):
            answer, _, warnings = read(json.dumps(response).encode(), Scales())
            assert isinstance(answer, Response)
            assert warnings == ()

    def _verified(self) -> None:
        for secrets in ([SECRET, "bmV3"], ["bmV3", SECRET]):  # while one replaces the other both hold
            for secret in secrets:
                endpoint(self.form, secrets=secrets).verify(self.delivery(self.good, secret), NOW)
        forged = [Delivery({}, self.good), self.delivery(self.good, secret="d3Jvbmc=")]
        signed = self.delivery(self.good).headers
        forged += [Delivery({**signed, name: "\udcff"}, self.good) for name in signed.keys() - UNSIGNED]  # the byte ff
        if self.signs_the_body or self.answers:
            forged.append(Delivery(signed, self.good + b" "))
        for delivery in forged:
            with pytest.raises(Forged):
                self.endpoint.verify(delivery, NOW)
        if self.signs_a_time:
            for late in (-301, 301):
                with pytest.raises(Stale):
                    self.endpoint.verify(self.delivery(self.good), NOW + late)

    def _unreadable(self) -> None:
        for body in UNREADABLE:
            if body == b"[]" and self.form.each == "":
                continue  # no entries are no responses
            with pytest.raises(Malformed):
                self.become(body)
        whole = json.loads(self.good)
        without = whole[0] if isinstance(whole, list) else whole
        for name in without:
            less = json.dumps({n: v for n, v in without.items() if n != name}).encode()
            try:
                self.become(less)
            except (Rejected, Unmapped, FetchError) as error:
                message = str(error)
            else:
                message = ""
            assert "example.com" not in message

    def _unmapped(self) -> None:
        for endpoint in (self.changed(scores=[]), self.changed(forms=["other"])):
            with pytest.raises(Unmapped):
                self.become(self.good, endpoint)

    def _updated(self) -> None:
        if not self.answers:
            earlier, later = (self.become(body) for body in self.versions())
        else:
            earlier, self.answers = self.become(self.good), self._answers("updated_answers.json")
            later, self.answers = self.become(self.good), self._answers("answers.json")
        for before, after in zip(earlier, later, strict=True):
            assert before["response_id"] == after["response_id"]
            if self.answers and before == after:
                continue  # the same request gives other responses too
            assert version(before) < version(after) or not self.tells_of_changes()
            assert after["comment"] != before.get("comment")

    def tells_of_changes(self) -> bool:
        """Whether what it sends says when it was changed; else what comes later counts."""
        return self.form.platform not in {"chatwoot", "kobotoolbox"}

    def _partial(self) -> None:
        """A form of which no score question is answered yet."""
        if self.has("partial.json"):
            assert self.become(self.body("partial.json")) == []
        nowhere = [msgspec.structs.replace(score, question=score.paths[0] + "-later") for score in self.form.scores]
        try:
            found = self.become(self.good, self.changed(scores=nowhere))
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
        ids = {
            response["customer"]["id"]
            for loud in (False, True)
            for response in self._loud(loud, self.changed("a key", fields=fields))
        }
        assert len(ids) == len({response["customer"]["email"] for response in self._loud(False, self.endpoint)})
        assert all(re.fullmatch("e-[0-9a-f]{32}", id_) for id_ in ids)
        for response in self.become(self.good, self.changed("", fields=fields)):
            assert "id" not in response["customer"]

    def _loud(self, loud: bool, endpoint: Endpoint) -> list[dict[str, Any]]:
        """What the good one becomes, with addresses in capitals if it is `loud`."""
        if not loud:
            return self.become(self.good, endpoint)
        try:
            assert louder(self.good) != self.good or self.answers
            self.answers = json.loads(louder(json.dumps(self.answers).encode()))
            return self.become(louder(self.good), endpoint)
        finally:
            self.answers = self._answers("answers.json")


def louder(text: bytes) -> bytes:
    return re.sub(rb"[\w.]+@example\.com", lambda found: found[0].upper(), text, flags=re.IGNORECASE)


def endpoint(form: FormMapping, key: str = "", secrets: Sequence[str] = (SECRET,), name: str = "e") -> Endpoint:
    """`/in/NAME` with this mapping; `key` makes pseudonyms."""
    webhook = platforms.by_name(form.platform).webhook
    assert webhook is not None
    return Endpoint(Entrance(name, form, key), webhook, secrets)


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
