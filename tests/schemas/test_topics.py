"""How topics are kept."""

from npsflow.schemas import topics
from npsflow.schemas.times import DAY


def test_what_is_deleted_by_time_is_kept_as_long_as_it_can_be_corrected() -> None:
    assert topics.BY_NAME[topics.RESPONSES].config(35)["retention.ms"] == str(90 * DAY)
    assert topics.BY_NAME[topics.RESPONSES].config(100)["retention.ms"] == str(100 * DAY)


def test_what_stands_under_a_key_stays_and_what_was_replaced_leaves_within_a_day() -> None:
    config = topics.BY_NAME[topics.CASES].config(35)
    assert (config["cleanup.policy"], config["max.compaction.lag.ms"]) == ("compact", str(DAY))
    assert "retention.ms" not in config
    log = topics.BY_NAME[topics.NOTIFY_LOG].config(35)
    assert (log["cleanup.policy"], log["retention.ms"]) == ("compact,delete", str(90 * DAY))


def test_a_deleted_key_leaves_within_hours_and_outlives_what_it_sealed() -> None:
    config = topics.BY_NAME[topics.CUSTOMER_KEYS].config(35)
    assert config["cleanup.policy"] == "compact,delete"
    assert (config["max.compaction.lag.ms"], config["segment.ms"]) == ("3600000", "3600000")
    kept = [int(topic.config(35).get("retention.ms", -1)) for topic in topics.ALL if topic.name != topics.CUSTOMER_KEYS]
    assert int(config["retention.ms"]) >= max(kept)
    assert int(topics.BY_NAME[topics.CUSTOMER_KEYS].config(1000)["retention.ms"]) == 1000 * DAY


def test_time_is_that_of_the_broker_and_a_dead_letter_is_larger_than_what_it_is_made_of() -> None:
    assert {topic.config(35)["message.timestamp.type"] for topic in topics.ALL} == {"LogAppendTime"}
    most = {topic.name: int(topic.config(35)["max.message.bytes"]) for topic in topics.ALL}
    assert most.pop(topics.DEAD_LETTERS) > topics.MAX_RECORD
    assert set(most.values()) == {topics.MAX_RECORD}


def test_changelogs_are_named_by_their_stage() -> None:
    assert topics.changelog("classify", "state") == "npsflow-classify-state"
