#!/usr/bin/env bash
# confluent-kafka 2.16.1, Python 3.11. No broker: librdkafka brings a mock cluster.
#
# `Consumer.poll` gives None when nothing came, else a Message. A Message has a length, that of its value, and so its truth
# is that of the value: a tombstone, and a value of no bytes, are false. `if not message: continue` after `poll` reads like
# "nothing came", and passes over every deletion of a compacted topic. No error is reported.
#
# Expected: a message that came is true, whatever its value. What helps: `if message is None`.
#
# Output seen:
#   value b'x': is None False, true True
#   value None: is None False, true False
#   value b'': is None False, true False
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check confluent-kafka==2.16.1

"$room/venv/bin/python" - >"$room/seen" <<'PYTHON'
from confluent_kafka import Consumer, Producer, TopicPartition

VALUES = (b"x", None, b"")
producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
for value in VALUES:
    producer.produce("windows", value, b"key", partition=0)
assert producer.flush(30) == 0
broker = next(iter(producer.list_topics(timeout=30).brokers.values()))
consumer = Consumer({"bootstrap.servers": f"{broker.host}:{broker.port}", "group.id": "readers", "log_level": 0})
consumer.assign([TopicPartition("windows", 0, 0)])
for _ in VALUES:
    message = consumer.poll(30)
    print(f"value {message.value()!r}: is None {message is None}, true {bool(message)}")
PYTHON
cat "$room/seen"
diff <(sed -n 's/^#   //p' "$0") "$room/seen" && echo 'as stated'
