"""The job as Faust's documentation would have one write it: a Record, a windowed table, an alert by `send`.

`COUNT` responses of `INPUT`, keyed by survey, are read; then it prints seconds and CPU seconds and ends.
"""

import asyncio
import os
import tempfile
from datetime import timedelta
from time import monotonic
from typing import Any

import faust

from tests.bench.common import cpu_seconds, one_core, tell

one_core()
count = int(os.environ["COUNT"])
app = faust.App(
    os.environ["APP_ID"],
    broker="kafka://" + os.environ["NPSFLOW_BROKERS"],
    store="memory://",
    topic_partitions=4,
    datadir=tempfile.gettempdir(),
    web_enabled=False,
)


class Customer(faust.Record):
    id: str
    account_id: str
    tier: str


class Response(faust.Record):
    source: str
    response_id: str
    survey_id: str
    survey_kind: str
    metric: str
    score: int
    submitted_at: str
    channel: str
    journey_stage: str
    department: str
    product: str
    customer: Customer
    comment: str | None = None


class Alert(faust.Record):
    source: str
    response_id: str
    survey_id: str
    score: int
    submitted_at: str
    customer_id: str
    comment: str | None


responses = app.topic(os.environ["INPUT"], key_type=bytes, value_type=Response)
alerts = app.topic(os.environ["ALERTS"], key_type=str, value_type=Alert)
tallies = app.Table("tallies", default=lambda: [0, 0, 0]).tumbling(timedelta(hours=1), expires=timedelta(days=1))
tallies = tallies.relative_to_stream()
category = [0] * 7 + [1] * 2 + [2] * 2


@app.agent(responses)
async def process(stream: faust.StreamT[Response]) -> None:
    read, began, cpu = 0, 0.0, 0.0
    async for r in stream:
        if not read:
            began, cpu = monotonic(), cpu_seconds()
        tally: list[int] = list(tallies[r.survey_id].value())
        tally[category[r.score]] += 1
        tallies[r.survey_id] = tally
        if r.score <= 6:
            alert = Alert(r.source, r.response_id, r.survey_id, r.score, r.submitted_at, r.customer.id, r.comment)
            await alerts.send(key=r.customer.id, value=alert)
        read += 1
        if read == count:
            asyncio.get_running_loop().create_task(finish(began, cpu))


async def finish(began: float, cpu: float) -> None:
    """Outside of the agent, so that the last event is acknowledged before it is committed."""
    await app.producer.flush()
    await app.consumer.commit()
    tell(seconds=monotonic() - began, cpu_seconds=cpu_seconds() - cpu)
    os._exit(0)  # stopping in order takes longer than it has run


def main() -> Any:
    return app.main()


if __name__ == "__main__":
    main()
