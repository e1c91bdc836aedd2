"""Topics and changelogs on the broker: what there should be, what there is, and making it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from npsflow.schemas import topics
from npsflow.streams.settings import Settings, Where

_STAGES = (("classify", "input", True), ("rollup", "panes", False))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it should be; `name` with prefix."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


def wanted(settings: Settings, where: Where) -> list[Wanted]:
    """Every topic of an installation, changelogs included."""
    counts = {"input": settings.topics.partitions, "panes": settings.topics.pane_partitions}
    copies = settings.topics.replication
    found = [
        Wanted(where.topic(t.name), counts[t.partitions], copies, t.config(settings.horizon_days)) for t in topics.ALL
    ]
    state = {
        "cleanup.policy": "compact",
        "segment.bytes": str(8 << 20),
        "segment.ms": str(10 * 60_000),
        "min.cleanable.dirty.ratio": "0.1",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(topics.MAX_RECORD),
    }
    log = {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "segment.bytes": str(16 << 20),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(topics.MAX_RECORD),
    }
    for stage, of, logs in _STAGES:
        found.append(Wanted(where.changelog(stage, "state"), counts[of], copies, state))
        if logs:
            found.append(Wanted(where.changelog(stage, "remembered"), counts[of], copies, log))
    return found


async def create(admin: AIOKafkaAdminClient, missing: Iterable[Wanted]) -> list[str]:
    """Make topics; returns the names of those that were not there before."""
    new = [NewTopic(w.name, w.partitions, w.replication, topic_configs=dict(w.config)) for w in missing]
    if not new:
        return []
    response = await admin.create_topics(new)
    made = []
    for name, code, *_ in response.topic_errors:
        if code == 0:
            made.append(name)
        elif code != TopicAlreadyExistsError.errno:
            raise for_code(code)(name)
    return made
