#!/usr/bin/env bash
# msgspec 0.22.0 with jsonschema 4.26.0, Python 3.11.
#
# The JSON Schema that msgspec writes for an `int` field is {"type": "integer"}. In JSON Schema (2020-12, 6.1.1) a number
# with a zero fraction is an integer, so a producer that validates {"score": 9.0} against the schema is told that it is
# valid. msgspec itself refuses the same document. With strict=False it takes 9.0 as 9, and still refuses 9.5.
#
# Who writes 9.0 for 9: pandas for a column with a gap, Gson for a Map, Python for 9/1.
#
# Output seen:
#   the schema accepts 9.0: True
#   msgspec says: Expected `int`, got `float` - at `$.score`
#   msgspec, strict=False: 9
#   msgspec, strict=False, 9.5: refused
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check msgspec==0.22.0 jsonschema==4.26.0

"$room/venv/bin/python" - >"$room/seen" <<'PYTHON'
import json

import jsonschema
import msgspec


class Response(msgspec.Struct):
    score: int


schema = msgspec.json.schema(Response)
document = b'{"score": 9.0}'
print("the schema accepts 9.0:", jsonschema.Draft202012Validator(schema).is_valid(json.loads(document)))
try:
    msgspec.json.decode(document, type=Response)
except msgspec.ValidationError as error:
    print("msgspec says:", error)
print("msgspec, strict=False:", msgspec.json.decode(document, type=Response, strict=False).score)
try:
    msgspec.json.decode(b'{"score": 9.5}', type=Response, strict=False)
except msgspec.ValidationError:
    print("msgspec, strict=False, 9.5: refused")
PYTHON
cat "$room/seen"
diff <(sed -n 's/^#   //p' "$0") "$room/seen" && echo 'as stated'
