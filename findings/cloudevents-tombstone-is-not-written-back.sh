#!/usr/bin/env bash
# cloudevents 2.2.0 (the SDK of CloudEvents for Python), Python 3.11. No broker.
#
# A record without a value deletes its key on a compacted topic. With `ce_` headers the SDK reads it as an event without
# data. Written again, as a bridge between two topics does, it has a value of no bytes: no tombstone any more. The copy keeps
# the key for ever, and its readers get a value that is no JSON. Nothing that the SDK writes is a tombstone, as an event
# without data is always b"". Without `ce_` headers (Kafka's own tools and Connect write none) it raises an error of the JSON
# decoder that names neither headers nor tombstones, and none of the SDK's own.
#
# Expected: an event without data is a record without a value; an error of the SDK for what is no event.
#
# Output seen:
#   read: data None
#   written again: value b''
#   without headers: TypeError, of the SDK False
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0

"$room/venv/bin/python" - >"$room/seen" <<'PYTHON'
from cloudevents.core.bindings import kafka

HEADERS = {
    "ce_specversion": b"1.0", "ce_type": b"window.updated", "ce_source": b"scores", "ce_id": b"w-1.1",
    "ce_time": b"2026-03-01T15:00:00Z", "content-type": b"application/json",
}  # fmt: skip
event = kafka.from_kafka_event(kafka.KafkaMessage(HEADERS, b"key", None))
print("read: data", event.get_data())
print("written again: value", kafka.to_binary_event(event).value)
try:
    kafka.from_kafka_event(kafka.KafkaMessage({}, b"key", None))
except Exception as error:
    print(f"without headers: {type(error).__name__}, of the SDK {type(error).__module__.startswith('cloudevents')}")
PYTHON
cat "$room/seen"
diff <(sed -n 's/^#   //p' "$0") "$room/seen" && echo 'as stated'
