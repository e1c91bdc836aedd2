"""What is particular to one platform, beyond what every adapter has to do."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from npsflow.agents.platforms import zendesk
from npsflow.agents.platforms.protocol import Delivery, Forged, Malformed, Transient
from npsflow.streams.intake.mapping import Score, Unmapped

from .conformance import NOW, endpoint, platform
from .signing import SECRET

WEBHOOKS = Path(__file__).parents[3] / "docs" / "webhooks.md"


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("asknicely", "person.id"),
        ("formbricks", "contact.id"),
        ("survicate", "respondent.id"),
        ("wootric", "response.end_user_id"),
        ("zendesk", "satisfaction_rating.requester_id"),
    ],
)
def test_a_platforms_own_number_of_a_person_is_no_customer(name: str, path: str) -> None:
    under = platform(name)
    for response in under.become(under.good, under.changed(fields=under.form.fields | {"customer.id": path})):
        assert "id" not in response["customer"]


def test_a_static_secret_may_be_in_any_header_and_is_a_bearer_token_where_none_is_named() -> None:
    under = platform("asknicely")
    bearer = Delivery({"authorization": f"Bearer {SECRET}"}, under.good)
    under.changed(header="").verify(bearer, NOW)
    generic = platform("generic")
    generic.changed(verification="bearer").verify(bearer, NOW)
    generic.changed(verification="bearer", header="X-Token").verify(Delivery({"x-token": SECRET}, b""), NOW)
    for wrong in (bearer, Delivery({"x-feedback-token": ""}, b""), Delivery({"x-feedback-token": "no"}, b"")):
        with pytest.raises(Forged):
            under.endpoint.verify(wrong, NOW)


class TestZendesk:
    under = platform("zendesk")

    def sent(self, name: str, **changes: Any) -> bytes:
        return json.dumps(json.loads(self.under.body(name)) | changes).encode()

    def test_a_score_in_the_event_need_not_be_fetched(self) -> None:
        body = self.sent("asked.json", event={"rating": 2, "comment": "Slow."})
        endpoint = self.under.changed(
            scores=[Score("event.rating", "csat")], comment=["event.comment"], fields={"reference.id": "ticket.id"}
        )
        (response,) = self.under.become(body, endpoint)
        assert (response["response_id"], response["score"], response["comment"]) == ("zen:ticket:35436", 2, "Slow.")
        assert response["reference"] == {"type": "ticket", "id": "35436"}

    def test_events_may_be_called_otherwise(self) -> None:
        body = self.sent("asked.json", type="zen:event-type:ticket.survey_answered")
        assert self.under.become(body) == []
        (fetch,) = self.under.become(body, self.under.changed(events={"answered": json.loads(body)["type"]}))
        assert fetch["ids"] == {"subject": "zen:ticket:35436"}

    def test_a_rating_that_was_only_offered_is_an_invitation(self) -> None:
        rating = json.loads(self.under.good)["satisfaction_rating"] | {"score": "offered"}
        (invitation,) = self.under.become(self.sent("good.json", satisfaction_rating=rating))
        assert invitation["invitation_id"] == "zen:ticket:35436"
        assert invitation["customer"]["id"] == "C-3310"
        assert "score" not in invitation

    @pytest.mark.parametrize(
        ("name", "form"), [("good.json", "satisfaction_rating"), ("offered.json", "csat"), ("asked.json", "csat")]
    )
    def test_a_mapping_may_be_for_one_way_only(self, name: str, form: str) -> None:
        endpoint = self.under.changed(
            forms=[form], survey_id="", scores=[Score("subject", "csat", words={"zen:ticket:35436": 5})]
        )
        assert self.under.become(self.under.body(name), endpoint)[0]["survey_id"] == form

    def test_the_body_that_the_manual_gives_for_a_trigger(self) -> None:
        (block,) = re.findall(r"```json\n(.*?)```", WEBHOOKS.read_text(), re.DOTALL)
        filled = {
            "ticket.id": "35436", "satisfaction.current_rating": "Bad, I'm unsatisfied",
            "ticket.updated_at_with_timestamp": "2026-03-01T15:02Z", "ticket.requester.external_id": "C-3310",
        }  # fmt: skip
        body = re.sub(r"{{(.*?)}}", lambda found: filled.get(found[1], ""), block).encode()
        scores = [Score("satisfaction_rating.score", "csat", words={"Bad, I'm unsatisfied": 1})]
        (response,) = self.under.become(body, self.under.changed(scores=scores))
        assert (response["response_id"], response["score"]) == ("zen:ticket:35436", 1)
        assert response["submitted_at"] == response["updated_at"] == "2026-03-01T15:02:00Z"
        assert response["customer"]["id"] == "C-3310"

    def test_a_placeholder_that_stayed_empty_is_no_answer(self) -> None:
        rating = json.loads(self.under.good)["satisfaction_rating"] | {"score": ""}
        assert self.under.become(self.sent("good.json", satisfaction_rating=rating)) == []

    def test_words_of_the_account_count_as_the_mapping_says(self) -> None:
        rating = json.loads(self.under.good)["satisfaction_rating"] | {"score": "Goed, ik ben tevreden"}
        scores = [Score("satisfaction_rating.score", "csat", words={"Goed, ik ben tevreden": 5})]
        (response,) = self.under.become(
            self.sent("good.json", satisfaction_rating=rating), self.under.changed(scores=scores)
        )
        assert response["score"] == 5


class TestWootric:
    under = platform("wootric")

    def become(self, body: bytes) -> list[dict[str, Any]]:
        delivery = self.under.delivery(body)
        headers = dict(delivery.headers) | {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
        self.under.endpoint.verify(delivery, NOW)
        return [json.loads(record.value or b"") for record in self.under.endpoint.records(Delivery(headers, body), NOW)]

    def test_url_encoded_says_the_same_as_json(self) -> None:
        (response,), (wanted,) = self.become(self.under.body("encoded.txt").strip()), self.under.become(self.under.good)
        at = "2026-03-01T07:02:10-08:00"  # Wootric leaves out the milliseconds here
        assert response == wanted | {"submitted_at": at, "updated_at": at}

    @pytest.mark.parametrize(
        "body", [b"", b"\xff", b"a=1", b"response=1", b"response[id]=", b"a=1&a[b]=2", b"&" * 9999]
    )
    def test_what_is_no_event_is_malformed(self, body: bytes) -> None:
        with pytest.raises(Malformed):
            self.become(body)


def test_a_comment_beside_a_choice_of_survicate_is_one() -> None:
    under = platform("survicate")
    body = under.good.replace(b'"comment": null', b'"comment": "Nobody answers."')
    (response,) = under.become(body)
    assert (response["score"], response["comment"]) == (2, "Nobody answers.")


def test_asknicely_counts_its_changes() -> None:
    under = platform("asknicely")
    sent = json.loads(under.good)
    found = [under.become(json.dumps(sent | {"count": count}).encode())[0] for count in (2, 3)]
    assert [response["updated_at"] for response in found] == ["2026-03-01T15:02:06Z", "2026-03-01T15:02:07Z"]


def test_a_score_or_a_field_that_is_a_heap_of_lists_is_refused_by_name() -> None:
    """Written out they would be deeper than what JSON can hold, or than what Python can walk."""
    deep = b"[" * 1_000 + b"]" * 1_000
    under = platform("generic")
    with pytest.raises(Unmapped, match="invalid_score: score is a list"):
        under.become(under.good.replace(b'"sad"', deep))
    (response,) = under.become(under.good.replace(b'"Service desk"', deep))
    assert "department" not in response


def rated(rating: int, at: str, **more: Any) -> dict[str, Any]:
    """A survey response as Zendesk's API shows it."""
    rated_at, commented_at = f"2026-03-01T{at}:00Z", f"2026-03-01T{at}:30Z"
    question = {"id": "01HQ7V1", "type": "rating_scale", "sub_type": "customer_satisfaction", "alias": "csat"}
    options = [{"id": "o1", "label": {"type": "static", "value": "The issue took too long to resolve"}}]
    return {
        "id": f"01HQ7X{rating}", "survey_id": "01HQ7V0", "survey_version": 3, "expires_at": "2026-03-29T15:00:00Z",
        "responder_id": "8447388090494", "subjects": [{"id": "35436", "type": "ticket", "zrn": "zen:ticket:35436"}],
        "answers": [
            {"type": "rating_scale", "question": question, "rating": rating, "rating_category": "bad",
             "created_at": rated_at, "updated_at": rated_at},
            {"type": "open_ended", "question": {"id": "01HQ7V2", "type": "open_ended", "alias": "comment"},
             "value": "Still nothing.", "created_at": rated_at, "updated_at": commented_at},
            {"type": "closed_ended", "question": {"id": "01HQ7V3", "type": "closed_ended", "options": options},
             "selections": [{"option_id": "o1"}], "created_at": rated_at, "updated_at": rated_at},
            {"type": "skipped", "question": {"id": "01HQ7V4"}, "created_at": rated_at, "updated_at": rated_at},
        ],
    } | more  # fmt: skip


ASKED = "api/v2/guide/survey_responses?filter[subject_zrns]=zen:ticket:35436"


def fetched(*responses: dict[str, Any]) -> list[dict[str, Any]]:
    """What Zendesk's event becomes when its API has these responses to the ticket."""
    under = platform("zendesk")
    form = msgspec.structs.replace(
        under.form, scores=[Score("answers.rating", "csat")], comment=["answers.comment"],
        fields={"attributes.reason": "answers.01HQ7V3"}, values={},
    )  # fmt: skip
    under.answers = {ASKED: {"survey_responses": list(responses)}}
    return under.become(under.body("asked.json"), endpoint(form))


def test_zendesk_tells_what_its_event_left_out() -> None:
    (response,) = fetched(rated(5, "09:00"), rated(1, "15:02"), rated(3, "17:00", answers=[]))
    assert (response["response_id"], response["score"], response["comment"]) == (
        "zen:ticket:35436",
        1,
        "Still nothing.",
    )
    assert (response["submitted_at"], response["updated_at"]) == ("2026-03-01T15:02:00Z", "2026-03-01T15:02:30Z")
    assert response["attributes"] == {"reason": "The issue took too long to resolve"}
    with pytest.raises(Transient):
        fetched()


def test_the_token_of_zendesk_may_be_of_either_kind() -> None:
    assert zendesk.token("abc") == {"Authorization": "Bearer abc"}
    assert zendesk.token("a@example.com/token:x") == {"Authorization": "Basic YUBleGFtcGxlLmNvbS90b2tlbjp4"}
