"""What every platform's adapter has to do, shown on the payloads in its folder of `fixtures`.

`form.toml` is the mapping, `good.json` a whole payload as the platform documents it, `expected.json` what it becomes;
`deleted.json`, where the platform says that answers are gone.
"""

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from npsflow.agents.intake.delivery import Delivery, Forged, Malformed, Stale, TurnedDown
from npsflow.agents.intake.turning import Entrance
from npsflow.schemas.response import Deletion, Response
from npsflow.schemas.topics import RESPONSES
from npsflow.streams.forms import Form, Unmapped, check
from npsflow.streams.reading import read
from npsflow.streams.scores import Scales

from .signing import SECRET, Sign

FIXTURES = Path(__file__).parent / "fixtures"
NOW = 1_772_377_331.0


class Conformance:
    """One platform; `sign` as it signs, with a time or without."""

    def __init__(self, folder: Path, sign: Sign, *, signs_a_time: bool) -> None:
        self.folder, self.sign, self._signs_a_time = folder, sign, signs_a_time
        self.form = msgspec.convert(tomllib.loads((folder / "form.toml").read_text()), Form)
        self.entrance = Entrance("e", self.form, [SECRET], "a key for customers")
        self.good = (folder / "good.json").read_bytes()

    def delivery(self, body: bytes, secret: str = SECRET, now: float = NOW) -> Delivery:
        headers = self.sign(body, secret, now)
        return Delivery({name.lower(): value for name, value in headers.items()}, body)

    def become(self, body: bytes, entrance: Entrance | None = None) -> list[dict[str, Any]]:
        entrance, delivery = entrance or self.entrance, self.delivery(body)
        entrance.verify(delivery, NOW)
        found = []
        for topic, key, value in entrance.records(delivery, NOW):
            assert topic == RESPONSES
            response = json.loads(value)
            assert key == f"{response['source']}/{response['response_id']}".encode()
            found.append(response)
        return found

    def conforms(self) -> None:
        assert check(self.form) is None
        self._good()
        self._verified()
        self._unreadable()
        self._unmapped()
        self._partial()
        self._deleted()

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
            except (TurnedDown, Unmapped) as error:
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
