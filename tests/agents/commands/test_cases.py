"""What `npsflow cases` prints of a case."""

from datetime import UTC
from zoneinfo import ZoneInfo

from npsflow.agents.commands.cases import due, field_text
from npsflow.agents.runtime.terminal import short_span
from npsflow.schemas.times import HOUR


def test_an_answer_of_the_customer_is_one_line() -> None:
    answer = {
        "alert_id": "a-1", "metric": "nps", "score": 1, "severity": "critical", "submitted_at": "2026-03-02T09:00:00Z",
        "channel": "chat", "department": "Support", "comment": "You will hear from my lawyer",
    }  # fmt: skip
    assert field_text(answer, UTC) == (
        "nps 1, critical, 2026-03-02 09:00 UTC, chat, Support “You will hear from my lawyer”"
    )
    bare = {"metric": "csat", "score": 2, "submitted_at": "2026-03-02T09:00:00Z"}
    assert field_text(bare, ZoneInfo("Europe/Amsterdam")) == "csat 2, 2026-03-02 10:00 CET"
    assert field_text({"type": "order", "id": "7"}, UTC) == '{"id":"7","type":"order"}'
    assert field_text("as it is", UTC) == "as it is"


def test_when_something_is_due() -> None:
    assert due(None, 0) == ""
    assert due(3 * HOUR, 0) == "in 3 h 0 min"
    assert due(0, 30 * HOUR, short_span) == "30 h late"
    assert due(0, 0) == "0 s late"
