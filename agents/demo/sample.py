"""A deterministic month of survey responses in which every difficulty of the input is planted and named.

In: a seed, a number of lines and the time at which the month ends. Out: lines in the order in which to produce them.
What the stream processor makes of them does not depend on how partitions are interleaved: all versions of a response
have the right key, a response with a wrong key has one version, and nothing is near the border of being too late.
"""

import base64
import json
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import accumulate, chain, cycle, zip_longest
from random import Random
from typing import Any, NoReturn

Fields = dict[str, Any]

WEAK_DEPARTMENT, STRONG_DEPARTMENT, DROPPED_DEPARTMENT = "Billing", "Installation", "Delivery"
MONTH = timedelta(days=30)
DROP = timedelta(hours=24)

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_FAR = "2099-01-01T00:00:00Z"
_POOL = 200  # responses that may still be repeated, corrected or deleted
_SCALES = {"nps": (0, 10), "enps": (0, 10), "csat": (1, 5), "csat_overall": (1, 5), "ces": (1, 7)}
_BORDERS = {"nps": (7, 9), "enps": (7, 9), "csat": (3, 4), "csat_overall": (3, 4), "ces": (4, 5)}
_ZONES = {"typeform": UTC, "zendesk": UTC, "qualtrics": UTC, "surveymonkey": timezone(timedelta(hours=2))}
_SURVEYS = (  # share, source, survey, metric, kind, name
    (20, "qualtrics", "nps-relationship", "nps", "relationship", "Yearly relationship survey"),
    (25, "zendesk", "nps-after-contact", "nps", "transactional", "After your contact with us"),
    (20, "typeform", "nps-after-order", "nps", "transactional", "About your order"),
    (12, "zendesk", "csat-ticket", "csat", "transactional", "How did we do?"),
    (7, "surveymonkey", "csat-overall", "csat_overall", "relationship", "Overall satisfaction"),
    (10, "typeform", "ces-self-service", "ces", "transactional", "How easy was it?"),
    (6, "surveymonkey", "enps-pulse", "enps", "relationship", "Working here"),
)
_PLACES = (  # channel, journey stage, touchpoint, department, mood
    ("chat", "support", "chat_closed", "Support", 0.0),
    ("phone", "support", "call_ended", "Support", 0.06),
    ("email", "support", "ticket_solved", "Support", -0.08),
    ("web", "purchase", "checkout", "Sales", 0.03),
    ("store", "purchase", "visit", "Sales", 0.07),
    ("email", "billing", "invoice_sent", WEAK_DEPARTMENT, -0.16),
    ("phone", "billing", "payment_call", WEAK_DEPARTMENT, -0.12),
    ("app", "onboarding", "activated", STRONG_DEPARTMENT, 0.14),
    ("phone", "onboarding", "engineer_left", STRONG_DEPARTMENT, 0.16),
    ("app", "delivery", "parcel_delivered", DROPPED_DEPARTMENT, 0.04),
    ("email", "delivery", "parcel_delivered", DROPPED_DEPARTMENT, 0.02),
)
_SURVEY_BORDERS = list(accumulate(share for share, *_ in _SURVEYS))
_PRODUCTS = (("fiber", 0.04), ("mobile", 0.0), ("tv", -0.05), ("security", 0.01))
_SUBJECTS = {
    "Support": {"en": "the help desk", "nl": "de helpdesk"},
    "Sales": {"en": "the advice", "nl": "het advies"},
    "Billing": {"en": "my invoice", "nl": "mijn factuur"},
    "Installation": {"en": "the installation", "nl": "de installatie"},
    "Delivery": {"en": "the delivery", "nl": "de bezorging"},
    "": {"en": "the service", "nl": "de service"},
}
_COMMENTS = {
    "en": (
        ("Very disappointed with {}.", "{} went wrong twice and nobody called back.", "Still waiting; {} is a mess."),
        ("{} was fine, nothing special.", "It took a while, but {} was okay in the end.", "{} could be quicker."),
        ("Really happy with {}!", "{} was quick and friendly, thank you.", "Could not be better: {} just works."),
    ),
    "nl": (
        (
            "Erg teleurgesteld over {}.",
            "{} ging twee keer mis en niemand belde terug.",
            "Ik wacht nog steeds; {} is één chaos.",
        ),
        ("{} was prima, niets bijzonders.", "Het duurde even, maar {} kwam in orde.", "{} mag wel wat sneller."),
        ("Heel blij met {}!", "{} was snel en vriendelijk, dank je wel.", "Kan niet beter: {} werkt gewoon."),
    ),
}
_FIRST = (
    "Anna",
    "Bram",
    "Chloë",
    "Daan",
    "Emma",
    "Farid",
    "Grace",
    "Henk",
    "Iris",
    "Joost",
    "Kim",
    "Lucas",
    "Noor",
    "Zoë",
)
_LAST = ("Appelman", "Brookfield", "Cornelisse", "Dijkhof", "Eastwick", "Fonteyn", "Greenhill", "Hoogland", "Vermaat")
_TIERS = ("basic", "basic", "basic", "plus", "plus", "business")


@dataclass(frozen=True, slots=True)
class Line:
    """One record to produce; `kind` names what was planted."""

    key: bytes | None
    value: bytes | None
    kind: str


@dataclass(slots=True)
class _Sent:
    """A response in circulation: what was sent first, and what stands now."""

    original: Fields
    fields: Fields


def sample(seed: int, count: int, end: datetime, *, partitions: int = 4, live: bool = False) -> Iterator[Line]:
    """Give `count` lines over the month that ends at `end`; the same arguments give the same lines.

    `partitions` is that of the topic: late lines begin when each of them has surely seen some time pass.
    `live` says that the lines are produced at about `end`. Only then some have a `submitted_at` in the future,
    since that becomes the append time, which must not be far from the time of the other lines.
    """
    month = _Month(Random(seed), count, end, live)
    for number in range(count):
        yield month.next(number, settled=number >= 64 * partitions)


def line_to_json(line: Line) -> bytes:
    """Give the line as `npsflow produce` reads it: the response where that says all, else key and bytes."""
    if line.value is not None and b"\n" not in line.value and _contract_key(line.value) == line.key is not None:
        return line.value
    key = None if line.key is None else line.key.decode()
    value = None if line.value is None else base64.b64encode(line.value).decode()
    return json.dumps({"key": key, "value_base64": value}, ensure_ascii=False).encode()


def _contract_key(value: bytes) -> bytes | None:
    """Give the key that the contract asks for, None where the value is no JSON object with an identity."""
    try:
        fields = json.loads(value.decode(), parse_constant=_refuse)
        return _key(fields) if isinstance(fields["source"], str) and isinstance(fields["response_id"], str) else None
    except (ValueError, RecursionError, KeyError, TypeError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _key(fields: Fields) -> bytes:
    return f"{fields['source']}/{fields['response_id']}".encode()


def _dump(fields: Fields) -> bytes:
    return _ENCODER.encode(fields).encode()


def _category(metric: str, score: int) -> int:
    """0 for unhappy, 1 for in between, 2 for happy."""
    return bisect(_BORDERS[metric], score)


class _Month:
    """Draws one line after the other; holds the responses that later lines refer to."""

    def __init__(self, rng: Random, count: int, end: datetime, live: bool) -> None:
        self.rng, self.count, self.end, self.live = rng, count, end, live
        self.now = end - MONTH
        self.settled = False
        self.standing: list[_Sent] = []
        self.deleted: list[_Sent] = []
        self.customers = [_customer(rng, number) for number in range(max(50, min(count // 20, 20_000)))]
        self.bad = cycle(filter(None, chain.from_iterable(zip_longest(*_BAD_BY_REASON))))
        self.lenient = cycle(_LENIENT)

    def next(self, number: int, settled: bool) -> Line:
        """Give line `number` of the month, at its time."""
        self.now = self.end - MONTH * (1 - (number + 1) / self.count)
        self.settled = settled
        plant = _PLANTS[bisect(_PLANT_BORDERS, self.rng.random() * 1000)][1]
        return plant(self) or self.response()

    def time(self, source: str, back: timedelta = timedelta()) -> str:
        """Write the present, or what lies `back` from it, as the platform does."""
        text = (self.now - back).astimezone(_ZONES[source]).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z") if source in ("typeform", "qualtrics") else text

    def fresh(self) -> Fields:
        """A response that was never seen before, as its platform would send it."""
        rng = self.rng
        _, source, survey, metric, kind, name = _SURVEYS[bisect(_SURVEY_BORDERS, rng.random() * 100)]
        product, mood = rng.choice(_PRODUCTS)
        language = "nl" if rng.random() < 0.6 else "en"
        submitted = self.time(source, timedelta(seconds=rng.expovariate(1 / 20)))
        fields: Fields = {"source": source, "response_id": _response_id(rng, source), "survey_id": survey}
        fields |= {"metric": metric, "score": 0, "submitted_at": submitted, "survey_name": name, "survey_kind": kind}
        fields |= {"language": language, "product": product, "attributes": {"region": rng.choice("NESW")}}
        if source == "surveymonkey":
            fields["scale"] = dict(zip(("min", "max"), _SCALES[metric], strict=True))
        if kind == "transactional":
            channel, stage, touchpoint, department, shift = rng.choice(_PLACES)
            fields |= {"channel": channel, "journey_stage": stage, "touchpoint": touchpoint, "department": department}
            fields["agent_id"] = f"agent-{rng.randrange(40)}"
            mood += shift
            if department == DROPPED_DEPARTMENT and self.now > self.end - DROP:
                mood -= 0.35
        if source == "zendesk":
            ticket = rng.randrange(10**6)
            fields["reference"] = {"type": "ticket", "id": str(ticket), "url": f"https://example.com/tickets/{ticket}"}
        if metric != "enps" and rng.random() < 0.85:
            fields["customer"] = self.customers[int(len(self.customers) ** rng.random()) - 1]
            mood += 0.04 * (fields["customer"]["tier"] == "business")
        low, high = _SCALES[metric]
        fields["score"] = min(high, max(low, low + int((rng.gauss(0.76, 0.2) + mood) * (high - low + 1))))
        if rng.random() < 0.55:
            fields["comment"] = self.comment(fields)
        elif rng.random() < 0.1:
            fields["answers"] = [{"question_id": "q2", "topic": "speed", "score": rng.randint(1, 5)}]
        if _category(metric, fields["score"]) == 0 and rng.random() < 0.2:
            fields["contact_requested"] = True
        return fields

    def comment(self, fields: Fields) -> str:
        """A comment that fits the score, the department and the language."""
        language, category = fields["language"], _category(fields["metric"], fields["score"])
        text = self.rng.choice(_COMMENTS[language][category]).format(_SUBJECTS[fields.get("department", "")][language])
        return text[0].upper() + text[1:]

    def response(self) -> Line:
        fields = self.fresh()
        self.keep(self.standing, _Sent(fields, fields))
        return self.line(fields, "response")

    def repeat(self) -> Line | None:
        """The standing version again, one time in three in other JSON formatting."""
        if not self.standing:
            return None
        pool = self.deleted if self.deleted and self.rng.random() < 0.05 else self.standing
        fields = self.rng.choice(pool).fields
        if self.rng.random() < 1 / 3:
            return Line(_key(fields), json.dumps(fields, sort_keys=True, indent=1).encode(), "repeat")
        return self.line(fields, "repeat")

    def correction(self) -> Line | None:
        """Another score over a category border, another comment, the customer appears or goes, or it was a test."""
        if not self.standing:
            return None
        sent = self.rng.choice(self.standing)
        fields = dict(sent.fields)
        kinds = ["correction_score", "correction_score"]
        if "comment" in fields:
            kinds.append("correction_comment")
        if fields["metric"] != "enps":
            kinds.append("customer_goes" if "customer" in fields else "customer_appears")
        kind = "correction_test" if self.rng.random() < 0.05 else self.rng.choice(kinds)
        if kind == "correction_score":
            fields["score"] = self.rng.choice(_across(fields["metric"], fields["score"]))
        elif kind == "correction_comment":
            fields["comment"] += f" PS: {self.comment(fields)}"
        elif kind == "customer_goes":
            del fields["customer"]
        elif kind == "customer_appears":
            fields["customer"] = self.rng.choice(self.customers)
        else:
            fields[self.rng.choice(("test", "internal"))] = True
            self.standing.remove(sent)
        if "updated_at" in fields or self.rng.random() < 0.9:  # without it, the order of appending decides
            fields["updated_at"] = self.time(fields["source"])
        sent.fields = fields
        return self.line(fields, kind)

    def comment_later(self) -> Line | None:
        """The comment of a response whose score came without one."""
        silent = [sent for sent in self.standing if "comment" not in sent.fields]
        if not silent:
            return None
        sent = self.rng.choice(silent)
        sent.fields = sent.fields | {
            "comment": self.comment(sent.fields),
            "updated_at": self.time(sent.fields["source"]),
        }
        return self.line(sent.fields, "comment_later")

    def deletion(self) -> Line | None:
        """A bare deletion of a response that was sent."""
        if not self.standing:
            return None
        return self.delete(self.standing.pop(self.rng.randrange(len(self.standing))), "deletion")

    def deletion_unknown(self) -> Line:
        """A bare deletion of a response that comes later or never."""
        fields = self.fresh()
        return self.delete(_Sent(fields, fields), "deletion_unknown")

    def delete(self, sent: _Sent, kind: str) -> Line:
        source = sent.original["source"]
        sent.fields = {"source": source, "response_id": sent.original["response_id"], "deleted": True}
        if self.rng.random() < 0.5:
            sent.fields["updated_at"] = self.time(source)
        self.keep(self.deleted, sent)
        return self.line(sent.fields, kind)

    def restored(self) -> Line | None:
        """A newer version of a deleted response: it counts again."""
        dated = [sent for sent in self.deleted if "updated_at" in sent.fields]
        if not dated:
            return None
        sent = self.rng.choice(dated)
        self.deleted.remove(sent)
        sent.fields = sent.original | {"updated_at": self.time(sent.original["source"])}
        self.keep(self.standing, sent)
        return self.line(sent.fields, "restored")

    def superseded(self) -> Line | None:
        """The first version after a newer one, or after the deletion."""
        changed = [sent for sent in self.standing if "updated_at" in sent.fields and _differs(sent)]
        pool = changed + self.deleted
        return self.line(self.rng.choice(pool).original, "superseded") if pool else None

    def wrong_key(self) -> Line:
        """A response without key, or under the key of its customer or of the platform."""
        fields = self.fresh()
        customer = fields.get("customer", {}).get("id", "anonymous").encode()
        key = self.rng.choice((None, customer, fields["response_id"].encode()))
        return Line(key, _dump(fields), "wrong_key")

    def late(self) -> Line | None:
        """A response far older than anything that is remembered."""
        if not self.settled:
            return None
        fields = self.fresh()
        back = timedelta(days=self.rng.uniform(70, 300))
        return self.line(fields | {"submitted_at": self.time(fields["source"], back)}, "late")

    def test(self) -> Line:
        return self.line(self.fresh() | {"test": True}, "test")

    def internal(self) -> Line:
        return self.line(self.fresh() | {"internal": True}, "internal")

    def future(self) -> Line:
        """A time far in the future, which becomes the append time."""
        ahead = self.live and self.now > self.end - DROP and self.rng.random() < 0.5
        return self.line(self.fresh() | {"submitted_at" if ahead else "updated_at": _FAR}, "future")

    def lenience(self) -> Line:
        """A response that counts although something in it is wrong or odd."""
        fields = self.fresh()
        return Line(_key(fields), next(self.lenient)(fields), "lenient")

    def mistake(self) -> Line:
        """A record that cannot count; the reasons take turns."""
        fields = self.fresh()
        reason, spoil = next(self.bad)
        return Line(_key(fields), spoil(fields), f"bad:{reason}")

    def line(self, fields: Fields, kind: str) -> Line:
        return Line(_key(fields), _dump(fields), kind)

    def keep(self, pool: list[_Sent], sent: _Sent) -> None:
        """Put the response into the pool; when that is full, in the place of any other."""
        if len(pool) < _POOL:
            pool.append(sent)
        else:
            pool[self.rng.randrange(_POOL)] = sent


def _customer(rng: Random, number: int) -> Fields:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    return {
        "id": f"C-{10_000 + number}",
        "account_id": f"A-{2_000 + number // 3}",
        "tier": rng.choice(_TIERS),
        "value": rng.randrange(100, 5_000),
        "contact_allowed": rng.random() < 0.9,
        "name": f"{first} {last}",
        "email": f"{first}.{last}{number}@example.{rng.choice(('com', 'org'))}".lower().replace("ë", "e"),
        "phone": rng.choice((f"+44 20 7946 0{rng.randrange(1000):03}", f"+1 202 555 01{rng.randrange(100):02}")),
    }


def _response_id(rng: Random, source: str) -> str:
    match source:
        case "typeform":
            return f"{rng.getrandbits(128):032x}"
        case "qualtrics":
            return f"R_{rng.getrandbits(64):016x}"
        case _:
            return str(rng.randrange(10**15, 10**16))


def _across(metric: str, score: int) -> list[int]:
    """All scores of another category."""
    low, high = _SCALES[metric]
    return [other for other in range(low, high + 1) if _category(metric, other) != _category(metric, score)]


def _differs(sent: _Sent) -> bool:
    """Whether the standing version says something else than the first, its time apart."""
    return {**sent.fields, "updated_at": None} != {**sent.original, "updated_at": None}


def _without(name: str) -> Callable[[Fields], bytes]:
    return lambda fields: _dump({key: value for key, value in fields.items() if key != name})


def _with(**changes: Any) -> Callable[[Fields], bytes]:
    return lambda fields: _dump(fields | changes)


def _nested(fields: Fields) -> bytes:
    return _dump(fields)[:-1] + b',"answers":' + b"[" * 10_000 + b"]" * 10_000 + b"}"


def _twice(fields: Fields) -> bytes:
    """A score out of range, and once more, good: the last one stands."""
    return b'{"score":99,' + _dump(fields)[1:]


_LENIENT: tuple[Callable[[Fields], bytes], ...] = (
    _with(channel=7),
    _with(customer="C-1"),
    _with(comment="a" + "é" * 10_000),
    _with(department="X" * 200),
    _with(department=f"  {WEAK_DEPARTMENT.upper()} "),
    _with(updated_at="soon"),
    _with(deleted="no"),
    _with(scale={"min": "0"}),
    _with(test="true"),
    _with(product=None, comment=None, customer=None),
    _with(colour="blue"),
    _twice,
)
_BAD: dict[str, tuple[Callable[[Fields], bytes | None], ...]] = {
    "null_value": (lambda fields: None, lambda fields: b""),
    "not_utf8": (
        lambda fields: _dump(fields | {"comment": "café"}).decode().encode("latin-1", "replace"),
        lambda fields: _dump(fields)[:-1] + b"\xff}",
    ),
    "too_deep": (_nested, lambda fields: b"[" * 10_000 + b"]" * 10_000),
    "not_json": (
        lambda fields: _dump(fields)[:-20],
        lambda fields: _dump(fields)[:-1] + b',"value":NaN}',
        lambda fields: _dump(fields).replace(b'"', b"'"),
        lambda fields: b"hello",
    ),
    "not_object": (
        lambda fields: b"[" + _dump(fields) + b"]",
        lambda fields: b"null",
        lambda fields: b"9",
        lambda fields: b'"nps"',
    ),
    "missing_field": (
        *map(_without, ("source", "response_id", "survey_id", "metric", "score", "submitted_at")),
        _with(source=None),
        _with(score=None),
    ),
    "invalid_identifier": (
        _with(source="type/form"),
        _with(source=""),
        _with(response_id="r" * 257),
        _with(response_id=12),
        _with(survey_id=""),
        _with(survey_id=["nps"]),
    ),
    "unknown_metric": (_with(metric="happiness"), _with(metric=5)),
    "unknown_scale": (_with(scale={"min": 0, "max": 100}),),
    "invalid_score": (_with(score=True), _with(score=8.5), _with(score="8"), _with(score=4.0), _with(score=[3])),
    "score_out_of_range": (_with(score=11), _with(score=-1)),
    "invalid_time": (
        _with(submitted_at="2026-01-31T12:00:00"),
        _with(submitted_at="yesterday"),
        _with(submitted_at=1_760_000_000),
        _with(submitted_at="2026-02-30T12:00:00Z"),
        _with(deleted=True, updated_at="soon"),
    ),
}
_BAD_BY_REASON = [[(reason, spoil) for spoil in spoils] for reason, spoils in _BAD.items()]

_PLANTS: tuple[tuple[int, Callable[[_Month], Line | None]], ...] = (  # of 1000 lines
    (878, _Month.response),
    (30, _Month.repeat),
    (20, _Month.correction),
    (30, _Month.comment_later),
    (10, _Month.mistake),
    (10, _Month.lenience),
    (5, _Month.wrong_key),
    (4, _Month.deletion),
    (2, _Month.deletion_unknown),
    (1, _Month.restored),
    (3, _Month.superseded),
    (2, _Month.late),
    (2, _Month.test),
    (1, _Month.internal),
    (2, _Month.future),
)
_PLANT_BORDERS = list(accumulate(share for share, _ in _PLANTS))
