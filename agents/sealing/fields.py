"""Which fields of a response or invitation are personal, and how each is sealed. Pure.

What a stage would drop or refuse because of its type keeps a type that is wrong, so that the same is dropped or
refused; what is longer than a stage takes is cut before. Fields that no stage knows are sealed as well: who sends them
may have put anything there.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from npsflow.schemas import codec
from npsflow.schemas.invitation import Invitation
from npsflow.schemas.response import MAX_COMMENT, MAX_IDENTIFIER, Answer, Customer, Reference, Response
from npsflow.schemas.sealed import is_sealed

Seal = Callable[[str], str]
"""From a text that is not blank to its token."""

_SCALARS = str | int | float | bool | None
_COMMENTS = ("comment", "response_url")
_CONTACTS = ("name", "email", "phone")
_SEALED = "sealed"  # of answers that are no list, the only name
_TEXTS = ("text",)
_PARTS = {"customer", "answers", "attributes", "reference", "scale"}
_PLAIN = (set(Response.__struct_fields__) | set(Invitation.__struct_fields__) | {"deleted"}) - {*_COMMENTS} - _PARTS


def sealed(fields: Mapping[str, Any], attributes: Collection[str], seal: Seal) -> dict[str, Any]:
    """The fields of a response or invitation with tokens in place of what is personal; `attributes`: those that are."""

    def part(name: str, value: Any) -> Any:
        match name:
            case "comment" | "response_url":
                return _comment(value, seal)
            case "customer":
                return _struct(value, Customer, _CONTACTS, _contact, seal)
            case "reference":
                return _struct(value, Reference, (), _comment, seal)
            case "answers":
                return _answers(value, seal)
            case "attributes":
                return _attributes(value, attributes, seal)
            case "scale":
                return value
        return value if name in _PLAIN and isinstance(value, _SCALARS) else _wrong(value, seal)

    return {name: part(name, value) for name, value in fields.items()}


def is_personal(fields: Mapping[str, Any], attributes: Collection[str]) -> bool:
    """Whether there is anything to seal."""
    found = False

    def notice(text: str) -> str:
        nonlocal found
        found = True
        return text

    sealed(fields, attributes, notice)
    return found


def person_key(fields: Mapping[str, Any]) -> str:
    """Under whose key the fields are sealed: the customer's, else that of the response or invitation; "" for nobody's.

    It is what a Kafka key of its alerts is.
    """
    customer = fields.get("customer")
    id_ = customer.get("id") if isinstance(customer, dict) else None
    if isinstance(id_, str) and 1 <= len(id_) <= MAX_IDENTIFIER:
        return id_
    source, number = fields.get("source"), fields.get("response_id", fields.get("invitation_id"))
    return f"{source}/{number}" if isinstance(source, str) and isinstance(number, str) else ""


def clear_fields(fields: Mapping[str, Any], attributes: Collection[str]) -> list[str]:
    """The personal fields of a response, event, case or action that hold a text which is no token."""
    customer, answers, extra, history = (fields.get(name) for name in ("customer", "answers", "attributes", "history"))
    found = [name for name in (*_COMMENTS, *_CONTACTS) if _is_clear(fields.get(name))]
    if isinstance(customer, dict):
        found += [f"customer.{name}" for name in _CONTACTS if _is_clear(customer.get(name))]
    if isinstance(extra, dict):
        found += [f"attributes.{name}" for name in attributes if _is_clear(extra.get(name))]
    for name, items, inner in ("answers[].text", answers, "text"), ("history[].comment", history, "comment"):
        if isinstance(items, list) and any(isinstance(item, dict) and _is_clear(item.get(inner)) for item in items):
            found.append(name)
    return found


def _is_clear(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not is_sealed(value)


def seal_json(value: Any, seal: Seal) -> str:
    """A token of any value: of a text itself, else of its JSON."""
    return seal(value if isinstance(value, str) else codec.dumps(value).decode())


def _wrong(value: Any, seal: Seal) -> Any:
    """A value of a type that its field cannot have: still none that it can have. Numbers and truths hold no person."""
    if value in ("", None) or isinstance(value, bool | int | float) or _is_wrapped(value):
        return value
    return [seal_json(value, seal)]


def _is_wrapped(value: Any) -> bool:
    """Whether it is what `_wrong` makes."""
    return isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) and is_sealed(value[0])


def _comment(value: Any, seal: Seal) -> Any:
    if not isinstance(value, str):
        return _wrong(value, seal)
    if not value.strip() or is_sealed(value):
        return value
    cut = value if len(value) * 4 <= MAX_COMMENT else value.encode()[:MAX_COMMENT].decode(errors="ignore")
    return seal(cut) if cut.strip() else cut


def _contact(value: Any, seal: Seal) -> Any:
    if isinstance(value, str) and (not value.strip() or is_sealed(value)):
        return value
    return seal(value) if isinstance(value, str) and len(value) <= MAX_IDENTIFIER else _wrong(value, seal)


def _struct(value: Any, kind: Any, personal: Collection[str], how: Callable[[Any, Seal], Any], seal: Seal) -> Any:
    """A part with fields of its own, of which some are personal."""
    if not isinstance(value, dict):
        return _wrong(value, seal)
    made: dict[str, Any] = {}
    for name, inner in value.items():
        if name in personal:
            made[name] = how(inner, seal)
        else:
            known = name in kind.__struct_fields__ and isinstance(inner, _SCALARS)
            made[name] = inner if known else _wrong(inner, seal)
    return made


def _answers(value: Any, seal: Seal) -> Any:
    if isinstance(value, list):
        return [_struct(item, Answer, _TEXTS, _comment, seal) for item in value]
    if isinstance(value, dict) and value.keys() == {_SEALED} and _is_wrapped(value[_SEALED]):
        return value
    made = _wrong(value, seal)
    return {_SEALED: made} if isinstance(made, list) else made


def _attributes(value: Any, personal: Collection[str], seal: Seal) -> Any:
    """Numbers that are personal become texts; events carry any attribute."""
    if not isinstance(value, dict):
        return _wrong(value, seal)
    made: dict[str, Any] = {}
    for name, inner in value.items():
        if name in personal and isinstance(inner, str | int | float) and inner != "":
            made[name] = seal_json(inner, seal)
        else:
            made[name] = inner if isinstance(inner, _SCALARS) else _wrong(inner, seal)
    return made
