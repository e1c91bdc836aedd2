"""Decodes what recover reads: facts about alerts and follow-ups, and actions of teams."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from npsflow.schemas import codec, events, topics
from npsflow.schemas.cases import TeamAction, comment_problem
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.events import Alert, AlertRetracted, Context, FollowUp, FollowUpRetracted
from npsflow.streams.stage import Record


class AlertFact(NamedTuple):
    """An alert that was raised, enriched or reinstated, and the context of its response."""

    alert: Alert
    context: Context


class FollowUpFact(NamedTuple):
    """A follow-up that was requested or enriched, and the context of its response."""

    follow_up: FollowUp
    context: Context


Fact = AlertFact | FollowUpFact | AlertRetracted | FollowUpRetracted | TeamAction

KINDS = {
    AlertFact: "alert",
    AlertRetracted: "alert",
    FollowUpFact: "follow_up",
    FollowUpRetracted: "follow_up",
    TeamAction: "action",
    type(None): "skipped",
}
"""As what the records are counted that `decode_fact` makes these of."""

_decode_context, _decode_action = codec.decoder(Context), codec.decoder(TeamAction)
_decode_alert, _decode_follow_up = codec.decoder(Alert), codec.decoder(FollowUp)


def _alert_fact(value: bytes) -> Fact:
    return AlertFact(_decode_alert(value), _decode_context(value))


def _follow_up_fact(value: bytes) -> Fact:
    return FollowUpFact(_decode_follow_up(value), _decode_context(value))


_DECODERS: dict[str, Callable[[bytes], Fact]] = {
    events.ALERT_RAISED: _alert_fact,
    events.ALERT_ENRICHED: _alert_fact,
    events.ALERT_REINSTATED: _alert_fact,
    events.ALERT_RETRACTED: codec.decoder(AlertRetracted),
    events.FOLLOW_UP_REQUESTED: _follow_up_fact,
    events.FOLLOW_UP_ENRICHED: _follow_up_fact,
    events.FOLLOW_UP_RETRACTED: codec.decoder(FollowUpRetracted),
}


def decode_fact(record: Record, topic: str) -> Fact | None:
    """Decode a record of `topic` (without prefix); None for what recover skips, such as its own events.

    Raises RefusedRecord for an action that is not valid, and Undecodable for a fact that classify did not write.
    """
    if topic == topics.ACTIONS:
        return valid_action(record.key, record.value)
    decode = _DECODERS.get(_event_type(record))
    return None if decode is None or record.value is None else decode(record.value)


def _event_type(record: Record) -> str:
    for name, value in record.headers:
        if name == "ce_type":
            return value.decode(errors="replace")
    return ""


def valid_action(key: bytes | None, value: bytes | None) -> TeamAction:
    """Decode an action and check what it names. Raises RefusedRecord."""
    if value is None:
        raise RefusedRecord("null_value", "the record has no value")
    try:
        action = _decode_action(value)
    except msgspec.ValidationError as error:
        # It names the field and what is expected there, and quotes no data.
        raise RefusedRecord("invalid_action", str(error)) from None
    except codec.Undecodable:
        raise RefusedRecord("not_json", "not JSON") from None
    if (problem := comment_problem(action)) is not None:
        raise RefusedRecord("invalid_action", problem)
    names = 3 - [action.case_id, action.alert_id, action.follow_up_id].count(None)
    if action.action == "fixed":
        if names or not action.root_cause:
            raise RefusedRecord("invalid_action", "`fixed` names a root_cause and no case")
    elif action.action == "forget":
        if names or not key:
            raise RefusedRecord("invalid_action", "`forget` names the customer by the record's key, and no case")
    elif names != 1:
        raise RefusedRecord("invalid_action", "one of case_id, alert_id and follow_up_id is needed")
    return action
