"""What hypothesis feeds the tests with: responses good, odd and broken, and histories of them."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

settings.register_profile(
    "ci", derandomize=True, database=None, deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci")

END = datetime(2026, 3, 1, 15, 7, tzinfo=UTC)
NOW = int(END.timestamp() * 1000)
SCALES = {"nps": (0, 10), "enps": (0, 10), "csat": (1, 5), "csat_overall": (1, 5), "ces": (1, 7)}

Fields = dict[str, Any]
_BEFORE_END = [timedelta(days=d) for d in (0, 1, 6, 8, 20, 29, 31, 34, 36, 70)]
_ZONES = [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))]

texts = st.text(st.characters(codec="utf-8"), max_size=12)
values = st.sampled_from(["Chat", " chat ", "STRASSE", "Straße", "é" * 128, "", " "]) | texts
"""Of a text field that can be a dimension."""
identifiers = st.text(st.characters(codec="utf-8", exclude_characters="/\ufffd"), min_size=1, max_size=8)
integers = st.integers(-(2**63), 2**64 - 1)
numbers = integers | st.floats(allow_nan=False, allow_infinity=False)
scalars = texts | numbers | st.booleans()
random_json: SearchStrategy[Any] = st.recursive(
    st.none() | scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
random_bytes = st.binary(max_size=80) | st.builds(str.encode, st.text(st.characters(codec="utf-8"), max_size=40))


def times(oldest: timedelta = timedelta(days=99)) -> SearchStrategy[str]:
    """RFC 3339, from `oldest` before the end of the data to less than ten minutes after it."""

    def written(days: timedelta, minutes: int, micros: int, zone: timezone) -> str:
        return (END - days - timedelta(minutes=minutes, microseconds=micros)).astimezone(zone).isoformat()

    days = st.sampled_from([before for before in _BEFORE_END if before <= oldest])
    return st.builds(written, days, st.integers(-8, 60), st.sampled_from([0, 1, 500_000]), st.sampled_from(_ZONES))


def _optional(**fields: SearchStrategy[Any]) -> SearchStrategy[Fields]:
    return st.fixed_dictionaries({}, optional=fields)


_customers = _optional(
    id=identifiers, account_id=identifiers, tier=values, value=numbers, renews_at=texts, contact_allowed=st.booleans(),
    primary_contact=identifiers, name=identifiers, email=identifiers, phone=identifiers,
)  # fmt: skip
_optional_fields: dict[str, SearchStrategy[Any]] = {
    "updated_at": times(),
    "answers": st.lists(_optional(question_id=identifiers, topic=values, score=numbers, text=texts), max_size=3),
    "survey_kind": st.sampled_from(["relationship", "transactional"]),
    "attributes": st.dictionaries(texts, scalars, max_size=20),
    "reference": _optional(type=texts, id=identifiers, url=texts),
    "invitation_id": identifiers,
    "customer": _customers,
    **dict.fromkeys(("comment", "question", "response_url"), texts),
    **dict.fromkeys(("contact_requested", "test", "internal"), st.booleans()),
    **dict.fromkeys(("channel", "journey_stage", "department", "product", "survey_name"), values),
    **dict.fromkeys(("language", "touchpoint", "team", "agent_id", "survey_version"), texts),
}


@st.composite
def well_formed(draw: st.DrawFn) -> Fields:
    """A response that fits the schema to the letter."""
    metric = draw(st.sampled_from(sorted(SCALES)))
    low, high = SCALES[metric]
    required: Fields = {"source": draw(identifiers), "response_id": draw(identifiers), "survey_id": draw(identifiers)}
    required |= {"metric": metric, "score": draw(st.integers(low, high)), "submitted_at": draw(times())}
    scale = {"scale": {"min": low, "max": high}} if draw(st.booleans()) else {}
    return required | scale | draw(st.fixed_dictionaries({}, optional=_optional_fields))


_odd = random_json | st.sampled_from(["x" * 129, "é" * 9_000, "y" * 257, {str(n): n for n in range(21)}, [1, {}]])


@st.composite
def lenient(draw: st.DrawFn) -> Fields:
    """A response in which up to three optional fields, or parts of them, hold anything."""
    fields = draw(well_formed())
    for name in draw(st.lists(st.sampled_from(sorted(_optional_fields)), min_size=1, max_size=3)):
        if isinstance(fields.get(name), dict) and draw(st.booleans()):
            keys = st.sampled_from([*sorted(fields[name]), "id", "value"])
            fields[name] = fields[name] | {draw(keys): draw(_odd)}
        else:
            fields[name] = draw(_odd)
    return fields


@st.composite
def corrupted(draw: st.DrawFn) -> Fields:
    """A response in which one required field is missing or holds anything."""
    fields = draw(well_formed())
    name = draw(st.sampled_from(["source", "response_id", "survey_id", "metric", "score", "submitted_at"]))
    if draw(st.booleans()):
        return {key: value for key, value in fields.items() if key != name}
    return fields | {name: draw(random_json)}


def encoded(fields: SearchStrategy[Fields]) -> SearchStrategy[bytes]:
    """As platforms write them: with characters escaped or as they are."""
    return st.builds(
        lambda value, ascii: json.dumps(value, ensure_ascii=ascii).encode(errors="surrogatepass"), fields, st.booleans()
    )


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The bytes of a response, here and there cut, doubled or changed."""
    value = bytearray(draw(encoded(well_formed())))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(value)))
        size = draw(st.integers(0, 8))
        value[at : at + size] = draw(st.binary(max_size=4) | st.just(bytes(value[at : at + 2 * size])))
    return bytes(value)


anything = encoded(well_formed() | lenient() | corrupted()) | mutated() | random_bytes | st.just(None)
"""Any value a record can have."""


# Histories: versions of few responses, so that they meet.

_changes: dict[str, SearchStrategy[Any]] = {
    "metric": st.sampled_from(["nps", "csat", "ces", "enps", "csat_overall"]),
    "score": st.sampled_from([1, 2, 3, 4, 5, 5, 7, 10, 11]),
    "submitted_at": times(timedelta(days=34)) | st.just("2099-01-01T00:00:00Z"),
    "updated_at": times()
    | times().map(lambda time: f"{time}[UTC]")
    | st.sampled_from(["soon", "2026-03-01T15:07Z", "0001-01-01T00:00:00Z", "2099-01-01T00:00:00Z"]),
    "comment": st.sampled_from(["", "slow", "late", "é" * 9_000, 7, "half \ud83d"]),
    "question": st.sampled_from(["why?", "what?"]),
    "channel": values,
    "attributes": st.sampled_from([{"plan": 1}, {"plan": True}, {"plan": 1.0}, {"plan": None}, {}]),
    "customer": _optional(id=st.sampled_from(["C-1", "C-2", ""]), tier=values, name=texts) | st.just("C-1"),
    "deleted": st.sampled_from([False, "no"]),
    "test": st.sampled_from([True, False, "yes"]),
    "internal": st.sampled_from([True, False]),
}


@st.composite
def _version(draw: st.DrawFn, of: Fields, changed: list[str]) -> Fields:
    names = draw(st.lists(st.sampled_from(changed), max_size=3, unique=True))
    return of | {name: draw(_changes[name]) for name in names}


def _new(response_id: str) -> Fields:
    fields = {"source": "s", "response_id": response_id, "survey_id": "Q ", "metric": "nps", "score": 3}
    return fields | {"submitted_at": (END + timedelta(minutes=9)).isoformat()}


_deletions = st.fixed_dictionaries(
    {"source": st.just("s"), "response_id": st.sampled_from("123"), "deleted": st.just(True)},
    optional={"updated_at": times() | st.sampled_from(["soon", "1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"])},
)
_odd_scores: SearchStrategy[Any] = st.sampled_from([3.0, 3.5, 11.0, float("nan"), float("inf")])
_odd_scales: SearchStrategy[Any] = st.sampled_from(
    ["0-10", {"min": 0.0, "max": 10}, {"min": 0, "max": 9.5}, {}, [0, 10]]
)
_odd_numbers = encoded(
    st.builds(lambda score, scale: _new("4") | {"score": score, "scale": scale}, _odd_scores, st.none() | _odd_scales)
    | st.builds(lambda value: _new("4") | {"attributes": {"a": value}, "answers": [{"score": value}]}, _odd_scores)
)
_junk = (
    mutated()
    | encoded(corrupted())
    | _odd_numbers
    | st.sampled_from([None, b"", b"[]", b"\xff", b"{", b"[" * 10_000])
    | st.builds(bytes.__add__, st.sampled_from([b"\0\0\0\0\x07", b"\xef\xbb\xbf", b"\x1f\x8b", b"{}\n"]), random_bytes)
)
_STAYS = [name for name in _changes if name != "submitted_at"]

Produced = tuple[bytes | None, bytes | None]
"""Key and value of a record."""


def own_key(value: bytes | None) -> bytes | None:
    """The key that a value asks for; any where it has no identity."""
    try:
        fields = json.loads(value or b"")
        return f"{fields['source']}/{fields['response_id']}".encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return b"junk"


@st.composite
def histories(draw: st.DrawFn) -> list[Produced]:
    """Records as they are produced: responses, corrections, repeats, deletions, junk, responses that may be too late.

    What may be too late has one version, so that no response is forgotten and comes again with its first revision.
    A history may hold records with a wrong key. Their copies are read at its end: so each of them is the only version
    of its response, and the first record has already brought stream time to where it stays.
    """
    wrong = draw(st.booleans())
    versions = {name: _new(name) for name in "123"}
    found: list[Produced] = [(b"s/anchor", json.dumps(_new("anchor")).encode())] if wrong else []
    for number in range(draw(st.integers(1, 14))):
        kind = draw(
            st.sampled_from(["version"] * 5 + ["repeat", "deletion", "junk", "late", "wrong" if wrong else "late"])
        )
        if kind == "version":
            name = draw(st.sampled_from("112233"))
            versions[name] = draw(_version(versions[name] if draw(st.booleans()) else _new(name), list(_changes)))
            value: bytes | None = draw(encoded(st.just(versions[name])))
        elif kind == "repeat":
            value = draw(st.sampled_from([value for key, value in found if key == own_key(value)] or [None]))
        elif kind == "deletion":
            value = draw(encoded(_deletions))
        elif kind == "junk":
            value = draw(_junk)
        elif kind == "late":
            value = draw(encoded(st.builds(dict, st.just(_new(f"late{number}")), submitted_at=times())))
        else:
            value = draw(encoded(_version(_new(f"w{number}"), _STAYS)))
        found.append((draw(st.sampled_from([None, b"C-1"])) if kind == "wrong" else own_key(value), value))
    return found


plans = st.lists(st.sampled_from(["go", "go", "go", "commit", "restart", "crash"]), max_size=20)
"""What happens to a task after each record: see `folding.run`."""
