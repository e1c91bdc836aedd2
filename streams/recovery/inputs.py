"""What recover reads: facts about alerts and follow-ups, and actions of teams, typed."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from npsflow.schemas import codec, events, topics
from npsflow.schemas.cases import TeamAction
from npsflow.schemas.errors import RefusedRecord
from npsflow.schemas.events import Alert, AlertRetracted, Context, FollowUp, FollowUpRetracted
from npsflow.streams.stage import Record


class AlertFact(NamedTuple):
    """An alert that was raised, enriched or reinstated."""

    own: Alert
    context: Context


class FollowUpFact(NamedTuple):
    """A follow-up that was requested or enriched."""

    own: FollowUp
    context: Context


Fact = AlertFact | FollowUpFact | AlertRetracted | FollowUpRetracted | TeamAction

_context = codec.decoder(Context)
_alert, _follow_up = codec.decoder(Alert), codec.decoder(FollowUp)
_action = codec.decoder(TeamAction)


def _alert_fact(value: bytes) -> Fact:
    return AlertFact(_alert(value), _context(value))


def _follow_up_fact(value: bytes) -> Fact:
    return FollowUpFact(_follow_up(value), _context(value))


_READ: dict[str, Callable[[bytes], Fact]] = {
    events.ALERT_RAISED: _alert_fact,
    events.ALERT_ENRICHED: _alert_fact,
    events.ALERT_REINSTATED: _alert_fact,
    events.ALERT_RETRACTED: codec.decoder(AlertRetracted),
    events.FOLLOW_UP_REQUESTED: _follow_up_fact,
    events.FOLLOW_UP_ENRICHED: _follow_up_fact,
    events.FOLLOW_UP_RETRACTED: codec.decoder(FollowUpRetracted),
}


def fact_of(record: Record, topic: str) -> Fact | None:
    """What a record of `topic` (without prefix) says; None for what is not for us, our own decisions among it.

    Raises RefusedRecord for an action that cannot be read, and Undecodable for a fact that classify did not write.
    """
    if topic == topics.ACTIONS:
        return _read_action(record.key, record.value)
    read = _READ.get(_type_of(record))
    return None if read is None or record.value is None else read(record.value)


def _type_of(record: Record) -> str:
    for name, value in record.headers:
        if name == "ce_type":
            return value.decode(errors="replace")
    return ""


def _read_action(key: bytes | None, value: bytes | None) -> TeamAction:
    if value is None:
        raise RefusedRecord("null_value", "the record has no value")
    try:
        action = _action(value)
    except msgspec.ValidationError as error:
        # It names the field and what was expected there, not what was found.
        raise RefusedRecord("invalid_action", str(error)) from None
    except codec.Undecodable:
        raise RefusedRecord("not_json", "not JSON") from None
    named = [action.case_id, action.alert_id, action.follow_up_id].count(None)
    if action.action == "fixed":
        if named != 3 or not action.root_cause:
            raise RefusedRecord("invalid_action", "`fixed` names a root_cause and no case")
    elif action.action == "forget":
        if named != 3 or not key:
            raise RefusedRecord("invalid_action", "`forget` names the customer by the record's key, and no case")
    elif named != 2:
        raise RefusedRecord("invalid_action", "one of case_id, alert_id and follow_up_id is needed")
    return action
