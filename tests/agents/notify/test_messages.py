"""What is told of an event, and what of it: pure."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from npsflow.schemas.cases import Case, Kind, Status, TeamAction, Verb
from npsflow.streams.notify.backoff import MAX_ATTEMPTS, delay
from npsflow.streams.notify.event import Event, is_wanted, settle_seconds
from npsflow.streams.notify.message import build_message
from npsflow.streams.notify.payload import fit, redact
from npsflow.streams.notify.settings import NotifierSettings
from npsflow.streams.notify.texts import LABELS, LANGUAGES, REASONS, SEVERITIES, TITLES
from npsflow.streams.recovery.case import refusal
from npsflow.streams.recovery.settings import Recovery, SeverityRule
from npsflow.streams.scoring.scores import DEFAULT_SCALES
from tests.streams.recovery.recovering import World

from .conformance import event, events


def first(**more: Any) -> Event:
    world = World()
    world.respond(2, **more)
    output = world.events[0]
    return event(output.value, dict(output.headers))


def test_the_schedule_is_close_at_first_and_then_that_of_standard_webhooks() -> None:
    soon, advised = [5, 15, 30, 60, 120], [300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert [delay(n, 0.5) for n in range(1, MAX_ATTEMPTS)] == [*soon, *advised]
    assert delay(1, 0.0) == 4
    assert delay(1, 1.0) == pytest.approx(6)
    assert delay(1, 0.5, at_least=60) == 60
    assert delay(6, 0.5, at_least=60) == 300


def test_every_language_says_everything() -> None:
    for language in LANGUAGES:
        assert TITLES[language].keys() == TITLES["en"].keys()
        assert LABELS[language].keys() == LABELS["en"].keys()
        assert SEVERITIES[language].keys() == SEVERITIES["en"].keys()
        assert REASONS[language].keys() == REASONS["en"].keys()


def test_a_message_in_dutch() -> None:
    notifier = NotifierSettings(language="nl", zone="Europe/Amsterdam", private=["comment"])
    opened = first(department="Bezorging", channel="phone", language="nl", comment="Niemand belde", agent_id="jan")
    assert build_message(opened, notifier).text().splitlines() == [
        "Nieuwe zaak, kritiek: NPS 2, Bezorging",
        f"Zaak: {opened.case_id}",
        "Klant: C-1",
        "Score: NPS 2",
        "Redenen: criticaster",
        "Afdeling: Bezorging",
        "Medewerker: jan",
        "Antwoord via: phone",
        "Eigenaar: service-recovery",
        "Uiterlijk: 2026-03-03 10:00 Europe/Amsterdam",
        "Begin met: Dank u wel voor uw antwoord.",
        "",
        "> Niemand belde",
    ]


def test_reasons_are_words_of_the_language() -> None:
    world, dutch = World(), NotifierSettings(language="nl")
    world.respond(2, contact_requested=True)
    world.act("resolve")  # without a comment
    world.respond(2, customer="C-2", name="b")
    world.respond(9, customer="C-2", name="b")
    world.respond(2, customer="C-3", customer_fields={"contact_allowed": False})
    by_type = {dict(o.headers)["ce_type"]: event(o.value, dict(o.headers)) for o in reversed(world.events)}
    titles = {
        name: build_message(by_type[f"npsflow.case.{name}.v1".encode()], dutch).title
        for name in ("action_refused", "closed", "suppressed")
    }
    assert titles == {
        "action_refused": "Niet gedaan, de hoofdoorzaak ontbreekt",
        "closed": "Gesloten, het antwoord is teruggenomen",
        "suppressed": "Geen actie, wil geen contact: NPS 2, -",
    }
    opened = by_type[b"npsflow.case.opened.v1"]
    assert dict(build_message(opened, dutch).facts)["Redenen"] == "criticaster, vraagt om contact"
    assert dict(build_message(opened, NotifierSettings()).facts)["Reasons"] == "detractor, asks to be contacted"
    own = opened._replace(case=opened.case | {"reasons": ["key account"]})
    assert dict(build_message(own, dutch).facts)["Redenen"] == "key account"
    for cause, text in (("no_complaint", "geen klacht"), ("stale", "stale")):
        resolved = opened._replace(
            name="resolved", case=opened.case | {"history": [{"by": "anna", "root_cause": cause}]}
        )
        assert build_message(resolved, dutch).title == f"Opgelost door anna: {text}"


def test_every_refusal_and_every_category_has_words() -> None:
    verbs = [verb for verb in get_args(Verb) if verb not in ("fixed", "forget")]  # they are about no case
    cases = [
        Case("c-1", kind, 1, status, "k", opened_at="", due_at="", finish_by="")
        for kind in get_args(Kind)
        for status in get_args(Status)
    ]
    actions = [TeamAction("do-1", verb, "anna", root_cause=cause) for verb in verbs for cause in ("x", None)]
    refusals = {refusal(case, action) for case in cases for action in actions} - {None}
    categories = {word for scale in DEFAULT_SCALES.values() for word in scale.words}
    assert len(refusals) > 9
    assert refusals | categories <= REASONS["en"].keys()


def test_titles_of_the_settings_come_first() -> None:
    notifier = NotifierSettings(texts={"opened": "{customer} of {department}: {score}, {due}"})
    assert build_message(first(department="Support"), notifier).title == "C-1 of Support: 2, 2026-03-03 09:00 UTC"


def test_what_has_to_be_done_next_is_in_it() -> None:
    taken_up = events()[1]
    message = build_message(taken_up, NotifierSettings(private=["comment"]))
    assert message.title == "Taken up by anna"
    assert dict(message.facts)["Note"] == "I call <b>today</b>"
    assert "Note" not in dict(build_message(taken_up, NotifierSettings()).facts)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"events": ["warned"]}, False),
        ({"at_least": "high"}, True),
        ({"departments": ["Support"]}, True),
        ({"departments": ["support "]}, True),
        ({"departments": ["Sales"]}, False),
        ({"cases": ["ask"]}, False),
    ],
)
def test_which_events_are_wanted(change: dict[str, Any], expected: bool) -> None:
    assert is_wanted(first(department="Support"), replace(NotifierSettings(), **change)) is expected


def test_less_severe_ones_are_left_out_where_that_is_wanted() -> None:
    world = World()
    world.respond(5)
    medium = event(world.events[0].value, dict(world.events[0].headers))
    assert is_wanted(medium, NotifierSettings())
    assert not is_wanted(medium, NotifierSettings(at_least="high"))


def test_only_a_new_case_without_words_waits_for_them() -> None:
    notifier = NotifierSettings(settle_seconds=30)
    world = World()
    world.respond(4)
    silent = event(world.events[0].value, dict(world.events[0].headers))
    assert settle_seconds(silent, notifier) == 30
    assert settle_seconds(silent._replace(case=silent.case | {"comment": "x"}), notifier) == 0
    assert settle_seconds(silent._replace(case=silent.case | {"severity": "critical"}), notifier) == 0
    assert settle_seconds(silent._replace(name="warned"), notifier) == 0


def test_a_comment_that_came_later_is_known_as_one() -> None:
    world = World()
    world.respond(4, name="a")
    world.respond(4, name="a", comment="Nobody called")
    world.act("note", comment="he is on holiday")
    assert [event(o.value, dict(o.headers)).name for o in world.events] == ["opened", "enriched", "noted"]


words = st.text(max_size=6000)
cases = st.fixed_dictionaries(
    {"case_id": st.just("c-1"), "metric": st.just("nps"), "score": st.integers(0, 10)},
    optional={
        "comment": words,
        "history": st.lists(st.fixed_dictionaries({"what": st.just("noted"), "comment": words}), max_size=30),
        "answers": st.lists(st.fixed_dictionaries({"text": words}), max_size=10),
        "attributes": st.dictionaries(words, words, max_size=5),
        "alert_ids": st.lists(words, max_size=10),
        "reference": st.fixed_dictionaries({"url": words}),
        "department": words,
        "owner": words,
    },
)


@given(cases, st.sampled_from([["comment"], []]))
def test_it_fits_whatever_it_holds(case: dict[str, Any], private: list[str]) -> None:
    data = redact(case, private)
    found = fit(data, 19_500)
    assert len(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()) <= 19_500
    assert found["case_id"] == "c-1"
    if "cut" not in found:
        assert found == data
    assert private or "comment" not in found


def test_what_is_redact() -> None:
    case = {
        "name": "Pietje Puk", "email": "pietje@example.com", "phone": "1", "comment": "words", "plan": [[1, "warned"]],
        "answers": [{"question_id": "q", "score": 3, "text": "words"}], "customer_id": "C-1",
        "history": [{"what": "noted", "comment": "words", "by": "anna"}],
    }  # fmt: skip
    event = {"type": "npsflow.case.opened.v1", "id": "c-1.1", "time": "2026-03-01T15:00:00Z"}
    assert redact(event | case, []) == redact(case, [])  # the message says these itself
    assert redact(case, []) == {
        "answers": [{"question_id": "q", "score": 3}], "customer_id": "C-1",
        "history": [{"what": "noted", "by": "anna"}],
    }  # fmt: skip
    assert redact(case, ["comment", "name", "email", "phone"]) == {n: v for n, v in case.items() if n != "plan"}


# The answers of a case


def titles_of(world: World, **settings: Any) -> list[str]:
    """The titles of all messages."""
    notifier = NotifierSettings(**settings)
    every = [event(output.value, dict(output.headers)) for output in world.events]
    return [build_message(one, notifier).title for one in every if is_wanted(one, notifier)]


def unhappy_again() -> World:
    world = World()
    world.respond(5, department="Delivery", channel="email")
    world.now += 3_600_000
    world.respond(1, department="Billing", channel="chat", comment="You will hear from my lawyer")
    world.now += 3_600_000
    world.respond(6, department="Delivery", channel="email", comment="Still late")
    return world


def test_a_severity_that_rises_is_heard_of_by_default() -> None:
    world = unhappy_again()
    rises = "Unhappy once more: NPS 1, Billing; now critical"
    assert titles_of(world) == ["New case, medium: NPS 5, Delivery", rises]
    assert titles_of(world, events=["joined"]) == [rises, "Unhappy once more: NPS 6, Delivery"]
    assert titles_of(world, events=["escalated"], at_least="critical") == [rises]
    assert titles_of(world, events=["opened"]) == ["New case, medium: NPS 5, Delivery"]
    assert titles_of(world, departments=["Billing"]) == [rises]
    assert titles_of(world, events=["joined"], texts={"joined": "{score}!"}) == ["1!", "6!"]

    world = World()
    world.respond(6)
    world.respond(10, submitted=world.now - 3_600_000)
    assert titles_of(world)[-1] == "Now high: NPS 6, -"
    assert titles_of(world, language="nl")[-1] == "Nu hoog: NPS 6, -"

    world = World(Recovery(severity=[SeverityRule("law", "critical", words=["lawyer"])]))
    world.respond(6, name="r")
    world.respond(6, name="r", comment="my lawyer")
    assert titles_of(world)[-1] == "More is known: NPS 6, -; now critical"


def test_a_message_is_about_the_answer_that_came_and_shows_the_worst_and_the_newest() -> None:
    world = unhappy_again()
    joined, again = (event(output.value, dict(output.headers)) for output in world.events[1:])
    open_ = NotifierSettings(private=["comment"])
    assert build_message(joined, open_).text().splitlines()[2:7] == [
        "Customer: C-1", "Score: NPS 1, was 5", "Reasons: detractor", "Department: Billing", "Answer by: chat",
    ]  # fmt: skip
    assert build_message(joined, open_).quote == "You will hear from my lawyer"
    lines = build_message(again, open_).text().splitlines()
    assert "Score: NPS 6, was 1" in lines
    assert "Worst: NPS 1, Billing, chat, 2026-03-02 10:00 UTC “You will hear from my lawyer”" in lines
    assert build_message(again, open_).quote == "Still late"
    world.wait(17)
    warned = event(world.events[-1].value, dict(world.events[-1].headers))
    lines = build_message(warned, open_).text().splitlines()
    assert "Score: NPS 1, was 5" in lines
    assert "Newest: NPS 6, Delivery, email, 2026-03-02 11:00 UTC “Still late”" in lines
    for one in (joined, again, warned):
        shut = build_message(one, NotifierSettings())
        assert "lawyer" not in shut.text() + json.dumps(shut.data)
        assert "Still late" not in shut.text() + json.dumps(shut.data)


def test_of_an_answer_in_between_the_message_says_as_much() -> None:
    world = World()
    for hours, score in ((5, 0), (1, 5), (3, 4)):  # the last one came late
        world.respond(score, submitted=world.now - hours * 3_600_000, department=f"D{score}", comment=f"of {score}")
    between = event(world.events[-1].value, dict(world.events[-1].headers))
    shut = build_message(between, NotifierSettings())
    assert "of 4" not in shut.text() + json.dumps(shut.data)
    message = build_message(between, NotifierSettings(private=["comment"]))
    assert (message.title, message.quote) == ("Unhappy once more: NPS 4, D4", "of 4")
    assert [value for label, value in message.facts if label in ("Score", "Worst", "Newest")] == [
        "NPS 4, was 0", "NPS 0, D0, 2026-03-02 04:00 UTC “of 0”", "NPS 5, D5, 2026-03-02 08:00 UTC “of 5”",
    ]  # fmt: skip
