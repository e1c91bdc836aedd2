"""The month of the sample: draws one line after the other, planting every difficulty in its proportion."""

import json
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, chain, cycle, zip_longest
from random import Random

from npsflow.agents.demo.lines import Fields, Line, dump, key_of
from npsflow.agents.demo.mutations import BAD_BY_REASON, LENIENT
from npsflow.agents.demo.vocabulary import (
    DROPPED_DEPARTMENT,
    PLACES,
    PRODUCTS,
    SCALES,
    SURVEYS,
    ZONES,
    across,
    category,
    comment,
    customer,
    response_id,
)

MONTH = timedelta(days=30)
DROP = timedelta(hours=24)

_FAR = "2099-01-01T00:00:00Z"
_POOL = 200  # responses that may still be repeated, corrected or deleted
_SURVEY_BORDERS = list(accumulate(share for share, *_ in SURVEYS))


@dataclass(slots=True)
class _Sent:
    """A response in circulation: what was sent first, and the version that counts now."""

    original: Fields
    fields: Fields


class Month:
    """Draws one line after the other; holds the responses that later lines refer to."""

    def __init__(self, rng: Random, count: int, end: datetime, live: bool) -> None:
        self.rng, self.count, self.end, self.live = rng, count, end, live
        self.now = end - MONTH
        self.settled = False
        self.current: list[_Sent] = []
        self.deleted: list[_Sent] = []
        self.customers = [customer(rng, number) for number in range(max(50, min(count // 20, 20_000)))]
        self.bad = cycle(filter(None, chain.from_iterable(zip_longest(*BAD_BY_REASON))))
        self.lenient = cycle(LENIENT)

    def next(self, number: int, settled: bool) -> Line:
        """Give line `number` of the month, at its time."""
        self.now = self.end - MONTH * (1 - (number + 1) / self.count)
        self.settled = settled
        plant = _PLANTS[bisect(_PLANT_BORDERS, self.rng.random() * 1000)][1]
        return plant(self) or self.response()

    def time(self, source: str, back: timedelta = timedelta()) -> str:
        """Write the present, or what lies `back` from it, as the platform does."""
        text = (self.now - back).astimezone(ZONES[source]).isoformat(timespec="milliseconds")
        return text.replace("+00:00", "Z") if source in ("typeform", "formbricks") else text

    def fresh(self) -> Fields:
        """A response that was never seen before, as its platform would send it."""
        rng = self.rng
        _, source, survey, metric, kind, name = SURVEYS[bisect(_SURVEY_BORDERS, rng.random() * 100)]
        product, mood = rng.choice(PRODUCTS)
        language = "nl" if rng.random() < 0.6 else "en"
        submitted = self.time(source, timedelta(seconds=rng.expovariate(1 / 20)))
        fields: Fields = {"source": source, "response_id": response_id(rng, source), "survey_id": survey}
        fields |= {"metric": metric, "score": 0, "submitted_at": submitted, "survey_name": name, "survey_kind": kind}
        fields |= {"language": language, "product": product, "attributes": {"region": rng.choice("NESW")}}
        if source == "surveymonkey":
            fields["scale"] = dict(zip(("min", "max"), SCALES[metric], strict=True))
        if kind == "transactional":
            channel, stage, touchpoint, department, shift = rng.choice(PLACES)
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
        low, high = SCALES[metric]
        fields["score"] = min(high, max(low, low + int((rng.gauss(0.76, 0.2) + mood) * (high - low + 1))))
        if rng.random() < 0.55:
            fields["comment"] = comment(rng, fields)
        elif rng.random() < 0.1:
            fields["answers"] = [{"question_id": "q2", "topic": "speed", "score": rng.randint(1, 5)}]
        if category(metric, fields["score"]) == 0 and rng.random() < 0.2:
            fields["contact_requested"] = True
        return fields

    def response(self) -> Line:
        """A response that is neither test nor internal."""
        fields = self.fresh()
        self.keep(self.current, _Sent(fields, fields))
        return self.line(fields, "response")

    def repeat(self) -> Line | None:
        """The current version again, one time in three in other JSON formatting."""
        if not self.current:
            return None
        pool = self.deleted if self.deleted and self.rng.random() < 0.05 else self.current
        fields = self.rng.choice(pool).fields
        if self.rng.random() < 1 / 3:
            return Line(key_of(fields), json.dumps(fields, sort_keys=True, indent=1).encode(), "repeat")
        return self.line(fields, "repeat")

    def correction(self) -> Line | None:
        """Another score over a category border, another comment, the customer appears or goes, or it was a test."""
        if not self.current:
            return None
        sent = self.rng.choice(self.current)
        fields = dict(sent.fields)
        kinds = ["correction_score", "correction_score"]
        if "comment" in fields:
            kinds.append("correction_comment")
        if fields["metric"] != "enps":
            kinds.append("customer_goes" if "customer" in fields else "customer_appears")
        kind = "correction_test" if self.rng.random() < 0.05 else self.rng.choice(kinds)
        if kind == "correction_score":
            fields["score"] = self.rng.choice(across(fields["metric"], fields["score"]))
        elif kind == "correction_comment":
            fields["comment"] += f" PS: {comment(self.rng, fields)}"
        elif kind == "customer_goes":
            del fields["customer"]
        elif kind == "customer_appears":
            fields["customer"] = self.rng.choice(self.customers)
        else:
            fields[self.rng.choice(("test", "internal"))] = True
            self.current.remove(sent)
        if "updated_at" in fields or self.rng.random() < 0.9:  # without it, the order of appending decides
            fields["updated_at"] = self.time(fields["source"])
        sent.fields = fields
        return self.line(fields, kind)

    def comment_later(self) -> Line | None:
        """The comment of a response whose score came without one."""
        silent = [sent for sent in self.current if "comment" not in sent.fields]
        if not silent:
            return None
        sent = self.rng.choice(silent)
        sent.fields = sent.fields | {
            "comment": comment(self.rng, sent.fields),
            "updated_at": self.time(sent.fields["source"]),
        }
        return self.line(sent.fields, "comment_later")

    def deletion(self) -> Line | None:
        """A bare deletion of a response that was sent."""
        if not self.current:
            return None
        return self.delete(self.current.pop(self.rng.randrange(len(self.current))), "deletion")

    def deletion_unknown(self) -> Line:
        """A bare deletion of a response that comes later or never."""
        fields = self.fresh()
        return self.delete(_Sent(fields, fields), "deletion_unknown")

    def delete(self, sent: _Sent, kind: str) -> Line:
        """A bare deletion of this response, which may be restored later."""
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
        self.keep(self.current, sent)
        return self.line(sent.fields, "restored")

    def superseded(self) -> Line | None:
        """The first version after a newer one, or after the deletion."""
        changed = [sent for sent in self.current if "updated_at" in sent.fields and _differs(sent)]
        pool = changed + self.deleted
        return self.line(self.rng.choice(pool).original, "superseded") if pool else None

    def wrong_key(self) -> Line:
        """A response without key, or under the key of its customer or of the platform."""
        fields = self.fresh()
        own = fields.get("customer", {}).get("id", "anonymous").encode()
        key = self.rng.choice((None, own, fields["response_id"].encode()))
        return Line(key, dump(fields), "wrong_key")

    def late(self) -> Line | None:
        """A response far older than anything that is remembered."""
        if not self.settled:
            return None
        fields = self.fresh()
        back = timedelta(days=self.rng.uniform(70, 300))
        return self.line(fields | {"submitted_at": self.time(fields["source"], back)}, "late")

    def test(self) -> Line:
        """A response that its platform marks as a test."""
        return self.line(self.fresh() | {"test": True}, "test")

    def internal(self) -> Line:
        """A response of the company's own people."""
        return self.line(self.fresh() | {"internal": True}, "internal")

    def future(self) -> Line:
        """A time far in the future, which becomes the append time."""
        ahead = self.live and self.now > self.end - DROP and self.rng.random() < 0.5
        return self.line(self.fresh() | {"submitted_at" if ahead else "updated_at": _FAR}, "future")

    def lenience(self) -> Line:
        """A response that counts although something in it is wrong or odd."""
        fields = self.fresh()
        return Line(key_of(fields), next(self.lenient)(fields), "lenient")

    def mistake(self) -> Line:
        """A record that cannot count; the reasons take turns."""
        fields = self.fresh()
        reason, spoil = next(self.bad)
        return Line(key_of(fields), spoil(fields), f"bad:{reason}")

    def line(self, fields: Fields, kind: str) -> Line:
        """The line of these fields, under the key that the contract asks for."""
        return Line(key_of(fields), dump(fields), kind)

    def keep(self, pool: list[_Sent], sent: _Sent) -> None:
        """Put the response into the pool; when that is full, in the place of any other."""
        if len(pool) < _POOL:
            pool.append(sent)
        else:
            pool[self.rng.randrange(_POOL)] = sent


def _differs(sent: _Sent) -> bool:
    """Whether the current version differs from the first in more than its time."""
    return {**sent.fields, "updated_at": None} != {**sent.original, "updated_at": None}


_PLANTS: tuple[tuple[int, Callable[[Month], Line | None]], ...] = (  # of 1000 lines
    (878, Month.response),
    (30, Month.repeat),
    (20, Month.correction),
    (30, Month.comment_later),
    (10, Month.mistake),
    (10, Month.lenience),
    (5, Month.wrong_key),
    (4, Month.deletion),
    (2, Month.deletion_unknown),
    (1, Month.restored),
    (3, Month.superseded),
    (2, Month.late),
    (2, Month.test),
    (1, Month.internal),
    (2, Month.future),
)
_PLANT_BORDERS = list(accumulate(share for share, _ in _PLANTS))
