"""`partitioner`: microseconds a record for the partitions of the 250 keys of a batch, at once and one by one."""

from itertools import islice
from time import process_time

from npsflow.schemas.partitioner import partition_of, partitions_of
from npsflow.streams.engine.installation import Installation
from tests.bench import data
from tests.bench.common import report, scaled

_BATCH = 250
_BATCHES = 400
_ROUNDS = 9
_PARTITIONS = 4


def run(at: Installation) -> None:
    count = scaled(_BATCHES) * _BATCH
    keys = [key for key, _ in islice(data.waiting(count), count) if key is not None]
    batches = [keys[begin : begin + _BATCH] for begin in range(0, len(keys), _BATCH)]
    at_once, one_by_one = [], []
    for _ in range(_ROUNDS):
        began = process_time()
        for batch in batches:
            partitions_of(batch, _PARTITIONS)
        between = process_time()
        for batch in batches[: len(batches) // 10 + 1]:
            for key in batch:
                partition_of(key, _PARTITIONS)
        at_once.append((between - began) / len(keys) * 1e6)
        one_by_one.append((process_time() - between) / sum(map(len, batches[: len(batches) // 10 + 1])) * 1e6)
    report("partitioner", value=min(at_once), unit="µs/record", limit=1.5, one_by_one=min(one_by_one))
