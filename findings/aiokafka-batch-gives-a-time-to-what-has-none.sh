#!/usr/bin/env bash
# aiokafka 0.14.0, its batch builder in C beside the one in Python, which takes its place where no C is compiled.
#
# Kafka's protocol writes -1 for "this record has no time". The builder in C keeps -1 for "no record yet", too: as long as
# a batch begins with records without a time, it takes the time of the first that has one for the time of all. What was
# sent without a time is read with that of another record, and nothing says so. The builder in Python keeps them apart,
# so the same program writes other bytes on a machine where the wheel does not fit.
#
# Output seen (times that were appended, then times that are read, by builder):
#   [-1, 5]  C [5, 5]  Python [-1, 5]
#   [-1, -1, 7]  C [7, 7, 7]  Python [-1, -1, 7]
#   [5, -1, 7]  C [5, -1, 7]  Python [5, -1, 7]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check aiokafka==0.14.0

"$room/venv/bin/python" - >"$room/seen" <<'PYTHON'
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder, _DefaultRecordBatchBuilderPy

BUILDERS = {"C": DefaultRecordBatchBuilder, "Python": _DefaultRecordBatchBuilderPy}


def read(builder: type, times: list[int]) -> list[int]:
    batch = builder(2, 0, 0, -1, -1, -1, 1 << 20)
    for offset, time in enumerate(times):
        batch.append(offset, timestamp=time, key=None, value=b"v", headers=[])
    return [record.timestamp for record in DefaultRecordBatch(bytes(batch.build()))]


for times in ([-1, 5], [-1, -1, 7], [5, -1, 7]):
    print(times, *(f"{name} {read(builder, times)}" for name, builder in BUILDERS.items()), sep="  ")
PYTHON
cat "$room/seen"
diff <(sed -n 's/^#   //p' "$0") "$room/seen" && echo 'as stated'
