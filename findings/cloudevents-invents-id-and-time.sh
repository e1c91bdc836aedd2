#!/usr/bin/env bash
# cloudevents 2.2.0 (the SDK of CloudEvents for Python), Python 3.11. No broker.
#
# `id` is required (CloudEvents 1.0.2, 3.1.1), and receivers know a repeated event by `source` and `id`. A record that lacks
# `ce_id` is no event. The SDK takes it, with a new random id at each reading: what is read twice after a crash counts as two
# events, and no error is reported. A missing `time`, which is optional, becomes the time of reading: an event of last year
# is of now, and read twice it has two times. The constructor fills both in, and `from_kafka` reads by the constructor.
#
# Expected: an error for an event without an id, and no time where none was sent.
#
# Output seen:
#   without ce_id: accepted, the same id when read again: False
#   without ce_time: has a time True, the same when read again: False
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0

"$room/venv/bin/python" - >"$room/seen" <<'PYTHON'
from time import sleep

from cloudevents.core.bindings import kafka

HEADERS = {
    "ce_specversion": b"1.0", "ce_type": b"alert.raised", "ce_source": b"alerts", "ce_id": b"a-1.1",
    "ce_time": b"2026-03-01T15:00:00Z",
}  # fmt: skip


def read_twice_without(header: str) -> list[dict[str, object]]:
    message = kafka.KafkaMessage({name: text for name, text in HEADERS.items() if name != header}, None, b"{}")
    first = kafka.from_kafka_event(message)
    sleep(0.01)
    return [dict(first.get_attributes()), dict(kafka.from_kafka_event(message).get_attributes())]


one, two = read_twice_without("ce_id")
print("without ce_id: accepted, the same id when read again:", one["id"] == two["id"])
one, two = read_twice_without("ce_time")
print(f"without ce_time: has a time {'time' in one}, the same when read again: {one.get('time') == two.get('time')}")
PYTHON
cat "$room/seen"
diff <(sed -n 's/^#   //p' "$0") "$room/seen" && echo 'as stated'
