"""The contracts as files: a JSON Schema of each value, and an AsyncAPI 3 document of the topics.

What they say is taken from the types of this package, their docstrings, what `descriptions` has beside them, and the
functions that make headers.
"""

from inspect import cleandoc, getdoc
from typing import Any, get_args

import msgspec
from msgspec import Struct

from npsflow.schemas import cases, codec, events, score_alert, topics
from npsflow.schemas.descriptions import describe
from npsflow.schemas.errors import Reason
from npsflow.schemas.headers import CloudEvents, DeadLetter, Headers, with_origin
from npsflow.schemas.history import Counts, history_key
from npsflow.schemas.invitation import Invitation
from npsflow.schemas.response import Deletion, Response
from npsflow.schemas.topics import Topic
from npsflow.schemas.window import Window, window_key

Json = dict[str, Any]

VERSION = "1.2.0"
"""Of the contracts, not of the program: it changes with them alone."""

READ: dict[str, tuple[type[Struct], ...]] = {
    "response.json": (Response,),
    "deletion.json": (Deletion,),
    "invitation.json": (Invitation,),
    "action.json": (cases.TeamAction,),
}
"""Schema file to the type of what others write, where null says the same as a field that is absent."""

WRITTEN: dict[str, tuple[type[Struct], ...]] = {
    "alert.v1.json": (events.Alert, events.Context),
    "alert.retracted.v1.json": (events.AlertRetracted,),
    "follow_up.v1.json": (events.FollowUp, events.Context),
    "follow_up.retracted.v1.json": (events.FollowUpRetracted,),
    "case.v1.json": (cases.Case, events.Context),
    "case.suppressed.v1.json": (cases.Suppressed, events.Context),
    "case.action_refused.v1.json": (cases.ActionRefused,),
    "case.json": (cases.Case, events.Context),
    "window.json": (Window,),
    "history.json": (Counts,),
    "score_alert.v1.json": (score_alert.ScoreAlert,),
}
"""Schema file to the types whose fields npsflow writes as one flat object, after those of EventAttributes in events."""

EVENTS: dict[str, dict[str, str]] = {
    topics.SERVICE_RECOVERY: {
        events.ALERT_RAISED: "alert.v1.json",
        events.ALERT_ENRICHED: "alert.v1.json",
        events.ALERT_RETRACTED: "alert.retracted.v1.json",
        events.ALERT_REINSTATED: "alert.v1.json",
        **{
            cases.event_type(what): f"case.{what}.v1.json"
            if what in ("suppressed", "action_refused")
            else "case.v1.json"
            for what in get_args(cases.CaseEvent)
        },
    },
    topics.FOLLOW_UP: {
        events.FOLLOW_UP_REQUESTED: "follow_up.v1.json",
        events.FOLLOW_UP_ENRICHED: "follow_up.v1.json",
        events.FOLLOW_UP_RETRACTED: "follow_up.retracted.v1.json",
    },
    topics.SCORE_ALERTS: dict.fromkeys(score_alert.SCORE_ALERT.values(), "score_alert.v1.json"),
}
"""Topic to `ce_type` to the schema file of the value."""

_VARIED = (("a", 1, "a"), ("b", 2, None))
"""A text, a number and what may be missing, of two examples of headers that have only in common what is constant."""

_FORWARDED = "Only on a forwarded record: append time in ms, partition and offset of the record as it was produced."


def documents() -> dict[str, bytes]:
    """File name to content; the same bytes every time."""
    files = {name: _schema(*parts) for name, parts in READ.items()}
    files |= {name: _never_null(_written(name, parts)) for name, parts in WRITTEN.items()}
    files["asyncapi.json"] = _asyncapi()
    return {name: codec.dumps(content, indent=True) + b"\n" for name, content in files.items()}


# JSON Schema


def _schema(*parts: type[Struct]) -> Json:
    """The schema of one flat object with the fields of all parts."""
    _, definitions = msgspec.json.schema_components(parts, ref_template="#/$defs/{name}")
    for type_name, definition in definitions.items():
        definition["description"] = cleandoc(definition["description"])
        for name, field in definition.get("properties", {}).items():
            text, example = describe(type_name, name)
            field |= {"description": text, "examples": [example]}
    own = [definitions.pop(part.__name__) for part in parts]
    properties = {name: field for part in own for name, field in part["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": own[0]["title"],
        "description": "\n\n".join(part["description"] for part in own),
        "type": "object",
        "properties": properties,
        "required": [name for name, field in properties.items() if _required(field)],
        "$defs": definitions,
    }


def _written(file: str, parts: tuple[type[Struct], ...]) -> Json:
    """The schema of what npsflow writes; of an event it has the attributes too, and names the types there are."""
    named = (*EVENTS.values(), {events.WINDOW_UPDATED: "window.json"})
    kinds = [kind for types in named for kind, written in types.items() if written == file]
    if not kinds:
        return _schema(*parts)
    schema = _schema(*parts, events.EventAttributes)
    schema["properties"]["type"] |= {"enum": kinds, "examples": kinds[:1]}
    return schema


def _required(field: Json) -> bool:
    """A field without a default, or with one possible value: that one tells the type from others."""
    return "default" not in field or field.get("enum") == [field["default"]]


def _never_null(schema: Any) -> Any:
    """The schema without null as another way to say that a field is absent."""
    if isinstance(schema, list):
        return [_never_null(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    inside = {name: _never_null(inner) for name, inner in schema.items()}
    if "anyOf" in inside and inside.get("default", ...) is None:
        del inside["default"]
        kinds = [kind for kind in inside.pop("anyOf") if kind != {"type": "null"}]
        inside |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    return inside


# AsyncAPI


def _asyncapi() -> Json:
    """The topics, what stands on them, and who writes it; servers are left to each installation."""
    public = [topic for topic in topics.ALL if not topic.internal]
    operations = {f"send-{topic.name}": _operation("send", topic.name) for topic in public}
    operations[f"send-{topics.RESPONSES}"]["summary"] = "A record with another key, once more under the right one."
    operations[f"receive-{topics.RESPONSES}"] = _operation("receive", topics.RESPONSES)
    operations[f"receive-{topics.ACTIONS}"] = _operation("receive", topics.ACTIONS)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "npsflow", "version": VERSION, "description": getdoc(topics)},
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in public},
        "operations": operations,
    }


def _operation(action: str, topic: str) -> Json:
    return {"action": action, "channel": {"$ref": f"#/channels/{topic}"}}


def _channel(topic: Topic) -> Json:
    configuration = {"cleanup.policy": [topic.cleanup], "max.message.bytes": topics.MAX_RECORD}
    return {
        "address": topic.name,
        "description": topic.value,
        "messages": {name: message | _keyed(topic) for name, message in _messages(topic).items()},
        "bindings": {"kafka": {"topicConfiguration": configuration, "bindingVersion": "0.5.0"}},
    }


def _keyed(topic: Topic) -> Json:
    key: Json = {"type": "string", "description": topic.key}
    if topic.name == topics.WINDOWS:
        key["examples"] = [window_key("nps", "0-10", {"channel": "email"}, "24h").decode()]
    if topic.name == topics.HISTORY:
        key["examples"] = [history_key("nps", "0-10", {"channel": "email"}, "1h", "2026-03-01T15:00:00Z").decode()]
    if topic.name == topics.SCORE_ALERTS:
        key["examples"] = [score_alert.score_alert_key("support", "nps", "0-10", {"channel": "email"}).decode()]
    return {"bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}}}


def _messages(topic: Topic) -> dict[str, Json]:
    """The messages of a topic by name; those of an event are named by its type."""
    match topic.name:
        case topics.RESPONSES:
            forwarded = _headers(_FORWARDED, [], with_origin([], 1, 1, 1))
            return {name: _message(f"{name}.json") | {"headers": forwarded} for name in ("response", "deletion")}
        case topics.DEAD_LETTERS:
            examples = (DeadLetter(text, text, text, n, n, text, source).headers([]) for text, n, source in _VARIED)
            why = _headers(getdoc(DeadLetter), *examples)
            why["properties"]["npsflow_dlq_reason"]["enum"] = list(get_args(Reason))
            payload = {"description": topic.value}
            return {"dead_letter": {"payload": payload, "headers": why, "contentType": "application/octet-stream"}}
        case topics.INVITATIONS:
            return {"invitation": _message("invitation.json")}
        case topics.ACTIONS:
            return {"action": _message("action.json")}
        case topics.HISTORY:
            return {"counts": _message("history.json"), "tombstone": {"payload": {"type": "null"}}}
        case topics.CASES:
            return {"case": _message("case.json"), "tombstone": {"payload": {"type": "null"}}}
        case topics.WINDOWS:
            window = _message("window.json") | {"headers": _event_headers(events.WINDOW_UPDATED)}
            return {"window": window, "tombstone": window | {"payload": {"type": "null"}}}
        case name:
            return {kind: _message(file) | {"headers": _event_headers(kind)} for kind, file in EVENTS[name].items()}


def _message(file: str) -> Json:
    return {"payload": {"$ref": f"./{file}"}}


def _event_headers(kind: str) -> Json:
    examples = (CloudEvents(text, [kind]).headers(kind, text, n, text) for text, n, _ in _VARIED)
    return _headers(getdoc(CloudEvents), *examples)


def _headers(description: str | None, *examples: Headers) -> Json:
    """The schema of headers, told from examples: required what all have, constant what is the same in all."""
    fields = [dict(example) for example in examples]
    names = list(dict.fromkeys(name for example in fields for name in example))
    properties: dict[str, Json] = {name: {"type": "string"} for name in names}
    for name in names:
        values = {example.get(name) for example in fields}
        if len(values) == 1 and (value := values.pop()) is not None:
            properties[name]["const"] = value.decode()
    required = [name for name in names if all(name in example for example in fields)]
    return {"type": "object", "description": description, "properties": properties, "required": required}
