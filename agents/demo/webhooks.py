"""Responses as survey platforms send them to intake: signed requests, and the settings that turn them back.

Typeform knows no corrections and Formbricks no deletions; whatever else there is sends JSON of its own, which the
generic platform reads.
"""

import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from npsflow.agents.demo.lines import Fields, Line, dump
from npsflow.agents.demo.vocabulary import SCALES, SURVEYS

Headers = dict[str, str]

_FIELDS = (
    "survey_name", "survey_kind", "language", "product", "channel", "journey_stage", "touchpoint", "department",
    "agent_id", "contact_requested", "test", "internal", "attributes.region",
    "reference.type", "reference.id", "reference.url",
    "customer.id", "customer.account_id", "customer.tier", "customer.value", "customer.contact_allowed",
    "customer.name", "customer.email", "customer.phone",
)  # fmt: skip
_DRIVERS = {"q2": "speed"}
_DIRECT = ("wrong_key", "lenient", "bad:")  # what no platform sends in this way: kinds of lines


@dataclass(frozen=True, slots=True)
class Entrance:
    """One `[intake.NAME]`, for one survey."""

    name: str
    platform: str
    source: str
    survey: str
    metric: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request to /in/ENTRANCE."""

    entrance: str
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class _Platform:
    """`body` gives None for what the platform cannot say. `hidden`: the path that leads to what is no answer."""

    body: Callable[[Fields], Fields | None]
    sign: Callable[[bytes, str], Headers]
    answers: str
    hidden: str


def entrance(survey: str, source: str, metric: str) -> Entrance:
    """The platform is that of the source, where it has one of its own."""
    return Entrance(survey, source if source in _PLATFORMS else "generic", source, survey, metric)


def settings(entrances: Mapping[str, Entrance]) -> str:
    """Their `[intake.NAME]`, as somebody would write it into npsflow.toml."""
    return "".join(map(_settings, entrances.values()))


def _settings(of: Entrance) -> str:
    platform, (low, high) = _PLATFORMS[of.platform], SCALES[of.metric]
    scale = f"scale = {{min = {low}, max = {high}}}\n" if of.source == "surveymonkey" else ""
    fields = "".join(f'"{name}" = "{platform.hidden}{name}"\n' for name in _FIELDS)
    drivers = "".join(f'"{platform.answers}{question}" = "{topic}"\n' for question, topic in _DRIVERS.items())
    head = f'platform = "{of.platform}"\nsource = "{of.source}"\ncomment = ["{platform.answers}comment"]\n'
    score = f'question = "{platform.answers}score"\nmetric = "{of.metric}"\n{scale}'
    table = f"intake.{of.name}"
    return f"\n[{table}]\n{head}[[{table}.scores]]\n{score}[{table}.fields]\n{fields}[{table}.drivers]\n{drivers}"


def webhook(line: Line, secret: str) -> Webhook | None:
    """The request that becomes this line; None where no platform would send it so."""
    if line.value is None or line.kind.startswith(_DIRECT):
        return None
    fields = json.loads(line.value)
    to = _FOUND[fields.get("survey_id", fields["source"])]
    sent = _PLATFORMS[to.platform].body(fields)
    if sent is None:
        return None
    body = dump(sent)
    return Webhook(to.name, _PLATFORMS[to.platform].sign(body, secret), body)


# What platforms send.


def _typeform(fields: Fields) -> Fields | None:
    """typeform.com/developers/webhooks: answers in a list, each under its type; what the link carried in `hidden`."""
    if "updated_at" in fields or "deleted" in fields:
        return None
    answers = [
        {"type": kind, kind: value, "field": {"id": name, "type": kind, "ref": name}}
        for name, value in _answers(fields).items()
        for kind in ("text" if isinstance(value, str) else "number",)
    ]
    response = {"form_id": fields["survey_id"], "token": fields["response_id"], "submitted_at": fields["submitted_at"]}
    return {"event_type": "form_response", "form_response": response | {"hidden": _hidden(fields), "answers": answers}}


def _formbricks(fields: Fields) -> Fields | None:
    """github.com/formbricks/formbricks: answers and hidden fields together, by id."""
    if "deleted" in fields or _is_late(fields):
        return None
    data = {"id": fields["response_id"], "surveyId": fields["survey_id"], "createdAt": fields["submitted_at"]}
    if "updated_at" in fields:
        data["updatedAt"] = fields["updated_at"]
    event = "responseUpdated" if "updated_at" in fields else "responseFinished"
    return {"event": event, "data": data | {"data": _answers(fields) | _hidden(fields)}}


def _is_late(fields: Fields) -> bool:
    """Whether it was changed more than a day after it was made: intake takes such a score for one of that later day."""
    times = [fields.get(name) for name in ("submitted_at", "updated_at")]
    if not all(isinstance(time, str) for time in times):
        return False
    submitted, updated = (datetime.fromisoformat(time) for time in times if isinstance(time, str))
    return updated - submitted > timedelta(days=1)


def _generic(fields: Fields) -> Fields | None:
    names = ("response_id", "submitted_at", "updated_at", "deleted")  # where the generic platform looks for them
    sent = {name: fields[name] for name in names if name in fields}
    return sent | {"form": fields.get("survey_id", "")} | _answers(fields) | _hidden(fields)


def _answers(fields: Fields) -> dict[str, Any]:
    """By question: the score, the comment, and those that say why."""
    given = {name: fields[name] for name in ("score", "comment") if name in fields}
    return given | {answer["question_id"]: answer["score"] for answer in fields.get("answers", ())}


def _hidden(fields: Fields) -> dict[str, Any]:
    found = {}
    for name in _FIELDS:
        outer, _, inner = name.partition(".")
        value = fields.get(outer)
        if inner and isinstance(value, dict):
            value = value.get(inner)
        if value is not None:
            found[name] = value
    return found


# How they sign it.


def _sign_typeform(body: bytes, secret: str) -> Headers:
    return {"Typeform-Signature": "sha256=" + _hmac(secret.encode(), body)}


def _sign_standard(body: bytes, secret: str) -> Headers:
    """standardwebhooks.com"""
    now = str(int(time.time()))
    id_ = "msg_" + sha256(body).hexdigest()[:24]
    signature = _hmac(b64decode(secret.removeprefix("whsec_")), f"{id_}.{now}.".encode() + body)
    return {"webhook-id": id_, "webhook-timestamp": now, "webhook-signature": f"v1,{signature}"}


def _hmac(key: bytes, message: bytes) -> str:
    return b64encode(hmac.digest(key, message, sha256)).decode()


_PLATFORMS = {
    "typeform": _Platform(_typeform, _sign_typeform, "answers.", "hidden."),
    "formbricks": _Platform(_formbricks, _sign_standard, "answers.", "answers."),
    "generic": _Platform(_generic, _sign_standard, "", ""),
}

PLATFORMS = tuple(_PLATFORMS)

_ALL = [
    *(entrance(survey, source, metric) for _, source, survey, metric, *_ in SURVEYS),
    # Those of the story.
    entrance("after-chat", "formbricks", "nps"),
    entrance("after-call", "call-centre", "nps"),
]
ENTRANCES = {of.survey: of for of in _ALL}
"""By survey."""

_FOUND = {of.source: of for of in _ALL} | ENTRANCES  # a deletion names no survey, only its source
