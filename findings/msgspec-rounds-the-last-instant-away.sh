#!/usr/bin/env bash
# msgspec 0.22.0 beside Python 3.11's datetime.
#
# RFC 3339 lets a fraction of a second have any number of digits; .NET writes seven, Go and Java up to nine. A datetime of
# Python holds six. `datetime.fromisoformat` cuts the others off. msgspec rounds, upwards too: the last half microsecond
# of a day, or of a year, becomes the next one, and two readers of one record disagree about the day. The greatest time of
# .NET (DateTime.MaxValue, which many use for "never") does not fit after that, and is refused as no RFC 3339 at all.
#
# Output seen (what is read, then msgspec and fromisoformat):
#   2026-11-27T22:00:00.1234565Z  2026-11-27T22:00:00.123457+00:00  2026-11-27T22:00:00.123456+00:00
#   2026-12-31T23:59:59.9999999Z  2027-01-01T00:00:00+00:00  2026-12-31T23:59:59.999999+00:00
#   9999-12-31T23:59:59.9999999Z  Invalid RFC3339 encoded datetime  9999-12-31T23:59:59.999999+00:00
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check msgspec==0.22.0

"$room/venv/bin/python" - >"$room/seen" <<'PYTHON'
from datetime import datetime

import msgspec


def read(text: str) -> str:
    try:
        return msgspec.json.decode(f'"{text}"', type=datetime).isoformat()
    except msgspec.ValidationError as error:
        return str(error)


for text in ("2026-11-27T22:00:00.1234565Z", "2026-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.9999999Z"):
    print(text, read(text), datetime.fromisoformat(text).isoformat(), sep="  ")
PYTHON
cat "$room/seen"
diff <(sed -n 's/^#   //p' "$0") "$room/seen" && echo 'as stated'
