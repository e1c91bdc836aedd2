#!/usr/bin/env bash
# confluent-kafka 2.16.1 (librdkafka) beside aiokafka 0.14.0, Python 3.11. No broker: librdkafka brings a mock cluster.
#
# Two producers with default settings put the same key in different partitions. librdkafka hashes keys with CRC32
# (`consistent_random`), Kafka's Java client and aiokafka with murmur2. Whoever switches the client of a producer, or
# lets two kinds write one topic, splits each key's history over two partitions, and two consumers. Only
# `partitioner=murmur2_random` makes librdkafka agree. No client reports anything.
#
# Output seen (keys source/response_id, the 4 partitions of a topic that the mock cluster makes):
#   default: 19 of 64 keys where Kafka's default partitioner puts them
#   murmur2_random: 64 of 64
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check confluent-kafka==2.16.1 aiokafka==0.14.0

"$room/venv/bin/python" - >"$room/seen" <<'PYTHON'
from aiokafka.partitioner import DefaultPartitioner
from confluent_kafka import Producer

KEYS = [b"shop/r-%d" % number for number in range(64)]
EVERY = list(range(4))


def partitions(**settings: str) -> dict[bytes, int]:
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 0, **settings})
    placed: dict[bytes, int] = {}
    for key in KEYS:
        producer.produce("responses", b"{}", key, on_delivery=lambda error, m: placed.update({m.key(): m.partition()}))
    producer.flush(30)
    return placed


java = {key: DefaultPartitioner()(key, EVERY, EVERY) for key in KEYS}
for name, settings in (("default", {}), ("murmur2_random", {"partitioner": "murmur2_random"})):
    placed = partitions(**settings)
    same = sum(placed[key] == java[key] for key in KEYS)
    print(f"{name}: {same} of {len(KEYS)}" + (" keys where Kafka's default partitioner puts them" if name == "default" else ""))
PYTHON
cat "$room/seen"
diff <(sed -n 's/^#   //p' "$0") "$room/seen" && echo 'as stated'
