"""Which dead letters a replay leaves out."""

from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

from npsflow.agents.operations.dead_letters import Letter, Replayed


def letter(offset: int, reason: str) -> Letter:
    record = ConsumerRecord(
        topic="survey-responses-dlq", partition=0, offset=offset, timestamp=0, timestamp_type=1, key=None, value=b"{",
        checksum=None, serialized_key_size=-1, serialized_value_size=1, headers=[],
    )  # fmt: skip
    return Letter(record, {"reason": reason}, [])


def test_replayed_is_remembered_by_reason_until_all_was_replayed() -> None:
    replayed = Replayed()
    replayed.advance(5, "too_late")
    replayed = Replayed(replayed.committed())
    assert letter(4, "too_late") in replayed
    assert letter(5, "too_late") not in replayed
    assert letter(4, "not_json") not in replayed

    replayed.advance(8, None)
    assert letter(7, "not_json") in replayed
    assert replayed.committed() == OffsetAndMetadata(8, "")
